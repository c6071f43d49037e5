"""Where a training step of the light TAR-UNet goes on a CPU: shares of its operations, and what convolutions reach.

    python benchmarks/step_operations.py
    python benchmarks/step_operations.py --compile     # and what torch.compile changes, after minutes of compiling

Two patches of 64x64x64, channels last, single precision, one thread. The shares are torch's profiler's, of the time in
the operations themselves. The rates are of one convolution of 3x3x3 with as many channels out as in: for the output,
for the gradient of the input and for the gradient of the weights, each by itself.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable

import torch
from network_stages import EDGE, OURS, PATCHES, our_network
from torch import Tensor, nn

LIGHT = "and first_width=8"
SIZES = ((8, 64), (12, 64), (16, 64), (24, 32), (32, 32), (64, 16), (128, 8))  # channels, edge of the maps
KINDS = {
    "convolution, backward": ("convolution_backward",),
    "convolution, forward": ("mkldnn_convolution", "slow_conv", "conv3d", "_convolution"),
    "norm": ("norm",),
    "upsampling": ("upsample",),
    "activation": ("leaky_relu", "sigmoid"),
}


def ready(network: nn.Module) -> tuple[nn.Module, Tensor]:
    """The network in training, and patches, both channels last."""
    patches = torch.randn(PATCHES, 1, *[EDGE] * 3).to(memory_format=torch.channels_last_3d)
    return network.to(memory_format=torch.channels_last_3d).train(), patches


def step(network: nn.Module, patches: Tensor) -> None:
    """One forward and backward pass."""
    network.zero_grad(set_to_none=True)
    torch.stack([output.square().mean() for output in network(patches)]).sum().backward()


def shares(network: nn.Module, patches: Tensor, steps: int) -> dict[str, float]:
    """Part of the step's time by kind of operation."""
    step(network, patches)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            step(network, patches)
    spent: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        kind = next((kind for kind, words in KINDS.items() if any(word in event.key for word in words)), "the rest")
        spent[kind] += event.self_cpu_time_total
    whole = sum(spent.values())
    return {kind: value / whole for kind, value in sorted(spent.items(), key=lambda item: -item[1])}


def seconds(call: Callable[[], object], repeats: int = 5) -> float:
    """Processor time of the fastest of some calls."""
    call()
    times = []
    for _ in range(repeats):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return min(times)


def rates(channels: int, edge: int) -> list[float]:
    """GFLOP/s of the output, of the gradient of the input and of that of the weights."""
    image = torch.randn(PATCHES, channels, *[edge] * 3).to(memory_format=torch.channels_last_3d)
    weight = torch.randn(channels, channels, 3, 3, 3).to(memory_format=torch.channels_last_3d)
    gflop = 2e-9 * image.numel() * weight[0].numel()
    shape = ([1] * 3, [1] * 3, [1] * 3, False, [0] * 3, 1)  # stride, padding, dilation, not transposed, groups

    def backward(*, of_input: bool) -> object:
        mask = [of_input, not of_input, False]
        return torch.ops.aten.convolution_backward(image, image, weight, None, *shape, mask)

    calls = (
        lambda: nn.functional.conv3d(image, weight, padding=1),
        lambda: backward(of_input=True),
        lambda: backward(of_input=False),
    )
    return [gflop / seconds(call) for call in calls]


def compiled(network: nn.Module, patches: Tensor) -> None:
    """Print what `torch.compile` takes, and a step before and after it."""
    before = seconds(lambda: step(network, patches))
    network.compile()
    started = time.perf_counter()
    step(network, patches)
    print(f"torch.compile: {time.perf_counter() - started:.0f} s with the first step")
    print(f"a step: {before:.3f} s before, {seconds(lambda: step(network, patches)):.3f} s after it")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network, patches = ready(our_network(*OURS[LIGHT]))
    print(f"{torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}")
    for kind, share in shares(network, patches, args.steps).items():
        print(f"{share:6.0%}  {kind}")
    with torch.no_grad():
        for channels, edge in SIZES:
            numbers = "  ".join(f"{rate:4.0f}" for rate in rates(channels, edge))
            print(f"{channels:4} channels, {edge}^3: {numbers} GFLOP/s (output, input's gradient, weights' gradient)")
    if args.compile:
        compiled(network, patches)


if __name__ == "__main__":
    main()
