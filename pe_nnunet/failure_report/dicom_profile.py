"""A DICOM data set without what identifies: the basic profile of the standard's table, and nothing free beside it.

The table is the one of `dicom-anonymizer`. It is applied to the items of sequences too, which that package leaves as
they are. What the table does not name stays only where its kind cannot hold a person: numbers, codes, defined UIDs.

Source: DICOM PS3.15 2026c, Annex E, table E.1-1 (Basic Application Level Confidentiality Profile).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_has_tag, repeater_has_tag
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID

from pe_nnunet.errors import MissingExtraError
from pe_nnunet.failure_report.identifiers import Identifiers, shape

TABLE = "dicomfields_2026c"
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_NUMBERS = frozenset({"DS", "IS", "FL", "FD", "SS", "US", "SL", "UL", "SV", "UV", "AT"})
_KEPT_TEXT = frozenset({
    "ConvolutionKernel", "FilterType", "Manufacturer", "ManufacturerModelName", "RescaleType", "SoftwareVersions",
})  # fmt: skip
_DROPPED_CODES = frozenset({"ReferencedFileID", "FileSetID"})  # names of files
_CODE = re.compile(r"[A-Z0-9_ ]{0,16}")
_META = ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID")
_DEFINED_UID = re.compile(r"1\.2\.840\.10008(\.\d+)+")

Rules = dict[tuple[int, ...], Callable[[Dataset, Any], None]]


@cache
def rules() -> Rules:
    """The actions of the table, by tag; what an action cannot change it removes.

    Raises:
        MissingExtraError: PE-REP-004 without dicom-anonymizer.
    """
    try:
        from dicomanonymizer.simpledicomanonymizer import initialize_actions
    except ImportError as error:
        raise MissingExtraError(
            "PE-REP-004", f"dicom-anonymizer cannot be imported: {error}", "pip install 'pe-nnunet[report]'"
        ) from error
    return {tag: partial(_change_or_remove, action) for tag, action in initialize_actions(TABLE).items()}


def clean(dataset: Dataset, identifiers: Identifiers) -> list[str]:
    """Clean a data set, its file meta information and its sequences in place; pixels are removed.

    UIDs are replaced by random ones, the same for the same in one process; dates and times become one constant.

    Args:
        dataset: As it was read.
        identifiers: What tells the patient; an element that the profile keeps goes where it holds any of it.

    Returns:
        What could not be read and was removed, an element a line, without its letters and digits.

    Raises:
        MissingExtraError: PE-REP-004 without dicom-anonymizer.
    """
    rules()
    with disable_value_validation():
        unread = list(_clean_items(dataset, identifiers))
        _clean_meta(dataset)
        dataset.PatientIdentityRemoved = "YES"
        dataset.DeidentificationMethod = "pe-nnunet report-case: basic profile, other text removed"
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator = "113100", "DCM"
        code.CodeMeaning = "Basic Application Confidentiality Profile"
        dataset.DeidentificationMethodCodeSequence = [code]
        dataset.LongitudinalTemporalInformationModified = "REMOVED"
    return unread


def text_elements(dataset: Dataset) -> Iterator[DataElement]:
    """Every element of text, name, date or UID that can be read, in sequences and private groups too."""
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
        except Exception:  # noqa: BLE001, S112 - damaged: `clean` says so
            continue
        if element.VR == "SQ":
            for item in element.value:
                yield from text_elements(item)
        elif element.VR not in _NUMBERS and (isinstance(element.value, str | bytes) or element.value):
            yield element


def _clean_items(dataset: Dataset, identifiers: Identifiers) -> Iterator[str]:
    yield from _without_private_and_damaged(dataset)
    for element in [element for element in dataset if element.VR == "SQ"]:
        for item in element.value:
            yield from _clean_items(item, identifiers)
    from dicomanonymizer.simpledicomanonymizer import anonymize_dataset

    before = {element.tag: element.value for element in dataset if element.VR != "SQ"}
    there = {(tag.group, tag.element) for tag in dataset.keys()}  # noqa: SIM118 - a data set iterates over elements
    anonymize_dataset(
        dataset,
        base_rules_gen=lambda: {
            tag: act for tag, act in rules().items() if len(tag) > 2 or tag[0] == 2 or tag in there
        },
    )
    for element in list(dataset):
        same = element.tag in before and before[element.tag] == element.value
        if not _may_stay(element, identifiers, changed=not same):
            del dataset[element.tag]


def _without_private_and_damaged(dataset: Dataset) -> Iterator[str]:
    for tag in list(dataset.keys()):
        if tag.is_private or not (dictionary_has_tag(tag) or repeater_has_tag(tag)):
            del dataset[tag]
            continue
        raw = dataset.get_item(tag)  # before its value is taken
        try:
            _require_numbers(dataset[tag])
        except Exception as error:  # noqa: BLE001 - whatever a damaged value makes the parser raise
            value = getattr(raw, "value", None) or b""
            kind = getattr(raw, "VR", None) or "no VR"
            yield f"{tag} {kind}, {len(value)} bytes, {shape(value)!r}: {type(error).__name__}"
            del dataset[tag]


def _require_numbers(element: DataElement) -> None:
    """Check that numbers which are written as text are such: pydicom hands on what is none."""
    if element.VR in {"DS", "IS"} and not element.is_empty:
        for value in element.value if element.VM > 1 else [element.value]:
            float(value)


def _may_stay(element: DataElement, identifiers: Identifiers, *, changed: bool) -> bool:
    """Whether an element says nothing of a person once the profile was applied."""
    if element.VR in _NUMBERS or element.VR == "SQ" or element.is_empty:
        return True
    values = [str(value) for value in (element.value if element.VM > 1 else [element.value])]
    if element.VR == "UI":
        return changed or _with_other_uids(element, values)
    if element.VR == "CS" and not changed:
        plain = element.keyword not in _DROPPED_CODES and all(map(_CODE.fullmatch, values))
        return plain and not identifiers.among(values)
    if element.keyword in _KEPT_TEXT and not changed:
        return all(len(value) <= 64 for value in values) and not identifiers.among(values)
    return changed


def _with_other_uids(element: DataElement, values: list[str]) -> bool:
    if not all(map(_defined, values)):
        from dicomanonymizer.simpledicomanonymizer import replace_element_UID

        replace_element_UID(element)
    return True


def _defined(uid: str) -> bool:
    """Whether a UID stands in the standard; others of its root could be anything."""
    return _DEFINED_UID.fullmatch(uid) is not None and UID(uid).name != uid


def _clean_meta(dataset: Dataset) -> None:
    meta: Dataset = getattr(dataset, "file_meta", None) or Dataset()
    kept = FileMetaDataset()
    for keyword in _META:
        try:
            uid = str(meta[keyword].value) if keyword in meta else ""
        except Exception:  # noqa: BLE001, S112 - damaged, and left out
            continue
        if uid and (keyword == "MediaStorageSOPInstanceUID" or _defined(uid)):
            setattr(kept, keyword, uid)
    dataset.file_meta = kept
    if getattr(dataset, "preamble", None):
        dataset.preamble = b"\0" * 128  # it is free, and may hold anything


def _change_or_remove(action: Callable[[Dataset, Any], None], dataset: Dataset, tag: Any) -> None:
    try:
        action(dataset, tag)
    except Exception:  # noqa: BLE001 - for kinds of values that it does not know
        if tag in dataset:
            del dataset[tag]
