"""From plans and recipe to a data loader."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from pe_nnunet.dataset.dataset_json import artery_label_values, ignored_values, pe_channel, pe_label_values
from pe_nnunet.dataset.folders import RAW
from pe_nnunet.dataset.label_checks import declared_values
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.recipe import TrainingRecipe
from pe_nnunet.sampling.arteries import store_arteries
from pe_nnunet.sampling.bank import HuScale, make_bank
from pe_nnunet.sampling.concatenate import ConcatenateLowRatio
from pe_nnunet.sampling.curriculum import Curriculum
from pe_nnunet.sampling.draw import PatchSampler, PositiveRule
from pe_nnunet.sampling.index import CaseEmboli, index_dataset
from pe_nnunet.sampling.loader import EmbolusDataLoader
from pe_nnunet.sampling.raw_masks import RawMasks
from pe_nnunet.sampling.replicate import ReplicateTargets, Replication

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

    Raises:
        ConfigurationError: PE-TRAIN-006 if emboli are to be replicated in images that are not in HU, or in one of
            several CT channels alone; what `index_dataset` raises.
    """
    labels = dataset_json["labels"]
    values = pe_label_values(labels)
    index = index_dataset(
        dataset,
        values,
        bright_range(plans, configuration),
        raw_masks(plans),
        ignored=ignored_values(labels),
        declared=declared_values(dataset_json),
    )
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
    replicate = None
    if training and recipe.replicate_probability:
        replicate = _replicate(dataset, index, recipe, plans, configuration, labels)
    curriculum = None
    if training and recipe.little_start_epochs:
        curriculum = Curriculum(
            recipe.little_start_epochs,
            "cases" if recipe.little_start == "cases" else "patches",
            recipe.little_start_cases,
            recipe.little_start_patch,
        )
    stored = replicate is not None and not replicate.artery_values
    return EmbolusDataLoader(
        dataset,
        batch_size,
        patch_size,
        configuration.patch_size,
        label_manager,
        transforms=transforms,
        sampler=PatchSampler(index, recipe, voxel_mm3(plans, configuration)),
        center_jitter=recipe.center_jitter,
        strictly=PositiveRule(voxel_mm3(plans, configuration), values, channel) if recipe.strict_positives else None,
        concatenate=concatenate,
        pe_values=values,
        replicate=replicate,
        arteries=store_arteries(dataset, index, raw_masks(plans)) if stored else None,
        curriculum=curriculum,
        divisor=[int(side) for side in np.prod(configuration.pool_op_kernel_sizes, axis=0)],
    )


def _replicate(
    dataset: Any,
    index: dict[str, CaseEmboli],
    recipe: TrainingRecipe,
    plans: Any,
    configuration: Any,
    labels: dict[str, Any],
) -> ReplicateTargets:
    scale = hu_scale(plans, configuration)
    if scale is None:
        raise ConfigurationError(
            "PE-TRAIN-006",
            f"replicate_probability is {recipe.replicate_probability:g}, but the images are not in Hounsfield units",
            "name the channel CT in dataset.json, plan and preprocess again, or leave the key at 0",
        )
    if list(configuration.normalization_schemes).count("CTNormalization") > 1:
        raise ConfigurationError(
            "PE-TRAIN-006",
            f"replicate_probability is {recipe.replicate_probability:g}, but several channels are CT: an embolus would "
            "be put into the first alone",
            "leave the key at 0",
        )
    values = pe_label_values(labels)
    smallest = recipe.min_embolus_mm3 / voxel_mm3(plans, configuration)
    settings = Replication(
        recipe.replicate_probability,
        recipe.replicate_below_ratio,
        recipe.replicate_max,
        bright_hu(plans),
        configuration.spacing,
    )
    bank = make_bank(dataset, index, values, scale, smallest, recipe.seed)
    return ReplicateTargets(bank, scale, settings, values, artery_label_values(labels))


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


def hu_scale(plans: Any, configuration: Any) -> HuScale | None:
    """How images were normalised; None where they are not in HU."""
    if configuration.normalization_schemes[0] != "CTNormalization":
        return None
    known = plans.foreground_intensity_properties_per_channel["0"]
    return HuScale(known["mean"], max(known["std"], 1e-8), known["percentile_99_5"])


def bright_hu(plans: Any) -> float:
    """The HU above which opacified vessels lie."""
    known = plans.foreground_intensity_properties_per_channel["0"]
    # normalisation clips at the upper percentile: above it everything is as bright
    return float(min(BRIGHT_HU, (known["median"] + known["percentile_99_5"]) / 2))


def bright_range(plans: Any, configuration: Any) -> tuple[float, float]:
    """The normalised intensities of opacified vessels; an empty range where the images are not in HU."""
    scale = hu_scale(plans, configuration)
    if scale is None:
        return float("inf"), float("inf")
    return (bright_hu(plans) - scale.mean) / scale.std, float("inf")
