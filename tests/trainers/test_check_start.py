"""A training that would end badly is refused before it writes anything; the files here hold no voxel."""

from __future__ import annotations

import copy
import json
import pickle
import time

import numpy as np
import pytest
import torch

from pe_nnunet.dataset.records import CaseRecord, Geometry
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.trainers import PETARUNetTrainer
from pe_nnunet.trainers.check_plans import what_is_wrong
from pe_nnunet.trainers.check_start import check_start
from pe_nnunet.voxels import Box

NAME = "Dataset501_CTPA"
FACTS = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "PE": 1}, "numTraining": 3, "file_ending": ".nii.gz"}
SETTINGS = {
    "data_identifier": "PEPlans_3d_fullres",
    "preprocessor_name": "DefaultPreprocessor",
    "batch_size": 2,
    "patch_size": [16, 32, 32],
    "spacing": [1.0, 1.0, 1.0],
    "normalization_schemes": ["CTNormalization"],
    "use_mask_for_norm": [False],
    "architecture": {
        "network_class_name": "pe_nnunet.networks.tar_unet.TARUNet",
        "arch_kwargs": {
            "n_stages": 3,
            "features_per_stage": [4, 8, 8],
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[3, 3, 3]] * 3,
            "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "nonlin"],
    },
    "batch_dice": True,
}


class Dataset:
    """Cases a, b and c in nnUNet_preprocessed, all of them positive; `write` writes what was changed."""

    def __init__(self, folder):
        self.folder = folder
        self.facts = copy.deepcopy(FACTS)
        self.plans = {"dataset_name": NAME, "plans_name": "PETARUNetPlans", "configurations": {}}
        self.plans |= {"configurations": {"3d_fullres": copy.deepcopy(SETTINGS)}, "label_manager": "LabelManager"}
        self.splits = [{"train": ["a", "b"], "val": ["c"]}]
        self.cases = {"a": True, "b": True, "c": True}

    @property
    def root(self):
        return self.folder / "nnUNet_preprocessed" / NAME

    def write(self):
        data = self.root / "PEPlans_3d_fullres"
        for folder in (data, self.root / "gt_segmentations"):
            folder.mkdir(parents=True, exist_ok=True)
        for case, holds in self.cases.items():
            locations = {"class_locations": {1: np.ones((int(holds), 4), int)}}
            (data / f"{case}.pkl").write_bytes(pickle.dumps(locations))
            for name in (f"{case}.b2nd", f"{case}_seg.b2nd"):
                (data / name).write_bytes(b"x")
            (self.root / "gt_segmentations" / f"{case}.nii.gz").touch()
        (self.root / "dataset.json").write_text(json.dumps(self.facts))
        (self.root / "dataset_fingerprint.json").write_text("{}")
        (self.root / "PETARUNetPlans.json").write_text(json.dumps(self.plans))
        if self.splits is not None:
            (self.root / "splits_final.json").write_text(json.dumps(self.splits))
        return self

    def check(self, fold=0, configuration="3d_fullres"):
        return [
            note.code
            for note in check_start(PETARUNetTrainer, copy.deepcopy(self.plans), configuration, fold, self.facts)
        ]

    def refused(self, code, text, fold=0, configuration="3d_fullres"):
        with pytest.raises(ConfigurationError, match=f"{code}: .*{text}"):
            self.check(fold, configuration)


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    return Dataset(tmp_path)


def test_what_can_be_trained_is_not_refused(dataset):
    assert dataset.write().check() == []
    assert dataset.check("all") == []


@pytest.mark.parametrize("fold", [-1, 1, 5, "abc"])
def test_a_fold_beyond_the_splits(dataset, fold):
    dataset.write().refused("PE-TRAIN-013", f"no fold {fold}", fold)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_few_cases_without_splits(dataset, count):
    dataset.splits, dataset.cases = None, dict.fromkeys("abcd"[:count], True)
    dataset.write().refused("PE-TRAIN-014", "train fold all")
    assert dataset.check("all") == []


def test_five_cases_without_splits_get_those_of_nnunet(dataset):
    dataset.splits, dataset.cases = None, dict.fromkeys("abcde", True)
    assert [dataset.write().check(fold) for fold in range(5)] == [[]] * 5
    dataset.refused("PE-TRAIN-013", "folds 0 to 4", 5)


def test_splits_that_cannot_be_used(dataset):
    dataset.splits = [{"train": ["a", "B"], "val": ["c"]}]
    dataset.write().refused("PE-TRAIN-012", r"no case B \(b\?\)")


def test_no_embolus(dataset):
    dataset.cases = {"a": False, "b": False, "c": True}
    dataset.write().refused("PE-TRAIN-008", "none of the 2 training cases of fold 0")
    dataset.cases = {"a": True, "b": False, "c": False}
    assert dataset.write().check() == ["PE-TRAIN-015"]
    assert dataset.check("all") == []
    dataset.cases = dict.fromkeys("abc", False)
    dataset.write().refused("PE-TRAIN-008", "of fold all", "all")


@pytest.mark.parametrize(
    "lost",
    [
        "PEPlans_3d_fullres/b.pkl",
        "PEPlans_3d_fullres/c_seg.b2nd",
        "gt_segmentations/c.nii.gz",
        "./dataset_fingerprint.json",
    ],
)
def test_files_that_are_missing(dataset, lost):
    dataset.write()
    (dataset.root / lost).unlink()
    dataset.refused("PE-TRAIN-017", lost.split("/")[1])


def test_a_case_that_was_not_preprocessed(dataset):
    dataset.write()
    for path in (dataset.root / "PEPlans_3d_fullres").glob("b*"):
        path.unlink()
    dataset.refused("PE-TRAIN-017", "b.b2nd")


def test_scans_of_one_patient_on_both_sides(dataset):
    grid = Geometry((4, 4, 4), (1.0,) * 3, (0.0,) * 3, (1, 0, 0, 0, 1, 0, 0, 0, 1), "LPS")

    def record(case, patient):
        box = Box((0, 0, 0), (4, 4, 4))
        ratios = (0.1, 0.1, 1.0)
        return CaseRecord(
            case, "dicom", case, {}, "", patient, grid, box, 10.0, True, "components", {1: 1.0}, 1, *ratios, ()
        ).to_json()

    records = {case: record(case, patient) for case, patient in {"a": "p", "b": "q", "c": "q"}.items()}
    folder = dataset.folder / "nnUNet_raw" / NAME / "pe_nnunet"
    folder.mkdir(parents=True)
    (folder / "cases.json").write_text(json.dumps({"cases": records}))
    assert dataset.write().check() == ["PE-TRAIN-016"]


def test_plans_that_are_not_meant(dataset):
    dataset.write()
    dataset.refused("PE-TRAIN-019", r"no configuration 3d_full; did you mean 3d_fullres\?", configuration="3d_full")
    dataset.plans["plans_name"] = "OtherPlans"
    dataset.refused("PE-TRAIN-019", "OtherPlans.json is not there")
    dataset.plans["plans_name"] = "PETARUNetPlans"
    dataset.plans["configurations"]["3d_fullres"]["batch_size"] = 3
    dataset.refused("PE-TRAIN-019", "holds others")
    dataset.write().check()
    dataset.facts["numTraining"] = 4
    dataset.refused("PE-TRAIN-019", "of Dataset501_CTPA")
    dataset.plans["dataset_name"] = "Dataset502_Other"
    dataset.refused("PE-TRAIN-019", "of Dataset502_Other")


def test_labels_and_channels(dataset):
    dataset.facts["labels"] = {"background": 0, "PE_central": 1, "PE_peripheral": 2}
    dataset.write().refused("PE-PLN-004", "PE_central, PE_peripheral")
    dataset.facts |= {"labels": FACTS["labels"], "channel_names": {"0": "MR"}}
    dataset.write().refused("PE-PLN-005", "'MR'")


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"patch_size": [16, 30, 32]}, r"not divided by the strides, together \[2, 4, 4\]; \[16, 32, 32\] is"),
        ({"patch_size": [32, 32]}, "spacing is .* expected 2"),
        ({"patch_size": [32, 32], "spacing": [1.0, 1.0]}, "expected 2 whole numbers a stage"),
        ({"patch_size": [0, 32, 32]}, "patch_size"),
        ({"patch_size": [16.0, 32, 32]}, "patch_size"),
        ({"patch_size": 32}, "patch_size"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": -2}, "batch_size"),
        ({"batch_size": 1.5}, "batch_size"),
        ({"batch_size": True}, "batch_size"),
        ({"batch_size": None}, "batch_size"),
        ({"spacing": [1.0, 1.0]}, "spacing"),
        ({"spacing": [0.0, 1.0, 1.0]}, "spacing"),
        ({"spacing": [1.0, 1.0, float("nan")]}, "spacing"),
        ({"normalization_schemes": ["CTNormalization"] * 2}, "one entry for each of 1 channel"),
        ({"use_mask_for_norm": []}, "use_mask_for_norm"),
        ({"n_stages": 4}, "features_per_stage has 3 entries, expected 4"),
        ({"strides": [[1, 1, 1], [2, 2, 2]]}, "strides has 2 entries, expected 3"),
        ({"strides": [[1, 1, 1], [2, 2], [2, 2, 2]]}, "expected 3 whole numbers a stage"),
        ({"strides": [[1, 1, 1], [0, 2, 2], [2, 2, 2]]}, "expected 3 whole numbers a stage"),
        ({"n_conv_per_stage": [2, 2]}, "n_conv_per_stage has 2 entries"),
        ({"n_conv_per_stage_decoder": [2]}, "n_conv_per_stage_decoder has 1 entries, expected 2"),
        ({"features_per_stage": [4, 8]}, "features_per_stage has 2 entries"),
        ({"features_per_stage": [4, 8, -8]}, "no network comes of them"),
        ({"conv_op": "torch.nn.modules.conv.Conv2d"}, "no network comes of them"),
        ({"strides": [[1, 1, 1], [4, 8, 8], [4, 4, 4]]}, "leave one voxel"),
    ],
)
def test_plans_edited_by_hand(dataset, changed, text):
    settings = dataset.plans["configurations"]["3d_fullres"]
    for name, value in changed.items():
        (settings if name in settings else settings["architecture"]["arch_kwargs"])[name] = value
    dataset.write().refused("PE-TRAIN-018", text)


def test_a_cascade(dataset):
    cascade = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    dataset.plans["configurations"]["3d_cascade_fullres"] = cascade
    dataset.write().refused("PE-TRAIN-018", "3d_lowres has predicted", configuration="3d_cascade_fullres")
    assert dataset.check() == []


def test_right_plans_have_nothing_wrong():
    assert what_is_wrong(SETTINGS, 1) is None
    flat = copy.deepcopy(SETTINGS) | {"patch_size": [32, 32], "spacing": [1.0, 1.0]}
    flat["architecture"]["arch_kwargs"]["strides"] = [1, 2, 2]
    assert what_is_wrong(flat, 1) is None


def test_nothing_is_written_by_a_training_that_is_refused(dataset):
    dataset.write()
    with pytest.raises(ConfigurationError, match="PE-TRAIN-013"):
        PETARUNetTrainer(
            dataset.plans | {"continue_training": False}, "3d_fullres", 3, dataset.facts, torch.device("cpu")
        )
    assert not any((dataset.folder / "nnUNet_results").iterdir())


def test_a_second_process_leaves_it_to_the_first(dataset, monkeypatch):
    dataset.write()
    monkeypatch.setattr("pe_nnunet.trainers.base.is_first_process", lambda: False)
    plans = dataset.plans | {"continue_training": False}
    assert PETARUNetTrainer(plans, "3d_fullres", 3, dataset.facts, torch.device("cpu")).fold == 3


def test_many_cases_take_no_time(dataset):
    names = [f"case_{number:04d}" for number in range(500)]
    dataset.cases = dict.fromkeys(names, True)
    dataset.splits = [{"train": names[:400], "val": names[400:]}]
    dataset.write()
    started = time.process_time()
    assert dataset.check() == []
    assert time.process_time() - started < 5
