"""Preprocessing case by case: nnU-Net's own voxels, and what is there is left alone."""

from __future__ import annotations

import pickle

import blosc2
import numpy as np
import pytest

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.trainers.preprocess_jobs import preprocess, preprocess_jobs


def test_cases_are_as_nnunet_preprocesses_them(workplace, monkeypatch) -> None:
    plans = workplace.plan("pe", "PETARUNetPlanner", ["3d_fullres"])
    dataset = workplace.preprocessed("pe")
    raw = workplace.folder / "nnUNet_raw" / dataset.name
    jobs = preprocess_jobs(raw, dataset, [(plans, "3d_fullres"), (plans, "3d_fullres")])
    folder = next(iter(jobs.values())).folder
    assert sorted(jobs) == [f"{folder.name}/{case}" for case in "abc"]
    assert all(job.done() for job in jobs.values())
    theirs = {path: path.read_bytes() for path in (*folder.iterdir(), *(dataset / "gt_segmentations").iterdir())}
    assert len(theirs) == 3 * 3 + 3
    for path in theirs:
        if path.name[0] != "a":
            path.unlink()
    assert [job.done() for job in jobs.values()] == [True, False, False]
    (dataset / ".writing-0123456789abcdef").mkdir()  # as a kill leaves it
    monkeypatch.setattr("pe_nnunet.files.temporary._seen", set())
    for job in jobs.values():
        preprocess(job)
    for path, content in theirs.items():
        if path.suffix == ".pkl":
            _same(*(pickle.loads(raw) for raw in (content, path.read_bytes())))  # noqa: S301 - of this test
        elif path.suffix == ".b2nd":  # its blocks are compressed by several threads, and come in any order
            np.testing.assert_array_equal(blosc2.open(str(path))[:], blosc2.ndarray_from_cframe(content)[:])
        else:
            assert path.read_bytes() == content, path.name
    assert not list(dataset.glob(".*"))

    with pytest.raises(ConfigurationError, match=r"PE-TRAIN-030: no Mine.json"):
        preprocess_jobs(raw, dataset, [("Mine", "3d_fullres")])
    with pytest.raises(ConfigurationError, match="PE-TRAIN-030: PETARUNetPlans have no configuration 4d"):
        preprocess_jobs(raw, dataset, [(plans, "4d")])


def _same(one, other) -> None:
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, dict):
            _same(value, other[key])
        else:
            np.testing.assert_array_equal(value, other[key])
