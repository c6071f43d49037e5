"""A raw dataset that cannot be trained on is refused before its fingerprint is taken."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor
from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.planners import PEFingerprintExtractor, PETARUNetPlanner, fingerprint
from pe_nnunet.planners.check_dataset import LABELS_READ, check_dataset
from pe_nnunet.registration import register

LABELS = {"background": 0, "PE": 1}


def write(folder, cases, *, values=None, channels=("CT",), labels=None):
    """A raw dataset of 4x4x4 voxels; `values` gives the highest label value by case, 1 if it is not told."""
    paths = {}
    for case in cases:
        label = np.zeros((4, 4, 4), np.uint16)
        label.reshape(-1)[:3] = range(3)
        label = np.minimum(label, (values or {}).get(case, 1))
        files = {f"imagesTr/{case}_{index:04d}.mha": np.zeros((4, 4, 4), np.float32) for index in range(len(channels))}
        for name, array in {**files, f"labelsTr/{case}.mha": label}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
        paths[case] = {"images": [str(folder / name) for name in files], "label": str(folder / f"labelsTr/{case}.mha")}
    facts = {"channel_names": {str(i): name for i, name in enumerate(channels)}, "labels": labels or LABELS}
    facts |= {"file_ending": ".mha", "numTraining": len(paths)}
    (folder / "dataset.json").write_text(json.dumps(facts))
    return facts, paths


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw" / "Dataset501_CTPA"
    folder.mkdir(parents=True)
    return folder


def look(raw: Path, facts, paths):
    return [note.code for note in check_dataset(raw, raw.parents[1] / "preprocessed" / raw.name, facts, paths)]


def splits(folder: Path, *folds):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "splits_final.json").write_text(json.dumps([{"train": t, "val": v} for t, v in folds]))


def test_a_sound_dataset_is_planned_for_without_a_word(raw):
    assert look(raw, *write(raw, "abcde")) == []
    splits(raw, (["a", "b"], ["c", "d", "e"]))
    assert look(raw, *write(raw, "abcde")) == []


def test_few_cases_without_splits_are_noted(raw):
    assert look(raw, *write(raw, "ab")) == ["PE-TRAIN-014"]


@pytest.mark.parametrize("values", [{"b": 2}, {"a": 2, "b": 2}])
def test_ids_left_in_labels_are_refused(raw, values):
    with pytest.raises(
        ConfigurationError, match=r"PE-PLN-007: .*b?\.mha holds the label value 2, .*label-kind instances"
    ):
        look(raw, *write(raw, "ab", values=values))


def test_labels_without_pe_are_refused_however_many(raw):
    cases = [f"c{number:02d}" for number in range(LABELS_READ + 5)]
    with pytest.raises(ConfigurationError, match="PE-PLN-007: none of the 25 label images"):
        look(raw, *write(raw, cases, values=dict.fromkeys(cases, 0)))
    assert look(raw, *write(raw, cases, values=dict.fromkeys(cases[:-1], 0))) == []  # the last one is found


def test_a_fold_without_emboli_is_noted(raw):
    splits(raw, (["a", "b"], ["c"]), (["c"], ["a", "b"]), (["b", "c"], ["a"]))
    facts, paths = write(raw, "abc", values={"a": 0, "b": 0})
    assert look(raw, facts, paths) == ["PE-TRAIN-008", "PE-TRAIN-015", "PE-TRAIN-015"]


def test_cases_that_no_fold_validates_are_noted(raw):
    splits(raw, (["a", "b"], ["c"]), (["a", "c"], ["b"]))
    assert look(raw, *write(raw, "abc")) == ["PE-TRAIN-012"]
    assert look(raw, *write(raw, "abcd")) == ["PE-TRAIN-012"] * 2


def test_the_splits_that_training_takes_are_read(raw):
    preprocessed = raw.parents[1] / "preprocessed" / raw.name
    facts, paths = write(raw, "abcde")
    splits(raw, (["a"], ["b"]))
    splits(preprocessed, (["a"], ["B"]))
    with pytest.raises(ConfigurationError, match=r"PE-TRAIN-012: .*/preprocessed/.*no case B \(b\?\)"):
        look(raw, facts, paths)


@pytest.mark.parametrize(("channels", "files"), [(("CT",), 2), (("CT", "noNorm"), 1)])
def test_files_that_are_not_the_channels_are_refused(raw, channels, files):
    facts, _ = write(raw, "ab", channels=channels)
    _, paths = write(raw, "ab", channels=("CT",) * files)
    with pytest.raises(ConfigurationError, match=rf"PE-PLN-005: a has {files} image files"):
        look(raw, facts, paths)


@pytest.mark.parametrize("part", ["imagesTr/b_0000.mha", "labelsTr/b.mha"])
def test_a_file_that_is_gone_is_named(raw, part):
    facts, paths = write(raw, "ab")
    (raw / part).unlink()
    with pytest.raises(ConfigurationError, match=f"PE-PLN-007: b: .*{part} is not there"):
        look(raw, facts, paths)


def test_a_damaged_label_is_named(raw):
    facts, paths = write(raw, "ab")
    (raw / "labelsTr/b.mha").write_bytes(b"x")
    with pytest.raises(ConfigurationError, match=r"PE-PLN-007: .*b.mha cannot be read"):
        look(raw, facts, paths)


def test_no_case(raw):
    facts, _ = write(raw, "")
    with pytest.raises(ConfigurationError, match=r"PE-PLN-006: .*imagesTr/<case>_0000.mha"):
        look(raw, facts, {})


@pytest.mark.parametrize("shape", [(7, 7, 7), (4, 4, 4), (1, 7, 7)])
def test_images_too_small_for_the_network_are_refused(make_dataset, shape):
    with pytest.raises(ConfigurationError, match=r"PE-PLN-006: .*TARUNet"):
        PETARUNetPlanner(make_dataset(shape, (1.0, 1.0, 1.0))).plan_experiment()


def test_splits_unlike_those_of_before_are_named(make_dataset, tmp_path):
    name = make_dataset((64, 64, 64), (1.0, 1.0, 1.0))
    splits(tmp_path / "raw" / name, (["a"], ["b"]))
    splits(tmp_path / "preprocessed" / name, (["b"], ["a"]))
    with pytest.raises(ConfigurationError, match=r"PE-TRAIN-012: .*another one than in nnUNet_raw"):
        PETARUNetPlanner(name)


def test_the_fingerprint_looks_first_where_the_command_plans_for_us(raw, monkeypatch):
    register()
    folder = str(Path(fingerprint_extractor.__file__).parents[1])
    name, module = "DatasetFingerprintExtractor", "nnunetv2.experiment_planning"
    monkeypatch.setattr(sys, "argv", ["nnUNetv2_plan_and_preprocess", "-d", "501"])
    stock = recursive_find_python_class(folder, name, current_module=module)
    assert stock is fingerprint_extractor.DatasetFingerprintExtractor
    monkeypatch.setattr(sys, "argv", ["nnUNetv2_plan_and_preprocess", "-d", "501", "-pl", "PETARUNetPlanner"])
    assert recursive_find_python_class(folder, name, current_module=module) is PEFingerprintExtractor

    monkeypatch.setattr(fingerprint_extractor, "nnUNet_raw", str(raw.parent))
    monkeypatch.setattr(fingerprint, "nnUNet_preprocessed", str(raw.parents[1] / "preprocessed"))
    write(raw, "ab", values={"a": 0, "b": 0})
    with pytest.raises(ConfigurationError, match="PE-PLN-007"):
        PEFingerprintExtractor(raw.name, 1).run()


def test_an_image_with_nan_is_named(raw, monkeypatch):
    monkeypatch.setattr(fingerprint_extractor, "nnUNet_raw", str(raw.parent))
    monkeypatch.setattr(fingerprint, "nnUNet_preprocessed", str(raw.parents[1] / "preprocessed"))
    write(raw, "ab")
    hu = np.zeros((4, 4, 4), np.float32)
    hu[0, 0, :2] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(hu), str(raw / "imagesTr/b_0000.mha"))

    def run(_self, _overwrite):
        raise AssertionError("Images contains NaN values. grrrr.... :-(")  # as nnU-Net's worker processes

    monkeypatch.setattr(fingerprint_extractor.DatasetFingerprintExtractor, "run", run)
    with pytest.raises(ConfigurationError, match=r"PE-PLN-007: .*b_0000.mha holds 2 NaN voxels"):
        PEFingerprintExtractor(raw.name, 1).run()
