"""A network's raw output to boxes: the best class of each point, and of boxes that overlap the surest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from pe_nnunet.detection.raster import Boxes

MAX_BOXES = 300  # on a slice; a guard against a network that finds something everywhere


@dataclass(frozen=True)
class SliceFindings:
    """Boxes on one slice or picture, by falling confidence.

    Attributes:
        boxes: (n, 4): y0, x0, y1, x1.
        confidence: (n,), 0 to 1.
        label: (n,), index in `slice_labels.CLASSES`.
    """

    boxes: Boxes
    confidence: npt.NDArray[np.float64]
    label: npt.NDArray[np.intp]

    def __len__(self) -> int:
        """How many."""
        return len(self.confidence)

    def take(self, which: npt.NDArray[np.generic]) -> SliceFindings:
        """Those of an index or mask."""
        return SliceFindings(self.boxes[which], self.confidence[which], self.label[which])


def decode(raw: npt.NDArray[np.floating], min_confidence: float) -> SliceFindings:
    """The boxes of one picture that are sure enough, doubles included.

    Args:
        raw: (4 + classes, points): centre x, centre y, width, height in pixels, then a score for each class.
        min_confidence: Of the best class.
    """
    scores = raw[4:]
    label = scores.argmax(axis=0)
    confidence = np.take_along_axis(scores, label[None], axis=0)[0]
    kept = np.flatnonzero(confidence >= min_confidence)  # also drops NaN
    kept = kept[np.argsort(-confidence[kept], kind="stable")]
    x, y, width, height = raw[:4, kept].astype(np.float64)
    boxes = np.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2], axis=1)
    return SliceFindings(boxes, confidence[kept].astype(np.float64), label[kept])


def suppress(findings: SliceFindings, max_overlap: float = 0.5, max_boxes: int = MAX_BOXES) -> SliceFindings:
    """Of boxes of one class that overlap by more than this, keep the surest.

    Args:
        findings: By falling confidence.
        max_overlap: Intersection over union.
        max_boxes: Boxes that are kept.

    Example:
        >>> boxes = np.array([[0.0, 0.0, 10.0, 10.0], [0.0, 1.0, 10.0, 11.0], [20.0, 20.0, 30.0, 30.0]])
        >>> kept = suppress(SliceFindings(boxes, np.array([0.9, 0.8, 0.7]), np.array([1, 1, 1])))
        >>> kept.confidence.tolist()
        [0.9, 0.7]
    """
    from torchvision.ops import batched_nms  # here: it takes a second to import, and only a detector needs it

    boxes = findings.boxes - findings.boxes.min(initial=0)  # classes are shifted apart: none may be negative
    surest = batched_nms(*map(torch.from_numpy, (boxes, findings.confidence, findings.label)), max_overlap).numpy()
    return findings.take(np.sort(surest)[:max_boxes])  # in the order of the findings, at ties too


def overlaps(box: Boxes, others: Boxes) -> npt.NDArray[np.float64]:
    """Intersection over union of one box with each of others; 0 where a box has no area."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    both = np.clip(sides, 0, None).prod(axis=1)
    area = np.prod(box[2:] - box[:2]) + (others[:, 2:] - others[:, :2]).prod(axis=1) - both
    share: npt.NDArray[np.float64] = np.divide(both, area, out=np.zeros_like(both), where=area > 0)
    return share
