"""Sliding windows against nnU-Net's own, and against the obvious."""

import itertools

import numpy as np
import pytest
import torch
from nnunetv2.inference.sliding_window_prediction import compute_gaussian, compute_steps_for_sliding_window
from torch import nn

from pe_nnunet.errors import InputError
from pe_nnunet.inference import windows
from pe_nnunet.inference.windows import (
    MOST_VOXELS_ON_A_GPU,
    NOT_SEEN,
    corners_over,
    pe_log_odds,
    predict_log_odds,
    window_corners,
    windows_at_once,
)


class Net(nn.Module):
    """Small, not translation-invariant at window borders, three logits if wanted."""

    def __init__(self, dims, channels=2):
        super().__init__()
        torch.manual_seed(0)
        conv = nn.Conv3d if dims == 3 else nn.Conv2d
        self.first = conv(1, 4, 3, padding=1)
        self.second = conv(4, channels, 3, padding=1)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


def stock(network, image, patch, mirror):
    """nnU-Net's predictor in float32 arithmetic as far as it goes (its sums are half precision)."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    class Configuration:
        patch_size = patch

    class Labels:
        num_segmentation_heads = 2

    predictor = nnUNetPredictor(
        device=torch.device("cpu"), use_mirroring=bool(mirror), allow_tqdm=False, perform_everything_on_device=False
    )
    predictor.network = network
    predictor.configuration_manager = Configuration()
    predictor.label_manager = Labels()
    predictor.allowed_mirroring_axes = mirror or None
    return predictor.predict_sliding_window_return_logits(image).float()


def obvious(network, image, patch, mirror):
    """One window after another, in float32, with nnU-Net's steps and Gaussian."""
    window = patch if len(patch) == 3 else (1, *patch)
    missing = [max(0, w - n) for w, n in zip(window, image.shape[1:], strict=True)]
    before = [m // 2 for m in missing]
    padded = torch.zeros(1, *(n + m for n, m in zip(image.shape[1:], missing, strict=True)))
    inner = tuple(slice(b, b + n) for b, n in zip(before, image.shape[1:], strict=True))
    padded[(slice(None), *inner)] = image
    gaussian = compute_gaussian(tuple(patch), dtype=torch.float32, device=torch.device("cpu")).reshape(window)
    total, weights = torch.zeros(2, *padded.shape[1:]), torch.zeros(padded.shape[1:])
    steps = compute_steps_for_sliding_window(padded.shape[1:], window, 0.5)
    flips = [f for n in range(len(mirror) + 1) for f in itertools.combinations([axis + 2 for axis in mirror], n)]
    for corner in itertools.product(*steps):
        place = tuple(slice(a, a + w) for a, w in zip(corner, window, strict=True))
        part = padded[(slice(None), *place)][None]
        part = part if len(patch) == 3 else part[:, :, 0]
        with torch.no_grad():
            logits = sum(torch.flip(network(torch.flip(part, f)), f) for f in flips) / len(flips)
        total[(slice(None), *place)] += logits[0].reshape(2, *window) * gaussian
        weights[place] += gaussian
    return (total / weights)[(slice(None), *inner)]


@pytest.mark.parametrize(
    ("patch", "mirror"), [((8, 8, 8), ()), ((8, 12, 10), (0, 2)), ((10, 9), (1,)), ((40, 8, 8), ())]
)
def test_equals_the_obvious_and_nnunet_up_to_its_half_precision(patch, mirror):
    image = torch.randn(1, 14, 21, 17, generator=torch.Generator().manual_seed(1))
    network = Net(len(patch)).eval()
    ours = predict_log_odds(
        network,
        image,
        patch_size=patch,
        channel=1,
        regions=False,
        device=torch.device("cpu"),
        mirror_axes=mirror,
        float32=True,
        batch_size=3,
    )
    assert ours.shape == image.shape[1:]
    reference = obvious(network, image, patch, mirror)
    torch.testing.assert_close(ours, reference[1] - reference[0], atol=1e-4, rtol=0)
    # nnU-Net sums in half precision: at a corner, where one window counts with a tiny weight, it may be far off
    theirs = stock(network, image, patch, mirror)
    assert float((ours - (theirs[1] - theirs[0])).abs().mean()) < 2e-3


def test_constant_image_is_the_same_however_it_is_cut():
    class Bias(nn.Module):
        def forward(self, x):
            return torch.cat([torch.zeros_like(x), torch.full_like(x, 1.5)], 1)

    odds = predict_log_odds(
        Bias(),
        torch.zeros(1, 9, 30, 11),
        patch_size=(4, 8, 8),
        channel=1,
        regions=False,
        device=torch.device("cpu"),
        float32=True,
    )
    torch.testing.assert_close(odds, torch.full((9, 30, 11), 1.5))


def test_windows_cover_everything():
    covered = np.zeros((13, 20, 8), bool)
    for z, y, x in window_corners(~covered, (6, 7, 8), 0.5):
        covered[z : z + 6, y : y + 7, x : x + 8] = True
    assert covered.all()


@pytest.mark.parametrize("window", [(12, 12, 12), (6, 12, 9), (1, 10, 10)])
def test_windows_cover_a_mask_with_fewer_than_the_whole_takes(window):
    z, y, x = np.ogrid[-1:1:40j, -1:1:36j, -1:1:50j]
    lungs = np.hypot(y, np.abs(x) - 0.5) < 0.45 * (1 - z) / 2  # two cones
    corners = window_corners(lungs, window, 0.5)
    covered = np.zeros(lungs.shape, bool)
    for corner in corners:
        place = tuple(slice(a, a + n) for a, n in zip(corner, window, strict=True))
        assert covered[place].shape == window  # inside the image
        covered[place] = True
    assert covered[lungs].all()
    assert len(corners) < 0.8 * len(window_corners(np.ones(lungs.shape, bool), window, 0.5))
    assert len(set(corners)) == len(corners)


def test_windows_over_the_whole_are_those_of_nnunet():
    steps = compute_steps_for_sliding_window((13, 20, 31), (6, 7, 8), 0.5)
    assert window_corners(np.ones((13, 20, 31), bool), (6, 7, 8), 0.5) == list(itertools.product(*steps))


def test_every_slice_is_one_window_of_a_2d_network():
    assert window_corners(np.ones((5, 8, 8), bool), (1, 8, 8), 0.5) == [(z, 0, 0) for z in range(5)]


def test_progress_reaches_its_end():
    seen = []
    predict_log_odds(
        Net(3).eval(),
        torch.zeros(1, 12, 12, 12),
        patch_size=(8, 8, 8),
        channel=1,
        regions=False,
        device=torch.device("cpu"),
        progress=lambda done, of: seen.append((done, of)),
    )
    assert seen[-1] == (8, 8)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_log_odds_of_softmax(channels):
    logits = torch.randn(2, channels, 5, generator=torch.Generator().manual_seed(2)) * 3
    probability = torch.softmax(logits, 1)[:, 1]
    torch.testing.assert_close(torch.sigmoid(pe_log_odds(logits, 1, regions=False)), probability)


def test_log_odds_of_a_region_is_its_logit():
    logits = torch.randn(2, 2, 5, generator=torch.Generator().manual_seed(2))
    assert torch.equal(pe_log_odds(logits, 1, regions=True), logits[:, 1])


class Hungry(nn.Module):
    """Runs out of memory with more than one window at a time."""

    def __init__(self, most):
        super().__init__()
        self.most = most
        self.sizes = []

    def forward(self, x):
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return torch.cat([torch.zeros_like(x), x], 1)


def run(network, image, **options):
    arguments = {
        "patch_size": (8, 8, 8),
        "channel": 1,
        "regions": False,
        "device": torch.device("cpu"),
        "float32": True,
    }
    return predict_log_odds(network, image, **arguments | options)


def test_fewer_windows_at_once_where_memory_is_short():
    image = torch.randn(1, 20, 16, 9, generator=torch.Generator().manual_seed(1))
    network = Hungry(1)
    seen = []
    odds = run(network, image, batch_size=5, progress=lambda done, of: seen.append((done, of)))
    assert network.sizes[:3] == [5, 2, 1]
    assert seen[-1] == (24, 24)
    torch.testing.assert_close(odds, image[0])


def test_a_window_too_large_for_memory_is_an_error_with_a_code_and_other_errors_stay_themselves():
    with pytest.raises(InputError, match="PE-MODEL-010"):
        run(Hungry(0), torch.zeros(1, 8, 8, 8))
    with pytest.raises(RuntimeError, match="channels"):
        run(nn.Conv3d(2, 2, 1), torch.zeros(1, 8, 8, 8))


def test_on_a_gpu_a_batch_takes_half_of_the_free_memory_at_most(monkeypatch):
    gpu, window = torch.device("cuda"), (32, 32, 32)
    each = 400 * 32**3
    for free, count in ((0, 1), (2 * each, 1), (7 * each, 3), (10**15, MOST_VOXELS_ON_A_GPU // 32**3)):
        monkeypatch.setattr(windows, "free_memory", lambda _, free=free: free)
        assert windows_at_once(window, gpu, 400.0) == count
    assert windows_at_once(window, gpu) == 128  # where nobody knows what a window takes
    assert windows_at_once(window, torch.device("cpu"), 400.0) == 8


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_batches_change_nothing(batch_size):
    image = torch.randn(1, 14, 21, 17, generator=torch.Generator().manual_seed(1))
    network = Net(3).eval()
    torch.testing.assert_close(run(network, image, batch_size=batch_size), run(network, image), atol=1e-5, rtol=0)


def test_windows_outside_a_mask_are_not_computed():
    image = torch.randn(1, 8, 8, 40, generator=torch.Generator().manual_seed(1))
    network = Hungry(99)
    within = np.zeros((8, 8, 40), bool)
    within[:, :, 6:17] = True
    odds = run(network, image, corners=corners_over(image.shape[1:], (8, 8, 8), 0.5, within), batch_size=1)
    assert len(network.sizes) == 2  # those from 6 and from 9
    torch.testing.assert_close(odds[..., 6:17], image[0, ..., 6:17])
    assert (odds[..., :6] == NOT_SEEN).all()
    assert (odds[..., 17:] == NOT_SEEN).all()


def test_a_mask_of_nothing_needs_no_window():
    network = Hungry(99)
    nothing = corners_over((8, 8, 40), (8, 8, 8), 0.5, np.zeros((8, 8, 40), bool))
    assert (run(network, torch.zeros(1, 8, 8, 40), corners=nothing) == NOT_SEEN).all()
    assert not network.sizes
