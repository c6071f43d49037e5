"""What each model says of a scan, where prediction would look."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from pe_nnunet.inference.ensemble import predict_ensemble
from pe_nnunet.inference.model import TrainedModel
from pe_nnunet.inference.search_region import lung_region
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.inference.window_progress import Progress
from pe_nnunet.roi import crop, paste

MARGIN_MM = 10.0


def predict_members(
    models: Sequence[TrainedModel],
    image: sitk.Image,
    channels: Sequence[sitk.Image],
    device: torch.device,
    settings: InferenceSettings,
    progress: Progress | None = None,
) -> list[NDArray[np.float32]]:
    """Predict a scan with each model by itself.

    Args:
        models: Each is the mean of its folds.
        image: In LPS axes; a whole scan, or one that is cropped to its lungs.
        channels: Beside the CT, likewise.
        device: Where the networks run.
        settings: How.
        progress: See `predict_ensemble`; windows are those of one model, the share of the time is that of all.

    Returns:
        The PE probability by each model, (z, y, x), 0 outside the region that `PEPredictor` would search.
    """
    region = lung_region(image, MARGIN_MM, "full-volume")
    part = crop(image, region.box)
    further = [crop(channel, region.box) for channel in channels]
    maps = []
    for before, model in enumerate(models):
        found, _ = predict_ensemble(
            [model],
            part,
            device,
            settings,
            within=region.within,
            further=further,
            progress=None if progress is None else partial(_of_all, progress, before, len(models)),
        )
        maps.append(np.asarray(sitk.GetArrayFromImage(paste(found, region.box, image))))
    return maps


def _of_all(progress: Progress, before: int, models: int, part: str, done: int, windows: int, share: float) -> None:
    """Call it with the share of all models, each taken to need as long as another."""
    progress(part, done, windows, (before + share) / models)
