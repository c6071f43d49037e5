"""One phantom scan, from a seed to images: structures painted from the outside in, then blur, noise, whole numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage as ndi

from pe_nnunet.phantom.artery_anatomy import ArteryAnatomy
from pe_nnunet.phantom.grid import Floats, Grid, block_mean
from pe_nnunet.phantom.paint_blood import paint_streaks, paint_vessels
from pe_nnunet.phantom.paint_body import paint_belly, paint_body_wall, paint_bones, paint_mediastinum, paint_table
from pe_nnunet.phantom.paint_chest import (
    lung_distance,
    paint_bronchi,
    paint_findings,
    paint_great_vessels,
    paint_heart,
    paint_lungs,
)
from pe_nnunet.phantom.scene import Scene, compose, stream
from pe_nnunet.phantom.settings import PhantomSettings
from pe_nnunet.phantom.slab import Slab, Textures


@dataclass(frozen=True)
class Phantom:
    """A scan with its truth; all images lie on one grid in LPS.

    Attributes:
        ct: Hounsfield units, int16.
        emboli: Ids of the emboli from 1, uint16; each is one 26-connected component.
        artery: Lumen of the pulmonary arteries, clot included, 0 or 1.
        vein: Lumen of the pulmonary veins outside the heart, 0 or 1.
        lung: Both lungs with the vessels and bronchi in them, 0 or 1.
        facts: How the scan was made: contrast, noise, emboli, look-alikes, in JSON types.
    """

    ct: sitk.Image
    emboli: sitk.Image
    artery: sitk.Image
    vein: sitk.Image
    lung: sitk.Image
    facts: dict[str, Any]


def make_phantom(settings: PhantomSettings, seed: int, index: int) -> Phantom:
    """Make the scan of a case; the same arguments give the same voxels, whatever other cases are made.

    Args:
        settings: What the cohort is like.
        seed: The cohort's seed.
        index: The case's number from 0.

    Returns:
        The scan and its truth. A voxel belongs to a structure if at least half of it does; emboli belong to arteries.
    """
    scene = compose(settings, seed, index)
    grid = _scan_grid(scene)
    hu = block_mean(paint(scene, stream(seed, index, "tissue")), scene.factors)
    hu = blur(hu, grid.spacing_mm)
    ct = expose(hu, grid.spacing_mm, scene.contrast.noise, stream(seed, index, "noise"))
    emboli = scene.clot.ids
    artery = artery_mask(scene)
    outside_heart = scene.thorax.left_atrium(scene.grid.axes()) > 0
    vein = _mask((scene.vein.distance < 0) & outside_heart, scene) & ~artery
    box = (slice(0, scene.grid.shape[0]), slice(0, scene.grid.shape[1]), slice(0, scene.grid.shape[2]))
    lung = _mask(lung_distance(scene, box) < 0, scene)
    return Phantom(
        ct=grid.image(ct),
        emboli=grid.image(emboli),
        artery=grid.image(artery.astype(np.uint8)),
        vein=grid.image(vein.astype(np.uint8)),
        lung=grid.image(lung.astype(np.uint8)),
        facts=_facts(scene, seed, index),
    )


def artery_mask(scene: Scene) -> NDArray[np.bool_]:
    """The lumen of the arteries, clot included, on the scan's grid (z, y, x)."""
    return _mask(scene.artery.distance < 0, scene) | (scene.clot.ids > 0)


def _scan_grid(scene: Scene) -> Grid:
    return Grid.covering(*scene.thorax.extent_mm(), scene.settings.spacing_mm)


def _mask(inside: NDArray[np.bool_], scene: Scene) -> NDArray[np.bool_]:
    return inside if scene.factors == (1, 1, 1) else block_mean(inside, scene.factors) >= 0.5


def _facts(scene: Scene, seed: int, index: int) -> dict[str, Any]:
    anatomy = ArteryAnatomy.of(scene.trees.arteries)
    lookalikes = [finding.to_dict() for finding in scene.lookalikes]
    if scene.contrast.streaks:
        lookalikes.append({"kind": "caval streak"})
    return {
        "seed": seed,
        "index": index,
        "negative": not scene.clot.emboli,
        "thorax_width_mm": round(340 * scene.thorax.scale, 1),
        "contrast": scene.contrast.to_dict(),
        "emboli": [{**e.to_dict(k), **anatomy.place_of(e)} for k, e in enumerate(scene.clot.emboli, 1)],
        "lookalikes": lookalikes,
    }


SLAB = 16  # slices painted at a time: the temporary arrays stay in the processor's cache

LAYERS = (
    paint_table,
    paint_body_wall,
    paint_belly,
    paint_mediastinum,
    paint_bones,
    paint_heart,
    paint_lungs,
    paint_great_vessels,
    paint_bronchi,
    paint_findings,
    paint_vessels,
    paint_streaks,
)
"""In painting order: what comes later lies over what came before."""


def paint(scene: Scene, rng: np.random.Generator) -> Floats:
    """Hounsfield units on the rendering grid, before blur and noise."""
    textures = Textures(rng, scene)
    slices, rows, columns = scene.grid.shape
    hu = np.empty(scene.grid.shape, np.float32)
    for start in range(0, slices, SLAB):
        box = (slice(start, min(start + SLAB, slices)), slice(0, rows), slice(0, columns))
        slab = Slab(scene, textures, box)
        for layer in LAYERS:
            layer(slab)
        hu[box[0]] = slab.hu
    return hu


BLUR_MM = (0.45, 0.65, 0.65)
"""Standard deviation of the point spread (z, y, x), of a smooth vascular kernel, beside what the voxels smear."""
GRAIN_MM = (0.3, 0.7, 0.7)
"""Smoothness of the noise."""
LOWEST_HU, HIGHEST_HU = -1024, 3071


def blur(hu: Floats, spacing_mm: tuple[float, float, float]) -> Floats:
    """Smear by the scanner's point spread."""
    sigma = [b / s if b / s > 0.2 else 0 for b, s in zip(BLUR_MM, spacing_mm, strict=True)]
    return np.asarray(ndi.gaussian_filter(hu, sigma, mode="nearest", truncate=3.0), dtype=np.float32)


def expose(
    hu: Floats, spacing_mm: tuple[float, float, float], noise_hu: float, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Add noise of a standard deviation and grain, and store as scanners do: whole HU from -1024 to 3071."""
    noise = rng.standard_normal(hu.shape, dtype=np.float32)
    sigma = [g / s if g / s > 0.2 else 0 for g, s in zip(GRAIN_MM, spacing_mm, strict=True)]
    noise = ndi.gaussian_filter(noise, sigma, mode="wrap", truncate=3.0)
    noise *= np.float32(noise_hu / float(noise.std(dtype=np.float64)))
    noise += hu
    return np.asarray(np.clip(np.rint(noise), LOWEST_HU, HIGHEST_HU), dtype=np.int16)
