"""Shapes of emboli that training can put elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from pe_nnunet.sampling.index import CaseEmboli
from pe_nnunet.voxels import label_components

MAX_EMBOLI = 256  # shapes kept
CLOT_HU = (20.0, 100.0)  # acute and older clot; what partial volume makes of small emboli lies outside
USUAL_CLOT_HU = 60.0
INNER_VOXELS = 8  # from which the inside of an embolus tells its attenuation


@dataclass(frozen=True)
class HuScale:
    """nnU-Net's CT normalisation: value = (HU - mean) / std, after HU were clipped at `highest`."""

    mean: float
    std: float
    highest: float

    def to_hu(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Hounsfield units of normalised values."""
        return np.asarray(values * self.std + self.mean, np.float32)


BankEmbolus = tuple[NDArray[np.bool_], float]
"""An embolus by itself: its mask (z, y, x) in its box, and the attenuation of its inside in HU."""


def make_bank(
    dataset: Any,
    index: Mapping[str, CaseEmboli],
    pe_values: Sequence[int],
    scale: HuScale,
    min_voxels: float,
    seed: int = 0,
) -> list[BankEmbolus]:
    """Cut emboli out of the cases that training sees.

    Args:
        dataset: An nnU-Net dataset.
        index: Its emboli.
        pe_values: Label values that mean PE.
        scale: How images were normalised.
        min_voxels: Smaller emboli are left out.
        seed: Chooses them where there are more than are kept.

    Returns:
        At most `MAX_EMBOLI` emboli. Those too small to tell their attenuation get the median of the others.
    """
    known = [(case, k) for case in sorted(index) for k in range(len(index[case]))]
    known = [(case, k) for case, k in known if index[case].voxel_counts[k] >= min_voxels]
    if len(known) > MAX_EMBOLI:
        chosen = np.random.default_rng(seed).choice(len(known), MAX_EMBOLI, replace=False)
        known = [known[k] for k in sorted(chosen)]
    cut = [_cut(dataset, case, index[case], k, pe_values, scale) for case, k in known]
    told = [hu for _, hu in cut if hu is not None]
    usual = float(np.median(told)) if told else USUAL_CLOT_HU
    return [(mask, float(np.clip(usual if hu is None else hu, *CLOT_HU))) for mask, hu in cut]


def _cut(
    dataset: Any, case: str, emboli: CaseEmboli, k: int, pe_values: Sequence[int], scale: HuScale
) -> tuple[NDArray[np.bool_], float | None]:
    """One embolus, or the part of its box that hangs together with one voxel of it, and its attenuation."""
    image, label, _, _ = dataset.load_case(case)
    box = tuple(slice(int(low), int(high)) for low, high in emboli.boxes[k].T)
    where = (0, *box)
    pe = np.isin(label[where], pe_values)
    components, _ = label_components(pe)
    mask = np.asarray(components == components[tuple(emboli.points[k][0] - emboli.boxes[k, 0])], bool)
    inside = binary_erosion(mask)
    if inside.sum() < INNER_VOXELS:
        return mask, None
    return mask, float(np.median(scale.to_hu(np.asarray(image[where])[inside])))
