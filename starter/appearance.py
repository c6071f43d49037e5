"""What a scan looks like: every value that is drawn for one variant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

NoiseTexture = Literal["white", "soft", "sharp", "striped"]
TEXTURES: tuple[NoiseTexture, ...] = ("white", "soft", "sharp", "striped")


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """One appearance.

    Attributes:
        artery_hu: Of blood in the pulmonary arteries.
        mixing: Standard deviation of contrast along the vessels, as a share of it.
        vein_share: Contrast of veins over that of arteries, by the time after the injection; low is early.
        embolus_hu: Of emboli, on average; each has its own.
        lung_hu: Of aerated lung.
        lung_gradient_hu: How much denser the lung is at the back than in front.
        fat_hu: Of fat.
        soft_hu: Of soft tissue without contrast.
        dense_share: Contrast of everything else that is brighter: bone, aorta, caval vein; over what it was.
        texture_share: How much of the rendering's own texture within a tissue stays.
        bias_hu: Standard deviation of a smooth field, as beam hardening and scatter leave it.
        streak_hu: Amplitude of streaks at dense contrast.
        kernel_mm: Standard deviation of a blur in the plane; a negative value sharpens.
        noise_hu: Standard deviation of noise.
        noise_texture: How noise is spread over frequencies.
        slice_mm: Thickness of the slices that the scan is seen through; 0 leaves it.
        mirrored: Left and right are exchanged.
        emboli: That are added to those that are there.
    """

    artery_hu: float
    mixing: float
    vein_share: float
    embolus_hu: float
    lung_hu: float
    lung_gradient_hu: float
    fat_hu: float
    soft_hu: float
    dense_share: float
    texture_share: float
    bias_hu: float
    streak_hu: float
    kernel_mm: float
    noise_hu: float
    noise_texture: NoiseTexture
    slice_mm: float
    mirrored: bool
    emboli: int


def draw_appearance(rng: np.random.Generator) -> Appearance:
    """Draw an appearance, much wider than scanners and protocols are: what is learnt must not hang on one of them.

    Left and right alone are ever exchanged: a mirrored chest exists (situs inversus), one upside down or back to front
    does not.

    Source: the idea is SynthSeg's (Billot et al., Medical Image Analysis 86, 2023): labels stay, appearances are drawn.
        Ours starts from rendered scans, so that what labels lack (bronchi, nodes, bones) stays visible.
    """
    early = rng.random() < 0.2  # veins as dark as clot, beside bright arteries
    return Appearance(
        artery_hu=rng.uniform(150, 600),
        mixing=rng.uniform(0, 0.12),
        vein_share=rng.uniform(0.15, 0.45) if early else rng.uniform(0.45, 1.1),
        embolus_hu=rng.uniform(25, 95),
        lung_hu=rng.uniform(-920, -740),
        lung_gradient_hu=rng.uniform(0, 130),
        fat_hu=rng.uniform(-130, -70),
        soft_hu=rng.uniform(20, 75),
        dense_share=rng.uniform(0.6, 1.5),
        texture_share=rng.uniform(0.4, 1.1),
        bias_hu=rng.uniform(0, 18),
        streak_hu=rng.uniform(20, 130) if rng.random() < 0.6 else 0.0,
        kernel_mm=rng.uniform(-1.0, 1.0),
        noise_hu=float(np.exp(rng.uniform(np.log(4), np.log(60)))),
        noise_texture=TEXTURES[rng.integers(len(TEXTURES))],
        slice_mm=rng.uniform(2.5, 5.0) if rng.random() < 0.25 else 0.0,
        mirrored=bool(rng.random() < 0.25),
        emboli=int(rng.integers(4, 14)) if rng.random() < 0.9 else 0,
    )
