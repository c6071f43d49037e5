"""Time of a batch from our data loader against nnU-Net's own, on the same data with the same augmentation.

Turning a patch with foreground takes longer than one without, as each label is turned by itself. So nnU-Net's loader is
timed at its own share of patches around foreground and at ours, with which ours is compared: it makes the same patches.

    python benchmarks/data_loading.py --batches 200

Both loaders take turns batch by batch in one process, so that other programs disturb both alike; what counts is the
ratio of processor time. Data: random volumes with emboli in nnU-Net's own preprocessed format.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params, nnUNetDatasetBlosc2
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from scipy.ndimage import gaussian_filter

from pe_nnunet.recipe import TrainingRecipe
from pe_nnunet.sampling import EmbolusDataLoader, PatchSampler, index_dataset
from pe_nnunet.sampling.draw import PositiveRule

SHAPE, PATCH, INITIAL, BATCH = (120, 160, 160), (48, 64, 64), (64, 88, 88), 2
STOCK = "nnU-Net, 75 %"
SETTINGS = TrainingRecipe(
    positive_fraction=0.75,
    embolus_volume_power=0.25,
    case_ratio_power=0.25,
    hard_negative_fraction=0.5,
    min_embolus_mm3=5.0,
)


class _Labels:
    """What both loaders ask of nnU-Net's label manager."""

    has_ignore_label = False

    def __init__(self) -> None:
        self.all_labels = [0, 1]


def write_dataset(folder: Path, cases: int) -> nnUNetDatasetBlosc2:
    """Smooth noise with eight emboli a case."""
    for number in range(cases):
        rng = np.random.default_rng(number)
        image = gaussian_filter(rng.normal(size=SHAPE), 1.0).astype(np.float32)[None] * 5
        label = np.zeros((1, *SHAPE), np.int16)
        for _ in range(8):
            corner = [int(rng.integers(0, side - 8)) for side in SHAPE]
            label[(0, *(slice(c, c + int(rng.integers(2, 8))) for c in corner))] = 1
        where = np.argwhere(label == 1)
        blocks, chunks = comp_blosc2_params(image.shape, PATCH, 4)
        blocks_seg, chunks_seg = comp_blosc2_params(label.shape, PATCH, 2)
        nnUNetDatasetBlosc2.save_case(
            image,
            label,
            {"class_locations": {1: where}, "spacing": [1, 1, 1]},
            str(folder / f"case{number:02d}"),
            chunks=chunks,
            blocks=blocks,
            chunks_seg=chunks_seg,
            blocks_seg=blocks_seg,
        )
    return nnUNetDatasetBlosc2(str(folder))


def loaders(dataset: nnUNetDatasetBlosc2) -> dict[str, Any]:
    """nnU-Net's loader, ours, and ours with the rule for positive patches."""
    transforms = nnUNetTrainer.get_training_transforms(
        PATCH, (-0.5, 0.5), None, (0, 1, 2), False, foreground_labels=[1], regions=None, ignore_label=None
    )
    common = (dataset, BATCH, INITIAL, PATCH, _Labels())
    sampler = PatchSampler(index_dataset(dataset, (1,), (1.5, np.inf)), SETTINGS, 1.0)
    ours = {"sampler": sampler, "center_jitter": 0.25, "transforms": transforms}
    return {
        "nnU-Net, 33 %": nnUNetDataLoader(*common, oversample_foreground_percent=0.33, transforms=transforms),
        STOCK: nnUNetDataLoader(
            *common, oversample_foreground_percent=0.75, probabilistic_oversampling=True, transforms=transforms
        ),
        "ours": EmbolusDataLoader(*common, **ours),
        "ours, strict_positives": EmbolusDataLoader(*common, **ours, strictly=PositiveRule(1.0, (1,))),
    }


def mean_seconds(batches: int, cases: int) -> dict[str, float]:
    """Processor time of a batch, by loader."""
    with tempfile.TemporaryDirectory() as folder:
        compared = loaders(write_dataset(Path(folder), cases))
        seconds: dict[str, list[float]] = {name: [] for name in compared}
        for _ in range(batches + 1):
            for name, loader in compared.items():
                start = time.process_time()
                next(loader)
                seconds[name].append(time.process_time() - start)
    return {name: statistics.fmean(times[1:]) for name, times in seconds.items()}


def bench(*, quick: bool) -> list[dict[str, Any]]:
    """A row for each of our loaders."""
    torch.set_num_threads(1)
    batches = 50 if quick else 200
    means = mean_seconds(batches, 2 if quick else 6)
    data = f"{batches} batches of {BATCH} patches {'x'.join(map(str, PATCH))}"
    return [
        {"what": f"batch, {name}", "data": data, "unit": "ms", "ours": 1000 * mean}
        | {"peer": f"{STOCK} around emboli", "theirs": 1000 * means[STOCK]}
        for name, mean in means.items()
        if name.startswith("ours")
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=200, metavar="N", help="of each loader (200)")
    parser.add_argument("--cases", type=int, default=6, metavar="N", help="in the dataset (6)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    means = mean_seconds(args.batches, args.cases)
    print(f"{platform.machine()}, {os.cpu_count()} threads, 1 used; patches {PATCH}, batches of {BATCH}")
    for name, mean in means.items():
        print(f"{name:<24} {1000 * mean:7.1f} ms a batch, {mean / means[STOCK]:.2f}")


if __name__ == "__main__":
    main()
