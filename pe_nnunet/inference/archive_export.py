"""Models written as one zip file, with hashes of everything."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from pe_nnunet.detection.record import ONNX
from pe_nnunet.errors import ConfigurationError, Note
from pe_nnunet.files import atomic_path
from pe_nnunet.files.json_reader import MALFORMED, read_object, why
from pe_nnunet.fusion.stored import NAME as FUSION_FILE
from pe_nnunet.fusion.weights import Weights
from pe_nnunet.inference.archive import BLOCK, FINGERPRINT, FORMAT, INDEX, calibration_doubt
from pe_nnunet.inference.checkpoint_file import read_checkpoint
from pe_nnunet.inference.locate import ModelLocation
from pe_nnunet.inference.model import weights_of
from pe_nnunet.inference.model_card import MODEL_CARD
from pe_nnunet.named_classes import read_plans
from pe_nnunet.outputs import versions
from pe_nnunet.volumes.files.volume_file import file_sha256

OF_A_MODEL = ("plans.json", "dataset.json")
IF_THERE = (FINGERPRINT,)
CardOf = Callable[[ModelLocation, bool], tuple[str, list[Note]]]
"""From a model, and whether its `fusion.json` goes with it, to its card and what is doubtful about that."""


def export_models(
    locations: Sequence[ModelLocation],
    path: Path,
    detector: Sequence[Path] = (),
    *,
    accept_calibration: bool = False,
    card_of: CardOf | None = None,
) -> tuple[list[str], list[Note]]:
    """Write models, with `fusion.json` and detector, into a zip file.

    Args:
        locations: Models and their folds, of one dataset.
        path: The zip file; it appears whole or not at all.
        detector: Folders of a detector's folds.
        accept_calibration: Whether a `fusion.json` that was chosen for other weights goes with them.
        card_of: Gives each model's card, its README.md; None for archives without.

    Returns:
        Names of the files in it, and what is doubtful about their calibration and cards.

    Raises:
        ConfigurationError: PE-MODEL-004 if the models belong to different datasets, PE-MODEL-002 or -003 if a
            checkpoint is missing or holds more than weights, which nobody could install, PE-MODEL-020 if plans name
            what is no part of a network.
        OutputError: PE-OUT-001 if it cannot be written.
    """
    if any(place.folder.parent != locations[0].folder.parent for place in locations):
        raise ConfigurationError("PE-MODEL-004", "models of different datasets", "export them one by one")
    files: dict[str, Path | bytes] = {}
    of_detector: dict[str, str] = {}
    for place in locations:
        base = _base(place)
        wanted = [*OF_A_MODEL, *(name for name in IF_THERE if (place.folder / name).is_file())]
        wanted += [f"fold_{fold}/{place.checkpoint}" for fold in place.folds]
        files |= {str(base / name): place.folder / name for name in wanted}
        read_plans(place.folder / "plans.json")
        for fold in place.folds:
            read_checkpoint(place.folder / f"fold_{fold}" / place.checkpoint)
    for fold_folder in detector:
        base = PurePosixPath(_base(locations[0]).parent, fold_folder.parent.name, fold_folder.name)
        hashes = _files_of_detector(fold_folder / "detector.json")
        files |= {str(base / name): fold_folder / name for name in ("detector.json", *hashes)}
        of_detector[f"{fold_folder.name} of {fold_folder.parent.name}"] = hashes.get(ONNX, "")
    weights = Weights(weights_of(locations).models, of_detector)
    notes = []
    for place in locations:
        base, shipped = _base(place), False
        if (place.folder / FUSION_FILE).is_file():
            why = calibration_doubt(place.folder / FUSION_FILE, [other.folder.name for other in locations], weights)
            shipped = why is None or why.code == "PE-FUS-009" or (accept_calibration and why.code != "PE-FUS-004")
            if why is not None:
                notes.append(why.note("it is exported nevertheless" if shipped else "it is left out"))
        if shipped:
            files[str(base / FUSION_FILE)] = place.folder / FUSION_FILE
        if card_of is not None:
            text, doubts = card_of(place, shipped)
            files[str(base / MODEL_CARD)] = text.encode()
            notes += doubts
    index = {
        "format": FORMAT,
        "versions": versions(),
        "files": {name: _facts(content) for name, content in sorted(files.items())},
    }
    with atomic_path(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        _add(archive, INDEX, json.dumps(index, indent=1).encode())
        for name, content in sorted(files.items()):
            _add(archive, name, content)
    return sorted(files), notes


def _base(place: ModelLocation) -> PurePosixPath:
    """Dataset and model as folders of the archive; a shipped model lies in no dataset's folder, its plans name one."""
    dataset = place.folder.parent.name
    if not dataset.startswith("Dataset"):
        dataset = str(read_plans(place.folder / "plans.json").get("dataset_name") or dataset)
    return PurePosixPath(dataset, place.folder.name)


def _facts(content: Path | bytes) -> dict[str, Any]:
    if isinstance(content, bytes):
        return {"sha256": sha256(content).hexdigest(), "bytes": len(content)}
    return {"sha256": file_sha256(content), "bytes": content.stat().st_size}


def _add(archive: zipfile.ZipFile, name: str, content: bytes | Path) -> None:
    """Add a file under the earliest time that a zip file can have: the same models give the same bytes."""
    member = zipfile.ZipInfo(name)
    member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    member.file_size = len(content) if isinstance(content, bytes) else content.stat().st_size
    stream = BytesIO(content) if isinstance(content, bytes) else content.open("rb")
    with stream as source, archive.open(member, "w") as sink:
        shutil.copyfileobj(source, sink, BLOCK)


def _files_of_detector(path: Path) -> dict[str, str]:
    """Hashes of the files that a record of a detector lists, by their names."""
    try:
        hashes = {name: str(digest) for name, digest in read_object(path)["sha256"].items()}
        if any(PurePosixPath(name).name != name for name in hashes):
            raise ValueError("its files lie elsewhere")
    except MALFORMED as error:
        raise ConfigurationError("PE-DET-006", f"{path} cannot be read: {why(error)}", "train it again") from error
    return hashes
