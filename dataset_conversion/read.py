"""READ: 40 CTPA scans of two scanners as DICOM, masks as NIfTI (CC0).

    SRC/CT scans (DICOM files)/GE (DICOM files)/01GE/...
    SRC/Ground truth (pixel level segmentation - NiFTI files)/GE (NiFTI files)/01GE.nii.gz

Also seen as SRC/images/01GE and SRC/rs/01GE.nii.gz. The header of a mask disagrees with the DICOM on the direction of
the slices and rounds their distance; by index, mask and scan correspond voxel by voxel. The DICOM gives the geometry.

Source: de Andrade et al., Pixel-level annotated dataset of computed tomography angiography images of acute pulmonary
embolism, Scientific Data 10, 518 (2023).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import SimpleITK as sitk

from pe_nnunet.dataset_conversion import sources
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.mask_pairing import CaseMasks, cases_at, one_scan, stem
from pe_nnunet.dataset_conversion.public_dataset import (
    Published,
    entries,
    existing,
    require_subfolder,
    scans_in,
    subfolder,
)
from pe_nnunet.dataset_conversion.sources import CaseSource, CaseVolumes, Listing
from pe_nnunet.errors import GeometryError, Note
from pe_nnunet.volumes import Scan, image_like, image_suffix, read_label_noted, require_same_grid

PUBLISHED = Published(cases=40)
_GROUP = "files)"  # how the names of the scanners' folders end, between the dataset's and the patients'


def find_cases(src: Path, options: ConvertOptions) -> Listing:
    """List the patients of both scanners, with their masks or those that replace them."""
    images, masks = require_subfolder(src, "READ", "CT scans", "images"), CaseMasks(options)
    truth = subfolder(src, "Ground truth", "rs")
    labels = [path for folder in _groups(truth) for path in entries(folder) if image_suffix(path)]

    def source_of(case: str, path: Path) -> CaseSource:
        own = existing(*(label for label in labels if stem(label) == stem(path)))
        ref = one_scan(path, case, options)
        return masks.source(ref, path.relative_to(src).as_posix(), own_label=own, own_label_kind="binary")

    found = [p for folder in _groups(images) for p in scans_in(folder) if not p.name.endswith(_GROUP)]
    return cases_at(found, source_of, f"scan in {images}")


def read_case(source: CaseSource, options: ConvertOptions) -> CaseVolumes:
    """Read a patient; the dataset's own mask is laid on the scan by index, others by their headers."""
    reader = partial(_by_index, patient=source.case_id) if source.own_label else None
    volumes = sources.read_case(source, options, reader)
    return replace(volumes, patient=source.case_id)  # a folder is a patient, whatever anonymised headers say


def _groups(folder: Path) -> list[Path]:
    return [folder, *(path for path in entries(folder) if path.is_dir() and path.name.endswith(_GROUP))]


def _by_index(
    path: Path, scan: Scan, role: str, _options: ConvertOptions, *, patient: str
) -> tuple[sitk.Image, list[Note]]:
    mask, found = read_label_noted(path)
    label = image_like(sitk.GetArrayViewFromImage(mask), scan.image) if mask.GetSize() == scan.image.GetSize() else None
    if label is None:
        raise GeometryError(
            "PE-GEO-001",
            f"the mask of {patient} has size {mask.GetSize()} (x, y, z), its scan {scan.image.GetSize()}",
            "complete the download of the scan",
        )
    notes = [Note(n.code, n.kind, f"{role}: {n.message}") for n in found]
    try:
        require_same_grid(scan.image, mask, path.name)
    except GeometryError:
        notes.append(Note("PE-CONV-025", "repaired", f"{role}: its header differs from the DICOM: laid on by index"))
    return label, notes
