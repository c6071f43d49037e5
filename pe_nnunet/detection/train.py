"""Train the detector of one fold and write it with its record."""

from __future__ import annotations

import csv
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pe_nnunet import __version__
from pe_nnunet.cases import epochs_left
from pe_nnunet.dataset.folders import Split
from pe_nnunet.dataset.training_split import TrainingSplit
from pe_nnunet.detection.architectures import find_architecture, switch_off
from pe_nnunet.detection.onnx_export import export_onnx
from pe_nnunet.detection.record import HISTORY, ONNX, RECORD, WEIGHTS, DetectorRecord
from pe_nnunet.detection.settings import DetectorSettings
from pe_nnunet.detection.training_slices import SliceSet
from pe_nnunet.errors import ConfigurationError, OutputError
from pe_nnunet.files import atomic_path
from pe_nnunet.files.temporary import temporary_folder
from pe_nnunet.networks.onnx_files import require_onnx
from pe_nnunet.volumes.files.volume_file import file_sha256

NOTICE = "Trained with ultralytics (AGPL-3.0). Research use only; not a medical device."


def detector_name(settings: DetectorSettings) -> str:
    """Name of the folder of all folds beside nnU-Net's models.

    Example:
        >>> detector_name(DetectorSettings(model="yolo11n", image_size=512))
        'PEDetector__yolo11n__512px'
    """
    return f"PEDetector__{settings.model}__{settings.image_size}px"


def train_detector(
    slices: SliceSet,
    scans: TrainingSplit,
    split: Split,
    results: Path,
    settings: DetectorSettings,
    extra: Sequence[Path] = (),
) -> Path:
    """Train a detector and write `detector.onnx`, `detector.pt`, `history.csv` and, last, `detector.json`.

    Args:
        slices: Pictures of all cases.
        scans: What it is trained on, with the name of its fold.
        split: Cases to train and to validate on.
        results: The dataset's folder in nnUNet_results.
        settings: Of the training, the network and its weights.
        extra: Further pictures to train on, with label files beside them, of no case of the dataset.

    Returns:
        The folder of these files.

    Raises:
        ConfigurationError: PE-DET-002 no such architecture; PE-DET-004 nothing to train or to validate on; PE-DET-009
            weights that cannot be used.
        MissingExtraError: PE-DET-001 if ultralytics is not installed, PE-MODEL-013 if onnx is not.
        OutputError: If a file cannot be written.
    """
    fold = scans.fold
    architecture, size = find_architecture(settings.model)
    images = {"train": [*slices.images(split["train"]), *extra], "val": slices.images(split["val"])}
    for part, files in images.items():
        if not files:
            raise ConfigurationError("PE-DET-004", f"fold {fold} has no picture under {part}", "take another fold")
    require_onnx()  # what is trained is written with it
    switch_off()
    from pe_nnunet.detection.yolo import SliceTrainer, build_network

    torch.manual_seed(settings.seed)
    network = build_network(architecture, size)
    weights_sha256 = None
    if settings.weights is not None:
        _start_from(network, settings.weights, settings.trust_weights)
        weights_sha256 = file_sha256(settings.weights)  # now, as it may be the detector that is trained again
        scans = scans.after(_split_of_weights(settings.weights, scans))
    folder = results / detector_name(settings) / f"fold_{fold}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECORD).unlink(missing_ok=True)  # from here on an older detector is no longer whole
    except OSError as error:
        raise OutputError("PE-OUT-001", f"{folder} cannot be written: {error.strerror}", "check it") from error
    started = time.perf_counter()
    with temporary_folder(folder / "training") as scratch:
        lists = {part: scratch / f"{part}.txt" for part in images}
        for part, files in images.items():
            lists[part].write_text("".join(f"{file.resolve()}\n" for file in files), encoding="utf-8")
        progress = _Progress(settings.epochs)
        trainer = SliceTrainer(network, lists["train"], lists["val"], settings.for_ultralytics(scratch), progress)
        trainer.train()
        shutil.move(str(trainer.csv), folder / HISTORY)
    trained = trainer.trained()
    with atomic_path(folder / WEIGHTS) as temporary:
        torch.save({"model": settings.model, "state_dict": trained.state_dict()}, temporary)
    export_onnx(trained, folder / ONNX)
    record = DetectorRecord(
        settings.model,
        slices.raster,
        results.name,
        fold,
        {file: file_sha256(folder / file) for file in (ONNX, WEIGHTS)},
        {
            "notice": NOTICE,
            "cases": split,
            "split": scans.to_plain(),
            "pictures": {part: len(files) for part, files in images.items()} | {"extra": len(extra)},
            "settings": asdict(settings) | {"weights": settings.weights and settings.weights.name},
            "weights_sha256": weights_sha256,
            "validation": _last_scores(folder / HISTORY),
            "seconds": round(time.perf_counter() - started, 1),
            "versions": {"pe_nnunet": __version__} | {name: version(name) for name in ("ultralytics", "torch", "onnx")},
        },
    )
    record.write(folder)
    return folder


def _start_from(network: nn.Module, path: Path, trusted: bool) -> None:
    """Copy the weights that fit; a head for other classes does not."""
    if not path.is_file():
        raise ConfigurationError("PE-DET-009", f"{path} does not exist", "check --weights")
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    except Exception as error:
        if not trusted:
            raise ConfigurationError(
                "PE-DET-009",
                f"{path} holds more than weights, or none ({type(error).__name__})",
                "a checkpoint of ultralytics runs code when it is read: --trust-weights, if you know where it is from",
            ) from error
        from pe_nnunet.detection.yolo import checkpoint_state

        state = checkpoint_state(path)
    own = network.state_dict()
    fitting = {key: value for key, value in state.items() if key in own and value.shape == own[key].shape}
    if 2 * len(fitting) < len(own):
        raise ConfigurationError(
            "PE-DET-009",
            f"{path} fits {len(fitting)} of the {len(own)} tensors of the network",
            "name the --model that the weights are of",
        )
    network.load_state_dict(fitting, strict=False)
    print(f"{len(fitting)} of {len(own)} tensors from {path.name}", flush=True)


def _split_of_weights(path: Path, scans: TrainingSplit) -> TrainingSplit:
    """What weights to start from were trained on, if a detector's record lies beside them."""
    try:
        record = DetectorRecord.read(path.parent)
    except ConfigurationError:
        record = None
    if record is None or path.name not in record.sha256:
        return TrainingSplit(scans.dataset, scans.fold, {}, {}, f"it started from {path.name}")
    return record.split


class _Progress:
    """One line an epoch with the time that is left."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.seconds: list[float] = []

    def __call__(self, epoch: int, losses: Mapping[str, float], seconds: float) -> None:
        self.seconds.append(seconds)
        shown = ", ".join(f"{name.removesuffix('_loss')} {value:.3f}" for name, value in losses.items())
        left = epochs_left(self.seconds, self.epochs - epoch)
        print(f"epoch {epoch}/{self.epochs}: {shown}, {seconds:.1f} s{left}", flush=True)


def _last_scores(history: Path) -> dict[str, float]:
    """The scores that ultralytics measures, of both classes after the last epoch."""
    with history.open(encoding="utf-8", newline="") as file:
        rows = [{key.strip(): value for key, value in row.items()} for row in csv.DictReader(file)]
    return {key.removeprefix("metrics/"): float(rows[-1][key]) for key in rows[-1] if key.startswith("metrics/")}


@torch.no_grad()
def recompute_batch_norm_statistics(network: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Recompute the running means and variances of all batch norms for the weights as they are now.

    Their moving averages follow at 3 % a step, and every layer's depend on the layers before: after some hundred steps
    they are those of other weights, and a network that scores emboli at 0.9 in training gives them 0.01 afterwards.

    Args:
        network: In evaluation mode, changed in place.
        batches: Pictures to measure, at least two.
    """
    norms = [(module, module.momentum) for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm, _ in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    for pictures in batches:
        network(pictures)
    for norm, momentum in norms:
        norm.momentum = momentum
        norm.eval()
