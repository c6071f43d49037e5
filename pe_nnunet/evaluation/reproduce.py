"""AANet's published figures on CAD-PE, from its findings.

Source: AANet (MICCAI 2022), table of sensitivities at 1, 2 and 4 false positives a scan; its repository's
`evaluation.py`, which as it is published runs at a tolerance of 2 mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pe_nnunet.errors import InputError
from pe_nnunet.evaluation.folder import Evaluation, evaluate_folder
from pe_nnunet.evaluation.settings import EvaluationSettings
from pe_nnunet.metrics.instances import LabelKind

TEST_SCANS = tuple(f"{number:03d}" for number in range(21, 41))
TEST_EMBOLI = 130
PUBLISHED_PERCENT = {1.0: 78.1, 2.0: 84.2, 4.0: 85.1}
SETTINGS = EvaluationSettings(
    protocols=("cad-pe", "aanet"),
    eps_mm=(0.0, 2.0, 5.0),
    label_kind=LabelKind("instances"),
    prediction_kind=LabelKind("instances"),
)


def cad_pe_folder(src: Path, *names: str) -> Path:
    """A folder of CAD-PE: the first of `names` that is in `src`.

    Raises:
        InputError: PE-IN-002 if there is none.
    """
    for name in names:
        if (src / name).is_dir():
            return src / name
    raise InputError(
        "PE-IN-002", f"{src} holds no folder {' or '.join(names)}", "name the folder in which CAD-PE was unpacked"
    )


def score_findings(
    findings: Path, cad_pe: Path, scans: Sequence[str] = TEST_SCANS, *, workers: int | None = None
) -> Evaluation:
    """Score findings on CAD-PE's test scans, under both protocols and with labels taken as instances.

    Args:
        findings: Holds `<scan>.csv` and `<scan>.nii.gz`, as AANet's repository has them, or `<scan>_emboli.csv`.
        cad_pe: The unpacked dataset; labels lie in `rs/`, or in `label/`, where AANet's script looks for them.
        scans: Which.
        workers: As in `evaluate_folder`.

    Raises:
        InputError: PE-IN-002 if there are no labels; PE-IN-001 if none of them is of these scans.
        ConfigurationError: PE-IN-002 if there are no findings.
    """
    labels = cad_pe_folder(cad_pe, "rs", "label")
    return evaluate_folder(findings, labels, SETTINGS, only=scans, workers=workers, progress=True)


def reproduction_table(evaluation: Evaluation) -> str:
    """What was found beside what was published, and every way in which the two are not of the same data."""
    rates = tuple(PUBLISHED_PERCENT)
    lines = [f"{'sensitivity, %, at false markers a scan':<40}" + "".join(f"{rate:>8g}" for rate in rates)]
    lines.append(f"{'published, no tolerance named':<40}" + "".join(f"{PUBLISHED_PERCENT[r]:8.1f}" for r in rates))
    for found in evaluation.detections:
        values = (found.sensitivity_at_fp[rate].value for rate in rates)
        numbers = "".join("       -" if value is None else f"{100 * value:8.1f}" for value in values)
        lines.append(f"{f'{found.protocol}, eps {found.eps_mm:g} mm':<40}{numbers}")
    cohort = evaluation.cohort
    if (cohort["scans"], cohort.emboli) != (len(TEST_SCANS), TEST_EMBOLI):
        lines.append(
            f"\nnot the published test set: {cohort['scans']} scans with {cohort.emboli} emboli, expected "
            f"{len(TEST_SCANS)} with {TEST_EMBOLI}"
        )
    return "\n".join(lines)
