"""What tells that a training scan is still the same scan: hashes of its image and of what it was converted from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from pe_nnunet.dataset.dataset_json import DATASET
from pe_nnunet.dataset.folders import PREPROCESSED, RAW, nnunet_folder
from pe_nnunet.dataset.raw import CASES
from pe_nnunet.errors import ConfigurationError, OutputError
from pe_nnunet.files import atomic_json
from pe_nnunet.files.json_reader import MALFORMED, read_object
from pe_nnunet.volumes.files.volume_file import scan_sha256

CACHE = "pe_nnunet_scan_hashes.json"
_VERSION = 2  # of the cache; the first held the hash of the file alone
_STATE = 3  # numbers that tell that a file has changed
_THREADS = 4

ScanHashes = dict[str, tuple[str, ...]]
"""Case id -> hashes; two scans are the same if they share one. Empty where nothing is known."""


def scan_hashes(dataset: str, cases: Iterable[str]) -> ScanHashes:
    """Hashes of training scans, as their files are now.

    Each has the SHA-256 of the bytes of its image in `nnUNet_raw` and, of a compressed NIfTI, of what is compressed,
    which stays the same if it is compressed again. A scan that we converted has that of its source too, which stays the
    same if it is converted again with another margin; not where several cases come of one source. Records of earlier
    trainings lack the second, and are compared by the others. Hashes are kept in the dataset's folder in
    `nnUNet_preprocessed`, by size and time of the files, so that each is read once.

    Args:
        dataset: Name of the dataset's folder.
        cases: Case ids.

    Returns:
        Every case; without hashes where its image is not there, or what says where it lies has another layout.
    """
    names = sorted(set(cases))
    try:
        raw = nnunet_folder(RAW) / dataset
    except ConfigurationError:
        return dict.fromkeys(names, ())
    images, sources = _images(raw, names), _sources(raw)
    cache = _cache_file(dataset)
    known = _kept(cache) if cache is not None else {}
    states = {case: _state(path) for case, path in images.items()}
    new = [case for case, state in states.items() if state is not None and known.get(case, [])[: len(state)] != state]
    with ThreadPoolExecutor(_THREADS) as pool:
        made = dict(zip(new, pool.map(scan_sha256, (images[case] for case in new)), strict=True))
    known |= {case: [*(states[case] or ()), *hashes] for case, hashes in made.items()}
    if new and cache is not None:
        with suppress(OutputError):  # a read-only folder costs time alone
            atomic_json(cache, {"version": _VERSION, "cases": known})
    of_image = {case: tuple(map(str, known[case][len(s) :])) for case, s in states.items() if s is not None}
    return {case: (*of_image.get(case, ()), *sources.get(case, ())) for case in names}


def _kept(cache: Path) -> dict[str, list[Any]]:
    """What an earlier run has hashed: case id -> state of the file and hashes."""
    content = _read(cache)
    cases = content.get("cases") if content.get("version") == _VERSION else None
    entries = cases.items() if isinstance(cases, dict) else ()
    return {case: entry for case, entry in entries if isinstance(entry, list) and len(entry) > _STATE}


def _images(raw: Path, cases: Iterable[str]) -> dict[str, Path]:
    """The first channel of each case, where nnU-Net looks for it; none where `dataset.json` has another layout."""
    content = _read(raw / DATASET)
    with suppress(*MALFORMED):
        ending, listed = content.get("file_ending", ".nii.gz"), content.get("dataset", {})
        return {
            case: raw / listed[case]["images"][0] if case in listed else raw / "imagesTr" / f"{case}_0000{ending}"
            for case in cases
        }
    return {}


def _sources(raw: Path) -> ScanHashes:
    """Of what each case was converted from, where no other case comes of it."""
    with suppress(*MALFORMED):  # of another layout
        cases = _read(raw / CASES).get("cases", {})
        of_case = {case: record.get("sha256", {}).get("image") for case, record in cases.items()}
        count = Counter(of_case.values())
        return {case: (sha256,) for case, sha256 in of_case.items() if sha256 and count[sha256] == 1}
    return {}


def _cache_file(dataset: str) -> Path | None:
    with suppress(ConfigurationError):
        folder = nnunet_folder(PREPROCESSED) / dataset
        return folder / CACHE if folder.is_dir() else None
    return None


def _state(path: Path) -> list[int] | None:
    """What changes with the file, or with what lies under its name; None where there is no such file."""
    if not path.is_file():
        return None
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]  # renaming leaves all but the last


def _read(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        return read_object(path)
    return {}
