"""The metadata of a card by which Hugging Face lists and finds models.

Source: Hugging Face, model card metadata (hub-docs, modelcard.md) and its parser, huggingface_hub.ModelCardData.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pe_nnunet.model_cards.scores import label_of

LIBRARY = "pe_nnunet"
TASK = "image-segmentation"
TAGS = ("medical", "radiology", "ct", "ctpa", "pulmonary-embolism", "segmentation", "detection", "nnunet")
UNKNOWN, OTHER = "unknown", "other"
# Of the hub's list those that weights and data come under; what is not among them is `other`, with its name.
LICENCES = frozenset(
    {
        "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-2.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0",
        "openrail", "cc0-1.0", "cc-by-4.0", "cc-by-3.0", "cc-by-sa-4.0", "cc-by-sa-3.0", "cc-by-nc-4.0", "cc-by-nc-3.0",
        "cc-by-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-sa-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-nd-3.0", "unlicense",
    }
)  # fmt: skip
_TYPES = {"sensitivity": "recall"}  # the hub's names where they are others


def metadata(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What goes on top of a card, but for our own facts.

    Args:
        facts: Of the card.
    """
    model = facts["model"]
    results = [*_results(facts)]
    return {
        **licence_fields(facts["stated"]["licence"]),
        "library_name": LIBRARY,
        "pipeline_tag": TASK,
        "tags": list(TAGS),
        "datasets": [model["dataset"]],
        **({"model-index": [{"name": model["name"], "results": results}]} if results else {}),
    }


def licence_fields(licence: str) -> dict[str, str]:
    """A licence under the hub's names.

    Example:
        >>> licence_fields("CC BY-NC 4.0")
        {'license': 'cc-by-nc-4.0'}
        >>> licence_fields("by contract"), licence_fields("")
        ({'license': 'other', 'license_name': 'by-contract'}, {'license': 'unknown'})
    """
    if not licence.strip():
        return {"license": UNKNOWN}
    name = re.sub(r"[\s_]+", "-", licence.strip().lower())
    if name in LICENCES:
        return {"license": name}
    return {"license": OTHER, "license_name": re.sub(r"[^a-z0-9.+-]+", "-", name).strip("-")[:96] or OTHER}


def _results(facts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    calibration, dataset = facts["calibration"], facts["model"]["dataset"]
    if calibration is not None and calibration["on_other_patients"] is not None:
        held = calibration["on_other_patients"]
        measured = {name: one for name, one in held.items() if isinstance(one, Mapping)}
        yield _result(f"{dataset}, cross-validated calibration", measured)
    for evaluation in facts["evaluations"]:
        yield _result(evaluation["name"], evaluation["metrics"])


def _result(dataset: str, measured: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    metrics = []
    for name, one in measured.items():
        metric = {"type": _TYPES.get(name, name), "value": one["value"], "name": label_of(name)}
        if one["low"] is not None:
            metric["args"] = {"interval_95_low": one["low"], "interval_95_high": one["high"]}
        metrics.append(metric)
    kind = re.sub(r"[^A-Za-z0-9._-]+", "-", dataset).strip("-") or "private"
    return {
        "task": {"type": TASK, "name": "Pulmonary embolism in CT pulmonary angiography"},
        "dataset": {"type": kind, "name": dataset},
        "metrics": metrics,
    }
