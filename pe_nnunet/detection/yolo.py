"""The only module that imports ultralytics (AGPL-3.0).

Import it inside a function, after `architectures.switch_off`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn
from ultralytics.cfg import get_cfg
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn.tasks import DetectionModel, load_checkpoint
from ultralytics.utils import YAML

from pe_nnunet.detection.slice_labels import CLASSES
from pe_nnunet.detection.train import recompute_batch_norm_statistics
from pe_nnunet.precision import autocast_for, channels_last
from pe_nnunet.processes import compute_threads

Report = Callable[[int, Mapping[str, float], float], None]  # epoch from 1 on, mean losses, seconds

BATCH_NORM_PICTURES = 256  # enough for the mean and variance of a channel
_FIRST_HALF_SIDES = (0.6, 1.5)  # of a box, in strides, at the two finest outputs


class SliceNetwork(DetectionModel):  # type: ignore[misc]  # its types are not followed
    """A detector that computes in bfloat16 on a CPU that has it, twice as fast, and its losses in single precision.

    ultralytics stays in single precision on a CPU. Losses do so here too: in bfloat16 the edge of a box would be known
    to a quarter of a stride.
    """

    def loss(self, batch: dict[str, Any], preds: Any = None) -> Any:
        """The losses of a batch; with what was predicted for it, if that is known."""
        pictures = batch["img"]
        if preds is None and pictures.device.type == "cpu":
            with autocast_for(pictures.device):
                preds = self.forward(pictures.contiguous(memory_format=torch.channels_last))
            preds = in_single_precision(preds)
        return super().loss(batch, preds)


def in_single_precision(predictions: Any) -> Any:
    """The same tensors, in whatever they are nested, as float32."""
    if isinstance(predictions, torch.Tensor):
        return predictions.float()
    if isinstance(predictions, Mapping):
        return {name: in_single_precision(value) for name, value in predictions.items()}
    return type(predictions)(in_single_precision(value) for value in predictions)


def build_network(architecture: Path, size: str) -> nn.Module:
    """A detector of two classes with fresh weights, whose boxes start small.

    Args:
        architecture: One of ultralytics' files.
        size: Of the file's sizes, or empty where it has none.
    """
    plan = YAML.load(architecture) | {"scale": size, "yaml_file": f"{architecture.stem}{size}.yaml"}
    network = SliceNetwork(plan, ch=3, nc=len(CLASSES), verbose=False)
    start_small(network)
    return named(network)


def start_small(network: Any) -> None:
    """Let the boxes of the two finest outputs start at about one and three strides instead of fifteen.

    A target counts by its overlap with the predicted box to the sixth power. Boxes of 120 pixels about an embolus of 8
    overlap by 0.4 %: its target vanishes, and so does everything that would make the boxes smaller. Photographs hold
    things of all sizes, which lead from one to the other; slices hold lungs and emboli and nothing between.

    Args:
        network: An ultralytics detection network, changed in place.
    """
    head = network.model[-1]
    for name in ("cv2", "one2one_cv2"):  # the second in networks that need no suppression
        branches = getattr(head, name, None) or []
        for branch, half_side in zip(branches, _FIRST_HALF_SIDES, strict=False):  # from fine to coarse
            bias = branch[-1].bias.data.view(4, head.reg_max)
            # either a distance, or a distribution over distances 0, 1, ..., whose mean this is
            bias[:] = half_side if head.reg_max == 1 else -torch.arange(head.reg_max) * math.log1p(1 / half_side)


def named(network: Any) -> nn.Module:
    """The network with our names of the classes."""
    network.names = dict(enumerate(CLASSES))
    ours: nn.Module = network
    return ours


def checkpoint_state(path: Path) -> dict[str, torch.Tensor]:
    """Weights in a checkpoint of ultralytics, which holds code: only for files that are trusted."""
    network, _ = load_checkpoint(str(path))
    state: dict[str, torch.Tensor] = network.state_dict()
    return state


class SliceTrainer(DetectionTrainer):  # type: ignore[misc]  # its types are not followed
    """ultralytics' training loop on our pictures, without anything beside it.

    No callback of the library runs, as those are its telemetry and loggers; no data set is looked up, which would fetch
    fonts; no precision is tried out, which would fetch weights; no checkpoint is pickled.

    Args:
        network: To train.
        train: Text file that lists the pictures.
        val: The same for validation, which follows the last epoch.
        settings: ultralytics' own training settings.
        report: Called after each epoch.
    """

    def __init__(self, network: nn.Module, train: Path, val: Path, settings: Mapping[str, Any], report: Report) -> None:
        self._network = network
        self._lists = {"train": str(train), "val": str(val)}
        self._report = report
        self._epoch_started = time.perf_counter()
        super().__init__(overrides={"model": "network.yaml", "data": "pictures.yaml", **settings})

    def get_dataset(self) -> dict[str, Any]:
        """Where the pictures are listed, and what they show."""
        names = dict(enumerate(CLASSES))
        return {**self._lists, "nc": len(names), "names": names, "channels": 3, "path": ""}

    def setup_model(self) -> None:
        """Take the network that was given, in the layout that is quick on a CPU; for CUDA ultralytics sees to it."""
        self.model = self._network
        if self.device.type == "cpu":
            channels_last(self._network, 2)
            torch.set_num_threads(compute_threads())  # ultralytics leaves one out: of two, half of the speed

    def run_callbacks(self, event: str) -> None:
        """Report the end of an epoch, and after the last make ready what is validated and kept; nobody else is told."""
        if event == "on_train_epoch_start":
            self._epoch_started = time.perf_counter()
        elif event == "on_train_epoch_end":
            losses = {name: float(value) for name, value in (self.tloss or {}).items()}
            self._report(self.epoch + 1, losses, time.perf_counter() - self._epoch_started)
            if self.epoch + 1 == self.epochs:
                batches = islice(self.train_loader, -(-BATCH_NORM_PICTURES // self.batch_size))
                pictures = (self.preprocess_batch(batch)["img"] for batch in batches)
                recompute_batch_norm_statistics(self.ema.ema, pictures)

    def save_model(self) -> bool:
        """Nothing: the trained network is taken from memory."""
        return False

    def final_eval(self) -> None:
        """Nothing: the last epoch has been validated, and there is no other checkpoint."""

    def trained(self) -> nn.Module:
        """The moving average of the weights over training, in evaluation mode."""
        return named(self.ema.ema.float().cpu().to(memory_format=torch.contiguous_format).eval())


def training_step(architecture: Path, size: str, image_size: int, batch: int, device: str) -> Callable[[], None]:
    """A step on made-up pictures: what a training would cost, without what reading and changing pictures does.

    Args:
        architecture: See `build_network`.
        size: Likewise.
        image_size: Side of a picture in pixels.
        batch: Pictures a step.
        device: Where the network runs.

    Returns:
        To be called for each step.
    """
    network: Any = build_network(architecture, size)
    network.args = get_cfg()  # its losses look up their weights there
    network = network.to(device).train()
    if device == "cpu":
        channels_last(network, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    boxes = torch.tensor([[0.3, 0.5, 0.3, 0.6], [0.7, 0.5, 0.3, 0.6], [0.4, 0.4, 0.05, 0.05]]).repeat(batch, 1)
    given = {
        "img": torch.rand(batch, 3, image_size, image_size, device=device),
        "cls": torch.tensor([[0.0], [0.0], [1.0]]).repeat(batch, 1).to(device),
        "bboxes": boxes.to(device),
        "batch_idx": torch.arange(batch, device=device).repeat_interleave(3).float(),
    }

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss, _ = network(given)
        loss.sum().backward()
        optimizer.step()

    return step
