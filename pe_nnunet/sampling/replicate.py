"""Emboli put into further stretches of artery: synthesis for patches that hold little of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, label
from torch import Tensor

from pe_nnunet.sampling.bank import BankEmbolus, HuScale
from pe_nnunet.sampling.lumen import artery_lumen, branch_lumen, clot_change

SHAPES_TRIED = 4  # emboli, for each that is to be placed: not every one fits into every branch
TRIES = 16  # of an embolus, each at another place and turned another way
INSIDE = 0.65  # share of an embolus that must lie in the lumen; the rest is cut off by the wall
GOOD_ENOUGH = 0.85


@dataclass(frozen=True)
class Replication:
    """When and how emboli are replicated.

    Attributes:
        probability: How often, among patches of low target ratio.
        below_ratio: PE voxels over voxels of a patch that is low.
        max_emboli: Emboli that one patch gets at most.
        bright_hu: Opacified vessels lie above.
        spacing_mm: Of the patches.
    """

    probability: float
    below_ratio: float
    max_emboli: int
    bright_hu: float
    spacing_mm: Sequence[float]


class ReplicateTargets(BasicTransform):  # type: ignore[misc] # batchgeneratorsv2 publishes no types
    """Puts emboli of a bank, in their own size, into bright artery lumen of patches that hold PE, and little of it.

    Where the patch comes with an artery mask, a data entry `artery`, or its label tells arteries, they go into
    arteries; else along the branches that hold an embolus. `replicate` is the same without chance of its own.

    Args:
        bank: Emboli.
        scale: How images were normalised.
        settings: When and how.
        pe_values: Label values that mean PE; the first is written.
        artery_values: Label values that lie in arteries, PE included; empty where labels do not tell arteries.
    """

    def __init__(
        self,
        bank: Sequence[BankEmbolus],
        scale: HuScale,
        settings: Replication,
        pe_values: Sequence[int],
        artery_values: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.bank = bank
        self.scale = scale
        self.settings = settings
        self.pe_values = pe_values
        self.artery_values = artery_values

    def get_parameters(self, **data_dict: Any) -> dict[str, Any]:
        """What is added to the image, and where the label becomes PE; empty where nothing is done.

        Args:
            **data_dict: `image` (channels, ...), `segmentation` (1, ...), and `artery` (...) where it is known.
        """
        values = data_dict["segmentation"][0].numpy()
        pe = np.isin(values, self.pe_values)
        ratio = float(pe.mean())
        if not self.bank or not 0 < ratio < self.settings.below_ratio:
            return {}
        rng = np.random.default_rng(np.random.randint(2**31))  # noqa: NPY002 - the source that loaders seed
        if rng.random() >= self.settings.probability:
            return {}
        artery = data_dict.get("artery")
        if self.artery_values:
            artery = np.isin(values, self.artery_values)
        hu = self.scale.to_hu(data_dict["image"][0].numpy())
        change, placed = replicate(hu, pe, artery, self.bank, self.settings, self.scale.highest, rng, values >= 0)
        return {"change": torch.from_numpy(change / self.scale.std), "placed": torch.from_numpy(placed)}

    def apply(self, data_dict: dict[str, Any], **params: Any) -> dict[str, Any]:
        """The changed patch, without its artery mask."""
        changed: dict[str, Any] = super().apply(data_dict, **params) if params else dict(data_dict)
        changed.pop("artery", None)
        return changed

    def _apply_to_image(self, img: Tensor, **params: Any) -> Tensor:
        changed = img.clone()
        changed[0] += params["change"]
        return changed

    def _apply_to_segmentation(self, segmentation: Tensor, **params: Any) -> Tensor:
        changed = segmentation.clone()
        changed[0][params["placed"]] = self.pe_values[0]
        return changed


def replicate(
    hu: NDArray[np.float32],
    pe: NDArray[np.bool_],
    artery: NDArray[np.bool_] | None,
    bank: Sequence[BankEmbolus],
    settings: Replication,
    highest_hu: float,
    rng: np.random.Generator,
    valid: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Place up to `max_emboli` emboli, as long as the target ratio stays below its limit.

    Args:
        hu: (z, y, x) or (y, x) Hounsfield units.
        pe: Emboli that are there.
        artery: Arteries, clot included; None where they are not known.
        bank: What is placed; in 2D the largest slice of it.
        settings: How many and where.
        highest_hu: Where the image was clipped.
        rng: The only source of chance.
        valid: Where the patch holds image and not padding.

    Returns:
        The change in HU, and the voxels that are PE now.
    """
    change, placed = np.zeros(hu.shape, np.float32), np.zeros(hu.shape, bool)
    if artery is not None:
        free = artery_lumen(hu, np.asarray(artery, bool), pe, settings.bright_hu)
    else:
        free = branch_lumen(hu, pe, settings.bright_hu, settings.spacing_mm, valid, highest_hu=highest_hu)
    wanted = int(rng.integers(1, settings.max_emboli + 1))
    for _ in range(SHAPES_TRIED * wanted if free.any() else 0):
        mask, embolus_hu = bank[int(rng.integers(len(bank)))]
        here = fit(_flat(mask) if hu.ndim == 2 else mask, free, settings.spacing_mm, rng)
        if here is None or (pe | placed | here).mean() >= settings.below_ratio:
            continue
        change += clot_change(hu, here, embolus_hu, highest_hu, rng)
        placed |= here
        free &= ~binary_dilation(here, np.ones((3,) * hu.ndim), iterations=2)  # no two side by side
        wanted -= 1
        if not wanted:
            break
    return change, placed


def fit(
    mask: NDArray[np.bool_], lumen: NDArray[np.bool_], spacing_mm: Sequence[float], rng: np.random.Generator
) -> NDArray[np.bool_] | None:
    """Find a place and a direction for an embolus.

    Args:
        mask: The embolus in its box.
        lumen: Where it may lie.
        spacing_mm: Axes of equal spacing may be exchanged.
        rng: The source of chance.

    Returns:
        Its voxels, all in the lumen and in one piece; None where too little of it fits anywhere that was tried.
    """
    places = np.argwhere(lumen)
    best, best_share = None, INSIDE
    for _ in range(TRIES if len(places) >= INSIDE * mask.sum() else 0):
        turned = _turned(mask, spacing_mm, rng)
        centre = np.argwhere(turned).mean(axis=0).round().astype(int)
        start = places[rng.integers(len(places))] - centre
        if (start < 0).any() or (start + turned.shape > lumen.shape).any():
            continue
        box = tuple(slice(a, a + n) for a, n in zip(start, turned.shape, strict=True))
        pieces, _ = label(turned & lumen[box], np.ones((3,) * mask.ndim))
        sizes = np.bincount(pieces.reshape(-1))[1:]
        share = sizes.max(initial=0) / turned.sum()
        if share > best_share:
            best, best_share = (box, pieces == sizes.argmax() + 1), share
        if share >= GOOD_ENOUGH:
            break
    if best is None:
        return None
    here = np.zeros(lumen.shape, bool)
    here[best[0]] = best[1]
    return here


def _turned(mask: NDArray[np.bool_], spacing_mm: Sequence[float], rng: np.random.Generator) -> NDArray[np.bool_]:
    """The mask mirrored and with axes exchanged, without resampling."""
    order = np.arange(mask.ndim)
    for spacing in set(spacing_mm):
        same = np.flatnonzero(np.isclose(spacing_mm, spacing, rtol=0.05))
        order[same] = order[rng.permutation(same)]
    flips = tuple(np.flatnonzero(rng.random(mask.ndim) < 0.5).tolist())
    return np.flip(mask.transpose(order), flips)


def _flat(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The slice that holds most of it."""
    return np.asarray(mask[mask.sum(axis=(1, 2)).argmax()])
