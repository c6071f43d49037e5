"""The pulmonary arteries as a model of the ensemble sees them: where `--roi artery` looks if no mask is given.

AANet, and any model of the scheme `artery-pe`, has an output for arteries beside that for PE. A first pass over the
lungs, with one fold and windows side by side, says where the arteries run; all folds then look along them alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cc3d
import numpy as np
import SimpleITK as sitk
import torch

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.inference.ensemble import InferenceSettings, Progress, predict_ensemble
from pe_nnunet.inference.model import TrainedModel
from pe_nnunet.inference.region import Region
from pe_nnunet.labels import artery_channel
from pe_nnunet.roi import crop, paste
from pe_nnunet.volumes import image_like, spacing_zyx

LEAST_PROBABILITY = 0.5
LEAST_MM3 = 1000.0  # of a connected piece: a few centimetres of a segmental artery


def artery_model(models: Sequence[TrainedModel]) -> TrainedModel:
    """The first model that tells arteries, with its first fold, and arteries in the place of PE.

    Args:
        models: The ensemble.

    Raises:
        ConfigurationError: PE-MODEL-007 if there is none.
    """
    for model in models:
        channel = artery_channel(model.dataset_json["labels"], model.regions)
        if channel is not None:
            return replace(model, folds=model.folds[:1], pe_channel=channel)
    raise ConfigurationError(
        "PE-MODEL-007",
        "--roi artery without --artery: no model of the ensemble tells arteries",
        "give masks with --artery, or a model of the scheme artery-pe",
    )


def predict_arteries(
    models: Sequence[TrainedModel],
    upright: sitk.Image,
    lungs: Region,
    device: torch.device,
    settings: InferenceSettings,
    progress: Progress | None = None,
) -> sitk.Image:
    """A mask of the arteries within the lungs' hull.

    Args:
        models: The ensemble.
        upright: HU, axes in LPS order.
        lungs: Where to look.
        device: Where the network runs.
        settings: Of the ensemble; mirroring is off here, and windows do not overlap.
        progress: See `predict_ensemble`.

    Returns:
        uint8, on the image's grid.

    Raises:
        ConfigurationError: PE-MODEL-007 if no model tells arteries.
    """
    part = crop(upright, lungs.box)
    quick = replace(settings, mirroring=False, step=1.0)
    found = predict_ensemble([artery_model(models)], part, device, quick, within=lungs.within, progress=progress)
    least = max(1, round(LEAST_MM3 / float(np.prod(spacing_zyx(upright)))))
    mask = cc3d.dust(found.probability >= LEAST_PROBABILITY, threshold=least, connectivity=26)
    return paste(image_like(mask.astype(np.uint8), part), lungs.box, upright)
