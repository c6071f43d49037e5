"""What the voxel values of labels and class maps mean: the `dataset.json` that lies beside them says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pe_nnunet.dataset.dataset_json import DATASET, means_pe, values_of
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files.json_reader import MALFORMED, read_object, why

CODE = "PE-EVAL-014"
PLANS = "plans.json"
LABEL_FOLDERS = ("labelsTr", "labelsTs", "labelsVal", "gt_segmentations")  # how names of nnU-Net's folders begin
IDS_FOLDER = ("pe_nnunet", "instances")  # of a converted dataset
BACKGROUND, IGNORE = "background", "ignore"
# Parts of names of what is no embolus, though it be the only label.
ANATOMY = ("arter", "vein", "vessel", "vascul", "lung", "lobe", "heart", "aorta", "airway", "trachea", "body")


@dataclass(frozen=True)
class LabelValues:
    """The labels of a `dataset.json`.

    Attributes:
        by_name: Name -> the values that it has, several for a region; background is 0.
        source: The file.

    Example:
        >>> labels = LabelValues.of({"background": 0, "artery": [1, 2], "PE": 2, "ignore": 3}, Path("dataset.json"))
        >>> labels.name, labels.embolus, labels.ignored, labels.known, labels.several_classes
        ('PE', (2,), (3,), (0, 1, 2, 3), True)
    """

    by_name: Mapping[str, tuple[int, ...]]
    source: Path

    @classmethod
    def of(cls, labels: Any, source: Path) -> LabelValues:
        """From the `labels` of a `dataset.json`.

        Args:
            labels: name -> value, or list of values for a region; or, as nnU-Net v1 and the Medical Segmentation
                Decathlon have it, value -> name.
            source: The file, for errors.

        Raises:
            ConfigurationError: PE-EVAL-014 if they are no labels, or `ignore` shares a value with another.
        """
        try:
            pairs = [(str(name), value) for name, value in labels.items()]
            if pairs and all(name.isdecimal() and isinstance(value, str) for name, value in pairs):
                pairs = [(value, int(name)) for name, value in pairs]
            by_name = {name: tuple(sorted(set(values_of(value)))) for name, value in pairs}
        except MALFORMED as error:
            raise _no_labels(source, f"its labels are {labels!r}") from error
        found = cls(by_name, source)
        if not by_name or any(not values or values[0] < 0 for values in by_name.values()):
            raise _no_labels(source, f"its labels are {labels!r}")
        meant = {value for name, values in by_name.items() if not _is(name, IGNORE) for value in values}
        if len(found.ignored) > 1 or (meant | {0}) & set(found.ignored):
            raise _no_labels(source, f"ignore is {list(found.ignored)}, expected one value of its own")
        return found

    @property
    def ignored(self) -> tuple[int, ...]:
        """The value of the voxels of which nobody says what they are; empty where there is none."""
        return tuple(value for name, values in self.by_name.items() if _is(name, IGNORE) for value in values)

    @property
    def known(self) -> tuple[int, ...]:
        """All values that a label may hold, ascending."""
        return tuple(sorted({0, *(value for values in self.by_name.values() for value in values)}))

    @property
    def several_classes(self) -> bool:
        """Whether there are labels beside the embolus."""
        return len(self._foreground) > 1

    @property
    def named(self) -> bool:
        """Whether the label has one of the names of PE, and is not just the only one that there is."""
        return means_pe(self.name)

    @property
    def name(self) -> str:
        """The name of the label that is embolus: one of the names of PE, or else the only label.

        Raises:
            ConfigurationError: PE-EVAL-014 if none or several can be meant.
        """
        foreground = self._foreground
        candidates = [name for name in foreground if means_pe(name)]
        if not candidates and len(foreground) == 1:
            candidates = [name for name in foreground if not any(part in name.lower() for part in ANATOMY)]
        if len(candidates) != 1:
            raise ConfigurationError(
                CODE,
                f"{self.source} does not say which label is an embolus: "
                f"{', '.join(candidates or foreground) or 'there is none'}",
                'call it "PE" there ("PE": [1, 2] for several values), name another file with --dataset-json, or tell '
                "evaluate by --label-kind and --prediction-kind",
            )
        return candidates[0]

    @property
    def _foreground(self) -> list[str]:
        return [n for n, values in self.by_name.items() if values != (0,) and not _is(n, BACKGROUND, IGNORE)]

    @property
    def embolus(self) -> tuple[int, ...]:
        """The values of emboli.

        Raises:
            ConfigurationError: PE-EVAL-014 as `name`, or where background is among them.
        """
        values = self.by_name[self.name]
        if 0 in values:
            raise _no_labels(self.source, f"{self.name} is {list(values)}, but 0 is background")
        return values

    @property
    def for_classes(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Values of emboli, ignored ones, and all: what the kind `class` of a label needs.

        Raises:
            ConfigurationError: PE-EVAL-014 as `embolus`.
        """
        return self.embolus, self.ignored, self.known


def read_label_values(path: Path) -> LabelValues:
    """Read the labels of a `dataset.json`.

    Args:
        path: The file, or the folder that holds it.

    Raises:
        ConfigurationError: PE-EVAL-014 if it is not there, or has no labels.
    """
    path = path / DATASET if path.is_dir() else path
    try:
        labels = read_object(path)["labels"]
    except MALFORMED as error:
        raise _no_labels(path, "it has no labels" if isinstance(error, KeyError) else why(error)) from error
    return LabelValues.of(labels, path)


def dataset_json_beside(folder: Path) -> Path | None:
    """The `dataset.json` that describes the files of a folder; None where there is none.

    It lies in the folder itself, as in what `nnUNetv2_predict` writes; in the one above `labelsTr`, `labelsTs`,
    `gt_segmentations` and `pe_nnunet/instances`; or in a model's folder, beside its `plans.json`, above `fold_0` and
    `fold_0/validation`.
    """
    for here in dict.fromkeys((folder.absolute(), folder.resolve())):
        places = [here]
        if here.name.startswith(LABEL_FOLDERS):
            places.append(here.parent)
        if holds_ids(here):
            places.append(here.parent.parent)
        places += [above for above in (here.parent, here.parent.parent) if (above / PLANS).is_file()]
        for place in places:
            if (place / DATASET).is_file():
                return place / DATASET
    return None


def holds_ids(folder: Path) -> bool:
    """Whether a folder is the one in which a converted dataset keeps ids of emboli."""
    return (folder.absolute().parent.name, folder.absolute().name) == IDS_FOLDER


def class_label_of(ids: Path, dataset_json: Path) -> Path | None:
    """nnU-Net's label of a case whose emboli's ids lie in `pe_nnunet/instances`, where there is one.

    Args:
        ids: File of the ids.
        dataset_json: Of the dataset.
    """
    folders = (dataset_json.parent / name for name in ("labelsTr", "labelsTs"))
    return next((folder / ids.name for folder in folders if (folder / ids.name).is_file()), None)


def _is(name: str, *names: str) -> bool:
    return name.lower() in names


def _no_labels(source: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(
        CODE, f"{source} does not say what labels mean: {reason}", "correct it, or name another with --dataset-json"
    )
