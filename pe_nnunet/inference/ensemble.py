"""Mean PE probability of several models and folds on the grid of one image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from pe_nnunet.errors import InputError
from pe_nnunet.inference.model import TrainedModel
from pe_nnunet.inference.windows import as_tensor, predict_log_odds

Progress = Callable[[str, int, int], None]


def predict_probability(
    models: Sequence[TrainedModel],
    image: sitk.Image,
    device: torch.device,
    *,
    mirroring: bool = True,
    step: float = 0.5,
    bfloat16: bool = True,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Mean over models and folds of the PE probability.

    Each fold's log-odds are brought to the image's grid with the plans' own resampling, as nnU-Net does with logits,
    and become probabilities there; probabilities are averaged (nnU-Net averages the folds' logits).

    Args:
        models: At least one.
        image: In HU, with axes as in training (LPS).
        device: Where the networks run.
        mirroring: Whether to average over the mirrorings that each model allows.
        step: Largest step between windows, as a share of the window.
        bfloat16: Whether to use bfloat16 on CPUs that have it.
        progress: Called with a model's name and fold, windows done and in all.

    Returns:
        (z, y, x) on the image's grid, in [0, 1].

    Raises:
        InputError: PE-MODEL-005 if the model needs more than one image channel, or a volume where there is a slice.
    """
    total: NDArray[np.float32] | None = None
    count = 0
    for model in models:
        prepared, properties = _preprocess(model, image)
        for fold, weights in model.folds:
            model.network.load_state_dict(weights)
            name = f"{model.name} fold {fold}"
            odds = predict_log_odds(
                model.network,
                prepared,
                patch_size=model.patch_size,
                channel=model.pe_channel,
                regions=model.regions,
                device=device,
                step=step,
                mirror_axes=model.mirror_axes if mirroring else (),
                bfloat16=bfloat16,
                progress=None if progress is None else lambda done, of, name=name: progress(name, done, of),  # type: ignore[misc]
            )
            probability = _on_image_grid(model, odds.numpy(), properties)
            total = probability if total is None else total + probability
            count += 1
    if total is None:
        raise ValueError("predict_probability needs at least one model")
    return np.asarray(total / count, np.float32)


def _preprocess(model: TrainedModel, image: sitk.Image) -> tuple[torch.Tensor, dict[str, Any]]:
    channels = model.dataset_json.get("channel_names", {"0": "CT"})
    array = sitk.GetArrayViewFromImage(image)
    if len(channels) != 1:
        raise InputError("PE-MODEL-005", f"{model.name} needs {len(channels)} channels, a scan has one")
    if len(model.patch_size) == 3 and min(array.shape) < 4:
        raise InputError(
            "PE-MODEL-005", f"{model.name} is 3D, the scan has {array.shape} voxels", "use a 2d model for single slices"
        )
    properties: dict[str, Any] = {"spacing": [float(s) for s in image.GetSpacing()[::-1]]}
    preprocessor = model.configuration.preprocessor_class(verbose=False)
    data, _, properties = preprocessor.run_case_npy(
        array[None], None, properties, model.plans, model.configuration, model.dataset_json
    )
    return as_tensor(data), properties


def _on_image_grid(model: TrainedModel, odds: NDArray[np.float32], properties: dict[str, Any]) -> NDArray[np.float32]:
    """Undo nnU-Net's resampling, cropping and transposing."""
    spacing = [properties["spacing"][axis] for axis in model.plans.transpose_forward]
    target = list(model.configuration.spacing)
    if len(target) == 2:
        target = [spacing[0], *target]
    shape = properties["shape_after_cropping_and_before_resampling"]
    resampled = np.asarray(model.configuration.resampling_fn_probabilities(odds[None], shape, target, spacing))[0]
    full = np.zeros(properties["shape_before_cropping"], np.float32)
    inside = tuple(slice(start, stop) for start, stop in properties["bbox_used_for_cropping"])
    with np.errstate(over="ignore"):
        full[inside] = 1 / (1 + np.exp(-resampled.astype(np.float32)))
    return np.ascontiguousarray(full.transpose(model.plans.transpose_backward))
