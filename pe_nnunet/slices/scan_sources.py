"""Which scans a path holds, PNG folders included, and which label belongs to each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from pe_nnunet.dataset_conversion.patterns import CASE, MaskLookup, case_texts, match_cases
from pe_nnunet.errors import InputError
from pe_nnunet.slices.png import MANIFEST, read_png_scan
from pe_nnunet.volumes import Scan, ScanRef, find_scans, read_scan
from pe_nnunet.volumes.find import case_ids


def read_source(ref: ScanRef, **repairs: bool) -> tuple[Scan, sitk.Image | None]:
    """A scan that `find_sources` found, and the label that a folder of PNG slices has of its own.

    Args:
        ref: Where it lies.
        repairs: What may be repaired, as keywords of `read_scan`.

    Raises:
        PEError: What reading raises.
    """
    if ref.files[0].name != MANIFEST:
        return read_scan(ref, **repairs), None
    image, label = read_png_scan(ref.path)
    manifest = (ref.path / MANIFEST).read_bytes()
    return Scan(ref.case_id, image, ref, (), None, hashlib.sha256(manifest).hexdigest()), label


def find_sources(src: Path, **choice: Any) -> list[ScanRef]:
    """Find the scans in a path: folders of PNG slices if there are any, else what `find_scans` finds.

    Args:
        src: A file, a folder, or a pattern in which `{case}` stands for the name of a case.
        choice: Which DICOM series is read, as keywords of `find_scans`.

    Raises:
        InputError: PE-IN-001 nothing there, PE-IN-002 no such path, PE-IN-004 two cases with one id, PE-IN-005 a match
            of the pattern that holds no single scan.
    """
    if CASE in str(src):
        found = []
        for case, path in match_cases(str(src)).items():
            sources = find_sources(path, **choice)
            if len(sources) != 1:
                raise InputError("PE-IN-005", f"{path} holds {len(sources)} scans, expected one", "name it further")
            found.append(replace(sources[0], case_id=case))
        return found
    folders = sorted(path.parent for path in src.rglob(MANIFEST)) if src.is_dir() else []
    if not folders:
        return find_scans(src, **choice)
    root = src.resolve()
    ids = case_ids([root / folder.relative_to(src) for folder in folders], root)
    return [ScanRef(case, "file", folder, (folder / MANIFEST,)) for case, folder in zip(ids, folders, strict=True)]


class LabelLookup:
    """Finds the label of each case.

    Args:
        where: One label for one scan, a folder with `<case>.*` or a folder `<case>` of PNGs, or a pattern with
            `{case}`.
        sources: The scans.
        src: Where they were looked for.

    Raises:
        ConfigurationError: PE-IN-002 if there is no such file or folder.
    """

    def __init__(self, where: str, sources: Sequence[ScanRef], src: Path) -> None:
        path = Path(where)
        self._where = where
        self._one = path if len(sources) == 1 and (path.is_file() or _holds_png(path)) else None
        self._folders = path if self._one is None and path.is_dir() else None
        scans = {source.path.resolve() for source in sources}
        by_pattern = CASE in where and CASE in str(src)
        texts = case_texts(str(src), match_cases(str(src))) if by_pattern else None
        self._lookup = None if self._one is not None else MaskLookup(where, "label", scans, texts)

    def find(self, case_id: str) -> Path:
        """The label of a case.

        Raises:
            InputError: PE-LBL-001 if there is none, PE-CONV-006 if there are several.
        """
        if self._one is not None:
            return self._one
        if self._folders is not None and _holds_png(self._folders / case_id):
            return self._folders / case_id
        found = self._lookup.find(case_id) if self._lookup else None
        if found is None:
            looked = self._lookup.where_looked(case_id) if self._lookup else self._where
            raise InputError("PE-LBL-001", f"{case_id} has no label: {looked}", "add an empty one where nothing is")
        return found


def _holds_png(folder: Path) -> bool:
    return folder.is_dir() and next(folder.glob("*.png"), None) is not None
