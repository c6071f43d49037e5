"""nnU-Net's `dataset.json`: which label, and which output channel of a network, is PE."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files.json_reader import MALFORMED, read_object, why

# Names of the PE label, without spaces, _ and -, in lower case.
PE_NAMES = (
    "pe", "embolus", "emboli", "embolism", "pulmonaryembolism", "pulmonaryembolus", "pulmonaryemboli", "clot", "clots",
    "bloodclot", "thrombus", "thrombi",
)  # fmt: skip
DATASET = "dataset.json"


def read_dataset_json(folder: Path, code: str = "PE-MODEL-001") -> dict[str, Any]:
    """The `dataset.json` of a model folder, or of a dataset's.

    Args:
        folder: That holds it.
        code: Of the error.

    Raises:
        ConfigurationError: With that code if it is not there, or does not name labels.
    """
    path = folder / DATASET
    try:
        content = read_object(path)
        for value in content["labels"].values():  # by name
            values_of(value)
        channels = content.get("channel_names") or content.get("modality") or {}
        if not isinstance(channels, dict):
            raise TypeError("its channel_names are no object")
    except MALFORMED as error:
        text = f"{path} cannot be read: {why(error)}"
        raise ConfigurationError(code, text, "name a folder that nnU-Net wrote") from error
    return content


def licence_of(dataset_json: Mapping[str, Any]) -> str:
    """The licence of a model's weights as its `dataset.json` states it; empty if it does not."""
    return _text(dataset_json, ("licence", "license"))


def citation_of(dataset_json: Mapping[str, Any]) -> str:
    """What whoever uses a model is asked to cite, as its `dataset.json` states it; empty if it does not."""
    return _text(dataset_json, ("citation", "reference"))


def notice_of(dataset_json: Mapping[str, Any]) -> str:
    """What whoever uses a model has to know first, as its `dataset.json` states it; empty if it does not."""
    return _text(dataset_json, ("notice",))


def _text(content: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    return next((value for key in keys if isinstance(value := content.get(key), str) and value.strip()), "")


def means_pe(name: str) -> bool:
    """Whether a label of this name is PE.

    Example:
        >>> means_pe("Pulmonary-Embolism"), means_pe("artery")
        (True, False)
    """
    return re.sub(r"[\s_-]+", "", name).lower() in PE_NAMES


def pe_name(labels: Mapping[str, Any]) -> str:
    """The name of the PE label in an nnU-Net `dataset.json`: one of `PE_NAMES`, or the only one that there is.

    Args:
        labels: Its `labels`: name -> value, or list of values for a region.

    Raises:
        ConfigurationError: If no label, or more than one, can be meant (PE-MODEL-004).

    Example:
        >>> pe_name({"background": 0, "artery": [1, 2], "PE": 2})
        'PE'
    """
    foreground = [name for name in labels if name not in ("background", "ignore")]
    named = [name for name in foreground if means_pe(name)]
    candidates = named or foreground
    if len(candidates) != 1:
        raise ConfigurationError(
            "PE-MODEL-004",
            f"cannot tell which label is PE among {', '.join(foreground) or 'none'}",
            "call it PE in dataset.json",
        )
    return candidates[0]


def pe_label_values(labels: Mapping[str, Any]) -> tuple[int, ...]:
    """The voxel values that mean PE.

    Example:
        >>> pe_label_values({"background": 0, "artery": [1, 2], "PE": 2})
        (2,)
    """
    return values_of(labels[pe_name(labels)])


def values_of(value: Any) -> tuple[int, ...]:
    """The values of a label, which is one, or of a region, which is a list.

    Raises:
        TypeError, ValueError: If one is no whole number.

    Example:
        >>> values_of(2), values_of([1, 2])
        ((2,), (1, 2))
    """
    given = value if isinstance(value, (list, tuple)) else (value,)
    values = tuple(int(v) for v in given)
    if any(isinstance(v, float) and v != whole for v, whole in zip(given, values, strict=True)):
        raise ValueError(f"{value} is no whole number")
    return values


def ignored_values(labels: Mapping[str, Any]) -> tuple[int, ...]:
    """The value of nnU-Net's ignore label, of voxels of which nobody says what they are; empty where there is none.

    Example:
        >>> ignored_values({"background": 0, "PE": 1, "ignore": 2})
        (2,)
    """
    return values_of(labels["ignore"]) if "ignore" in labels else ()


def artery_label_values(labels: Mapping[str, Any]) -> tuple[int, ...]:
    """The voxel values that lie in arteries, clot included; empty where labels do not tell arteries.

    Example:
        >>> artery_label_values({"background": 0, "artery": [1, 2], "PE": 2})
        (1, 2)
    """
    if labels.get("artery") is None:
        return ()
    return tuple(sorted({*values_of(labels["artery"]), *pe_label_values(labels)}))


def pe_channel(labels: Mapping[str, Any], regions: bool) -> int:
    """The output channel of PE: under regions counted among the foreground regions, otherwise its class number.

    Example:
        >>> pe_channel({"background": 0, "artery": [1, 2], "PE": 2}, regions=True)
        1
        >>> pe_channel({"background": 0, "PE": 1}, regions=False)
        1
    """
    name = pe_name(labels)
    if not regions:
        return pe_label_values(labels)[0]
    return _regions(labels).index(name)


def artery_channel(labels: Mapping[str, Any], regions: bool) -> int | None:
    """The output channel of arteries, clot included; None where a network has no such region.

    Example:
        >>> artery_channel({"background": 0, "artery": [1, 2], "PE": 2}, regions=True)
        0
        >>> artery_channel({"background": 0, "PE": 1}, regions=False)
    """
    return _regions(labels).index("artery") if regions and "artery" in labels else None


def has_regions(dataset_json: Mapping[str, Any]) -> bool:
    """Whether channels are sigmoid regions: where a label has several values, as nnU-Net decides.

    Example:
        >>> has_regions({"labels": {"background": 0, "artery": [1, 2], "PE": 2}, "regions_class_order": [1, 2]})
        True
        >>> has_regions({"labels": {"background": 0, "PE": [1]}, "regions_class_order": [1]})
        False
    """
    return any(isinstance(value, (list, tuple)) and len(value) > 1 for value in dataset_json["labels"].values())


def foreground_channels(dataset_json: Mapping[str, Any]) -> list[int]:
    """The output channels that are not background.

    Example:
        >>> foreground_channels({"labels": {"background": 0, "artery": 1, "PE": 2, "ignore": 3}})
        [1, 2]
        >>> foreground_channels({"labels": {"background": 0, "artery": [1, 2], "PE": 2}})
        [0, 1]
    """
    count = len(_regions(dataset_json["labels"]))
    return list(range(count)) if has_regions(dataset_json) else list(range(1, count + 1))


def output_names(dataset_json: Mapping[str, Any]) -> list[str]:
    """What each output channel of a network means, in words that two datasets share: PE is PE, whatever it is called.

    Regions name the values that they are made of: an artery with the clot in it is another output than one without.

    Example:
        >>> output_names({"labels": {"background": 0, "Embolus": 2, "Artery": 1, "ignore": 3}})
        ['background', 'artery', 'PE']
        >>> output_names({"labels": {"background": 0, "artery": [1, 2], "PE": 2}, "regions_class_order": [1, 2]})
        ['artery [1, 2]', 'PE [2]']
    """
    labels = dataset_json["labels"]
    names = {name: "PE" if means_pe(name) else name.casefold() for name in labels}
    if has_regions(dataset_json):
        return [f"{names[name]} {list(values_of(labels[name]))}" for name in _regions(labels)]
    single = [name for name in labels if name != "ignore"]
    return [names[name] for name in sorted(single, key=lambda name: values_of(labels[name]))]


def _regions(labels: Mapping[str, Any]) -> list[str]:
    """Region names in the order of a network's channels."""
    background = (0, [0], (0,))
    return [key for key, value in labels.items() if key not in ("background", "ignore") and value not in background]
