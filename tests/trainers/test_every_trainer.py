"""One epoch of every trainer in every configuration that its network has, and what comes of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import distributed

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.inference import locate_folder
from pe_nnunet.inference.ensemble import predict_ensemble
from pe_nnunet.inference.model import load_model
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.networks import NETWORKS, list_networks
from pe_nnunet.registration.names import PLANNERS, TRAINERS, load_class
from pe_nnunet.trainers.loaders import plain_loader

OWN_ARCHITECTURE = "PETrainer"  # of the plans, whatever they are
ENTRIES = {entry.trainer: entry for entry in NETWORKS.values()} | {OWN_ARCHITECTURE: NETWORKS["TARUNet"]}
CPU = torch.device("cpu")
RUNS = [
    (trainer, {2: "2d", 3: "3d_fullres"}[dimensions])
    for trainer in TRAINERS
    for dimensions in ENTRIES[trainer].load().dimensions
]


def planner_of(trainer: str) -> str:
    return ENTRIES[trainer].planner


def scheme_of(trainer: str) -> str:
    return "artery-pe" if trainer == "PEAANetTrainer" else "pe"


def trainer_on(workplace, name, configuration, scheme=None, plans=None):
    scheme = scheme or scheme_of(name)
    plans = plans or workplace.plan(scheme, planner_of(name), [configuration])
    folder = workplace.preprocessed(scheme)
    content = json.loads((folder / f"{plans}.json").read_text()) | {"continue_training": False}
    dataset = json.loads((folder / "dataset.json").read_text())
    return load_class(name)(content, configuration, 0, dataset, CPU)


def test_every_network_has_a_trainer_that_is_named_like_its_planner():
    own = [load_class(name) for name in TRAINERS if name != OWN_ARCHITECTURE]
    assert {trainer.network_class.__name__ for trainer in own} == set(list_networks())
    assert [trainer.__name__ for trainer in own] == [name for name in TRAINERS if name != OWN_ARCHITECTURE]
    for trainer in own:
        assert load_class(planner_of(trainer.__name__)).network_class is trainer.network_class
    assert {planner_of(trainer.__name__) for trainer in own} == set(PLANNERS)


@pytest.mark.parametrize(("name", "configuration"), RUNS)
def test_one_epoch_leaves_a_model_that_predicts(workplace, name, configuration):
    plans = workplace.plan(scheme_of(name), planner_of(name), [configuration])
    folder = workplace.train(scheme_of(name), name, plans, configuration)
    assert (folder / "fold_0" / "validation" / "summary.json").is_file()

    model = load_model(locate_folder(folder, ["0"]), CPU)  # strictly, into a network without deep supervision
    assert model.name == folder.name
    expected = load_class(planner_of(name)).network_class
    assert type(model.network) is expected
    image = sitk.ReadImage(str(workplace.folder / "nnUNet_raw" / "Dataset601_Pe" / "imagesTr" / "a_0000.nii.gz"))
    probability = predict_ensemble([model], image, CPU, InferenceSettings(step=1.0))[0]
    assert probability.shape == image.GetSize()[::-1]
    assert np.isfinite(probability).all()
    assert 0 < probability.min() <= probability.max() < 1


@pytest.mark.parametrize(("name", "configuration"), RUNS)
def test_training_starts_from_the_prior_with_a_target_for_each_output(workplace, name, configuration):
    trainer = trainer_on(workplace, name, configuration)
    trainer.initialize()
    scales = trainer._get_deep_supervision_scales()
    patch = trainer.configuration_manager.patch_size
    trainer.network.train()
    outputs = trainer.network(torch.randn(1, 1, *patch))
    sizes = [tuple(round(n * s) for n, s in zip(patch, scale, strict=True)) for scale in scales]
    assert [tuple(output.shape[2:]) for output in outputs] == sizes
    assert len(trainer.loss.weight_factors) == len(outputs)
    assert sum(trainer.loss.weight_factors) == pytest.approx(1)
    assert trainer.loss.weight_factors[0] > 0

    with torch.no_grad():
        logits = outputs[0]
        probability = torch.sigmoid(logits) if trainer.label_manager.has_regions else torch.softmax(logits, 1)[:, 1:]
    if name == "PEAANetTrainer":  # its own prior, and weights of zero
        torch.testing.assert_close(probability, torch.full_like(probability, 0.01))
    else:
        assert 0.001 < float(probability.mean()) < 0.05


def test_a_batch_size_of_the_recipe_counts_and_plans_stay(workplace, monkeypatch):
    plans = workplace.plan("pe", "PETARUNetPlanner", ["2d"])
    path = workplace.preprocessed("pe") / f"{plans}.json"
    planned = json.loads(path.read_text())["configurations"]["2d"]["batch_size"]
    assert planned != 7
    monkeypatch.setenv("PE_NNUNET_RECIPE", "batch_size=7")
    trainer = trainer_on(workplace, "PETARUNetTrainer", "2d")
    trainer.initialize()
    assert trainer.batch_size == 7
    assert trainer.plans_manager.plans["configurations"]["2d"]["batch_size"] == planned
    training, _ = trainer.get_tr_and_val_datasets()
    assert len(next(plain_loader(trainer, training))["data"]) == 7
    said = Path(trainer.log_file).read_text()
    assert re.search(rf"7 patches a step by the recipe, {planned} in the plans: about 0\.\d\d GiB for the 7", said)
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "is_available", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 8)
    monkeypatch.setattr(distributed, "get_rank", lambda: 0)
    with pytest.raises(ConfigurationError, match=r"PE-TRAIN-021: 7 patches a step for 8 processes"):
        trainer_on(workplace, "PETARUNetTrainer", "2d")


def test_aanet_is_refused_where_the_labels_are_not_its_regions(workplace):
    plans = workplace.plan("pe", "PETARUNetPlanner", ["3d_fullres"])
    with pytest.raises(ConfigurationError, match=r"PE-PLN-003.*--scheme artery-pe"):
        trainer_on(workplace, "PEAANetTrainer", "3d_fullres", "pe", plans)
    written = workplace.folder / "nnUNet_results" / "Dataset601_Pe"
    assert not list(written.glob("PEAANetTrainer*"))


def test_aanet_is_refused_in_2d(workplace):
    plans = workplace.plan("artery-pe", "PETARUNetPlanner", ["2d"])
    with pytest.raises(ConfigurationError, match="PE-TRAIN-004"):
        trainer_on(workplace, "PEAANetTrainer", "2d", "artery-pe", plans)
    written = workplace.folder / "nnUNet_results" / "Dataset602_ArteryPe"
    assert not list(written.glob("PEAANetTrainer*__2d"))


def test_other_networks_train_on_regions(workplace):
    plans = workplace.plan("artery-pe", "PETARUNetPlanner", ["3d_fullres"])
    folder = workplace.train("artery-pe", "PETARUNetTrainer", plans, "3d_fullres", plots=True)
    assert (folder / "fold_0" / "progress.png").read_bytes().startswith(b"\x89PNG")
    assert load_model(locate_folder(folder, ["0"]), CPU).pe_channel == 1
