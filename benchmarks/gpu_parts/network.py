"""Parts of `gpu.py`: windows and training steps, as they are and compiled."""

from __future__ import annotations

import os
from statistics import median

import torch
from gpu_parts.task import Rows, Task, row
from random_model import PLAIN_UNET, TAR_UNET, architecture
from torch import Tensor, nn
from training_step import Setting, batch, built, stand_in_dataset

from pe_nnunet.inference import locate_folder
from pe_nnunet.inference.device import is_out_of_memory
from pe_nnunet.inference.model import load_model
from pe_nnunet.precision import autocast_for

LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last_3d}
AT_ONCE, SEARCHED = (1, 2, 4, 8, 16), (1, 4)
STOCK = ("channels first", 1, True)  # layout, windows at once, whether cuDNN searches for the fastest kernels
STEPS = 10
TRAINERS = {
    "PETARUNetTrainer": ("PETARUNetTrainer", TAR_UNET),
    "nnUNetTrainer, the same network": ("nnUNetTrainer", TAR_UNET),
    "nnUNetTrainer, its own network": ("nnUNetTrainer", PLAIN_UNET),
}
OURS = next(iter(TRAINERS))
UNITS = {"first step": "s", "later step": "s", "peak memory": "GB"}


def windows(task: Task) -> Rows:
    """A window, by how many there are at once, their layout and the search for kernels; the peer does as nnU-Net."""
    ways = [(layout, count, True) for layout in LAYOUTS for count in SEARCHED]
    ways += [(layout, count, False) for layout in LAYOUTS for count in AT_ONCE]
    for name in task.models:
        network = network_of(task, name)
        found = {way: seconds for way in ways if (seconds := window_seconds(task, network, name, *way)) is not None}
        for (layout, count, searched), seconds in found.items():
            what = f"{name}: a window, {layout}, {count} at once" + ", kernels searched" * searched
            peer = "channels first, 1 at once, kernels searched"
            yield row(what, seconds, peer=peer, theirs=found.get(STOCK))


def network_of(task: Task, name: str) -> nn.Module:
    """As predictions load it."""
    return load_model(locate_folder(task.models[name], None), task.device).network


def window_seconds(
    task: Task, network: nn.Module, name: str, layout: str, count: int, searched: bool = False
) -> float | None:
    """Of one window of so many at once; None where memory or time does not suffice."""
    if task.left_s <= 0:
        return None
    torch.backends.cudnn.benchmark = searched
    network.to(memory_format=LAYOUTS[layout])
    try:
        given = windows_of(task, name, count).contiguous(memory_format=LAYOUTS[layout])
        forward(network, given)
        return median(task.timed(forward, network, given)[0] for _ in range(task.repeats)) / count
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None
    finally:
        torch.backends.cudnn.benchmark = False


def windows_of(task: Task, name: str, count: int) -> Tensor:
    """Noise."""
    return torch.randn(count, 1, *task.sizes[name].patch, device=task.device)


@torch.inference_mode()
def forward(network: nn.Module, given: Tensor) -> Tensor:
    """As in a prediction."""
    with autocast_for(given.device):
        found: Tensor = network(given)
    return found


def training(task: Task) -> Rows:
    """A step of the trainers."""
    ours = steps(task, OURS)
    for who in [who for who in TRAINERS if who != OURS]:
        theirs = steps(task, who) if task.left_s > 0 else {}
        for what in theirs:
            yield row(f"training, {what}", ours[what], unit=UNITS[what], peer=who, theirs=theirs[what])


def steps(task: Task, who: str, compiled: bool = False) -> dict[str, float]:
    """Seconds of the first step and of a later one, and GB at the peak."""
    trainer, network = TRAINERS[who]
    size, memory = task.sizes[network], dict[str, float]()
    setting = Setting(size.patch, size.features, task.device.type, architecture(network, size.features))
    with stand_in_dataset(), task.peak(memory, "peak memory"):
        os.environ["nnUNet_compile"] = "t" if compiled else "f"  # noqa: SIM112 - nnU-Net's name
        trains = built(trainer, setting)
        numbers = range(3 if task.tiny else STEPS)
        taken = [task.timed(trains.train_step, batch(trains, number))[0] for number in numbers]
    return {"first step": taken[0], "later step": median(taken[1:]), **memory}


def compiled(task: Task) -> Rows:
    """What `torch.compile` changes, its first call apart."""
    for name in task.models:
        if task.left_s <= 0:
            return
        network = network_of(task, name)
        plain = window_seconds(task, network, name, "channels first", 4)
        faster = torch.compile(network)
        first, _ = task.timed(forward, faster, windows_of(task, name, 4))
        yield row(f"{name}: first call of torch.compile", first)
        seconds = window_seconds(task, faster, name, "channels first", 4)
        if seconds is not None:
            yield row(f"{name}: a window, compiled, 4 at once", seconds, peer="not compiled", theirs=plain)
    for who in TRAINERS:
        if task.left_s > 0:
            for what, found in steps(task, who, compiled=True).items():
                yield row(f"{who}: compiled, {what}", found, unit=UNITS[what])
