"""Target ratios of a dataset with known emboli, its files, and the command."""

import csv
import json

import numpy as np
import pytest
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from pe_nnunet.cli import main
from pe_nnunet.dataset.raw import write_cases
from pe_nnunet.dataset.records import CaseRecord, Geometry
from pe_nnunet.recipe import TrainingRecipe
from pe_nnunet.sampling import EmbolusDataLoader, PatchSampler, index_dataset
from pe_nnunet.sampling.analysis import case_rows, draw_patches, embolus_rows, summary
from pe_nnunet.sampling.draw import PositiveRule
from pe_nnunet.voxels import Box


def record(case, embolus_voxels):
    """A scan of 20x20x20 voxels of 2 mm3, cropped to 10x10x10."""
    voxels = sum(embolus_voxels)
    return CaseRecord(
        case=case, kind="nifti", source=case, sha256={}, digest="", patient=case,
        geometry=Geometry((20, 20, 20), (1.0, 1.0, 2.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1), "LPS"),
        box=Box((0, 0, 0), (10, 10, 10)), margin_mm=10.0, lungs_found=True, ids_from="source",
        embolus_mm3={k: 2.0 * n for k, n in enumerate(embolus_voxels, 1)}, embolus_voxels=voxels,
        target_ratio_before=voxels / 8000, target_ratio_after=voxels / 1000, target_ratio_factor=8.0, notes=(),
    )  # fmt: skip


RECORDS = {"b": record("b", []), "a": record("a", [40, 8])}


def test_ratios_of_cases_and_emboli():
    cases, emboli = case_rows(RECORDS), embolus_rows(RECORDS)
    assert [row["case"] for row in cases] == ["a", "b"]
    assert cases[0]["target_ratio_crop"] == pytest.approx(8 * cases[0]["target_ratio_scan"]) == pytest.approx(0.048)
    assert [row["volume_mm3"] for row in emboli] == [80.0, 16.0]
    assert sum(row["target_ratio_crop"] for row in emboli) == pytest.approx(0.048)
    found = summary(cases, emboli, None)
    assert (found["cases"], found["negative_cases"], found["emboli"]) == (2, 1, 2)
    assert found["emboli_by_size"]["0-50 mm3"] == found["emboli_by_size"]["50-200 mm3"] == 0.5
    assert "patches" not in found
    assert summary(case_rows({"b": RECORDS["b"]}), [], None)["embolus_mm3"] is None


class Labels:
    has_ignore_label = False

    def __init__(self):
        self.all_labels = [0, 1]


def test_drawn_patches(tmp_path):
    label = np.zeros((1, 24, 24, 24), np.int8)
    label[0, 10:14, 10:14, 10:14] = 1
    nnUNetDatasetBlosc2.save_case(
        label.astype(np.float32), label, {}, str(tmp_path / "a"), chunks=(1, 24, 24, 24), blocks=(1, 8, 8, 8)
    )
    dataset = nnUNetDatasetBlosc2(str(tmp_path))
    settings = TrainingRecipe(
        positive_fraction=0.5,
        embolus_volume_power=0.25,
        case_ratio_power=0.25,
        hard_negative_fraction=0.0,
        min_embolus_mm3=5.0,
    )
    sampler = PatchSampler(index_dataset(dataset, (1,), (2.0, np.inf)), settings, 1.0)
    loader = EmbolusDataLoader(dataset, 1, (8, 8, 8), (8, 8, 8), Labels(), sampler=sampler, center_jitter=0.0)
    patches = draw_patches(loader, PositiveRule(1.0, (1,)), 200, seed=0)
    assert set(patches.drawn_mm3) == {64.0}
    drawn = np.array(patches.kinds) == "positive"
    assert drawn.mean() == pytest.approx(0.5, abs=0.08)
    assert np.array(patches.positive)[drawn].all()
    assert max(patches.ratios) == 64 / 512
    numbers = summary([], [], patches)["patches"]
    assert numbers["positive_share"] == np.mean(patches.positive)
    assert 0 < numbers["holding_any_pe_share"] <= 1


def test_command_writes_tables_and_picture(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "Dataset007_X"
    (folder / "pe_nnunet").mkdir(parents=True)
    write_cases(folder, RECORDS, {})
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    assert main(["analyse", "-d", "7"]) == 0
    printed = capsys.readouterr().out
    assert "2 cases, 1 without emboli; 2 emboli" in printed
    assert "preprocess first" in printed
    out = folder / "pe_nnunet" / "analysis"
    assert json.loads((out / "analysis.json").read_text())["emboli"] == 2
    with (out / "emboli.csv").open() as lines:
        assert [row["id"] for row in csv.DictReader(lines)] == ["1", "2"]
    assert (out / "analysis.png").read_bytes()[:4] == b"\x89PNG"
    assert main(["analyse", "-d", "8"]) == 2
    assert "PE-CONV-013" in capsys.readouterr().err
