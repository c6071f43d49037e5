"""Findings on public datasets, scored under both FROC protocols, and what AANet's authors publish of theirs.

Source: AANet (MICCAI 2022), table of sensitivities at 1, 2 and 4 false positives a scan; its repository's
`evaluation.py`, which as it is published runs at a tolerance of 2 mm.
"""

from __future__ import annotations

from pathlib import Path

from pe_nnunet.evaluation.folder import Evaluation, evaluate_folder
from pe_nnunet.evaluation.public_sets import LabelledSet
from pe_nnunet.evaluation.settings import EvaluationSettings
from pe_nnunet.metrics.bootstrap import Resampling
from pe_nnunet.metrics.instances import LabelKind

__all__ = ["PUBLISHED_PERCENT", "RATES", "reproduction_table", "score_findings"]

PUBLISHED_PERCENT = {1.0: 78.1, 2.0: 84.2, 4.0: 85.1}
RATES = tuple(PUBLISHED_PERCENT)  # which both protocols have


def score_findings(
    findings: Path, truth: LabelledSet, *, workers: int | None = None, resampling: Resampling | None = None
) -> Evaluation:
    """Score findings on a public dataset, under both protocols and with labels taken as instances.

    Args:
        findings: Holds `<scan>.csv` and `<scan>.nii.gz`, as AANet's repository has them, or `<scan>_emboli.csv`.
        truth: Which scans, and their labels.
        workers: As in `evaluate_folder`.
        resampling: For the intervals; the default if None.

    Raises:
        InputError: PE-IN-001 if there is no label of these scans.
        ConfigurationError: PE-IN-002 if there are no findings.
    """
    settings = EvaluationSettings(
        protocols=("cad-pe", "aanet"),
        eps_mm=(0.0, 2.0, 5.0),
        label_kind=LabelKind("instances"),
        prediction_kind=LabelKind("instances"),
        resampling=resampling or Resampling(),
    )
    return evaluate_folder(
        findings, truth.labels, settings, patients=truth.patients, only=truth.cases, workers=workers, progress=True
    )


def reproduction_table(evaluation: Evaluation, *, beside_aanet: bool = True) -> str:
    """What was found, for people, beside what AANet's authors publish.

    Args:
        evaluation: From `score_findings`.
        beside_aanet: Whether it is of AANet's findings on CAD-PE.
    """
    lines = [f"{'sensitivity, %, at false markers a scan':<40}" + "".join(f"{rate:>8g}" for rate in RATES)]
    if beside_aanet:
        lines.append(f"{'published, no tolerance named':<40}" + "".join(f"{PUBLISHED_PERCENT[r]:8.1f}" for r in RATES))
    for found in evaluation.detections:
        values = (found.sensitivity_at_fp[rate].value for rate in RATES)
        numbers = "".join("       -" if value is None else f"{100 * value:8.1f}" for value in values)
        lines.append(f"{f'{found.protocol}, eps {found.eps_mm:g} mm':<40}{numbers}")
    return "\n".join(lines)


def other_than_published(evaluation: Evaluation, truth: LabelledSet) -> str:
    """How the scans that were scored differ from those of the published set; empty where they do not.

    Args:
        evaluation: From `score_findings`.
        truth: What was to be scored.
    """
    cohort = evaluation.cohort
    emboli = cohort["emboli"] if truth.emboli is None else truth.emboli
    if truth.scans is None or (cohort["scans"], cohort["emboli"]) == (truth.scans, emboli):
        return ""
    expected = f"{truth.scans}" + ("" if truth.emboli is None else f" with {truth.emboli}")
    return f"not the published test set: {cohort['scans']} scans with {cohort['emboli']} emboli, expected {expected}"
