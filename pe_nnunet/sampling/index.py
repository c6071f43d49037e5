"""Where the emboli of a preprocessed case lie, and where a patch without one is hard.

nnU-Net stores at most 10,000 voxels, or 1 %, of a class as locations, so that a small embolus beside a big clot may
have none. Here every embolus keeps some of its own voxels: an id of the raw dataset's `instances/`, or, where there are
none, a 26-connected component of the preprocessed label.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pe_nnunet.dataset.label_checks import UNDECLARED_HINT, undeclared
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files import atomic_path
from pe_nnunet.sampling.raw_masks import RawMasks, artery_points, nearest_ids
from pe_nnunet.voxels import label_components

FOLDER = "pe_nnunet_emboli"
POINTS_PER_EMBOLUS = 128
BRIGHT_POINTS = 1024
VERSION = 3


@dataclass(frozen=True)
class CaseEmboli:
    """The emboli of one preprocessed case.

    Attributes:
        shape: (z, y, x) of the preprocessed case.
        ids: (n,) id of each embolus in `instances/`, or its component's number.
        voxel_counts: (n,) size of each embolus in voxels.
        boxes: (n, 2, 3) first voxel of each embolus, and the one behind its last.
        points: One (k, 3) array of voxel indices (z, y, x) an embolus.
        bright_points: (m, 3) voxels as bright as opacified vessels, outside emboli and ignored voxels.
        artery_points: (m, 3) voxels in arteries, outside both too; none where the raw dataset has no artery mask.
        target_ratio: Embolus voxels over all voxels of the case.
    """

    shape: tuple[int, int, int]
    ids: NDArray[np.int64]
    voxel_counts: NDArray[np.int64]
    boxes: NDArray[np.int64]
    points: tuple[NDArray[np.int32], ...]
    bright_points: NDArray[np.int32]
    artery_points: NDArray[np.int32]
    target_ratio: float

    def __len__(self) -> int:
        """Number of emboli."""
        return len(self.voxel_counts)

    def meets(self, box: Sequence[Sequence[int]]) -> NDArray[np.bool_]:
        """Which emboli may reach into a box ([start, stop] an axis): those whose own boxes do."""
        low, high = np.array(box).T
        return np.asarray(((self.boxes[:, 0] < high) & (self.boxes[:, 1] > low)).all(axis=1), bool)


def index_case(
    image: NDArray[np.floating[Any]],
    label: NDArray[np.integer[Any]],
    pe_values: Sequence[int],
    bright_range: tuple[float, float],
    seed: int,
    *,
    instances: NDArray[np.integer[Any]] | None = None,
    artery: NDArray[np.integer[Any]] | None = None,
    source_spacing_mm: NDArray[np.float64] | None = None,
    ignored: Sequence[int] = (),
) -> CaseEmboli:
    """Find the emboli of a case.

    Args:
        image: (z, y, x) normalised intensities.
        label: (z, y, x).
        pe_values: Label values that mean PE.
        bright_range: The normalised intensities between which a voxel counts as an opacified vessel.
        seed: Chooses the voxels that are kept.
        instances: Embolus ids before resampling; without them, or where they do not fit, components are counted.
        artery: Artery mask before resampling.
        source_spacing_mm: Of these two.
        ignored: Label values of voxels of which nobody says what they are: neither emboli nor known to be none.

    Returns:
        The case's emboli; no embolus gives empty arrays.
    """
    rng = np.random.default_rng(seed)
    pe = np.isin(label, pe_values)
    voxels = np.argwhere(pe)
    numbers = None
    if instances is not None and source_spacing_mm is not None:
        numbers = nearest_ids(voxels, label.shape, instances, source_spacing_mm)
    if numbers is None:
        numbers = label_components(pe)[0][pe].astype(np.int64)
    ids, first = np.unique(numbers, return_index=True)
    ids = ids[np.argsort(first)]  # in the order of their first voxels, as components are numbered
    emboli = [voxels[numbers == number] for number in ids]
    points = tuple(_some(members, POINTS_PER_EMBOLUS, rng).astype(np.int32) for members in emboli)
    taken = pe | np.isin(label, ignored) if ignored else pe
    bright = np.argwhere((image > bright_range[0]) & (image < bright_range[1]) & ~taken)
    bright = _some(bright, BRIGHT_POINTS, rng)
    in_arteries = np.zeros((0, 3)) if artery is None else artery_points(artery, taken, BRIGHT_POINTS, rng)
    boxes = [np.stack([members.min(axis=0), members.max(axis=0) + 1]) for members in emboli]
    return CaseEmboli(
        shape=(label.shape[0], label.shape[1], label.shape[2]),
        ids=ids,
        voxel_counts=np.array([len(members) for members in emboli], np.int64),
        boxes=np.array(boxes, np.int64).reshape(-1, 2, 3),
        points=points,
        bright_points=bright.astype(np.int32),
        artery_points=in_arteries.astype(np.int32),
        target_ratio=float(pe.mean()),
    )


def _some(voxels: NDArray[np.intp], limit: int, rng: np.random.Generator) -> NDArray[np.intp]:
    return voxels if len(voxels) <= limit else voxels[rng.choice(len(voxels), limit, replace=False)]


def index_dataset(
    dataset: Any,
    pe_values: Sequence[int],
    bright_range: tuple[float, float],
    source: RawMasks | None = None,
    ignored: Sequence[int] = (),
    declared: Collection[int] | None = None,
) -> dict[str, CaseEmboli]:
    """The emboli of every case of a preprocessed dataset, read from a cache beside it where that is up to date.

    Indexing reads every voxel, once: so it is here that a case is refused for what only its voxels tell.

    Args:
        dataset: An nnU-Net dataset (`nnUNetBaseDataset`): `identifiers`, `load_case`, `source_folder`.
        pe_values: Label values that mean PE.
        bright_range: See `index_case`.
        source: The masks of the raw dataset; a cached index stays good where they have gone since.
        ignored: See `index_case`.
        declared: Values that labels may hold; None for any.

    Returns:
        By case id.

    Raises:
        ConfigurationError: PE-TRAIN-017 if a case cannot be read, PE-TRAIN-020 if its image holds NaN or infinity, or
            its label other values.
    """
    folder = Path(dataset.source_folder) / FOLDER
    folder.mkdir(exist_ok=True)
    by_stem: dict[str, list[Path]] = {}
    for path in folder.parent.iterdir():
        by_stem.setdefault(path.stem, []).append(path)
    index = {}
    for case in tqdm(dataset.identifiers, desc="embolus index", disable=None, leave=False):
        files = [*by_stem.get(case, ()), *by_stem.get(f"{case}_seg", ())]
        stamp = _stamp(files, pe_values, bright_range, ignored)
        source_stamp = "" if source is None else source.stamp(case)
        path = folder / f"{case}.npz"
        known = _read(path, stamp, source_stamp)
        if known is None:
            known = _index_stored(dataset, case, pe_values, bright_range, source, ignored, declared)
            _write(path, known, stamp, source_stamp)
        index[case] = known
    return index


def _index_stored(
    dataset: Any,
    case: str,
    pe_values: Sequence[int],
    bright_range: tuple[float, float],
    source: RawMasks | None,
    ignored: Sequence[int],
    declared: Collection[int] | None,
) -> CaseEmboli:
    image, label, properties = _load(dataset, case)
    _require_values(image, label, f"{Path(dataset.source_folder) / case}", declared)
    seed = crc32(case.encode())
    given: dict[str, Any] = {"ignored": ignored}
    if source is not None and source.stamp(case):
        given |= {
            "instances": source.read("instances", case, properties),
            "artery": source.read("arteries", case, properties),
            "source_spacing_mm": source.spacing_mm(properties),
        }
    return index_case(image[0], label, pe_values, bright_range, seed, **given)


def _load(dataset: Any, case: str) -> tuple[NDArray[Any], NDArray[Any], dict[str, Any]]:
    """Image (channels, z, y, x), label (z, y, x) and what nnU-Net's preprocessing noted."""
    try:
        image, label, _, properties = dataset.load_case(case)
        return np.asarray(image[:]), np.asarray(label[0]), properties
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as error:
        raise ConfigurationError(
            "PE-TRAIN-017",
            f"{Path(dataset.source_folder) / case} cannot be read: {error}",
            "nnUNetv2_preprocess with this configuration",
        ) from error


def _require_values(image: NDArray[Any], label: NDArray[Any], what: str, declared: Collection[int] | None) -> None:
    for number, channel in enumerate(image):
        bad = channel.size - int(np.count_nonzero(np.isfinite(channel)))
        if bad:
            raise ConfigurationError(
                "PE-TRAIN-020",
                f"{what}: {bad} voxels of channel {number} are NaN or infinite",
                "correct the image in imagesTr, and preprocess again",
            )
    if declared is not None and (problem := undeclared(np.unique(label[label != 0]), declared)) is not None:
        raise ConfigurationError("PE-TRAIN-020", f"{what} holds {problem}", UNDECLARED_HINT)


def _stamp(
    files: Sequence[Path], pe_values: Sequence[int], bright_range: tuple[float, float], ignored: Sequence[int]
) -> str:
    """What the index of a case depends on, as text."""
    stored = sorted(path for path in files if path.is_file())
    facts = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in stored]
    known = (VERSION, facts, tuple(pe_values), [round(value, 6) for value in bright_range])
    return repr((*known, tuple(ignored)) if ignored else known)


def _write(path: Path, case: CaseEmboli, stamp: str, source_stamp: str) -> None:
    with atomic_path(path) as temporary:
        np.savez(
            temporary,
            stamp=np.array(stamp),
            source_stamp=np.array(source_stamp),
            shape=np.array(case.shape),
            ids=case.ids,
            voxel_counts=case.voxel_counts,
            boxes=case.boxes,
            points=np.concatenate([*case.points, np.zeros((0, 3), np.int32)]),
            ends=np.cumsum([len(part) for part in case.points], dtype=np.int64),
            bright_points=case.bright_points,
            artery_points=case.artery_points,
            target_ratio=np.array(case.target_ratio),
        )


def _read(path: Path, stamp: str, source_stamp: str) -> CaseEmboli | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["stamp"]) != stamp or source_stamp not in ("", str(stored["source_stamp"])):
                return None
            depth, height, width = stored["shape"].tolist()
            return CaseEmboli(
                shape=(depth, height, width),
                ids=stored["ids"],
                voxel_counts=stored["voxel_counts"],
                boxes=stored["boxes"],
                points=tuple(np.split(stored["points"], stored["ends"])[:-1]),
                bright_points=stored["bright_points"],
                artery_points=stored["artery_points"],
                target_ratio=float(stored["target_ratio"]),
            )
    except (OSError, EOFError, KeyError, ValueError, BadZipFile):
        return None  # absent, or written by something else: it is built anew
