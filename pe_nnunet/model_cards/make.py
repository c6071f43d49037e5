"""The card of a model that is given to others, from its files, an earlier card and what its author states."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pe_nnunet.errors import ConfigurationError, InputError, Note
from pe_nnunet.fusion.stored import NAME as FUSION_FILE
from pe_nnunet.inference.locate import ModelLocation
from pe_nnunet.inference.model_card import MODEL_CARD, is_card
from pe_nnunet.model_cards.card import altered, card_text, read_card
from pe_nnunet.model_cards.facts import model_facts
from pe_nnunet.model_cards.scores import calibration_facts, evaluation_facts


@dataclass(frozen=True)
class Stated:
    """What a model's files do not say of it.

    Attributes:
        licence: Of the weights.
        citation: What whoever uses it is asked to cite.
        limits: What else its users should know.
        evaluations: Name and folder of each.
    """

    licence: str = ""
    citation: str = ""
    limits: str = ""
    evaluations: tuple[tuple[str, Path], ...] = ()


def make_card(location: ModelLocation, stated: Stated, *, calibrated: bool) -> tuple[str, list[Note]]:
    """The card of a model, and what is doubtful about it.

    What is not stated is taken from `dataset.json` or from the card that lies in the model's folder, evaluations from
    the latter if it is of the same weights.

    Args:
        location: The model and its folds.
        stated: By its author.
        calibrated: Whether its `fusion.json` goes with it.

    Raises:
        ConfigurationError: PE-MODEL-026 for a licence other than that of `dataset.json`, PE-MODEL-027 for an evaluation
            that cannot be read, and as `model_facts`.
    """
    facts, notes = model_facts(location), list[Note]()
    _require_own_licence(location.folder, stated.licence, facts["model"]["licence"])
    earlier, note = _earlier_card(location.folder)
    if note is not None:
        notes.append(note)
    of_files, of_earlier = facts["model"], {} if earlier is None else earlier["stated"]
    statements = {
        key: getattr(stated, key) or of_files.get(key) or of_earlier.get(key, "") for key in ("citation", "limits")
    }
    licence = of_files["licence"] or stated.licence or of_earlier.get("licence", "")
    evaluations = [evaluation_facts(folder, name) for name, folder in stated.evaluations]
    if not evaluations and earlier is not None and _weights(earlier) == _weights(facts):
        evaluations = earlier["evaluations"]
    facts |= {
        "stated": {"licence": licence, **statements},
        "calibration": calibration_facts(location.folder / FUSION_FILE) if calibrated else None,
        "evaluations": evaluations,
    }
    return card_text(facts), notes


def _require_own_licence(folder: Path, given: str, stated: str) -> None:
    """Weights that came under a licence are not given on under another."""
    one, other = (re.sub(r"[\W_]+", "", name).casefold() for name in (given, stated))
    if one and other and one != other:
        raise ConfigurationError(
            "PE-MODEL-026",
            f"--licence {given}: the dataset.json of {folder.name} states {stated}",
            "leave --licence out; if the weights are yours, correct dataset.json",
        )


def _earlier_card(folder: Path) -> tuple[dict[str, Any] | None, Note | None]:
    path = folder / MODEL_CARD
    if not path.exists():
        return None, None
    if not is_card(path):
        return None, Note("PE-MODEL-028", "warning", f"{path} is no model card of pe-nnunet: a new one is exported")
    try:
        facts, text = read_card(path)
    except InputError as error:
        return None, Note("PE-MODEL-028", "warning", f"{error.message}: a new one is exported")
    if (change := altered(text, facts)) is not None:
        text = f"{path} was altered after it was written ({change}): nothing is taken from it"
        return None, Note("PE-MODEL-028", "warning", text)
    return facts, None


def _weights(facts: Mapping[str, Any]) -> set[str]:
    return {fold["sha256"] for fold in facts["folds"]}
