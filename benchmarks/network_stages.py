"""Where a training step's arithmetic, memory and time go, by resolution, in several networks of equal width.

    python benchmarks/network_stages.py --write docs/networks.md

fills the table between the page's markers and writes `results/network_stages.json`; without `--write` it is printed.
Two patches (of one alone torch computes small maps by slower code), single precision, one thread, channels last;
nnU-Net's networks have our instance norm, which keeps that layout. What a module does is booked at the spatial size of
its output; what autograd keeps, at its own. Time is processor time of the forward and the backward pass, of the fastest
of a few steps.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from run import machine, replace_between
from torch import Tensor, nn

from pe_nnunet.networks.blocks.instance_norm import with_our_norms
from pe_nnunet.planners.asked import AskedPlan
from pe_nnunet.planners.topology import plan_topology
from pe_nnunet.registration.names import load_class

PATCHES, EDGE, WIDTH = 2, 64, 16
RESULTS = Path(__file__).parent / "results" / "network_stages.json"
PUBLISHED, PLAIN = "TAR-UNet as published", "nnU-Net's plain U-Net"
OURS = {
    PUBLISHED: ("PETARUNetPlanner", ""),
    "TAR-UNet, recurrence=0": ("PETARUNetPlanner", "recurrence=0"),
    "and units=1,2": ("PETARUNetPlanner", "recurrence=0 units=1,2"),
    "and poolings=4": ("PETARUNetPlanner", "recurrence=0 units=1,2 poolings=4"),
    "and first_width=8": ("PETARUNetPlanner", "recurrence=0 units=1,2 poolings=4 first_width=8"),
    "Attention U-Net": ("PEAttentionUNetPlanner", ""),
}
THEIRS = {PLAIN: "PlainConvUNet", "nnU-Net's ResEnc-M": "ResidualEncoderUNet"}
MEASURES = {"flop": ("forward, GFLOP", 1e9), "bytes": ("kept, MiB", 2**20), "seconds": ("step, s", 1.0)}


def our_network(planner_name: str, asked: str) -> nn.Module:
    """A network as its planner plans it for isotropic voxels."""
    planner = load_class(planner_name)
    plain = planner.__new__(planner)
    plain.dataset_json = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "PE": 1}}
    plain.asked = AskedPlan.parsed(f"width={WIDTH} {asked}")
    topology = plan_topology((1.0,) * 3, (EDGE,) * 3, plain.asked.poolings or planner.network_class.n_poolings)
    return plain.build_network(plain.asked_architecture(topology, (EDGE,) * 3))


def their_network(name: str) -> nn.Module:
    """nnU-Net's network with as many stages as its planner gives a patch of that size, two heads."""
    from dynamic_network_architectures.architectures import unet

    residual = name == "ResidualEncoderUNet"
    stages = 5
    network = getattr(unet, name)(
        1,
        stages,
        [WIDTH * 2**i for i in range(stages)],
        nn.Conv3d,
        3,
        [1, 2, 2, 2, 2],
        [1, 3, 4, 6, 6] if residual else 2,  # blocks, or convolutions
        2,
        1 if residual else 2,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=True,
    )
    return with_our_norms(network)


class Ledger:
    """Books arithmetic, kept bytes and processor time of a step by the edge length of the maps they belong to.

    Args:
        network: Watched until `close`.
    """

    def __init__(self, network: nn.Module) -> None:
        self.flop: dict[int, float] = defaultdict(float)
        self.bytes: dict[int, float] = defaultdict(float)
        self.seconds: dict[int, float] = defaultdict(float)
        self._parameters = {p.untyped_storage().data_ptr() for p in network.parameters()}
        self._kept: dict[int, Tensor] = {}
        self._at, self._since = EDGE, 0.0
        self._handles = [module.register_forward_hook(self._after_module) for module in network.modules()]

    def step(self, network: nn.Module, x: Tensor) -> None:
        """One forward and backward pass."""
        self._at, self._since = EDGE, time.process_time()
        with torch.autograd.graph.saved_tensors_hooks(self._keep, lambda t: t):
            outputs = network(x)
        loss = sum(out.square().mean() for out in outputs)
        self._book(EDGE)
        loss.backward()
        self._book(self._at)
        self._kept.clear()

    def close(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()

    def _book(self, edge: int) -> None:
        now = time.process_time()
        self.seconds[edge] += now - self._since
        self._since = now

    def _after_module(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not isinstance(output, Tensor):
            return
        edge = output.shape[-1]
        self._book(edge)  # what lies between two modules belongs to the second
        if isinstance(module, nn.Conv3d):
            self.flop[edge] += 2 * output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.ConvTranspose3d):
            self.flop[edge] += 2 * inputs[0].numel() * module.weight[0].numel()
        if output.requires_grad:
            output.register_hook(lambda _: self._in_backward(edge))

    def _in_backward(self, edge: int) -> None:
        """The gradient of a module's output is there: what ends here belongs to what came after that module."""
        self._book(self._at)
        self._at = edge

    def _keep(self, tensor: Tensor) -> Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in self._parameters and address not in self._kept and tensor.dim() == 5:
            self._kept[address] = tensor  # held, so that no other takes its address
            self.bytes[tensor.shape[-1]] += tensor.untyped_storage().nbytes()
        return tensor


def measured(network: nn.Module, repeats: int) -> dict[str, Any]:
    """Of one step: arithmetic, kept bytes and processor seconds by edge length; and the number of parameters."""
    network = network.to(memory_format=torch.channels_last_3d).train()
    x = torch.randn(PATCHES, 1, *[EDGE] * 3).to(memory_format=torch.channels_last_3d)
    ledgers = []
    for _ in range(repeats + 1):  # the first prepares
        ledger = Ledger(network)
        ledger.step(network, x)
        ledger.close()
        network.zero_grad(set_to_none=True)
        ledgers.append(ledger)
    best = min(ledgers[1:], key=lambda ledger: sum(ledger.seconds.values()))
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        **{name: {str(edge): value for edge, value in getattr(best, name).items()} for name in MEASURES},
    }


def measure_all(repeats: int, names: Sequence[str] = (*OURS, *THEIRS)) -> dict[str, Any]:
    """What `measured` finds, by network."""
    torch.manual_seed(0)
    return {
        name: measured(our_network(*OURS[name]) if name in OURS else their_network(THEIRS[name]), repeats)
        for name in names
    }


def table(found: dict[str, Any], where: str) -> list[str]:
    """Three lines a network: arithmetic, memory, time, by edge length."""
    edges = sorted({int(edge) for result in found.values() for edge in result["flop"]}, reverse=True)
    lines = [f"On: {where}.", "", f"| network | of one step | {' | '.join(f'{e}^3' for e in edges)} | all |"]
    lines.append("| --- | --- |" + " --- |" * (len(edges) + 1))
    for name, result in found.items():
        for i, (measure, (title, unit)) in enumerate(MEASURES.items()):
            values = [result[measure].get(str(edge), 0.0) / unit for edge in edges]
            shown = [f"{value:.3g}" if value else "" for value in values]
            network = f"{name}, {result['parameters'] / 1e6:.1f} M parameters" if i == 0 else ""
            lines.append(f"| {network} | {title} | {' | '.join(shown)} | {sum(values):.3g} |")
    return lines


def bench(*, quick: bool) -> list[dict[str, Any]]:
    """Rows for `run.py`: a step of each network against that of nnU-Net's plain U-Net."""
    torch.set_num_threads(1)
    found = measure_all(1 if quick else 3, (PUBLISHED, "and first_width=8", "Attention U-Net", *THEIRS))
    total = {name: sum(result["seconds"].values()) for name, result in found.items()}
    data = f"{PATCHES} patches of {EDGE}x{EDGE}x{EDGE}, {WIDTH} features, one thread, single precision"
    return [
        {"what": f"step, {name}", "data": data, "unit": "s", "ours": seconds, "peer": PLAIN, "theirs": total[PLAIN]}
        for name, seconds in total.items()
        if name != PLAIN
    ]


def main() -> None:
    """Measure, print or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="page with the markers")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    before, about = os.getloadavg()[0], machine()
    found = measure_all(args.repeats)
    where = (
        f"{about['processor']}, {torch.backends.cpu.get_cpu_capability()}, float32, one thread; "
        f"torch {about['torch']}; load average {before:.1f} on {about['processors']} processors"
    )
    lines = table(found, where)
    if args.write is None:
        print("\n".join(lines))
        return
    RESULTS.write_text(json.dumps({"machine": about, "load_before": before, "networks": found}, indent=1) + "\n")
    args.write.write_text(replace_between(args.write.read_text(), "stages", lines))


if __name__ == "__main__":
    main()
