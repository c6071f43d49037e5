"""Patch and batch sizes that are asked for: taken, refused with the nearest that would do, and said."""

from __future__ import annotations

import math

import pytest

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.planners import PEAANetPlanner, PEAttentionUNetPlanner, PETARUNetPlanner
from pe_nnunet.planners.asked import AskedPlan
from pe_nnunet.planners.memory import usable_bytes

SHAPE, SPACING_MM = (200, 220, 220), (1.0, 1.0, 1.0)  # pooled alike along all axes: 8 for TAR-UNet's three poolings
REGIONS = {"labels": {"background": 0, "artery": [1, 2], "PE": 2}, "regions_class_order": [1, 2]}


def planned(make_dataset, monkeypatch, text, planner=PETARUNetPlanner, shape=SHAPE, spacing=SPACING_MM, **options):
    monkeypatch.setenv("PE_NNUNET_PLAN", text)
    labels = {"labels": REGIONS} if planner is PEAANetPlanner else {}
    return planner(make_dataset(shape, spacing, **labels), **options).plan_experiment()


def test_the_plans_have_what_is_asked_for(make_dataset, monkeypatch, capsys):
    before = planned(make_dataset, monkeypatch, "")
    assert "pe_nnunet_asked" not in before
    asked = "patch_size_3d=64x72x80 batch_size_3d=3 patch_size_2d=96,128"
    plans = planned(make_dataset, monkeypatch, asked)
    volume, slices = plans["configurations"]["3d_fullres"], plans["configurations"]["2d"]
    assert (volume["patch_size"], volume["batch_size"], slices["patch_size"]) == ([64, 72, 80], 3, [96, 128])
    assert slices["batch_size"] > before["configurations"]["2d"]["batch_size"]  # what the smaller patch leaves room for
    assert volume["data_identifier"] == before["configurations"]["3d_fullres"]["data_identifier"]
    assert plans["pe_nnunet_asked"] == {
        "patch_size_3d": [64, 72, 80], "patch_size_2d": [96, 128], "batch_size_3d": 3
    }  # fmt: skip
    assert "3d_fullres: patch 64x72x80, batch 3" in capsys.readouterr().out


def test_a_batch_alone_leaves_the_largest_patch_that_fits_with_it(make_dataset, monkeypatch):
    usual = planned(make_dataset, monkeypatch, "")["configurations"]["3d_fullres"]
    larger = planned(make_dataset, monkeypatch, "batch_size_3d=12")["configurations"]["3d_fullres"]
    assert usual["batch_size"] == 2
    assert larger["batch_size"] == 12
    assert math.prod(larger["patch_size"]) * 12 <= math.prod(usual["patch_size"]) * 2 * 1.05
    assert larger["estimated_training_memory_gib"] <= usable_bytes(8) / 2**30


def test_sizes_from_a_toml_file(make_dataset, monkeypatch, tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text("patch_size_3d = [64, 64, 64]\nbatch_size_2d = 5\n")
    plans = planned(make_dataset, monkeypatch, str(path))["configurations"]
    assert (plans["3d_fullres"]["patch_size"], plans["2d"]["batch_size"]) == ([64, 64, 64], 5)


@pytest.mark.parametrize(
    ("planner", "text", "named"),
    [
        # three poolings: multiples of 8, two voxels at the bottom; four: of 16
        (PETARUNetPlanner, "patch_size_3d=100x96x64", ["100x96x64", "8x8x8", "nearest: 96x96x64 or 104x96x64"]),
        (PETARUNetPlanner, "patch_size_3d=8x96x96", ["at least 16x16x16", "nearest: 16x96x96"]),
        (PETARUNetPlanner, "patch_size_2d=97x97", ["8x8", "nearest: 96x96 or 104x104"]),
        (PEAttentionUNetPlanner, "patch_size_3d=104x104x104", ["16x16x16", "nearest: 96x96x96 or 112x112x112"]),
        (PEAANetPlanner, "patch_size_3d=90x96x96", ["nearest: 80x96x96 or 96x96x96"]),
        (PEAANetPlanner, "batch_size_2d=4", ["PEAANetPlanner plans 3d_fullres here"]),
        (PETARUNetPlanner, "patch_size_3d=96x96", ["3 whole numbers"]),
        (PETARUNetPlanner, "patch_size_2d=96x96x96", ["2 whole numbers"]),
        (PETARUNetPlanner, "patch_size_3d=96x-96x96", ["3 whole numbers"]),
        (PETARUNetPlanner, "batch_size_3d=0", ["from 1 on"]),
        (PETARUNetPlanner, "batch_size_3d=2.5", ["from 1 on"]),
        (PETARUNetPlanner, "patch_size=96x96x96", ["unknown key 'patch_size'", "patch_size_3d"]),
        (PETARUNetPlanner, "96x96x96", ["key=value"]),
        (PETARUNetPlanner, "/nowhere.toml", ["PE_NNUNET_PLAN"]),
    ],
)
def test_what_cannot_be_is_refused_with_what_could(make_dataset, monkeypatch, planner, text, named):
    with pytest.raises(ConfigurationError, match=r"PE-PLN-0(09|10)") as caught:
        planned(make_dataset, monkeypatch, text, planner)
    assert [part for part in named if part not in str(caught.value)] == []


def test_strides_of_thick_slices_divide_less(make_dataset, monkeypatch):
    """5 mm slices are pooled once in three: 2 divides them, 8 the plane."""
    thick = {"shape": (60, 512, 512), "spacing": (5.0, 0.7, 0.7)}
    plans = planned(make_dataset, monkeypatch, "patch_size_3d=18x128x128", **thick)
    assert plans["configurations"]["3d_fullres"]["patch_size"] == [18, 128, 128]
    with pytest.raises(ConfigurationError, match="nearest: 16x128x128 or 18x128x128"):
        planned(make_dataset, monkeypatch, "patch_size_3d=17x128x128", **thick)


def test_what_is_doubtful_is_said(make_dataset, monkeypatch, capsys):
    plan = planned(make_dataset, monkeypatch, "patch_size_3d=256x192x192 batch_size_3d=4")["configurations"][
        "3d_fullres"
    ]
    said = capsys.readouterr().out
    assert (plan["patch_size"], plan["batch_size"]) == ([256, 192, 192], 4)
    assert (
        f"PE-PLN-009 warning: 4 patches of 256x192x192 need about {plan['estimated_training_memory_gib']:.2f} GiB"
        in said
    )
    assert "reach beyond the median image of 200x220x220" in said
    planned(make_dataset, monkeypatch, "patch_size_3d=64x64x64")
    assert "PE-PLN-009" not in capsys.readouterr().out


def test_the_sizes_are_read_once_for_each_planner(monkeypatch):
    monkeypatch.setenv("PE_NNUNET_PLAN", "patch_size_3d=64X64X64")
    assert AskedPlan.from_environment().sizes(3) == ((64, 64, 64), None)
    monkeypatch.delenv("PE_NNUNET_PLAN")
    assert AskedPlan.from_environment() == AskedPlan()


def test_nothing_is_saved_of_what_is_refused(make_dataset, monkeypatch, tmp_path):
    with pytest.raises(ConfigurationError):
        planned(make_dataset, monkeypatch, "patch_size_3d=100x100x100")
    assert not list(tmp_path.rglob("*Plans.json"))
