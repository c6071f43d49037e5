"""What each model alone says of a labelled scan, kept small enough to be mixed with any weights later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from pe_nnunet.calibration.counts import LabelledScan
from pe_nnunet.detection import Tube
from pe_nnunet.errors import GeometryError
from pe_nnunet.fusion.box_prior import valid_tubes
from pe_nnunet.fusion.emboli import check_probability
from pe_nnunet.fusion.settings import FusionSettings
from pe_nnunet.voxels import Box

LOWEST = np.float32(FusionSettings().candidate_threshold)
"""Voxels that no model gives this probability are in no finding, whatever the weights and thresholds."""


@dataclass(frozen=True)
class MemberMaps:
    """What may count of a labelled scan: voxels of emboli, of a detector's boxes, and those that any model suspects.

    Elsewhere no finding reaches, whatever weights and thresholds are tried, so that nothing is kept of it.

    Attributes:
        case_id: The scan.
        spacing_mm: (z, y, x).
        tubes: What the detector found, in voxels of the box; None without one.
        shape: Of the box around what is kept, (z, y, x).
        places: Of the voxels that are kept, in the flat box.
        ids: Of emboli there.
        ignored: Which of them count neither way; None without any.
        maps: Of each model there: the probability in single precision of one model alone, or the log-odds of several in
            half precision, which is 1e-4 of a probability.
    """

    case_id: str
    spacing_mm: tuple[float, float, float]
    tubes: Sequence[Tube] | None
    shape: tuple[int, int, int]
    places: NDArray[np.uint32]
    ids: NDArray[Any]
    ignored: NDArray[np.bool_] | None
    maps: tuple[NDArray[np.floating], ...]

    @classmethod
    def of(cls, scan: LabelledScan, probabilities: Sequence[NDArray[np.float32]]) -> MemberMaps:
        """Keep what may count.

        Args:
            scan: The whole scan; its probability does not matter.
            probabilities: Of each model, (z, y, x).

        Raises:
            GeometryError: PE-GEO-001 if one has another shape than the scan.
            InputError: PE-FUS-002 if one is not a number or lies outside [0, 1].
        """
        for probability in probabilities:
            if probability.shape != scan.truth.shape:
                raise GeometryError(
                    "PE-GEO-001",
                    f"the prediction of case {scan.case_id} has shape {probability.shape}, its scan another",
                )
            check_probability(probability)
        tubes = None if scan.tubes is None else valid_tubes(scan.tubes)
        kept = scan.truth > 0
        for probability in probabilities:
            kept |= probability >= LOWEST
        for tube in tubes or ():
            kept[tube.box.slices] = True
        box = Box.around(kept) or Box((0, 0, 0), (1, 1, 1))
        for tube in tubes or ():  # whole, where one reaches beyond the scan
            box = box.union(tube.box)
        box = box.padded((0, 0, 0), scan.truth.shape)
        inside = kept[box.slices]
        parts = [np.asarray(probability[box.slices][inside], np.float32) for probability in probabilities]
        return cls(
            scan.case_id,
            scan.spacing_mm,
            None if tubes is None else [_moved(tube, box) for tube in tubes],
            box.shape,
            np.flatnonzero(inside).astype(np.uint32),
            scan.truth[box.slices][inside],
            None if scan.ignored is None else scan.ignored[box.slices][inside],
            (parts[0],) if len(parts) == 1 else tuple(map(_log_odds, parts)),
        )

    def mixed(self, weights: Sequence[float]) -> LabelledScan:
        """The part of the scan with the weighted mean of the models' probabilities; 0 where none suspects anything.

        Args:
            weights: Of each model; they add up to 1.
        """
        total = np.zeros(self.places.shape, np.float32)
        if len(self.maps) == 1:
            total += self.maps[0]
        else:
            for weight, log_odds in zip(weights, self.maps, strict=True):
                if weight > 0:
                    total += np.float32(weight) * expit(log_odds.astype(np.float32))
        ignored = None if self.ignored is None else self._in_box(self.ignored)
        probability = self._in_box(np.minimum(total, 1, out=total))
        return LabelledScan(self.case_id, probability, self._in_box(self.ids), self.spacing_mm, self.tubes, ignored)

    def _in_box(self, values: NDArray[Any]) -> NDArray[Any]:
        whole = np.zeros(self.shape, values.dtype)
        whole.flat[self.places] = values
        return whole

    @property
    def has_emboli(self) -> bool:
        """Whether the scan has an embolus."""
        return bool(self.ids.any())


class MixedScans(Sequence[LabelledScan]):
    """Scans with the mean of their models under one set of weights, mixed anew whenever one is asked for."""

    def __init__(self, members: Sequence[MemberMaps], weights: Sequence[float]) -> None:
        self._members, self._weights = members, weights

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, number):  # type: ignore[no-untyped-def]  # of a slice nobody asks
        return self._members[number].mixed(self._weights)


def _log_odds(probability: NDArray[np.float32]) -> NDArray[np.float16]:
    """In half precision; those of 0 and 1 are infinite, and become 0 and 1 again."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(probability) - np.log1p(-probability), np.float16)


def _moved(tube: Tube, box: Box) -> Tube:
    """A tube in voxels of the box."""
    z, y, x = box.start
    (z0, y0, x0), (z1, y1, x1) = tube.box.start, tube.box.stop
    slices = tuple(
        replace(one, z=one.z - z, y0=one.y0 - y, x0=one.x0 - x, y1=one.y1 - y, x1=one.x1 - x) for one in tube.slices
    )
    return Tube(Box((z0 - z, y0 - y, x0 - x), (z1 - z, y1 - y, x1 - x)), tube.confidence, slices)
