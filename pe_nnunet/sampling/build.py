"""From plans and recipe to a data loader."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from pe_nnunet.labels import pe_channel, pe_label_values
from pe_nnunet.nnunet_folders import RAW
from pe_nnunet.recipe import TrainingRecipe
from pe_nnunet.sampling.concatenate import ConcatenateLowRatio
from pe_nnunet.sampling.draw import PatchSampler, SamplingSettings
from pe_nnunet.sampling.index import index_dataset
from pe_nnunet.sampling.loader import EmbolusDataLoader
from pe_nnunet.sampling.positive import PositiveRule
from pe_nnunet.sampling.source import RawMasks

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
        hard_negatives="artery" if recipe.hard_negatives == "artery" else "bright",
    )
    labels = dataset_json["labels"]
    values = pe_label_values(labels)
    index = index_dataset(dataset, values, bright_range(plans, configuration), raw_masks(plans))
    label_manager = plans.get_label_manager(dataset_json)
    # without augmentation targets are label maps, under regions too
    channel = pe_channel(labels, regions=True) if label_manager.has_regions and transforms is not None else None
    concatenate = None
    if training and recipe.concatenate_probability:
        concatenate = ConcatenateLowRatio(
            recipe.concatenate_probability,
            recipe.concatenate_below_ratio,
            recipe.concatenate_axis,
            recipe.concatenate_seam_voxels,
        )
    return EmbolusDataLoader(
        dataset,
        batch_size,
        patch_size,
        configuration.patch_size,
        label_manager,
        transforms=transforms,
        sampler=PatchSampler(index, settings),
        center_jitter=recipe.center_jitter,
        strictly=PositiveRule(settings.voxel_mm3, values, channel) if recipe.strict_positives else None,
        concatenate=concatenate,
        pe_values=values,
    )


def raw_masks(plans: Any) -> RawMasks | None:
    """The masks of the dataset that the plans are for; None where nnU-Net's raw folder is not named."""
    raw = os.environ.get(RAW, "").strip()
    if not raw:
        return None
    return RawMasks(Path(raw) / plans.dataset_name, plans.image_reader_writer_class(), plans.transpose_forward)


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
