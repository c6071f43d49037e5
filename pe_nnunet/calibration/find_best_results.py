"""What `find-best` has chosen: JSON, a table, and the command that predicts in this way."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pe_nnunet import __version__
from pe_nnunet.calibration.counts import COMMON_VOXELS, EMBOLI, FINDINGS, FOUND, TRUE, TRUE_VOXELS, VOXELS
from pe_nnunet.calibration.find_best import Candidate
from pe_nnunet.cases import CaseFailure
from pe_nnunet.errors import Note
from pe_nnunet.inference.locate import FINAL
from pe_nnunet.metrics.cohort_scores import CohortScores
from pe_nnunet.metrics.ratios import f1

SHOWN = 10


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
    words += [] if len(models) == 1 else ["--model-weights", *["1"] * len(models)]  # whatever fusion.json has
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
