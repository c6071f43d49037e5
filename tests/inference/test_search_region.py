"""Where the networks look."""

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.errors import GeometryError, InputError
from pe_nnunet.inference.search_region import artery_region, lung_region
from pe_nnunet.roi import crop
from pe_nnunet.volumes import image_like
from pe_nnunet.voxels import Box


def test_lungs_give_a_box_and_their_hull(thorax):
    region = lung_region(thorax, 10.0, "error")
    assert region.kind == "lungs"
    assert 0.4 < region.within.mean() < 0.95
    facts = region.facts(thorax.GetSize()[::-1])
    assert 0 < facts["searched_fraction"] < facts["volume_fraction"] < 1
    assert facts["box_zyx_lps"] == region.box.to_list()


def test_lungs_that_a_detector_saw_join_the_region(thorax):
    alone = lung_region(thorax, 10.0, "error")
    inside = Box(tuple(n + 2 for n in alone.box.start), tuple(n - 2 for n in alone.box.stop))
    same = lung_region(thorax, 10.0, "error", inside)
    assert same.box == alone.box
    np.testing.assert_array_equal(same.within, alone.within)
    start, stop = alone.box.start, alone.box.stop
    front = Box((start[0] + 5, 0, start[2] + 5), (stop[0] - 5, stop[1] - 5, stop[2] - 5))
    grown = lung_region(thorax, 10.0, "error", front)
    assert alone.box.start[1] > 0 == grown.box.start[1]
    assert grown.within[tuple(slice(a - b, a - b + 1) for a, b in zip(front.start, grown.box.start, strict=True))].all()
    assert grown.within.sum() > alone.within.sum()


def test_without_lungs_those_of_the_detector_count_else_the_whole_scan_or_an_error(thorax):
    solid = image_like(np.full(thorax.GetSize()[::-1], 40, np.int16), thorax)
    with pytest.raises(InputError, match="PE-ROI-001"):
        lung_region(solid, 10.0, "error")
    assert lung_region(solid, 10.0, "full-volume").kind == "whole"
    seen = lung_region(solid, 8.0, "error", Box((10, 10, 10), (20, 20, 20)))
    assert (seen.box, seen.within) == (Box((8, 8, 8), (22, 22, 22)), None)
    assert [note.code for note in seen.notes] == ["PE-ROI-003", "PE-CONV-030"]


def test_loose_slices_are_searched_whole(thorax):
    region = lung_region(crop(thorax, Box((20, 0, 0), (21, 60, 80))), 10.0, "error")
    assert (region.kind, region.box.shape, region.within) == ("whole", (1, 60, 80), None)


def test_along_the_arteries(thorax):
    mask = np.zeros(thorax.GetSize()[::-1], np.uint8)
    mask[28, 30, 20:60] = 1
    turned = sitk.DICOMOrient(image_like(mask, thorax), "SAR")  # a tool may have written other axes
    region = artery_region(thorax, turned, 10.0)
    assert region.box == Box((25, 27, 17), (32, 34, 63))
    spots = np.argwhere(region.within) + region.box.start
    assert set(map(tuple, spots)) >= {(28, 30, 30), (29, 30, 30), (28, 29, 40)}
    assert (27, 29, 30) not in set(map(tuple, spots))  # 5.7 mm away
    with pytest.raises(InputError, match="PE-ROI-004"):
        artery_region(thorax, image_like(0 * mask, thorax), 10.0)
    with pytest.raises(GeometryError):
        artery_region(thorax, sitk.GetImageFromArray(mask[1:]), 10.0)
