"""The table of trainers' networks against the trainers themselves."""

import subprocess
import sys

import pytest
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from pe_nnunet.architecture import NETWORK_OF_TRAINER
from pe_nnunet.registration import TRAINERS, load_class
from pe_nnunet.trainers import PETrainer


@pytest.mark.parametrize("name", ["nnUNetTrainer", *TRAINERS])
def test_every_trainer_of_ours_is_known_by_the_network_that_it_builds(name):
    trainer = nnUNetTrainer if name == "nnUNetTrainer" else load_class(name)
    owner = next(base for base in trainer.__mro__ if "build_network_architecture" in vars(base))
    assert owner in (nnUNetTrainer, PETrainer)
    entry = NETWORK_OF_TRAINER[name]
    assert (entry and entry.load()) is (trainer.network_class if owner is PETrainer else None)


def test_prediction_imports_no_trainer_and_none_of_what_it_brings_and_no_pictures_either():
    heavy = ("nnunetv2.training.nnUNetTrainer.nnUNetTrainer", "torch._dynamo", "seaborn", "sklearn", "matplotlib")
    code = f"import sys, pe_nnunet.inference.predictor; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
