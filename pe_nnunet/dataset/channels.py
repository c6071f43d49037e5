"""The channels that `dataset.json` names: CT first, and what nnU-Net makes of the names of all."""

from __future__ import annotations

import json
from typing import Any

from pe_nnunet.errors import ConfigurationError, Note

CT = "ct"
KNOWN = (CT, "nonorm", "zscore", "rescale_to_0_1", "rgb_to_0_1")  # names that nnU-Net tells apart, in any case
LIKE_CT = ("cta", "ctpa", "ct_", "ct-", "ct ", "_ct", "computed", "angio", "hu")


def channel_names(dataset_json: dict[str, Any]) -> list[str]:
    """Names of the image channels, in the order of the files `_0000`, `_0001`, ...

    Args:
        dataset_json: A dataset's `dataset.json`.

    Raises:
        ConfigurationError: PE-PLN-005 if it names none, or not by 0, 1, 2, ... in this order.

    Example:
        >>> channel_names({"channel_names": {"0": "CT", "1": "noNorm"}})
        ['CT', 'noNorm']
    """
    given = dataset_json.get("channel_names") or dataset_json.get("modality")
    # nnU-Net takes normalisations in the order in which they stand, and files by their numbers
    if not isinstance(given, dict) or not given or [str(key) for key in given] != list(map(str, range(len(given)))):
        raise ConfigurationError(
            "PE-PLN-005",
            f"channel_names in dataset.json is {json.dumps(given)}",
            'expected {"0": "CT"}, further channels as "1", "2", ... in this order',
        )
    return [str(name) for name in given.values()]


def channel_count(dataset_json: dict[str, Any]) -> int:
    """Image channels of a trained model, one where its `dataset.json` names none."""
    return len(dataset_json.get("channel_names") or dataset_json.get("modality") or (CT,))


def check_channels(dataset_json: dict[str, Any]) -> list[Note]:
    """Refuse images whose first channel nnU-Net would not normalise as CT, and note what becomes of the others.

    Emboli are found by their Hounsfield units, and lungs in the first channel. A name that nnU-Net does not know means
    z-scores to it, and it says nothing.

    Args:
        dataset_json: A dataset's `dataset.json`.

    Raises:
        ConfigurationError: PE-PLN-005 if the first channel is neither CT nor normalised otherwise on purpose.
    """
    first, *others = channel_names(dataset_json)
    notes = []
    if first.casefold() not in KNOWN:
        later = next((i for i, name in enumerate(others, 1) if name.casefold() == CT), None)
        hint = f"exchange the channels, files _0000 and _{later:04d}" if later else 'call it "CT", if it is in HU'
        raise ConfigurationError(
            "PE-PLN-005",
            f"channel 0 is called {first!r} in dataset.json, which nnU-Net takes for no CT and normalises to z-scores",
            hint,
        )
    if first.casefold() != CT:
        text = f"channel 0 is called {first!r}: not taken for HU, so that no emboli are replicated, nor arteries known"
        notes.append(Note("PE-PLN-008", "warning", text))
    for index, name in enumerate(others, 1):
        if name.casefold() in KNOWN:
            continue
        how = '"CT", if it is in HU' if name.casefold().startswith(LIKE_CT) else '"noNorm" leaves a mask as it is'
        text = f"channel {index} is called {name!r}, which nnU-Net normalises to z-scores; {how}"
        notes.append(Note("PE-PLN-008", "warning", text))
    return notes
