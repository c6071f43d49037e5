"""The model that ships: whole, small, open about what it is, and good for something on synthetic scans."""

import numpy as np
import SimpleITK as sitk

from pe_nnunet.cli import main
from pe_nnunet.inference import PEPredictor
from pe_nnunet.inference.shipped import SHIPPED
from pe_nnunet.phantom import coarse_settings, make_phantom

MOST_BYTES = 8_000_000
SEED = 77  # of none of its training phantoms


def test_it_is_whole_and_small(capsys):
    assert main(["verify", "starter"]) == 0
    assert "as it should be" in capsys.readouterr().out
    assert sum(path.stat().st_size for path in SHIPPED["starter"].folder.rglob("*")) < MOST_BYTES


def test_it_finds_a_large_embolus_of_a_phantom_and_says_that_it_never_saw_a_patient():
    phantom = make_phantom(coarse_settings(negative_fraction=0.0), SEED, 0)
    truth = sitk.GetArrayFromImage(phantom.emboli)
    largest = int(np.bincount(truth.ravel())[1:].argmax()) + 1
    predictor = PEPredictor(["starter"], device="cpu")
    (terms,) = predictor.ensemble.terms
    assert "has never seen a patient" in terms.notice
    found = predictor.predict(phantom.ct).emboli.labels > 0
    assert found[truth == largest].mean() > 0.3
    assert found.mean() < 0.01
