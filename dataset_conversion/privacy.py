"""Cases of a conversion called by hashes, where that is asked for, and those that a patient's name forbids to name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pe_nnunet.dataset_conversion.patterns import fixed_part
from pe_nnunet.dataset_conversion.sources import CaseSource, Listing
from pe_nnunet.volumes.case_names import CODE, hashed, names_below, names_of_files


def with_hashed_names(src: Path, listing: Listing) -> Listing:
    """A listing with hashes for case ids and sources, which says no name of a folder or file below the source."""
    names = names_below(fixed_part(src))
    cases = tuple(
        replace(
            case,
            case_id=hashed(case.case_id),
            image=replace(case.image, case_id=hashed(case.case_id)),
            name=hashed(case.case_id),
            hidden=tuple(sorted({case.case_id, *_names_of(case)} | names, key=len, reverse=True)),
        )
        for case in listing.cases
    )
    errors = tuple(
        replace(error.without({error.case_id, *names}), case_id=hashed(error.case_id)) for error in listing.errors
    )
    notes = tuple(note.without(names) for note in listing.notes)
    return replace(listing, cases=cases, errors=errors, notes=notes)


def without_refused_names(listing: Listing) -> Listing:
    """A listing in which cases that are refused for a patient's name are called by hashes."""
    errors = (replace(e, case_id=hashed(e.case_id)) if e.code == CODE else e for e in listing.errors)
    return replace(listing, errors=tuple(errors))


def _names_of(case: CaseSource) -> set[str]:
    return names_of_files((case.image.path, *case.image.files[:1], case.label, case.artery))
