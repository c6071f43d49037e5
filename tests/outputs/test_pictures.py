from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from pe_nnunet.errors import GeometryError, InputError
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.outputs import CaseResult, CohortRow, cohort_picture, truth_overview, write_overview
from pe_nnunet.outputs.drawing import PREDICTION_COLOUR, TRUTH_COLOUR, Volume
from pe_nnunet.outputs.picture_scene import compose
from pe_nnunet.volumes.geometry import image_like, spacing_zyx

OUTLINES = 0.0002  # share of a picture's pixels that outlines cover at least; the legend alone stays below


def picture(path: Path) -> np.ndarray:
    pixels = imread(path)[..., :3]
    assert pixels.shape[0] > 300
    assert pixels.shape[1] > 600
    assert pixels.std() > 0.05  # not blank
    return np.asarray(pixels)


def share_of(pixels: np.ndarray, colour: str) -> float:
    return float((np.abs(pixels - np.array(to_rgb(colour))).max(axis=-1) < 0.06).mean())


def moved_truth(case: CaseResult) -> sitk.Image:
    """The found emboli a voxel aside, and one that was missed."""
    ids = np.roll(case.emboli.labels, 1, axis=2)
    ids[5:7, 10:14, 60:64] = 3
    return image_like(ids, case.image)


def test_overview_outlines_what_was_found(case: CaseResult, tmp_path: Path) -> None:
    write_overview(case, tmp_path / "a.png")
    pixels = picture(tmp_path / "a.png")
    assert share_of(pixels, PREDICTION_COLOUR) > OUTLINES
    assert share_of(pixels, TRUTH_COLOUR) == 0
    write_overview(case, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_overview_with_truth_has_both_colours(case: CaseResult, tmp_path: Path) -> None:
    truth_overview(case, moved_truth(case), tmp_path / "a.png")
    pixels = picture(tmp_path / "a.png")
    assert share_of(pixels, PREDICTION_COLOUR) > OUTLINES
    assert share_of(pixels, TRUTH_COLOUR) > OUTLINES


def test_truth_on_another_grid_is_refused(case: CaseResult, tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match="case_1"):
        truth_overview(case, case.image[:, :, :4], tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_key_slices_name_found_false_and_missed(case: CaseResult) -> None:
    ids = np.where(case.emboli.labels == 1, 1, 0).astype(np.uint16)
    ids[5:7, 10:14, 60:64] = 2
    titles = [key.title for key in compose(case, image_like(ids, case.image)).keys]
    assert titles == [
        "1: probability 0.95, 864 mm³",
        "2: probability 0.60, 81 mm³, false positive",
        "missed: true embolus 2, 144 mm³",
    ]


def test_key_slices_name_the_level(case: CaseResult) -> None:
    with_level = replace(case, artery_mm={1: 11.8})
    titles = [key.title for key in compose(with_level, None).keys]
    assert titles == ["1: probability 0.95, 864 mm³, lobar (12 mm)", "2: probability 0.60, 81 mm³"]


def test_a_truth_mask_is_parted_into_its_emboli(case: CaseResult) -> None:
    mask = np.zeros_like(case.emboli.labels)
    mask[1, 1, 1] = mask[1, 5, 5] = 1
    titles = [key.title for key in compose(case, image_like(mask, case.image)).keys]
    assert len([t for t in titles if t.startswith("missed")]) == 2


def test_with_many_found_the_most_certain_and_the_largest_are_shown(image: sitk.Image) -> None:
    probability = np.zeros(image.GetSize()[::-1], np.float32)
    for k in range(6):
        probability[4, 10, 6 + 8 * k : 9 + 8 * k + k] = 0.9 - 0.05 * k
    found = find_emboli(probability, spacing_zyx(image))
    keys = compose(CaseResult("c", image, found), None).keys
    assert [key.title.split(":")[0] for key in keys] == ["1", "4", "5", "6"]


def test_without_an_embolus_the_strongest_candidates_are_shown(
    image: sitk.Image, probability: np.ndarray, tmp_path: Path
) -> None:
    found = find_emboli(probability, spacing_zyx(image), FusionSettings(threshold=0.99))
    case = CaseResult("quiet", image, found)
    scene = compose(case, None)
    assert [key.title for key in scene.keys] == [
        "candidate 1, not kept: probability 0.95",
        "candidate 2, not kept: probability 0.60",
        "candidate 3, not kept: probability 0.20",
    ]
    assert all(key.marked for key in scene.keys)
    write_overview(case, tmp_path / "a.png")
    picture(tmp_path / "a.png")


def test_without_any_candidate_the_scan_is_shown(image: sitk.Image, tmp_path: Path) -> None:
    empty = find_emboli(np.zeros(image.GetSize()[::-1], np.float32), spacing_zyx(image))
    case = CaseResult("quiet", image, empty)
    assert [key.title for key in compose(case, None).keys] == ["nothing found"] * 4
    write_overview(case, tmp_path / "a.png")
    assert share_of(picture(tmp_path / "a.png"), PREDICTION_COLOUR) < OUTLINES


@pytest.mark.parametrize("code", ["RAS", "LPI", "PSR", "SAL"])
def test_a_scan_looks_the_same_however_its_axes_are_stored(
    image: sitk.Image, probability: np.ndarray, code: str
) -> None:
    image.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, 1))
    turned = sitk.DICOMOrient(image, code)
    as_image = sitk.DICOMOrient(image_like(probability, image), code)
    here = compose(CaseResult("c", image, find_emboli(probability, spacing_zyx(image))), None)
    there = compose(CaseResult("c", turned, find_emboli(sitk.GetArrayFromImage(as_image), spacing_zyx(turned))), None)
    np.testing.assert_array_equal(here.scan.array, there.scan.array)
    np.testing.assert_array_equal(here.found.labels, there.found.labels)
    assert here.keys == there.keys


def test_thousands_of_findings_are_drawn_in_seconds(tmp_path: Path) -> None:
    probability = np.zeros((20, 80, 80), np.float32)
    probability[::2, ::2, ::2] = 0.9
    image = sitk.GetImageFromArray(np.zeros(probability.shape, np.int16))
    found = find_emboli(probability, (1, 1, 1), FusionSettings(min_volume_mm3=0))
    assert len(found.kept) == 16_000
    started = time.perf_counter()
    write_overview(CaseResult("noise", image, found), tmp_path / "a.png")
    assert time.perf_counter() - started < 20  # a second or two; minutes with a line for each
    picture(tmp_path / "a.png")


@pytest.mark.parametrize("shape", [(1, 30, 40), (3, 1, 40), (12, 5, 1)])
def test_flat_volumes_are_drawn_too(shape: tuple[int, int, int], tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.full(shape, 50, np.float32))
    probability = np.full(shape, 0.9, np.float32)
    write_overview(CaseResult("flat", image, find_emboli(probability, (1, 1, 1))), tmp_path / "a.png")
    picture(tmp_path / "a.png")


def test_the_arrays_own_or_keep_their_memory(image: sitk.Image) -> None:
    volume = Volume.of(sitk.Image(image))
    del image
    assert volume.array[12, 30, 40] == 40
    assert volume.array.shape == (24, 60, 80)


def test_cohort_sheet(case: CaseResult, tmp_path: Path) -> None:
    found = image_like(case.emboli.labels, case.image)
    empty = found * 0
    rows = [
        CohortRow("hit", case.image, found, moved_truth(case), "Dice 0.80, 2 of 3 emboli"),
        CohortRow("false_positive", case.image, found, empty, "2 false positives"),
        CohortRow("quiet", case.image, empty, empty, "nothing found"),
        CohortRow("missed", case.image, empty, moved_truth(case), "0 of 3 emboli"),
        CohortRow("fifth", case.image, found, found, "Dice 1.00"),
    ]
    cohort_picture(iter(rows), tmp_path / "sheet.png", title="Held-out scans")
    pixels = picture(tmp_path / "sheet.png")
    assert share_of(pixels, PREDICTION_COLOUR) > OUTLINES
    assert share_of(pixels, TRUTH_COLOUR) > OUTLINES
    cohort_picture(rows[:1], tmp_path / "one.png")
    picture(tmp_path / "one.png")


def test_a_sheet_needs_scans_on_one_grid(case: CaseResult, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="PE-IN-001"):
        cohort_picture([], tmp_path / "sheet.png")
    found = image_like(case.emboli.labels, case.image)
    with pytest.raises(GeometryError, match=r"the label of case a"):
        cohort_picture([CohortRow("a", case.image, found, found[:, :, 1:])], tmp_path / "sheet.png")


def test_no_pyplot() -> None:
    code = "import sys, pe_nnunet.outputs; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
