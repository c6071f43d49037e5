from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk

from pe_nnunet.detection import detect
from pe_nnunet.detection.raster import Layout, Raster
from pe_nnunet.detection.slice_labels import EMBOLUS, LUNG
from pe_nnunet.detection.suppress import SliceFindings
from pe_nnunet.voxels import Box

SPACING_XYZ, SHAPE = (0.8, 1.25, 2.0), (20, 40, 60)


@dataclass
class Scripted:
    """A detector that says on each slice what it is told to, in mm from the slice's corner: y0, x0, y1, x1."""

    says: dict[int, list[tuple[list[float], float, int]]]
    raster: Raster = field(default_factory=lambda: Raster(0.5, 128))
    slice_: int = 0
    batches: list[int] = field(default_factory=list)

    def __call__(self, pictures: npt.NDArray[np.uint8]) -> list[SliceFindings]:
        found = []
        layout = Layout(self.raster, SHAPE[1:], (SPACING_XYZ[1], SPACING_XYZ[0]))
        assert pictures.shape == (len(pictures), *layout.picture_shape, 3)
        for _ in pictures:
            rows = self.says.get(self.slice_, [])
            boxes = np.array([row[0] for row in rows], float).reshape(-1, 4) / [1.25, 0.8, 1.25, 0.8]
            confidence, label = [row[1] for row in rows], [row[2] for row in rows]
            found.append(SliceFindings(layout.to_pixels(boxes), np.array(confidence), np.array(label, np.intp)))
            self.slice_ += 1
        self.batches.append(len(pictures))
        return found


def image() -> sitk.Image:
    scan = sitk.GetImageFromArray(np.zeros(SHAPE, np.int16))
    scan.SetSpacing(SPACING_XYZ)
    return scan


def test_an_embolus_comes_back_in_voxels() -> None:
    mm = [10.0, 16.0, 20.0, 24.0]
    found = detect(image(), Scripted({z: [(mm, 0.1 * z, EMBOLUS)] for z in (4, 5, 6)}))
    (tube,) = found.emboli
    assert tube.box == Box((4, 8, 20), (7, 16, 30))
    assert tube.confidence == pytest.approx(0.6)
    assert (found.lungs, found.notes) == (None, ())


def test_emboli_come_by_falling_confidence() -> None:
    says = {2: [([0, 0, 9, 9], 0.2, EMBOLUS), ([30, 30, 40, 40], 0.9, EMBOLUS)], 9: [([0, 0, 9, 9], 0.5, EMBOLUS)]}
    assert [tube.confidence for tube in detect(image(), Scripted(says)).emboli] == [0.9, 0.5, 0.2]


def test_lungs_are_the_box_around_long_tubes_and_a_short_one_elsewhere_is_no_lung() -> None:
    left, right = [5.0, 4.0, 45.0, 20.0], [5.0, 28.0, 45.0, 44.0]
    says = {z: [(left, 0.8, LUNG), (right, 0.8, LUNG)] for z in range(2, 18)}
    says[19] = [([46.0, 0.0, 50.0, 48.0], 0.9, LUNG)]
    found = detect(image(), Scripted(says))
    assert found.lungs == Box((2, 4, 5), (18, 36, 55))
    assert found.emboli == ()


def test_unsure_lungs_are_none() -> None:
    says = {z: [([0, 0, 9, 9], 0.1, LUNG)] for z in range(20)}
    assert detect(image(), Scripted(says)).lungs is None


def test_boxes_that_are_none_are_dropped_with_a_note() -> None:
    bad = [([math.nan, 0, 9, 9], 0.9, EMBOLUS), ([9, 9, 0, 0], 0.9, EMBOLUS), ([0, 0, 9, 9], 0.9, EMBOLUS)]
    found = detect(image(), Scripted({3: bad}))
    assert len(found.emboli) == 1
    (note,) = found.notes
    assert (note.code, note.message[:1]) == ("PE-DET-008", "2")


def test_slices_come_in_batches_of_bounded_size_and_progress_is_told() -> None:
    detector, seen = Scripted({}), list[tuple[int, int]]()
    detect(image(), detector, lambda done, total: seen.append((done, total)))
    assert detector.batches == [8, 8, 4]
    assert seen == [(8, 20), (16, 20), (20, 20)]
