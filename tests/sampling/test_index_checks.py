"""Indexing reads every voxel, and refuses a case for what only its voxels tell."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.sampling.build import _replicate
from pe_nnunet.sampling.index import FOLDER, index_dataset

DECLARED = {-1, 0, 1}


class Stored:
    """A preprocessed dataset of one case with two channels."""

    def __init__(self, folder, *, bad=None, value=1):
        self.source_folder, self.identifiers = str(folder), ["a"]
        self.image = np.zeros((2, 4, 4, 4), np.float32)
        self.label = np.zeros((1, 4, 4, 4), np.int16)
        self.label[0, 1, 1, 1:3] = value
        self.label[0, 0] = -1  # outside of the image, as nnU-Net marks it
        if bad is not None:
            self.image[1, 2, 2, 2] = bad

    def load_case(self, _case):
        return self.image, self.label, None, {}


def test_a_sound_case_is_indexed_once(tmp_path):
    index = index_dataset(Stored(tmp_path), (1,), (1.0, 2.0), declared=DECLARED)
    assert index["a"].voxel_counts.tolist() == [2]
    again = Stored(tmp_path, bad=np.nan)  # what was indexed is not read again
    assert index_dataset(again, (1,), (1.0, 2.0), declared=DECLARED)["a"].voxel_counts.tolist() == [2]


def test_the_folder_is_listed_once_and_a_case_is_read_again_if_its_own_files_change(tmp_path, monkeypatch):
    listed = []
    for name in ("iterdir", "glob"):
        real = getattr(Path, name)
        monkeypatch.setattr(Path, name, lambda self, *args, real=real: listed.append(self) or real(self, *args))
    stored, again = Stored(tmp_path), Stored(tmp_path, bad=np.nan)
    stored.identifiers = again.identifiers = ["a", "ab", "b"]
    index_dataset(stored, (1,), (1.0, 2.0), declared=DECLARED)
    assert listed.count(tmp_path) == 1
    (tmp_path / "a_seg_b.npy").write_bytes(b"of no case")
    index_dataset(again, (1,), (1.0, 2.0), declared=DECLARED)
    (tmp_path / "ab_seg.npy").write_bytes(b"other")
    with pytest.raises(ConfigurationError, match=r"PE-TRAIN-020: .*/ab: 1 voxels"):
        index_dataset(again, (1,), (1.0, 2.0), declared=DECLARED)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04cut off", b"damaged"])
def test_a_damaged_index_is_built_anew(tmp_path, content):
    path = tmp_path / FOLDER / "a.npz"
    for _ in range(2):
        found = index_dataset(Stored(tmp_path), (1,), (1.0, 2.0), declared=DECLARED)
        assert found["a"].voxel_counts.tolist() == [2]
        path.write_bytes(content)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_in_any_channel(tmp_path, bad):
    for _ in range(2):  # nothing of it is kept
        with pytest.raises(ConfigurationError, match=r"PE-TRAIN-020: .*/a: 1 voxels of channel 1 are NaN or infinite"):
            index_dataset(Stored(tmp_path, bad=bad), (1,), (1.0, 2.0), declared=DECLARED)


def test_values_that_dataset_json_does_not_name_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"PE-TRAIN-020: .*/a holds the label value 3, .* names 0, 1"):
        index_dataset(Stored(tmp_path, value=3), (1,), (1.0, 2.0), declared=DECLARED)


def test_a_damaged_file_is_named(tmp_path, monkeypatch):
    def load_case(_self, _case):
        raise RuntimeError("blosc2_schunk_open_offset returned NULL")

    monkeypatch.setattr(Stored, "load_case", load_case)
    with pytest.raises(ConfigurationError, match=r"PE-TRAIN-017: .*/a cannot be read: blosc2"):
        index_dataset(Stored(tmp_path), (1,), (1.0, 2.0), declared=DECLARED)


def test_emboli_are_not_put_into_one_of_two_ct_channels():
    configuration = SimpleNamespace(normalization_schemes=["CTNormalization"] * 2)
    known = {"mean": 0.0, "std": 1.0, "percentile_99_5": 1.0}
    plans = SimpleNamespace(foreground_intensity_properties_per_channel={"0": known})
    recipe = SimpleNamespace(replicate_probability=0.5)
    with pytest.raises(ConfigurationError, match=r"PE-TRAIN-006: .*several channels are CT"):
        _replicate(None, {}, recipe, plans, configuration, {"background": 0, "PE": 1})
