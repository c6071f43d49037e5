"""A study as the queue knows it."""

from __future__ import annotations

from dataclasses import dataclass

STATES = ("received", "waiting", "running", "done", "failed", "sent")


@dataclass(frozen=True)
class Study:
    """A study as the queue knows it.

    Attributes:
        uid: StudyInstanceUID.
        state: One of `STATES`.
        received: When its first instance came, in seconds since 1970; `changed` of the last, `since` of the state.
        changed: See `received`.
        since: See `received`.
        tries: How often the present step was begun.
        code: Of the error, also of one after which it is tried again; `message` and `hint` go with it.
        message: See `code`.
        hint: See `code`.
        reason: Why which of its series was taken.
        pe_score: The highest probability of any candidate; None before there is a result, as the next three.
        emboli: How many are kept.
        volume_mm3: Of all kept emboli.
        seconds: What the prediction took.
        answers: How often it had results: a number of the present ones.
    """

    uid: str
    state: str
    received: float
    changed: float
    since: float
    tries: int
    code: str
    message: str
    hint: str
    reason: str
    pe_score: float | None
    emboli: int | None
    volume_mm3: float | None
    seconds: float | None
    answers: int
