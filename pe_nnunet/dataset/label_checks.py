"""Whether the labels of `dataset.json` can be trained on, and whether label images hold only them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from pe_nnunet.dataset.dataset_json import pe_label_values
from pe_nnunet.errors import ConfigurationError


def check_label_names(dataset_json: dict[str, Any]) -> None:
    """Refuse labels of which none, or more than one, is PE, and those that nnU-Net cannot number.

    Args:
        dataset_json: A dataset's `dataset.json`.

    Raises:
        ConfigurationError: PE-PLN-004.
    """
    labels = dataset_json["labels"]
    regions = [value for value in labels.values() if isinstance(value, list) and len(value) > 1]
    if not regions:
        values = sorted(value for name in labels for value in _numbers(labels[name]))
        if values != list(range(len(values))):
            raise ConfigurationError(
                "PE-PLN-004",
                f"the labels in dataset.json are {labels}: expected background 0, then 1, 2, ... without a gap",
                "number them so in dataset.json and in the label images",
            )
    elif not dataset_json.get("regions_class_order"):
        raise ConfigurationError(
            "PE-PLN-004",
            f"the labels in dataset.json are {labels}: regions, without a regions_class_order",
            'add "regions_class_order", one value a region: [1] for "PE": [1, 2]',
        )
    try:
        pe_label_values(labels)
    except ConfigurationError as error:
        foreground = [name for name in labels if name not in ("background", "ignore")]
        values = sorted({value for name in foreground for value in _numbers(labels[name])})
        raise ConfigurationError(
            "PE-PLN-004",
            f"{error.message}, in dataset.json",
            f'call the one PE; if PE is all of them: {{"background": 0, "PE": {values}}} and '
            f'"regions_class_order": [1], or one value for all',
        ) from error


def declared_values(dataset_json: dict[str, Any]) -> set[int]:
    """The values that voxels of a label image may have; -1 is nnU-Net's own, outside of the image."""
    return {-1, 0} | {value for given in dataset_json["labels"].values() for value in _numbers(given)}


def undeclared(found: Iterable[int], declared: Collection[int]) -> str | None:
    """What to say of values that a label image holds and `dataset.json` does not name, or None.

    Args:
        found: Values in the label.
        declared: Those of `declared_values`.

    Example:
        >>> undeclared([0, 1, 2, 3], {-1, 0, 1})
        'the label values 2, 3, dataset.json names 0, 1'
    """
    strange = sorted({int(value) for value in found} - set(declared))
    if not strange:
        return None
    shown = ", ".join(map(str, strange[:5])) + (", ..." if len(strange) > 5 else "")
    known = ", ".join(str(value) for value in sorted(declared) if value >= 0)
    return f"the label value{'' if len(strange) == 1 else 's'} {shown}, dataset.json names {known}"


UNDECLARED_HINT = (
    "ids of emboli and other values of PE must become the value of PE: `pe-nnunet convert` with --label-kind instances "
    "or --label-map; or name them in dataset.json"
)


def _numbers(value: Any) -> list[int]:
    return [int(item) for item in value] if isinstance(value, (list, tuple)) else [int(value)]
