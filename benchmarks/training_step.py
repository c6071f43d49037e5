"""A training step of PETARUNetTrainer, against nnU-Net's trainer with the same network and batch.

    python benchmarks/training_step.py --steps 8
    python benchmarks/training_step.py --steps 30 --device cuda --patch 96 128 128 --features 32 64 128 256
    python benchmarks/training_step.py --curves 60 --seeds 3

Both trainers are built from the same plans, which name TAR-UNet, and take turns step by step, so that what else the
machine does falls on both alike. The first form prints the time of a step and the ratio.

The second form trains PETARUNetTrainer on a stream of noisy balls with several seeds, once as it is (channels last,
bfloat16 where the CPU has it) and once in float32, and prints how far the two curves lie apart, beside how far those of
two seeds do. Data: random volumes; nothing is read from disk.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pe_nnunet.networks import TARUNet
from pe_nnunet.precision import cpu_has_bfloat16
from pe_nnunet.registration import register

BATCH, THREADS = 2, 2
CT = {"mean": 100.0, "std": 80.0, "median": 90.0, "percentile_99_5": 400.0, "percentile_00_5": -100.0}


@dataclass(frozen=True)
class Setting:
    """Network, patch and device of both trainers."""

    patch: tuple[int, ...] = (48, 64, 64)
    features: tuple[int, ...] = (12, 24, 48, 64)
    device: str = "cpu"
    architecture: dict | None = None  # TAR-UNet as published, if None

    def __str__(self) -> str:
        sides = "x".join(map(str, self.patch))
        return f"TAR-UNet of {self.features[0]} to {self.features[-1]} features, {BATCH} patches {sides}"


def plans(setting: Setting) -> dict:
    """As nnU-Net's planner writes them, with TAR-UNet."""
    resampling = {f"resampling_fn_{what}": "resample_data_or_seg_to_shape" for what in ("data", "seg", "probabilities")}
    network = {
        "n_stages": 4,
        "features_per_stage": list(setting.features),
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": "torch.nn.modules.activation.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
        "kernel_sizes": [[3, 3, 3]] * 4,
        "strides": [[1, 1, 1], *[[2, 2, 2]] * 3],
    }
    return {
        "dataset_name": "Dataset001_Step",
        "plans_name": "StepPlans",
        "original_median_spacing_after_transp": [1.0, 1.0, 1.0],
        "original_median_shape_after_transp": list(setting.patch),
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "PETARUNetPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": CT},
        "continue_training": False,
        "configurations": {
            "3d_fullres": {
                "data_identifier": "Step_3d",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": BATCH,
                "patch_size": list(setting.patch),
                "median_image_size_in_voxels": list(setting.patch),
                "spacing": [1.0, 1.0, 1.0],
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                **resampling,
                **{f"{name}_kwargs": {} for name in resampling},
                "batch_dice": True,
                "architecture": setting.architecture
                or {
                    "network_class_name": f"{TARUNet.__module__}.{TARUNet.__qualname__}",
                    "arch_kwargs": network,
                    "_kw_requires_import": ["conv_op", "norm_op", "nonlin"],
                },
            }
        },
    }


def built(name: str, setting: Setting):
    """A trainer of that name, ready for steps."""
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    dataset = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "PE": 1}, "file_ending": ".nii.gz"}
    trainer_class = recursive_find_trainer_class_by_name(name)
    folder = os.environ.pop("nnUNet_preprocessed")  # without it nobody looks for cases, of which there are none
    try:
        trainer = trainer_class(plans(setting), "3d_fullres", 0, dataset, torch.device(setting.device))
    finally:
        os.environ["nnUNet_preprocessed"] = folder  # noqa: SIM112 - nnU-Net's name
    trainer.preprocessed_dataset_folder = str(Path(folder) / "Dataset001_Step" / "Step_3d")
    trainer.initialize()
    trainer.network.train()
    return trainer


def batch(trainer, number: int) -> dict:
    """Noise with a brighter ball in each patch, and the target for each output of the network."""
    rng = np.random.default_rng(number)
    patch = trainer.configuration_manager.patch_size
    grid = np.indices(patch)
    image = rng.normal(size=(BATCH, 1, *patch)).astype(np.float32)
    label = np.zeros((BATCH, 1, *patch), np.int16)
    for k in range(BATCH):
        centre = [rng.integers(12, side - 12) for side in patch]
        ball = sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True)) < rng.integers(16, 64)
        image[k, 0][ball] += 2
        label[k, 0] = ball
    fine = torch.from_numpy(label)
    steps = [[round(1 / share) for share in scale] for scale in trainer._get_deep_supervision_scales()]
    return {"data": torch.from_numpy(image), "target": [fine[:, :, ::z, ::y, ::x].clone() for z, y, x in steps]}


def step_seconds(count: int, setting: Setting) -> dict[str, float]:
    """Median time of a step of both trainers, in turns; a step ends with its loss on the CPU, on a GPU too."""
    trainers = {name: built(name, setting) for name in ("nnUNetTrainer", "PETARUNetTrainer")}
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    for number in range(count + 2):
        for name, trainer in trainers.items():
            given = batch(trainer, number)
            start = time.perf_counter()
            trainer.train_step(given)
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times[2:]) for name, times in seconds.items()}


def bench(*, quick: bool) -> list[dict]:
    """Rows for `run.py`."""
    torch.set_num_threads(THREADS)
    with stand_in_dataset():
        medians = step_seconds(3 if quick else 8, Setting())
    data = f"{Setting()}, {THREADS} threads"
    row = {"what": "training step, PETARUNetTrainer", "data": data, "unit": "s", "ours": medians["PETARUNetTrainer"]}
    return [{**row, "peer": "nnUNetTrainer, the same network", "theirs": medians["nnUNetTrainer"]}]


@contextmanager
def stand_in_dataset() -> Iterator[None]:
    """nnU-Net's folders with a dataset that has no scans."""
    register()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            (Path(folder) / name / "Dataset001_Step" / "Step_3d").mkdir(parents=True)
            os.environ[name] = str(Path(folder) / name)
        # nnU-Net looks at the ending of the stored cases, not into them
        (Path(folder) / "nnUNet_preprocessed" / "Dataset001_Step" / "Step_3d" / "case.b2nd").touch()
        os.environ["nnUNet_compile"] = "f"  # noqa: SIM112 - nnU-Net's name
        yield


def compare_curves(count: int, seeds: int, setting: Setting) -> None:
    """Losses of both precisions, seed by seed."""
    curves = np.zeros((2, seeds, count))
    for fast in (0, 1):
        for seed in range(seeds):
            os.environ["PE_NNUNET_RECIPE"] = (
                f"epochs=1 iterations={count} seed={seed} ema_decay=0 cpu_bfloat16={'yes' if fast else 'no'}"
            )
            trainer = built("PETARUNetTrainer", setting)
            curves[fast, seed] = [trainer.train_step(batch(trainer, 1000 * seed + k))["loss"] for k in range(count)]
    last = curves[:, :, -count // 3 :].mean(axis=2)
    apart, spread = np.abs(last[1] - last[0]).mean(), last.std(axis=1, ddof=1).mean()
    print(f"mean loss of the last third: float32 {last[0].mean():.4f}, as it is {last[1].mean():.4f}")
    print(f"same seed, two precisions: {apart:.4f} apart; SD between {seeds} seeds: {spread:.4f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--curves", type=int, default=0, metavar="N", help="steps of each training; 0 compares times")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--patch", type=int, nargs=3, default=Setting.patch)
    parser.add_argument("--features", type=int, nargs=4, default=Setting.features)
    parser.add_argument("--device", choices=("cpu", "cuda"), default=Setting.device)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    setting = Setting(tuple(args.patch), tuple(args.features), args.device)
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"bfloat16: {cpu_has_bfloat16()}"
    print(f"{setting}, {args.threads} threads, {where}")
    with stand_in_dataset():
        if args.curves:
            compare_curves(args.curves, args.seeds, setting)
            return
        medians = step_seconds(args.steps, setting)
    for name, median in medians.items():
        print(f"{name:<18} {median:.4f} s a step")
    print(f"ratio {medians['nnUNetTrainer'] / medians['PETARUNetTrainer']:.2f}")


if __name__ == "__main__":
    main()
