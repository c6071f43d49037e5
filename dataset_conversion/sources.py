"""A case before it is converted: its files, and what they hold once read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from pe_nnunet.cases import CaseFailure
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions, LabelKind
from pe_nnunet.dataset_conversion.labels import map_labels
from pe_nnunet.dataset_conversion.mask_meaning import (
    dataset_json_of,
    emboli_by_name,
    ignored_values,
    require_none_ignored,
)
from pe_nnunet.errors import InputError, Note
from pe_nnunet.volumes import (
    Scan,
    ScanRef,
    empty_note,
    image_like,
    image_suffix,
    laid_on,
    read_dicom_label,
    read_label_noted,
    read_scan,
)
from pe_nnunet.volumes.files.volume_file import file_sha256
from pe_nnunet.volumes.label_grid import GRID_NOTES


@dataclass(frozen=True)
class CaseSource:
    """The files of a case.

    Attributes:
        case_id: Name of the case in the dataset.
        image: The scan.
        name: Where it lies, relative to the source folder.
        label: Embolus mask; None for a case that is known to have no embolus.
        artery: Artery mask, if there is one.
        label_kind: How the embolus mask is to be read.
        own_label: The embolus mask is the one that comes with the dataset, not one that replaces it.
        test: It belongs to the test set.
        hidden: Names that no message of the case may hold.
    """

    case_id: str
    image: ScanRef
    name: str
    label: Path | None
    artery: Path | None
    label_kind: LabelKind
    own_label: bool = False
    test: bool = False
    hidden: tuple[str, ...] = ()

    @property
    def meaning(self) -> Path | None:
        """The `dataset.json` that says what the values of the embolus mask mean, if it comes from such a dataset."""
        return None if self.own_label else dataset_json_of(self.label)

    def digest(self, options: ConvertOptions) -> str:
        """Hash of all bytes and settings that the converted case depends on."""
        roles: dict[str, Sequence[Path | None]] = {
            "image": self.image.files,
            "label": [self.label],
            "artery": [self.artery],
        }
        if options.label_map is None and self.meaning is not None:
            roles["meaning"] = [self.meaning]
        negative = self.case_id in options.negatives
        how = (options.case_digest(), self.label_kind, negative, self.own_label, self.test)
        total = hashlib.sha256(" ".join(map(str, how)).encode())
        for role, files in roles.items():
            total.update(role.encode())
            for path in sorted(path for path in files if path is not None):
                total.update(file_sha256(path).encode())
        return total.hexdigest()[:32]


@dataclass(frozen=True)
class CaseVolumes:
    """What the files of a case hold, on the grid of the source.

    Attributes:
        image: HU.
        emboli: Mask or ids, 0 outside; None for a case without emboli.
        artery: 0 and 1, uint8; None where there is no mask.
        patient: Key that scans of one patient share.
        sha256: Hexadecimal SHA-256 by role.
        notes: What was repaired in reading, or deserves a look.
    """

    image: sitk.Image
    emboli: sitk.Image | None
    artery: sitk.Image | None
    patient: str
    sha256: dict[str, str]
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Listing:
    """The cases of a source, those that lack something, and what concerns all of it."""

    cases: tuple[CaseSource, ...]
    errors: tuple[CaseFailure, ...] = ()
    notes: tuple[Note, ...] = ()


# Reads a mask onto the grid of a scan; the third is its role, for messages and notes.
MaskReader = Callable[[Path, Scan, str, ConvertOptions], tuple[sitk.Image, list[Note]]]


def read_case(source: CaseSource, options: ConvertOptions, read_label: MaskReader | None = None) -> CaseVolumes:
    """Read scan, embolus mask and artery mask.

    Args:
        source: The files of the case.
        options: Which cases have no embolus.
        read_label: Reads the embolus mask where it is no ordinary one.

    Raises:
        PEError: If one of them cannot be read, a mask is not on the grid of the scan, or a case that was declared to
            have no embolus has one.
    """
    scan = read_scan(source.image, **options.repairs)
    sha256, notes = {"image": scan.sha256}, list(scan.notes)
    masks: dict[str, sitk.Image] = {}
    for role, path in (("label", source.label), ("artery", source.artery)):
        if path is not None:
            read = read_label if role == "label" and read_label is not None else read_mask_file
            masks[role], found = read(path, scan, role, options)
            notes += found
            sha256[role] = file_sha256(path)
    if "label" in masks:
        masks["label"], found = _emboli_of(masks["label"], source, options)
        notes += found
    for role, path in (("label", source.label), ("artery", source.artery)):
        if path is not None:
            meaning = "a scan without emboli" if role == "label" else "a scan without arteries"
            notes += empty_note(masks[role], f"{role}: {path.name}", meaning)
    if "label" in masks and source.case_id in options.negatives and sitk.GetArrayViewFromImage(masks["label"]).any():
        raise InputError(
            "PE-CONV-010", "listed as negative, but its label holds emboli", "correct the list or the label"
        )
    return CaseVolumes(
        scan.image,
        masks.get("label"),
        artery_alone(masks["artery"], source.artery.name) if source.artery is not None else None,
        scan.dicom.patient_key if scan.dicom is not None else source.case_id,
        sha256,
        tuple(notes),
    )


def _emboli_of(mask: sitk.Image, source: CaseSource, options: ConvertOptions) -> tuple[sitk.Image, list[Note]]:
    """The embolus mask with those values alone that are emboli, as the options or a `dataset.json` beside it say."""
    if options.label_map is not None:
        return map_labels(mask, options.label_map), []
    if (meaning := source.meaning) is None:
        return mask, []
    if source.label_kind == "auto":
        return emboli_by_name(mask, meaning)
    require_none_ignored(mask, ignored_values(meaning), meaning)
    return mask, []


def read_mask_file(path: Path, scan: Scan, role: str, options: ConvertOptions) -> tuple[sitk.Image, list[Note]]:
    """Read a mask that lies on the grid of its scan, its axes perhaps others, or that DICOM ties to its slices.

    Raises:
        PEError: If it cannot be read, or lies on another grid.
    """
    names = options.segments if role == "label" else None
    if not image_suffix(path):
        label, found = read_dicom_label(path, scan, names=names)
        return label, list(found)
    mask, found = read_label_noted(path, names=names)
    # doubts about a grid are said of the scan already, when the mask lies on the same one
    scan_path = scan.ref.path if scan.ref.kind == "file" else None
    label, laid = laid_on(scan.image, scan_path, mask, path, f"the {role} {path.name}")
    return label, [Note(n.code, n.kind, f"{role}: {n.message}") for n in found if n.code not in GRID_NOTES] + laid


def artery_alone(mask: sitk.Image, name: str) -> sitk.Image:
    """Arteries of a vessel mask as 0 and 1: value 1 where there are several, as AANet's masks hold veins as 2."""
    array = sitk.GetArrayViewFromImage(mask)
    artery = array == 1
    if not artery.any():
        artery = array > 0
        highest = int(array.max())
        if bool((artery & (array != highest)).any()):
            raise InputError(
                "PE-CONV-007",
                f"the artery mask {name} holds several values up to {highest}, and none is 1",
                "make 1 the value of the arteries",
            )
    return image_like(artery, mask)
