"""Where the emboli of a preprocessed case lie, and where a patch without one is hard.

nnU-Net stores at most 10,000 voxels, or 1 %, of a class as locations, so that a small embolus beside a big clot may
have none. Here every embolus (26-connected, on the preprocessed grid) keeps some of its own voxels.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import cc3d
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pe_nnunet.components import label_components

FOLDER = "pe_nnunet_emboli"
POINTS_PER_EMBOLUS = 128
BRIGHT_POINTS = 1024
VERSION = 1


@dataclass(frozen=True)
class CaseEmboli:
    """The emboli of one preprocessed case.

    Attributes:
        voxel_counts: (n,) size of each embolus in voxels.
        points: One (k, 3) array of voxel indices (z, y, x) an embolus.
        bright_points: (m, 3) voxels as bright as opacified vessels, outside emboli.
        target_ratio: Embolus voxels over all voxels of the case.
    """

    voxel_counts: NDArray[np.int64]
    points: tuple[NDArray[np.int32], ...]
    bright_points: NDArray[np.int32]
    target_ratio: float


def index_case(
    image: NDArray[np.floating[Any]],
    label: NDArray[np.integer[Any]],
    pe_values: Sequence[int],
    bright_range: tuple[float, float],
    seed: int,
) -> CaseEmboli:
    """Find the emboli of a case.

    Args:
        image: (z, y, x) normalised intensities.
        label: (z, y, x).
        pe_values: Label values that mean PE.
        bright_range: The normalised intensities between which a voxel counts as an opacified vessel.
        seed: Chooses the voxels that are kept.

    Returns:
        The case's emboli; no embolus gives empty arrays.
    """
    rng = np.random.default_rng(seed)
    pe = np.isin(label, pe_values)
    ids, count = label_components(pe)
    boxes = cc3d.statistics(ids)["bounding_boxes"] if count else []
    points = []
    for number in range(1, count + 1):
        where = boxes[number]
        voxels = np.argwhere(ids[where] == number) + [part.start for part in where]
        points.append((voxels, _some(voxels, POINTS_PER_EMBOLUS, rng)))
    bright = np.argwhere((image > bright_range[0]) & (image < bright_range[1]) & ~pe)
    return CaseEmboli(
        voxel_counts=np.array([len(voxels) for voxels, _ in points], np.int64),
        points=tuple(kept.astype(np.int32) for _, kept in points),
        bright_points=_some(bright, BRIGHT_POINTS, rng).astype(np.int32),
        target_ratio=float(pe.mean()),
    )


def _some(voxels: NDArray[np.intp], most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    return voxels if len(voxels) <= most else voxels[rng.choice(len(voxels), most, replace=False)]


def index_dataset(dataset: Any, pe_values: Sequence[int], bright_range: tuple[float, float]) -> dict[str, CaseEmboli]:
    """The emboli of every case of a preprocessed dataset, read from a cache beside it where that is up to date.

    Args:
        dataset: An nnU-Net dataset (`nnUNetBaseDataset`): `identifiers`, `load_case`, `source_folder`.
        pe_values: Label values that mean PE.
        bright_range: See `index_case`.

    Returns:
        By case id.
    """
    folder = Path(dataset.source_folder) / FOLDER
    folder.mkdir(exist_ok=True)
    index = {}
    for case in tqdm(dataset.identifiers, desc="embolus index", disable=None, leave=False):
        image, label, _, _ = dataset.load_case(case)
        stamp = _stamp(Path(dataset.source_folder), case, pe_values, bright_range)
        path = folder / f"{case}.npz"
        known = _read(path, stamp)
        if known is None:
            known = index_case(
                np.asarray(image[0]), np.asarray(label[0]), pe_values, bright_range, crc32(case.encode())
            )
            _write(path, known, stamp)
        index[case] = known
    return index


def _stamp(folder: Path, case: str, pe_values: Sequence[int], bright_range: tuple[float, float]) -> str:
    """What an index depends on, as text."""
    files = sorted(path for path in folder.glob(f"{case}*") if path.is_file() and path.stem in (case, f"{case}_seg"))
    facts = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return repr((VERSION, facts, tuple(pe_values), [round(value, 6) for value in bright_range]))


def _write(path: Path, case: CaseEmboli, stamp: str) -> None:
    points = np.concatenate([*case.points, np.zeros((0, 3), np.int32)])
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    np.savez(
        temporary,
        stamp=np.array(stamp),
        voxel_counts=case.voxel_counts,
        points=points,
        ends=np.cumsum([len(part) for part in case.points], dtype=np.int64),
        bright_points=case.bright_points,
        target_ratio=np.array(case.target_ratio),
    )
    temporary.replace(path)


def _read(path: Path, stamp: str) -> CaseEmboli | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["stamp"]) != stamp:
                return None
            return CaseEmboli(
                voxel_counts=stored["voxel_counts"],
                points=tuple(np.split(stored["points"], stored["ends"])[:-1]),
                bright_points=stored["bright_points"],
                target_ratio=float(stored["target_ratio"]),
            )
    except (OSError, KeyError, ValueError):
        return None  # absent, or written by something else: it is built anew
