"""New intensities for the tissues of a rendered scan; where tissues share a voxel, so do their changes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from starter.appearance import Appearance

Volume = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

EDGE_VOXELS = 0.5  # standard deviation of the blur with which the renderings were sampled, about
MIN_GAP_HU = 40.0  # between an embolus and the blood around it
DARKEST_EMBOLUS_HU = -20.0
LUNG_HU = -850.0
AROUND_VOXELS = 2
EIGHT_OF_TEN = 80


def smooth_field(shape: tuple[int, ...], nodes: int, rng: np.random.Generator) -> Volume:
    """A smooth random field of mean 0 and standard deviation 1.

    Args:
        shape: (z, y, x).
        nodes: Random values an axis, between which it is interpolated.
        rng: Draws them.
    """
    field: Volume = rng.normal(size=(nodes,) * len(shape)).astype(np.float32)
    for size in shape:  # the first axis is blended and goes to the end, so all have had their turn in order
        field = np.tensordot(field, _blend(size, nodes), axes=(0, 1))
    field -= field.mean()
    spread = float(field.std())
    return np.asarray(field / spread if spread > 0 else field, dtype=np.float32)


def _blend(size: int, nodes: int) -> Volume:
    """How much of each node's value goes into each voxel of an axis: (size, nodes), rows of sum 1."""
    away = np.linspace(0, nodes - 1, size)[:, None] - np.arange(nodes)
    share = np.exp(-(away**2) / 0.7)
    return np.asarray(share / share.sum(axis=1, keepdims=True), dtype=np.float32)


def repaint(
    hu: Volume, masks: Mapping[str, npt.NDArray[np.integer]], look: Appearance, rng: np.random.Generator
) -> Volume:
    """A scan with other intensities of arteries, veins, emboli, lungs and the rest.

    Every voxel gets the change of its tissue; the changes are blurred as the edges of tissues are, so that a voxel that
    is half vessel and half lung gets half of either.

    Args:
        hu: (z, y, x), HU, z upwards and y to the back.
        masks: On the same grid: `emboli` with an id each, `artery` with the emboli in it, `vein`, `lung`.
        look: What they become.
        rng: Draws what varies within the scan.
    """
    emboli = masks["emboli"]
    lung, vein = masks["lung"] > 0, masks["vein"] > 0
    blood = (masks["artery"] > 0) & (emboli == 0)
    change = _rest(hu, look) - hu
    back = np.linspace(-0.5, 0.5, hu.shape[1], dtype=np.float32)[None, :, None] * look.lung_gradient_hu
    if lung.any():
        change[lung] = (look.lung_hu - np.median(hu[lung]) + np.broadcast_to(back, hu.shape)[lung]).astype(np.float32)
        change[lung] += (look.texture_share - 1) * np.clip(hu[lung] - np.median(hu[lung]), -60, 60)
    mixing = 1 + look.mixing * smooth_field(hu.shape, 8, rng)
    for lumen, level in ((vein, look.artery_hu * look.vein_share), (blood, look.artery_hu)):
        if lumen.any():
            old = float(np.median(hu[lumen]))
            local = np.clip(hu[lumen] - old, -0.4 * abs(old), 0.4 * abs(old))  # contrast that is badly mixed
            change[lumen] = level * mixing[lumen] - old + (level / max(old, 50.0) - 1) * local
    for number, where in enumerate(ndimage.find_objects(emboli), 1):
        if where is not None:
            _paint_embolus(hu, change, emboli, blood, number, where, look.embolus_hu + rng.normal(0, 12))
    return np.asarray(hu + ndimage.gaussian_filter(change, EDGE_VOXELS), dtype=np.float32)


def _rest(hu: Volume, look: Appearance) -> Volume:
    """Everything that has no mask, by a rising curve over its HU."""
    knots = [-1000.0, -500.0, -100.0, 45.0, 130.0]
    become = [-1000.0, -500.0, look.fat_hu, look.soft_hu, look.soft_hu + 60.0]
    above = np.clip(hu - knots[-1], 0, None) * look.dense_share
    return (np.interp(hu, knots, become) + above).astype(np.float32)


def _paint_embolus(
    hu: Volume,
    change: Volume,
    emboli: npt.NDArray[np.integer],
    blood: Mask,
    number: int,
    where: tuple[slice, ...],
    level: float,
) -> None:
    """Write the change of one embolus; it stays darker than the blood around it."""
    near = tuple(slice(max(0, s.start - AROUND_VOXELS), s.stop + AROUND_VOXELS) for s in where)
    clot = emboli[near] == number
    around = ndimage.binary_dilation(clot, iterations=AROUND_VOXELS) & blood[near]
    if around.any():
        of_blood = float(np.percentile((hu[near] + change[near])[around], EIGHT_OF_TEN))
        level = min(level, of_blood - MIN_GAP_HU)
    level = max(level, DARKEST_EMBOLUS_HU)
    old = hu[near][clot]
    lumen = float(np.median(old))  # of the embolus before, or of the blood that it takes the place of
    share = np.clip((old - LUNG_HU) / max(lumen - LUNG_HU, 1.0), 0, 1)  # the rest of a voxel is lung, and stays
    change[near][clot] = (level - lumen) * share
