"""Clot by side, largest embolus and share outside the lungs, on grids turned every way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.evaluation import evaluate_folder
from pe_nnunet.evaluation.text_tables import cases_csv, read_cases
from pe_nnunet.files import atomic_text
from pe_nnunet.metrics.clot_geometry import LungGeometry, clot_geometry
from pe_nnunet.volumes import spacing_zyx

NAMES = ("largest_ml", "left_ml", "right_ml", "outside_lungs")
SHAPE = (6, 20, 60)  # z, y, x; 2 mm slices of 2 mm pixels, x from the patient's right to the left


def grid(array: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((2.0, 2.0, 2.0))
    image.SetOrigin((-31.0, 5.0, 7.0))
    return image


def lungs() -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, 4:16, 2:22] = 1  # right
    mask[:, 4:16, 38:58] = 1  # left; the plane between them is at x = 29.5 voxels
    return mask


def clot() -> np.ndarray:
    ids = np.zeros(SHAPE, np.uint16)
    ids[1, 5:7, 5:10] = 1  # 10 voxels right, inside the lung
    ids[2, 5, 50:54] = 2  # 4 left, inside
    ids[3, 10, 24:36] = 3  # 12 across: at 29.5, nine of them within 10 mm of it on both sides
    return ids


def measured(axes: str) -> dict[str, float | None]:
    emboli, mask = (sitk.DICOMOrient(grid(a), axes) for a in (clot(), lungs()))
    geometry = LungGeometry.of(mask)
    assert geometry is not None
    return clot_geometry(sitk.GetArrayFromImage(emboli), spacing_zyx(emboli), geometry)


@pytest.mark.parametrize("axes", ["LPS", "RAS", "SAL", "PIR"])
def test_sides_largest_and_outside(axes: str) -> None:
    found = measured(axes)
    voxel_ml = 0.008
    # of embolus 3, x = 24 lies right of the band and x = 35 left of it; ten voxels count on both sides
    assert found["largest_ml"] == pytest.approx(12 * voxel_ml)
    assert found["right_ml"] == pytest.approx((10 + 1 + 10) * voxel_ml)
    assert found["left_ml"] == pytest.approx((4 + 1 + 10) * voxel_ml)
    assert found["outside_lungs"] == pytest.approx(12 / 26)


def test_an_oblique_grid() -> None:
    emboli, mask = grid(clot()), grid(lungs())
    turn = np.deg2rad(3)
    direction = [np.cos(turn), -np.sin(turn), 0, np.sin(turn), np.cos(turn), 0, 0, 0, 1]
    for image in (emboli, mask):
        image.SetDirection(direction)
    geometry = LungGeometry.of(mask)
    assert geometry is not None
    found = clot_geometry(sitk.GetArrayFromImage(emboli), (2, 2, 2), geometry)
    total = (found["left_ml"] or 0) + (found["right_ml"] or 0)
    assert (26 + 8) * 0.008 <= total <= (26 + 11) * 0.008


def test_an_oblique_grid_whose_lungs_lie_between_every_fourth_voxel() -> None:
    mask = np.zeros(SHAPE, np.uint8)
    mask[1, 5, 10] = 1
    image = grid(mask)
    turn = np.deg2rad(3)
    image.SetDirection([np.cos(turn), -np.sin(turn), 0, np.sin(turn), np.cos(turn), 0, 0, 0, 1])
    geometry = LungGeometry.of(image)
    assert geometry is not None
    assert geometry.to_left_mm[3] == pytest.approx(-2 * (10 * np.cos(turn) - 5 * np.sin(turn)))


def test_a_crop_keeps_its_sides() -> None:
    geometry = LungGeometry.of(grid(lungs()))
    assert geometry is not None
    box = (slice(1, 4), slice(3, 12), slice(4, 55))
    assert clot_geometry(clot()[box], (2, 2, 2), geometry.part(box)) == clot_geometry(clot(), (2, 2, 2), geometry)


def test_without_clot_and_without_lungs() -> None:
    assert LungGeometry.of(grid(lungs() * 0)) is None
    assert list(clot_geometry(clot(), (2, 2, 2)).values()) == [pytest.approx(0.096), None, None, None]
    assert list(clot_geometry(clot() * 0, (2, 2, 2), LungGeometry.of(grid(lungs()))).values()) == [0, 0, 0, None]


def test_in_a_folder_and_its_table(tmp_path: Path) -> None:
    for folder, name, array in (
        ("predictions", "001", clot() * (clot() != 2)),
        ("predictions", "e0032", clot()),
        ("labels", "0001RefStd", clot()),
        ("labels", "e0032RefStd", clot()),
        ("vessel", "001_lungmask", lungs()),
        ("vessel", "001", clot()),  # arteries, beside it
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        sitk.WriteImage(grid(array), str(tmp_path / folder / f"{name}.nii.gz"))
    found = evaluate_folder(tmp_path / "predictions", tmp_path / "labels", lungs=tmp_path / "vessel")
    assert [note.code for note in found.notes] == ["PE-EVAL-005", "PE-EVAL-009"] or not found.failures
    first, second = found.cases
    assert (first.case_id, second.case_id) == ("001", "e0032")
    assert first["truth_left_ml"] == pytest.approx(15 * 0.008)
    assert first["predicted_left_ml"] == pytest.approx(11 * 0.008)
    assert [second[f"truth_{name}"] for name in NAMES] == [pytest.approx(0.096), None, None, None]
    atomic_text(tmp_path / "scores" / "cases.csv", cases_csv(found.cases))
    again = read_cases(tmp_path / "scores")
    assert [again[0][f"predicted_{name}"] for name in NAMES] == [
        pytest.approx(0.096),
        pytest.approx(0.088),
        pytest.approx(0.168),
        pytest.approx(12 / 22, abs=1e-5),
    ]
    for name in ("surface_dice", "hd95_mm", "assd_mm", "panoptic_quality", "matched_dice"):
        assert again[1][name] == second[name]
