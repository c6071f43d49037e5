"""nnU-Net's pseudo Dice of an epoch, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch.distributed


def validation_scores(outputs: Sequence[dict[str, Any]], distributed: bool) -> tuple[float, list[float]]:
    """Loss and Dice over all validation patches.

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
