"""Ensembles with known answers, and one model against nnU-Net's own prediction."""

import weakref

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from pe_nnunet.errors import InputError
from pe_nnunet.inference import ensemble
from pe_nnunet.inference.ensemble import predict_ensemble
from pe_nnunet.inference.locate import locate_folder
from pe_nnunet.inference.model import load_model
from pe_nnunet.inference.preparation import mask_on_network_grid, network_grid, prepare
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.roi import crop
from pe_nnunet.voxels import Box

CPU = torch.device("cpu")
EXACT = InferenceSettings(mirroring=False, float32=True)


def load(folder, folds=None):
    return load_model(locate_folder(folder, folds), CPU)


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


@pytest.fixture
def part(thorax):
    return crop(thorax, Box((10, 12, 20), (37, 41, 52)))


def test_every_fold_of_every_model_counts_alike(model_folder, part):
    """2D and 3D, softmax and regions, other spacings and orders of axes."""
    models = [
        load(model_folder("A__P__3d_fullres", folds=(0, 1, 2), log_odds=(-1.0, 2.0, 0.5))),
        load(model_folder("B__P__2d", patch=(32, 24), spacing=(3.0, 5.0), log_odds=(3.0,))),
        load(model_folder("C__P__3d_fullres", regions=True, forward=(2, 0, 1), resampling="torch", log_odds=(-2.0,))),
    ]
    probability, agreement = predict_ensemble(models, part, CPU, EXACT, agreement_at=0.6)
    expected = np.mean([sigmoid(value) for value in (-1.0, 2.0, 0.5, 3.0, -2.0)])
    np.testing.assert_allclose(probability, expected, atol=1e-5)
    np.testing.assert_allclose(agreement, 3 / 5)  # 0.88, 0.62 and 0.95
    assert probability.shape == part.GetSize()[::-1]


def test_chosen_folds_alone_count_and_no_agreement_is_made_unasked(model_folder, part):
    folder = model_folder(folds=(0, 1), log_odds=(-1.0, 2.0))
    probability, agreement = predict_ensemble([load(folder, ["1"])], part, CPU, EXACT)
    np.testing.assert_allclose(probability, sigmoid(2.0), atol=1e-5)
    assert agreement is None


def test_what_one_model_sees_and_says_is_gone_before_the_next_takes_memory(model_folder, part, monkeypatch):
    held = []

    def watched(function, others):
        def run(*args, **kwargs):
            assert sum(ref() is not None for ref in held) == others
            found = function(*args, **kwargs)
            held.append(weakref.ref(found))
            return found

        return run

    monkeypatch.setattr(ensemble, "prepare", watched(ensemble.prepare, 0))
    monkeypatch.setattr(ensemble, "predict_log_odds", watched(ensemble.predict_log_odds, 1))  # beside the image
    predict_ensemble([load(model_folder(name, folds=(0, 1))) for name in ("A__P__3d", "B__P__3d")], part, CPU, EXACT)
    assert len(held) == 6


VARIANTS = {
    "coarser": {"spacing": (6.0, 5.0, 5.0)},
    "finer": {"spacing": (3.0, 3.0, 3.0)},
    "coarse slices": {"spacing": (4.0, 1.2, 1.2), "patch": (8, 32, 32)},
    "turned": {"forward": (1, 2, 0), "spacing": (6.0, 5.0, 4.0)},
    "torch": {"spacing": (6.0, 5.0, 5.0), "resampling": "torch"},
    "2d": {"patch": (16, 24), "spacing": (3.0, 5.0)},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_a_float32_reference_to_1e_4(model_folder, part, variant):
    """nnU-Net's preprocessing, windows and resampling, with sums in single precision."""
    model = load(model_folder(gain=20.0, **VARIANTS[variant]))
    ours = predict_ensemble([model], part, CPU, EXACT)[0]
    reference = float32_reference(model, part)
    assert reference.std() > 0.05
    assert float(np.abs(ours - reference).max()) < 1e-4


def float32_reference(model, image, needed=None):
    from nnunetv2.inference.sliding_window_prediction import compute_gaussian

    from pe_nnunet.inference.windows import window_corners

    properties = {"spacing": list(image.GetSpacing()[::-1])}
    data, _, properties = model.configuration.preprocessor_class(verbose=False).run_case_npy(
        sitk.GetArrayFromImage(image)[None], None, properties, model.plans, model.configuration, model.dataset_json
    )
    window = model.patch_size if len(model.patch_size) == 3 else (1, *model.patch_size)
    assert all(n >= w for n, w in zip(data.shape[1:], window, strict=True))
    gaussian = compute_gaussian(model.patch_size, dtype=torch.float32, device=CPU).reshape(window)
    total, weights = torch.zeros(2, *data.shape[1:]), torch.zeros(data.shape[1:])
    for corner in window_corners(np.ones(data.shape[1:], bool) if needed is None else needed, window, 0.5):
        place = tuple(slice(a, a + w) for a, w in zip(corner, window, strict=True))
        patch = torch.from_numpy(data[(slice(None), *place)]).float()[None]
        patch = patch if len(model.patch_size) == 3 else patch[:, :, 0]
        with torch.inference_mode():
            total[(slice(None), *place)] += model.network(patch)[0].reshape(2, *window) * gaussian
        weights[place] += gaussian
    logits = (total / weights.clamp(min=1e-30)).numpy()
    spacing = [properties["spacing"][axis] for axis in model.plans.transpose_forward]
    target = list(model.configuration.spacing)
    target = target if len(target) == 3 else [spacing[0], *target]
    resampled = np.asarray(
        model.configuration.resampling_fn_probabilities(
            logits, properties["shape_after_cropping_and_before_resampling"], target, spacing
        )
    )
    probability = torch.softmax(torch.from_numpy(resampled).float(), 0)[1].numpy()
    return probability.transpose(model.plans.transpose_backward)


def test_on_the_grid_of_the_plans_a_scan_is_prepared_bit_for_bit_as_by_nnunet(model_folder, part):
    """Nothing is resampled there: what is left is the normalisation of CT."""
    model = load(model_folder(spacing=part.GetSpacing()[::-1]))
    hu, spacing = sitk.GetArrayFromImage(part), part.GetSpacing()[::-1]
    theirs, _, _ = model.configuration.preprocessor_class(verbose=False).run_case_npy(
        hu[None].copy(), None, {"spacing": list(spacing)}, model.plans, model.configuration, model.dataset_json
    )
    before = hu.copy()
    assert np.array_equal(prepare(model, hu, spacing, network_grid(model, hu, spacing)).numpy(), theirs)
    assert np.array_equal(hu, before)


def test_equals_stock_nnunet_on_the_same_region(model_folder, part):
    """The bounds that nnU-Net's half-precision sums leave."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    folder = model_folder(spacing=(5.0, 4.5, 4.5), gain=20.0)
    predictor = nnUNetPredictor(device=CPU, use_mirroring=False, allow_tqdm=False, perform_everything_on_device=False)
    predictor.initialize_from_trained_model_folder(str(folder), (0,))
    mask, stock = predictor.predict_single_npy_array(
        sitk.GetArrayFromImage(part)[None].astype(np.float32),
        {"spacing": list(part.GetSpacing()[::-1])},
        save_or_return_probabilities=True,
    )
    ours = predict_ensemble([load(folder)], part, CPU, EXACT)[0]
    assert float(np.abs(ours - stock[1]).mean()) < 1e-3
    found = ours >= 0.5
    assert 100 < found.sum() < found.size - 100
    assert 2 * float((found & (mask == 1)).sum()) / float(found.sum() + (mask == 1).sum()) >= 0.999


def test_windows_lie_over_the_part_that_is_asked_for_and_nothing_is_found_outside(model_folder, part):
    model = load(model_folder(spacing=(3.0, 3.5, 3.5), gain=20.0))
    within = np.zeros(part.GetSize()[::-1], bool)
    within[3:9, 4:12, 5:9] = True
    windows = {}

    def count(name, done, of, share):
        windows["all"] = of

    predict_ensemble([model], part, CPU, EXACT, progress=count)
    every = dict(windows)
    probability, agreement = predict_ensemble(
        [model], part, CPU, EXACT, within=within, agreement_at=0.5, progress=count
    )
    assert next(iter(windows.values())) < 0.6 * next(iter(every.values()))
    grid = network_grid(model, sitk.GetArrayFromImage(part), part.GetSpacing()[::-1])
    reference = float32_reference(model, part, mask_on_network_grid(grid, within, (0, 1, 2)))
    np.testing.assert_allclose(probability[within], reference[within], atol=1e-4)
    assert not probability[~within].any()
    assert not agreement[~within].any()


def test_what_does_not_fit(model_folder, part):
    slices = crop(part, Box((0, 0, 0), (2, 29, 32)))
    with pytest.raises(InputError, match=r"PE-MODEL-005.*2d model"):
        predict_ensemble([load(model_folder())], slices, CPU, EXACT)
    model = load(model_folder("B__P__3d_fullres"))
    model.dataset_json["channel_names"]["1"] = "iodine"
    with pytest.raises(InputError, match="needs 2 channels"):
        predict_ensemble([model], part, CPU, EXACT)


def test_a_2d_model_predicts_loose_slices(model_folder, part):
    slices = crop(part, Box((0, 0, 0), (1, 29, 32)))
    model = load(model_folder("A__P__2d", patch=(16, 16), spacing=(4.0, 4.0), log_odds=(1.0,)))
    np.testing.assert_allclose(predict_ensemble([model], slices, CPU, EXACT)[0], sigmoid(1.0), atol=1e-5)
