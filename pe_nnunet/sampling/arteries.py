"""Artery masks of the raw dataset on the preprocessed grid, stored so that a patch of one can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from numpy.typing import NDArray
from tqdm import tqdm

from pe_nnunet.files import atomic_path
from pe_nnunet.sampling.index import FOLDER, CaseEmboli
from pe_nnunet.sampling.raw_masks import RawMasks


class ArteryMasks:
    """The stored masks of a preprocessed dataset.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, case: str) -> Path:
        """The file of a case."""
        return self.folder / f"{case}_artery.b2nd"

    def crop(self, case: str, box: Sequence[Sequence[int]]) -> NDArray[np.bool_] | None:
        """A part of a case's mask.

        Args:
            case: Its id.
            box: [start, stop] an axis; outside the case there is no artery.

        Returns:
            None where the case has no mask.
        """
        if not self.path(case).is_file():
            return None
        stored = blosc2.open(urlpath=str(self.path(case)), mode="r")
        return np.asarray(crop_and_pad_nd(stored, box, 0)) > 0


def store_arteries(dataset: Any, index: Mapping[str, CaseEmboli], source: RawMasks | None) -> ArteryMasks:
    """Bring the masks that the raw dataset has to the preprocessed grid, once.

    Args:
        dataset: An nnU-Net dataset.
        index: Its emboli, for the shapes.
        source: The raw dataset's masks; those stored already serve where it has gone.
    """
    masks = ArteryMasks(Path(dataset.source_folder) / FOLDER)
    for case in tqdm(dataset.identifiers, desc="artery masks", disable=None, leave=False):
        if source is None or not source.path("arteries", case).is_file():
            continue
        path, stamp = masks.path(case), source.stamp(case) + repr(index[case].shape)
        if path.is_file() and _stamp(path) == stamp:
            continue
        artery = source.read("arteries", case, dataset.load_case(case)[3])
        if artery is None:
            continue
        with atomic_path(path) as temporary:
            array = blosc2.asarray(
                np.ascontiguousarray(nearest(artery > 0, index[case].shape), np.uint8),
                urlpath=str(temporary),
                mode="w",
                chunks=tuple(min(64, side) for side in index[case].shape),
                blocks=tuple(min(32, side) for side in index[case].shape),
            )
            array.schunk.vlmeta["stamp"] = stamp
    return masks


def _stamp(path: Path) -> str:
    stored = blosc2.open(urlpath=str(path), mode="r")  # named, for what hangs on it dies with it
    return str(stored.schunk.vlmeta["stamp"])


def nearest(mask: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """A mask of another size, edges in place, each voxel the nearest one's.

    Example:
        >>> nearest(np.array([1, 0]), (4,)).tolist()
        [1, 1, 0, 0]
    """
    picked = [((np.arange(new) + 0.5) * old / new).astype(int) for old, new in zip(mask.shape, shape, strict=True)]
    return mask[np.ix_(*picked)]
