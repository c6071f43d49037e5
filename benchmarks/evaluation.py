"""Time and memory of an evaluation of full-size scans, against whole volumes as AANet's published script takes them.

    python benchmarks/evaluation.py [--scans 20] [--slices 500] [--workers 2]

Scans of 512x512x500 with 10 emboli each, `cad-pe` and `aanet` at eps 0, 2 and 5 mm, surface and instance metrics, 1,000
bootstrap samples. The cohort is written into a temporary folder first, which is not counted. The peer does the part of
`aanet` alone, at the same tolerances: whole volumes dilated and numbered, and compared with each embolus in turn, which
is how the published script works (written anew here).
"""

from __future__ import annotations

import argparse
import math
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from pe_nnunet.evaluation import EvaluationSettings, evaluate_folder
from pe_nnunet.metrics.bootstrap import Resampling

EMBOLI, SPACING_XYZ_MM, EPS_MM = 10, (0.7, 0.7, 0.6), (0.0, 2.0, 5.0)
LIMIT_CORE_S, LIMIT_GIB = 120.0, 2.0  # a minute on two cores


def bench(*, quick: bool) -> list[dict[str, Any]]:
    """Rows of time and memory."""
    scans, slices = (2, 150) if quick else (20, 500)
    with tempfile.TemporaryDirectory() as name:
        folder = write_cohort(Path(name), scans, slices)
        cost, _ = measure(folder, workers=2)
        core = time.process_time()
        whole_volumes(folder / "labels" / "000.nii.gz", folder / "predictions" / "000.nii.gz")
        theirs = (time.process_time() - core) * scans
    data = f"{scans} scans of 512x512x{slices}, {EMBOLI} emboli each, eps 0, 2, 5 mm"
    peer = "whole volumes, `aanet` alone, one scan times their number"
    limits = (None, None) if quick else (LIMIT_CORE_S, LIMIT_GIB)
    return [
        {"what": "evaluation, two workers", "data": data, "unit": "s", "ours": cost.seconds},
        {"what": "its processor time", "data": data, "unit": "core s", "ours": cost.core_seconds, "limit": limits[0]}
        | {"peer": peer, "theirs": theirs},
        {"what": "peak memory of this process and two workers", "data": data, "unit": "GiB", "ours": cost.peak_gib}
        | {"limit": limits[1]},
    ]


@dataclass(frozen=True)
class Cost:
    """Wall time, processor time of all processes, and an upper bound of their memory together."""

    seconds: float
    core_seconds: float
    peak_gib: float


def measure(folder: Path, workers: int) -> tuple[Cost, Any]:
    """What an evaluation costs, and the evaluation."""
    settings = EvaluationSettings(protocols=("cad-pe", "aanet"), eps_mm=EPS_MM, resampling=Resampling())
    wall, core = time.perf_counter(), _core_seconds()
    found = evaluate_folder(folder / "predictions", folder / "labels", settings, workers=workers)
    wall, core = time.perf_counter() - wall, _core_seconds() - core
    assert not found.failures
    unit = 2**30 if sys.platform == "darwin" else 2**20
    # Of the children the largest is known; no more than `workers` of them are alive at a time.
    own, child = (resource.getrusage(who).ru_maxrss / unit for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return Cost(wall, core, own + (workers * child if workers > 1 else 0)), found


def _core_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def whole_volumes(label: Path, prediction: Path) -> int:
    """Hits of one scan at all tolerances, the plain way."""
    grid, found = sitk.ReadImage(str(label)), sitk.GetArrayFromImage(sitk.ReadImage(str(prediction)))
    places = [np.argwhere(found == number).mean(axis=0).astype(int) for number in np.unique(found[found > 0])]
    hits = 0
    for eps in EPS_MM:
        numbered = grid
        if eps:
            radius = [math.ceil(eps / mm) for mm in SPACING_XYZ_MM]
            numbered = sitk.ConnectedComponent(sitk.BinaryDilate(grid > 0, radius, sitk.sitkBall), True)
        truth = sitk.GetArrayFromImage(numbered)
        for embolus in range(1, int(truth.max()) + 1):
            inside = truth == embolus
            hits += any(inside[tuple(place)] for place in places)
    return hits


def write_cohort(folder: Path, scans: int, slices: int) -> Path:
    """Labels and predictions, written by a process of its own, whose memory is not counted as the evaluation's."""
    child = get_context("spawn").Process(target=_write_all, args=(folder, scans, slices))
    child.start()
    child.join()
    assert child.exitcode == 0
    return folder


def _write_all(folder: Path, scans: int, slices: int) -> None:
    for number in range(scans):
        _write(folder, f"{number:03d}", slices)


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
        image.SetSpacing(SPACING_XYZ_MM)
        (folder / name).mkdir(exist_ok=True)
        sitk.WriteImage(image, str(folder / name / f"{case}.nii.gz"), useCompression=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=20)
    parser.add_argument("--slices", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        cost, found = measure(write_cohort(Path(name), args.scans, args.slices), args.workers)
    print(
        f"{args.scans} scans of 512x512x{args.slices}: {cost.seconds:.1f} s, {cost.core_seconds:.1f} core s, "
        f"peak memory {cost.peak_gib:.2f} GiB"
    )
    for detection in found.detections:
        print(f"  {detection.protocol:<7} eps {detection.eps_mm:g} mm  score {detection.score}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
