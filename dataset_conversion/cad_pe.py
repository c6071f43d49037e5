"""CAD-PE: 91 CTPA scans as NRRD with one value an embolus.

    SRC/images/001.nrrd ... 040.nrrd, e0032.nrrd ...
    SRC/rs/0001RefStd.nrrd, e0032RefStd.nrrd   also seen as 001RefStd.nrrd
    SRC/vessel/001.nii.gz                      optional, by the authors of AANet: 1 artery, 2 vein

The published split tests on 021 to 040 (`--test published`).

Source: Gonzalez et al., Computer aided detection for pulmonary embolism challenge (CAD-PE), arXiv:2003.13440 (2020).
"""

from __future__ import annotations

from pathlib import Path

from pe_nnunet.dataset.public_splits import CAD_PE_TEST
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.mask_pairing import CaseMasks, cases_at, one_scan, stem
from pe_nnunet.dataset_conversion.public_dataset import Published, existing, require_subfolder, scans_in, subfolder
from pe_nnunet.dataset_conversion.sources import CaseSource, Listing, read_case

__all__ = ["PUBLISHED", "find_cases", "read_case"]

PUBLISHED = Published(
    cases=91,
    emboli=317,
    negatives=frozenset({"002", "031"}),
    test=CAD_PE_TEST,
)


def find_cases(src: Path, options: ConvertOptions) -> Listing:
    """List the scans, with their emboli under either naming and their vessels where there are any."""
    images, masks = require_subfolder(src, "CAD-PE", "images"), CaseMasks(options)
    labels, vessels = subfolder(src, "rs"), subfolder(src, "vessel")

    def source_of(case: str, path: Path) -> CaseSource:
        name = stem(path)
        names = dict.fromkeys((name, name.zfill(4)))  # 001 -> 0001; e0032 stays
        own = existing(*(labels / f"{n}RefStd.nrrd" for n in names))
        artery = existing(vessels / f"{name}.nii.gz", vessels / f"{name}.nrrd")
        ref = one_scan(path, case, options)
        return masks.source(ref, f"{images.name}/{path.name}", own_label=own, own_artery=artery)

    return cases_at(scans_in(images), source_of, f"scan in {images}")
