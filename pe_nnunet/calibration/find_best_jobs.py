"""What `pe-nnunet find-best` has to do: models in the results folder, labels of their cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pe_nnunet.calibration.cross_validation import VALIDATION, CrossValidated
from pe_nnunet.calibration.find_best import CandidateJob
from pe_nnunet.dataset.dataset_json import pe_label_values, read_dataset_json
from pe_nnunet.dataset.folders import PREPROCESSED, RAW, nnunet_folder
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.fusion import FusionSettings
from pe_nnunet.metrics.instances import LabelKind


def model_folders(
    results: Path, trainers: Sequence[str] | None, plans: Sequence[str], configurations: Sequence[str]
) -> list[Path]:
    """The models to try.

    Args:
        results: The dataset's folder below `nnUNet_results`.
        trainers: Without any, all models that hold validation probabilities.
        plans: One, or as many as trainers.
        configurations: As plans.

    Raises:
        ConfigurationError: PE-MODEL-004 if the lists do not fit; PE-EVAL-011 if there is no such model.
    """
    if trainers is None:
        found = sorted({path.parents[2] for path in results.glob(f"*__*/fold_*/{VALIDATION}/*.npz")})
        if not found:
            raise ConfigurationError(
                "PE-EVAL-011",
                f"no model in {results} has validation probabilities",
                "nnUNetv2_train ... --npz, or --val --npz for a fold that is trained",
            )
        return found
    count = max(len(trainers), len(plans), len(configurations))
    lists = []
    for flag, given in (("-tr", trainers), ("-p", plans), ("-c", configurations)):
        if len(given) not in (1, count):
            raise ConfigurationError("PE-MODEL-004", f"{flag} has {len(given)} values, expected 1 or {count}")
        lists.append(list(given) * (count if len(given) == 1 else 1))
    return [results / "__".join(names) for names in zip(*lists, strict=True)]


def candidate_jobs(
    tried: tuple[tuple[CrossValidated, ...], ...], thresholds: Sequence[float], min_volumes_mm3: Sequence[float]
) -> list[CandidateJob]:
    """One job a case, with its label: ids of emboli where convert wrote them, else the PE class.

    Args:
        tried: Ensembles; together they hold all models.
        thresholds: Of the probability.
        min_volumes_mm3: Of a finding.

    Raises:
        ConfigurationError: PE-EVAL-011 if the models were validated on different cases, or a label is not there;
            PE-EVAL-003 if PE is several classes; PE-FUS-001 for settings out of range.
    """
    for threshold in thresholds:
        for least in min_volumes_mm3:
            FusionSettings(threshold, candidate_threshold=threshold, min_volume_mm3=least)
    first, *others = dict.fromkeys(model for models in tried for model in models)
    for other in others:
        if other.fold_of != first.fold_of:
            case = sorted(set(other.fold_of.items()) ^ set(first.fold_of.items()))[0][0]
            raise ConfigurationError(
                "PE-EVAL-011",
                f"{first.name} and {other.name} were not validated on the same folds: {case}",
                "train both on the same splits_final.json",
            )
    dataset = read_dataset_json(first.folder)
    values = pe_label_values(dataset["labels"])
    if len(values) != 1:
        raise ConfigurationError("PE-EVAL-003", f"PE is the classes {values} in dataset.json, expected one")
    kind, ending = LabelKind("class", values[0]), dataset.get("file_ending", ".nii.gz")
    name = first.folder.parent.name
    places = [
        (nnunet_folder(RAW) / name / "pe_nnunet" / "instances", ".nii.gz", LabelKind("instances")),
        (nnunet_folder(RAW) / name / "labelsTr", ending, kind),
        (nnunet_folder(PREPROCESSED) / name / "gt_segmentations", ending, kind),
    ]
    return [
        CandidateJob(case, *_label(case, places), tried, tuple(thresholds), tuple(min_volumes_mm3))
        for case in sorted(first.fold_of)
    ]


def _label(case: str, places: Sequence[tuple[Path, str, LabelKind]]) -> tuple[Path, LabelKind]:
    for folder, ending, kind in places:
        if (folder / f"{case}{ending}").is_file():
            return folder / f"{case}{ending}", kind
    looked = ", ".join(str(folder) for folder, _, _ in places)
    raise ConfigurationError("PE-EVAL-011", f"no label of {case}", f"looked in {looked}")
