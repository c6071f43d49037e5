"""What an epoch is judged by: pseudo Dice by class, emboli found by size, share predicted, collapse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch.distributed
from numpy.typing import NDArray
from torch import Tensor

from pe_nnunet.dataset.dataset_json import pe_channel, pe_label_values
from pe_nnunet.voxels import label_components

if TYPE_CHECKING:
    from pe_nnunet.trainers.base import PETrainer

SIZE_NAMES = ("small", "medium", "large")
SIZE_LIMITS_MM3 = (100.0, 1000.0)  # small below the first, large from the second
EPOCHS_TO_START = 10  # an untrained network predicts nothing for a while


def predicted_pe(trainer: PETrainer, output: Any) -> Tensor:
    """Where a network's finest output says PE, (batch, ...) bool.

    Args:
        trainer: For the labels or regions.
        output: Logits, (batch, heads, ...), or a list of them, finest first.
    """
    logits = output[0] if isinstance(output, (list, tuple)) else output
    regions = trainer.label_manager.has_regions
    channel = pe_channel(trainer.dataset_json["labels"], regions)
    predicted: Tensor = logits[:, channel] > 0 if regions else logits.argmax(1) == channel
    return predicted


def labelled_pe(trainer: PETrainer, target: Any) -> Tensor:
    """Where the finest target is PE, (batch, ...) bool.

    Args:
        trainer: For the labels or regions.
        target: (batch, regions, ...), or (batch, 1, ...) label values, or a list of them, finest first.
    """
    finest: Tensor = target[0] if isinstance(target, list) else target
    labels = trainer.dataset_json["labels"]
    if trainer.label_manager.has_regions:
        return finest[:, pe_channel(labels, regions=True)] > 0
    return finest[:, 0] == pe_label_values(labels)[0]


def validation_scores(outputs: Sequence[dict[str, Any]], distributed: bool) -> tuple[float, list[float]]:
    """Loss and pseudo Dice over all validation patches.

    Args:
        outputs: What `validation_step` returned.
        distributed: Whether other processes hold a part of them.

    Returns:
        The mean loss, and the Dice of each foreground class or region; NaN where neither truth nor prediction has any.
    """
    ours = [{key: output[key] for key in ("loss", "tp_hard", "fp_hard", "fn_hard")} for output in outputs]
    if distributed:
        gathered: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(gathered, ours)
        ours = [output for part in gathered for output in part]
    tp, fp, fn = (np.sum([output[key] for output in ours], axis=0) for key in ("tp_hard", "fp_hard", "fn_hard"))
    whole = 2 * tp + fp + fn
    dice = np.divide(2 * tp, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
    return float(np.mean([output["loss"] for output in ours])), [float(value) for value in dice]


def count_emboli(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], voxel_mm3: float
) -> dict[str, NDArray[np.float64]]:
    """What of the emboli in some patches was found.

    An embolus counts with the part of it that lies in the patch, and as found where one voxel of it is predicted.

    Args:
        predicted: (batch, ...) voxels predicted as PE.
        truth: (batch, ...) voxels of PE.
        voxel_mm3: Volume of a voxel.

    Returns:
        `emboli` and `found`, (3,) by size; `predicted` and `truth`, (), shares of all voxels.
    """
    emboli, found = np.zeros(len(SIZE_NAMES)), np.zeros(len(SIZE_NAMES))
    for guess, target in zip(predicted, truth, strict=True):
        ids, count = label_components(target if target.ndim == 3 else target[None])
        if not count:
            continue
        flat = ids.reshape(-1)
        sizes = np.searchsorted(SIZE_LIMITS_MM3, np.bincount(flat)[1:] * voxel_mm3, side="right")
        hits = np.bincount(flat, weights=guess.reshape(-1))[1:] > 0
        emboli += np.bincount(sizes, minlength=len(SIZE_NAMES))
        found += np.bincount(sizes[hits], minlength=len(SIZE_NAMES))
    return {
        "emboli": emboli,
        "found": found,
        "predicted": np.asarray(predicted.mean(dtype=np.float64)),
        "truth": np.asarray(truth.mean(dtype=np.float64)),
    }


def summarise(counts: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """The counts of an epoch's patches in one row.

    Args:
        counts: `count_emboli`'s, one a batch.

    Returns:
        `recall_small` and so on (None without such emboli), `predicted_share` and `true_share`.
    """
    emboli, found = (np.sum([count[key] for count in counts], axis=0) for key in ("emboli", "found"))
    recalls = {
        f"recall_{name}": float(hits / all_of_them) if all_of_them else None
        for name, hits, all_of_them in zip(SIZE_NAMES, found, emboli, strict=True)
    }
    return recalls | {
        "predicted_share": float(np.mean([count["predicted"] for count in counts])),
        "true_share": float(np.mean([count["truth"] for count in counts])),
    }


def collapse_warning(history: Sequence[Mapping[str, Any]]) -> str | None:
    """Whether the network has fallen into one answer for all voxels.

    Args:
        history: `summarise`'s rows, one an epoch.

    Returns:
        A warning, or None.

    Example:
        >>> row = {"true_share": 0.01, "predicted_share": 0.02}
        >>> collapse_warning([row]) is None, collapse_warning([row, row | {"predicted_share": 0.0}]) is None
        (True, False)
    """
    last = history[-1]
    if last["predicted_share"] > 0.5 > last["true_share"]:
        return (
            f"WARNING: the network calls {last['predicted_share']:.0%} of the voxels PE: the learning rate is too high?"
        )
    nothing = not last["predicted_share"] and last["true_share"]
    if nothing and any(row["predicted_share"] for row in history):
        return "WARNING: the network has ceased to predict PE: lower learning_rate, or raise positive_fraction"
    if nothing and len(history) >= EPOCHS_TO_START:
        return f"WARNING: no voxel predicted as PE in {len(history)} epochs: look at the labels with pe-nnunet analyse"
    return None
