"""Which settings are tried, and what each of them finds in scans with known emboli."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from pe_nnunet.detection import Tube, tube_confidence
from pe_nnunet.detection.box_tubes import paint
from pe_nnunet.fusion.box_prior import shifted, support, valid_tubes
from pe_nnunet.fusion.components import at_least_volume
from pe_nnunet.fusion.emboli import check_probability
from pe_nnunet.fusion.settings import FusionSettings
from pe_nnunet.metrics.ignored import without_ignored
from pe_nnunet.metrics.overlap import contingency
from pe_nnunet.voxels import label_components

FOUND, EMBOLI, TRUE, FINDINGS, COMMON_VOXELS, VOXELS, TRUE_VOXELS = range(7)
"""Columns of counts: emboli found, emboli, true findings, findings; voxels of findings within emboli, of findings, of
emboli."""

CONFIDENCES = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Lowest confidences that are tried for boxes without a segmenter."""

Block = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[Any], NDArray[np.bool_]]
"""Of a part of a scan: probability, confidence of tubes, their support (see `support`), truth, which voxels count."""


@dataclass(frozen=True)
class LabelledScan:
    """A scan that the models were not trained on, with its truth.

    Attributes:
        case_id: The scan.
        probability: Of the segmenters, (z, y, x).
        truth: Ids of its emboli, the same shape.
        spacing_mm: (z, y, x).
        tubes: What the detector found; None without one.
        ignored: Voxels that count neither way, see `pe_nnunet.metrics.ignored`, none of them truth; None without any.
    """

    case_id: str
    probability: NDArray[np.float32]
    truth: NDArray[Any]
    spacing_mm: tuple[float, float, float]
    tubes: Sequence[Tube] | None = None
    ignored: NDArray[np.bool_] | None = None


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

    thresholds: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
    seeds: tuple[float, ...] = (0.0, 0.5, 0.7, 0.9)
    volumes_mm3: tuple[float, ...] = (0, 5, 10, 20, 50, 100, 200, 300, 400, 500, 600, 800, 1000)
    box_weights: tuple[float, ...] = (0.0, 1.0, 2.0)
    penalties: tuple[float, ...] = (0.0, 4.0, 16.0)
    box_confidences: tuple[float, ...] = (0.1, 0.25, 0.5)

    def settings(self, base: FusionSettings, detector: bool) -> list[FusionSettings]:
        """All combinations, without weights of boxes first, then by threshold, seed and volume.

        Args:
            base: What is not in the grid.
            detector: Whether there are boxes.
        """
        boxes = {(0.0, 0.0, base.box_confidence)}
        if detector:
            tried = product(self.box_weights, self.penalties, self.box_confidences)
            boxes |= {(weight, penalty, confidence) for weight, penalty, confidence in tried if weight or penalty}
        return [
            replace(
                base,
                threshold=threshold,
                seed_threshold=None if seed == threshold else seed,
                min_volume_mm3=float(volume),
                box_weight=weight,
                no_box_penalty=penalty,
                box_confidence=confidence,
            )
            for weight, penalty, confidence in sorted(boxes)
            for threshold in self.thresholds
            for seed in sorted({max(seed, threshold) for seed in self.seeds})
            for volume in self.volumes_mm3
        ]


def count_findings(scans: Sequence[LabelledScan], settings: Sequence[FusionSettings]) -> NDArray[np.int64]:
    """Count what each of the settings finds in each of the scans, by the rules of `find_emboli`.

    A finding is true if it shares a voxel with an embolus. An embolus is found if such a finding can be paired with it
    alone: of several that one finding joins, one is found. Else the lowest threshold would win, where all arteries are
    one finding that no embolus escapes. A finding's volume and its surest voxel are those of the whole of it, as in
    prediction; counted is what lies outside ignored voxels.

    Args:
        scans: With truth and probability; with tubes where there is a detector.
        settings: With one `candidate_threshold`, and no non-maximum suppression.

    Returns:
        (settings, scans, 7): see `FOUND` and the other columns.

    Raises:
        InputError: PE-FUS-002 if a probability is not a number or lies outside [0, 1].
    """
    counts = np.zeros((len(settings), len(scans), 7), np.int64)
    by_map: dict[tuple[float, ...], dict[float, list[int]]] = {}
    for number, choice in enumerate(settings):
        boxes = (choice.box_weight, choice.no_box_penalty, choice.box_confidence)
        by_map.setdefault(boxes, {}).setdefault(choice.threshold, []).append(number)
    for place, scan in enumerate(scans):
        ids = np.unique(scan.truth[scan.truth > 0])
        blocks = _blocks(scan, settings)
        voxel_mm3 = float(np.prod(scan.spacing_mm))
        counts[:, place, EMBOLI], counts[:, place, TRUE_VOXELS] = len(ids), np.count_nonzero(scan.truth)
        for by_threshold in by_map.values():
            choice = settings[next(iter(by_threshold.values()))[0]]
            fused = [shifted(*block[:3], choice) if choice.uses_detection else block[0] for block in blocks]
            for threshold, numbers in by_threshold.items():
                voxels, counted, common, highest, touches = _components(blocks, fused, threshold, ids)
                for number in numbers:
                    kept = at_least_volume(voxels * voxel_mm3, settings[number].min_volume_mm3)
                    kept &= (highest >= np.float32(settings[number].seed)) & (counted > 0)
                    row = counts[number, place]
                    row[FOUND], row[TRUE] = _told_apart(touches[kept]), touches[kept].any(axis=1).sum()
                    row[FINDINGS], row[COMMON_VOXELS], row[VOXELS] = kept.sum(), common[kept].sum(), counted[kept].sum()
    return counts


def _told_apart(touches: NDArray[np.bool_]) -> int:
    """The most emboli that findings, (findings, emboli), can be paired with, one with one."""
    if (touches.sum(axis=1) <= 1).all():
        return int(touches.any(axis=0).sum())
    return int((maximum_bipartite_matching(csr_array(touches), perm_type="column") >= 0).sum())


def _blocks(scan: LabelledScan, settings: Sequence[FusionSettings]) -> list[Block]:
    """Parts of a scan whose findings touch no other part, whatever the settings."""
    check_probability(scan.probability)
    held = np.asarray(scan.probability, np.float32)
    confidence, supported = np.zeros(held.shape, np.float32), np.ones(held.shape, np.float32)
    reach = held
    if scan.tubes is not None:
        confidence = tube_confidence(valid_tubes(scan.tubes), held.shape)
        strongest = replace(
            settings[0],
            box_weight=max(choice.box_weight for choice in settings),
            no_box_penalty=0.0,
            box_confidence=min(choice.box_confidence for choice in settings),
        )
        reach = shifted(held, confidence, supported, strongest)
        supported = support(held, confidence, settings[0].candidate_threshold)
    counts = np.broadcast_to(np.True_, held.shape) if scan.ignored is None else ~scan.ignored
    labels, _ = label_components(reach >= np.float32(min(choice.threshold for choice in settings)))
    return [
        (np.where(labels[box] == number, held[box], 0), confidence[box], supported[box], scan.truth[box], counts[box])
        for number, box in enumerate(ndi.find_objects(labels), 1)
    ]


def _components(
    blocks: Sequence[Block], fused: Sequence[NDArray[np.float32]], threshold: float, ids: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]]:
    """Of each component of at least a threshold: voxels, those that count, those in emboli, highest, emboli it touches.

    Args:
        blocks: Of the scan.
        fused: Probability of each block.
        threshold: Of a voxel.
        ids: Of the emboli, ascending.
    """
    voxels, counted, common = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    highest = [np.zeros(0, np.float32)]
    touches = [np.zeros((0, len(ids)), bool)]
    for (*_, truth, counts), probability in zip(blocks, fused, strict=True):
        strong = probability >= np.float32(threshold)
        if not strong.any():
            continue
        labels, count = label_components(strong)
        inside = np.flatnonzero(labels)
        component, true = labels.ravel()[inside] - 1, truth.ravel()[inside]
        hit = true > 0
        voxels.append(np.bincount(component, minlength=count))
        counted.append(np.bincount(component[counts.ravel()[inside]], minlength=count))
        common.append(np.bincount(component[hit], minlength=count))
        highest.append(np.zeros(count, np.float32))
        np.maximum.at(highest[-1], component, probability.ravel()[inside])
        touches.append(np.zeros((count, len(ids)), bool))
        touches[-1][component[hit], np.searchsorted(ids, true[hit])] = True
    return (
        np.concatenate(voxels),
        np.concatenate(counted),
        np.concatenate(common),
        np.concatenate(highest),
        np.concatenate(touches),
    )


def count_boxes(scans: Sequence[LabelledScan], confidences: Sequence[float] = CONFIDENCES) -> NDArray[np.int64]:
    """Count what a detector's boxes of at least each confidence find without a segmenter.

    Returns:
        (confidences, scans, 4): the first four columns of `count_findings`.
    """
    counts = np.zeros((len(confidences), len(scans), 4), np.int64)
    for place, scan in enumerate(scans):
        tubes = _by_confidence(scan.tubes or ())
        table = contingency(without_ignored(_painted(tubes, scan.truth.shape), scan.ignored), scan.truth)
        for number, confidence in enumerate(confidences):
            # the surer lie on top, so that leaving out the others uncovers nothing of theirs
            kept = table.prediction_ids <= sum(tube.confidence >= confidence for tube in tubes)
            touches = table.common_voxels[kept] > 0
            found, true = _told_apart(touches), touches.any(axis=1).sum()
            counts[number, place] = found, len(table.truth_ids), true, kept.sum()
    return counts


def box_labels(tubes: Sequence[Tube], shape: Sequence[int], min_confidence: float) -> NDArray[np.uint16]:
    """Boxes painted as instances, so that they can be evaluated like masks; where two overlap, the surer is seen.

    Args:
        tubes: In voxels of the volume.
        shape: z, y, x.
        min_confidence: Boxes that are less sure are left out.

    Returns:
        (z, y, x), ids from 1 on by falling confidence.
    """
    return _painted([tube for tube in _by_confidence(tubes) if tube.confidence >= min_confidence], shape)


def _by_confidence(tubes: Sequence[Tube]) -> list[Tube]:
    return sorted(valid_tubes(tubes), key=lambda tube: -tube.confidence)


def _painted(tubes: Sequence[Tube], shape: Sequence[int]) -> NDArray[np.uint16]:
    labels = np.zeros(tuple(shape), np.uint16)
    for number in range(len(tubes), 0, -1):
        paint(tubes[number - 1], labels, number)
    return labels
