"""As what the values of labels and predictions are read: as the settings say, and as the `dataset.json` beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pe_nnunet.dataset.label_values import (
    LabelValues,
    class_label_of,
    dataset_json_beside,
    holds_ids,
    read_label_values,
)
from pe_nnunet.errors import ConfigurationError, Note
from pe_nnunet.evaluation.prediction_pairing import CaseFiles, is_study_label, written_by_us
from pe_nnunet.metrics.instances import AUTO, LabelKind

IDS = LabelKind("instances")
READ_AS = "read_as"  # in summary.json: what was taken for embolus, and what was ignored


@dataclass(frozen=True)
class ReadAs:
    """How one side of an evaluation is read.

    Attributes:
        kind: What the values mean.
        dataset: The labels of the `dataset.json` that was found or named; None without one.
        by_name: Whether it was that file that said which values are emboli.
        borrowed: Whether it is that of the other side.
        ids: Whether these are a converted dataset's ids of emboli, of which `dataset.json` says no more than which
            values of nnU-Net's labels are ignored.
    """

    kind: LabelKind
    dataset: LabelValues | None = None
    by_name: bool = False
    borrowed: bool = False
    ids: bool = False

    @property
    def ignored(self) -> tuple[int, ...]:
        """The values of nnU-Net's labels that are ignored."""
        return () if self.dataset is None else self.dataset.ignored

    def __str__(self) -> str:
        """What a person should know: what is embolus, what is ignored, and who says so."""
        name = f"{self.dataset.name}, {self.kind}" if self.by_name and self.dataset is not None else str(self.kind)
        ignored = f"; ignored: {', '.join(map(str, self.ignored))}" if self.ignored else ""
        return f"embolus is {name}{ignored}" + ("" if self.dataset is None else f"; by {self.dataset.source}")

    def to_dict(self) -> dict[str, Any]:
        """In JSON's types: what was taken for embolus, what was ignored, and the file that says so."""
        return {
            "kind": str(self.kind),
            "embolus": self.dataset.name if self.by_name and self.dataset is not None else None,
            "embolus_values": list(self.kind.embolus_values),
            "ignored_values": list(self.ignored),
            "dataset_json": None if self.dataset is None else str(self.dataset.source),
        }


def labels_read_as(folder: Path, given: LabelKind, dataset_json: Path | None = None) -> ReadAs:
    """How a folder of labels is read.

    Args:
        folder: Of the labels.
        given: What was asked for. `auto` takes the emboli from `dataset.json`; whatever is given, the ignore label of
            that file stays ignored.
        dataset_json: Where it lies if not beside the labels.

    Raises:
        ConfigurationError: PE-EVAL-014 if there is one and it does not say which label is an embolus, or calls the
            class that was asked for ignored.
    """
    path = dataset_json or dataset_json_beside(folder)
    if path is None:
        return ReadAs(given)
    dataset = read_label_values(path)
    if holds_ids(folder):
        return ReadAs(IDS if given == AUTO else given, dataset, ids=True)
    if given == AUTO:
        return ReadAs(_classes(dataset), dataset, by_name=True)
    if common := sorted(set(given.embolus_values) & set(dataset.ignored)):
        raise ConfigurationError(
            "PE-EVAL-014", f"--label-kind {given}, but {dataset.source} says that {common[0]} is ignored", "correct one"
        )
    # ids beside an ignore label can only lie below it
    known = tuple(range(max(dataset.ignored) + 1)) if given.kind == "instances" and dataset.ignored else ()
    return ReadAs(replace(given, ignored=dataset.ignored, known=known), dataset)


def predictions_read_as(predictions: Path, given: LabelKind, labels: ReadAs) -> ReadAs:
    """How a folder of predictions is read, where nothing beside a single prediction says that it holds ids.

    Args:
        predictions: A folder, or a file of markers.
        given: What was asked for; `auto` takes the emboli from the `dataset.json` beside the predictions, or else from
            that of the labels where it has other classes too.
        labels: How these are read.

    Raises:
        ConfigurationError: PE-EVAL-014 if such a file does not say which label is an embolus.
    """
    if given != AUTO or not predictions.is_dir():
        return ReadAs(given)
    if holds_ids(predictions):
        return ReadAs(IDS, ids=True)
    if path := dataset_json_beside(predictions):
        dataset = read_label_values(path)
        return ReadAs(_classes(dataset), dataset, by_name=True)
    if labels.dataset is None or labels.kind.kind != "class" or not labels.dataset.several_classes:
        return ReadAs(AUTO)
    kind = replace(labels.kind, known=labels.dataset.known)
    return ReadAs(kind, labels.dataset, by_name=labels.by_name, borrowed=True)


def with_kinds(files: CaseFiles, labels: ReadAs, predictions: ReadAs, *, named: bool = False) -> CaseFiles:
    """A case with what the values of its files mean.

    Args:
        files: Of the case.
        labels: How its label is read.
        predictions: How its prediction is read, unless it lies beside what this package writes with ids of findings.
        named: The `dataset.json` was named, and not just found beside the labels.
    """
    if is_study_label(files.label) and labels.by_name and not named:
        labels = ReadAs(AUTO)  # what is called emboli in a study's own folder is no class map
    ids = (
        predictions.dataset is not None
        and files.mask is not None
        and (written_by_us(files.mask) or (predictions.borrowed and files.table is not None))
    )
    ignored_in = class_label_of(files.label, labels.dataset.source) if labels.ids and labels.dataset else None
    return replace(
        files,
        label_kind=labels.kind,
        prediction_kind=AUTO if ids else predictions.kind,
        ignored_in=ignored_in if labels.ignored else None,
        ignored_values=labels.ignored,
    )


def notes_on_reading(files: Mapping[str, CaseFiles], labels: ReadAs, predictions: ReadAs) -> list[Note]:
    """What deserves a look.

    Args:
        files: All cases, from `with_kinds`.
        labels: How labels are read.
        predictions: How predictions are read.
    """
    by_class = any(case.mask is not None and case.prediction_kind == predictions.kind for case in files.values())
    named = {
        side.dataset.source: side.dataset
        for side in (labels, *([predictions] if by_class else []))
        if side.by_name and side.dataset is not None
    }
    texts = [
        f"{source} calls no label PE; its only one, {dataset.name}, is taken for embolus"
        for source, dataset in named.items()
        if not dataset.named
    ]
    if predictions.borrowed and by_class:
        texts.append(
            f"no dataset.json beside the predictions: they are read as the labels, {predictions.kind}; "
            "--prediction-kind says if they are ids or plain masks"
        )
    if labels.ids and labels.ignored and (bare := sorted(c for c, case in files.items() if case.ignored_in is None)):
        texts.append(f"no label of classes beside the ids of {', '.join(bare)}: nothing is ignored there")
    return [Note("PE-EVAL-015", "warning", text) for text in texts]


def _classes(dataset: LabelValues) -> LabelKind:
    return LabelKind("class", *dataset.for_classes)
