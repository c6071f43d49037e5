"""Which emboli are found, and which findings are true: by overlap of instances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.metrics.ratios import EmptyPolicy
from pe_nnunet.voxels import foreground


@dataclass(frozen=True)
class OverlapCriterion:
    """When an embolus counts as found and a finding as true.

    Attributes:
        kind: `any`: they share a voxel. `fraction`: of the embolus at least `min_overlap` is covered by findings (all
            of them together), of the finding at least `min_overlap` lies in emboli. `iou`: embolus and finding are
            paired one to one, as many pairs as possible, each with an intersection over union of at least that.
        min_overlap: In (0, 1]; without meaning under `any`.

    Raises:
        ConfigurationError: PE-EVAL-003 if `min_overlap` is out of range.

    Example:
        >>> OverlapCriterion.parse("iou:0.25")
        OverlapCriterion(kind='iou', min_overlap=0.25)
    """

    kind: Literal["any", "fraction", "iou"] = "any"
    min_overlap: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.min_overlap <= 1:
            raise ConfigurationError(
                "PE-EVAL-003", f"overlap of at least {self.min_overlap}: expected above 0 and at most 1"
            )

    @classmethod
    def parse(cls, text: str) -> OverlapCriterion:
        """From `any`, `fraction:0.3` or `iou:0.25`.

        Raises:
            ConfigurationError: PE-EVAL-003 for anything else.
        """
        name, _, number = text.partition(":")
        try:
            if text == "any":
                return cls()
            if name in ("fraction", "iou"):
                return cls(name, float(number))  # type: ignore[arg-type]  # mypy does not narrow str to Literal by `in`
        except ValueError:
            pass
        raise ConfigurationError("PE-EVAL-003", f"overlap {text!r}: expected any, fraction:NUMBER or iou:NUMBER")

    def __str__(self) -> str:
        """The form that `parse` reads."""
        return self.kind if self.kind == "any" else f"{self.kind}:{self.min_overlap:g}"


ANY_OVERLAP = OverlapCriterion()


class Contingency(NamedTuple):
    """Sizes of all instances and of their overlaps, in voxels.

    Attributes:
        prediction_ids: Ids of the findings, ascending.
        truth_ids: Ids of the emboli, ascending.
        prediction_voxels: One number a finding.
        truth_voxels: One number an embolus.
        common_voxels: (findings, emboli).
    """

    prediction_ids: NDArray[np.int64]
    truth_ids: NDArray[np.int64]
    prediction_voxels: NDArray[np.int64]
    truth_voxels: NDArray[np.int64]
    common_voxels: NDArray[np.int64]

    @property
    def split(self) -> int:
        """Emboli that several findings touch."""
        return int(((self.common_voxels > 0).sum(axis=0) > 1).sum())

    def merged(self, found: NDArray[np.bool_]) -> int:
        """Emboli that share each of the findings that touch them with another embolus: seen, but not told apart.

        Args:
            found: Which of the emboli are found.
        """
        touches = self.common_voxels > 0
        shared = touches.sum(axis=1) > 1
        alone = (touches & ~shared[:, None]).any(axis=0)
        return int((found & touches.any(axis=0) & ~alone).sum())


def contingency(prediction: NDArray[Any], truth: NDArray[Any]) -> Contingency:
    """Count voxels by id and pair of ids; only voxels that are not background in both are touched.

    Args:
        prediction: Ids of the findings, 0 background, (z, y, x).
        truth: Ids of the emboli, the same shape.
    """
    places, true_places = foreground(prediction)[0], foreground(truth)[0]
    only_true = true_places[prediction[tuple(true_places.T)] == 0]
    index = tuple(np.concatenate([places, only_true]).T)
    found, true = prediction[index], truth[index]
    # With 0 put first, so that rank 0 is background whether or not it occurs.
    prediction_ids, row = np.unique(np.append(0, found).astype(np.int64), return_inverse=True)
    truth_ids, column = np.unique(np.append(0, true).astype(np.int64), return_inverse=True)
    shape = len(prediction_ids), len(truth_ids)
    pairs = np.bincount(row[1:] * shape[1] + column[1:], minlength=shape[0] * shape[1]).reshape(shape)
    return Contingency(prediction_ids[1:], truth_ids[1:], pairs.sum(axis=1)[1:], pairs.sum(axis=0)[1:], pairs[1:, 1:])


def match(table: Contingency, criterion: OverlapCriterion = ANY_OVERLAP) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Decide about every embolus and every finding.

    Args:
        table: From `contingency`.
        criterion: What overlap counts.

    Returns:
        Which of the emboli are found, and which of the findings are true.

    Example:
        >>> truth = np.array([[[1, 1, 0, 2, 2, 0, 3]]])
        >>> finding = np.array([[[0, 7, 7, 7, 0, 0, 0]]])
        >>> [of.tolist() for of in match(contingency(finding, truth))]
        [[True, True, False], [True]]
    """
    common = table.common_voxels
    if criterion.kind == "iou":
        return _paired(table, criterion.min_overlap)
    found, true = common.sum(axis=0) > 0, common.sum(axis=1) > 0
    if criterion.kind == "fraction":  # the rounding of min_overlap * size must not decide
        found &= common.sum(axis=0) >= criterion.min_overlap * table.truth_voxels * (1 - 1e-12)
        true &= common.sum(axis=1) >= criterion.min_overlap * table.prediction_voxels * (1 - 1e-12)
    return found, true


def dice(table: Contingency, empty: EmptyPolicy) -> float | None:
    """Of the voxels, all instances together; the policy decides where a side is empty.

    Args:
        table: From `contingency`.
        empty: What counts there.
    """
    sizes = (int(voxels.sum()) for voxels in (table.common_voxels, table.prediction_voxels, table.truth_voxels))
    return empty.harmonic(*sizes)


def _paired(table: Contingency, min_overlap: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Emboli and findings that are in a pair, of the assignment with the most pairs, then the highest overlap."""
    from scipy.optimize import linear_sum_assignment

    common = table.common_voxels
    union = table.prediction_voxels[:, None] + table.truth_voxels[None, :] - common
    iou = common / np.maximum(union, 1)
    good = (iou >= min_overlap * (1 - 1e-12)) & (common > 0)
    # One pair more outweighs any difference in overlap, of which there is less than one a pair.
    rows, columns = linear_sum_assignment(np.where(good, len(iou) + 1 + iou, 0), maximize=True)
    paired = good[rows, columns]
    found, true = np.zeros(common.shape[1], bool), np.zeros(common.shape[0], bool)
    found[columns[paired]] = True
    true[rows[paired]] = True
    return found, true
