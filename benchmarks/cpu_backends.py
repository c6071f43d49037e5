"""A network's window on one core in single precision: torch, onnxruntime and OpenVINO, for CPUs without bfloat16.

    python benchmarks/cpu_backends.py [--window 48] [--features 16 32 64 64] [--repeats 3]

Three networks with random weights: nnU-Net's plain 3D U-Net, Attention U-Net and TAR-UNet. "torch" is torch as our
prediction runs it, with oneDNN for all maps (`pe_nnunet.precision`); the first row of a network says what that gains
over torch by itself. The runtimes take turns, and of each the least processor time of a window counts, which other
programs on the machine disturb little. Memory is
the peak of a process that runs the one runtime alone, less what it holds before the first window (Linux); beside it
stands how far the logits are from torch's, as a share of the largest. Where a runtime is not installed its rows are
left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pe_nnunet.inference.compiled_network import PACKAGES, compile_network, difference, is_installed
from pe_nnunet.networks import AttentionUNet, TARUNet
from pe_nnunet.networks.blocks.instance_norm import with_our_norms
from pe_nnunet.precision import single_precision

STAGES = 4
NETWORKS = ("plain U-Net", "Attention U-Net", "TAR-UNet")
ALONE = "torch by itself"
RUNTIMES = {"torch": "torch", "onnx": "onnxruntime", "openvino": "OpenVINO"}


def network_of(name: str, features: tuple[int, ...]) -> nn.Module:
    """In eval mode, weights drawn with a fixed seed."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "n_stages": STAGES,
        "features_per_stage": features,
        "conv_op": nn.Conv3d,
        "kernel_sizes": [[3] * 3] * STAGES,
        "strides": [[1] * 3] + [[2] * 3] * (STAGES - 1),
        "conv_bias": True,
        "norm_op": nn.InstanceNorm3d,
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU,
        "nonlin_kwargs": {"inplace": True},
    }
    if name == "plain U-Net":
        from dynamic_network_architectures.architectures.unet import PlainConvUNet

        network = with_our_norms(
            PlainConvUNet(1, num_classes=2, n_conv_per_stage=2, n_conv_per_stage_decoder=2, **sizes)
        )
    else:
        network = {"Attention U-Net": AttentionUNet, "TAR-UNet": TARUNet}[name](1, 2, **sizes)
    return network.eval().to(memory_format=torch.channels_last_3d)


class AsPredicted(nn.Module):
    """The network in torch, as our prediction runs it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, window: Tensor) -> Any:
        """As the network's."""
        with single_precision():
            return self.network(window)


def run_of(network: nn.Module, side: int, name: str) -> nn.Module:
    """The network by a runtime."""
    if name == ALONE:
        return network
    return AsPredicted(network) if name == "torch" else compile_network(network, (1, side, side, side), name)


def seconds(runs: dict[str, nn.Module], side: int, repeats: int) -> dict[str, float]:
    """Least processor time of a window; the first ones do not count."""
    window = torch.randn(1, 1, side, side, side).contiguous(memory_format=torch.channels_last_3d)
    seen: dict[str, list[float]] = {name: [] for name in runs}
    with torch.inference_mode():
        for _ in range(repeats + 1):
            for name, network in runs.items():
                begin = time.process_time()
                network(window)
                seen[name].append(time.process_time() - begin)
    return {name: min(times[1:]) for name, times in seen.items()}


def memory_gb(name: str, runtime: str, side: int, features: tuple[int, ...]) -> float:
    """Peak of a process that makes two windows, above what it held when the network was ready."""
    ask = [
        sys.executable,
        __file__,
        "--memory",
        name,
        runtime,
        "--window",
        str(side),
        "--features",
        *map(str, features),
    ]
    return float(json.loads(subprocess.run(ask, check=True, capture_output=True, text=True).stdout.splitlines()[-1]))


def measure_memory(name: str, runtime: str, side: int, features: tuple[int, ...]) -> None:
    """Print it."""
    network = run_of(network_of(name, features), side, runtime)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status_kib("VmRSS")
    seconds({runtime: network}, side, 1)
    print(json.dumps((_status_kib("VmHWM") - before) * 1024 / 1e9))


def _status_kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def bench(
    *, quick: bool, side: int = 48, features: tuple[int, ...] = (16, 32, 64, 64), repeats: int = 2, memory: bool = True
) -> list[dict[str, Any]]:
    """Rows of each network and runtime against torch."""
    torch.set_num_threads(1)
    if quick:
        side, features, repeats, memory = 32, (8, 16, 16, 16), 1, False
    names = ["torch", *(name for name in PACKAGES if is_installed(name))]
    rows = []
    for name in NETWORKS:
        network = network_of(name, features)
        runs = {runtime: run_of(network, side, runtime) for runtime in (ALONE, *names)}
        times = seconds(runs, side, repeats)
        data = f"{name} of {'-'.join(map(str, features))} features, window {side}x{side}x{side}, one thread, float32"
        rows.append({"what": "window by torch", "data": data, "unit": "core s", "ours": times["torch"]})
        rows[-1] |= {"peer": ALONE, "theirs": times[ALONE]}
        of_torch = memory_gb(name, "torch", side, features) if memory else 0.0
        for runtime in names[1:]:
            ours = {"data": data, "peer": "torch, channels last"}
            rows.append({"what": f"window by {RUNTIMES[runtime]}", "unit": "core s", "ours": times[runtime]} | ours)
            rows[-1]["theirs"] = times["torch"]
            if memory:
                held = memory_gb(name, runtime, side, features)
                rows.append({"what": f"its memory, {RUNTIMES[runtime]}", "unit": "GB", "ours": held} | ours)
                rows[-1]["theirs"] = of_torch
            away = difference(network, runs[runtime], (1, side, side, side))
            rows.append({"what": f"difference of logits, {RUNTIMES[runtime]}", "data": data, "unit": "", "ours": away})
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--window", type=int, default=48)
    parser.add_argument("--features", type=int, nargs=STAGES, default=(16, 32, 64, 64))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.memory:
        measure_memory(*args.memory, args.window, tuple(args.features))
        return
    for row in bench(quick=args.quick, side=args.window, features=tuple(args.features), repeats=args.repeats):
        print(f"{row['what']:<40}{row['data']:<80}{row['ours']:.4g} {row.get('theirs', 0):.4g}")


if __name__ == "__main__":
    main()
