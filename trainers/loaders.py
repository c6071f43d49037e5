"""Batches for a trainer: patches drawn by embolus, augmented as nnU-Net does, in other processes or in this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from nnunetv2.utilities.default_n_proc_DA import get_allowed_n_proc_DA

from pe_nnunet.sampling import BatchSeeds, EmbolusDataLoader, make_loader

if TYPE_CHECKING:
    from pe_nnunet.trainers.base import PETrainer


def training_and_validation_batches(trainer: PETrainer) -> tuple[Any, Any]:
    """Iterators over the batches that are still to come, in as many worker processes as nnU-Net's settings say.

    Args:
        trainer: Initialised; of a resumed epoch `train_outputs` tells how many batches it has had.
    """
    configuration = trainer.configuration_manager
    scales = trainer._get_deep_supervision_scales()
    rotation, dummy_2d, initial_patch_size, mirror_axes = (
        trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    )
    augmentation = with_fixed_blur(
        trainer.get_training_transforms(
            configuration.patch_size,
            rotation,
            scales,
            mirror_axes,
            dummy_2d,
            use_mask_for_norm=configuration.use_mask_for_norm,
            **_label_arguments(trainer),
        )
    )
    training, validation = trainer.get_tr_and_val_datasets()
    loaders = (
        _patch_loader(trainer, training, initial_patch_size, augmentation, training=True),
        plain_loader(trainer, validation),
    )
    workers = get_allowed_n_proc_DA()
    # validation has a worker even where its half of them is none
    counts = (workers, max(1, workers // 2) if workers else 0)
    per_epoch = (trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch)
    made = (len(trainer.train_outputs), 0)
    for stream, loader in enumerate(loaders):
        first = trainer.current_epoch * per_epoch[stream] + made[stream]
        loader.seeds = BatchSeeds(
            trainer.recipe.seed, trainer.local_rank, stream, per_epoch[stream], first, max(1, counts[stream])
        )
    pin_memory = trainer.device.type == "cuda"
    return batches(loaders[0], counts[0], pin_memory=pin_memory), batches(loaders[1], counts[1], pin_memory=pin_memory)


def plain_loader(trainer: PETrainer, dataset: Any) -> EmbolusDataLoader:
    """A loader of patches without augmentation, with targets for each output of the network.

    Args:
        trainer: Initialised.
        dataset: An nnU-Net dataset.
    """
    transforms = trainer.get_validation_transforms(trainer._get_deep_supervision_scales(), **_label_arguments(trainer))
    return _patch_loader(trainer, dataset, trainer.configuration_manager.patch_size, transforms, training=False)


def _patch_loader(
    trainer: PETrainer, dataset: Any, patch_size: Any, transforms: Any, *, training: bool
) -> EmbolusDataLoader:
    return make_loader(
        dataset,
        patch_size,
        transforms,
        recipe=trainer.recipe,
        plans=trainer.plans_manager,
        configuration=trainer.configuration_manager,
        dataset_json=trainer.dataset_json,
        batch_size=trainer.batch_size,
        training=training,
    )


def _label_arguments(trainer: PETrainer) -> dict[str, Any]:
    manager = trainer.label_manager
    return {
        "is_cascaded": False,
        "foreground_labels": manager.foreground_labels,
        "regions": manager.foreground_regions if manager.has_regions else None,
        "ignore_label": manager.ignore_label,
    }


def with_fixed_blur(transform: Any) -> Any:
    """Let every Gaussian blur always use the same method.

    nnU-Net's measures which of two methods is the faster one and takes that: they differ in the last bits, so that the
    same seed would not give the same batch.

    Args:
        transform: A transform of batchgeneratorsv2, or one that holds others; changed in place.

    Returns:
        The same object.
    """
    if isinstance(transform, GaussianBlurTransform):
        transform.benchmark = False
    for inner in [*getattr(transform, "transforms", ()), getattr(transform, "transform", None)]:
        if inner is not None:
            with_fixed_blur(inner)
    return transform


def batches(loader: EmbolusDataLoader, workers: int, *, pin_memory: bool) -> Any:
    """An iterator over a loader's batches.

    Args:
        loader: Its `seeds` must know the number of workers.
        workers: Processes; with 0 batches are made where they are asked for.
        pin_memory: For faster copies to a GPU.
    """
    if workers == 0:
        return SingleThreadedAugmenter(loader, None)
    return NonDetMultiThreadedAugmenter(
        data_loader=loader,
        transform=None,
        num_processes=workers,
        num_cached=max(3, workers // 2),
        pin_memory=pin_memory,
        wait_time=0.002,
    )


def stop_workers(iterator: Any) -> None:
    """End the workers of `batches`, if there are any."""
    if isinstance(iterator, NonDetMultiThreadedAugmenter):
        iterator._finish(timeout=2, force=True)


def to_device(value: Any, device: torch.device) -> Any:
    """A tensor, or a list of them, on another device; the copy may still be under way."""
    if isinstance(value, list):
        return [to_device(item, device) for item in value]
    return value.to(device, non_blocking=True)
