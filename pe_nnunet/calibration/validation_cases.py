"""The scans that each fold was not trained on, with their labels and what training left of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from pe_nnunet.dataset.dataset_json import DATASET, read_dataset_json
from pe_nnunet.dataset.folders import PREPROCESSED, RAW, nnunet_folder
from pe_nnunet.dataset.label_values import LabelValues, dataset_json_beside, read_label_values
from pe_nnunet.dataset.split_checks import read_splits, split_of
from pe_nnunet.errors import ConfigurationError, InputError
from pe_nnunet.inference.locate import FINAL, stored_checkpoints
from pe_nnunet.metrics.ignored import without_ignored
from pe_nnunet.metrics.instances import LabelKind, ignored_voxels, require_known_values, to_instances
from pe_nnunet.volumes import image_like, read_label, require_same_grid

VALIDATION = "validation"


@dataclass(frozen=True)
class ValidationCase:
    """A training scan, and the fold that did not see it.

    Attributes:
        case_id: nnU-Net's name of it.
        fold: The fold in whose validation it is.
        image: The scan.
        label: Ids of its emboli, as conversion stores them, or nnU-Net's label.
        kind: What the label's values mean.
        ignored: The values of nnU-Net's labels that are ignored.
        classes: nnU-Net's label, in which voxels are ignored where the label holds ids; None where nothing is.
        outputs: What training left of it in `fold_*/validation`, by the name of the model folder.
    """

    case_id: str
    fold: str
    image: Path
    label: Path
    kind: LabelKind
    ignored: tuple[int, ...]
    classes: Path | None
    outputs: dict[str, Path]

    def truth(self) -> sitk.Image:
        """The emboli alone, see `truth_and_ignored`."""
        return self.truth_and_ignored()[0]

    def truth_and_ignored(self) -> tuple[sitk.Image, sitk.Image | None]:
        """The emboli, one id each: as they are stored, or the components of PE; and the ignored voxels, or None.

        Raises:
            PEError: If a label cannot be read, or holds other values than it should (PE-EVAL-016), or is ignored as a
                whole (PE-EVAL-018).
        """
        label = read_label(self.label)
        values = sitk.GetArrayViewFromImage(label)
        require_known_values(values, self.kind, f"the label of case {self.case_id}")
        ignored = ignored_voxels(values, self.kind)
        if self.classes is not None:
            classes = read_label(self.classes)
            require_same_grid(label, classes, f"the label of classes of case {self.case_id}")
            ignored = ignored_voxels(sitk.GetArrayViewFromImage(classes), LabelKind(ignored=self.ignored))
        if ignored is None:
            return image_like(to_instances(values, self.kind), label), None
        if ignored.all():
            raise InputError(
                "PE-EVAL-018", f"every voxel of the label of case {self.case_id} is ignored", "leave it out"
            )
        ids = without_ignored(to_instances(values, self.kind), ignored)
        return image_like(ids, label), image_like(ignored.astype(np.uint8), label)


def require_emboli(cases: Sequence[ValidationCase]) -> None:
    """Read labels until one has an embolus.

    Raises:
        InputError: PE-FUS-006 if none has.
        PEError: If a label cannot be read.
    """
    if not any(sitk.GetArrayFromImage(case.truth()).any() for case in cases):
        raise InputError("PE-FUS-006", f"no embolus in the {len(cases)} scans to calibrate on", "name other folds")


def truth_record(cases: Sequence[ValidationCase]) -> dict[str, Any]:
    """What was taken for embolus, and what was ignored, in JSON's types."""
    return {
        "kinds": sorted({str(case.kind) for case in cases}),
        "ignored_values": sorted({value for case in cases for value in case.ignored}),
    }


def validation_case(
    case: str, fold: str, models: Sequence[Path], output_ending: str = "", dataset_json: Path | None = None
) -> ValidationCase:
    """A case with its files, which may be absent.

    Args:
        case: nnU-Net's name of it.
        fold: The fold in whose validation it is.
        models: Folders of models of one dataset.
        output_ending: Of the models' outputs; that of the dataset's images if empty.
        dataset_json: Says what labels mean; by default that which lies beside them, or else the first model's.

    Raises:
        ConfigurationError: PE-EVAL-014 if it does not say which label is an embolus.
    """
    dataset = read_dataset_json(models[0])
    ending, name = dataset.get("file_ending", ".nii.gz"), models[0].parent.name
    raw, preprocessed = nnunet_folder(RAW) / name, nnunet_folder(PREPROCESSED) / name
    ids = raw / "pe_nnunet" / "instances" / f"{case}.nii.gz"
    labels = [raw / "labelsTr" / f"{case}{ending}", preprocessed / "gt_segmentations" / f"{case}{ending}"]
    label = next((path for path in (ids, *labels) if path.is_file()), labels[0])
    LabelValues.of(dataset["labels"], models[0] / DATASET).embolus  # noqa: B018 - raises where the model finds no emboli
    values = read_label_values(dataset_json or dataset_json_beside(label.parent) or models[0])
    classes = next((path for path in labels if path.is_file()), None)
    return ValidationCase(
        case,
        fold,
        raw / "imagesTr" / f"{case}_0000{ending}",
        label,
        LabelKind("instances" if label == ids else "class", *(() if label == ids else values.for_classes)),
        values.ignored,
        classes if label == ids and values.ignored else None,
        {model.name: model / f"fold_{fold}" / VALIDATION / f"{case}{output_ending or ending}" for model in models},
    )


def cases_of_splits(
    models: Sequence[Path], folds: Sequence[str], output_ending: str = "", dataset_json: Path | None = None
) -> list[ValidationCase]:
    """The validation scans of every fold, from `splits_final.json`.

    Args:
        models: Folders of models of one dataset, which have these folds.
        folds: Their numbers, as text.
        output_ending: See `validation_case`.
        dataset_json: See `validation_case`.

    Raises:
        ConfigurationError: PE-FUS-006 if there are no splits, they cannot be used, there are none for a fold, or a case
            lies in the validation of two of the folds.
        InputError: PE-FUS-006 if the scan of a case is gone.
    """
    name = models[0].parent.name
    raw, preprocessed = nnunet_folder(RAW) / name, nnunet_folder(PREPROCESSED) / name
    splits = read_splits(preprocessed, raw, code="PE-FUS-006", hint="train a fold first")
    cases: list[ValidationCase] = []
    for fold in folds:
        held_back = split_of(splits, fold, dataset=name, code="PE-FUS-006")["val"]
        if double := [case for case in cases if case.case_id in held_back]:
            raise ConfigurationError(
                "PE-FUS-006",
                f"{double[0].case_id} is in the validation of folds {double[0].fold} and {fold}: it would count twice",
                "name one of them",
            )
        cases += [validation_case(case, fold, models, output_ending, dataset_json) for case in sorted(held_back)]
    if gone := [case.image for case in cases if not case.image.is_file()]:
        raise InputError("PE-FUS-006", f"{gone[0]} is gone", "calibration needs the training scans")
    return cases


def cases_with_probabilities(
    models: Sequence[Path], folds: Sequence[str], dataset_json: Path | None = None
) -> list[ValidationCase]:
    """The cases whose validation probabilities training left (`--npz`), which are the same for all models.

    Args:
        models: Folders of models of one dataset.
        folds: Which folds.
        dataset_json: See `validation_case`.

    Raises:
        ConfigurationError: PE-MODEL-001 if one is no model folder; PE-EVAL-011 if a fold has no probabilities, a case
            lies in two folds, the models were validated on different cases, or a label is not there.
    """
    of_models = [_folds_with_probabilities(model, folds) for model in models]
    for model, fold_of in zip(models, of_models, strict=True):
        if others := sorted(fold_of.items() ^ of_models[0].items()):
            raise ConfigurationError(
                "PE-EVAL-011",
                f"{model.name} and {models[0].name} were not validated on the same folds: {others[0][0]}",
                "train both on the same splits_final.json",
            )
    cases = [validation_case(case, fold, models, ".npz", dataset_json) for case, fold in sorted(of_models[0].items())]
    if missing := [case for case in cases if not case.label.is_file()]:
        raise ConfigurationError("PE-EVAL-011", f"no label of {missing[0].case_id}", f"expected {missing[0].label}")
    return cases


def _folds_with_probabilities(model: Path, folds: Sequence[str]) -> dict[str, str]:
    """Case id -> the fold in whose validation it is."""
    if not (model / "dataset.json").is_file():
        raise ConfigurationError("PE-MODEL-001", f"no trained model in {model}", "check -tr, -p and -c")
    fold_of: dict[str, str] = {}
    for fold in folds:
        cases = sorted(path.stem for path in (model / f"fold_{fold}" / VALIDATION).glob("*.npz"))
        if not cases:
            raise ConfigurationError(
                "PE-EVAL-011",
                f"fold {fold} of {model.name} has no validation probabilities",
                how_to_validate(model, fold),
            )
        if double := sorted(fold_of.keys() & set(cases)):
            raise ConfigurationError("PE-EVAL-011", f"{double[0]} lies in two folds of {model.name}", "train anew")
        fold_of.update(dict.fromkeys(cases, fold))
    return fold_of


def how_to_validate(model: Path, fold: str, *, best: bool = False) -> str:
    """The command that leaves the probabilities of a fold, by what the fold holds; with its best checkpoint if so."""
    trainer, plans, configuration = [*model.name.split("__"), "", ""][:3]
    command = f"nnUNetv2_train {model.parent.name} {configuration} {fold} -tr {trainer} -p {plans}"
    held = stored_checkpoints(model).get(fold, ())
    if FINAL in held:
        return f"{command} --val{' --val_best' if best else ''} --npz"
    if not held:
        return f"{command} --npz trains it; where it is trained, {command} --val --npz"
    # nnU-Net validates no fold without its final checkpoint, --val_best or not
    return f"it holds {' and '.join(held)}, but no {FINAL}: end its training, {command} --c --npz"
