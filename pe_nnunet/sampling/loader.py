"""nnU-Net's data loader, drawing patches by embolus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from threadpoolctl import threadpool_limits
from torch import Tensor

from pe_nnunet.processes import end_with_parent
from pe_nnunet.sampling.arteries import ArteryMasks
from pe_nnunet.sampling.batch_seeds import BatchSeeds, seeded
from pe_nnunet.sampling.concatenate import ConcatenateLowRatio
from pe_nnunet.sampling.curriculum import Curriculum, middle
from pe_nnunet.sampling.draw import Draw, PatchSampler, PositiveRule
from pe_nnunet.sampling.replicate import ReplicateTargets

AUGMENTED_TRIES = 5  # patches that are cut and augmented before one of the wrong kind is taken
PLACES_TRIED = 20  # places looked up in the index before one is cut, which costs nothing


class EmbolusDataLoader(nnUNetDataLoader):  # type: ignore[misc] # nnU-Net publishes no types
    """Draws with a `PatchSampler`, reads only the patch, augments it.

    Chance follows from `seeds` (a `BatchSeeds`, to be set before the first batch) and the number of batches made.

    Args:
        sampler: What is drawn.
        center_jitter: How far the patch's centre may lie from the drawn voxel, as a share of the final patch.
        strictly: Judges augmented patches; those that do not hold what was drawn, or hold PE where none was, are drawn
            anew, so that the share of positive patches is the one that was set. None takes them as they are.
        concatenate: Joins patches of low target ratio, before augmentation; None for never.
        pe_values: Label values that mean PE.
        replicate: Puts further emboli into patches drawn around one, before they are joined; None for never.
        arteries: Where `replicate` may put them; None where artery masks are not stored.
        curriculum: What the first epochs see; None for everything from the start.
        divisor: What the network needs each side of a patch to be a multiple of.
        *args: As `nnUNetDataLoader`.
        **kwargs: As `nnUNetDataLoader`.
    """

    def __init__(
        self,
        *args: Any,
        sampler: PatchSampler,
        center_jitter: float,
        strictly: PositiveRule | None = None,
        concatenate: ConcatenateLowRatio | None = None,
        pe_values: Sequence[int] = (1,),
        replicate: ReplicateTargets | None = None,
        arteries: ArteryMasks | None = None,
        curriculum: Curriculum | None = None,
        divisor: Sequence[int] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.sampler = sampler
        self.center_jitter = center_jitter
        self.strictly = strictly
        self.concatenate = concatenate
        self.pe_values = pe_values
        self.replicate = replicate
        self.arteries = arteries
        self.curriculum = curriculum
        self.divisor = divisor
        self._all_cases = sampler
        self._few_cases = sampler
        if curriculum is not None and curriculum.on == "cases":
            self._few_cases = PatchSampler(curriculum.few_cases(sampler.index), sampler.recipe, sampler.voxel_mm3)
        self._kept = tuple(self.final_patch_size)  # of a patch in the epoch that is running
        self.seeds = BatchSeeds()
        self._made = 0

    def generate_train_batch(self) -> dict[str, Any]:
        """A batch.

        Returns:
            `data` (batch, channels, ...) float32; `target` on the same grid (under deep supervision a list, finest
            first); `keys`, the cases; `kinds`, why each patch was drawn.
        """
        seed = self.seeds.of(self._made, self.thread_id)
        self._start_of_epoch(self.seeds.place(self._made, self.thread_id)[0])
        self._made += 1
        with torch.no_grad(), threadpool_limits(limits=1, user_api=None), seeded(seed) as rng:
            draws = [self.sampler.draw(rng) for _ in range(self.batch_size)]
            samples = [self.sample(draw, rng) for draw in draws]
        draws, images, targets = (list(part) for part in zip(*samples, strict=True))
        return {
            "data": torch.stack(images),
            "target": [torch.stack(scale) for scale in zip(*targets, strict=True)]
            if isinstance(targets[0], list)
            else torch.stack(targets),
            "keys": [draw.case for draw in draws],
            "kinds": [draw.kind for draw in draws],
        }

    def set_thread_id(self, thread_id: int) -> None:
        """Called by batchgenerators in each worker process as it starts."""
        super().set_thread_id(thread_id)
        end_with_parent()

    def _start_of_epoch(self, epoch: int) -> None:
        start = self.curriculum
        if start is not None:
            self.sampler = self._few_cases if epoch < start.epochs else self._all_cases
            full = self.final_patch_size[-len(self.divisor) :]
            self._kept = start.patch_size(epoch, full, self.divisor)

    def sample(self, draw: Draw, rng: np.random.Generator) -> tuple[Draw, Tensor, Any]:
        """A patch for a draw.

        Args:
            draw: What was drawn.
            rng: The source of chance.

        Returns:
            What was cut in the end, under `strictly` not always what was drawn; its image and target.
        """
        rule = self.strictly
        if rule is None:
            box = self.patch_box(draw, rng)
            return draw, *self._augmented(*self._joined(draw, *self._replicated(draw, box, *self._cut(draw, box)), rng))
        jitter = self.center_jitter
        for _ in range(AUGMENTED_TRIES):
            if draw.kind == "positive":
                box = self.patch_box(draw, rng, jitter)
                jitter /= 2
            else:
                draw, box = self._away_from_emboli(draw, rng)
            data, label = self._cut(draw, box)
            needed = self.needed_voxels(rule, draw, label)
            data, label = self._joined(draw, *self._replicated(draw, box, data, label), rng)
            image, target = self._augmented(data, label)
            if (rule.pe_voxels(target) >= needed) == (draw.kind == "positive"):
                break
        return draw, image, target

    def _away_from_emboli(self, draw: Draw, rng: np.random.Generator) -> tuple[Draw, list[list[int]]]:
        """The draw, or one in its place, and a box that no embolus reaches into if one is found."""
        box = self.patch_box(draw, rng)
        for _ in range(PLACES_TRIED):
            if not self.sampler.index[draw.case].meets(box).any():
                break
            draw = self.sampler.draw_negative(rng)
            box = self.patch_box(draw, rng)
        return draw, box

    def needed_voxels(self, rule: PositiveRule, draw: Draw, label: Tensor) -> float:
        """The PE voxels from which the patch of a draw is positive.

        Args:
            rule: What positive means.
            draw: What was drawn.
            label: What was cut for it, before augmentation.
        """
        if draw.embolus is None:
            return rule.needed_voxels(None)
        voxels = float(self.sampler.index[draw.case].voxel_counts[draw.embolus])
        if self.patch_size_was_2d:  # a slice holds half of what the embolus has in it, not half of the embolus
            inside = sum(int((label == value).sum()) for value in rule.pe_values)
            voxels = min(voxels, inside)
        return rule.needed_voxels(voxels)

    def _cut(self, draw: Draw, box: list[list[int]]) -> tuple[Tensor, Tensor]:
        image, label, _, _ = self._data.load_case(draw.case)
        data = torch.from_numpy(crop_and_pad_nd(image, box, 0)).float()
        target = torch.from_numpy(crop_and_pad_nd(label, box, -1, cast_cropped_to=np.int16))
        return (data[:, 0], target[:, 0]) if self.patch_size_was_2d else (data, target)

    def _replicated(self, draw: Draw, box: list[list[int]], data: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """The patch, or, where the recipe wants it and its ratio is low, one with further emboli in its arteries."""
        if self.replicate is None or draw.kind != "positive":
            return data, label
        artery = None if self.arteries is None else self.arteries.crop(draw.case, box)
        if artery is not None and self.patch_size_was_2d:
            artery = artery[0]
        changed = self.replicate(image=data, segmentation=label, artery=artery)
        return changed["image"], changed["segmentation"]

    def _joined(self, draw: Draw, data: Tensor, label: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """The patch, or, where the recipe wants it and both are of low ratio, joined with another."""
        joiner = self.concatenate
        if joiner is None or draw.kind != "positive" or rng.random() >= joiner.probability:
            return data, label
        other = self.sampler.draw_positive(rng)
        there = self.patch_box(other, rng)
        second = self._replicated(other, there, *self._cut(other, there))
        if not (joiner.is_low(label, self.pe_values) and joiner.is_low(second[1], self.pe_values)):
            return data, label
        return joiner.join((data, label), second, self.pe_values, self.final_patch_size[-(data.ndim - 1) :])

    def _augmented(self, data: Tensor, label: Tensor) -> tuple[Tensor, Any]:
        if self.transforms is None:
            return data, label
        transformed = self.transforms(image=data, segmentation=label)
        image, target = transformed["image"].float(), transformed["segmentation"]
        full = tuple(image.shape[1:])
        if self.curriculum is None or self._kept == full:
            return image, target
        return middle(image, self._kept, full), middle(target, self._kept, full)

    def patch_box(self, draw: Draw, rng: np.random.Generator, center_jitter: float | None = None) -> list[list[int]]:
        """Where to cut.

        Args:
            draw: What was drawn.
            rng: The source of chance.
            center_jitter: Another one than the loader's.

        Returns:
            [start, stop] an axis; outside the case it is padded.
        """
        spread = self.center_jitter if center_jitter is None else center_jitter
        shape = np.array(self.sampler.index[draw.case].shape)
        patch, final = np.array(self.patch_size), np.array(self.final_patch_size)
        padding = np.maximum(self.need_to_pad, patch - shape)
        lowest, highest = -(padding // 2), shape + padding // 2 + padding % 2 - patch
        if draw.voxel is None:
            start = rng.integers(lowest, highest + 1)
        else:
            kept = final.copy()
            kept[3 - len(self._kept) :] = self._kept
            spare = final - kept  # may lie outside the case, so that what is kept reaches its borders
            lowest, highest = lowest - spare // 2, highest + spare // 2 + spare % 2
            jitter = np.rint(rng.uniform(-spread, spread, 3) * kept).astype(int)
            start = np.clip(draw.voxel - patch // 2 + jitter * (final > 1), lowest, highest)
        return [[int(a), int(a + n)] for a, n in zip(start, patch, strict=True)]
