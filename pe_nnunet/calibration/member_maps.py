"""What each model alone says of a labelled scan, kept small enough to be mixed with any weights later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

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
    """A labelled scan, cut to the box of what may count: its emboli, boxes of a detector, and what any model suspects.

    Attributes:
        scan: The scan, with an empty probability.
        maps: Of each model, (z, y, x): the probability in single precision of one model alone, or the log-odds of
            several in half precision, which is 1e-4 of a probability.
    """

    scan: LabelledScan
    maps: tuple[NDArray[np.floating], ...]

    @classmethod
    def of(cls, scan: LabelledScan, probabilities: Sequence[NDArray[np.float32]]) -> MemberMaps:
        """Cut a scan and what the models say of it.

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
        highest = reduce(np.maximum, probabilities)
        boxes = [Box.around((highest >= LOWEST) | (scan.truth > 0)), *(tube.box for tube in tubes or ())]
        held = [box for box in boxes if box is not None] or [Box((0, 0, 0), (1, 1, 1))]
        box = reduce(Box.union, held).padded((0, 0, 0), scan.truth.shape)
        cut = replace(
            scan,
            probability=np.zeros((0, 0, 0), np.float32),
            truth=scan.truth[box.slices].copy(),
            tubes=None if tubes is None else [_moved(tube, box) for tube in tubes],
            ignored=None if scan.ignored is None else scan.ignored[box.slices].copy(),
        )
        parts = [np.asarray(probability[box.slices], np.float32) for probability in probabilities]
        return cls(cut, (parts[0].copy(),) if len(parts) == 1 else tuple(map(_log_odds, parts)))

    def mixed(self, weights: Sequence[float]) -> LabelledScan:
        """The scan with the weighted mean of the models' probabilities.

        Args:
            weights: Of each model; they add up to 1.
        """
        if len(self.maps) == 1:
            return replace(self.scan, probability=np.asarray(self.maps[0], np.float32))
        total = np.zeros(self.scan.truth.shape, np.float32)
        for weight, log_odds in zip(weights, self.maps, strict=True):
            if weight > 0:
                total += np.float32(weight) * expit(log_odds.astype(np.float32))
        return replace(self.scan, probability=np.minimum(total, 1, out=total))

    @property
    def bytes_held(self) -> int:
        """Memory of the scan."""
        ignored = 0 if self.scan.ignored is None else self.scan.ignored.nbytes
        return self.scan.truth.nbytes + ignored + sum(one.nbytes for one in self.maps)


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
