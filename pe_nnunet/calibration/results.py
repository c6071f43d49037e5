"""What was chosen: `fusion.json` and a text from `pe-nnunet calibrate`; JSON, table and command from `find-best`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pe_nnunet import __version__
from pe_nnunet.calibration.counts import COMMON_VOXELS, EMBOLI, FINDINGS, FOUND, TRUE, TRUE_VOXELS, VOXELS
from pe_nnunet.calibration.find_best import Candidate
from pe_nnunet.calibration.search import MIN_SCANS, Calibration, OperatingPoint
from pe_nnunet.cases import CaseFailure
from pe_nnunet.errors import InputError, Note
from pe_nnunet.files import atomic_json
from pe_nnunet.fusion.model_weights import normalised
from pe_nnunet.fusion.stored import FORMAT, NAME, OperatingPoints
from pe_nnunet.inference.locate import FINAL
from pe_nnunet.metrics.cohort_scores import CohortScores
from pe_nnunet.metrics.ratios import f1

SHOWN = 10
NOTHING_CHOSEN = ("PE-FUS-002", "PE-FUS-006", "PE-FUS-010")


def write_fusion(
    folder: Path,
    found: Calibration,
    ensemble: Sequence[str],
    chosen_on: Mapping[str, Any],
    *,
    weights: Sequence[float] | None = None,
    file: Path | None = None,
) -> Path:
    """Write `fusion.json`.

    Args:
        folder: A model folder.
        found: What was chosen.
        ensemble: Names of the model folders.
        chosen_on: Scans, folds, models, detector: whatever a person needs to judge it.
        weights: How much each of the models counts, in their order; None for all alike.
        file: Where to instead of the model folder.

    Returns:
        The file.

    Raises:
        OutputError: If it cannot be written.
    """
    boxes = None
    if found.boxes is not None:
        boxes = {"confidence": found.boxes.settings.box_confidence} | asdict(found.boxes)
        del boxes["settings"]
    path = file or folder / NAME
    shares = normalised([1.0] * len(ensemble) if weights is None else weights, ensemble)
    atomic_json(
        path,
        {
            "format": FORMAT,
            "objective": _objective(found),
            "segmentation": _points(found.segmentation),
            "fusion": None if found.fusion is None else _points(found.fusion),
            "boxes": boxes,
            "detection": None if found.detection is None else asdict(found.detection),
            "ensemble": sorted(ensemble),
            "model_weights": dict(sorted(zip(ensemble, shares, strict=True))),
            "chosen_on": dict(chosen_on),
        },
    )
    return path


def _points(points: OperatingPoints[OperatingPoint]) -> dict[str, Any]:
    budgets = [{"target_fp": budget, **_rounded(point)} for budget, point in points.budgets.items()]
    return {**_rounded(points.chosen), "budgets": budgets}


def _rounded(point: OperatingPoint) -> dict[str, Any]:
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in asdict(point).items()}


def _objective(found: Calibration) -> str:
    if found.max_fp_per_scan is None:
        return "F1 of emboli"
    return f"sensitivity at {found.max_fp_per_scan:g} false positives a scan"


@contextmanager
def naming_older(*files: Path) -> Iterator[None]:
    """Let the error that nothing can be chosen name what an earlier choice has left, which stays as it is."""
    try:
        yield
    except InputError as error:
        older = " and ".join(str(path) for path in files if path.is_file())
        if error.code not in NOTHING_CHOSEN or not older:
            raise
        raise InputError(error.code, error.message, f"{error.hint}; {older}, chosen earlier, stays as it is") from error


def calibration_text(found: Calibration, scans: int, shift: Mapping[str, Any] | None) -> str:
    """What was chosen, for a person.

    Args:
        found: What was chosen.
        scans: On how many scans.
        shift: From `measure_shift`; None where it was not measured.
    """
    best = found.best
    lines = [f"highest {_objective(found)} on {scans} scans with {best.chosen.emboli} emboli:"]
    if found.fusion is None or found.detection is None:
        lines.append(f"    {_point(best.chosen)}")
    else:
        test = found.detection
        helps = f"on fewer than {MIN_SCANS} scans nothing shows whether boxes help: they get weight zero"
        if scans >= MIN_SCANS:
            helps = (
                f"gain {test.gain:+.3f} on scans it was not chosen on, positive in {test.certainty:.0%} of resamples: "
                f"boxes {'count' if test.helps else 'get weight zero'}"
            )
        alone = "PE-FUS-011: no confidence can be chosen, as no box finds an embolus"
        if found.boxes is not None:
            alone = f"from confidence {found.boxes.settings.box_confidence:g}: {_outcome(found.boxes)}"
        lines += [
            f"    segmentation alone, {_point(found.segmentation.chosen)}",
            f"    detection alone, {alone}",
            f"    both, {_point(found.fusion.chosen)}",
            f"    {helps}",
        ]
    lines += [f"at most {n:g} false positives a scan: {_point(point)}" for n, point in best.budgets.items()]
    if shift is not None:
        lines += [
            f"on {shift['scans']} further scans with {shift['emboli']} emboli: single folds find "
            f"{_percent(shift['single_sensitivity'])} with {shift['single_fp_per_scan']:.2f} false positives a scan, "
            f"their mean {_percent(shift['mean_sensitivity'])} with {shift['mean_fp_per_scan']:.2f}",
            f"    the mean comes nearest to the single folds' false positives at threshold "
            f"{shift['equal_threshold']:g} instead of {shift['threshold']:g}",
        ]
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _point(point: OperatingPoint) -> str:
    s = point.settings
    boxes = ""
    if s.uses_detection:
        boxes = f", boxes from {s.box_confidence:g}: {s.box_weight:g}, without -{s.no_box_penalty:g}"
    return f"threshold {s.threshold:g}, seed {s.seed:g}, from {s.min_volume_mm3:g} mm3{boxes}: {_outcome(point)}"


def _outcome(point: OperatingPoint) -> str:
    return (
        f"{point.found} of {point.emboli} emboli, {point.false_positives_per_scan:.2f} false positives a scan, "
        f"F1 {point.f1:.2f}"
    )


def predict_command(candidate: Candidate, dataset: str, folds: Sequence[str], checkpoint: str = FINAL) -> str:
    """The `pe-nnunet-predict-fused` that finds emboli in new scans in this way.

    Args:
        candidate: Models and settings.
        dataset: Its id or name.
        folds: Of each model.
        checkpoint: Of each fold; nnU-Net's final one need not be named.

    Example:
        >>> from pe_nnunet.fusion import FusionSettings
        >>> candidate = ("T__P__3d_fullres",), FusionSettings(0.4)
        >>> predict_command(candidate, "501", ["0", "1"])
        'pe-nnunet-predict-fused -i STUDY -o OUT -d 501 -tr T -p P -c 3d_fullres -f 0 1 --threshold 0.4 --min-embolus-mm3 5'
    """  # noqa: E501 - a command is one line
    models, settings = candidate
    trainers, plans, configurations = zip(*(name.split("__") for name in models), strict=True)
    words = ["pe-nnunet-predict-fused", "-i", "STUDY", "-o", "OUT", "-d", dataset]
    words += ["-tr", *trainers, "-p", *plans, "-c", *configurations, "-f", *folds]
    words += [] if checkpoint == FINAL else ["-chk", checkpoint]
    words += ["--threshold", f"{settings.threshold:g}", "--min-embolus-mm3", f"{settings.min_volume_mm3:g}"]
    return shlex.join(words)


def candidate_numbers(counts: NDArray[np.int64]) -> dict[str, float | None]:
    """Of one candidate's counts (scans, 7): ratios as in `CohortScores`, None where there is nothing to count."""
    total: list[int] = counts.sum(axis=0).tolist()
    sensitivity = total[FOUND] / total[EMBOLI] if total[EMBOLI] else None
    precision = total[TRUE] / total[FINDINGS] if total[FINDINGS] else None
    dice = [2 * row[COMMON_VOXELS] / (row[VOXELS] + row[TRUE_VOXELS]) for row in counts.tolist() if row[TRUE_VOXELS]]
    return {
        "sensitivity": sensitivity,
        "false_positives_per_scan": (total[FINDINGS] - total[TRUE]) / len(counts),
        "precision": precision,
        "f1": None if sensitivity is None else f1(sensitivity, precision or 0.0),
        "dice": sum(dice) / len(dice) if dice else None,
    }


def find_best_record(
    candidates: Sequence[Candidate],
    counts: NDArray[np.int64],
    best: int,
    cohort: CohortScores,
    held_out: CohortScores | None,
    failures: Sequence[CaseFailure],
    notes: Sequence[Note] = (),
    **how: Any,
) -> dict[str, Any]:
    """The content of `find_best.json`, in JSON's types.

    Args:
        candidates: In the order in which they were tried.
        counts: (candidates, scans, 7).
        best: Number of the best candidate.
        cohort: Its scores on all scans.
        held_out: Of the choices that were made on the other folds; None with a single fold, or where none can be made.
        failures: Cases that count nowhere.
        notes: What deserves a look.
        **how: `dataset`, `folds` and `most_false_positives_per_scan` as asked for; `labels` as they were read; name of
            the `checkpoint` that was validated.
    """
    rows = [
        {"models": list(models), "threshold": settings.threshold, "min_volume_mm3": settings.min_volume_mm3}
        for models, settings in candidates
    ]
    return {
        **how,
        "best": rows[best],
        "command": predict_command(candidates[best], how["dataset"], how["folds"], how["checkpoint"]),
        "cohort": cohort.to_dict(),
        "held_out": None if held_out is None else held_out.to_dict(),
        "candidates": [row | candidate_numbers(of) for row, of in zip(rows, counts, strict=True)],
        "failures": [asdict(failure) for failure in failures],
        "notes": [asdict(note) for note in notes],
        "version": __version__,
    }


def find_best_table(found: Mapping[str, Any]) -> str:
    """The best settings of each ensemble, the best of all first, and what the choice is worth on other scans.

    Args:
        found: From `find_best_record`.
    """
    by_models: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for row in sorted(found["candidates"], key=lambda row: -(row["f1"] or 0)):
        by_models.setdefault(tuple(row["models"]), row)
    lines = [f"{'threshold':>9}{'mm3':>6}{'sensitivity':>13}{'false+ a scan':>15}{'F1':>7}  models"]
    lines += ["the best of all", _line(found["best"] | found["cohort"])]
    if found["held_out"] is not None:
        lines += ["the same choice, made on the other folds", _line(found["held_out"])]
    lines.append("the settings of the highest F1 for each ensemble")
    return "\n".join([*lines, *map(_line, list(by_models.values())[:SHOWN])])


def _line(row: Mapping[str, Any]) -> str:
    settings = f"{row['threshold']:>9g}{row['min_volume_mm3']:>6g}" if "models" in row else f"{'':>15}"
    numbers = "".join(
        f"{'-' if value is None else format(value, f'.{digits}f'):>{width}}"
        for value, digits, width in (
            (row["sensitivity"], 3, 13),
            (row["false_positives_per_scan"] or 0, 2, 15),
            (row["f1"], 3, 7),
        )
    )
    return f"{settings}{numbers}  {' + '.join(row.get('models', ()))}".rstrip()
