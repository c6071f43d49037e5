"""A training step of PETARUNetTrainer on this CPU, against nnU-Net's trainer with the same network and batch.

    python benchmarks/training_step.py --steps 8
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
from pathlib import Path

import numpy as np
import torch

from pe_nnunet.networks import TARUNet
from pe_nnunet.precision import cpu_has_bfloat16
from pe_nnunet.registration import register

PATCH, BATCH, FEATURES, THREADS = (48, 64, 64), 2, (12, 24, 48, 64), 2
CT = {"mean": 100.0, "std": 80.0, "median": 90.0, "percentile_99_5": 400.0, "percentile_00_5": -100.0}


def plans() -> dict:
    """As nnU-Net's planner writes them, with TAR-UNet."""
    resampling = {f"resampling_fn_{what}": "resample_data_or_seg_to_shape" for what in ("data", "seg", "probabilities")}
    network = {
        "n_stages": 4,
        "features_per_stage": list(FEATURES),
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3]] * 4,
        "strides": [[1, 1, 1], *[[2, 2, 2]] * 3],
    }
    return {
        "dataset_name": "Dataset001_Step",
        "plans_name": "StepPlans",
        "original_median_spacing_after_transp": [1.0, 1.0, 1.0],
        "original_median_shape_after_transp": list(PATCH),
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
                "patch_size": list(PATCH),
                "median_image_size_in_voxels": list(PATCH),
                "spacing": [1.0, 1.0, 1.0],
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                **resampling,
                **{f"{name}_kwargs": {} for name in resampling},
                "batch_dice": True,
                "architecture": {
                    "network_class_name": f"{TARUNet.__module__}.{TARUNet.__qualname__}",
                    "arch_kwargs": network,
                    "_kw_requires_import": ["conv_op"],
                },
            }
        },
    }


def built(name: str):
    """A trainer of that name, ready for steps."""
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    dataset = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "PE": 1}, "file_ending": ".nii.gz"}
    trainer_class = recursive_find_trainer_class_by_name(name)
    trainer = trainer_class(plans(), "3d_fullres", 0, dataset, torch.device("cpu"))
    trainer.initialize()
    trainer.network.train()
    return trainer


def batch(trainer, number: int) -> dict:
    """Noise with a brighter ball in each patch, and the target for each output of the network."""
    rng = np.random.default_rng(number)
    grid = np.indices(PATCH)
    image = rng.normal(size=(BATCH, 1, *PATCH)).astype(np.float32)
    label = np.zeros((BATCH, 1, *PATCH), np.int16)
    for k in range(BATCH):
        centre = [rng.integers(12, side - 12) for side in PATCH]
        ball = sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True)) < rng.integers(16, 64)
        image[k, 0][ball] += 2
        label[k, 0] = ball
    fine = torch.from_numpy(label)
    steps = [[round(1 / share) for share in scale] for scale in trainer._get_deep_supervision_scales()]
    return {"data": torch.from_numpy(image), "target": [fine[:, :, ::z, ::y, ::x].clone() for z, y, x in steps]}


def step_seconds(count: int) -> dict[str, float]:
    """Median time of a step of both trainers, in turns."""
    trainers = {name: built(name) for name in ("nnUNetTrainer", "PETARUNetTrainer")}
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
        medians = step_seconds(3 if quick else 8)
    data = (
        f"TAR-UNet of {FEATURES[0]} to {FEATURES[-1]} features, {BATCH} patches {'x'.join(map(str, PATCH))}, 2 threads"
    )
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


def compare_curves(count: int, seeds: int) -> None:
    """Losses of both precisions, seed by seed."""
    curves = np.zeros((2, seeds, count))
    for fast in (0, 1):
        for seed in range(seeds):
            os.environ["PE_NNUNET_RECIPE"] = (
                f"epochs=1 iterations={count} seed={seed} ema_decay=0 cpu_bfloat16={'yes' if fast else 'no'}"
            )
            trainer = built("PETARUNetTrainer")
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
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"patches {PATCH}, batches of {BATCH}, {args.threads} threads, bfloat16: {cpu_has_bfloat16()}")
    with stand_in_dataset():
        if args.curves:
            compare_curves(args.curves, args.seeds)
            return
        medians = step_seconds(args.steps)
    for name, median in medians.items():
        print(f"{name:<18} {median:.2f} s a step")
    print(f"ratio {medians['nnUNetTrainer'] / medians['PETARUNetTrainer']:.2f}")


if __name__ == "__main__":
    main()
