"""A model card: whether it is as it was written, and whether its numbers are those of the files that they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pe_nnunet.cases import CaseLimits, work_through
from pe_nnunet.errors import InputError, PEError
from pe_nnunet.verification.findings import Checked, Finding

_NAMED = 8  # differences that are listed one by one


def card_findings(folder: Path, limits: CaseLimits | None) -> tuple[int, list[Finding]]:
    """How many cards lie in a model's folder, none or one, and what is wrong with it.

    Args:
        folder: Of the model.
        limits: As in `pe_nnunet.verification.verify.verify`: checkpoints are read again.
    """
    from pe_nnunet.inference.model_card import MODEL_CARD, is_card

    if not is_card(folder / MODEL_CARD):
        return 0, []
    results, lost = work_through(_compare, {folder.name: folder}, limits=limits, quiet=True)
    found = [finding for findings in results.values() for finding in findings]
    return 1, found + [Finding.of(failure) for failure in lost]


def check_evaluation(evaluation: Path, models: Sequence[Path]) -> Checked:
    """Compare what the cards of models say of an evaluation with the evaluation.

    Args:
        evaluation: Written by `pe-nnunet evaluate`.
        models: Folders of models.
    """
    from pe_nnunet.inference.model_card import MODEL_CARD, is_card
    from pe_nnunet.model_cards.card import read_card
    from pe_nnunet.model_cards.scores import evaluation_facts

    found, named = list[Finding](), False
    for path in (folder / MODEL_CARD for folder in models if is_card(folder / MODEL_CARD)):
        try:
            now = evaluation_facts(evaluation, "")
            for said in read_card(path)[0]["evaluations"]:
                if said["sha256"] == now["sha256"]:
                    named = True
                    found += _differences(path, f"evaluation {said['name']}", said, now | {"name": said["name"]})
        except PEError as error:
            found.append(Finding.of(error))
    if not named and not found:
        where = ", ".join(map(str, models)) or "no model"
        text = f"no model card has scores of {evaluation} as it is now; looked at: {where}"
        found.append(Finding("PE-VER-013", "error", text))
    return Checked(evaluation, "scores on model cards", 1, found)


def _compare(folder: Path) -> list[Finding]:
    """In a process of its own."""
    from pe_nnunet.fusion.stored import NAME as FUSION_FILE
    from pe_nnunet.inference.locate import ModelLocation
    from pe_nnunet.inference.model_card import MODEL_CARD
    from pe_nnunet.model_cards.card import altered, read_card
    from pe_nnunet.model_cards.facts import model_facts
    from pe_nnunet.model_cards.scores import calibration_facts
    from pe_nnunet.volumes.files.volume_file import file_sha256

    path = folder / MODEL_CARD
    try:
        facts, text = read_card(path)
    except InputError as error:
        return [Finding.of(error)]
    found = []
    if (change := altered(text, facts)) is not None:
        found.append(Finding("PE-VER-010", "error", f"{path} was altered after it was written: {change}"))
    try:
        folds = {str(fold["fold"]): str(fold["checkpoint"]) for fold in facts["folds"]}
        files = [f"fold_{fold}/{name}" for fold, name in folds.items()]
        if gone := [name for name in files if not (folder / name).is_file()]:
            return [*found, *(Finding("PE-VER-003", "error", f"{path}: {name} is missing") for name in gone)]
        (checkpoint,) = set(folds.values())
        now = model_facts(ModelLocation(folder, tuple(folds), checkpoint))
        for section, of_files in now.items():
            found += _differences(path, section, facts[section], of_files)
        if (licence := now["model"]["licence"]) and facts["stated"]["licence"] != licence:
            said = facts["stated"]["licence"] or "nothing"
            found.append(
                Finding("PE-VER-011", "error", f"{path}: the licence is {said}, and dataset.json has {licence}")
            )
        fusion = folder / FUSION_FILE
        if facts["calibration"] is not None and not fusion.is_file():
            found.append(Finding("PE-VER-003", "error", f"{path}: {FUSION_FILE} is missing"))
        elif fusion.is_file():
            if facts["calibration"] is None or facts["calibration"]["sha256"] != file_sha256(fusion):
                text = f"{fusion} is not the calibration that {path.name} describes: it was calibrated again"
                found.append(Finding("PE-VER-014", "warning", text))
            else:
                found += _differences(path, "calibration", facts["calibration"], calibration_facts(fusion))
    except PEError as error:
        found.append(Finding.of(error))
    except (TypeError, ValueError, KeyError) as error:
        text = f"{path} cannot be read as a model card: its folds are of other kinds than expected ({error})"
        found.append(Finding("PE-VER-012", "error", text))
    return found


def _differences(path: Path, where: str, said: Any, now: Any) -> list[Finding]:
    different = list(_pairs(where, said, now))
    found = [
        Finding("PE-VER-011", "error", f"{path}: {place} is {one!s:.100}, and its files have {other!s:.100}")
        for place, one, other in different[:_NAMED]
    ]
    if len(different) > _NAMED:
        text = f"{path}: {len(different) - _NAMED} more values of {where} are not those of its files"
        found.append(Finding("PE-VER-011", "error", text))
    return found


def _pairs(where: str, one: Any, other: Any) -> Iterator[tuple[str, Any, Any]]:
    """Where two values of JSON's types differ, and how."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in dict.fromkeys((*one, *other)):
            yield from _pairs(f"{where}, {key}", one.get(key), other.get(key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from _pairs(f"{where}, {number}", a, b)
    elif one != other:
        yield where, one, other
