"""What a scanner adds: beam hardening, streaks, the kernel's sharpness, noise, the thickness of slices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from starter.appearance import NoiseTexture
from starter.tissues import Volume, smooth_field

DENSE_HU = 700.0  # contrast that has just been injected, before it has mixed with blood
FEWEST_DENSE_VOXELS = 20


def add_streaks(hu: Volume, amplitude_hu: float, spacing_mm: Sequence[float], rng: np.random.Generator) -> Volume:
    """Dark and bright rays from the largest dense structure, in the slices that it lies in.

    Args:
        hu: (z, y, x).
        amplitude_hu: At the structure; half of it some 20 to 40 mm away.
        spacing_mm: (z, y, x).
        rng: Draws the rays.
    """
    pieces, count = ndimage.label(hu > DENSE_HU)
    sizes = np.bincount(pieces.ravel())[1:]
    if not count or not amplitude_hu or sizes.max() < FEWEST_DENSE_VOXELS:
        return hu
    dense = pieces == int(sizes.argmax()) + 1
    out, reach_mm = hu.copy(), rng.uniform(30, 60)
    waves, phases = rng.integers(4, 16, size=3), rng.uniform(0, 2 * np.pi, size=3)
    _, sy, sx = spacing_mm
    yy, xx = np.mgrid[: hu.shape[1], : hu.shape[2]].astype(np.float32)
    for z in np.flatnonzero(dense.any(axis=(1, 2))):
        centre_y, centre_x = (float(values.mean()) for values in np.nonzero(dense[z]))
        dy, dx = (yy - centre_y) * sy, (xx - centre_x) * sx
        angle, away_mm = np.arctan2(dy, dx), np.hypot(dy, dx)
        rays = sum(np.cos(wave * angle + phase) for wave, phase in zip(waves, phases, strict=True)) / 3
        out[z] += (amplitude_hu * rays * np.exp(-away_mm / reach_mm) * ~dense[z]).astype(np.float32)
        phases = phases + rng.normal(0, 0.3, size=3)
    return out


def apply_kernel(hu: Volume, kernel_mm: float, spacing_mm: Sequence[float]) -> Volume:
    """Blur the slices, or sharpen them.

    Args:
        hu: (z, y, x).
        kernel_mm: Standard deviation of the blur; a negative value adds so much of what such a blur takes away.
        spacing_mm: (z, y, x).
    """
    sigma = [0.0, abs(kernel_mm) / spacing_mm[1], abs(kernel_mm) / spacing_mm[2]]
    blurred = ndimage.gaussian_filter(hu, sigma)
    return np.asarray(blurred if kernel_mm >= 0 else 2 * hu - blurred, dtype=np.float32)


def noise(shape: tuple[int, ...], texture: NoiseTexture, rng: np.random.Generator) -> Volume:
    """Noise of mean 0 and, over the volume, standard deviation 1, stronger in some regions than in others.

    Args:
        shape: (z, y, x).
        texture: `soft` and `sharp` as smooth and edge-enhancing kernels leave it, `striped` along x, as in the
            shoulders' slices.
        rng: Draws it.
    """
    values: npt.NDArray[np.float32] = rng.normal(size=shape).astype(np.float32)
    if texture == "soft":
        values = ndimage.gaussian_filter(values, [0.3, rng.uniform(0.6, 1.4), rng.uniform(0.6, 1.4)])
    elif texture == "sharp":
        values = values - ndimage.gaussian_filter(values, [0.0, 0.8, 0.8])
    elif texture == "striped":
        values = values + 2 * ndimage.uniform_filter1d(values, 9, axis=2)
    strength = np.exp(0.25 * smooth_field(shape, 4, rng))
    values = values * strength
    return np.asarray(values / values.std(), dtype=np.float32)


def through_slices(hu: Volume, slice_mm: float, spacing_z_mm: float, rng: np.random.Generator) -> Volume:
    """The scan as thick slices show it, laid back on its own grid.

    Args:
        hu: (z, y, x).
        slice_mm: Thickness and distance of the slices; up to the grid's own, nothing changes.
        spacing_z_mm: Of the grid.
        rng: Draws where the first slice lies.
    """
    step = slice_mm / spacing_z_mm
    if step <= 1:
        return hu
    rows, count = np.arange(len(hu)), max(2, int(np.ceil(len(hu) / step)) + 1)
    centres = (np.arange(count) - rng.uniform(0, 1)) * step
    # of each thick slice, the share of every thin one that it covers
    cover = np.clip(
        np.minimum(rows + 0.5, centres[:, None] + step / 2) - np.maximum(rows - 0.5, centres[:, None] - step / 2), 0, 1
    )
    seen = cover.sum(axis=1) > 0
    cover, centres = cover[seen], centres[seen]
    thick = np.tensordot(cover / cover.sum(axis=1, keepdims=True), hu, axes=1)
    at = np.interp(rows, centres, np.arange(len(centres)))
    below = np.minimum(at.astype(int), len(centres) - 1)
    above, share = np.minimum(below + 1, len(centres) - 1), (at - below)[:, None, None]
    return np.asarray(thick[below] * (1 - share) + thick[above] * share, dtype=np.float32)
