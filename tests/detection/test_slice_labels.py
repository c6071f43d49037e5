from __future__ import annotations

import numpy as np
import pytest

from pe_nnunet.detection.slice_labels import EMBOLUS, embolus_boxes, lung_boxes, widened, yolo_lines


def test_one_box_holds_both_lungs() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[4:10, 2:8] = 1
    mask[5:15, 20:28] = 1
    assert lung_boxes(mask).tolist() == [[4, 2, 15, 28]]


def test_no_lung_gives_no_box() -> None:
    assert lung_boxes(np.zeros((5, 5), np.uint8)).shape == (0, 4)


def test_each_part_of_each_embolus_has_its_box() -> None:
    ids = np.zeros((20, 20), np.int32)
    ids[2:5, 3:9] = 2
    ids[10:12, 10:12] = 2  # the same embolus, elsewhere on the slice
    ids[5, 3:9] = 4  # another one that touches it
    assert sorted(embolus_boxes(ids).tolist()) == [[2, 3, 5, 9], [5, 3, 6, 9], [10, 10, 12, 12]]


def test_corner_neighbours_are_one_part() -> None:
    assert embolus_boxes(np.eye(4, dtype=np.int32)).tolist() == [[0, 0, 4, 4]]


def test_a_speck_is_widened_about_its_centre_and_a_large_box_kept() -> None:
    boxes = np.array([[10, 10, 11, 11], [0, 0, 20, 30]], float)
    assert widened(boxes, 8).tolist() == [[6.5, 6.5, 14.5, 14.5], [0, 0, 20, 30]]


def test_lines_are_cut_at_the_edge_of_the_picture() -> None:
    (line,) = yolo_lines(np.array([[-10, 50, 10, 150]], float), EMBOLUS, (100, 100))
    label, x, y, width, height = line.split()
    assert label == "1"
    assert [float(v) for v in (x, y, width, height)] == pytest.approx([0.75, 0.05, 0.5, 0.1])


def test_a_box_outside_the_picture_has_no_line() -> None:
    assert yolo_lines(np.array([[-10, 0, -1, 5]], float), EMBOLUS, (100, 100)) == []
