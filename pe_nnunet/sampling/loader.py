"""nnU-Net's data loader, drawing patches by embolus."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from pe_nnunet.sampling.batch_seeds import BatchSeeds, seeded
from pe_nnunet.sampling.draw import Draw, PatchSampler


class EmbolusDataLoader(nnUNetDataLoader):  # type: ignore[misc] # nnU-Net publishes no types
    """Draws with a `PatchSampler`, reads only the patch, augments it.

    Chance follows from `seeds` (a `BatchSeeds`, to be set before the first batch) and the number of batches made.

    Args:
        sampler: What is drawn.
        center_jitter: How far the patch's centre may lie from the drawn voxel, as a share of the final patch.
        *args: As `nnUNetDataLoader`.
        **kwargs: As `nnUNetDataLoader`.
    """

    def __init__(self, *args: Any, sampler: PatchSampler, center_jitter: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sampler = sampler
        self.center_jitter = center_jitter
        self.seeds = BatchSeeds()
        self._made = 0

    def generate_train_batch(self) -> dict[str, Any]:
        """A batch.

        Returns:
            `data` (batch, channels, ...) float32; `target` on the same grid (under deep supervision a list, finest
            first); `keys`, the cases; `kinds`, why each patch was drawn.
        """
        seed = self.seeds.of(self._made, self.thread_id)
        self._made += 1
        with torch.no_grad(), threadpool_limits(limits=1, user_api=None), seeded(seed) as rng:
            draws = [self.sampler.draw(rng) for _ in range(self.batch_size)]
            samples = [self._cut_and_augment(draw, rng) for draw in draws]
        images, targets = zip(*samples, strict=True)
        return {
            "data": torch.stack(images),
            "target": [torch.stack(scale) for scale in zip(*targets, strict=True)]
            if isinstance(targets[0], list)
            else torch.stack(targets),
            "keys": [draw.case for draw in draws],
            "kinds": [draw.kind for draw in draws],
        }

    def _cut_and_augment(self, draw: Draw, rng: np.random.Generator) -> tuple[Tensor, Any]:
        image, label, _, _ = self._data.load_case(draw.case)
        box = self.patch_box(np.array(image.shape[1:]), draw, rng)
        data = torch.from_numpy(crop_and_pad_nd(image, box, 0)).float()
        target = torch.from_numpy(crop_and_pad_nd(label, box, -1, cast_cropped_to=np.int16))
        if self.patch_size_was_2d:
            data, target = data[:, 0], target[:, 0]
        if self.transforms is None:
            return data, target
        transformed = self.transforms(image=data, segmentation=target)
        return transformed["image"].float(), transformed["segmentation"]

    def patch_box(self, shape: NDArray[np.int64], draw: Draw, rng: np.random.Generator) -> list[list[int]]:
        """Where to cut.

        Args:
            shape: (z, y, x) of the case in voxels.
            draw: What was drawn.
            rng: The source of chance.

        Returns:
            [start, stop] an axis; outside the case it is padded.
        """
        patch, final = np.array(self.patch_size), np.array(self.final_patch_size)
        padding = np.maximum(self.need_to_pad, patch - shape)
        lowest, highest = -(padding // 2), shape + padding // 2 + padding % 2 - patch
        if draw.voxel is None:
            start = rng.integers(lowest, highest + 1)
        else:
            jitter = np.rint(rng.uniform(-self.center_jitter, self.center_jitter, 3) * final).astype(int)
            start = np.clip(draw.voxel - patch // 2 + jitter * (final > 1), lowest, highest)
        return [[int(a), int(a + n)] for a, n in zip(start, patch, strict=True)]
