"""The masks of the raw dataset on the preprocessed grid: whose voxel a PE voxel is, and where the arteries are.

Preprocessing knows one PE label. Which voxel of it belongs to which embolus is carried over from
`pe_nnunet/instances/` of the raw dataset through the same steps, transpose, crop and resampling: the preprocessed label
decides which voxels are PE, the nearest voxel of the source decides whose they are, so that ids and label never
contradict each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree


@dataclass(frozen=True)
class RawMasks:
    """Where the masks of a converted dataset lie, and how nnU-Net reads them.

    Attributes:
        folder: The raw dataset.
        reader: nnU-Net's reader of the plans.
        transpose_forward: Order of the axes in preprocessed data.
    """

    folder: Path
    reader: Any
    transpose_forward: Sequence[int]

    def path(self, kind: str, case: str) -> Path:
        """Where a mask of a case would be; `kind` is `"instances"` or `"arteries"`."""
        return self.folder / "pe_nnunet" / kind / f"{case}.nii.gz"

    def stamp(self, case: str) -> str:
        """The state of both files as text, empty where there are none."""
        paths = [self.path(kind, case) for kind in ("instances", "arteries")]
        facts = [(p.parent.name, p.stat().st_size, p.stat().st_mtime_ns) for p in paths if p.is_file()]
        return repr(facts) if facts else ""

    def read(self, kind: str, case: str, properties: dict[str, Any]) -> NDArray[Any] | None:
        """A mask transposed and cropped as the case was; None where there is none or it has another shape."""
        path = self.path(kind, case)
        if not path.is_file():
            return None
        mask = self.reader.read_seg(str(path))[0][0].transpose(self.transpose_forward)
        if mask.shape != tuple(properties["shape_before_cropping"]):
            return None
        return np.asarray(mask[tuple(slice(*side) for side in properties["bbox_used_for_cropping"])])

    def spacing_mm(self, properties: dict[str, Any]) -> NDArray[np.float64]:
        """Spacing of the masks, in the axes of preprocessed data."""
        return np.array([properties["spacing"][axis] for axis in self.transpose_forward], float)


def resampled_positions(
    voxels: NDArray[np.integer[Any]], old_shape: Sequence[int], new_shape: Sequence[int]
) -> NDArray[np.float64]:
    """Where voxels come to lie when a volume is resampled so that its edges stay in place.

    Example:
        >>> resampled_positions(np.array([[0, 0, 3]]), (4, 4, 4), (4, 4, 8)).tolist()
        [[0.0, 0.0, 6.5]]
    """
    return np.asarray((voxels + 0.5) * np.array(new_shape) / np.array(old_shape) - 0.5, np.float64)


def nearest_ids(
    voxels: NDArray[np.integer[Any]],
    shape: Sequence[int],
    instances: NDArray[np.integer[Any]],
    spacing_mm: NDArray[np.float64],
) -> NDArray[np.int64] | None:
    """The embolus of each PE voxel.

    Args:
        voxels: (k, 3) PE voxels of the preprocessed label.
        shape: Of the preprocessed label.
        instances: Embolus ids before resampling, 0 outside.
        spacing_mm: Of `instances`.

    Returns:
        (k,) ids; None if the ids do not belong to this label, as some PE lies far from all of them.
    """
    if not len(voxels):
        return np.zeros(0, np.int64)
    source = np.argwhere(instances > 0)
    if not len(source):
        return None
    scale = spacing_mm * np.array(instances.shape) / np.array(shape)
    distance_mm, nearest = KDTree(resampled_positions(source, instances.shape, shape) * scale).query(voxels * scale)
    if distance_mm.max() > np.linalg.norm(spacing_mm) + np.linalg.norm(scale):
        return None
    return np.asarray(instances[tuple(source[nearest].T)], np.int64)


def artery_points(
    artery: NDArray[np.integer[Any]], taken: NDArray[np.bool_], max_points: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Voxels of the preprocessed grid in arteries, without those that are taken.

    Args:
        artery: Artery mask before resampling.
        taken: What they must not lie in, PE above all, on the preprocessed grid.
        max_points: How many to keep.
        rng: Chooses them.

    Returns:
        (m, 3), m at most `max_points`.
    """
    source = np.argwhere(artery > 0)
    if len(source) > 4 * max_points:
        source = source[rng.choice(len(source), 4 * max_points, replace=False)]
    there = np.rint(resampled_positions(source, artery.shape, taken.shape)).astype(np.int64)
    there = np.unique(np.clip(there, 0, np.array(taken.shape) - 1), axis=0)
    free = there[~taken[tuple(there.T)]]
    kept = free if len(free) <= max_points else free[rng.choice(len(free), max_points, replace=False)]
    return np.asarray(kept, np.int64)
