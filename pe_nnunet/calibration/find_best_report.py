"""The outcome of `pe-nnunet find-best`: as JSON, as a table, and as the command that predicts that way."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pe_nnunet import __version__
from pe_nnunet.calibration.find_best import Best, Candidate, cohort_of
from pe_nnunet.cases import CaseFailure
from pe_nnunet.metrics.case_scores import CaseScores
from pe_nnunet.metrics.cohort_scores import CohortScores

SHOWN = 10
NUMBERS = ("sensitivity", "false_positives_per_scan", "precision", "f1", "dice")


def command(candidate: Candidate, dataset: str, folds: Sequence[str]) -> str:
    """The `pe-nnunet-predict-fused` that finds emboli in new scans in this way.

    Example:
        >>> command(Candidate(("T__P__3d_fullres",), 0.4, 5.0), "501", ["0", "1"])
        'pe-nnunet-predict-fused -i STUDY -o OUT -d 501 -tr T -p P -c 3d_fullres -f 0 1 --threshold 0.4 --min-embolus-mm3 5'
    """  # noqa: E501 - a command is one line
    trainers, plans, configurations = zip(*(name.split("__") for name in candidate.models), strict=True)
    words = ["pe-nnunet-predict-fused", "-i", "STUDY", "-o", "OUT", "-d", dataset]
    words += ["-tr", *trainers, "-p", *plans, "-c", *configurations, "-f", *folds]
    words += ["--threshold", f"{candidate.threshold:g}", "--min-embolus-mm3", f"{candidate.min_volume_mm3:g}"]
    return shlex.join(words)


def record(
    best: Best,
    scores: Mapping[str, Mapping[Candidate, CaseScores]],
    failures: Sequence[CaseFailure],
    dataset: str,
    folds: Sequence[str],
    most_false_positives: float | None,
) -> dict[str, Any]:
    """Everything, in JSON's types; candidates in the order in which they were tried."""
    return {
        "dataset": dataset,
        "folds": list(folds),
        "most_false_positives_per_scan": most_false_positives,
        "best": asdict(best.candidate),
        "command": command(best.candidate, dataset, folds),
        "cohort": best.cohort.to_dict(),
        "held_out": None if best.held_out is None else best.held_out.to_dict(),
        "candidates": [
            {**asdict(candidate), **{name: cohort_of(scores, candidate)[name] for name in NUMBERS}}
            for candidate in next(iter(scores.values()))
        ],
        "failures": [asdict(failure) for failure in failures],
        "version": __version__,
    }


def best_table(best: Best, scores: Mapping[str, Mapping[Candidate, CaseScores]]) -> str:
    """The best settings of each ensemble, the best of all first, and what the choice is worth on other scans."""
    by_models: dict[tuple[str, ...], tuple[Candidate, CohortScores]] = {}
    for candidate in next(iter(scores.values())):
        cohort = cohort_of(scores, candidate)
        known = by_models.get(candidate.models)
        if known is None or (cohort.f1 or 0) > (known[1].f1 or 0):
            by_models[candidate.models] = candidate, cohort
    rows = sorted(by_models.values(), key=lambda row: -(row[1].f1 or 0))[:SHOWN]
    lines = [f"{'threshold':>9}{'mm3':>6}{'sensitivity':>13}{'false+ a scan':>15}{'F1':>7}  models"]
    lines += ["the best of all", _line(best.candidate, best.cohort)]
    if best.held_out is not None:
        lines += ["the same choice, made on the other folds", _line(None, best.held_out)]
    lines += ["the settings of the highest F1 for each ensemble", *(_line(*row) for row in rows)]
    return "\n".join(lines)


def _line(candidate: Candidate | None, cohort: CohortScores) -> str:
    settings = f"{'':>15}" if candidate is None else f"{candidate.threshold:>9g}{candidate.min_volume_mm3:>6g}"
    false = f"{cohort.false_positives_per_scan or 0:.2f}"
    models = "" if candidate is None else " + ".join(candidate.models)
    return f"{settings}{_number(cohort.sensitivity):>13}{false:>15}{_number(cohort.f1):>7}  {models}".rstrip()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
