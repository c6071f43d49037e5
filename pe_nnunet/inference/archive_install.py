"""Models taken from a zip file: all of it is checked on the way in, and nothing of it is executed."""

from __future__ import annotations

import json
import shutil
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import IO, Any

from pe_nnunet.detection.onnx_checks import require_sound
from pe_nnunet.detection.record import ONNX
from pe_nnunet.errors import ConfigurationError, Note, OutputError
from pe_nnunet.files.json_reader import MALFORMED, read_json, why
from pe_nnunet.files.locks import locked
from pe_nnunet.files.temporary import flush_all, put_in_place, remove_abandoned, temporary_folder
from pe_nnunet.fusion.stored import NAME as FUSION_FILE
from pe_nnunet.fusion.weights import Weights
from pe_nnunet.inference.archive import BLOCK, FINGERPRINT, FORMAT, INDEX, calibration_doubt, refused
from pe_nnunet.inference.checkpoint_file import load_file, read_checkpoint
from pe_nnunet.named_classes import read_plans
from pe_nnunet.volumes.files.volume_file import file_sha256

ENDINGS = (".json", ".pth", ".pt", ".onnx", ".yaml", ".txt", ".md")
MAX_INDEX_BYTES = 10_000_000


def install_models(
    path: Path, results: Path, *, overwrite: bool = False, again: bool = False
) -> tuple[list[Path], int, list[Note]]:
    """Take the models of a zip file into `nnUNet_results`.

    Nothing is written before everything is checked: names stay inside the folder, no links, nothing that the index does
    not name, sizes and hashes as the index says, checkpoints that hold weights and nothing that would run, and plans
    that name parts of networks alone.

    Args:
        path: Written by `export_models`.
        results: Where to.
        overwrite: Whether a model of the same name is replaced.
        again: Whether it is right that all of it is there already.

    Returns:
        The folders of all models and detectors in the archive, those that were there already among them; how many files
        are in them; and what is doubtful about their calibration.

    Raises:
        ConfigurationError: PE-MODEL-012 if the archive is refused, PE-MODEL-020 for names in its plans, PE-MODEL-009 if
            a model is there already.
        OutputError: PE-OUT-001 if it cannot be written.
    """
    with _opened(path, results) as (archive, index):
        folders = sorted({PurePosixPath(name).parts[:2] for name in index})
        targets = [results.joinpath(*parts) for parts in folders]
        with locked(results / ".install.lock", refused(path, "another process installs models"), wait=True):
            remove_abandoned(results)
            missing = [target for target in targets if overwrite or not _installed(target, results, index)]
            there = [target for target in missing if target.exists()]
            if not missing and again:
                return list(targets), len(index), []
            if (there and not overwrite) or not missing:
                raise ConfigurationError(
                    "PE-MODEL-009", f"{(there or targets)[0]} is there already", "add --overwrite to replace it"
                )
            with temporary_folder(results / "models") as unpacked:
                _unpack(archive, index, path, unpacked)
                notes = _calibration_notes(unpacked, index)
                flush_all(unpacked)
                for target in missing:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    remove_abandoned(target.parent)
                    put_in_place(unpacked / target.relative_to(results), target)
    return list(targets), len(index), notes


def check_archive(path: Path, look: Callable[[Path], None] | None = None) -> tuple[int, list[Note]]:
    """All checks of `install_models`, and nothing is installed; what is unpacked for them is removed again.

    Args:
        path: Written by `export_models`.
        look: Called with each folder that was unpacked, of a model or a detector, and is right.

    Returns:
        How many files are in it, and what is doubtful about their calibration.

    Raises:
        ConfigurationError: As `install_models`.
        OutputError: PE-OUT-001 if it cannot be unpacked for want of room.
    """
    aside = Path(tempfile.gettempdir())
    with _opened(path, aside) as (archive, index), tempfile.TemporaryDirectory(dir=aside) as name:
        _unpack(archive, index, path, Path(name))
        if look is not None:
            for parts in sorted({PurePosixPath(member).parts[:2] for member in index}):
                look(Path(name, *parts))
        return len(index), _calibration_notes(Path(name), index)


@contextmanager
def _opened(path: Path, room: Path) -> Iterator[tuple[zipfile.ZipFile, dict[str, dict[str, Any]]]]:
    """An archive and its index, which was checked; `room` is where it will be unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            index = _checked_index(archive, path)
            _require_room(path, index, room)
            yield archive, index
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, struct.error) as error:
        raise refused(path, f"it is damaged: {error}") from error
    except OSError as error:
        if not path.is_file():
            raise refused(path, "there is no such file") from error
        raise OutputError("PE-OUT-001", f"{room} cannot be written: {error.strerror}") from error


def _unpack(archive: zipfile.ZipFile, index: Mapping[str, dict[str, Any]], path: Path, folder: Path) -> None:
    """Unpack the files of an archive into a folder, and check all of them."""
    for member, facts in index.items():
        _extract(archive, member, facts, folder / member)
    for member in index:
        _check_content(folder / member, f"{path}: {member}")


def _calibration_notes(unpacked: Path, index: Mapping[str, Mapping[str, Any]]) -> list[Note]:
    """What is doubtful about each `fusion.json`, by the weights that come with it."""
    models, detector = {}, {}
    for name, facts in index.items():
        folder, fold = PurePosixPath(name).parts[1:3]
        if name.endswith(".pth"):
            models[folder, fold.removeprefix("fold_")] = (PurePosixPath(name).name, str(facts["sha256"]))
        elif name.endswith(f"/{ONNX}"):
            detector[f"{fold} of {folder}"] = str(facts["sha256"])
    names = {folder for folder, _ in models}
    notes = []
    for name in index:
        if name.endswith(f"/{FUSION_FILE}"):
            why = calibration_doubt(unpacked / name, names, Weights(models, detector))
            if why is not None:
                text = why.text.replace(f"{unpacked}/", "")
                notes.append(replace(why, text=text).note("prediction says what comes of it"))
    return notes


def _checked_index(archive: zipfile.ZipFile, path: Path) -> dict[str, dict[str, Any]]:
    members = {info.filename: info for info in archive.infolist()}
    if len(members) != len(archive.infolist()):
        raise refused(path, "a file occurs twice")
    if INDEX not in members:
        raise refused(path, f"it holds no {INDEX}; archives of stock nnU-Net are installed by its own command")
    if members[INDEX].file_size > MAX_INDEX_BYTES:
        raise refused(path, f"{INDEX} is too large")
    try:
        with archive.open(INDEX) as file:
            content = json.loads(b"".join(_blocks(file)))
        index = {str(k): {"sha256": str(v["sha256"]), "bytes": int(v["bytes"])} for k, v in content["files"].items()}
        known = content["format"] == FORMAT
    except MALFORMED as error:
        raise refused(path, f"{INDEX} cannot be read: {why(error)}") from error
    if not known:
        raise refused(path, f"it has format {content['format']}, expected {FORMAT}")
    if not index or set(members) != {INDEX, *index}:
        raise refused(path, f"its files are not those that {INDEX} names")
    names = {name.casefold() for name in index}  # as some systems tell them apart
    folders = {str(folder) for name in names for folder in PurePosixPath(name).parents}
    if len(names) < len(index) or names & folders:
        raise refused(path, "a file takes the place of another, or of a folder")
    for name, facts in index.items():
        parts = PurePosixPath(name).parts
        plain = "\\" not in name and ":" not in name and not name.startswith("/") and ".." not in parts
        if not plain or len(parts) < 3 or not parts[0].startswith("Dataset") or str(PurePosixPath(name)) != name:
            raise refused(path, f"{name!r} is no place for a file of a model")
        if not name.endswith(ENDINGS):
            raise refused(path, f"{name!r} is no file that a model has")
        if stat.S_ISLNK(members[name].external_attr >> 16) or members[name].is_dir():
            raise refused(path, f"{name!r} is a link or a folder")
        if members[name].file_size != facts["bytes"]:
            raise refused(path, f"{name!r} has another size than {INDEX} says")
    return index


def _require_room(path: Path, index: dict[str, dict[str, Any]], results: Path) -> None:
    """Refuse an archive that the disk cannot take, before anything of it is unpacked."""
    unpacked, free = sum(facts["bytes"] for facts in index.values()), shutil.disk_usage(results).free
    if unpacked > free:
        raise refused(path, f"it unpacks to {unpacked / 2**30:.1f} GiB, and the disk has {free / 2**30:.1f} GiB free")


def _extract(archive: zipfile.ZipFile, member: str, facts: dict[str, Any], target: Path) -> None:
    """Unpack a file, no further than its size, and compare its hash."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = sha256(), 0
    with archive.open(member) as source, target.open("xb") as sink:
        for block in _blocks(source):
            size += len(block)
            if size > facts["bytes"]:
                break
            digest.update(block)
            sink.write(block)
    if size != facts["bytes"] or digest.hexdigest() != facts["sha256"]:
        raise refused(Path(archive.filename or ""), f"{member!r} is not what {INDEX} says")


def _blocks(source: IO[bytes]) -> Iterator[bytes]:
    """What a member holds, block by block; whatever its decompressor raises is a damaged archive."""
    while True:
        try:
            block = source.read(BLOCK)
        except Exception as error:
            raise zipfile.BadZipFile(f"{type(error).__name__}: {error}") from error
        if not block:
            return
        yield block


def _check_content(path: Path, source: str) -> None:
    if path.suffix == ".pth":
        read_checkpoint(path)
    elif path.suffix == ".pt":
        try:
            load_file(path)
        except Exception as error:
            raise refused(path, f"it holds more than weights: {type(error).__name__}") from error
    elif path.suffix == ".onnx":
        require_sound(path)
    elif path.name == "plans.json":
        read_plans(path, source)
    elif path.suffix == ".json":
        try:
            read_json(path, finite=path.name != FINGERPRINT)
        except MALFORMED as error:
            raise refused(path, f"it cannot be read: {why(error)}") from error


def _installed(target: Path, results: Path, index: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether an installation that was interrupted has put a model into its place: all its files are there."""
    files = {results / name: facts["sha256"] for name, facts in index.items() if target in (results / name).parents}
    return all(file.is_file() and file_sha256(file) == digest for file, digest in files.items())
