"""What smaller windows change: emboli found, false findings, Dice, time and voxels computed, by the size of the window.

    python benchmarks/window_sizes.py -m MODEL_FOLDER --windows 32 24 16

Takes a trained model of nnU-Net's folders and the validation scans of one of its folds, which it was not trained on,
and predicts each with windows of the trained patch and of each size, without mirroring. Findings are counted with the
settings of the model's fusion.json, which suit the trained patch, and with those that suit each size best (the highest
F1 of emboli on these very scans).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.calibration.counts import (
    COMMON_VOXELS,
    EMBOLI,
    FINDINGS,
    FOUND,
    TRUE,
    TRUE_VOXELS,
    VOXELS,
    Grid,
    LabelledScan,
    count_findings,
)
from pe_nnunet.calibration.predict_members import predict_members
from pe_nnunet.calibration.search import plain_settings
from pe_nnunet.calibration.validation_cases import cases_of_splits
from pe_nnunet.fusion import FusionSettings
from pe_nnunet.fusion.stored import NAME, read_fusion
from pe_nnunet.inference.device import pick_device
from pe_nnunet.inference.locate import locate_folder
from pe_nnunet.inference.model import TrainedModel, load_model
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.inference.window_size import with_windows
from pe_nnunet.volumes import ScanRef, read_scan, spacing_zyx, to_lps

GRID = Grid(seeds=(0.0,), volumes_mm3=(0, 50, 200, 600, 1000))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", dest="model", type=Path, required=True, help="model folder")
    parser.add_argument("-f", dest="fold", default="0")
    parser.add_argument("--windows", type=int, nargs="+", required=True, help="sides of cubes, in voxels")
    parser.add_argument("--scans", type=int, help="only the first so many")
    args = parser.parse_args()
    compare(args.model, args.fold, args.windows, args.scans)


def compare(folder: Path, fold: str, sides: Sequence[int], scans: int | None) -> None:
    """Print a table after each scan, of all so far."""
    device, location = pick_device(), locate_folder(folder, [fold])
    trained = load_model(location, device)
    models = [replace(trained, window=trained.patch_size)]
    for side in sides:
        models += with_windows([trained], device, InferenceSettings(window=(side,) * 3))[0]
    stored = folder / NAME
    known = read_fusion(stored).at(None, detector=False) if stored.is_file() else FusionSettings()
    settings = [known, *plain_settings(GRID)]
    counts = np.zeros((len(models), len(settings), 7), np.int64)
    times = np.zeros((len(models), 3))
    difference: list[list[float]] = [[] for _ in models]
    for number, case in enumerate(cases_of_splits([folder], [fold], "", None)[:scans], 1):
        image = to_lps(read_scan(ScanRef(case.case_id, "file", case.image, (case.image,))).image)
        ids = sitk.GetArrayFromImage(to_lps(case.truth()))
        whole: NDArray[np.float32] | None = None
        for place, model in enumerate(models):
            began, processor, windows = time.perf_counter(), time.process_time(), [0]

            def count(_part: str, _done: int, of: int, _share: float, windows: list[int] = windows) -> None:
                windows[0] = of

            (found,) = predict_members([model], image, (), device, InferenceSettings(mirroring=False), count)
            computed = windows[0] * prod(model.window_size)
            times[place] += time.perf_counter() - began, time.process_time() - processor, computed / 1e6
            scan = LabelledScan(case.case_id, found, ids, spacing_zyx(image))
            counts[place] += count_findings([scan], settings)[:, 0]
            whole = found if whole is None else whole
            seen = (found > 0.05) | (whole > 0.05)
            difference[place].append(float(np.abs(found - whole)[seen].mean()) if seen.any() else 0.0)
        print(
            f"\n{number} scans, {counts[0, 0, EMBOLI]} emboli, {known}\n{table(models, counts, times, difference)}",
            flush=True,
        )


def table(
    models: Sequence[TrainedModel],
    counts: NDArray[np.int64],
    times: NDArray[np.float64],
    difference: Sequence[Sequence[float]],
) -> str:
    lines = [
        "| window | found | false | Dice | found, settings of its own | false | Dice | mean change of probability | "
        "million voxels computed | CPU seconds | seconds |",
        "| --- " * 11 + "|",
    ]
    for model, rows, (seconds, processor, voxels), changes in zip(models, counts, times, difference, strict=True):
        best = int(np.argmax(f1(rows)))
        lines.append(
            f"| {'x'.join(map(str, model.window_size))} | {findings(rows[0])} | {findings(rows[best])} "
            f"| {np.mean(changes):.3f} | {voxels:.1f} | {processor:.0f} | {seconds:.0f} |"
        )
    return "\n".join(lines)


def f1(rows: NDArray[np.int64]) -> NDArray[np.float64]:
    sensitivity = rows[:, FOUND] / np.maximum(rows[:, EMBOLI], 1)
    precision = rows[:, TRUE] / np.maximum(rows[:, FINDINGS], 1)
    return np.asarray(2 * sensitivity * precision / np.maximum(sensitivity + precision, 1e-9))


def findings(row: NDArray[np.int64]) -> str:
    dice = 2 * row[COMMON_VOXELS] / max(1, row[VOXELS] + row[TRUE_VOXELS])
    return f"{row[FOUND]} of {row[EMBOLI]} | {row[FINDINGS] - row[TRUE]} | {dice:.2f}"


if __name__ == "__main__":
    main()
