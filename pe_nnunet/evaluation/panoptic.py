"""How well single emboli are outlined: panoptic quality, and the Dice of matched pairs.

Pairs are one to one, chosen by scipy's assignment for the highest total overlap, from the table of common voxels that
is there already; libraries for instance metrics (panoptica) go over the whole volumes again for every pair.

Source: Kirillov et al., Panoptic Segmentation, CVPR 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

from scipy.optimize import linear_sum_assignment

from pe_nnunet.evaluation.overlap import Contingency
from pe_nnunet.evaluation.policy import EmptyPolicy

LEAST_IOU = 0.5  # above it, pairs are unique whatever the assignment


@dataclass(frozen=True)
class PanopticScores:
    """Of one scan; None where a number is not defined.

    Attributes:
        panoptic_quality: Sum of the overlaps (intersection over union) of the pairs above 0.5, over their number and
            half the emboli and findings in no such pair. `EmptyPolicy` decides where one side is empty.
        matched_dice: Mean Dice of the pairs of any overlap: how well an embolus is outlined where it is found; None
            where there is no pair.
    """

    panoptic_quality: float | None = None
    matched_dice: float | None = None


def panoptic_scores(table: Contingency, empty: EmptyPolicy) -> PanopticScores:
    """Match emboli and findings, and score the pairs.

    Args:
        table: From `contingency`.
        empty: What panoptic quality is worth where a side is empty.

    Example:
        >>> from pe_nnunet.evaluation.overlap import contingency
        >>> truth = np.array([[[1, 1, 1, 0, 2]]])
        >>> finding = np.array([[[1, 1, 0, 0, 0]]])
        >>> scores = panoptic_scores(contingency(finding, truth), EmptyPolicy())
        >>> round(scores.panoptic_quality, 3), scores.matched_dice
        (0.444, 0.8)
    """
    findings, emboli = table.common_voxels.shape
    if not findings or not emboli:
        return PanopticScores(empty.harmonic(0, findings, emboli))
    sizes = table.prediction_voxels[:, None] + table.truth_voxels[None, :]
    iou = table.common_voxels / (sizes - table.common_voxels)
    pairs = linear_sum_assignment(iou, maximize=True)
    overlap, dice = iou[pairs], (2 * table.common_voxels / sizes)[pairs]
    # Those above a half are unique, but the assignment may give one away for two smaller ones: they are counted by
    # themselves.
    good = iou[iou > LEAST_IOU]
    return PanopticScores(
        panoptic_quality=float(2 * good.sum() / (findings + emboli)),
        matched_dice=float(dice[overlap > 0].mean()) if (overlap > 0).any() else None,
    )
