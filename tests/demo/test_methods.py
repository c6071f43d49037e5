"""Segmentation alone and detection alone are scored from what one prediction has kept of both."""

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.demo.methods import score_parts
from pe_nnunet.demo.report import missed_goals, table
from pe_nnunet.detection import Detections, SliceBox
from pe_nnunet.detection.box_tubes import tube_of
from pe_nnunet.detection.results import write_detections
from pe_nnunet.fusion import FusionSettings
from pe_nnunet.fusion.stored import OperatingPoints, StoredFusion
from pe_nnunet.volumes import from_lps, image_like

SHAPE = (10, 20, 24)
PLACES = ((2, 3, 3), (2, 12, 15), (6, 3, 15))  # two emboli and a place without one


def box_at(place, confidence):
    z, y, x = place
    return tube_of([SliceBox(k, y, x, y + 3, x + 3, confidence) for k in range(z, z + 3)], SHAPE)


def volume(*values):
    array = np.zeros(SHAPE, np.float32)
    for (z, y, x), value in zip(PLACES, values, strict=True):
        array[z : z + 3, y : y + 3, x : x + 3] = value
    return array


@pytest.fixture
def out(tmp_path):
    """Segmentation sees the first embolus and the false one, detection both emboli; the scan's axes run otherwise."""
    hu = np.full(SHAPE, -900, np.int16)
    hu[:, :10] = 40
    upright = sitk.GetImageFromArray(hu)
    upright.SetSpacing((2.0, 2.0, 2.5))
    scan = sitk.DICOMOrient(upright, "RAS")
    for folder in ("scans/test/a", "scans/to_predict/a", "predictions"):
        (tmp_path / folder).mkdir(parents=True)
    sitk.WriteImage(scan, str(tmp_path / "scans/to_predict/a/ct.nii.gz"))
    truth = from_lps(image_like(volume(1, 2, 0).astype(np.uint16), upright), scan)
    sitk.WriteImage(truth, str(tmp_path / "scans/test/a/emboli.nii.gz"))
    probability = from_lps(image_like(volume(0.7, 0.2, 0.6), upright), scan)
    sitk.WriteImage(probability, str(tmp_path / "predictions/a_segmentation_probability.nii.gz"))
    boxes = tuple(box_at(place, confidence) for place, confidence in zip(PLACES, (0.9, 0.4, 0.2), strict=True))
    write_detections(Detections(None, boxes), scan, tmp_path / "predictions", "a", {})
    return tmp_path


@pytest.mark.parametrize(
    ("threshold", "confidence", "expected"), [(0.5, 0.3, [(1, 1), (2, 0)]), (0.1, 0.1, [(2, 1), (2, 1)])]
)
def test_each_method_stands_at_its_own_operating_point(out, threshold, confidence, expected):
    points = StoredFusion(OperatingPoints(FusionSettings(threshold)), boxes_confidence=confidence)
    scores = score_parts(out, points)
    assert [(row.found, row.false_positives) for row in scores] == expected
    assert scores[1].dice > 0.6
    lines = table({"one": scores[0], "another": scores[1]}).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert f"{scores[0].found} of 2" in lines[1]


def test_goals_that_are_missed_are_told(out):
    points = StoredFusion(OperatingPoints(FusionSettings()), boxes_confidence=0.3)
    one, both = score_parts(out, points)
    assert missed_goals(both, one) == ()
    assert [line.split(",")[0] for line in missed_goals(one, both)] == ["F1 0.50"]
