"""Write the files of one case, and its manifest, which says what was found, how, and with what."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pe_nnunet import __version__
from pe_nnunet.cases import DISCLAIMER
from pe_nnunet.errors import Note, OutputError
from pe_nnunet.files import atomic_json
from pe_nnunet.fusion import Candidate
from pe_nnunet.outputs.artery import artery_diameters_mm, level_of
from pe_nnunet.outputs.burden_record import burden_record, place_record
from pe_nnunet.outputs.case import CaseResult
from pe_nnunet.outputs.cohort_files import CaseSummary
from pe_nnunet.outputs.writers import DEFAULT, WRITERS
from pe_nnunet.volumes.files.volume_file import file_sha256

PACKAGES = (
    "nnunetv2", "torch", "numpy", "scipy", "SimpleITK", "connected-components-3d", "pydicom", "highdicom", "nibabel",
)  # fmt: skip


def write_case(case: CaseResult, folder: Path, kinds: Collection[str] = DEFAULT) -> CaseSummary:
    """Write the files of a case; the manifest `<case>.json` comes last, so where it is, the case is complete.

    Every file appears whole or not at all, and none of an earlier run stays beside a newer manifest.

    Args:
        case: The results, on the scan's own grid.
        folder: Where to; made if missing.
        kinds: Keys of `WRITERS`: what is written, if the case has it.

    Returns:
        The case's line in the run's summary.

    Raises:
        OutputError: If a file cannot be written.
    """
    started = time.perf_counter()
    manifest_path = folder / f"{case.case_id}.json"
    paths = {kind: folder / writer.name(case.case_id) for kind, writer in WRITERS.items()}
    for name in names_of_files(case.case_id):  # from here on an older run's result is no longer complete
        _remove(folder / name)
    case = replace(case, artery_mm=case.artery_mm or artery_diameters_mm(case.image, case.emboli))
    chosen = [kind for kind, writer in WRITERS.items() if kind in kinds and writer.applies(case)]
    slow = [kind for kind in chosen if WRITERS[kind].slow]
    for kind in [kind for kind in chosen if kind not in slow]:
        try:
            notes = WRITERS[kind].write(case, paths[kind]) or ()
        except OutputError as error:
            if error.code != "PE-OUT-004":
                raise
            notes = (Note(error.code, "warning", error.message),)
            chosen.remove(kind)
        case = replace(case, notes=(*case.notes, *notes))
    with ThreadPoolExecutor() as pool:  # the page's encoder leaves Python's lock to the picture
        list(pool.map(lambda kind: WRITERS[kind].write(case, paths[kind]), slow))
    case = replace(case, timings_s={**case.timings_s, "outputs": time.perf_counter() - started})
    hashes = {kind: file_sha256(paths[kind]) for kind in chosen}
    names = {kind: WRITERS[kind].name(case.case_id) for kind in chosen}
    manifest = case_manifest(case, names, hashes, kinds)
    atomic_json(manifest_path, manifest)
    return CaseSummary.from_manifest(manifest)


def names_of_files(case_id: str) -> list[str]:
    """All files that a case may have, the manifest first, as paths from its folder."""
    beside = [(f"{w.folder}/" if w.folder else "") + case_id + suffix for w in WRITERS.values() for suffix in w.beside]
    return [f"{case_id}.json", *(writer.name(case_id) for writer in WRITERS.values()), *beside]


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            "PE-OUT-001", f"{path} cannot be replaced: {error.strerror}", "check the permissions of the folder"
        ) from error


def case_manifest(
    case: CaseResult, files: dict[str, str], files_sha256: dict[str, str], kinds: Collection[str]
) -> dict[str, Any]:
    """Everything about a case but its voxels.

    Args:
        case: The results.
        files: What was written beside the manifest: kind of output -> file name.
        files_sha256: Their hashes, by kind.
        kinds: What was asked for, which the case need not have.

    Returns:
        A dictionary of JSON's own types, in the order in which a person would read it.
    """
    emboli, image = case.emboli, case.image
    volumes = [round(row.volume_mm3, 3) for row in emboli.kept]  # beyond that lies the rounding of a sum, not a volume
    return {
        "case": case.case_id,
        "notice": DISCLAIMER,
        "pe_score": round(emboli.pe_score, 6),
        "emboli": len(volumes),
        "volume_mm3": round(emboli.volume_mm3, 3),
        "volumes_mm3": volumes,
        "findings": [_finding(case, row) for row in emboli.kept],
        "burden": burden_record(case.burden, image),
        "candidates": len(emboli.candidates),
        "seconds": round(case.seconds, 3),
        "timings_s": {stage: round(seconds, 3) for stage, seconds in case.timings_s.items()},
        "notes": [asdict(note) for note in case.notes],
        "files": files,
        "files_sha256": files_sha256,
        "asked_for": sorted(kinds),
        "source": {"path": case.source, "names": case.names, "sha256": case.source_sha256},
        "inputs_sha256": dict(case.inputs_sha256),
        "grid": {
            "size_xyz": list(image.GetSize()),
            "spacing_mm_xyz": list(image.GetSpacing()),
            "origin_lps_mm": list(image.GetOrigin()),
            "direction": list(image.GetDirection()),
        },
        "roi": dict(case.roi),
        "settings": asdict(emboli.settings),
        "models": [asdict(model) for model in case.models],
        "model_cards": {model: dict(card) for model, card in case.model_cards.items()},
        "model_terms": [asdict(terms) for terms in case.terms],
        "arguments": dict(case.arguments),
        "versions": versions(),
        "system": {"platform": platform.platform(), "processors": os.cpu_count()},
    }


def _finding(case: CaseResult, row: Candidate) -> dict[str, Any]:
    k, j, i = row.voxel_zyx
    artery_mm = case.artery_mm.get(row.id)
    return {
        "id": row.id,
        "probability": round(row.probability, 6),
        "volume_mm3": round(row.volume_mm3, 3),
        "position_lps_mm": [round(v, 3) for v in case.image.TransformIndexToPhysicalPoint((i, j, k))],
        "artery_mm": None if artery_mm is None else round(artery_mm, 1),
        "level": None if artery_mm is None else level_of(artery_mm),
        **place_record(case.burden, row.id),
    }


def versions() -> dict[str, str]:
    """Versions of this package, of Python and of the packages that decide about a result; none is imported for it."""
    found = {"pe_nnunet": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
