"""A fold of a fine-tuning: started from the model's weights, or taken up where it was stopped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.fine_tuning.first_model import FirstModel
from pe_nnunet.inference.locate import FINAL
from pe_nnunet.trainers.base import PETrainer
from pe_nnunet.trainers.checkpoints import read_checkpoint
from pe_nnunet.trainers.first_weights import KEY

RESUMED_FROM = (FINAL, "checkpoint_latest.pth", "checkpoint_best.pth")  # nnU-Net's own order, of `--c`


@dataclass(frozen=True)
class FoldStart:
    """What a fold starts from.

    Attributes:
        fold: Of the new training.
        model_fold: Of the model.
        record: What the checkpoints of the training say of the weights.
        keep_heads: Whether the segmentation heads are taken too.
    """

    fold: str
    model_fold: str
    record: dict[str, Any]
    keep_heads: bool


def stored(fold_folder: Path) -> Path | None:
    """The checkpoint that a training of the fold would go on from; None where it starts."""
    return next((path for name in RESUMED_FROM if (path := fold_folder / name).is_file()), None)


def require_same_start(fold_folder: Path, start: FoldStart) -> None:
    """Refuse a fold that has been started from other weights.

    Args:
        fold_folder: In `nnUNet_results`.
        start: What it is to start from.

    Raises:
        ConfigurationError: PE-TRAIN-026, or PE-TRAIN-005 if its checkpoint cannot be read.
    """
    path = stored(fold_folder)
    if path is None:
        return
    record = read_checkpoint(path, torch.device("cpu")).get(KEY)
    if not isinstance(record, dict) or record.get("sha256") != start.record["sha256"]:
        from_what = f"from {record.get('model')}" if isinstance(record, dict) else "otherwise"
        raise ConfigurationError(
            "PE-TRAIN-026",
            f"{fold_folder} holds a training that was started {from_what}, not from these weights of "
            f"{start.record['model']}",
            "--plans-name gives the new one another folder",
        )


def train_fold(
    model: FirstModel, start: FoldStart, dataset: str, plans: str, device: torch.device, *, npz: bool
) -> str:
    """Train a fold to its end and validate it, by nnU-Net's own functions; what is done already is not done again.

    Args:
        model: The weights' model.
        start: What the fold starts from.
        dataset: Name of its folder.
        plans: Name of the moved plans.
        device: Where to.
        npz: Whether the validation's probabilities are written, as by nnU-Net's `--npz`.

    Returns:
        What was done, in words.

    Raises:
        ConfigurationError: What a training is refused for.
    """
    if device.type == "cuda":  # as nnU-Net's command; on a CPU the trainer says how many threads there are
        torch.set_num_threads(1)
        torch.backends.cudnn.benchmark = True
    trainer: PETrainer = get_trainer_from_args(
        dataset, model.configuration, _number(start.fold), model.trainer, plans, device=device
    )
    folder = Path(trainer.output_folder)
    before = stored(folder)
    if before is not None and before.name == FINAL and (folder / "validation" / "summary.json").is_file():
        return "trained already"
    if before is None:
        trainer.initialize()
        trainer.first_weights.load(trainer, model.weights(start.model_fold), start.record, keep_heads=start.keep_heads)
        trainer.split_record.start_from(model.split(start.model_fold))
    else:
        # nnU-Net's files are its own trainer's output: --c and, where only validation is left, --val
        maybe_load_checkpoint(trainer, before.name != FINAL, before.name == FINAL)
    trained = before is not None and before.name == FINAL
    if not trained:
        trainer.run_training()
    trainer.perform_actual_validation(npz)
    if before is None:
        return "trained"
    return "trained already, now validated" if trained else f"went on from {before.name}"


def _number(fold: str) -> int | str:
    return fold if fold == "all" else int(fold)
