"""What is published of a dataset, to be compared with what was found: an incomplete download should not go unseen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pe_nnunet.dataset.records import CaseRecord
from pe_nnunet.errors import Note


@dataclass(frozen=True, kw_only=True)
class Published:
    """Published figures of a dataset; None where there are none.

    Attributes:
        cases: Scans.
        slices: Slices of all scans.
        emboli: Emboli, as the dataset's own labels give them.
        negatives: Cases without emboli.
        test: Cases of the published test set.
    """

    cases: int | None = None
    slices: int | None = None
    emboli: int | None = None
    negatives: frozenset[str] | None = None
    test: frozenset[str] = frozenset()


def count_notes(published: Published, records: Mapping[str, CaseRecord], *, own_labels: bool) -> tuple[Note, ...]:
    """Warnings where what was converted is not what was published.

    Args:
        published: Of the dataset.
        records: What was converted.
        own_labels: The labels are the dataset's, not others that replace them.
    """
    slices = sum(record.geometry.size_xyz[2] for record in records.values())
    emboli = sum(record.embolus_count for record in records.values())
    counts = [("cases", len(records), published.cases), ("slices", slices, published.slices)]
    if own_labels:
        counts.append(("emboli", emboli, published.emboli))
    differs = _differences(counts)
    if own_labels and published.negatives is not None:
        bare = {case for case, record in records.items() if not record.embolus_count}
        unlike = sorted(bare ^ (published.negatives & set(records)))
        if unlike:
            differs.append(f"with or without emboli unlike published: {', '.join(unlike[:8])}")
    return _noted(differs)


def differing_counts(counts: Iterable[tuple[str, int, int | None]]) -> tuple[Note, ...]:
    """A warning where counts are not those published.

    Args:
        counts: What is counted, how many were found, and how many are published.
    """
    return _noted(_differences(counts))


def _differences(counts: Iterable[tuple[str, int, int | None]]) -> list[str]:
    return [f"{found} {what}, {told} published" for what, found, told in counts if told not in (None, found)]


def _noted(differs: list[str]) -> tuple[Note, ...]:
    return (Note("PE-CONV-023", "warning", "; ".join(differs)),) if differs else ()
