"""How much contrast each part of the circulation carries in one scan."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from pe_nnunet.phantom.settings import PhantomSettings

MUSCLE_HU = 55.0


@dataclass(frozen=True)
class Contrast:
    """Attenuation of the blood, HU, and of the noise.

    Attributes:
        artery: Right heart and pulmonary arteries.
        vein: Pulmonary veins and left heart.
        aorta: From its root to the diaphragm.
        upper_cava: Superior vena cava and the vein that the contrast came through.
        lower_cava: Inferior vena cava and azygos vein.
        poor: Whether the pulmonary arteries stay at or under 200 HU.
        ratio: Contrast to noise, (artery - muscle) / noise.
        noise: Standard deviation of the noise.
    """

    artery: float
    vein: float
    aorta: float
    upper_cava: float
    lower_cava: float
    poor: bool
    ratio: float
    noise: float

    @classmethod
    def draw(cls, rng: np.random.Generator, settings: PhantomSettings) -> Contrast:
        """A bolus and a tube current."""
        poor = bool(rng.random() < settings.poor_contrast_fraction)
        artery = float(rng.uniform(150, 200) if poor else rng.uniform(*settings.artery_hu))
        vein = artery * float(rng.uniform(0.62, 1.02))
        dense = rng.random() < settings.dense_cava_fraction
        ratio = float(rng.uniform(*settings.contrast_to_noise))
        return cls(
            artery=artery,
            vein=max(vein, 125.0),
            aorta=max(vein * float(rng.uniform(0.7, 1.0)), 110.0),
            upper_cava=float(rng.uniform(650, 1200) if dense else rng.uniform(250, 600)),
            lower_cava=float(rng.uniform(70, 140)),
            poor=poor,
            ratio=ratio,
            noise=(artery - MUSCLE_HU) / ratio,
        )

    @property
    def streaks(self) -> bool:
        """Whether the upper cava is dense enough for streaks."""
        return self.upper_cava > 650

    def to_dict(self) -> dict[str, float | bool]:
        """The levels as JSON types."""
        return {k: v if isinstance(v, bool) else round(v, 1) for k, v in asdict(self).items()}
