"""The measure of a detector: found emboli, false tubes, and what the lung box holds."""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np
import pytest

from pe_nnunet.detection import Detections, SliceBox, Tube
from pe_nnunet.detection.box_tubes import tube_of
from pe_nnunet.voxels import Box
from tests.benchmarks.scripts import load_script

SHAPE = (6, 20, 20)


@pytest.fixture(scope="module")
def measure() -> ModuleType:
    return load_script("detection.py")


def tube(z: range, y: int, x: int, confidence: float) -> Tube:
    found = tube_of([SliceBox(k, y, x, y + 4, x + 4, confidence) for k in z], SHAPE)
    assert found is not None
    return found


def emboli() -> np.ndarray:
    ids = np.zeros(SHAPE, np.uint16)
    ids[0:4, 2:6, 2:6] = 1
    ids[2, 12:16, 12:16] = 5
    return ids


def test_a_quarter_of_an_embolus_finds_it_and_less_does_not(measure: ModuleType) -> None:
    quarter, less = tube(range(1), 2, 2, 0.8), tube(range(2, 3), 14, 14, 0.9)  # 4 of 16 voxels, on one slice
    lung = np.ones(SHAPE, bool)
    assert measure.score(Detections(None, (quarter, less)), emboli(), lung).emboli == [0.8, 0.9]
    corner = tube(range(2, 3), 15, 15, 0.9)  # one voxel: neither found nor false
    case = measure.score(Detections(None, (corner,)), emboli(), lung)
    assert (case.emboli, case.false) == ([0.0, 0.0], [])


def test_a_tube_beside_all_emboli_is_false(measure: ModuleType) -> None:
    case = measure.score(Detections(None, (tube(range(6), 2, 12, 0.3),)), emboli(), np.ones(SHAPE, bool))
    assert (case.emboli, case.false) == ([0.0, 0.0], [0.3])


def test_shares_of_the_lung_box(measure: ModuleType) -> None:
    lung = np.zeros(SHAPE, bool)
    lung[:, :10] = True
    case = measure.score(Detections(Box((0, 0, 0), (3, 10, 20)), ()), emboli(), lung)
    assert (case.lungs, case.clot, case.box) == pytest.approx((0.5, 48 / 80, 0.25))
    assert math.isnan(measure.score(Detections(None, ()), 0 * emboli(), lung).clot)


def test_recall_at_a_threshold_and_at_a_budget(measure: ModuleType) -> None:
    one = measure.Case([0.9, 0.4], [0.6, 0.5], 1, 1, 1, 1)
    two = measure.Case([0.2], [0.3], 1, 1, 1, 1)
    assert measure.recall_at([one, two], 0.4) == pytest.approx((2 / 3, 1.0))
    assert measure.recall_at_budget([one, two], 0.5) == pytest.approx(1 / 3)
    assert measure.recall_at_budget([one, two], 1) == pytest.approx(2 / 3)
    assert measure.recall_at_budget([one, two], 1.5) == 1
