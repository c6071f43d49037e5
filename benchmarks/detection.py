"""What a trained detector finds in studies with exact truth, emboli at the price of false boxes, and the lungs.

    .venv/bin/python benchmarks/detection.py --detector FOLDER --studies STUDIES

STUDIES is a folder as `pe-nnunet phantom` writes it: one folder a case with a scan, `emboli.nii.gz` and `lung.nii.gz`.
An embolus is found by a tube that holds at least a quarter of its voxels; a tube that holds no embolus voxel is false.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pe_nnunet.detection import Detections, detect, load_detector, tube_confidence
from pe_nnunet.volumes import find_scans, read_label, read_scan, to_lps

HELD = 0.25  # of an embolus' voxels
THRESHOLDS = (0.05, 0.1, 0.25, 0.5)
BUDGETS = (0.5, 1, 2, 4, 8)


@dataclass(frozen=True)
class Case:
    """One scan.

    Attributes:
        emboli: For each embolus the confidence of the surest tube that finds it, 0 if none does.
        false: Confidence of each false tube.
        lungs: Share of the lung voxels inside the lung box.
        clot: Share of the embolus voxels inside the lung box, NaN where there are none.
        box: Share of the scan that the lung box takes.
        seconds: Of the detection.
    """

    emboli: list[float]
    false: list[float]
    lungs: float
    clot: float
    box: float
    seconds: float


def score(found: Detections, ids: npt.NDArray[np.integer], lung: npt.NDArray[np.bool_], seconds: float = 0.0) -> Case:
    held = {int(k): 0.0 for k in np.unique(ids[ids > 0])}
    false = []
    sizes = np.bincount(ids.ravel())
    for tube in found.emboli:
        inside = np.bincount(ids[tube_confidence([tube], ids.shape) > 0], minlength=len(sizes))
        if not inside[1:].any():
            false.append(tube.confidence)
        for k in held:
            if inside[k] >= HELD * sizes[k]:
                held[k] = max(held[k], tube.confidence)
    box = np.zeros(ids.shape, bool)
    if found.lungs is not None:
        box[found.lungs.slices] = True
    clot = float(box[ids > 0].mean()) if held else float("nan")
    return Case(list(held.values()), false, float(box[lung].mean()), clot, float(box.mean()), seconds)


def recall_at(cases: list[Case], threshold: float) -> tuple[float, float]:
    """Share of emboli found, and false tubes a scan, of tubes at least this sure."""
    emboli = [value for case in cases for value in case.emboli]
    false = sum(value >= threshold for case in cases for value in case.false)
    return sum(value >= threshold for value in emboli) / max(1, len(emboli)), false / len(cases)


def recall_at_budget(cases: list[Case], budget: float) -> float:
    """The highest share of emboli found with at most so many false tubes a scan."""
    levels = sorted({value for case in cases for value in (*case.emboli, *case.false) if value > 0})
    within = [recall_at(cases, level) for level in levels]
    return max((recall for recall, false in within if false <= budget), default=0.0)


def measure(detector_folder: Path, studies: Path) -> list[Case]:
    detector = load_detector(detector_folder)
    cases = []
    for study in sorted(path for path in studies.iterdir() if (path / "emboli.nii.gz").is_file()):
        (scan,) = find_scans(next(path for path in (study / "ct", study / "ct.nii.gz") if path.exists()))
        image = to_lps(read_scan(scan).image)
        ids, lung = (
            sitk.GetArrayFromImage(to_lps(read_label(study / f"{name}.nii.gz"))) for name in ("emboli", "lung")
        )
        started = time.perf_counter()
        found = detect(image, detector)
        cases.append(score(found, ids, lung > 0, time.perf_counter() - started))
        print(f"{study.name}: {cases[-1]}", flush=True)
    return cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", type=Path, required=True)
    parser.add_argument("--studies", type=Path, required=True)
    args = parser.parse_args()
    cases = measure(args.detector, args.studies)
    print(f"{len(cases)} scans, {sum(len(case.emboli) for case in cases)} emboli")
    for threshold in THRESHOLDS:
        recall, false = recall_at(cases, threshold)
        print(f"confidence {threshold:g}: {recall:.0%} of the emboli found, {false:.2f} false tubes a scan")
    for budget in BUDGETS:
        print(f"at most {budget:g} false tubes a scan: {recall_at_budget(cases, budget):.0%} of the emboli found")
    for name, what in {
        "lungs": "of the lungs inside",
        "clot": "of the clot inside",
        "box": "of the scan taken",
    }.items():
        values = np.array([getattr(case, name) for case in cases])
        print(f"lung box, share {what}: mean {np.nanmean(values):.3f}, least {np.nanmin(values):.3f}")
    print(f"{np.mean([case.seconds for case in cases]):.1f} s a scan")


if __name__ == "__main__":
    main()
