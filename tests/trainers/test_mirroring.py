"""The axes over which a training mirrors are the recipe's, and those of the prediction are the same."""

from __future__ import annotations

import pytest
import torch
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from nnunetv2.run.run_training import get_trainer_from_args

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.recipe import TrainingRecipe
from pe_nnunet.trainers.mirroring import mirror_axes


@pytest.mark.parametrize(
    ("mirroring", "order", "dimensions", "axes"),
    [
        ("all", [0, 1, 2], 3, (0, 1, 2)),
        ("all", [2, 0, 1], 2, (0, 1)),
        ("none", [0, 1, 2], 3, ()),
        ("left-right", [0, 1, 2], 3, (2,)),
        ("left-right", [2, 0, 1], 3, (0,)),  # sagittal slices come first
        ("left-right", [1, 0, 2], 2, (1,)),
        ("left-right", [2, 0, 1], 2, ()),  # within sagittal slices there is no left
    ],
)
def test_axes(mirroring, order, dimensions, axes):
    assert mirror_axes(mirroring, order, dimensions) == axes


@pytest.mark.parametrize(("recipe", "axes"), [("left-right", (2,)), ("none", ()), ("all", (0, 1, 2))])
@pytest.mark.parametrize("at_test_time", [True, False])
def test_a_trainer_mirrors_in_training_and_in_prediction(workplace, monkeypatch, recipe, axes, at_test_time):
    workplace.plan("pe", "PETARUNetPlanner", ["3d_fullres"])
    monkeypatch.setenv("PE_NNUNET_RECIPE", f"training_mirroring={recipe} test_time_mirroring={at_test_time}")
    trainer = get_trainer_from_args(
        "601", "3d_fullres", 0, "PETARUNetTrainer", "PETARUNetPlans", device=torch.device("cpu")
    )
    rotation, flat, _, mirrored = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    assert mirrored == axes
    assert trainer.inference_allowed_mirroring_axes == (axes if axes and at_test_time else None)
    augmentation = trainer.get_training_transforms((32, 32, 32), rotation, None, mirrored, flat, foreground_labels=[1])
    found = [step.allowed_axes for step in augmentation.transforms if isinstance(step, MirrorTransform)]
    assert found == ([axes] if axes else [])


@pytest.mark.parametrize(("recipe", "axes"), [("left-right", (2,)), ("none", None)])
def test_validation_and_checkpoint_follow(workplace, monkeypatch, recipe, axes):
    plans = workplace.plan("pe", "PETARUNetPlanner", ["3d_fullres"], narrow=True)
    monkeypatch.setenv("PE_NNUNET_RECIPE", f"epochs=1 iterations=2 validation_iterations=1 training_mirroring={recipe}")
    fold = workplace.train("pe", "PETARUNetTrainer", plans, "3d_fullres") / "fold_0"
    assert (fold / "validation" / "summary.json").is_file()
    checkpoint = torch.load(fold / "checkpoint_final.pth", weights_only=True)
    assert checkpoint["inference_allowed_mirroring_axes"] == axes


def test_other_words_are_refused():
    with pytest.raises(ConfigurationError, match=r"PE-TRAIN-002: .*training_mirroring"):
        TrainingRecipe().updated({"training_mirroring": "up-down"}, "a test")
