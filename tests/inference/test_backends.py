"""Networks run by other runtimes on a CPU: the same logits as torch's, and torch where they cannot be had."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import nn

from pe_nnunet import PEPredictor
from pe_nnunet.inference import backends, compiled_network
from pe_nnunet.inference.backends import with_backends
from pe_nnunet.inference.compiled_network import Backend, compile_network, difference
from pe_nnunet.inference.locate import locate_folder
from pe_nnunet.inference.model import load_model
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.networks import AttentionUNet, TARUNet
from pe_nnunet.networks.blocks.instance_norm import with_our_norms

CPU, GPU = torch.device("cpu"), torch.device("cuda")
NORM = {"norm_op": nn.InstanceNorm3d, "norm_op_kwargs": {"affine": True}}


def network_of(kind):
    torch.manual_seed(0)
    sizes = {"n_stages": 3, "features_per_stage": (4, 8, 8), "conv_op": nn.Conv3d}
    if kind is not None:
        return kind(1, 2, **sizes, **NORM).eval()
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    more = {"n_conv_per_stage": 1, "n_conv_per_stage_decoder": 1, "num_classes": 2, "nonlin": nn.LeakyReLU}
    strides = {"strides": (1, 2, 2), "kernel_sizes": 3, "conv_bias": True}
    return with_our_norms(PlainConvUNet(1, **sizes, **strides, **more, **NORM)).eval()


@pytest.mark.parametrize("kind", [None, TARUNet, AttentionUNet])
@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_logits_are_those_of_torch(name, kind):
    pytest.importorskip(compiled_network.PACKAGES[name])
    network, shape = network_of(kind), (1, 8, 12, 16)
    compiled = compile_network(network, shape, name)
    assert difference(network, compiled, shape) < 1e-5
    windows = torch.randn(3, *shape).contiguous(memory_format=torch.channels_last_3d)
    with torch.inference_mode():
        torch.testing.assert_close(compiled(windows), network(windows), atol=1e-4, rtol=1e-4)


def test_another_fold_is_another_network():
    network, shape = network_of(AttentionUNet), (1, 8, 8, 8)
    folds = [network.state_dict(), {name: 2 * values for name, values in network.state_dict().items()}]
    backend, window = Backend("onnx"), torch.randn(1, 1, 8, 8, 8)
    found = [backend.network_with(network, fold, shape) for fold in (*folds, folds[1])]
    assert found[1] is found[2]
    assert not torch.allclose(found[0](window), found[1](window))


@pytest.mark.parametrize(
    ("asked", "device", "bfloat16", "machine", "installed", "expected"),
    [
        ("auto", CPU, False, "x86_64", True, "openvino"),
        ("auto", CPU, False, "x86_64", False, "torch"),
        ("auto", CPU, True, "x86_64", True, "torch"),
        ("auto", CPU, False, "arm64", True, "torch"),
        ("auto", GPU, False, "x86_64", True, "torch"),
        ("torch", CPU, False, "x86_64", True, "torch"),
        ("onnx", CPU, True, "x86_64", True, "onnx"),
        ("openvino", CPU, False, "x86_64", False, "torch, for openvino is not installed"),
        ("onnx", GPU, False, "x86_64", True, "torch, for it runs on a CPU, not on cuda"),
    ],
)
def test_which_runtime_it_is(monkeypatch, asked, device, bfloat16, machine, installed, expected):
    monkeypatch.setattr(backends, "cpu_has_bfloat16", lambda: bfloat16)
    monkeypatch.setattr(backends, "is_installed", lambda _name: installed)
    monkeypatch.setattr(backends.platform, "machine", lambda: machine)
    name, reason = backends._chosen(asked, device)
    assert ", for ".join(filter(None, (name, reason))) == expected


@pytest.mark.parametrize("fault", ["cannot run it (RuntimeError: no such operator)", "gives logits that are 1 away"])
def test_torch_stays_where_a_runtime_fails(monkeypatch, model_folder, fault):
    def fail(*_):
        raise RuntimeError("no such operator")

    where, wrong = ("compile_network", fail) if "operator" in fault else ("difference", lambda *_: 1.0)
    monkeypatch.setattr(compiled_network if where == "compile_network" else backends, where, wrong)
    model = load_model(locate_folder(model_folder(patch=(16, 16, 16), gain=20.0), None), CPU)
    (found,), (note,) = with_backends([model], CPU, InferenceSettings(backend="onnx"))
    assert (found.backend, note.code) == (None, "PE-MODEL-029")
    assert f"{model.name}: onnxruntime {fault}" in note.message


def test_a_prediction_is_that_of_torch_and_says_what_made_it(model_folder, thorax, tmp_path: Path):
    folder = model_folder(log_odds=(2.0, -1.0), patch=(32, 32, 32), gain=20.0)
    maps = {}
    for name in ("torch", "onnx"):
        settings = InferenceSettings(mirroring=False, step=1.0, float32=True, backend=name)
        predictor = PEPredictor([folder], inference=settings, device="cpu")
        maps[name] = sitk.GetArrayFromImage(predictor.predict(thorax).probability)
        assert json.loads(json.dumps(predictor.settings()))["backends"] == [name]
        assert predictor.notes == PEPredictor([folder], device="cpu").notes
    np.testing.assert_allclose(maps["onnx"], maps["torch"], atol=1e-5)
    assert np.ptp(maps["torch"]) > 0.1
