"""The end of the chain: every method beside a threshold, in a table and a picture, against the goals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pe_nnunet.demo.methods import held_out_scans, score_baseline, score_parts
from pe_nnunet.demo.settings import DemoSettings
from pe_nnunet.evaluation import evaluate_folder
from pe_nnunet.fusion import FusionSettings
from pe_nnunet.fusion.stored import StoredFusion
from pe_nnunet.metrics.case_scores import CaseScores
from pe_nnunet.metrics.cohort_scores import CohortScores
from pe_nnunet.outputs import CohortRow, cohort_picture
from pe_nnunet.volumes import read_label

GOALS = {"Dice": 0.4, "embolus sensitivity": 0.5, "false positives a scan": 4.0}


def make_report(
    out: Path,
    seconds: Mapping[str, float],
    points: StoredFusion | None,
    settings: DemoSettings,
) -> tuple[str, tuple[str, ...]]:
    """Score the predictions in `out/predictions`, their parts and the threshold, and draw the held-out scans.

    Args:
        out: The demo's folder.
        seconds: What each step took.
        points: The calibrated operating points; None if nothing was calibrated.
        settings: What the chain ran on.

    Returns:
        All methods as a table, with the times of the steps; and the goals that were not reached.

    Raises:
        PEError: If predictions or truth cannot be read.
    """
    truth, detector = out / "scans" / "test", settings.detector is not None
    evaluation = evaluate_folder(out / "predictions", truth)
    used = FusionSettings() if points is None else points.at(None, detector=detector)
    smallest = used.min_volume_mm3 if settings.min_embolus_mm3 is None else settings.min_embolus_mm3
    baseline, threshold = score_baseline(out, smallest)
    rows = {f"threshold ({threshold:.1f}, its best here)": baseline}
    if detector and points is not None:
        rows["segmentation alone: TAR-UNet"], rows["detection alone: YOLO's boxes"] = score_parts(out, points)
        rows["both, fused" if used.uses_detection else "both: boxes have weight zero"] = evaluation.cohort
    else:
        rows["TAR-UNet"] = evaluation.cohort
    picture = out / "overview.png"
    by_case = {case.case_id: case for case in evaluation.cases}
    cohort_picture(_rows(out, by_case), picture, title="Held-out scans: what was found, and the truth")
    text = "\n".join(
        [
            "",
            table(rows),
            "",
            *_remarks(phantoms=settings.studies is None, boxes=detector),
            f"steps: {', '.join(f'{title} {value:.0f} s' for title, value in seconds.items())}",
            f"per scan: {out / 'predictions'}  scores: {out / 'scores' / 'summary.json'}",
            f"picture: {picture}",
        ]
    )
    return text, missed_goals(evaluation.cohort, baseline)


def missed_goals(result: CohortScores, baseline: CohortScores) -> tuple[str, ...]:
    """The goals of the demo that were not reached, each as a line for a person."""
    dice, sensitivity = result.dice or 0.0, result.sensitivity or 0.0
    false = result.false_positives_per_scan or 0.0
    checks = {
        f"Dice {dice:.2f}, expected {GOALS['Dice']} or more": dice >= GOALS["Dice"],
        f"embolus sensitivity {sensitivity:.2f}, expected {GOALS['embolus sensitivity']} or more": sensitivity
        >= GOALS["embolus sensitivity"],
        f"{false:.1f} false positives a scan, expected {GOALS['false positives a scan']:.0f} or fewer": false
        <= GOALS["false positives a scan"],
        f"F1 {result.f1 or 0:.2f}, expected twice the threshold's {baseline.f1 or 0:.2f} or more": (result.f1 or 0)
        >= 2 * (baseline.f1 or 0),
    }
    return tuple(text for text, reached in checks.items() if not reached)


def _remarks(*, phantoms: bool, boxes: bool) -> list[str]:
    """What a person should know of the numbers."""
    lines = ["Dice: mean over scans with emboli. No clinical result."]
    if phantoms:
        lines[0] += " Synthetic scans of 3 mm with emboli of 1 ml and more."
    if boxes:
        lines += [
            "Each network stands at the operating point that was chosen for it on validation scans; the threshold",
            "is told the answers. Boxes outline nothing, hence their Dice; several on one embolus are all true, hence",
            "their F1.",
        ]
    return lines


def _rows(out: Path, scores: Mapping[str, CaseScores]) -> Iterator[CohortRow]:
    for name, image, truth in held_out_scans(out):
        case = scores.get(name)
        if case is None:
            continue
        dice = f"Dice {case.dice:.2f}, " if case.positive and case.dice is not None else ""
        yield CohortRow(
            name,
            image,
            read_label(out / "predictions" / f"{name}.nii.gz"),
            truth,
            f"{dice}{case.found} of {case.emboli} emboli, {case.false_positives} false",
        )


HEAD = ("", "Dice", "emboli found", "sensitivity", "false+ a scan", "F1", "false+ a negative scan")


def table(rows: Mapping[str, CohortScores]) -> str:
    """One line a method, in columns.

    Args:
        rows: By name.
    """
    lines = [HEAD, *(_line(name, scores) for name, scores in rows.items())]
    widths = [max(len(line[place]) for line in lines) for place in range(len(HEAD))]
    return "\n".join(
        "  ".join(
            f"{cell:<{w}}" if place == 0 else f"{cell:>{w}}"
            for place, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _line(name: str, scores: CohortScores) -> tuple[str, ...]:
    return (
        name,
        _number(scores.dice),
        f"{scores.found} of {scores.emboli}",
        _number(scores.sensitivity),
        _number(scores.false_positives_per_scan),
        _number(scores.f1),
        f"{_number(scores['negative_false_positives_per_scan'])} ({scores['negative_scans']} scans)",
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
