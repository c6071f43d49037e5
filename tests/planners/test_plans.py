"""The plans of every planner: sizes that fit the memory, nnU-Net's options obeyed, one network behind them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.networks import list_networks
from pe_nnunet.planners import PEAANetPlanner, PETARUNetPlanner
from pe_nnunet.planners.memory import GIB, training_bytes, usable_bytes
from pe_nnunet.registration.names import PLANNERS, load_class

PE: dict[str, Any] = {"labels": {"background": 0, "PE": 1}}
ARTERY_PE: dict[str, Any] = {"labels": {"background": 0, "artery": [1, 2], "PE": 2}, "regions_class_order": [1, 2]}
COHORT = ((500, 512, 512), (0.6, 0.7, 0.7))
DEMO = ((100, 110, 110), (2.5, 2.5, 2.5))
THICK = ((60, 512, 512), (5.0, 0.7, 0.7))


def labels_for(name: str) -> dict[str, Any]:
    return ARTERY_PE if name == "PEAANetPlanner" else PE


def network_of(plans: dict[str, Any], configuration: str) -> Any:
    architecture = plans["configurations"][configuration]["architecture"]
    with torch.device("meta"):
        return get_network_from_plans(
            architecture["network_class_name"],
            architecture["arch_kwargs"],
            architecture["_kw_requires_import"],
            1,
            2,
            allow_init=False,
            deep_supervision=True,
        )


def test_every_network_has_a_planner_and_every_planner_a_name_of_its_own():
    planners = [load_class(name) for name in PLANNERS]
    assert {planner.network_class.__name__ for planner in planners} == set(list_networks())
    assert len({planner.default_plans_name for planner in planners}) == len(planners)
    assert [planner.__name__ for planner in planners] == list(PLANNERS)


@pytest.mark.parametrize("cohort", [COHORT, DEMO, THICK], ids=["thin slices", "demo", "thick slices"])
@pytest.mark.parametrize("name", PLANNERS)
def test_plans_fit_the_network_and_the_memory(make_dataset, name, cohort):
    planner = load_class(name)(make_dataset(*cohort, labels=labels_for(name)))
    plans = planner.plan_experiment()
    expected = {"3d_fullres"} if name == "PEAANetPlanner" else {"2d", "3d_fullres"}
    assert set(plans["configurations"]) == expected
    for configuration, plan in plans["configurations"].items():
        network = network_of(plans, configuration)
        assert type(network).__name__ == planner.network_class.__name__
        assert network.compute_conv_feature_map_size(plan["patch_size"]) > 0
        assert plan["batch_size"] >= 2
        assert plan["batch_dice"] is True
        assert training_bytes(network, plan["patch_size"], plan["batch_size"]) <= usable_bytes(8)
        for side, median, divisor in zip(
            plan["patch_size"], plan["median_image_size_in_voxels"], network.divisor, strict=True
        ):
            assert side <= median + divisor


def test_plans_are_what_nnunet_reads_back(make_dataset):
    planner = PETARUNetPlanner(make_dataset(*COHORT))
    plans = planner.plan_experiment()
    path = Path(planner.raw_dataset_folder).parents[1] / "preprocessed" / "Dataset501_CTPA" / "PETARUNetPlans.json"
    assert json.loads(path.read_text()) == json.loads(json.dumps(plans))
    manager = PlansManager(str(path))
    assert manager.plans_name == "PETARUNetPlans"
    configuration = manager.get_configuration("3d_fullres")
    assert configuration.network_arch_class_name == "pe_nnunet.networks.tar_unet.TARUNet"
    assert configuration.pool_op_kernel_sizes == [[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2]]
    assert configuration.batch_dice is True
    logits = torch.randn(2, 4, 4, 4)
    resampled = configuration.resampling_fn_probabilities(logits, (8, 8, 8), [2.0] * 3, [1.0] * 3)
    assert tuple(resampled.shape) == (2, 8, 8, 8)


def test_tar_unet_gets_its_patch_at_the_default_target(make_dataset):
    plan = PETARUNetPlanner(make_dataset(*COHORT)).plan_experiment()["configurations"]["3d_fullres"]
    assert min(plan["patch_size"]) >= 96
    assert plan["batch_size"] == 2
    assert plan["architecture"]["arch_kwargs"]["features_per_stage"][0] == 32


def test_aanet_gets_its_patch_at_the_default_target(make_dataset):
    plan = PEAANetPlanner(make_dataset(*COHORT, labels=ARTERY_PE)).plan_experiment()["configurations"]["3d_fullres"]
    assert min(plan["patch_size"]) >= 96
    assert plan["batch_size"] >= 2
    assert plan["architecture"]["arch_kwargs"]["features_per_stage"] == [16, 64, 96, 128, 160]


def test_a_small_memory_target_narrows_the_network_before_the_patch_is_useless(make_dataset):
    plan = PETARUNetPlanner(make_dataset(*DEMO), 1).plan_experiment()["configurations"]["3d_fullres"]
    assert plan["architecture"]["arch_kwargs"]["features_per_stage"] == [16, 32, 64, 128]
    assert plan["batch_size"] == 2
    assert all(48 <= side <= 72 for side in plan["patch_size"])


@pytest.mark.parametrize("name", PLANNERS)
def test_more_memory_never_gives_less(make_dataset, name):
    dataset = make_dataset(*COHORT, labels=labels_for(name))
    work = []
    for target in (2, 4, 8, 16):
        plan = load_class(name)(dataset, target).plan_experiment()["configurations"]["3d_fullres"]
        assert plan["estimated_training_memory_gib"] <= usable_bytes(target) / GIB
        work.append(plan["estimated_training_memory_gib"])
    assert work == sorted(work)


def test_an_impossible_memory_target_is_named(make_dataset):
    with pytest.raises(ConfigurationError, match=r"PE-PLN-001.*gpu_memory_target"):
        PETARUNetPlanner(make_dataset(*COHORT), 0.001).plan_experiment()


def test_thick_slices_are_not_pooled_before_the_plane_is_as_coarse(make_dataset):
    kwargs = PETARUNetPlanner(make_dataset(*THICK)).plan_experiment()["configurations"]["3d_fullres"]
    assert kwargs["architecture"]["arch_kwargs"]["strides"] == [[1, 1, 1], [1, 2, 2], [1, 2, 2], [2, 2, 2]]
    assert kwargs["architecture"]["arch_kwargs"]["kernel_sizes"][0] == [1, 3, 3]


def test_slices_stay_axial_unless_another_axis_is_coarse(make_dataset):
    plans = PETARUNetPlanner(make_dataset(*COHORT)).plan_experiment()
    assert plans["transpose_forward"] == [0, 1, 2]
    plans = PETARUNetPlanner(make_dataset((512, 60, 512), (0.7, 5.0, 0.7))).plan_experiment()
    assert plans["transpose_forward"] == [1, 0, 2]
    assert plans["configurations"]["3d_fullres"]["spacing"] == [5.0, 0.7, 0.7]


def test_planners_that_preprocess_alike_share_their_data(make_dataset):
    dataset = make_dataset(*COHORT)
    identifiers = set()
    for name in sorted(set(PLANNERS) - {"PEAANetPlanner"}):
        plan = load_class(name)(dataset, 4).plan_experiment()["configurations"]["3d_fullres"]
        identifiers.add(plan["data_identifier"])
    assert identifiers == {"PEPlans_3d_fullres"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"plans_name": "Mine"}, "Mine_3d_fullres"),
        ({"overwrite_target_spacing": [1.0, 1.0, 1.0]}, "PETARUNetPlans_3d_fullres"),
        ({"plans_name": "Mine", "overwrite_target_spacing": [2.0, 2.0, 2.0]}, "Mine_3d_fullres"),
        ({"suppress_transpose": True}, "PETARUNetPlans_3d_fullres"),
        ({"preprocessor_name": "Other"}, "PETARUNetPlans_3d_fullres"),
    ],
)
def test_what_changes_preprocessing_gets_data_of_its_own(make_dataset, options, expected):
    plans = PETARUNetPlanner(make_dataset(*COHORT), **options).plan_experiment()
    plan = plans["configurations"]["3d_fullres"]
    assert plan["data_identifier"] == expected
    assert plans["plans_name"] == options.get("plans_name", "PETARUNetPlans")
    if "overwrite_target_spacing" in options:
        assert plan["spacing"] == options["overwrite_target_spacing"]
        assert plans["configurations"]["2d"]["spacing"] == options["overwrite_target_spacing"][1:]


@pytest.mark.parametrize(
    "options",
    [
        {"plans_name": "My__Plans"},
        {"plans_name": ""},
        {"gpu_memory_target_in_gb": 0},
        {"gpu_memory_target_in_gb": float("nan")},
        {"overwrite_target_spacing": [1.0, 1.0]},
        {"overwrite_target_spacing": [1.0, -1.0, 1.0]},
    ],
)
def test_settings_that_make_no_sense_are_refused(make_dataset, options):
    with pytest.raises(ConfigurationError, match="PE-PLN-002"):
        PETARUNetPlanner(make_dataset(*DEMO), **options)


def test_a_dataset_of_slices_gets_a_2d_plan_alone(make_dataset):
    plans = PETARUNetPlanner(make_dataset((1, 512, 512), (999.0, 0.7, 0.7))).plan_experiment()
    assert set(plans["configurations"]) == {"2d"}


def test_aanet_plans_write_the_published_window_into_the_stock_scheme(make_dataset):
    plans = PEAANetPlanner(make_dataset(*COHORT, labels=ARTERY_PE)).plan_experiment()
    plan = plans["configurations"]["3d_fullres"]
    assert plan["normalization_schemes"] == ["CTNormalization"]
    assert plan["use_mask_for_norm"] == [False]
    assert plan["spacing"] == [1.0, 1.0, 1.0]
    assert plan["data_identifier"] == "PEAANetPlans_3d_fullres"
    properties = plans["foreground_intensity_properties_per_channel"]["0"]
    hu = torch.tensor([-1000.0, -100.0, 200.0, 500.0, 3000.0])
    clipped = hu.clip(properties["percentile_00_5"], properties["percentile_99_5"])
    scaled = (clipped - properties["mean"]) / properties["std"]
    torch.testing.assert_close(scaled, torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]))


@pytest.mark.parametrize(
    "labels",
    [
        PE,
        {"labels": {"background": 0, "artery": 1, "PE": 2}},
        {"labels": {"background": 0, "PE": 2, "artery": [1, 2]}, "regions_class_order": [2, 1]},
    ],
)
def test_aanet_refuses_other_labels(make_dataset, labels):
    with pytest.raises(ConfigurationError, match=r"PE-PLN-003.*artery-pe"):
        PEAANetPlanner(make_dataset(*COHORT, labels=labels)).plan_experiment()


def test_region_datasets_get_one_head_per_region(make_dataset):
    planner = PETARUNetPlanner(make_dataset(*COHORT, labels=ARTERY_PE))
    plans = planner.plan_experiment()
    network = planner.build_network(plans["configurations"]["3d_fullres"]["architecture"])
    assert network.decoder.seg_layers[-1].out_channels == 2
