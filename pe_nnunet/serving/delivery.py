"""Results on their way: each study to each destination once, again later where one cannot be reached."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pe_nnunet.cases import CaseFailure
from pe_nnunet.serving.counts import Counts
from pe_nnunet.serving.destinations import Destination, result_files
from pe_nnunet.serving.log import say
from pe_nnunet.serving.study_queue import StudyQueue

MAX_TRIES = 150  # about a day
FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 600.0


def deliver(queue: StudyQueue, results: Path, destinations: Sequence[Destination], counts: Counts) -> None:
    """Send what is to be sent now.

    Args:
        queue: Says which studies are done, and which destination has them.
        results: Folder with one folder of results a study.
        destinations: All that get results; without any, studies stay done.
        counts: What happened how often; it is added to.

    Raises:
        OutputError: PE-SRV-001 if the queue cannot be written.
    """
    for uid in queue.outgoing() if destinations else ():
        failures = [failure for to in destinations if (failure := _send(queue, results, uid, to, counts)) is not None]
        if not failures:
            queue.all_sent(uid)
            counts.add("sent")
            say(f"study {uid}: sent")
            continue
        study = queue.study(uid)
        tries = MAX_TRIES if study is None else study.tries + 1
        wait_s = None if tries >= MAX_TRIES else min(FIRST_WAIT_S * 2.0 ** (tries - 1), LONGEST_WAIT_S)
        counts.add("send_failed")
        queue.failed(failures[0], "done", again_in_s=wait_s)
        say(f"study {failures[0]}" + ("" if wait_s is None else f"; again in {wait_s:.0f} s"))


def _send(queue: StudyQueue, results: Path, uid: str, to: Destination, counts: Counts) -> CaseFailure | None:
    """Send to one destination, unless it has the study; why that failed, if it did."""
    if queue.has(uid, to.name):
        return None
    try:
        to.send(uid, result_files(uid, results / uid))
    except Exception as error:  # noqa: BLE001 - one destination must not stop the others; its error is listed
        failure = CaseFailure.of(uid, error)
        counts.trouble(to.name, f"{failure.code}: {failure.message}")
        return failure
    counts.trouble(to.name, "")
    queue.sent(uid, to.name)
    return None
