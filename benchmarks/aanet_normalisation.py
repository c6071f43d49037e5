"""How far AANet's input differs when HU are clipped before they are resampled, as nnU-Net does, and not after.

    .venv/bin/python benchmarks/aanet_normalisation.py

AANet's authors resample to 1 mm, then clip to -100..500 HU and scale to 0..1; under the plans of `import-model` nnU-Net
clips and scales first. At 1 mm nothing is resampled and both are the same. Measured on phantoms, in units of the input
(0.01 is 6 HU): over all voxels, over the emboli, and the share of voxels that differ by more than 0.05 (30 HU).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape, resample_data_or_seg_to_shape

from pe_nnunet.model_import.aanet_plans import TRILINEAR
from pe_nnunet.phantom import PhantomSettings, make_phantom
from pe_nnunet.planners.aanet import SPACING_MM, WINDOW_HU
from pe_nnunet.volumes import spacing_zyx

SPACINGS = ((1.0, 1.0, 1.0), (0.6, 0.7, 0.7), (1.25, 0.8, 0.8), (2.5, 0.8, 0.8))
SETTINGS = {"thorax_width_mm": (200.0, 200.0), "negative_fraction": 0.0, "min_embolus_mm3": 200.0}


def bench(*, quick: bool) -> list[dict[str, Any]]:
    """A row for each spacing."""
    rows = []
    for spacing in SPACINGS[2:3] if quick else SPACINGS:
        apart, inside = difference(spacing)
        data = f"phantom at {' x '.join(map(str, spacing))} mm (z, y, x)"
        for what, values in (("all voxels", apart), ("emboli", apart[inside])):
            mean = float(values.mean())
            rows.append({"what": f"mean difference of the input, {what}", "data": data, "unit": "", "ours": mean})
    return rows


def difference(spacing: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """By how much the input differs at each voxel, and which voxels are embolus."""
    phantom = make_phantom(PhantomSettings(spacing_mm=spacing, **SETTINGS), seed=0, index=0)  # type: ignore[arg-type]
    hu, emboli = (sitk.GetArrayFromImage(part).astype(np.float32)[None] for part in (phantom.ct, phantom.emboli))
    first = _resampled(_scaled(hu), spacing_zyx(phantom.ct))
    last = _scaled(_resampled(hu, spacing_zyx(phantom.ct)))
    return np.abs(first - last), _resampled((emboli > 0).astype(np.float32), spacing_zyx(phantom.ct)) > 0.5


def main() -> None:
    """Measure and print one row a spacing."""
    print("| spacing (z, y, x), mm | all voxels: mean | 99.9 % | largest | emboli: mean | over 0.05 |")
    print("| --- | --- | --- | --- | --- | --- |")
    for spacing in SPACINGS:
        apart, inside = difference(spacing)
        high = np.quantile(apart, 0.999)
        print(
            f"| {' x '.join(map(str, spacing))} | {apart.mean():.4f} | {high:.3f} | {apart.max():.3f} | "
            f"{apart[inside].mean():.4f} | {100 * (apart > 0.05).mean():.2f} % |",
            flush=True,
        )


def _scaled(hu: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    low, high = WINDOW_HU
    return (hu.clip(low, high) - low) / (high - low)


def _resampled(volume: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:  # type: ignore[type-arg]
    shape = compute_new_shape(volume.shape[1:], spacing, SPACING_MM)
    resampled: np.ndarray = resample_data_or_seg_to_shape(  # type: ignore[type-arg]
        volume, shape, spacing, SPACING_MM, is_seg=False, **TRILINEAR
    )
    return resampled


if __name__ == "__main__":
    main()
