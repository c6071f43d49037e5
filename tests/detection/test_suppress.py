from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pe_nnunet.detection.detector import Detector, load_detector, merge
from pe_nnunet.detection.onnx_export import INPUT
from pe_nnunet.detection.suppress import SliceFindings, decode, overlaps, suppress
from pe_nnunet.errors import ConfigurationError

if TYPE_CHECKING:
    from tests.detection.conftest import Training
else:
    Training = Any


def findings(*rows: tuple[list[float], float, int]) -> SliceFindings:
    boxes, confidence, label = zip(*rows, strict=True) if rows else ([], [], [])
    return SliceFindings(np.array(boxes, float).reshape(-1, 4), np.array(confidence, float), np.array(label, np.intp))


def test_a_point_gives_the_box_of_its_best_class() -> None:
    raw = np.array([[50, 10], [20, 10], [10, 4], [6, 2], [0.2, 0.01], [0.7, 0.02]], np.float32)
    found = decode(raw, 0.05)
    assert found.boxes.tolist() == [[17, 45, 23, 55]]
    assert (found.confidence.tolist(), found.label.tolist()) == (pytest.approx([0.7]), [1])


def test_scores_that_are_no_numbers_give_no_box() -> None:
    raw = np.full((6, 3), np.nan, np.float32)
    assert len(decode(raw, 0.05)) == 0


@pytest.mark.parametrize("score", [np.nan, np.inf])
def test_a_network_that_gives_no_numbers_is_refused(score: float) -> None:
    raw = np.zeros((1, 6, 3), np.float32)
    raw[0, 5, 2] = score
    detector = object.__new__(Detector)
    detector._sessions = (SimpleNamespace(run=lambda *_: [raw]),)  # type: ignore[assignment]
    detector.records = (SimpleNamespace(fold="0"),)  # type: ignore[assignment]
    with pytest.raises(ConfigurationError, match="PE-DET-006"):
        detector(np.zeros((1, 32, 32, 3), np.uint8))


def test_doubles_of_one_class_are_dropped_and_those_of_another_kept() -> None:
    same = [0.0, 0.0, 10.0, 10.0]
    kept = suppress(findings((same, 0.9, 1), (same, 0.8, 0), (same, 0.7, 1)))
    assert kept.label.tolist() == [1, 0]


def test_no_more_boxes_than_asked_for() -> None:
    many = findings(*[([20.0 * n, 0.0, 20.0 * n + 5, 5.0], 1 - n / 100, 1) for n in range(20)])
    assert len(suppress(many, max_boxes=7)) == 7


def kept_one_by_one(found: SliceFindings, most_overlap: float) -> list[int]:
    """By the definition: a box is kept unless a surer one of its class that is kept overlaps it by more."""
    kept: list[int] = []
    for n in range(len(found)):
        same = [k for k in kept if found.label[k] == found.label[n]]
        if all(overlaps(found.boxes[k], found.boxes[n : n + 1])[0] <= most_overlap for k in same):
            kept.append(n)
    return kept


@pytest.mark.parametrize("count", [0, 1, 40, 1200])
@pytest.mark.parametrize("most_overlap", [0.3, 0.5])
def test_what_is_kept_is_what_the_definition_keeps(count: int, most_overlap: float) -> None:
    rng = np.random.default_rng(count)
    for _ in range(50 if count < 100 else 2):
        corner, size = rng.uniform(-20, 60, (count, 2)), rng.uniform(0, 30, (count, 2))  # some reach out of the picture
        confidence = np.sort(rng.integers(5, 100, count) / 100)[::-1].copy()  # with ties
        boxes = np.concatenate([corner, corner + size], axis=1)
        found = SliceFindings(boxes, confidence, rng.integers(0, 2, count))
        kept = suppress(found, most_overlap, max_boxes=count)
        assert kept.boxes.tolist() == boxes[kept_one_by_one(found, most_overlap)].tolist()


sides = st.floats(0, 50)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(sides, sides, sides, sides), min_size=2, max_size=6))
def test_overlap_is_symmetric_and_a_share(corners: list[tuple[float, float, float, float]]) -> None:
    boxes = np.array([[y, x, y + h + 0.1, x + w + 0.1] for y, x, h, w in corners])
    table = np.array([overlaps(box, boxes) for box in boxes])
    assert table == pytest.approx(table.T)
    assert np.diag(table) == pytest.approx(1)
    assert table.min() >= 0


def test_the_boxes_that_are_kept_are_those_that_ultralytics_keeps(training: Training) -> None:
    for raw, theirs in zip(training.crowd, training.kept, strict=True):
        x0, y0, x1, y1, confidence, label = theirs.T
        ours = suppress(decode(raw, 0.25))
        assert 40 < len(ours) < 300
        assert ours.label.tolist() == label.astype(int).tolist()
        assert ours.confidence == pytest.approx(confidence)
        assert ours.boxes == pytest.approx(np.stack([y0, x0, y1, x1], axis=1), abs=1e-3)


def test_the_network_on_onnxruntime_says_what_it_says_on_torch(training: Training) -> None:
    (session,) = load_detector(training.fold)._sessions
    raw = session.run(None, {INPUT: training.pictures})[0]
    assert raw[:, :4] == pytest.approx(training.network_says[:, :4], abs=0.1)  # pixels; the pictures are noise
    assert raw[:, 4:] == pytest.approx(training.network_says[:, 4:], abs=2e-3)
    assert session.run(None, {INPUT: training.pictures[:1, :64]})[0].shape == (1, 6, 84)  # any number, any size


def test_the_mean_of_folds_lowers_what_one_of_them_does_not_see() -> None:
    box, shifted, alone = [0.0, 0.0, 10.0, 10.0], [0.0, 1.0, 10.0, 11.0], [50.0, 50.0, 60.0, 60.0]
    found = merge([findings((box, 0.6, 1)), findings((alone, 0.9, 1), (shifted, 0.8, 1))])
    assert found.confidence.tolist() == pytest.approx([0.7, 0.45])
    assert found.boxes.tolist() == [shifted, alone]


def test_one_fold_is_taken_as_it_is() -> None:
    one = findings(([0.0, 0.0, 1.0, 1.0], 0.5, 0))
    assert merge([one]) is one


def test_folds_that_see_nothing_give_nothing() -> None:
    assert len(merge([findings(), findings()])) == 0
