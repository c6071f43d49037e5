"""Further emboli in the arteries of a rendered scan, so that its variants differ in more than their looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pe_nnunet.voxels import Box, label_components

Mask = npt.NDArray[np.bool_]
Ids = npt.NDArray[np.integer]

QUANTILES = (0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1)
VOLUMES_MM3 = (8, 48, 142, 338, 1127, 5513, 18271, 27632, 46271)
"""Volumes of the emboli of FUMPE's patients (Masoudi et al., Scientific Data 5, 2018) at those quantiles."""

TOWARDS_SMALL = 1.5
"""Power of the quantile that is drawn: small emboli, which are hardest to find, come up more often than in patients."""

RADII_LONG = (0.4, 10.0)  # length of an embolus, in radii of its artery: short ones are small for it
OFF_CENTRE = 0.8  # an embolus begins up to this share of the radius beside the middle line
CALIBRE_SPREAD = 0.35  # of the logarithm of the radius, around the one that volume and length ask for
RIM = 0.35  # a central embolus lies deeper in the lumen than this share of the radius
GAP_VOXELS = 2  # between two emboli
FEWEST_VOXELS = 2
NEIGHBOURS = np.ones((3, 3, 3), bool)
FORMS = ("filling", "central", "eccentric")


def add_emboli(masks: Mapping[str, Ids], spacing_mm: Sequence[float], wanted: int, rng: np.random.Generator) -> Ids:
    """Emboli of the volumes that patients have, from plugs of thin arteries to small ones in wide arteries.

    Some fill the lumen, some leave a rim of contrast, some lie on one side of the wall. One that finds no room is left
    out.

    Args:
        masks: `emboli` with an id each, `artery` with the emboli in it, on one grid (z, y, x).
        spacing_mm: (z, y, x).
        wanted: How many.
        rng: Draws volumes, places and forms.

    Returns:
        `emboli` with the new ones under further ids.
    """
    emboli = np.array(masks["emboli"], dtype=np.uint16)
    artery = masks["artery"] > 0
    if not wanted or not artery.any():
        return emboli
    radius_mm = ndimage.distance_transform_edt(artery, sampling=spacing_mm).astype(np.float32)
    voxel_mm3 = float(np.prod(spacing_mm))
    free = artery & ~ndimage.binary_dilation(emboli > 0, NEIGHBOURS, iterations=GAP_VOXELS)
    for _ in range(wanted):
        quantile = rng.random() ** TOWARDS_SMALL
        volume_mm3 = float(np.exp(np.interp(quantile, QUANTILES, np.log(VOLUMES_MM3))))
        seed = _place(free, radius_mm, spacing_mm, volume_mm3, rng)
        if seed is None:
            break
        z, y, x = seed
        reach = int(4 + 5 * (volume_mm3 / voxel_mm3) ** (1 / 3))
        around = Box(seed, (z + 1, y + 1, x + 1)).padded([reach] * 3, emboli.shape)
        box, inner = around.slices, tuple(at - start for at, start in zip(seed, around.start, strict=True))
        clot = _grow(free[box], radius_mm[box], inner, volume_mm3 / voxel_mm3, rng)
        if clot.sum() >= FEWEST_VOXELS:
            emboli[box][clot] = emboli.max() + 1
            free[box] &= ~ndimage.binary_dilation(clot, NEIGHBOURS, iterations=GAP_VOXELS)
    return emboli


def _place(
    free: Mask,
    radius_mm: npt.NDArray[np.float32],
    spacing_mm: Sequence[float],
    volume_mm3: float,
    rng: np.random.Generator,
) -> tuple[int, int, int] | None:
    """A voxel at or beside a middle line of an artery; those of the calibre that the volume asks for are likelier."""
    middle = free & (radius_mm >= ndimage.maximum_filter(radius_mm, 3))
    places = np.argwhere(middle)
    if not len(places):
        return None
    length = float(np.exp(rng.uniform(*np.log(RADII_LONG))))
    asked_mm = (volume_mm3 / (np.pi * length)) ** (1 / 3)
    at = radius_mm[middle]
    asked_mm = float(np.clip(asked_mm, at.min(), at.max()))
    weight = np.exp(-0.5 * (np.log(at / asked_mm) / CALIBRE_SPREAD) ** 2) / at**2  # wide arteries have more voxels
    place = places[rng.choice(len(places), p=weight / weight.sum())]
    direction = rng.normal(size=3)
    reach_mm = rng.uniform(0, OFF_CENTRE) * radius_mm[tuple(place)]
    beside = place + np.rint(direction / np.linalg.norm(direction) * reach_mm / spacing_mm).astype(int)
    inside = ((beside >= 0) & (beside < free.shape)).all() and free[tuple(beside)]
    z, y, x = (beside if inside else place).tolist()
    return z, y, x


def _grow(
    free: Mask, radius_mm: npt.NDArray[np.float32], seed: tuple[int, ...], voxels: float, rng: np.random.Generator
) -> Mask:
    """The lumen nearest to the seed along the artery, up to so many voxels, in one of the forms."""
    form, room = FORMS[rng.integers(len(FORMS))], free
    if form == "central":
        room = free & (radius_mm > RIM * radius_mm[seed])
    elif form == "eccentric":
        voxels *= 2
    clot = np.zeros(room.shape, bool)
    clot[seed] = True
    filled = 1
    while filled < voxels:
        clot = ndimage.binary_dilation(clot, mask=room)
        if (count := int(clot.sum())) == filled:
            break
        filled = count
    if form == "eccentric":
        away = np.moveaxis(np.indices(clot.shape), 0, -1) - seed
        side: Mask = away @ rng.normal(size=3) >= 0
        clot &= side
    pieces, _ = label_components(clot)
    return np.asarray(pieces == pieces[seed])
