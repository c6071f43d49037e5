"""Windows smaller than the trained patch: what is asked for, what is taken by itself, and what they cover."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pe_nnunet.cli import main
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.inference import window_size
from pe_nnunet.inference.device import free_memory
from pe_nnunet.inference.ensemble import predict_ensemble
from pe_nnunet.inference.locate import locate_folder
from pe_nnunet.inference.model import load_model
from pe_nnunet.inference.network_cost import NetworkCost, divisor_of, network_cost
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.inference.window_size import largest_window, rounded, with_windows
from pe_nnunet.inference.windows import corners_over, predict_log_odds
from pe_nnunet.networks import TARUNet
from pe_nnunet.roi import crop
from pe_nnunet.voxels import Box

CPU, GPU = torch.device("cpu"), torch.device("cuda")
EXACT = InferenceSettings(mirroring=False, float32=True)
SIDES = st.tuples(*[st.integers(1, 12)] * 3)


@pytest.fixture
def model(model_folder):
    """Patch 32x32x32, one halving, random weights."""
    return load_model(locate_folder(model_folder(patch=(32, 32, 32), gain=20.0), None), CPU)


@pytest.fixture
def part(thorax):
    return crop(thorax, Box((10, 12, 20), (37, 41, 52)))


@settings(max_examples=200, deadline=None)
@given(shape=SIDES, window=SIDES, step=st.floats(0.05, 1), seed=st.integers(0, 99), share=st.sampled_from((0.02, 0.5)))
def test_windows_of_any_size_cover_every_voxel_that_is_needed(shape, window, step, seed, share):
    for within in (None, np.random.default_rng(seed).random(shape) < share):
        padded = [max(n, side) for n, side in zip(shape, window, strict=True)]
        covered = np.zeros(padded, int)
        for corner in corners_over(shape, window, step, within):
            place = tuple(slice(a, a + side) for a, side in zip(corner, window, strict=True))
            assert covered[place].shape == window  # none reaches beyond the image
            covered[place] += 1
        before = [(n - m) // 2 for n, m in zip(padded, shape, strict=True)]
        image = covered[tuple(slice(b, b + n) for b, n in zip(before, shape, strict=True))]
        assert image[np.ones(shape, bool) if within is None else within].all()


@settings(max_examples=20, deadline=None)
@given(window=SIDES, step=st.floats(0.3, 1))
def test_a_network_that_sees_single_voxels_says_the_same_by_windows_of_any_size(window, step):
    network = nn.Conv3d(1, 2, 1)
    image = torch.randn(1, 7, 9, 8, generator=torch.Generator().manual_seed(0))
    weight, bias = network.weight.detach().flatten(), network.bias.detach()
    odds = predict_log_odds(
        network,
        image,
        patch_size=window,
        channel=1,
        regions=False,
        device=CPU,
        corners=corners_over((7, 9, 8), window, step),
        float32=True,
    )
    torch.testing.assert_close(odds, image[0] * (weight[1] - weight[0]) + bias[1] - bias[0], atol=1e-5, rtol=1e-5)


def test_where_one_window_covers_everything_the_result_is_that_of_the_trained_patch(model, part):
    whole, _ = predict_ensemble([model], part, CPU, EXACT)
    (same,), notes = with_windows([model], CPU, InferenceSettings(window=(32, 32, 32)))
    assert notes == ()
    assert np.array_equal(predict_ensemble([same], part, CPU, EXACT)[0], whole)
    (same,), notes = with_windows([model], CPU, InferenceSettings(window=(64, 40, 33)))
    assert [note.code for note in notes] == ["PE-ROI-010"]
    assert "windows of 32x32x32 voxels instead of 64x40x33" in notes[0].message
    assert np.array_equal(predict_ensemble([same], part, CPU, EXACT)[0], whole)


def test_smaller_windows_are_what_the_network_sees(model, part, monkeypatch):
    seen = set()
    forward = type(model.network).forward
    monkeypatch.setattr(
        type(model.network), "forward", lambda self, x: seen.add(tuple(x.shape[2:])) or forward(self, x)
    )
    (smaller,), _ = with_windows([model], CPU, InferenceSettings(window=(15, 20, 24)))
    assert predict_ensemble([smaller], part, CPU, EXACT)[0].std() > 0.05
    assert seen == {(16, 20, 24)}


def test_sides_follow_the_axes_of_the_plans(model_folder):
    turned = load_model(
        locate_folder(model_folder("A__P__3d_fullres", patch=(32, 32, 32), forward=(2, 0, 1)), None), CPU
    )
    flat = load_model(locate_folder(model_folder("B__P__2d", patch=(32, 24), spacing=(3.0, 5.0)), None), CPU)
    models, notes = with_windows([turned, flat], CPU, InferenceSettings(window=(8, 12, 16)))
    assert [model.window_size for model in models] == [(16, 8, 12), (12, 16)]
    assert notes == ()


@given(asked=SIDES, exponents=st.tuples(*[st.integers(0, 3)] * 3), steps=st.tuples(*[st.integers(1, 9)] * 3))
def test_what_is_asked_for_is_brought_to_the_next_size_that_fits(asked, exponents, steps):
    divisor = [2**n for n in exponents]
    patch = [n * step for n, step in zip(steps, divisor, strict=True)]
    for side, step, most, want in zip(rounded(asked, divisor, patch), divisor, patch, asked, strict=True):
        fitting = [n for n in range(step, most + 1, step) if n >= max(want, 2 * step)]
        assert side == (fitting[0] if fitting else most)


@given(
    exponents=st.tuples(*[st.integers(0, 4)] * 3), steps=st.tuples(*[st.integers(1, 9)] * 3), most=st.integers(1, 10**6)
)
def test_the_longest_side_is_shortened_until_the_window_fits(exponents, steps, most):
    divisor = [2**n for n in exponents]
    patch = tuple(n * step for n, step in zip(steps, divisor, strict=True))
    window = largest_window(patch, divisor, most)
    smallest = [min(2 * step, side) for step, side in zip(divisor, patch, strict=True)]
    assert all(
        n % step == 0 and low <= n <= side for n, step, low, side in zip(window, divisor, smallest, patch, strict=True)
    )
    assert np.prod(window) <= most or list(window) == smallest
    assert window == patch or np.prod(patch) > most


def test_on_a_cpu_windows_have_128x128x128_voxels_at_most(model):
    large = replace(model, configuration=SimpleNamespace(patch_size=[224, 320, 320]), divisor=(32, 64, 64), cost=None)
    (on_cpu,), (note,) = with_windows([large], CPU, InferenceSettings())
    assert on_cpu.window_size == (128, 128, 128)
    assert (note.code, note.kind) == ("PE-ROI-009", "warning")
    assert "windows of 128x128x128 voxels instead of the trained patch, 224x320x320: it runs on a CPU" in note.message
    # the patch itself where it is not larger
    assert with_windows([model], CPU, InferenceSettings())[0][0].window_size == (32, 32, 32)


def test_a_window_takes_half_of_the_free_memory_at_most(model, monkeypatch):
    costly = replace(model, cost=NetworkCost(1000.0, 1.0))  # bytes a voxel in single precision; 500 on a GPU
    patch_bytes = 32**3 * 500
    for free, window in (
        (None, (32, 32, 32)),
        (2 * patch_bytes, (32, 32, 32)),
        (2 * patch_bytes - 2, (32, 32, 30)),
        (2 * 16**3 * 500, (16, 16, 16)),
        (0, (4, 4, 4)),  # the smallest: lack of memory is then met where it shows
    ):
        monkeypatch.setattr(window_size, "free_memory", lambda _, free=free: free)
        (chosen,), notes = with_windows([costly], GPU, InferenceSettings())
        assert chosen.window_size == window
        assert [note.code for note in notes] == ["PE-ROI-009"] * (window != (32, 32, 32))
        (asked,), _ = with_windows([costly], GPU, InferenceSettings(window=(32, 32, 32)))
        assert asked.window_size == (32, 32, 32)  # whatever is free
    monkeypatch.setattr(window_size, "free_memory", lambda _: 2 * 2**20 * 1000)
    huge = replace(costly, configuration=SimpleNamespace(patch_size=[256] * 3), divisor=(32,) * 3)
    (chosen,), (note,) = with_windows([huge], GPU, InferenceSettings(float32=True))
    assert chosen.window_size == (96, 96, 96)  # of at most 2^20 voxels, 101^3
    assert "takes 15.6 GiB, and a window may take half of the 2.0 GiB" in note.message


def test_the_memory_of_this_machine_is_known():
    assert free_memory(CPU) is None or free_memory(CPU) > 2**20


def test_memory_that_torch_keeps_for_later_is_free(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 70)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 30)
    assert free_memory(GPU) == 140


def test_bytes_of_a_window_are_those_that_live_at_once():
    """Of a voxel in float32: the image 4, four channels 16, two channels 8."""
    with torch.device("meta"):
        network = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 2, 3, padding=1), nn.Conv3d(2, 1, 1))
    cost = network_cost(network, 1, (8, 4, 6))
    assert cost == NetworkCost(bytes=4 + 16 + 8, written=4 + 16 + 8 + 4)
    assert network_cost(network, 3, (8, 4, 6)) is None  # cannot be run


def test_divisors_are_the_networks_the_plans_or_those_of_the_patch(model):
    def plans(patch, **arguments):
        return SimpleNamespace(patch_size=patch, network_arch_init_kwargs=arguments)

    assert model.divisor == (2, 2, 2)
    strides = [[1, 1, 1], [1, 2, 2], [2, 2, 2], 2]
    assert divisor_of(nn.Identity(), plans([16, 32, 48], strides=strides)) == (4, 8, 8)
    assert divisor_of(nn.Identity(), plans([24, 32, 7])) == (8, 32, 1)
    ours = TARUNet(1, 2, conv_op=nn.Conv3d, strides=[[1, 1, 1], [1, 2, 2]], n_stages=2, features_per_stage=[4, 8])
    assert divisor_of(ours, plans([24, 32, 8])) == (1, 2, 2)


@pytest.mark.parametrize("window", [(8, 8), (8, 8, 0)])
def test_windows_that_are_none_are_refused(window):
    with pytest.raises(ConfigurationError, match="PE-MODEL-007: --window is"):
        InferenceSettings(window=window)


def test_the_manifest_names_the_windows_and_resume_compares_them(model_folder, thorax, tmp_path, capsys):
    sitk.WriteImage(thorax, str(tmp_path / "a.nii.gz"))
    folder = model_folder(log_odds=(2.0,), patch=(32, 32, 32))

    def run(*more):
        arguments = ["-i", tmp_path / "a.nii.gz", "-o", tmp_path / "out", "-m", folder, "--fast", "--no-report"]
        assert main(["predict-fused", *map(str, arguments), "-device", "cpu", "--resume", *more]) == 0
        return capsys.readouterr().out

    told = run("--window", "15", "32", "32")
    assert told.count("PE-ROI-010 repaired: nnUNetTrainer__nnUNetPlans__3d_fullres: windows of 16x32x32") == 1
    manifest = json.loads((tmp_path / "out" / "a.json").read_text())
    name = {"model": folder.name, "trained": [32, 32, 32]}
    assert manifest["arguments"]["windows"] == [name | {"voxels": [16, 32, 32]}]
    assert manifest["arguments"]["window"] == [15, 32, 32]
    assert "PE-ROI-010" in [note["code"] for note in manifest["notes"]]
    assert "a: there already" in run("--window", "15", "32", "32")
    assert "a: again: it was made with other settings" in run()
