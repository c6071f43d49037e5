"""Predict by one predictor for all arms, choose the operating point on validation scans, score the others."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from budget.arms import Arm
from budget.data import Cohort, run, scans_alone
from numpy.typing import NDArray
from scipy import ndimage

from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.metrics.case_scores import evaluate_case
from pe_nnunet.metrics.froc import Pool, ScanHits
from pe_nnunet.metrics.markers import markers_of_findings
from pe_nnunet.metrics.protocols import cad_pe_hits, sensitivity_at
from pe_nnunet.volumes import spacing_zyx

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
VOLUMES_MM3 = (0.0, 50.0, 100.0, 200.0, 400.0, 600.0, 1000.0)
FALSE_POSITIVES = (1.0, 2.0, 4.0, 8.0)
EPS_MM = 0.0


@dataclass(frozen=True)
class Predicted:
    """A scan with its probability and truth, (z, y, x)."""

    case_id: str
    probability: NDArray[np.float32]
    truth: NDArray[Any]
    spacing_mm: tuple[float, float, float]

    def findings(self, threshold: float, volume_mm3: float) -> NDArray[Any]:
        """Ids of the emboli at an operating point."""
        settings = FusionSettings(threshold, candidate_threshold=threshold, min_volume_mm3=volume_mm3)
        return find_emboli(self.probability, self.spacing_mm, settings).labels

    def hits(self, findings: NDArray[Any]) -> ScanHits:
        """By the rule of the CAD-PE challenge, without tolerance; a finding's score is its mean probability.

        The highest one is 1 in most findings of a network trained for minutes, and tells them no more apart.
        """
        markers = markers_of_findings(findings, self.probability)
        means = ndimage.mean(self.probability, findings, np.unique(findings[findings > 0]))
        markers = tuple(marker._replace(probability=float(mean)) for marker, mean in zip(markers, means, strict=True))
        return cad_pe_hits(self.case_id, self.truth, markers, self.spacing_mm, (EPS_MM,))[0]


def predict(cohort: Cohort, arm: Arm, models: list[Path], folder: Path) -> dict[str, float]:
    """Write probabilities of the validation and the test scans, unless they are there.

    Args:
        cohort: The scans.
        arm: Whose dataset and margin it is.
        models: Of several, how much each counts is chosen on the validation scans first.
        folder: Where they go.

    Returns:
        Seconds of each test scan.
    """
    environment = cohort.environment(folder / "unused")
    common = ["-m", *map(str, models), "-f", "0", "-device", cohort.device, "--disable_tta", "--trust-checkpoint"]
    weights = folder / "fusion.json"
    if len(models) > 1 and not weights.exists():
        folder.mkdir(parents=True, exist_ok=True)
        run(["pe-nnunet", "calibrate", *common, "--target-fp", "2", "--output", str(weights)], environment)
    for name, studies, cases in (
        ("validation", cohort.train, cohort.validation_cases(arm)),
        ("test", cohort.test, None),
    ):
        out = folder / name
        scans = scans_alone(studies, cases, folder / f"{name}_scans")
        if {path.name for path in scans.iterdir()} <= _seconds(out).keys():
            continue
        command = ["pe-nnunet", "predict-fused", "-i", str(scans), "-o", str(out), *common]
        command += ["--lung-margin-mm", f"{arm.margin_mm:g}", "--save-probability", "--no-report"]
        run([*command, *(["--fusion", str(weights)] if len(models) > 1 else [])], environment)
    return _seconds(folder / "test")


def _seconds(predicted: Path) -> dict[str, float]:
    table = predicted / "summary.csv"
    if not table.exists():
        return {}
    with table.open() as file:
        return {row["case"]: float(row["seconds"]) for row in csv.DictReader(file)}


def score(cohort: Cohort, folder: Path) -> dict[str, Any]:
    """Choose threshold and smallest finding where the validation scans' mean sensitivity at 1, 2, 4 and 8 false
    positives a scan is highest, and for Dice where their mean Dice is; then score the test scans there."""
    validation = list(read_predicted(folder / "validation", cohort.train))
    points = list(product(THRESHOLDS, VOLUMES_MM3))
    findings = {point: [scan.findings(*point) for scan in validation] for point in points}
    detect = max(points, key=lambda point: _mean_sensitivity(validation, findings[point]))
    outline = max(points, key=lambda point: _mean_dice(validation, findings[point]))
    cases = {}
    for scan in read_predicted(folder / "test", cohort.test):
        hits = scan.hits(scan.findings(*detect))
        cases[scan.case_id] = {
            "patient": cohort.patients.get(scan.case_id, scan.case_id),
            "dice": _dice(scan, scan.findings(*outline)),
            "emboli": [list(pair) for pair in zip(hits.volumes_mm3, hits.embolus_scores, strict=True)],
            "false": list(hits.false_scores),
        }
    return {"detect": list(detect), "outline": list(outline), "cases": cases}


def read_predicted(folder: Path, studies: Path) -> list[Predicted]:
    """The scans of a folder of probabilities, with the truth that lies in a folder a case."""
    scans = []
    for path in sorted(folder.glob("*_probability.nii.gz")):
        case = path.name.removesuffix("_probability.nii.gz")
        truth = sitk.ReadImage(str(next((studies / case).glob("emboli.*"))))
        probability = sitk.GetArrayFromImage(sitk.ReadImage(str(path), sitk.sitkFloat32))
        scans.append(Predicted(case, probability, sitk.GetArrayFromImage(truth), spacing_zyx(truth)))
    return scans


def _mean_sensitivity(scans: list[Predicted], findings: list[NDArray[Any]]) -> float:
    curve = Pool([scan.hits(ids) for scan, ids in zip(scans, findings, strict=True)]).curve()
    return float(np.mean([sensitivity_at(curve, rate, "cad-pe") or 0.0 for rate in FALSE_POSITIVES]))


def _mean_dice(scans: list[Predicted], findings: list[NDArray[Any]]) -> float:
    values = [_dice(scan, ids) for scan, ids in zip(scans, findings, strict=True) if scan.truth.any()]
    return float(np.mean([value or 0.0 for value in values]))


def _dice(scan: Predicted, findings: NDArray[Any]) -> float | None:
    return evaluate_case(findings, scan.truth, scan.spacing_mm).dice if scan.truth.any() else None
