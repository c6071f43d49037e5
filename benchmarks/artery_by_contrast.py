"""`--artery contrast` against known arteries: python benchmarks/artery_by_contrast.py SCANS [CASE ...]

SCANS holds study folders with ct, emboli, artery and vein, as `pe-nnunet phantom` writes them. A line a case: Dice and
recall against artery with clot, and which share of the result is artery, vein, and neither.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from pe_nnunet.dataset_conversion.contrast_arteries import contrast_artery_mask
from pe_nnunet.errors import InputError
from pe_nnunet.roi import crop, find_roi
from pe_nnunet.volumes import to_lps


def main(scans: Path, names: list[str]) -> None:
    rows = []
    print(f"{'case':<14}{'Dice':>6}{'recall':>8}{'artery':>8}{'vein':>6}{'other':>7}{'s':>6}")
    for case in sorted(path for path in scans.iterdir() if path.is_dir() and (not names or path.name in names)):
        image = to_lps(sitk.ReadImage(str(case / "ct.nii.gz")))
        roi = find_roi(image)
        ids, artery, vein = (
            sitk.GetArrayFromImage(crop(to_lps(sitk.ReadImage(str(case / f"{name}.nii.gz"))), roi.box))
            for name in ("emboli", "artery", "vein")
        )
        lungs = None if roi.lungs is None else crop(roi.lungs.mask, roi.box)
        begun = time.perf_counter()
        try:
            found = contrast_artery_mask(crop(image, roi.box), lungs, ids)
        except InputError as error:
            print(f"{case.name:<14}{error}")
            continue
        seconds = time.perf_counter() - begun
        truth = (artery > 0) | (ids > 0)
        hit, size = np.count_nonzero(found & truth), np.count_nonzero(found)
        in_vein = np.count_nonzero(found & (vein > 0) & ~truth) / size
        rows.append((2 * hit / (size + truth.sum()), hit / truth.sum(), hit / size, in_vein, 1 - hit / size - in_vein))
        line = "".join(f"{value:>{width}.2f}" for value, width in zip(rows[-1], (6, 8, 8, 6, 7), strict=True))
        print(f"{case.name:<14}{line}{seconds:>6.0f}", flush=True)
    if rows:
        print(
            f"{'median':<14}"
            + "".join(f"{v:>{w}.2f}" for v, w in zip(np.median(rows, 0), (6, 8, 8, 6, 7), strict=True))
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
