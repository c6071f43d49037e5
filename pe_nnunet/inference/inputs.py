"""What a case is predicted from, as it is read; without torch, for a process that reads alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from pe_nnunet.burden import anatomy_files, read_anatomy
from pe_nnunet.errors import InputError, PEError
from pe_nnunet.files import text_sha256
from pe_nnunet.inference.channels import channel_files, further_channels, without_further_channels
from pe_nnunet.volumes import Scan, ScanRef, find_scans, laid_on, read_label, read_scan
from pe_nnunet.volumes.files.volume_file import files_sha256
from pe_nnunet.volumes.readers import read_timed
from pe_nnunet.volumes.stored import StoredStudy, staged


@dataclass(frozen=True)
class CaseInputs:
    """A case as it was read.

    Attributes:
        scan: In HU.
        artery: Mask of its arteries, if one was named.
        anatomy: Masks of what lies around emboli, by name; None if none were asked for.
        further: Its channels beside the CT.
        sha256: See `inputs_sha256`.
        seconds: That reading the scan took.
        stamp: See `inputs_stamp`.
        staged: A temporary folder that holds the scan's files; None where they lie here.
    """

    scan: Scan
    artery: sitk.Image | None
    anatomy: dict[str, sitk.Image] | None
    further: list[sitk.Image]
    sha256: dict[str, str]
    seconds: float
    stamp: str = ""
    staged: Path | None = None


def read_inputs(
    ref: ScanRef, artery: Path | None, repairs: Mapping[str, bool], channels: int = 1, anatomy: Path | None = None
) -> CaseInputs:
    """Read a case.

    Args:
        ref: The scan.
        artery: Mask of the arteries, or a folder with one a case.
        repairs: Keywords of `read_scan`.
        channels: That the models need.
        anatomy: Folder of masks of the anatomy, or with one such folder a case.

    Raises:
        PEError: If the scan or a mask cannot be read.
    """
    # before it is read: a file that changes meanwhile is done again
    stamp = inputs_stamp(ref, artery, channels, anatomy)
    with staged(ref) as (here, folder):
        hashes = inputs_sha256(here, artery, channels, anatomy)
        scan, seconds = read_timed(here, repairs)
        mask, path = None, here.path if here.kind == "file" else None
        if artery is not None:
            file = artery_file(artery, here.mask_id)
            mask = laid_on(scan.image, path, read_label(file), file, "the artery mask")[0]
        around = None if anatomy is None else read_anatomy(anatomy_files(anatomy, here.mask_id), scan.image, path)
        further = further_channels(here, scan.image, channels)
        return CaseInputs(scan, mask, around, further, hashes, seconds, stamp, folder)


def read_one_scan(path: Path, repairs: Mapping[str, bool], channels: int = 1) -> Scan:
    """Read the only scan that there is.

    Args:
        path: Its file or folder.
        repairs: Keywords of `read_scan`.
        channels: That the models need.

    Raises:
        PEError: PE-IN-005 if there are none or several; if it cannot be read.
    """
    refs = without_further_channels(find_scans(path), channels)
    if len(refs) != 1:
        hint = "predict them one by one, or name one of them"
        raise InputError("PE-IN-005", f"{path} holds {len(refs)} scans, expected one", hint)
    return read_scan(refs[0], **repairs)


def inputs_sha256(
    ref: ScanRef, artery: Path | None = None, channels: int = 1, anatomy: Path | None = None
) -> dict[str, str]:
    """Hashes of what the result of a case depends on, beside models and settings; empty for what cannot be read.

    Args:
        ref: The scan.
        artery: As in `predict_batch`.
        channels: That the models need.
        anatomy: As in `predict_batch`.
    """
    hashes = {"only": text_sha256(repr(ref.only))} if ref.only else {}
    for name, files in _input_files(ref, artery, channels, anatomy).items():
        try:
            hashes[name] = files_sha256(files())
        except (OSError, PEError):
            hashes[name] = ""
    return hashes


def inputs_stamp(ref: ScanRef, artery: Path | None = None, channels: int = 1, anatomy: Path | None = None) -> str:
    """What changes when a file that a case is made of is written again: a hash of names, sizes and times, unread.

    Arguments as for `inputs_sha256`; empty where a file is not there.
    """
    found: list[object] = [ref.only]
    for name, files in _input_files(ref, artery, channels, anatomy).items():
        try:
            facts = [(path.name, path.stat()) for path in sorted(files())]
        except (OSError, PEError):
            return ""
        found.append((name, [(file, fact.st_size, fact.st_mtime_ns) for file, fact in facts]))
    return text_sha256(repr((found, ref.stamp if isinstance(ref, StoredStudy) else "")))


def _input_files(
    ref: ScanRef, artery: Path | None, channels: int, anatomy: Path | None
) -> dict[str, Callable[[], Sequence[Path]]]:
    """What finds the files that a case is made of, by what they are."""
    inputs: dict[str, Callable[[], Sequence[Path]]] = {"scan": lambda: ref.files}
    if channels > 1 and not isinstance(ref, StoredStudy):
        inputs["channels"] = lambda: channel_files(ref, channels)
    if artery is not None:
        inputs["artery"] = lambda: [artery_file(artery, ref.mask_id)]
    if anatomy is not None:
        inputs["anatomy"] = lambda: list(anatomy_files(anatomy, ref.mask_id).values())
    return inputs


def artery_file(path: Path, case_id: str) -> Path:
    """The mask of a case, where a folder may hold one a case.

    Raises:
        InputError: PE-ROI-004 if it holds none of that case.
    """
    if not path.is_dir():
        return path
    if not (path / f"{case_id}.nii.gz").is_file():
        raise InputError("PE-ROI-004", f"no artery mask {case_id}.nii.gz in {path}", "name masks like the cases")
    return path / f"{case_id}.nii.gz"
