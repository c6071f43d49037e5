"""Time and memory of an evaluation: scans of 512x512x500 with 10 emboli each, three tolerances.

    python benchmarks/evaluation.py [--scans 20] [--slices 500]

Writes the cohort into a temporary folder first, which is not counted. Prints the seconds, the CPU seconds and the peak
memory of the evaluation under `cad-pe` and `aanet` at eps 0, 2 and 5 mm with 1,000 bootstrap samples.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from pe_nnunet.evaluation import EvaluationSettings, Resampling, evaluate_folder

EMBOLI = 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=20)
    parser.add_argument("--slices", type=int, default=500)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(args.scans):
            _write(folder, f"{number:03d}", args.slices)
        settings = EvaluationSettings(protocols=("cad-pe", "aanet"), eps_mm=(0.0, 2.0, 5.0), resampling=Resampling())
        wall, cpu = time.perf_counter(), time.process_time()
        found = evaluate_folder(folder / "predictions", folder / "labels", settings)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert len(found.cases) == args.scans
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    print(f"{args.scans} scans of 512x512x{args.slices}: {wall:.1f} s, CPU {cpu:.1f} s, peak memory {peak_gib:.2f} GiB")
    for detection in found.detections:
        print(f"  {detection.protocol:<7} eps {detection.eps_mm:g} mm  score {detection.score}")
    return 0


def _write(folder: Path, case: str, slices: int) -> None:
    """Emboli as boxes of up to 20 mm, most of them found a little off, and half as many false findings."""
    random = np.random.default_rng(int(case))
    truth, found = (np.zeros((slices, 512, 512), np.uint8) for _ in range(2))
    for number in range(1, EMBOLI + 1):
        half = random.integers(2, 15, 3)
        centre = np.array([random.integers(20, n - 20) for n in truth.shape])
        truth[tuple(slice(c - h, c + h) for c, h in zip(centre, half, strict=True))] = number
        if random.random() < 0.8:
            centre = np.clip(centre + random.integers(-4, 5, 3), 16, np.array(truth.shape) - 16)
            found[tuple(slice(c - h, c + h) for c, h in zip(centre, half, strict=True))] = number
        centre = np.array([random.integers(20, n - 20) for n in truth.shape])
        if number <= EMBOLI // 2:
            found[tuple(slice(c - 3, c + 3) for c in centre)] = EMBOLI + number
    for name, array in (("labels", truth), ("predictions", found)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((0.7, 0.7, 0.6))
        (folder / name).mkdir(exist_ok=True)
        sitk.WriteImage(image, str(folder / name / f"{case}.nii.gz"), useCompression=True)


if __name__ == "__main__":
    raise SystemExit(main())
