"""The first epochs on little: on the few cases of the highest target ratio, or on small patches that grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pe_nnunet.sampling.index import CaseEmboli


@dataclass(frozen=True)
class Curriculum:
    """How a training starts on little and grows (curriculum learning; the recipe's keys say `little_start`).

    The project that this follows speaks of "little samples" in one place and of "lightweight samples" in another: few
    cases, or small patches. Both are here.

    Attributes:
        epochs: How many epochs it lasts.
        on: Few cases, or small patches.
        cases: How many cases.
        patch_share: Edge of the first patches, as a share of the full one.
    """

    epochs: int
    on: Literal["cases", "patches"]
    cases: int
    patch_share: float

    def few_cases(self, index: Mapping[str, CaseEmboli]) -> dict[str, CaseEmboli]:
        """The cases of the highest target ratio; all of them where none has an embolus."""
        ranked = sorted(index, key=lambda case: (-index[case].target_ratio, case))
        with_emboli = [case for case in ranked if index[case].target_ratio > 0]
        return {case: index[case] for case in with_emboli[: self.cases] or ranked}

    def patch_size(self, epoch: int, full: Sequence[int], divisor: Sequence[int]) -> tuple[int, ...]:
        """The patch of an epoch: it grows evenly to the full one.

        Args:
            epoch: Counted from 0.
            full: The plans' patch size.
            divisor: Each side is a multiple of it, and twice it at least.

        Example:
            >>> start = Curriculum(4, "patches", 0, 0.5)
            >>> [start.patch_size(epoch, (64, 48), (8, 8)) for epoch in (0, 2, 4)]
            [(32, 24), (48, 32), (64, 48)]
        """
        if self.on != "patches" or epoch >= self.epochs:
            return tuple(full)
        share = self.patch_share + (1 - self.patch_share) * epoch / self.epochs
        return tuple(min(n, max(2 * d, int(n * share) // d * d)) for n, d in zip(full, divisor, strict=True))


def middle(sample: Any, size: Sequence[int], full: Sequence[int]) -> Any:
    """The middle of an image, or of a target at each scale.

    Args:
        sample: A tensor (channels, ...), or a list of such, finest first.
        size: What to keep of a tensor of the size `full`; of a coarser one the same share.
        full: Size of the finest.
    """
    if isinstance(sample, list):
        return [middle(part, size, full) for part in sample]
    for axis, (keep, whole) in enumerate(zip(size, full, strict=True), 1):
        there = sample.shape[axis]
        length = there * keep // whole
        sample = sample.narrow(axis, (there - length) // 2, length)
    return sample
