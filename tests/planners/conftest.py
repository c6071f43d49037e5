"""Datasets that consist of a fingerprint alone: planning reads nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nnunetv2.experiment_planning.experiment_planners import default_experiment_planner

from pe_nnunet.planners import base

PE: dict[str, Any] = {"labels": {"background": 0, "PE": 1}}
HU = {"mean": 60.0, "median": 55.0, "std": 30.0, "min": -500, "max": 900}
PERCENTILES = {"percentile_00_5": -50.0, "percentile_99_5": 300.0}

MakeDataset = Callable[..., str]


@pytest.fixture
def make_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeDataset:
    """Writes dataset.json and fingerprint; returns the dataset's name."""
    raw, preprocessed = tmp_path / "raw", tmp_path / "preprocessed"
    monkeypatch.setattr(default_experiment_planner, "nnUNet_raw", str(raw))
    monkeypatch.setattr(default_experiment_planner, "nnUNet_preprocessed", str(preprocessed))
    monkeypatch.setattr(base, "nnUNet_preprocessed", str(preprocessed))

    def make(
        shape: tuple[int, ...], spacing_mm: tuple[float, ...], *, labels: dict[str, Any] = PE, n_cases: int = 20
    ) -> str:
        name = "Dataset501_CTPA"
        for folder in (raw / name, preprocessed / name):
            folder.mkdir(parents=True, exist_ok=True)
        dataset = {
            "channel_names": {"0": "CT"},
            "numTraining": n_cases,
            "file_ending": ".nii.gz",
            "dataset": {"case": {"images": ["case_0000.nii.gz"], "label": "case.nii.gz"}},
            "overwrite_image_reader_writer": "SimpleITKIO",
            **labels,
        }
        (raw / name / "dataset.json").write_text(json.dumps(dataset))
        fingerprint = {
            "spacings": [spacing_mm] * n_cases,
            "shapes_after_crop": [shape] * n_cases,
            "median_relative_size_after_cropping": 1.0,
            "foreground_intensity_properties_per_channel": {"0": {**HU, **PERCENTILES}},
        }
        (preprocessed / name / "dataset_fingerprint.json").write_text(json.dumps(fingerprint))
        return name

    return make
