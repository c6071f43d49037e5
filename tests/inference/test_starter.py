"""The model that ships: whole, small, open about what it is, and good for something on synthetic scans."""

import numpy as np
import SimpleITK as sitk

from pe_nnunet.cli import main
from pe_nnunet.inference import PEPredictor
from pe_nnunet.inference.shipped import SHIPPED
from pe_nnunet.phantom import coarse_settings, make_phantom

MOST_BYTES = 8_000_000
SEEDS = (78, 79, 80)  # of none of its training phantoms; the largest emboli have 2.3, 3.6 and 29 ml


def test_it_is_whole_and_small(capsys):
    assert main(["verify", "starter"]) == 0
    assert "as it should be" in capsys.readouterr().out
    assert sum(path.stat().st_size for path in SHIPPED["starter"].rglob("*")) < MOST_BYTES


def test_it_finds_large_emboli_of_phantoms_and_says_that_it_never_saw_a_patient():
    predictor = PEPredictor(["starter"], device="cpu")
    (terms,) = predictor.ensemble.terms
    assert "has never seen a patient" in terms.notice
    for seed in SEEDS:
        phantom = make_phantom(coarse_settings(negative_fraction=0.0), seed, 0)
        truth = sitk.GetArrayFromImage(phantom.emboli)
        largest = int(np.bincount(truth.ravel())[1:].argmax()) + 1
        found = predictor.predict(phantom.ct).emboli.labels > 0
        assert found[truth == largest].mean() > 0.3
        assert found.mean() < 0.01
