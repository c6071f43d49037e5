"""Emboli in a small tree: level, side, obstruction; and what is said where the masks do not tell."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.burden import anatomy_files, measure_burden
from pe_nnunet.burden.centre_lines import CentreLines, centre_lines
from pe_nnunet.burden.lumen import areas_mm2
from pe_nnunet.errors import InputError
from pe_nnunet.volumes.geometry import from_lps, image_like

CLOTS = ("left main", "right lower", "left upper", "lower one")
LEVELS = ("main", "lobar", "lobar", "lobar")  # those of "lower" supply half of a lower lobe of seven segments each


@pytest.fixture(scope="package")
def ids(tree):
    labels = np.zeros(tree.lumen.distance.shape, np.uint16)
    for number, (name, width) in enumerate(zip(CLOTS, (0.5, 1.0, 0.6, 1.0), strict=True), 1):
        labels[tree.clot(name, width=width)] = number
    return labels


@pytest.fixture(scope="package")
def found(tree, ids):
    return measure_burden(ids, tree.artery, {"artery": tree.artery})


def test_branches_are_those_that_were_drawn(tree):
    lines = centre_lines(sitk.GetArrayFromImage(tree.artery) > 0, 1.5)
    assert len(lines.parent) == 9
    assert sorted(lines.generations()) == [0, 1, 1, 2, 2, 2, 2, 3, 3]
    np.testing.assert_allclose(lines.points[0], (36, 14, 82), atol=6)  # the root is the trunk's front end
    widest = [np.median(lines.radius[lines.of(branch)]) for branch in (0, *lines.children(0))]
    np.testing.assert_allclose(widest, (10, 7.5, 7.5), atol=0.8)


def test_a_branch_that_no_cube_is_nearest_to_has_an_area():
    points = np.array([[0.0, 0.0, x] for x in range(6)])
    lines = CentreLines(points, np.ones(6), np.array([0, 0, 0, 1, 1, 1]), np.array([-1, 0]))
    assert (areas_mm2(lines, np.array([0, 1, 2]), 1.0) > 0).all()


def test_level_and_side_follow_from_the_way_to_an_embolus(found):
    assert tuple(found.places[k].level for k in range(1, 5)) == LEVELS
    assert [found.places[k].side for k in range(1, 5)] == ["left", "right", "left", "right"]
    assert [found.places[k].generation for k in range(1, 5)] == [1, 2, 2, 3]


def test_obstruction_is_the_share_of_the_cross_section(found):
    for number, exact in enumerate((0.25, 1.0, 0.36, 1.0), 1):
        told = found.places[number].obstruction
        assert told.share == pytest.approx(exact, abs=0.12)
        assert told.low <= exact + 1e-6
        assert exact - 1e-6 <= told.high


def test_scores_have_bounds_that_hold_them(found):
    for score in (found.qanadli, found.mastora):
        assert 0 < score.low <= score.points <= score.high <= score.most
    # 10 of the left lung, partly, and the right lower one's 7, closed; what lies beyond these adds nothing
    assert found.qanadli.points in (23, 24, 25)


@pytest.mark.parametrize("axes", ["RAI", "ASR"])
def test_the_order_of_the_axes_does_not_matter(tree, ids, found, axes):
    turned = sitk.DICOMOrient(tree.artery, axes)
    labels = from_lps(image_like(ids, tree.artery), turned)
    again = measure_burden(sitk.GetArrayFromImage(labels), turned, {"artery": turned})
    assert {k: (p.level, p.side, p.generation) for k, p in again.places.items()} == {
        k: (p.level, p.side, p.generation) for k, p in found.places.items()
    }


def test_an_embolus_off_the_tree_is_said_and_widens_the_bounds(tree, ids, found):
    off = ids.copy()
    off[0:3, 0:3, 0:3] = 5
    again = measure_burden(off, tree.artery, {"artery": tree.artery})
    assert again.places[5].level == ""
    assert again.qanadli.points == found.qanadli.points
    assert (again.qanadli.high, again.mastora.high) == (found.qanadli.high + 2, found.mastora.high + 5)
    assert any(note.code == "PE-BUR-005" and "embolus 5:" in note.message for note in again.notes)


@pytest.mark.parametrize(("kept", "code"), [(slice(0, 0), "PE-BUR-001"), (slice(0, 48), "PE-BUR-002")])
def test_a_mask_that_is_no_tree_of_two_lungs_tells_nothing(tree, ids, kept, code):
    mask = np.zeros(ids.shape, np.uint8)
    mask[..., kept] = (tree.lumen.distance < 0)[..., kept]
    right = np.where(mask > 0, ids, 0)
    told = measure_burden(right, tree.artery, {"artery": image_like(mask, tree.artery)})
    assert (told.qanadli, told.mastora) == (None, None)
    assert not any(place.level for place in told.places.values())
    assert code in [note.code for note in told.notes]


def test_what_is_absent_is_said_and_nothing_guessed(ids, tree):
    told = measure_burden(ids, tree.artery, {})
    assert [note.code for note in told.notes] == ["PE-BUR-003"] * 3
    assert (told.qanadli, told.mastora, told.ventricles) == (None, None, None)
    assert all(place.obstruction is None and place.side is None for place in told.places.values())


def test_lobes_tell_lobe_and_side(tree, ids):
    x = np.indices(ids.shape)[2]
    masks = {
        "lung_lower_lobe_right": image_like((x < 50).astype(np.uint8), tree.artery),
        "lung_upper_lobe_left": image_like((x > 75).astype(np.uint8), tree.artery),
    }
    told = measure_burden(ids, tree.artery, masks)
    assert (told.places[2].lobe, told.places[2].side) == ("right lower", "right")
    assert (told.places[3].lobe, told.places[3].side) == ("left upper", "left")
    assert (told.places[1].lobe, told.places[1].side) == ("", None)  # between them


def test_masks_are_found_by_their_names(tmp_path):
    for name in ("a/lung_arteries.nii.gz", "a/heart_atrium_left.nii.gz", "a/liver.nii.gz", "b/artery.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list(anatomy_files(tmp_path, "a")) == ["lung_arteries", "heart_atrium_left"]
    assert list(anatomy_files(tmp_path / "b", "any")) == ["artery"]
    assert anatomy_files(tmp_path, "c") == {}
    with pytest.raises(InputError, match="PE-BUR-006"):
        anatomy_files(tmp_path / "none", "a")
