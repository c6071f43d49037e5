"""From plans and recipe to a data loader."""

from __future__ import annotations

from typing import Any

import numpy as np

from pe_nnunet.labels import pe_label_values
from pe_nnunet.recipe import TrainingRecipe
from pe_nnunet.sampling.draw import PatchSampler, SamplingSettings
from pe_nnunet.sampling.index import index_dataset
from pe_nnunet.sampling.loader import EmbolusDataLoader

BRIGHT_HU = 150.0  # opacified vessels lie above


def make_loader(
    dataset: Any,
    patch_size: Any,
    transforms: Any,
    *,
    recipe: TrainingRecipe,
    plans: Any,
    configuration: Any,
    dataset_json: dict[str, Any],
    batch_size: int,
    training: bool,
) -> EmbolusDataLoader:
    """The loader that the recipe asks for.

    Args:
        dataset: An nnU-Net dataset (`nnUNetBaseDataset`).
        patch_size: What is cut, in voxels: larger than the final patch where it will be turned.
        transforms: Augmentation, batchgeneratorsv2; None for none.
        recipe: How patches are drawn.
        plans: nnU-Net's plans manager.
        configuration: nnU-Net's configuration manager.
        dataset_json: The dataset's `dataset.json`.
        batch_size: Patches a batch.
        training: False for validation, whose patches are never synthetic.
    """
    settings = SamplingSettings(
        positive_fraction=recipe.positive_fraction,
        embolus_volume_power=recipe.embolus_volume_power,
        case_ratio_power=recipe.case_ratio_power,
        hard_negative_fraction=recipe.hard_negative_fraction,
        minimum_embolus_mm3=recipe.minimum_embolus_mm3,
        voxel_mm3=voxel_mm3(plans, configuration),
    )
    index = index_dataset(dataset, pe_label_values(dataset_json["labels"]), bright_range(plans, configuration))
    return EmbolusDataLoader(
        dataset,
        batch_size,
        patch_size,
        configuration.patch_size,
        plans.get_label_manager(dataset_json),
        transforms=transforms,
        sampler=PatchSampler(index, settings),
        center_jitter=recipe.center_jitter,
    )


def voxel_mm3(plans: Any, configuration: Any) -> float:
    """Volume of a preprocessed voxel."""
    spacing = list(configuration.spacing)
    if len(spacing) == 2:  # 2D plans keep each scan's own slice distance
        spacing.insert(0, plans.original_median_spacing_after_transp[0])
    return float(np.prod(spacing))


def bright_range(plans: Any, configuration: Any) -> tuple[float, float]:
    """The normalised intensities of opacified vessels; an empty range where the images are not in HU."""
    if configuration.normalization_schemes[0] != "CTNormalization":
        return float("inf"), float("inf")
    known = plans.foreground_intensity_properties_per_channel["0"]
    # normalisation clips at the upper percentile: above it everything is as bright
    low = min(BRIGHT_HU, (known["median"] + known["percentile_99_5"]) / 2)
    return (low - known["mean"]) / max(known["std"], 1e-8), float("inf")
