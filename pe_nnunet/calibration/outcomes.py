"""What a choice of fusion settings comes to on scans with known emboli, for many choices at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from pe_nnunet.detection import Tube, tube_confidence
from pe_nnunet.fusion.detections import shifted, sound_tubes, support
from pe_nnunet.fusion.settings import FusionSettings
from pe_nnunet.voxels import label_components

FOUND, EMBOLI, TRUE, FINDINGS = range(4)


@dataclass(frozen=True)
class LabelledScan:
    """A scan that the models were not trained on, with its truth.

    Attributes:
        case_id: The scan.
        probability: Of the segmenters, (z, y, x).
        truth: Ids of its emboli, the same shape.
        spacing_mm: (z, y, x).
        tubes: What the detector found; None without one.
    """

    case_id: str
    probability: NDArray[np.float32]
    truth: NDArray[Any]
    spacing_mm: tuple[float, float, float]
    tubes: Sequence[Tube] | None = None


@dataclass(frozen=True)
class Grid:
    """The settings that are tried; every combination of them.

    Attributes:
        thresholds: Of a voxel.
        seeds: Of the surest voxel; those under the threshold count as the threshold.
        volumes_mm3: Of the smallest embolus.
        box_weights: Tried where there is a detector; 0 is tried always. 1 is what independent evidence deserves; with
            4, boxes are filled, which finds little more and outlines worse.
        penalties: As the weights. The highest overrules any certainty: a network that was trained for minutes gives its
            false findings log-odds of 9 to 14 as well.
        box_confidences: Of the least sure box that counts, where boxes have a weight.
    """

    thresholds: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    seeds: tuple[float, ...] = (0.0, 0.5, 0.7, 0.9)
    volumes_mm3: tuple[float, ...] = (0, 5, 10, 20, 50, 100, 200, 300, 400, 500, 600, 800, 1000)
    box_weights: tuple[float, ...] = (0.0, 1.0, 2.0)
    penalties: tuple[float, ...] = (0.0, 4.0, 16.0)
    box_confidences: tuple[float, ...] = (0.1, 0.25, 0.5)

    def settings(self, base: FusionSettings, detector: bool) -> list[FusionSettings]:
        """All combinations, those of one map and threshold in a row.

        Args:
            base: What is not in the grid.
            detector: Whether there are boxes.
        """
        plain = (0.0, 0.0, base.box_confidence)
        weights = {
            (weight, penalty, least) if weight or penalty else plain
            for weight, penalty, least in product(self.box_weights, self.penalties, self.box_confidences)
        }
        chosen = []
        for weight, penalty, least in sorted({plain, *weights} if detector else {plain}):
            for threshold in self.thresholds:
                for seed in sorted({max(seed, threshold) for seed in self.seeds}):
                    chosen += [
                        replace(
                            base,
                            threshold=threshold,
                            seed_threshold=None if seed == threshold else seed,
                            min_volume_mm3=float(volume),
                            box_weight=weight,
                            no_box_penalty=penalty,
                            box_confidence=least,
                        )
                        for volume in self.volumes_mm3
                    ]
        return chosen


def count_outcomes(scans: Sequence[LabelledScan], settings: Sequence[FusionSettings]) -> NDArray[np.int64]:
    """Count what each of the settings finds in each of the scans, by the rules of `find_emboli`.

    An embolus is found if a finding shares a voxel with it; such a finding is true.

    Args:
        scans: The scans.
        settings: With one `candidate_threshold`, and no non-maximum suppression.

    Returns:
        (settings, scans, 4): emboli found, emboli, true findings, findings.
    """
    counts = np.zeros((len(settings), len(scans), 4), np.int64)
    for place, scan in enumerate(scans):
        counter = _Counter(scan, settings)
        for number, choice in enumerate(settings):
            counts[number, place] = counter.count(choice)
    return counts


@dataclass(frozen=True)
class _Block:
    """A part of a scan whose findings touch no other part, whatever the settings."""

    probability: NDArray[np.float32]
    confidence: NDArray[np.float32]
    supported: NDArray[np.float32]
    truth: NDArray[Any]


@dataclass(frozen=True)
class _Findings:
    """The components at one threshold: volume and highest probability of each, and which emboli it touches."""

    volume_mm3: NDArray[np.float64]
    highest: NDArray[np.float32]
    touches: NDArray[np.bool_]


@dataclass
class _Counter:
    """Keeps the last map and its components at the last threshold, as settings come in rows that share them."""

    scan: LabelledScan
    settings: Sequence[FusionSettings]
    _of_map: tuple[float, ...] = ()
    _of_findings: tuple[float, ...] = ()
    _maps: list[NDArray[np.float32]] = field(default_factory=list)
    _findings: _Findings | None = None
    _blocks: list[_Block] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ids = np.unique(self.scan.truth)
        self._ids = self._ids[self._ids > 0]
        shape = self.scan.probability.shape
        held = np.asarray(self.scan.probability, np.float32)
        confidence, supported = np.zeros(shape, np.float32), np.ones(shape, np.float32)
        reach = held
        if self.scan.tubes is not None:
            confidence = tube_confidence(sound_tubes(self.scan.tubes), shape)
            most = replace(
                self.settings[0],
                box_weight=max(s.box_weight for s in self.settings),
                no_box_penalty=0.0,
                box_confidence=min(s.box_confidence for s in self.settings),
            )
            reach = shifted(held, confidence, supported, most)
            supported = support(held, confidence, self.settings[0].candidate_threshold)
        labels, _ = label_components(reach >= np.float32(min(s.threshold for s in self.settings)))
        for number, box in enumerate(ndi.find_objects(labels), 1):
            own = labels[box] == number
            self._blocks.append(
                _Block(np.where(own, held[box], 0), confidence[box], supported[box], np.asarray(self.scan.truth[box]))
            )

    def count(self, choice: FusionSettings) -> tuple[int, int, int, int]:
        of_map = (choice.box_weight, choice.no_box_penalty, choice.box_confidence)
        if of_map != self._of_map:
            self._of_map, self._maps = of_map, self._fused(choice)
        if self._findings is None or (*of_map, choice.threshold) != self._of_findings:
            self._of_findings, self._findings = (*of_map, choice.threshold), self._components(choice.threshold)
        found = self._findings
        enough = found.volume_mm3 >= choice.min_volume_mm3 * (1 - 1e-9)
        kept = enough & (found.highest >= np.float32(choice.seed))
        touches = found.touches[kept]
        return int(touches.any(axis=0).sum()), len(self._ids), int(touches.any(axis=1).sum()), int(kept.sum())

    def _fused(self, choice: FusionSettings) -> list[NDArray[np.float32]]:
        """What boxes make of each block."""
        if not choice.uses_detection or self.scan.tubes is None:
            return [block.probability for block in self._blocks]
        return [shifted(block.probability, block.confidence, block.supported, choice) for block in self._blocks]

    def _components(self, threshold: float) -> _Findings:
        voxel_mm3 = float(np.prod(self.scan.spacing_mm))
        volumes, highest, touches = [], [], [np.zeros((0, len(self._ids)), bool)]
        for block, fused in zip(self._blocks, self._maps, strict=True):
            strong = fused >= np.float32(threshold)
            if not strong.any():
                continue
            labels, count = label_components(strong)
            inside = np.flatnonzero(labels)
            ids, held = labels.ravel()[inside] - 1, fused.ravel()[inside]
            volumes.append(np.bincount(ids, minlength=count) * voxel_mm3)
            highest.append(np.zeros(count, np.float32))
            np.maximum.at(highest[-1], ids, held)
            touches.append(np.zeros((count, len(self._ids)), bool))
            true = block.truth.ravel()[inside]
            hit = true > 0
            touches[-1][ids[hit], np.searchsorted(self._ids, true[hit])] = True
        return _Findings(
            np.concatenate([np.zeros(0), *volumes]),
            np.concatenate([np.zeros(0, np.float32), *highest]),
            np.concatenate(touches),
        )
