"""`--save_probabilities`: the files are those of stock nnU-Net, which reads them; and its own are read here."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.ensembling.ensemble import merge_files
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.postprocessing.remove_connected_components import (
    load_postprocess_save,
    remove_all_but_largest_component_from_segmentation,
)
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from pe_nnunet.cli import main
from pe_nnunet.dataset.probabilities import as_read, on_grid_of, read_pe_probability
from pe_nnunet.errors import GeometryError, InputError
from pe_nnunet.outputs.case import StockClasses
from pe_nnunet.outputs.stock_files import all_channels

CASES = {
    # the reader of the plans, order of axes, regions
    "softmax": ("SimpleITKIO", (0, 1, 2), False),
    "regions, read in RAS": ("NibabelIOWithReorient", (1, 2, 0), True),
}


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Soft tissue without lungs, so that all of it is searched, with zeros at the edge that nnU-Net crops away."""
    noise = np.random.default_rng(0).normal(60, 300, (20, 26, 30)).astype(np.int16)
    noise[:3] = 0
    noise[:, :2] = 0
    noise[:, :, -4:] = 0
    image = sitk.GetImageFromArray(noise)
    image.SetSpacing((4.0, 4.5, 5.0))
    image.SetOrigin((-50.0, 20.0, 7.0))
    (tmp_path / "scans").mkdir()
    sitk.WriteImage(image, str(tmp_path / "scans" / "c_0000.nii.gz"))
    sitk.WriteImage(image, str(tmp_path / "c.nii.gz"))
    return tmp_path / "c.nii.gz"


def model_of(model_folder: Any, case: str) -> Path:
    reader, forward, regions = CASES[case]
    folder: Path = model_folder(forward=forward, regions=regions, spacing=(5.0, 4.0, 4.5), gain=20.0)
    plans = json.loads((folder / "plans.json").read_text())
    (folder / "plans.json").write_text(json.dumps({**plans, "image_reader_writer": reader}))
    return folder


def stock(folder: Path, scans: Path, out: Path) -> Path:
    out.mkdir()
    predictor = nnUNetPredictor(
        device=torch.device("cpu"), use_mirroring=False, allow_tqdm=False, perform_everything_on_device=False
    )
    predictor.initialize_from_trained_model_folder(str(folder), (0,))
    predictor.predict_from_files_sequential(str(scans), str(out), save_probabilities=True)
    return out


def ours(folder: Path, scan: Path, out: Path) -> Path:
    command = ["predict-fused", "-i", str(scan), "-o", str(out), "-m", str(folder), "-device", "cpu", "--float32"]
    command += [
        "--disable_tta",
        "--on-no-lungs",
        "full-volume",
        "--save-probability",
        "--no-report",
        "--save_probabilities",
    ]
    assert main(command) == 0
    return out / "nnunet"


@pytest.mark.parametrize("case", CASES)
def test_the_files_are_those_of_stock_nnunet_which_goes_on_with_them(
    case: str, model_folder: Any, scan: Path, tmp_path: Path
) -> None:
    folder = model_of(model_folder, case)
    theirs, mine = stock(folder, tmp_path / "scans", tmp_path / "theirs"), ours(folder, scan, tmp_path / "out")
    a, b = (np.load(where / "c.npz")["probabilities"] for where in (theirs, mine))
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    assert a[-1].std() > 0.05
    # stock sums windows in half precision, in which the weights at a window's corners vanish
    assert float(np.abs(a - b).mean()) < 1e-3
    assert float((np.abs(a - b) > 0.01).mean()) < 5e-3
    with (theirs / "c.pkl").open("rb") as one, (mine / "c.pkl").open("rb") as other:
        expected, found = pickle.load(one), pickle.load(other)  # noqa: S301 - written here
    geometry = next(key for key in expected if key.endswith("_stuff"))
    assert {geometry, "spacing", "shape_before_cropping", "bbox_used_for_cropping"} <= found.keys()
    for name, value in expected[geometry].items():
        if name == "original_orientation":
            assert found[geometry][name] == value
        else:
            np.testing.assert_allclose(found[geometry][name], value, atol=1e-5)
    masks = [sitk.ReadImage(str(where / "c.nii.gz")) for where in (theirs, mine)]
    one, other = map(sitk.GetArrayFromImage, masks)
    assert (one != other).mean() < 2e-3
    assert (one > 0).any()

    # nnU-Net's own ensembling and postprocessing, on one folder of each
    plans = PlansManager(json.loads((mine / "plans.json").read_text()))
    dataset = json.loads((mine / "dataset.json").read_text())
    reader = plans.image_reader_writer_class()
    merged = tmp_path / "merged"
    merge_files(
        [str(mine / "c.npz"), str(theirs / "c.npz")], str(merged), dataset["file_ending"], reader,
        plans.get_label_manager(dataset), True,
    )  # fmt: skip
    mean = sitk.ReadImage(f"{merged}.nii.gz")
    np.testing.assert_allclose(mean.GetOrigin(), masks[0].GetOrigin(), atol=1e-4)
    assert (sitk.GetArrayFromImage(mean) != one).mean() < 2e-3
    load_postprocess_save(
        str(mine / "c.nii.gz"), f"{merged}_pp.nii.gz", reader,
        [remove_all_but_largest_component_from_segmentation], [{"labels_or_regions": [1, 2]}],
    )  # fmt: skip
    kept = sitk.GetArrayFromImage(sitk.ReadImage(f"{merged}_pp.nii.gz"))
    assert 0 < (kept > 0).sum() <= (other > 0).sum()

    # and back: what stock wrote is the probability that we write
    name = plans.plans["image_reader_writer"]
    read = read_pe_probability(theirs / "c.npz", dataset, name, sitk.ReadImage(str(scan)))
    written = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / "c_probability.nii.gz")))
    assert float(np.abs(read - written).mean()) < 1e-3


@pytest.mark.parametrize("reader", ["SimpleITKIOWithReorient", "NibabelIOWithReorient", "SimpleITKIO", "NibabelIO"])
@pytest.mark.parametrize("code", ["LPS", "RAS", "PIR", "SAL"])
def test_axes_are_turned_as_by_the_reader_and_back(reader: str, code: str, tmp_path: Path) -> None:
    values = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.7, 0.8, 2.0))
    turn = sitk.Euler3DTransform((0, 0, 0), 0.1, -0.05, 0.15)
    image.SetDirection(turn.GetMatrix())
    image = sitk.DICOMOrient(image, code)
    path = str(tmp_path / "x.nii.gz")
    sitk.WriteImage(image, path)
    plans = PlansManager({"image_reader_writer": reader})
    (read,), _ = plans.image_reader_writer_class().read_images((path,))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(as_read(image, reader)), read)
    np.testing.assert_array_equal(on_grid_of(read, image, reader), sitk.GetArrayFromImage(image))


def test_classes_under_softmax_add_up_to_1_whatever_boxes_did_to_pe() -> None:
    def image(*values: float) -> sitk.Image:
        return sitk.GetImageFromArray(np.array(values, np.float32).reshape(1, 1, -1))

    described = {"labels": {"background": 0, "artery": 1, "PE": 2, "vein": 3}}
    stock_classes = StockClasses({}, described, {1: image(0.5, 0.3, 0.0), 3: image(0.3, 0.2, 0.0)})
    channels = all_channels(stock_classes, image(0.1, 0.8, 1.0))[:, 0, 0].T
    # background, artery, PE, vein: as it is; 0.5 shrunk to the 0.2 that PE leaves; nothing left
    np.testing.assert_allclose(channels, [[0.1, 0.5, 0.1, 0.3], [0, 0.12, 0.8, 0.08], [0, 0, 1, 0]], atol=1e-6)


LABELS = {"labels": {"background": 0, "artery": 1, "PE": 2, "ignore": 3}}
GOOD = np.full((3, 2, 3, 4), 0.25, np.float32)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"softmax": GOOD}, "nnU-Net 1 wrote it"),
        ({"data": GOOD}, "no probabilities, but data"),
        ({"probabilities": GOOD[:2]}, "expected 3 channels for the labels"),
        ({"probabilities": GOOD[0]}, "expected 3 channels"),
        ({"probabilities": GOOD * 8}, "values from 2 to 2"),
        ({"probabilities": GOOD * np.nan}, "expected 0 to 1"),
    ],
)
def test_what_is_no_map_of_these_labels_is_refused(content: Any, named: str, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "c.npz", **content)
    with pytest.raises(InputError, match="PE-MODEL-016") as caught:
        read_pe_probability(tmp_path / "c.npz", LABELS, "SimpleITKIO", sitk.Image([4, 3, 2], sitk.sitkUInt8))
    assert named in str(caught.value)


def test_another_grid_and_a_damaged_file(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "c.npz", probabilities=GOOD)
    with pytest.raises(GeometryError, match="PE-GEO-001"):
        read_pe_probability(tmp_path / "c.npz", LABELS, "SimpleITKIO", sitk.Image([2, 3, 4], sitk.sitkUInt8))
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match="PE-MODEL-016"):
        read_pe_probability(tmp_path / "c.npz", LABELS, "SimpleITKIO", sitk.Image([4, 3, 2], sitk.sitkUInt8))
    with pytest.raises(InputError, match="PE-MODEL-016"):
        read_pe_probability(tmp_path / "none.npz", LABELS, "SimpleITKIO", sitk.Image([4, 3, 2], sitk.sitkUInt8))


def test_regions_class_order_alone_makes_no_regions(tmp_path: Path) -> None:
    """nnU-Net trains labels of one value each by softmax, whatever `regions_class_order` says: channel 1 is PE."""
    maps = np.stack([np.full((2, 3, 4), value, np.float32) for value in (0.9, 0.1)])
    np.savez_compressed(tmp_path / "c.npz", probabilities=maps)
    labels = {"labels": {"background": 0, "PE": [1]}, "regions_class_order": [1]}
    read = read_pe_probability(tmp_path / "c.npz", labels, "SimpleITKIO", sitk.Image([4, 3, 2], sitk.sitkUInt8))
    np.testing.assert_allclose(read, 0.1)


def test_models_of_different_labels_have_no_common_classes(
    model_folder: Any, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [str(model_folder()), str(model_folder("B__P__3d_fullres", regions=True))]
    command = ["predict-fused", "-i", str(scan), "-o", str(tmp_path / "out"), "-m", *folders, "-device", "cpu"]
    assert main([*command, "--save_probabilities"]) == 2
    assert capsys.readouterr().err.startswith("PE-MODEL-015: ")
