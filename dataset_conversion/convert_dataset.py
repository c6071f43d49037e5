"""A whole source to a dataset: list the cases, convert them, split them, and put the dataset into its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

from pe_nnunet import __version__
from pe_nnunet.cases import CaseFailure, CaseLimits, run_cases, sensible_workers, write_errors
from pe_nnunet.cases.engine import Engine
from pe_nnunet.dataset import raw
from pe_nnunet.dataset.dataset_json import DATASET
from pe_nnunet.dataset.folders import (
    RAW,
    SPLITS,
    dataset_folder_name,
    nnunet_folder,
    require_free_id,
    stale_preprocessed,
)
from pe_nnunet.dataset.records import CaseRecord
from pe_nnunet.dataset_conversion.contact_sheet import write_sheets_page
from pe_nnunet.dataset_conversion.convert_case import convert_case
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.labels import dataset_json
from pe_nnunet.dataset_conversion.listing import list_cases, part_of
from pe_nnunet.dataset_conversion.public_dataset import Published, count_notes
from pe_nnunet.dataset_conversion.registry import published
from pe_nnunet.dataset_conversion.sources import Listing
from pe_nnunet.dataset_conversion.splits import duplicate_notes, patients_of, split_notes, splits_of, training_cases
from pe_nnunet.dataset_conversion.staging import Staging, staged
from pe_nnunet.errors import InputError, Note, OutputError
from pe_nnunet.files import atomic_json
from pe_nnunet.volumes.case_names import HASHED, PLAIN, hashed

# A scan of 512x512x500 with two masks was measured to take 2.1 GiB while it is converted; the rest is for larger ones.
GIB_PER_WORKER = 3
GIB_PER_WORKER_BY_CONTRAST = 6  # 3.1 GiB for one of 500x512x512 of which the crop is 360x240x384

Outcome = CaseRecord | CaseFailure
Progress = Callable[[Outcome, int, int], None]


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion came to.

    Attributes:
        dataset_folder: The dataset; None if no case could be converted, and nothing was written, or if this was one of
            several parts.
        cases: Record of each case in it.
        errors: Why the others are not.
        notes: What concerns the dataset as a whole.
        reused: Cases kept from an earlier conversion.
    """

    dataset_folder: Path | None
    cases: Mapping[str, CaseRecord]
    errors: tuple[CaseFailure, ...]
    notes: tuple[Note, ...]
    reused: frozenset[str]


def convert(
    kind: str,
    src: Path,
    dataset_id: int,
    name: str = "PE",
    options: ConvertOptions | None = None,
    *,
    progress: Progress | None = None,
    limits: CaseLimits | None = None,
    engine: Engine | None = None,
) -> ConversionReport:
    """Convert a source to a dataset in `nnUNet_raw`.

    With more than one process, a script that calls this needs Python's usual `if __name__ == "__main__":` guard.

    Args:
        kind: Kind of source, a key of `registry.KINDS`.
        src: Folder, file or pattern of the scans.
        dataset_id: nnU-Net's number for the dataset, 1 to 999.
        name: What stands behind `DatasetXXX_`.
        options: How to convert.
        progress: Called after each case with what became of it, the number of cases done, and of all.
        limits: What a case may take: each is then done in a process beside this one, so that one that crashes or hangs
            does not take the others with it.
        engine: What hands out the cases to workers elsewhere, in place of `num_processes`.

    Returns:
        The report; cases that failed are in it, and do not raise unless the options say `on_error="stop"`.

    Raises:
        ConfigurationError: If the environment, the id, the name or the options do not allow the conversion.
        InputError: If the source holds no case, or, under `on_error="stop"`, for the first case that fails.
        OutputError: If the dataset cannot be written.
    """
    options = options or ConvertOptions()
    folder_name = dataset_folder_name(dataset_id, name)
    target = nnunet_folder(RAW) / folder_name
    require_free_id(dataset_id, folder_name)
    listing = part_of(list_cases(kind, src, options), options)
    if options.hash_names:  # from here on cases go by their hashes
        options = replace(options, negatives=frozenset(map(hashed, options.negatives)))
    with staged(target, resume=options.resume, overwrite=options.overwrite, part_id=options.part_id) as staging:
        records, reused, again, errors = _run(kind, listing, options, staging, progress, limits, engine)
        if options.part_id is not None:  # what is done waits for the run that puts the parts together
            return ConversionReport(None, dict(sorted(records.items())), errors, (), reused)
        if not records:
            staging.discard()
            return ConversionReport(None, {}, errors, (), frozenset())
        counts = count_notes(published(kind) or Published(), records, own_labels=options.labels is None)
        noted = (*listing.notes, *counts, *duplicate_notes(records))
        notes = _finish(kind, staging, records, errors, noted, options, cases_changed=len(reused) < len(records))
        notes = (*notes, *_again_note(again if options.resume else []))  # of this run, not of the dataset
        return ConversionReport(target, dict(sorted(records.items())), errors, notes, reused)


def _run(
    kind: str,
    listing: Listing,
    options: ConvertOptions,
    staging: Staging,
    progress: Progress | None,
    limits: CaseLimits | None,
    engine: Engine | None,
) -> tuple[dict[str, CaseRecord], frozenset[str], list[str], tuple[CaseFailure, ...]]:
    """Convert all cases into the folder under construction.

    Returns:
        The records, which cases were kept from before, which were done before and had to be done again, and failures.
    """
    sources = {source.case_id: source for source in listing.cases}
    earlier = _earlier(staging)
    gib = GIB_PER_WORKER_BY_CONTRAST if options.arteries_by_contrast else GIB_PER_WORKER
    converted = run_cases(
        partial(convert_case, kind=kind, options=options, folder=staging.building),
        {
            case: (source, [(done[case], folder) for done, folder in earlier if case in done])
            for case, source in sources.items()
        },
        options.num_processes or sensible_workers(len(sources), gib),
        in_order=False,
        ends=(OutputError,),
        died="PE-CONV-012",
        limits=limits,
        bar="" if engine is None else "convert",
        engine=engine,
    )
    records: dict[str, CaseRecord] = {}
    reused: set[str] = set()
    failures: list[CaseFailure] = []
    with closing(converted):
        for case, found in chain(((error.case_id, error) for error in listing.errors), converted):
            outcome: Outcome
            if isinstance(found, CaseFailure):
                outcome = found.without(sources[case].hidden) if case in sources else found
                failures.append(outcome)
            else:
                outcome, kept = found
                records[case] = outcome
                reused |= {case} if kept else set()
            if progress is not None:
                progress(outcome, len(records) + len(failures), len(sources) + len(listing.errors))
            if isinstance(outcome, CaseFailure) and options.on_error == "stop":
                hint = "what is done is kept: --resume goes on from there"
                raise InputError("PE-CONV-021", f"stopped at {outcome}", hint)
    again = sorted({case for done, _ in earlier for case in done} & records.keys() - reused)
    return records, frozenset(reused), again, tuple(sorted(failures, key=lambda failure: failure.case_id))


def _again_note(again: Sequence[str]) -> list[Note]:
    """Which cases were done before and not kept; the names end after a few."""
    if not again:
        return []
    names = ", ".join(again[:5]) + (f" and {len(again) - 5} more" if len(again) > 5 else "")
    text = f"{len(again)} cases converted again, as source, settings or converted files differ from before: {names}"
    return [Note("PE-CONV-039", "warning", text)]


def _earlier(staging: Staging) -> list[tuple[dict[str, CaseRecord], Path]]:
    """What was converted before: by an interrupted conversion, and in the dataset that is there."""
    found = [(raw.load_progress(staging.building), staging.building)]
    if staging.target.exists():
        found.append((raw.load_cases(staging.target), staging.target))
    return found


def _finish(
    kind: str,
    staging: Staging,
    records: Mapping[str, CaseRecord],
    errors: tuple[CaseFailure, ...],
    counts: tuple[Note, ...],
    options: ConvertOptions,
    *,
    cases_changed: bool,
) -> tuple[Note, ...]:
    """Write what concerns all cases, and publish the dataset."""
    folder, name, program = staging.building, staging.target.name, f"pe-nnunet {__version__}"
    training = training_cases(records)
    patient = patients_of(training)
    splits = splits_of(training, patient, options)
    raw.remove_leftovers(folder, records)
    names, notes_text = HASHED if options.hash_names else PLAIN, [str(n) for n in counts]
    heading = {
        "converted_by": program,
        "kind": kind,
        "scheme": options.scheme,
        "names": names,
        "notes": notes_text,
    }
    raw.write_cases(folder, records, heading)
    raw.write_report(folder, records, splits)
    write_sheets_page(folder, records, title=name)
    write_errors(errors, (folder / raw.ERRORS).parent)
    (folder / SPLITS).unlink(missing_ok=True)
    if splits:
        atomic_json(folder / SPLITS, splits)
    content = dataset_json(options.scheme, name=name, cases=len(training), converted_by=program)
    atomic_json(folder / DATASET, content)
    notes = [*counts, *split_notes(training, splits, options)]
    notes += stale_preprocessed(name, splits, cases_changed=cases_changed)
    staging.publish()
    raw.remove_progress(staging.target)
    return tuple(notes)
