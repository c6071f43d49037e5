from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.dataset.raw import case_file
from pe_nnunet.detection.raster import Layout
from pe_nnunet.detection.settings import DetectorSettings
from pe_nnunet.detection.slice_labels import CLASSES
from pe_nnunet.detection.train_folds import load_fold
from pe_nnunet.detection.training_slices import SliceSet, export_slices, extra_images
from pe_nnunet.errors import ConfigurationError


@pytest.fixture(scope="module")
def slices(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> SliceSet:
    return export_slices(raw, tmp_path_factory.mktemp("slices") / "set", DetectorSettings(image_size=96))


def boxes(slices: SliceSet, name: str) -> dict[str, list[list[float]]]:
    """Boxes of a picture in pixels, y0 x0 y1 x1, by class."""
    found: dict[str, list[list[float]]] = {name: [] for name in CLASSES}
    for line in (slices.folder / "labels" / f"{name}.txt").read_text().splitlines():
        label, *values = line.split()
        x, y, width, height = (float(v) * 96 for v in values)
        found[CLASSES[int(label)]].append([y - height / 2, x - width / 2, y + height / 2, x + width / 2])
    return found


def test_pixels_are_as_large_as_the_largest_slice_needs(slices: SliceSet) -> None:
    assert slices.raster.pixel_mm == pytest.approx(48 * 2.0 / 96, abs=1e-3)


def test_every_training_case_gives_slices_and_the_test_set_none(slices: SliceSet) -> None:
    assert set(slices.pictures) == {"n", "p", "q"}
    assert all(slices.pictures.values())
    assert len(list((slices.folder / "images").iterdir())) == sum(map(len, slices.pictures.values()))


def test_boxes_are_those_of_the_masks(slices: SliceSet) -> None:
    found = boxes(slices, "p_0005")
    layout = Layout(slices.raster, (40, 48), (2.0, 2.0))
    voxels = {kind: layout.to_voxels(np.array(values)) for kind, values in found.items()}
    assert voxels["lung"] == pytest.approx(np.array([[8, 4, 32, 44]]), abs=0.1)
    large, speck = sorted(voxels["embolus"].tolist(), key=lambda box: -box[2])
    assert large == pytest.approx([18, 21, 23, 26], abs=0.1)
    assert speck == pytest.approx([16, 26, 20, 30], abs=0.1)  # widened from 2 voxels to 8 pixels about its centre


def test_slices_without_emboli_are_there_and_know_their_lungs(slices: SliceSet) -> None:
    for name in slices.pictures["n"]:
        assert boxes(slices, name)["embolus"] == []
    assert sum(len(boxes(slices, name)["lung"]) for name in slices.pictures["n"]) >= 5


def test_a_picture_shows_the_slice_in_the_order_of_the_windows(raw: Path, slices: SliceSet) -> None:
    picture = sitk.GetArrayFromImage(sitk.ReadImage(str(slices.folder / "images" / "p_0005.png")))
    assert picture.shape == (96, 96, 3)
    hu = sitk.GetArrayFromImage(sitk.ReadImage(str(case_file(raw, "image", "p"))))[5:6]
    assert np.array_equal(picture, Layout(slices.raster, (40, 48), (2.0, 2.0)).pictures(hu)[0])


def test_the_table_names_the_target_ratio_of_each_picture(slices: SliceSet) -> None:
    rows = {row["picture"]: row for row in csv.DictReader((slices.folder / "slices.csv").open())}
    assert float(rows["p_0005"]["target_ratio"]) == pytest.approx(29 / (40 * 48), rel=1e-3)
    assert rows["p_0005"]["embolus_boxes"] == "2"
    assert set(rows) == {name for names in slices.pictures.values() for name in names}


@pytest.mark.parametrize("fold", ["0", "1"])
def test_folds_are_those_of_the_segmenters(raw: Path, slices: SliceSet, fold: str) -> None:
    split = json.loads((raw / "splits_final.json").read_text())[int(fold)]
    ours = load_fold(raw, raw / "nothing", fold, ["n", "p", "q"])
    assert (ours["train"], ours["val"]) == (split["train"], split["val"])
    train, val = ({p.name[0] for p in slices.images(cases)} for cases in (ours["train"], ours["val"]))
    assert (train, val) == (set(split["train"]), set(split["val"]))


def test_the_splits_that_nnunet_has_prepared_come_first(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "splits_final.json").write_text(json.dumps([{"train": ["q"], "val": ["p"]}]))
    assert load_fold(raw, tmp_path, "0", [])["val"] == ["p"]


@pytest.mark.parametrize("fold", ["2", "x", "-1"])
def test_a_fold_that_is_not_there_is_named(raw: Path, fold: str) -> None:
    with pytest.raises(ConfigurationError, match=r"PE-DET-004.*take one of 0, 1"):
        load_fold(raw, raw / "nothing", fold, [])


def test_what_is_there_already_is_used_again_and_what_has_changed_is_not(raw: Path, tmp_path: Path) -> None:
    copy = tmp_path / raw.name
    shutil.copytree(raw, copy)
    first = export_slices(copy, tmp_path / "set", DetectorSettings(image_size=96))
    marker = tmp_path / "set" / "marker"
    marker.touch()
    assert export_slices(copy, tmp_path / "set", DetectorSettings(image_size=96)) == first
    assert marker.exists()
    picture = min((tmp_path / "set" / "images").iterdir())
    good = picture.read_bytes()
    picture.write_bytes(good[:100])
    export_slices(copy, tmp_path / "set", DetectorSettings(image_size=96))
    assert picture.read_bytes() == good
    marker.touch()
    image = sitk.ReadImage(str(case_file(copy, "image", "p")))
    sitk.WriteImage(image + 10, str(case_file(copy, "image", "p")))
    export_slices(copy, tmp_path / "set", DetectorSettings(image_size=96))
    assert not marker.exists()


def test_pictures_whose_removal_was_stopped_half_way_are_not_taken_for_whole(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(folder: Path, ignore_errors: bool) -> None:
        next((folder / "images").iterdir()).unlink()
        raise KeyboardInterrupt

    first = export_slices(raw, tmp_path / "set", DetectorSettings(image_size=96))
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", stopped)
        with pytest.raises(KeyboardInterrupt):
            export_slices(raw, tmp_path / "set", DetectorSettings(image_size=64))
    again = export_slices(raw, tmp_path / "set", DetectorSettings(image_size=96))
    assert again == first
    assert all(path.is_file() for path in again.images(list(again.pictures)))


def test_a_case_without_lung_mask_is_left_out_with_a_note(raw: Path, tmp_path: Path) -> None:
    copy = tmp_path / raw.name
    shutil.copytree(raw, copy)
    case_file(copy, "lungs", "q").unlink()
    slices = export_slices(copy, tmp_path / "set", DetectorSettings(image_size=96))
    assert set(slices.pictures) == {"n", "p"}
    assert [note.code for note in slices.notes] == ["PE-DET-010"]


@pytest.mark.parametrize("side", [100, 32, 0, 4128])
def test_a_side_that_no_detector_takes_is_refused(raw: Path, tmp_path: Path, side: int) -> None:
    with pytest.raises(ConfigurationError, match="PE-DET-003"):
        export_slices(raw, tmp_path, DetectorSettings(image_size=side))


def test_a_further_dataset_is_drawn_at_the_same_scale_and_never_shows_a_patient_of_the_validation(
    raw: Path, slices: SliceSet, tmp_path: Path
) -> None:
    boxes_only = DetectorSettings(image_size=96, negative_share=0, min_negatives=0)
    extra = export_slices(raw, tmp_path / "extra", boxes_only, 2 * slices.raster.pixel_mm)
    assert extra.raster.pixel_mm == 2 * slices.raster.pixel_mm
    assert extra.pictures["n"] == ()  # a scan without boxes gives no slice
    assert {path.name[0] for path in extra_images([extra], ["q"])} == {"p"}
    assert {path.name[0] for path in extra_images([extra], [])} == {"p", "q"}


def test_ignored_voxels_give_no_boxes_and_their_slices_stand_for_nothing(raw: Path, tmp_path: Path) -> None:
    """Case p: embolus 7 and slices 0 to 4 are ignored; of embolus 3, in slices 3 to 8, four slices are left."""
    folder = tmp_path / raw.name
    shutil.copytree(raw, folder)
    settings = DetectorSettings(image_size=96, min_negatives=12)
    before = export_slices(folder, tmp_path / "set", settings)
    assert len(before.pictures["p"]) == 12
    label = sitk.ReadImage(str(case_file(folder, "instances", "p")))
    ids = sitk.GetArrayFromImage(label)
    values = np.where((ids == 7) | (np.arange(12) < 5)[:, None, None], 2, ids > 0).astype(np.uint8)
    for case, array in (("p", values), ("n", values * 0), ("q", values * 0)):
        image = sitk.GetImageFromArray(array)
        image.CopyInformation(label)
        case_file(folder, "label", case).parent.mkdir(exist_ok=True)
        sitk.WriteImage(image, str(case_file(folder, "label", case)))
    content = {"labels": {"background": 0, "PE": 1, "ignore": 2}}
    (folder / "dataset.json").write_text(json.dumps(content))
    after = export_slices(folder, tmp_path / "set", settings)
    assert [int(name[-4:]) for name in after.pictures["p"]] == [5, 6, 7, 8, 9, 10, 11]
    assert after.pictures["n"] == before.pictures["n"]
    assert len(boxes(after, "p_0005")["embolus"]) == 1
