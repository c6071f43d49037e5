"""The lung finder: time, Dice, box volume and emboli outside, on a folder of cases; time and memory on a large scan.

    python benchmarks/lung_finder.py RENDERED [--margin 10]
    python benchmarks/lung_finder.py --large

RENDERED holds one folder a case with ct, lung and emboli (.nii.gz or .nrrd), as the phantom command writes them. The
box ratio is the volume of the found box against that of the tight box around the true lungs with the same margin; a box
that was made larger on purpose, with a note, is exempt. Exits 1 if an embolus voxel lies outside a box, a ratio exceeds
1.25, or a scan takes over 2 s on two threads.

--large takes a phantom brought to 512x512x500 voxels of 0.7 mm, five times, and exits 1 if the fastest takes over 1 s
on two threads, or the process ever held over 1.5 GB, the scan included.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from nnunetv2.preprocessing.cropping.cropping import crop_to_nonzero

from pe_nnunet.phantom import PhantomSettings, make_phantom
from pe_nnunet.roi import find_roi
from pe_nnunet.volumes import spacing_zyx
from pe_nnunet.voxels import Box

MAX_RATIO, MAX_SECONDS = 1.25, 2.0
LARGE_XYZ, LARGE_MM, LARGE_SECONDS, LARGE_GB = (512, 512, 500), 0.7, 1.0, 1.5
ENLARGED = {"PE-ROI-002", "PE-ROI-004"}


def bench(*, quick: bool) -> list[dict[str, Any]]:
    """Rows of time and of what is left to look at, on a phantom."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(2)
    spacing = (3.0, 1.5, 1.5) if quick else (1.0, 0.8, 0.8)
    phantom = make_phantom(PhantomSettings(spacing_mm=spacing, negative_fraction=0.0), seed=0, index=0)
    hu = sitk.GetArrayFromImage(phantom.ct)[None].astype(np.float32)
    ours, roi = seconds(lambda: find_roi(phantom.ct))
    theirs, (cropped, _, _) = seconds(lambda: crop_to_nonzero(hu))
    data = f"phantom of {'x'.join(map(str, phantom.ct.GetSize()))}"
    peer = "nnU-Net's crop to what is not zero"
    share, stock = roi.box.voxels / hu.size, cropped.size / hu.size
    return [
        {"what": "lung box", "data": data, "unit": "s", "ours": ours, "peer": peer, "theirs": theirs}
        | {"limit": MAX_SECONDS},
        {"what": "share of the scan that is left", "data": data, "unit": "", "ours": share}
        | {"peer": peer, "theirs": stock},
    ]


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Wall or processor time, whichever is less, as other programs may share the machine; and the outcome."""
    wall, cpu = time.perf_counter(), time.process_time()
    outcome = work()
    return min(time.perf_counter() - wall, time.process_time() - cpu), outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rendered", type=Path, nargs="?")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--margin", type=float, default=10.0, help="mm")
    args = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(2)
    if args.large == (args.rendered is not None):
        parser.error("give either a folder or --large")
    return int(_large() if args.large else _cases(args.rendered, args.margin))


def _cases(rendered: Path, margin_mm: float) -> bool:
    print(f"{'case':<12}{'size (x, y, z)':>18}{'seconds':>9}{'cpu':>7}{'Dice':>8}{'ratio':>7}{'outside':>9}  notes")
    failed = False
    for folder in sorted(path for path in rendered.iterdir() if path.is_dir()):
        image = _read(folder, "ct")
        lung = sitk.GetArrayFromImage(_read(folder, "lung")) > 0
        emboli = sitk.GetArrayFromImage(_read(folder, "emboli")) > 0
        wall, cpu = time.perf_counter(), time.process_time()
        roi = find_roi(image, margin_mm=margin_mm)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        assert roi.lungs is not None
        found = sitk.GetArrayFromImage(roi.lungs.mask) > 0
        tight = Box.around(lung)
        assert tight is not None, folder
        ratio = roi.box.voxels / tight.grown(margin_mm, spacing_zyx(image), lung.shape).voxels
        outside = int(np.count_nonzero(emboli)) - int(np.count_nonzero(emboli[roi.box.slices]))
        dice = 2 * np.count_nonzero(found & lung) / (np.count_nonzero(found) + np.count_nonzero(lung))
        codes = {note.code for note in roi.notes}
        failed |= outside > 0 or (ratio > MAX_RATIO and not codes & ENLARGED) or min(wall, cpu) > MAX_SECONDS
        size = "x".join(map(str, image.GetSize()))
        print(
            f"{folder.name:<12}{size:>18}{wall:>9.2f}{cpu:>7.2f}{dice:>8.4f}{ratio:>7.3f}{outside:>9}  "
            f"{' '.join(sorted(codes))}",
            flush=True,
        )
    return failed


def _large() -> bool:
    from pe_nnunet.phantom import coarse_settings, make_phantom

    made = make_phantom(coarse_settings(), seed=3, index=0).ct
    spacing = [n * s / m for n, s, m in zip(made.GetSize(), made.GetSpacing(), LARGE_XYZ, strict=True)]
    grid = (LARGE_XYZ, sitk.Transform(), sitk.sitkLinear, made.GetOrigin(), spacing, made.GetDirection(), -1000)
    image = sitk.Resample(made, *grid)
    image.SetSpacing([LARGE_MM] * 3)  # a giant, so that all voxels are body at a usual spacing
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        box = find_roi(image).box
        seconds.append(time.perf_counter() - start)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    size = "x".join(map(str, LARGE_XYZ))
    print(f"{size}: fastest of five {min(seconds):.2f} s, slowest {max(seconds):.2f} s, peak {peak_gb:.2f} GB, {box}")
    return min(seconds) > LARGE_SECONDS or peak_gb > LARGE_GB


def _read(folder: Path, name: str) -> sitk.Image:
    for suffix in (".nii.gz", ".nrrd"):
        if (folder / (name + suffix)).is_file():
            return sitk.ReadImage(str(folder / (name + suffix)))
    raise SystemExit(f"{folder} has no {name}.nii.gz or {name}.nrrd")


if __name__ == "__main__":
    raise SystemExit(main())
