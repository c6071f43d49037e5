"""Models as one zip file: written with hashes of everything, checked on the way in, never executed.

The layout is that of `nnUNet_results`, so stock nnU-Net's `nnUNetv2_install_pretrained_model_from_zip` takes it too.
"""

from __future__ import annotations

import json
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from pe_nnunet.detection.detector import require_self_contained
from pe_nnunet.detection.record import ONNX
from pe_nnunet.errors import ConfigurationError, Note, OutputError
from pe_nnunet.files.json_reader import MALFORMED, read_json, read_object, why
from pe_nnunet.fusion.choice import Misfit, misfit
from pe_nnunet.fusion.stored import NAME as FUSION_FILE
from pe_nnunet.fusion.weights import Weights
from pe_nnunet.inference.locate import ModelLocation
from pe_nnunet.inference.model import load_file, read_checkpoint, weights_of
from pe_nnunet.named_classes import read_plans
from pe_nnunet.outputs import versions
from pe_nnunet.volumes.files.volume_file import file_sha256

INDEX = "pe_nnunet_model.json"
FORMAT = 1
OF_A_MODEL = ("plans.json", "dataset.json")
FINGERPRINT = "dataset_fingerprint.json"  # nnU-Net writes NaN into it where no voxel is foreground
IF_THERE = (FINGERPRINT,)
ENDINGS = (".json", ".pth", ".pt", ".onnx", ".yaml", ".txt")
MAX_INDEX_BYTES = 10_000_000
BLOCK = 1 << 20


def export_models(
    locations: Sequence[ModelLocation], path: Path, detector: Sequence[Path] = (), *, accept_calibration: bool = False
) -> tuple[list[str], list[Note]]:
    """Write models, with `fusion.json` and detector, into a zip file.

    Args:
        locations: Models and their folds, of one dataset.
        path: The zip file; it appears whole or not at all.
        detector: Folders of a detector's folds.
        accept_calibration: Whether a `fusion.json` that was chosen for other weights goes with them.

    Returns:
        Names of the files in it, and what is doubtful about their calibration.

    Raises:
        ConfigurationError: PE-MODEL-004 if the models belong to different datasets, PE-MODEL-002 or -003 if a
            checkpoint is missing or holds more than weights, which nobody could install, PE-MODEL-020 if plans name
            what is no part of a network.
        OutputError: PE-OUT-001 if it cannot be written.
    """
    results = locations[0].folder.parent.parent
    if any(place.folder.parent != locations[0].folder.parent for place in locations):
        raise ConfigurationError("PE-MODEL-004", "models of different datasets", "export them one by one")
    files: dict[str, Path] = {}
    of_detector: dict[str, str] = {}
    for place in locations:
        base = PurePosixPath(*place.folder.relative_to(results).parts)
        wanted = [*OF_A_MODEL, *(name for name in IF_THERE if (place.folder / name).is_file())]
        wanted += [f"fold_{fold}/{place.checkpoint}" for fold in place.folds]
        files |= {str(base / name): place.folder / name for name in wanted}
        read_plans(place.folder / "plans.json")
        for fold in place.folds:
            read_checkpoint(place.folder / f"fold_{fold}" / place.checkpoint)
    for fold_folder in detector:
        base = PurePosixPath(locations[0].folder.parent.name, fold_folder.parent.name, fold_folder.name)
        hashes = _files_of_detector(fold_folder / "detector.json")
        files |= {str(base / name): fold_folder / name for name in ("detector.json", *hashes)}
        of_detector[f"{fold_folder.name} of {fold_folder.parent.name}"] = hashes.get(ONNX, "")
    weights = Weights(weights_of(locations).models, of_detector)
    notes = []
    for place in locations:
        if not (place.folder / FUSION_FILE).is_file():
            continue
        why = _doubt(place.folder / FUSION_FILE, [other.folder.name for other in locations], weights)
        shipped = why is None or why.code == "PE-FUS-009" or (accept_calibration and why.code != "PE-FUS-004")
        if why is not None:
            notes.append(why.note("it is exported nevertheless" if shipped else "it is left out"))
        if shipped:
            base = PurePosixPath(*place.folder.relative_to(results).parts)
            files[str(base / FUSION_FILE)] = place.folder / FUSION_FILE
    index = {
        "format": FORMAT,
        "versions": versions(),
        "files": {name: {"sha256": file_sha256(at), "bytes": at.stat().st_size} for name, at in sorted(files.items())},
    }
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(INDEX, json.dumps(index, indent=1))
            for name, at in sorted(files.items()):
                archive.write(at, name)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError("PE-OUT-001", f"{path} cannot be written: {error.strerror}") from error
    return sorted(files), notes


def install_models(path: Path, results: Path, *, overwrite: bool = False) -> tuple[list[Path], int, list[Note]]:
    """Take the models of a zip file into `nnUNet_results`.

    Nothing is written before everything is checked: names stay inside the folder, no links, nothing that the index does
    not name, sizes and hashes as the index says, checkpoints that hold weights and nothing that would run, and plans
    that name parts of networks alone.

    Args:
        path: Written by `export_models`.
        results: Where to.
        overwrite: Whether a model of the same name is replaced.

    Returns:
        The folders of models and detector that were written, how many files are in them, and what is doubtful about
        their calibration.

    Raises:
        ConfigurationError: PE-MODEL-012 if the archive is refused, PE-MODEL-020 for names in its plans, PE-MODEL-009 if
            a model is there already.
        OutputError: PE-OUT-001 if it cannot be written.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            index = _checked_index(archive, path)
            _require_room(path, index, results)
            folders = sorted({PurePosixPath(name).parts[:2] for name in index})
            targets = [results.joinpath(*parts) for parts in folders]
            there = [target for target in targets if target.exists()]
            if there and not overwrite:
                raise ConfigurationError(
                    "PE-MODEL-009", f"{there[0]} is there already", "add --overwrite to replace it"
                )
            with tempfile.TemporaryDirectory(prefix=".install_", dir=results) as name:
                unpacked = Path(name)
                for member, facts in index.items():
                    _extract(archive, member, facts, unpacked / member)
                for member in index:
                    _check_content(unpacked / member, f"{path}: {member}")
                notes = _calibration_notes(unpacked, index)
                for parts, target in zip(folders, targets, strict=True):
                    _put(unpacked.joinpath(*parts), target)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise refused(path, f"it is damaged: {error}") from error
    except OSError as error:
        if not path.is_file():
            raise refused(path, "there is no such file") from error
        raise OutputError("PE-OUT-001", f"{results} cannot be written: {error.strerror}") from error
    return list(targets), len(index), notes


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
            why = _doubt(unpacked / name, names, Weights(models, detector))
            if why is not None:
                text = why.text.replace(f"{unpacked}/", "")
                notes.append(replace(why, text=text).note("prediction says what comes of it"))
    return notes


def _doubt(path: Path, models: Collection[str], weights: Weights) -> Misfit | None:
    """As `misfit`; here one that cannot be read stops nothing."""
    try:
        return misfit(path, models, weights)
    except ConfigurationError as error:
        return Misfit(error.code, error.message)


def refused(path: Path, why: str) -> ConfigurationError:
    """The error for an archive that is not taken."""
    return ConfigurationError("PE-MODEL-012", f"{path} is not installed: {why}", "get it anew from whoever made it")


def _files_of_detector(path: Path) -> dict[str, str]:
    """Hashes of the files that a record of a detector lists, by their names."""
    try:
        hashes = {name: str(sha256) for name, sha256 in read_object(path)["sha256"].items()}
        if any(PurePosixPath(name).name != name for name in hashes):
            raise ValueError("its files lie elsewhere")
    except MALFORMED as error:
        raise ConfigurationError("PE-DET-006", f"{path} cannot be read: {why(error)}", "train it again") from error
    return hashes


def _checked_index(archive: zipfile.ZipFile, path: Path) -> dict[str, dict[str, Any]]:
    members = {info.filename: info for info in archive.infolist()}
    if len(members) != len(archive.infolist()):
        raise refused(path, "a file occurs twice")
    if INDEX not in members:
        raise refused(path, f"it holds no {INDEX}; archives of stock nnU-Net are installed by its own command")
    if members[INDEX].file_size > MAX_INDEX_BYTES:
        raise refused(path, f"{INDEX} is too large")
    try:
        content = json.loads(archive.read(INDEX))
        index = {str(k): {"sha256": str(v["sha256"]), "bytes": int(v["bytes"])} for k, v in content["files"].items()}
        known = content["format"] == FORMAT
    except MALFORMED as error:
        raise refused(path, f"{INDEX} cannot be read: {why(error)}") from error
    if not known:
        raise refused(path, f"it has format {content['format']}, expected {FORMAT}")
    if not index or set(members) != {INDEX, *index}:
        raise refused(path, f"its files are not those that {INDEX} names")
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
        while block := source.read(BLOCK):
            size += len(block)
            if size > facts["bytes"]:
                break
            digest.update(block)
            sink.write(block)
    if size != facts["bytes"] or digest.hexdigest() != facts["sha256"]:
        raise refused(Path(archive.filename or ""), f"{member!r} is not what {INDEX} says")


def _check_content(path: Path, source: str) -> None:
    if path.suffix == ".pth":
        read_checkpoint(path)
    elif path.suffix == ".pt":
        try:
            load_file(path)
        except Exception as error:
            raise refused(path, f"it holds more than weights: {type(error).__name__}") from error
    elif path.suffix == ".onnx":
        require_self_contained(path)
    elif path.name == "plans.json":
        read_plans(path, source)
    elif path.suffix == ".json":
        try:
            read_json(path, finite=path.name != FINGERPRINT)
        except MALFORMED as error:
            raise refused(path, f"it cannot be read: {why(error)}") from error


def _put(unpacked: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    unpacked.replace(target)
