"""Compares the networks: parameters, arithmetic, memory and time of a training step on one patch, and their plans.

    python benchmarks/networks.py --write docs/networks.md

fills the tables between the page's markers; without `--write` they are printed. Widths are those of the default memory
target; the patch is small enough for a laptop. Time is processor time, which other programs on the machine disturb
little, of one thread and the fastest of a few steps, autocast to bfloat16, the weights and the patch channels last.
`--inductor` adds the time of the same step compiled (a C++ compiler is needed, and minutes for each network).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from math import prod
from pathlib import Path
from typing import Any

import torch
from run import replace_between
from torch.utils.flop_counter import FlopCounterMode

from pe_nnunet.precision import cpu_has_bfloat16
from pe_nnunet.registration.names import PLANNERS, load_class

PATCHES = {2: (192, 192), 3: (48, 48, 48)}
LABELS = {"background": 0, "artery": [1, 2], "PE": 2}
COHORTS = {
    "FUMPE-like": ((250, 300, 400), (1.0, 0.7, 0.7), 35),
    "CAD-PE-like": ((500, 300, 400), (0.5, 0.7, 0.7), 91),
    "512x512x500, not cropped": ((500, 512, 512), (0.6, 0.7, 0.7), 35),
}


def network_of(planner: Any, dimensions: int) -> Any:
    """A network as planned for isotropic spacing, with its full width and two heads."""
    from pe_nnunet.planners.topology import plan_topology

    plain = planner.__new__(planner)
    plain.dataset_json = {"channel_names": {"0": "CT"}, "labels": LABELS, "regions_class_order": [1, 2]}
    topology = plan_topology((1.0,) * dimensions, (128,) * dimensions, planner.network_class.n_poolings)
    network = plain.build_network(plain.architecture(topology, planner.network_class.max_width))
    return network.apply(network.initialize)


def forward_gflops(network: Any, patch: tuple[int, ...]) -> float:
    """Two operations per multiplication, forward pass of one patch."""
    network.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 1, *patch))
    return float(counter.get_total_flops()) / 1e9


def step_seconds(network: Any, patch: tuple[int, ...], repeats: int, *, inductor: bool) -> float:
    """Forward and backward pass of one patch, channels last, autocast to bfloat16."""
    layout = torch.channels_last if len(patch) == 2 else torch.channels_last_3d
    network = network.to(memory_format=layout).train()
    forward = torch.compile(network) if inductor else network
    x = torch.randn(1, 1, *patch).to(memory_format=layout)
    fastest = float("inf")
    for _ in range(repeats + inductor):  # the first call compiles
        begin = time.process_time()
        with torch.autocast("cpu", torch.bfloat16):
            loss = sum(out.float().square().mean() for out in forward(x))
        loss.backward()
        network.zero_grad(set_to_none=True)
        fastest = min(fastest, time.process_time() - begin)
    return fastest


def stock_network(features: tuple[int, ...] = (32, 64, 128, 256)) -> Any:
    """nnU-Net's plain 3D U-Net as its planner builds it for small patches, two heads."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    stages = len(features)
    network = PlainConvUNet(
        1,
        stages,
        features,
        torch.nn.Conv3d,
        kernel_sizes=3,
        strides=[1, *[2] * (stages - 1)],
        n_conv_per_stage=2,
        num_classes=2,
        n_conv_per_stage_decoder=2,
        conv_bias=True,
        norm_op=torch.nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=torch.nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=True,
    )
    return network.apply(network.initialize)


def stock_step_seconds(network: Any, patch: tuple[int, ...], repeats: int) -> float:
    """The same step as nnU-Net takes it on a CPU: single precision, channels first."""
    network.train()
    x = torch.randn(1, 1, *patch)
    fastest = float("inf")
    for _ in range(repeats):
        begin = time.process_time()
        loss = sum(out.square().mean() for out in network(x))
        loss.backward()
        network.zero_grad(set_to_none=True)
        fastest = min(fastest, time.process_time() - begin)
    return fastest


def bench(*, quick: bool) -> list[dict[str, Any]]:
    """A row for nnU-Net's own network and one for each of ours in 3D, all against nnU-Net's step with its network."""
    torch.set_num_threads(1)
    patch, repeats = ((32, 32, 32), 2) if quick else (PATCHES[3], 4)
    theirs = stock_step_seconds(stock_network(), patch, repeats)
    networks = {"nnU-Net's plain U-Net": stock_network()}
    for name in ("PETARUNetPlanner",) if quick else PLANNERS:
        planner = load_class(name)
        if 3 in planner.network_class.dimensions:
            networks[planner.network_class.__name__] = network_of(planner, 3)
    data = f"one patch {'x'.join(map(str, patch))}, forwards and backwards, one thread"
    return [
        {"what": f"step of {name}, as ours takes it on a CPU", "data": data, "unit": "core s"}
        | {"ours": step_seconds(network, patch, repeats, inductor=False)}
        | {"peer": "nnU-Net's plain U-Net, as nnU-Net takes it", "theirs": theirs}
        for name, network in networks.items()
    ]


def machine() -> str:
    """What the times were taken on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return (
        f"{model}, {'with' if cpu_has_bfloat16() else 'without'} bfloat16 instructions, threads used: "
        f"{torch.get_num_threads()}; torch {torch.__version__}; load average {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} processors"
    )


def comparison(repeats: int, *, inductor: bool) -> list[str]:
    from pe_nnunet.planners.memory import saved_bytes

    compiled = (" compiled |", " --- |") if inductor else ("", "")
    lines = [
        f"On: {machine()}.",
        "",
        "| network | patch | parameters, M | forward, GFLOP | kept for backward, MiB | training step, core seconds |"
        + compiled[0],
        "| --- | --- | --- | --- | --- | --- |" + compiled[1],
    ]
    for name in PLANNERS:
        planner = load_class(name)
        for dimensions in planner.network_class.dimensions:
            patch = PATCHES[dimensions]
            network = network_of(planner, dimensions)
            parameters = sum(p.numel() for p in network.parameters()) / 1e6
            memory = saved_bytes(network, patch, 1) / 2**20
            gflops = forward_gflops(network, patch)
            lines.append(
                f"| {planner.network_class.__name__} | {'x'.join(map(str, patch))} | {parameters:.1f} | {gflops:.0f} | "
                f"{memory:.0f} | {step_seconds(network, patch, repeats, inductor=False):.2f} |"
            )
            if inductor:
                lines[-1] += f" {step_seconds(network, patch, repeats, inductor=True):.2f} |"
    return lines


def plans() -> list[str]:
    """What each planner makes of some cohorts, at several memory targets."""
    lines = ["| cohort | planner | target, GiB | configuration | patch | batch | features |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for variable in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            os.environ[variable] = str(Path(folder) / variable)
        for i, (cohort, (shape, spacing, n_cases)) in enumerate(COHORTS.items(), start=1):
            name = f"Dataset{i:03d}_Cohort"
            write_fingerprint(Path(folder), name, shape, spacing, n_cases)
            for planner, target in [(p, 8) for p in PLANNERS] + [("PETARUNetPlanner", 4), ("PETARUNetPlanner", 24)]:
                result = load_class(planner)(name, gpu_memory_target_in_gb=target).plan_experiment()
                for configuration, plan in sorted(result["configurations"].items()):
                    features = plan["architecture"]["arch_kwargs"]["features_per_stage"]
                    lines.append(
                        f"| {cohort} | {planner} | {target} | {configuration} | "
                        f"{'x'.join(map(str, plan['patch_size']))} | {plan['batch_size']} | "
                        f"{', '.join(map(str, features))} |"
                    )
    return lines


def write_fingerprint(folder: Path, name: str, shape: Any, spacing: Any, n_cases: int) -> None:
    raw, preprocessed = folder / "nnUNet_raw" / name, folder / "nnUNet_preprocessed" / name
    raw.mkdir(parents=True)
    preprocessed.mkdir(parents=True)
    dataset = {
        "channel_names": {"0": "CT"},
        "labels": LABELS,
        "regions_class_order": [1, 2],
        "numTraining": n_cases,
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
        "dataset": {"case": {"images": ["case_0000.nii.gz"], "label": "case.nii.gz"}},
    }
    (raw / "dataset.json").write_text(json.dumps(dataset))
    hu = {"mean": 60, "median": 55, "std": 30, "min": -500, "max": 900, "percentile_00_5": -50, "percentile_99_5": 300}
    fingerprint = {
        "spacings": [spacing] * n_cases,
        "shapes_after_crop": [shape] * n_cases,
        "median_relative_size_after_cropping": 1.0,
        "foreground_intensity_properties_per_channel": {"0": hu},
    }
    (preprocessed / "dataset_fingerprint.json").write_text(json.dumps(fingerprint))
    assert prod(shape) > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="page with the markers")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--inductor", action="store_true", help="also time the compiled networks")
    parser.add_argument("--only", choices=["comparison", "plans"], help="one of the two tables")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tables = {}
    if options.only != "comparison":
        tables["plans"] = plans()  # first: nnU-Net reads its folders when it is imported
    if options.only != "plans":
        tables["comparison"] = comparison(options.repeats, inductor=options.inductor)
    for marker, lines in tables.items():
        if options.write:
            options.write.write_text(replace_between(options.write.read_text(), marker, lines))
        else:
            print("\n".join(lines))


if __name__ == "__main__":
    main()
