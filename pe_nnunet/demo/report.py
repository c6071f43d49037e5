"""The end of the chain: the network beside a threshold, in a table and a picture, against the goals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.evaluation import CaseScores, CohortScores, evaluate_case, evaluate_folder, summarise
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.outputs import CohortRow, cohort_picture
from pe_nnunet.phantom.baseline import threshold_baseline
from pe_nnunet.volumes import find_scans, read_label, read_scan, spacing_zyx

GOALS = {"Dice": 0.4, "embolus sensitivity": 0.5, "false positives a scan": 4.0}
BASELINE_THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


@dataclass(frozen=True)
class Report:
    """What the chain came to.

    Attributes:
        network: Scores of the trained model on the held-out scans.
        baseline: Scores of the threshold on the same scans.
        text: Both as a table, with the times of the steps.
        picture: PNG with truth and prediction of every held-out scan.
        missed: Goals that were not reached.
    """

    network: CohortScores
    baseline: CohortScores
    text: str
    picture: Path
    missed: tuple[str, ...]


def make_report(out: Path, truth: Path, seconds: Mapping[str, float], min_embolus_mm3: float) -> Report:
    """Score the predictions in `out/predictions` and the threshold, and draw the held-out scans.

    Args:
        out: The demo's folder.
        truth: One folder a case with `emboli.nii.gz`.
        seconds: What each step took.
        min_embolus_mm3: Smallest finding that the prediction kept; the threshold is held to the same.

    Raises:
        PEError: If predictions or truth cannot be read.
    """
    evaluation = evaluate_folder(out / "predictions", truth)
    baseline, threshold = _best_baseline(out / "scans" / "to_predict", truth, min_embolus_mm3)
    by_case = {case.case_id: case for case in evaluation.cases}
    picture = out / "overview.png"
    cohort_picture(_rows(out, truth, by_case), picture, title="Held-out scans: what the network found, and the truth")
    missed = _missed(evaluation.cohort, baseline)
    text = "\n".join(
        [
            "",
            _table({"TAR-UNet": evaluation.cohort, f"threshold ({threshold:.1f}, its best here)": baseline}),
            "",
            "Dice: mean over scans with emboli. No clinical result."
            + (
                " Synthetic scans of 2.5 mm with emboli of 0.4 ml and more."
                if (truth / "phantom.json").is_file()
                else ""
            ),
            f"steps: {', '.join(f'{title} {value:.0f} s' for title, value in seconds.items())}",
            f"per scan: {out / 'predictions'}  scores: {out / 'scores' / 'summary.json'}",
            f"picture: {picture}",
        ]
    )
    return Report(evaluation.cohort, baseline, text, picture, missed)


def _best_baseline(scans: Path, truth: Path, min_embolus_mm3: float) -> tuple[CohortScores, float]:
    """The threshold baseline at the threshold that suits it best on these very scans, which favours it."""
    looks = []
    for ref in find_scans(scans):
        image = read_scan(ref).image
        looks.append((ref.case_id, threshold_baseline(image), _truth(truth, ref.case_id), spacing_zyx(image)))
    scored = {
        threshold: summarise(
            [_score(*look, FusionSettings(threshold=threshold, min_volume_mm3=min_embolus_mm3)) for look in looks]
        )
        for threshold in BASELINE_THRESHOLDS
    }
    best = max(scored, key=lambda threshold: (scored[threshold].f1 or 0, scored[threshold].dice or 0))
    return scored[best], best


def _score(
    case: str,
    look: NDArray[np.float32],
    truth: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    settings: FusionSettings,
) -> CaseScores:
    found = find_emboli(look, spacing_mm, settings)
    return evaluate_case(found.labels, truth, spacing_mm, case_id=case)


def _truth(truth: Path, case: str) -> NDArray[Any]:
    return np.asarray(sitk.GetArrayFromImage(_truth_image(truth, case)))


def _truth_image(truth: Path, case: str) -> sitk.Image:
    return read_label(next(iter(sorted((truth / case).glob("emboli.*")))))


def _rows(out: Path, truth: Path, scores: Mapping[str, CaseScores]) -> Iterator[CohortRow]:
    for ref in find_scans(out / "scans" / "to_predict"):
        case = scores.get(ref.case_id)
        if case is None:
            continue
        dice = f"Dice {case.dice:.2f}, " if case.positive and case.dice is not None else ""
        yield CohortRow(
            ref.case_id,
            read_scan(ref).image,
            read_label(out / "predictions" / f"{ref.case_id}.nii.gz"),
            _truth_image(truth, ref.case_id),
            f"{dice}{case.found} of {case.emboli} emboli, {case.false_positives} false",
        )


def _table(rows: Mapping[str, CohortScores]) -> str:
    head = ("", "Dice", "emboli found", "sensitivity", "false+ a scan", "F1", "false+ a negative scan")
    lines = [head]
    for name, scores in rows.items():
        negatives = scores.negatives
        lines.append(
            (
                name,
                _number(scores.dice),
                f"{scores.found} of {scores.emboli}",
                _number(scores.sensitivity),
                _number(scores.false_positives_per_scan),
                _number(scores.f1),
                f"{_number(negatives.false_positives_per_scan)} ({negatives.scans} scans)",
            )
        )
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    return "\n".join(
        "  ".join(
            f"{cell:<{w}}" if place == 0 else f"{cell:>{w}}"
            for place, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _missed(network: CohortScores, baseline: CohortScores) -> tuple[str, ...]:
    dice, sensitivity = network.dice or 0.0, network.sensitivity or 0.0
    false = network.false_positives_per_scan or 0.0
    checks = {
        f"Dice {dice:.2f}, expected {GOALS['Dice']} or more": dice >= GOALS["Dice"],
        f"embolus sensitivity {sensitivity:.2f}, expected {GOALS['embolus sensitivity']} or more": sensitivity
        >= GOALS["embolus sensitivity"],
        f"{false:.1f} false positives a scan, expected {GOALS['false positives a scan']:.0f} or fewer": false
        <= GOALS["false positives a scan"],
        f"F1 {network.f1 or 0:.2f}, expected twice the threshold's {baseline.f1 or 0:.2f} or more": (network.f1 or 0)
        >= 2 * (baseline.f1 or 0),
    }
    return tuple(text for text, reached in checks.items() if not reached)
