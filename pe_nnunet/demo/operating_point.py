"""The smallest finding that is kept, chosen on the scans that training held back, not on those that are scored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from pe_nnunet.evaluation import CohortScores, evaluate_case, summarise
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.volumes import read_label, spacing_zyx

CANDIDATES_MM3 = (50.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 800.0, 1000.0)
FALSE_POSITIVES_PER_SCAN = 3.0  # one below the demo's goal: a network does worse on scans that it was not chosen on


@dataclass(frozen=True)
class OperatingPoint:
    """What was chosen.

    Attributes:
        min_embolus_mm3: Smaller findings are not kept.
        scores: Of the validation scans with it.
    """

    min_embolus_mm3: float
    scores: CohortScores


def choose_operating_point(validation: Path, instances: Path) -> OperatingPoint:
    """The lowest of the candidates that leaves 3 false positives a scan or fewer; the highest if none does.

    Args:
        validation: nnU-Net's folder with a mask of every validation case, `<case>.nii.gz`.
        instances: Folder with the truth, `<case>.nii.gz` with one id an embolus, on the same grids.

    Raises:
        PEError: If a mask or a truth cannot be read.
    """
    cases = []
    for path in sorted(validation.glob("*.nii.gz")):
        mask, truth = read_label(path), read_label(instances / path.name)
        found = (sitk.GetArrayFromImage(mask) > 0).astype(np.float32)
        cases.append((found, sitk.GetArrayFromImage(truth), spacing_zyx(mask)))
    for smallest in CANDIDATES_MM3:
        settings = FusionSettings(min_volume_mm3=smallest)
        scores = summarise(
            [
                evaluate_case(find_emboli(found, spacing_mm, settings).labels, truth, spacing_mm)
                for found, truth, spacing_mm in cases
            ]
        )
        if (scores.false_positives_per_scan or 0) <= FALSE_POSITIVES_PER_SCAN:
            break
    return OperatingPoint(smallest, scores)
