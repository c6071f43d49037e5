"""FUMPE: 35 CTPA scans as DICOM, masks as MATLAB files (CC BY 4.0).

    SRC/CT_scans/PAT001/D0001.dcm ...
    SRC/GroundTruth/PAT001.mat          variable Mask, (y, x, z)

The slices of a mask follow the names of the DICOM files, which in some patients run against the slices' positions.

Source: Masoudi et al., A new dataset of computed-tomography angiography images for computer-aided detection of
pulmonary embolism, Scientific Data 5, 180180 (2018).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from pe_nnunet.dataset_conversion import sources
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.mask_pairing import CaseMasks, cases_at, one_scan
from pe_nnunet.dataset_conversion.public_dataset import Published, existing, require_subfolder, scans_in, subfolder
from pe_nnunet.dataset_conversion.sources import CaseSource, CaseVolumes, Listing, read_mask_file
from pe_nnunet.errors import GeometryError, InputError, Note
from pe_nnunet.volumes import Scan, image_like
from pe_nnunet.volumes.readers import read_mat

PUBLISHED = Published(cases=35, slices=8792, emboli=95, negatives=frozenset({"PAT024", "PAT032"}))


def find_cases(src: Path, options: ConvertOptions) -> Listing:
    """List the patients' folders with their masks, or those that replace them."""
    scans, truth, masks = require_subfolder(src, "FUMPE", "CT_scans"), subfolder(src, "GroundTruth"), CaseMasks(options)

    def source_of(case: str, path: Path) -> CaseSource:
        own = existing(truth / f"{path.name}.mat")
        ref = one_scan(path, case, options)
        return masks.source(ref, f"{scans.name}/{path.name}", own_label=own, own_label_kind="binary")

    return cases_at(scans_in(scans), source_of, f"patient's folder in {scans}")


def read_case(source: CaseSource, options: ConvertOptions) -> CaseVolumes:
    """Read a patient; the slices of a MATLAB mask are brought from the order of file names into that of positions."""
    volumes = sources.read_case(source, options, _read_label)
    return replace(volumes, patient=source.case_id)  # a folder is a patient, whatever anonymised headers say


def _read_label(path: Path, scan: Scan, role: str, options: ConvertOptions) -> tuple[sitk.Image, list[Note]]:
    if path.suffix.lower() != ".mat":
        return read_mask_file(path, scan, role, options)
    mask = read_mat(path, "Mask")
    if scan.dicom is None:
        raise InputError(
            "PE-CONV-025", f"{path.name} follows the names of DICOM files, and the scan has none", "convert the DICOM"
        )
    depth, names = mask.shape[2], [file.name for file in scan.dicom.files]
    listed = next((n for n in (names, [file.name for file in scan.ref.files]) if len(set(n)) == depth), None)
    if listed is None:
        raise GeometryError(
            "PE-GEO-001",
            f"{path.name} has {depth} slices, and the scan {len(names)} DICOM files",
            "complete the download, or take the mask of this scan",
        )
    plane_of = {name: k for k, name in enumerate(sorted(listed))}
    order = [plane_of[name] for name in names]
    label = image_like(np.ascontiguousarray(mask.transpose(2, 0, 1)[order]), scan.image)
    if order == list(range(depth)):
        return label, []
    text = f"{role}: the mask's slices follow the file names, which differ from the order of positions: reordered"
    return label, [Note("PE-CONV-025", "repaired", text)]
