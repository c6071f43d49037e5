"""Which prediction belongs to which label."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pe_nnunet.errors import ConfigurationError, InputError
from pe_nnunet.outputs.run import CaseFailure
from pe_nnunet.volumes.case_ids import clean
from pe_nnunet.volumes.write import image_suffix

PROBABILITY_ENDING = "_probability"  # written beside the instance maps on request, and no instance map
STUDY_LABEL = "emboli"  # name of the label inside a study's own folder


@dataclass(frozen=True)
class Pairs:
    """Labels and predictions brought together by case id.

    Attributes:
        pairs: case id -> (prediction, label).
        failures: Cases that cannot be scored: no prediction, or two files for one case.
        missing: Cases with a label and no prediction.
        unlabelled: Cases with a prediction and no label.
    """

    pairs: dict[str, tuple[Path, Path]] = field(default_factory=dict)
    failures: tuple[CaseFailure, ...] = ()
    missing: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()


def find_pairs(predictions: Path, labels: Path) -> Pairs:
    """Pair files by case id; ids are compared in the cleaned form in which results are named.

    Args:
        predictions: A folder of `<case>.nii.gz` (or .nii, .nrrd, .mha); `<case>_probability...` is passed over.
        labels: A folder of the same, or of one folder a case with `emboli.nii.gz` (or .nii, .nrrd, .mha) in it.

    Raises:
        ConfigurationError: PE-IN-002 if a folder does not exist.
        InputError: PE-IN-001 if there is no label.
    """
    for folder, what in ((predictions, "predictions"), (labels, "labels")):
        if not folder.is_dir():
            raise ConfigurationError("PE-IN-002", f"the folder of {what} {folder} does not exist")
    found = _by_case(path for path in _images(predictions) if not _stem(path).endswith(PROBABILITY_ENDING))
    true = _by_case(_label_files(labels))
    if not true:
        raise InputError(
            "PE-IN-001",
            f"{labels} holds no label",
            f"expected <case>.nii.gz, or folders <case>/ with {STUDY_LABEL}.nii.gz in them",
        )
    pairs: dict[str, tuple[Path, Path]] = {}
    failures, missing = [], []
    for case, files in true.items():
        doubles = files if len(files) > 1 else found.get(case, [])
        if len(doubles) > 1:
            names = " and ".join(str(path) for path in doubles)
            failures.append(CaseFailure(case, "PE-EVAL-004", f"{names} are both for this case", "remove one of them"))
        elif case not in found:
            missing.append(case)
            hint = f"expected {predictions / case}.nii.gz; predict it, or take its label away"
            failures.append(CaseFailure(case, "PE-EVAL-001", f"no prediction for the label {files[0]}", hint))
        else:
            pairs[case] = found[case][0], files[0]
    return Pairs(pairs, tuple(failures), tuple(missing), tuple(sorted(found.keys() - true.keys())))


def _by_case(files: Iterable[Path]) -> dict[str, list[Path]]:
    cases: dict[str, list[Path]] = {}
    for path in files:
        name = path.parent.name if _stem(path) == STUDY_LABEL else _stem(path)
        cases.setdefault(clean(name), []).append(path)
    return cases


def _label_files(labels: Path) -> list[Path]:
    studies = sorted(path for path in labels.iterdir() if path.is_dir())
    return [*_images(labels), *(p for study in studies for p in _images(study) if _stem(p) == STUDY_LABEL)]


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if image_suffix(p) and p.is_file() and not p.name.startswith("."))


def _stem(path: Path) -> str:
    return path.name[: -len(image_suffix(path))]
