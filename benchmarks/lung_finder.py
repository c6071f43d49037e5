"""The lung finder on a folder of cases with true lung and embolus masks: time, Dice, box volume, emboli outside.

    python benchmarks/lung_finder.py RENDERED [--margin 10]

RENDERED holds one folder a case with ct, lung and emboli (.nii.gz or .nrrd), as the phantom command writes them. The
box ratio is the volume of the found box against that of the tight box around the true lungs with the same margin.
Exits 1 if an embolus voxel lies outside a box, a ratio exceeds 1.25, or a scan takes over 2 s on two threads.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from pe_nnunet.roi import Box, find_roi
from pe_nnunet.volumes import spacing_zyx

MOST_RATIO, MOST_SECONDS = 1.25, 2.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rendered", type=Path)
    parser.add_argument("--margin", type=float, default=10.0, help="mm")
    args = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(2)
    print(f"{'case':<12}{'size (x, y, z)':>18}{'seconds':>9}{'cpu':>7}{'Dice':>8}{'ratio':>7}{'outside':>9}  notes")
    failed = False
    for folder in sorted(path for path in args.rendered.iterdir() if path.is_dir()):
        image = _read(folder, "ct")
        lung = sitk.GetArrayFromImage(_read(folder, "lung")) > 0
        emboli = sitk.GetArrayFromImage(_read(folder, "emboli")) > 0
        wall, cpu = time.perf_counter(), time.process_time()
        roi = find_roi(image, margin_mm=args.margin)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        assert roi.lungs is not None
        found = sitk.GetArrayFromImage(roi.lungs.mask) > 0
        tight = Box.around(lung)
        assert tight is not None, folder
        ratio = roi.box.voxels / tight.grown(args.margin, spacing_zyx(image), lung.shape).voxels
        outside = int(np.count_nonzero(emboli)) - int(np.count_nonzero(emboli[roi.box.slices]))
        dice = 2 * np.count_nonzero(found & lung) / (np.count_nonzero(found) + np.count_nonzero(lung))
        failed |= outside > 0 or ratio > MOST_RATIO or min(wall, cpu) > MOST_SECONDS
        notes = " ".join(note.code for note in roi.notes)
        size = "x".join(map(str, image.GetSize()))
        print(
            f"{folder.name:<12}{size:>18}{wall:>9.2f}{cpu:>7.2f}{dice:>8.4f}{ratio:>7.3f}{outside:>9}  {notes}",
            flush=True,
        )
    return int(failed)


def _read(folder: Path, name: str) -> sitk.Image:
    for suffix in (".nii.gz", ".nrrd"):
        if (folder / (name + suffix)).is_file():
            return sitk.ReadImage(str(folder / (name + suffix)))
    raise SystemExit(f"{folder} has no {name}.nii.gz or {name}.nrrd")


if __name__ == "__main__":
    raise SystemExit(main())
