"""Which prediction, label and lung mask belong to which case."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pe_nnunet.cases import CaseFailure
from pe_nnunet.cases.output_folder import output_folder
from pe_nnunet.dataset.probabilities import ENDING, description_of
from pe_nnunet.errors import ConfigurationError, InputError
from pe_nnunet.evaluation.text_tables import read_cad_pe
from pe_nnunet.metrics.instances import AUTO, LabelKind
from pe_nnunet.metrics.markers import VoxelMarker
from pe_nnunet.volumes.files.image_writer import image_suffix
from pe_nnunet.volumes.find import clean

PROBABILITY_ENDING = "_probability"  # written beside the instance maps on request, and no instance map
STUDY_LABEL = "emboli"  # name of the label inside a study's own folder
REFERENCE = "RefStd"  # how CAD-PE's labels end
NO_PREDICTION = "PE-EVAL-001"
TABLE_ENDINGS = ("_emboli.csv", ".csv")  # ours, and AANet's
MANIFEST_ENDING = ".json"
STUDY_MASKS = ("lung", "lungs")  # names of lung masks inside a study's own folder
MASK_ENDINGS = ("_lungmask", "_lungs", "_lung", "")


@dataclass(frozen=True)
class CaseFiles:
    """One case to score. A tool has left a mask, a table of markers, or both.

    Attributes:
        case_id: The label's, cleaned.
        label: File of the true emboli.
        mask: Ids of findings, or a mask.
        table: `id,x,y,z,prob`, LPS mm.
        probability: Beside the mask: an image, or what nnU-Net's `--save_probabilities` and `--npz` leave.
        markers: Of a file of all scans, in place of the others.
        lungs: A mask of its lungs, or None.
        patient: Key that scans of one patient share; empty where each scan is one.
        label_kind: What the label's values mean.
        prediction_kind: What the mask's values mean.
        ignored_in: A label of classes of the same scan, beside a label of ids, in which voxels are ignored; or None.
        ignored_values: Its values that are ignored.
    """

    case_id: str
    label: Path
    mask: Path | None = None
    table: Path | None = None
    probability: Path | None = None
    markers: tuple[VoxelMarker, ...] | None = None
    lungs: Path | None = None
    patient: str = ""
    label_kind: LabelKind = AUTO
    prediction_kind: LabelKind = AUTO
    ignored_in: Path | None = None
    ignored_values: tuple[int, ...] = ()


def find_pairs(
    predictions: Path, labels: Path, only: Collection[str] | None = None
) -> tuple[dict[str, CaseFiles], list[CaseFailure], list[str]]:
    """Pair files by case id; ids are compared in the cleaned form in which results are named.

    Args:
        predictions: A folder of `<case>.nii.gz` (or .nii, .nrrd, .mha), with `<case>_emboli.csv` or `<case>.csv` and
            `<case>_probability.nii.gz` or nnU-Net's `<case>.npz` beside it or none; of such tables alone; or one file
            `Scan X Y Z Confidence` of the CAD-PE challenge for all scans, of which those without a line have no
            findings.
        labels: A folder of the same, of CAD-PE's `0001RefStd.nrrd` or `001RefStd.nrrd` for scan `001`, or of one folder
            a case with `emboli.nii.gz` (or .nii, .nrrd, .mha) in it.
        only: Ids of the cases that are meant; all if None.

    Returns:
        The cases that can be scored, by id; those that cannot, for want of a prediction or because there are two files
        for one case; and ids of predictions without a label.

    Raises:
        ConfigurationError: PE-IN-002 if a folder does not exist.
        InputError: PE-IN-001 if there is no label; PE-EVAL-006 for a file that is not the challenge's.
    """
    if not (predictions.is_dir() or predictions.is_file()):
        raise ConfigurationError("PE-IN-002", f"the folder of predictions {predictions} does not exist")
    true = find_labels(labels, only)
    one_of = {case: files[0] for case, files in true.items()}
    found = _of_one_file(predictions, one_of) if predictions.is_file() else _of_folder(predictions, one_of)
    pairs: dict[str, CaseFiles] = {}
    failures = []
    for case, files in sorted(true.items()):
        given = found.get(case, [])
        doubles = files if len(files) > 1 else [p.mask or p.table for p in given]
        if len(doubles) > 1:
            names = " and ".join(str(path) for path in doubles)
            failures.append(CaseFailure(case, "PE-EVAL-004", f"{names} are both for this case", "remove one of them"))
        elif not given:
            hint = f"expected {predictions / case}.nii.gz; predict it, or take its label away"
            failures.append(CaseFailure(case, NO_PREDICTION, f"no prediction for the label {files[0]}", hint))
        else:
            pairs[case] = given[0]
    return pairs, failures, sorted(case for case in found.keys() - true.keys() if only is None or case in only)


def find_labels(labels: Path, only: Collection[str] | None = None) -> dict[str, list[Path]]:
    """The labels in a folder, by case id; more than one file where a case is not clear.

    Args:
        labels: As in `find_pairs`.
        only: Likewise.

    Raises:
        ConfigurationError: PE-IN-002 if there is no such folder.
        InputError: PE-IN-001 if there is no label.
    """
    if not labels.is_dir():
        raise ConfigurationError("PE-IN-002", f"the folder of labels {labels} does not exist")
    true = _by_case([*_images(labels), *_study_images(labels, (STUDY_LABEL,))])
    true = {case: files for case, files in true.items() if only is None or case in only}
    if not true:
        raise InputError(
            "PE-IN-001",
            f"{labels} holds no label" + ("" if only is None else f" of {', '.join(sorted(only))}"),
            f"expected <case>.nii.gz, or folders <case>/ with {STUDY_LABEL}.nii.gz in them",
        )
    return true


def find_lung_masks(folder: Path, cases: Iterable[str]) -> dict[str, Path]:
    """Find masks by case id.

    Args:
        folder: Holds `<case>.nii.gz` (or .nii, .nrrd, .mha), as a converted dataset's `pe_nnunet/lungs`;
            `<case>_lungmask.nii.gz`, as AANet's authors name them for CAD-PE; or one folder a case with `lung.nii.gz`.
        cases: Ids.

    Returns:
        Those that are there; of several for one case the one with the longest ending, as CAD-PE's `001.nii.gz` beside
        `001_lungmask.nii.gz` is a mask of vessels.

    Raises:
        ConfigurationError: PE-IN-002 if there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigurationError("PE-IN-002", f"the folder of lung masks {folder} does not exist")
    files = {clean(_stem(path)): path for path in _images(folder)}
    files |= {clean(path.parent.name): path for path in _study_images(folder, STUDY_MASKS)}
    found = {case: [files[case + end] for end in MASK_ENDINGS if case + end in files] for case in cases}
    return {case: masks[0] for case, masks in found.items() if masks}


def _of_folder(folder: Path, labels: Mapping[str, Path]) -> dict[str, list[CaseFiles]]:
    """What there is for each case; nothing for those without a label."""
    folders = output_folder(folder).folders()
    images = sorted((path for one in folders for path in _images(one)), key=lambda path: path.name)
    probabilities = {_stem(path): path for path in images if _stem(path).endswith(PROBABILITY_ENDING)}
    found: dict[str, list[CaseFiles]] = {}
    for case, masks in _by_case(path for path in images if _stem(path) not in probabilities).items():
        found[case] = [
            CaseFiles(
                case,
                labels[case],
                mask,
                _table(mask),
                probabilities.get(_stem(mask) + PROBABILITY_ENDING) or _stock_probability(mask),
            )
            for mask in masks
            if case in labels
        ]
    # Tables alone count only where a label waits for them: a folder of results holds other tables too.
    names = labels.keys() - found.keys()
    for path in sorted(path for one in folders for path in one.glob("*.csv")):
        stem = path.name.removesuffix(".csv")
        case = clean(stem if clean(stem) in names else stem.removesuffix("_emboli"))
        if case in names:
            found.setdefault(case, []).append(CaseFiles(case, labels[case], table=path))
    return found


def _of_one_file(path: Path, labels: Mapping[str, Path]) -> dict[str, list[CaseFiles]]:
    """The same, from one file of all scans; a case without a line has no findings."""
    scans = {clean(scan): markers for scan, markers in read_cad_pe(path).items()}
    by_number = {scan.lstrip("0"): scan for scan in scans}  # `21` is scan 021
    found: dict[str, list[CaseFiles]] = {}
    for case, label in labels.items():
        scan = case if case in scans else by_number.get(case.lstrip("0"), case)
        found[case] = [CaseFiles(case, label, markers=scans.pop(scan, ()))]
    return {**{scan: [] for scan in scans}, **found}


def is_study_label(label: Path) -> bool:
    """Whether a label is the one of emboli in a study's own folder."""
    return _stem(label) == STUDY_LABEL


def written_by_us(mask: Path) -> bool:
    """Whether a prediction lies beside the table or the manifest that this package writes with it."""
    return any(mask.with_name(_stem(mask) + ending).is_file() for ending in (TABLE_ENDINGS[0], MANIFEST_ENDING))


def _stock_probability(mask: Path) -> Path | None:
    """What nnU-Net wrote beside a mask, where it is known what the channels mean."""
    path = mask.with_name(_stem(mask) + ENDING)
    return path if path.is_file() and description_of(path) is not None else None


def _table(mask: Path) -> Path | None:
    tables = (mask.with_name(_stem(mask) + ending) for ending in TABLE_ENDINGS)
    return next((table for table in tables if table.is_file()), None)


def _by_case(files: Iterable[Path]) -> dict[str, list[Path]]:
    cases: dict[str, list[Path]] = {}
    for path in files:
        name = path.parent.name if _stem(path) == STUDY_LABEL else _stem(path)
        cases.setdefault(clean(_scan_of(name)), []).append(path)
    return cases


def _scan_of(name: str) -> str:
    """CAD-PE's labels are `001RefStd` or `0001RefStd` of the scan `001`, and `e0032RefStd` of `e0032`."""
    scan = name.removesuffix(REFERENCE)
    return f"{int(scan):03d}" if scan != name and scan.isdecimal() else scan


def _study_images(folder: Path, names: Collection[str]) -> list[Path]:
    """Images of these names in the folders of studies."""
    studies = sorted(path for path in folder.iterdir() if path.is_dir())
    return [path for study in studies for path in _images(study) if _stem(path) in names]


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if image_suffix(p) and p.is_file() and not p.name.startswith("."))


def _stem(path: Path) -> str:
    return path.name[: -len(image_suffix(path))]
