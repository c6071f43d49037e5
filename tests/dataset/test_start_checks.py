"""Labels, channels and preprocessed files are judged without reading a voxel."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from pe_nnunet.dataset.channels import channel_count, channel_names, check_channels
from pe_nnunet.dataset.label_checks import check_label_names, declared_values, undeclared
from pe_nnunet.dataset.preprocessed import positive_cases, preprocessed_cases, require_complete
from pe_nnunet.errors import ConfigurationError


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        ({"background": 0, "PE_central": 1, "PE_peripheral": 2}, None),
        ({"background": 0, "PE": 1, "embolus": 2}, None),
        ({"background": 0}, None),
        ({"background": 0, "PE": 2}, None),
        ({"background": 0, "PE": 255}, None),
        ({"PE": 1}, None),
        ({"background": 0, "PE": [1, 2]}, None),
    ],
)
def test_labels_that_do_not_say_what_pe_is_are_refused(labels, order):
    with pytest.raises(ConfigurationError, match="PE-PLN-004"):
        check_label_names({"labels": labels, "regions_class_order": order})


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        ({"background": 0, "PE": 1}, None),
        ({"background": 0, "clot": [1]}, None),
        ({"background": 0, "artery": 1, "PE": 2}, None),
        ({"background": 0, "PE": 1, "ignore": 2}, None),
        ({"background": 0, "PE": [1, 2]}, [1]),
        ({"background": 0, "artery": [1, 2], "PE": 2}, [1, 2]),
    ],
)
def test_labels_that_do_are_not(labels, order):
    check_label_names({"labels": labels, "regions_class_order": order})


def test_values_that_dataset_json_does_not_name():
    declared = declared_values({"labels": {"background": 0, "artery": [1, 2], "PE": 2}})
    assert undeclared([-1, 0, 1, 2], declared) is None
    assert undeclared(range(10), declared) == "the label values 3, 4, 5, 6, 7, ..., dataset.json names 0, 1, 2"
    assert undeclared([255], declared) == "the label value 255, dataset.json names 0, 1, 2"


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ({"0": "MR"}, 'call it "CT"'),
        ({"0": "CTA"}, 'call it "CT"'),
        ({"0": "CTPA"}, "z-scores"),
        ({"0": "MR", "1": "CT"}, "exchange the channels, files _0000 and _0001"),
        ({"1": "noNorm", "0": "CT"}, "in this order"),
        ({"1": "CT"}, "in this order"),
        ({"CT": 0}, "in this order"),
        ({}, 'expected {"0": "CT"}'),
    ],
)
def test_channels_that_are_not_taken_for_ct_are_refused(names, text):
    with pytest.raises(ConfigurationError, match="PE-PLN-005") as caught:
        check_channels({"channel_names": names})
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("names", "notes"),
    [
        ({"0": "CT"}, 0),
        ({"0": "ct", "1": "CT"}, 0),
        ({"0": "CT", "1": "noNorm"}, 0),
        ({"0": "zscore"}, 1),
        ({"0": "CT", "1": "arteries", "2": "CTV"}, 2),
    ],
)
def test_channels_with_ct_first_are_taken(names, notes):
    assert [note.code for note in check_channels({"channel_names": names})] == ["PE-PLN-008"] * notes
    assert len(channel_names({"channel_names": names})) == channel_count({"modality": names}) == len(names)


@pytest.fixture
def folder(tmp_path):
    """Two cases as nnU-Net's preprocessing leaves them, but for their voxels; the second holds arteries alone."""
    for case, pe in (("a", [(0, 1, 2, 3)]), ("b_seg_1", [])):
        locations = {(1, 2): np.ones((3, 4), int), 2: np.array(pe).reshape(-1, 4)}
        (tmp_path / f"{case}.pkl").write_bytes(pickle.dumps({"class_locations": locations}))
        for name in (f"{case}.b2nd", f"{case}_seg.b2nd"):
            (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_which_cases_hold_pe(folder):
    assert preprocessed_cases(folder) == ["a", "b_seg_1"]
    require_complete(folder, ["a", "b_seg_1"])
    assert positive_cases(folder, ["a", "b_seg_1"], (2,)) == ["a"]
    assert positive_cases(folder, ["a", "b_seg_1"], (1, 2)) == ["a", "b_seg_1"]


@pytest.mark.parametrize("name", ["a.pkl", "a.b2nd", "a_seg.b2nd"])
@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_missing_file_is_named(folder, name, how):
    (folder / name).unlink() if how == "gone" else (folder / name).write_bytes(b"")
    with pytest.raises(ConfigurationError, match=f"PE-TRAIN-017: .* lacks {name}"):
        require_complete(folder, ["a", "b_seg_1"])


def test_a_damaged_note_is_named(folder):
    (folder / "a.pkl").write_bytes(b"x")
    with pytest.raises(ConfigurationError, match=r"PE-TRAIN-017: .*a.pkl cannot be read"):
        positive_cases(folder, ["a"], (1,))


def test_no_case_at_all(tmp_path):
    for missing in (tmp_path, tmp_path / "gone"):
        with pytest.raises(ConfigurationError, match="PE-TRAIN-017"):
            preprocessed_cases(missing)
