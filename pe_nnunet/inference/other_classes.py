"""The classes of a model beside PE, as nnU-Net's own format of probabilities wants them."""

from __future__ import annotations

from dataclasses import replace

import SimpleITK as sitk
import torch

from pe_nnunet.dataset.dataset_json import foreground_channels
from pe_nnunet.inference.ensemble import predict_ensemble
from pe_nnunet.inference.loaded_ensemble import LoadedEnsemble
from pe_nnunet.inference.search_region import Region
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.inference.window_progress import Progress
from pe_nnunet.outputs import StockClasses
from pe_nnunet.roi import paste


def other_classes(
    ensemble: LoadedEnsemble,
    part: sitk.Image,
    region: Region,
    device: torch.device,
    settings: InferenceSettings,
    image: sitk.Image,
    progress: Progress | None = None,
) -> StockClasses:
    """The other classes of the models, each predicted as PE is: a pass of all networks for each.

    Args:
        ensemble: Models of one scheme of labels.
        part: The scan, cropped to the region.
        region: Where to look.
        device: Where the networks run.
        settings: How.
        image: The whole scan as it came.
        progress: See `predict_ensemble`.
    """
    first = ensemble.models[0]
    others = {}
    for channel in foreground_channels(first.dataset_json):
        if channel == first.pe_channel:
            continue
        models = [replace(model, pe_channel=channel) for model in ensemble.models]
        found, _ = predict_ensemble(
            models, part, device, settings, within=region.within, progress=progress, weights=ensemble.weights
        )
        others[channel] = paste(found, region.box, image)
    return StockClasses(first.plans.plans, first.dataset_json, others)
