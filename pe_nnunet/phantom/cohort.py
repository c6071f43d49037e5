"""A folder of phantom scans: one folder a case, and `phantom.json` that says how each was made."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Literal

import SimpleITK as sitk

from pe_nnunet.cases import CaseFailure, run_cases
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files import atomic_folder, atomic_json
from pe_nnunet.files.json_reader import MALFORMED, read_object
from pe_nnunet.phantom.make import Phantom, make_phantom
from pe_nnunet.phantom.settings import PhantomSettings
from pe_nnunet.volumes import write_dicom_series, write_image
from pe_nnunet.volumes.files.volume_file import file_sha256, files_sha256

Format = Literal["nifti", "dicom", "mixed"]
MANIFEST = "phantom.json"
LAYOUT_VERSION = 1


def case_name(index: int) -> str:
    """Name of a case's folder; counted from 1, as `_000` would read like a channel number.

    Example:
        >>> case_name(0)
        'phantom_001'
    """
    return f"phantom_{index + 1:03d}"


def write_cohort(
    out: Path, n: int, settings: PhantomSettings, seed: int, format: Format = "nifti", num_processes: int = 1
) -> list[Path]:
    """Write `n` scans with their truth; scans that are there already, as they were written, are kept.

    Args:
        out: The cohort's folder.
        n: Number of scans.
        settings: What they are like.
        seed: Seed of the cohort; with the index of a case it fixes every byte of it.
        format: How the CT is stored: as `ct.nii.gz`, as a DICOM series in `ct/`, or every other case each way. Masks
            are NIfTI: `emboli.nii.gz` (ids), `artery.nii.gz`, `vein.nii.gz`, `lung.nii.gz`.
        num_processes: Worker processes; 1 for none beside this one. The bytes do not depend on it.

    Returns:
        The cases' folders.

    Raises:
        ConfigurationError: `PE-PHA-002` where `out` holds a cohort of another seed, format or settings; PE-CONV-032 if
            the system allows no worker processes.
    """
    recipe = {"layout": LAYOUT_VERSION, "seed": seed, "format": format, "settings": settings.to_dict()}
    cases = _cases_so_far(out, recipe)
    out.mkdir(parents=True, exist_ok=True)
    folders = [out / case_name(index) for index in range(n)]
    missing = [k for k, folder in enumerate(folders) if not _is_whole(folder, cases.get(folder.name))]
    made = run_cases(
        partial(_make_case, out, settings, seed, format),
        {case_name(index): index for index in missing},
        num_processes,
        in_order=False,
        ends=(Exception,),
        died="PE-CONV-012",
        bar="phantom",
    )
    with closing(made):
        for name, facts in made:
            if isinstance(facts, CaseFailure):
                raise ConfigurationError(facts.code, f"{name}: {facts.message}", facts.hint)
            cases[name] = facts
            atomic_json(out / MANIFEST, {**recipe, "cases": dict(sorted(cases.items()))})
    return folders


def _make_case(out: Path, settings: PhantomSettings, seed: int, format: Format, index: int) -> dict[str, Any]:
    as_dicom = format == "dicom" or (format == "mixed" and index % 2 == 1)
    phantom = make_phantom(settings, seed, index)
    write_case(phantom, out / case_name(index), as_dicom=as_dicom)
    facts = {"format": "dicom" if as_dicom else "nifti", **phantom.facts}
    return facts | {"files_sha256": case_hashes(out / case_name(index))}


def case_hashes(folder: Path) -> dict[str, str]:
    """Of the files in the folder of a case, by their names; a DICOM series has one for all its slices."""
    hashes = {path.name: file_sha256(path) for path in sorted(folder.glob("*.nii.gz"))}
    if (folder / "ct").is_dir():
        hashes["ct"] = files_sha256((folder / "ct").iterdir())
    return hashes


def _is_whole(folder: Path, facts: Mapping[str, Any] | None) -> bool:
    return facts is not None and folder.is_dir() and facts.get("files_sha256") == case_hashes(folder)


def write_case(phantom: Phantom, folder: Path, *, as_dicom: bool) -> None:
    """Write one scan and its masks; the folder appears when it is complete.

    Args:
        phantom: The scan.
        folder: Where it goes; what is there is replaced.
        as_dicom: Store the CT as a DICOM series in `ct/` instead of `ct.nii.gz`.

    Raises:
        OutputError: PE-OUT-001 if it cannot be written.
    """
    with atomic_folder(folder) as part:
        if as_dicom:
            write_dicom_series(
                phantom.ct, part / "ct", patient_id=f"{folder.name}-seed{phantom.facts['seed']}",
                series_description="synthetic CTPA",
            )  # fmt: skip
        else:
            write_image(phantom.ct, part / "ct.nii.gz")
        masks: dict[str, sitk.Image] = {
            "emboli": phantom.emboli, "artery": phantom.artery, "vein": phantom.vein, "lung": phantom.lung,
        }  # fmt: skip
        for name, mask in masks.items():
            write_image(mask, part / f"{name}.nii.gz")


def _cases_so_far(out: Path, recipe: dict[str, Any]) -> dict[str, Any]:
    """Facts of the cases that an earlier run wrote with the same recipe."""
    manifest = out / MANIFEST
    if not manifest.is_file():
        return {}
    try:
        found = read_object(manifest)
    except MALFORMED:
        found = {}
    different = [key for key in recipe if found.get(key) != recipe[key]]
    if different:
        raise ConfigurationError(
            "PE-PHA-002", f"{out} holds a phantom cohort with another {' and '.join(different)}",
            "name another folder, or remove that one",
        )  # fmt: skip
    return dict(found.get("cases", {}))
