"""What DICOM objects made of a series share: patient and study, UIDs that follow from the content, and no clock."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pydicom
from pydicom.config import disable_value_validation
from pydicom.uid import generate_uid

from pe_nnunet import __version__
from pe_nnunet.errors import OutputError
from pe_nnunet.volumes.dicom.headers import quiet_pydicom, text_of

# What reading odd headers, and highdicom for what it cannot take, raise
_UNSUITABLE = (AttributeError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError)

UNKNOWN_DAY = "19000101"  # the standard asks for a date of the content, also where the study has none
RANDOM = "1.2.826.0.1.3680043.10.511.3."  # highdicom's prefix of UIDs that it draws

GEOMETRY = (
    "FrameOfReferenceUID",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "NumberOfFrames",
    "PerFrameFunctionalGroupsSequence",
    "PixelSpacing",
    "PositionReferenceIndicator",
    "SharedFunctionalGroupsSequence",
    "SliceThickness",
    "SpacingBetweenSlices",
)
IDENTITY = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "Modality", "Rows", "Columns")
PATIENT = ("AccessionNumber", "PatientID", "PatientName", "ReferringPhysicianName", "StudyID")  # all type 2: copied
NUMBERS = {"PatientBirthDate": r"\d{8}", "StudyDate": r"\d{8}", "StudyTime": r"\d{2,6}(\.\d{1,6})?"}
INSTANCE = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


@contextmanager
def made_of_series(what: str, hint: str) -> Iterator[None]:
    """Make an object of a series whatever values its headers have, or say why it cannot be made.

    Args:
        what: How the message begins, for example `"case 1: no DICOM SEG"`.
        hint: What to do about it.

    Raises:
        OutputError: PE-OUT-004 if the block fails as it does for headers that do not allow the object.
    """
    try:
        with quiet_pydicom(), warnings.catch_warnings(), disable_value_validation():
            warnings.filterwarnings("ignore", module="highdicom")  # of names without a caret, of empty frames and such
            yield
    except _UNSUITABLE as error:
        kind = "" if type(error) is ValueError else f"{type(error).__name__} "
        reason = " ".join(f"{kind}{error}".split())
        raise OutputError("PE-OUT-004", f"{what}: {reason}", hint) from error


def reduced(file: Path, required: Collection[str] = ("FrameOfReferenceUID", *INSTANCE)) -> pydicom.Dataset:
    """Identity, geometry and what the standard asks of patient and study; odd values are left empty, text is UTF-8.

    Nothing else of the source gets into what is made of it: no institution, no staff but the referring physician, no
    device, no private elements.

    Args:
        file: A slice, or all of them.
        required: UIDs that the object must name.

    Raises:
        ValueError: If it lacks one of them.
    """
    tags: Sequence[Any] = [*GEOMETRY, *IDENTITY, *PATIENT, *NUMBERS, "PatientSex", "SpecificCharacterSet"]
    source = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(tags), force=True)
    kept = pydicom.Dataset()
    for keyword in (*GEOMETRY, *IDENTITY):
        if keyword in source:
            setattr(kept, keyword, source[keyword].value)
    for keyword in required:
        if not text_of(kept, keyword):
            raise ValueError(f"{file.name} has no {keyword}")
    kept.Modality = text_of(source, "Modality") or "CT"
    kept.SpecificCharacterSet = "ISO_IR 192"
    for keyword in PATIENT:
        setattr(kept, keyword, text_of(source, keyword))
    for keyword, form in NUMBERS.items():
        value = text_of(source, keyword)
        setattr(kept, keyword, value if re.fullmatch(form, value) else "")
    sex = text_of(source, "PatientSex").upper()
    kept.PatientSex = sex if sex in {"M", "F", "O"} else ""
    return kept


def moment_of(source: pydicom.Dataset) -> tuple[str, str]:
    """Date and time of the study, for the content made of it: 1 January 1900 at midnight where it has none."""
    return getattr(source, "StudyDate", "") or UNKNOWN_DAY, getattr(source, "StudyTime", "") or "000000"


def remove_clock(made: pydicom.Dataset) -> None:
    """Delete the optional moments that highdicom takes from the clock."""
    for keyword in ("InstanceCreationDate", "InstanceCreationTime", "DateOfSecondaryCapture", "TimeOfSecondaryCapture"):
        if keyword in made:
            delattr(made, keyword)
    for equipment in made.get("ContributingEquipmentSequence", ()):
        equipment.pop("ContributionDateTime", None)


class ContentUids:
    """UIDs that follow from all that an object says.

    Args:
        pixels: Its pixels.
        facts: What else it says.
    """

    def __init__(self, pixels: bytes, *facts: str) -> None:
        digest = sha256(pixels)
        for fact in (*facts, __version__):
            digest.update(fact.encode("utf-8", "backslashreplace") + b"\0")
        self._seed = digest.hexdigest()

    def of(self, what: str) -> str:
        """The UID of a part of the file."""
        return str(generate_uid(entropy_srcs=[self._seed, what]))

    def replace_random(self, content: pydicom.Dataset) -> None:
        """Give UIDs of its own content to what highdicom drew at random, the same where they were the same."""
        drawn: dict[str, str] = {}

        def replaced(_: pydicom.Dataset, element: pydicom.DataElement) -> None:
            if element.VR == "UI" and str(element.value).startswith(RANDOM):
                element.value = drawn.setdefault(str(element.value), self.of(f"other {len(drawn)}"))

        content.walk(replaced)
