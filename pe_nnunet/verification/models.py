"""A trained model of nnU-Net: its plans, every checkpoint, what was calibrated and validated with it, and its card.

Nothing that the files name is run: plans name parts of networks alone, and checkpoints are read as tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from pe_nnunet.cases import CaseLimits, work_through
from pe_nnunet.errors import ConfigurationError, PEError
from pe_nnunet.inference.locate import FINAL, OLDER, stored_checkpoints
from pe_nnunet.verification.cards import card_findings
from pe_nnunet.verification.findings import Checked, Finding, disagree
from pe_nnunet.verification.whole_files import damaged, whole_findings

KIND = "a trained model"
_PARTS = 3  # TRAINER__PLANS__CONFIGURATION


def is_kind(folder: Path) -> bool:
    """Whether nnU-Net trained a model into this folder."""
    described = (folder / "plans.json").is_file() and (folder / "dataset.json").is_file()
    named = len(folder.name.split("__")) == _PARTS
    return (described and (named or any(folder.glob("fold_*")))) or any(folder.glob("fold_*/*.pth"))


def check(folder: Path, limits: CaseLimits | None) -> Checked:
    """Read plans and checkpoints, and compare the hashes of checkpoints with the records that name them."""
    from pe_nnunet.dataset.dataset_json import read_dataset_json
    from pe_nnunet.files.json_reader import MALFORMED, read_json
    from pe_nnunet.inference.archive import FINGERPRINT
    from pe_nnunet.named_classes import read_plans

    found, files = list[Finding](), 2
    for read, place in ((read_plans, folder / "plans.json"), (read_dataset_json, folder)):
        try:
            read(place)
        except PEError as error:
            found.append(Finding.of(error))
    if (folder / FINGERPRINT).is_file():
        files += 1
        try:
            read_json(folder / FINGERPRINT, finite=False)
        except MALFORMED as error:
            found.append(Finding.of(damaged(folder / FINGERPRINT, error)))
    described = not found
    held = stored_checkpoints(folder)
    if not any(held.values()):
        found.append(Finding("PE-MODEL-002", "error", f"no fold of {folder} holds a checkpoint"))
    for fold, names in held.items():
        if FINAL not in names:
            there = ", ".join(names) or "no checkpoint"
            found.append(Finding("PE-MODEL-002", "warning", f"fold {fold} of {folder} has {there}: it is not trained"))
    checkpoints = {
        f"fold_{fold}/{name}": name
        for fold, names in held.items()
        for name in (*names, *([OLDER] if (folder / f"fold_{fold}" / OLDER).is_file() else []))
    }
    sha256: dict[str, str] = {}
    if described:
        hashes, lost = work_through(
            partial(_check_checkpoint, folder), {c: c for c in checkpoints}, limits=limits, quiet=True
        )
        found += [finding for _, findings in hashes.values() for finding in findings]
        found += [Finding.of(failure) for failure in lost]
        sha256 = {name: of_file for name, (of_file, _) in hashes.items()}
    calibrated, of_calibration = _calibration_findings(folder, sha256)
    validated, of_validation = _validation_findings(folder, sorted(held), sha256)
    cards, of_card = card_findings(folder, limits)
    summed, of_sums = _sum_findings(folder)
    return Checked(
        folder,
        KIND,
        files + len(checkpoints) + calibrated + validated + cards + summed,
        [*found, *of_calibration, *of_validation, *of_card, *of_sums],
    )


def _sum_findings(folder: Path) -> tuple[int, list[Finding]]:
    """Whether the files are those of `SHA256SUMS`, which a model that ships with the package has."""
    from pe_nnunet.inference.shipped import SHA256SUMS, read_sums
    from pe_nnunet.volumes.files.volume_file import file_sha256

    path = folder / SHA256SUMS
    if not path.is_file():
        return 0, []
    try:
        sums = read_sums(path)
    except PEError as error:
        return 1, [Finding.of(error)]
    found = []
    for name, sha256 in sums.items():
        if not (folder / name).is_file():
            found.append(Finding("PE-VER-003", "error", f"{folder / name}, which {SHA256SUMS} names, is missing"))
        elif file_sha256(folder / name) != sha256:
            found.append(Finding("PE-VER-004", "error", f"{folder / name} is not the file of {SHA256SUMS}"))
    return 1, found


def _check_checkpoint(folder: Path, name: str) -> tuple[str, list[Finding]]:
    """Hash of a checkpoint, and why prediction would refuse it; in a process of its own, as plans can name any size."""
    import torch

    from pe_nnunet.inference.locate import ModelLocation
    from pe_nnunet.inference.model import load_model
    from pe_nnunet.volumes.files.volume_file import file_sha256

    path = folder / name
    if not path.is_file():
        return "", [Finding("PE-MODEL-002", "error", f"{path} is no file")]
    try:
        model = load_model(
            ModelLocation(folder, (path.parent.name.removeprefix("fold_"),), path.name), torch.device("cpu")
        )
        (record,) = model.records
    except (PEError, MemoryError) as error:
        if isinstance(error, MemoryError):
            raise
        return file_sha256(path), [Finding.of(error)]
    except Exception as error:  # noqa: BLE001 - plans and checkpoints of another layout make nnU-Net raise anything
        text = f"{path} does not fit the plans beside it: {type(error).__name__}: {error}"
        return file_sha256(path), [Finding.of(ConfigurationError("PE-MODEL-003", text))]
    trained_as = folder.name.split("__")
    configuration = model.configuration_name
    found = []
    if len(trained_as) == _PARTS and configuration != trained_as[2]:
        found.append(disagree(f"{path} is of the configuration {configuration}, and lies in {folder.name}"))
    return record.sha256, found


def _calibration_findings(folder: Path, sha256: dict[str, str]) -> tuple[int, list[Finding]]:
    """Whether `fusion.json` was chosen for the checkpoints that are here; it may be for models beside this one too."""
    from pe_nnunet.fusion.stored import NAME, read_fusion
    from pe_nnunet.fusion.weights import Weights

    path = folder / NAME
    if not path.is_file():
        return 0, []
    try:
        stored = read_fusion(path)
    except PEError as error:
        return 1, [Finding.of(error)]
    if folder.resolve().name not in stored.ensemble:
        return 1, [Finding("PE-FUS-005", "error", f"{path} was chosen for other models: {', '.join(stored.ensemble)}")]
    if stored.weights is None:
        return 1, [Finding("PE-FUS-009", "warning", f"{path} does not say for which weights it was chosen")]
    own = {fold: of for (model, fold), of in stored.weights.models.items() if model == folder.resolve().name}
    found = [
        Finding("PE-VER-003", "error", f"{path} was chosen with {checkpoint} of fold {fold}, which is missing")
        for fold, (checkpoint, _) in sorted(own.items())
        if not (folder / f"fold_{fold}" / checkpoint).is_file()
    ]
    now = {
        (folder.resolve().name, fold): (checkpoint, sha256[name])
        for fold, (checkpoint, _) in own.items()
        if (name := f"fold_{fold}/{checkpoint}") in sha256
    }
    others = Weights(now).not_among(Weights(stored.weights.models))
    return 1, found + [
        Finding("PE-FUS-008", "error", f"{path} was chosen for other weights: {other}") for other in others
    ]


def _validation_findings(folder: Path, folds: Sequence[str], sha256: dict[str, str]) -> tuple[int, list[Finding]]:
    """Whether the predictions of each fold's validation are there, and of the checkpoint that is there."""
    from pe_nnunet.dataset.dataset_json import read_dataset_json
    from pe_nnunet.dataset.validation_record import NAME, ValidationRecord

    found, files, ending = list[Finding](), 0, ".nii.gz"
    with suppress(PEError):  # of which `check` tells
        ending = read_dataset_json(folder).get("file_ending", ending)
    for fold in folds:
        place = folder / f"fold_{fold}" / "validation"
        if not (place / NAME).is_file():
            continue
        record, files = ValidationRecord.read(place), files + 1
        if record is None:
            found.append(Finding("PE-VER-008", "error", f"{place / NAME} cannot be read"))
            continue
        name = f"fold_{fold}/{record.checkpoint}"
        if record.checkpoint and name in sha256 and sha256[name] != record.sha256:
            found.append(Finding("PE-VER-004", "error", f"{place} was predicted by another {record.checkpoint}"))
        for case in record.cases:
            path, files = place / f"{case}{ending}", files + 1
            missing = Finding("PE-VER-003", "error", f"{path}, which {NAME} names, is missing")
            found += whole_findings(path) if path.is_file() else [missing]
    return files, found
