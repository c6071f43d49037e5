"""Public datasets as they are unpacked, made ready to be scored on: scans, and labels in a form that can be scored."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from pe_nnunet.cases import CaseFailure, work_through
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.labels import embolus_ids
from pe_nnunet.dataset_conversion.public_dataset import require_subfolder, subfolder
from pe_nnunet.dataset_conversion.registry import published, source_kind
from pe_nnunet.dataset_conversion.sources import CaseSource
from pe_nnunet.errors import InputError
from pe_nnunet.evaluation.prediction_pairing import find_labels
from pe_nnunet.volumes import ScanRef, find_scans, image_like
from pe_nnunet.volumes.files.image_writer import write_image
from pe_nnunet.volumes.files.volume_file import scan_sha256

CAD_PE_TEST_EMBOLI = 130
TITLES = {"cad-pe": "CAD-PE", "fumpe": "FUMPE", "read": "READ"}
"""By the kind of source."""


@dataclass(frozen=True)
class LabelledSet:
    """The scans of a public dataset that are scored.

    Attributes:
        kind: Key in `TITLES`.
        labels: Folder of labels, one value an embolus.
        cases: Ids.
        refs: The scans, as far as they are there.
        patients: Case id -> patient; who is not in it is a patient of its own.
        sha256: Case id -> hashes of the scan.
        failures: Cases whose label cannot be had.
        scans: How many scans the published test set, or all of the dataset, has; None where that is not known.
        emboli: Likewise their emboli.
    """

    kind: str
    labels: Path
    cases: tuple[str, ...]
    refs: tuple[ScanRef, ...]
    patients: Mapping[str, str]
    sha256: Mapping[str, tuple[str, ...]]
    failures: tuple[CaseFailure, ...]
    scans: int | None
    emboli: int | None


def labelled_set(kind: str, src: Path, folder: Path, only: Collection[str] = ()) -> LabelledSet:
    """Find a dataset's scans and labels; labels of other forms are written as ids of emboli on the scans' own grids.

    Args:
        kind: Key in `TITLES`.
        src: The unpacked dataset.
        folder: Where labels are written, if they have to be.
        only: Ids of the scans that are meant; none: the published test set, or all where none is published.

    Raises:
        InputError: PE-IN-002 or PE-CONV-026 if it is not laid out as the dataset, PE-IN-001 if there is no such scan,
            and that of the first scan if none can be used.
        OutputError: PE-OUT-001 if labels cannot be written.
    """
    told = published(kind)
    wanted = frozenset(only) or (told.test if told is not None else frozenset())
    if kind == "cad-pe":
        return _cad_pe(src, wanted)
    listing = source_kind(kind).find_cases(src, ConvertOptions())
    sources = {source.case_id: source for source in listing.cases if not wanted or source.case_id in wanted}
    if not sources:
        raise InputError("PE-IN-001", f"{src} holds none of the scans {_some(wanted)}", "name cases as its files are")
    write = partial(_write_label, kind=kind, folder=folder)
    read, failed = work_through(write, sources, bar="labels", quiet=True)
    failures: list[CaseFailure] = [*(f for f in listing.errors if not wanted or f.case_id in wanted), *failed]
    if not read:
        first = failures[0]
        raise InputError(first.code, f"no scan of {src} has a label that can be used: {first.case_id}: {first.message}")
    return LabelledSet(
        kind,
        folder,
        tuple(read),
        tuple(sources[case].image for case in read),
        {case: patient for case, (patient, _) in read.items()},
        {case: (sha256,) for case, (_, sha256) in read.items()},
        tuple(failures),
        None if told is None or only else told.cases,
        None if told is None or only else told.emboli,
    )


def _cad_pe(src: Path, wanted: Collection[str]) -> LabelledSet:
    """CAD-PE's labels are ids already, and can be scored without the scans."""
    labels = require_subfolder(src, "CAD-PE", "rs", "label")
    images = subfolder(src, "image")
    refs = tuple(ref for ref in find_scans(images) if ref.case_id in wanted) if images.is_dir() else ()
    cases = tuple(sorted(find_labels(labels, wanted)))
    told = published("cad-pe")
    is_test = told is not None and frozenset(wanted) == told.test
    return LabelledSet(
        "cad-pe",
        labels,
        cases,
        refs,
        {},
        {ref.case_id: scan_sha256(ref.path) for ref in refs},
        (),
        len(wanted) if is_test else None,
        CAD_PE_TEST_EMBOLI if is_test else None,
    )


def _write_label(source: CaseSource, *, kind: str, folder: Path) -> tuple[str, str]:
    """Write the emboli of a case as ids; returns whose the scan is, and its hash."""
    volumes: Any = source_kind(kind).read_case(source, ConvertOptions())
    mask = volumes.emboli if volumes.emboli is not None else volumes.image * 0
    ids, _ = embolus_ids(sitk.GetArrayFromImage(mask), source.label_kind)
    write_image(image_like(ids, volumes.image), folder / f"{source.case_id}.nii.gz")
    return volumes.patient, volumes.sha256["image"]


def _some(names: Collection[str]) -> str:
    return ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")
