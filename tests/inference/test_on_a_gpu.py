"""Prediction on a GPU: the CPU's numbers and nnU-Net's, and the CPU where the GPU's memory does not suffice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape
from torch import nn

from pe_nnunet.inference import locate_folder
from pe_nnunet.inference.predictor import PEPredictor
from pe_nnunet.inference.resampling import Resampling
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.inference.transfer import arriving, sent, volume_on
from pe_nnunet.inference.windows import predict_log_odds
from pe_nnunet.networks import TARUNet

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
GPU, CPU = torch.device("cuda"), torch.device("cpu")


def network():
    torch.manual_seed(0)
    return TARUNet(1, 2, n_stages=3, features_per_stage=(8, 16, 32), conv_op=nn.Conv3d).eval()


def odds(device, *, float32, place=CPU, **options):
    image = torch.randn(1, 60, 50, 70, generator=torch.Generator().manual_seed(1)).to(place)
    arguments = {"patch_size": (32, 32, 32), "channel": 1, "regions": False, "mirror_axes": (0, 2)}
    return predict_log_odds(network(), image, device=device, float32=float32, **arguments | options)


def test_single_precision_is_the_cpus_and_half_precision_is_near_it():
    exact = odds(CPU, float32=True)
    assert exact.std() > 0.05  # log-odds that differ from place to place
    torch.testing.assert_close(odds(GPU, float32=True), exact, atol=1e-4, rtol=1e-4)
    half = odds(GPU, float32=False)
    assert (torch.sigmoid(half) - torch.sigmoid(exact)).abs().mean() < 1e-3


def test_an_image_that_lies_on_the_gpu_gives_the_same_there():
    found = odds(GPU, float32=True, place=GPU, batch_size=3)
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), odds(CPU, float32=True), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("old_mm", [(1.5, 0.7, 2.0), (5.0, 0.7, 0.7)])
def test_cubic_resampling_is_that_of_nnunet(old_mm):
    hu = np.random.default_rng(0).normal(0, 300, (43, 60, 47)).astype(np.int16)
    new_shape, new_mm = (60, 50, 70), tuple(mm * n / m for mm, n, m in zip(old_mm, hu.shape, (60, 50, 70), strict=True))
    settings = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    theirs = resample_data_or_seg_to_shape(hu[None].astype(np.float32), new_shape, old_mm, new_mm, **settings)[0]
    resampling = Resampling.of_plans("resample_data_or_seg_to_shape", settings, hu.shape, new_shape, old_mm, new_mm)
    held, limits = volume_on(hu, GPU), (float(hu.min()), float(hu.max()))
    ours = resampling.whole(lambda low, high: held[low:high].float(), limits, GPU)
    assert np.abs(ours.cpu().numpy() - theirs).max() < 1e-3 * hu.std()


@pytest.mark.parametrize("place", [CPU, GPU])
def test_the_next_tensor_is_begun_before_one_is_used(place):
    seen = []

    def tensors():
        for k in range(4):
            seen.append(k)
            yield k, sent(torch.full((1000, 1000), float(k)), GPU)

    for label, tensor in arriving(tensors(), place):
        assert tensor.device.type == place.type
        assert (tensor == label).all()
        assert seen[-1] == min(label + 1, 3)


def test_the_cpu_takes_over_where_a_window_does_not_fit():
    expected = odds(CPU, float32=True)
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**21) / whole)
    try:
        found = odds(GPU, float32=True, batch_size=8)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_scan_has_the_same_emboli_on_both(model_folder, thorax):
    folder = model_folder(gain=20.0)
    results = {}
    for device in ("cpu", "cuda"):
        predictor = PEPredictor(
            [locate_folder(folder, ["0"])], device=device, inference=InferenceSettings(mirroring=False, float32=True)
        )
        results[device] = predictor.predict(thorax, case_id="thorax")
    on_cpu, on_gpu = ([row.volume_mm3 for row in results[device].emboli.kept] for device in ("cpu", "cuda"))
    assert on_cpu
    assert on_gpu == pytest.approx(on_cpu, rel=0.01)
