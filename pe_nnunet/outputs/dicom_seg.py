"""The kept emboli as a DICOM Segmentation (PS3.3 A.51), one segment each, on the slices of the series they lie in."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.uid import generate_uid

from pe_nnunet import __version__
from pe_nnunet.errors import OutputError
from pe_nnunet.outputs.case import CaseResult
from pe_nnunet.volumes.dicom_headers import quiet_pydicom, text_of
from pe_nnunet.volumes.dicom_slices import slices_of
from pe_nnunet.volumes.scan import DicomInfo
from pe_nnunet.volumes.write import atomic_path

MOST_SEGMENTS = 255  # an embolus costs a frame of its own in every slice; thousands, as noise gives, would be gigabytes
SERIES_NUMBER = 900
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


def write_dicom_seg(case: CaseResult, path: Path) -> None:
    """Write the kept emboli, at most the 255 of the highest score, as a binary segmentation of the scan's series.

    The patient and study are copied as far as the standard asks (identity, birth date, sex, study), and nothing else
    of the source: no institution, no staff but the referring physician, no device, no private elements.

    Args:
        case: Read from DICOM, with at least one kept embolus: a segmentation without segments is not valid.
        path: The file.

    Raises:
        OutputError: PE-OUT-004 if the series' headers do not allow one, PE-OUT-001 if it cannot be written.
    """
    if case.dicom is None or not case.emboli.kept:
        raise OutputError("PE-OUT-004", f"case {case.case_id}: no DICOM series or no embolus to write a SEG of")
    try:
        with quiet_pydicom(), warnings.catch_warnings(), disable_value_validation():
            warnings.filterwarnings("ignore", module="highdicom")  # of names that have no caret, and the like
            segmentation = _segmentation(case, case.dicom)
    except (AttributeError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise OutputError("PE-OUT-004", f"case {case.case_id}: no DICOM SEG: {reason}") from error
    with atomic_path(path) as temporary:
        segmentation.save_as(temporary)


def _segmentation(case: CaseResult, dicom: DicomInfo) -> Any:
    from highdicom.seg import Segmentation

    labels = np.where(case.emboli.labels <= MOST_SEGMENTS, case.emboli.labels, 0).astype(np.uint16)
    sources, planes = _sources(case, dicom, labels)
    return Segmentation(
        source_images=sources,
        pixel_array=planes,
        segmentation_type="BINARY",
        segment_descriptions=_descriptions(case),
        series_instance_uid=generate_uid(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="pe-nnunet",
        manufacturer_model_name="pe-nnunet predict-fused",
        software_versions=__version__,
        device_serial_number=__version__,
        series_description="Pulmonary emboli, research use only",
        content_label="PULMONARY_EMBOLI",
        content_description="Found by pe-nnunet; research use only, not for diagnosis",
    )


def _descriptions(case: CaseResult) -> list[Any]:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription
    from pydicom.sr.codedict import codes

    settings = case.emboli.settings
    parameters = {"threshold": f"{settings.threshold:g}", "smallest volume in mm3": f"{settings.min_volume_mm3:g}"}
    parameters |= {f"network {k}": f"{m.model} fold {m.fold} {m.sha256[:16]}" for k, m in enumerate(case.models, 1)}
    algorithm = AlgorithmIdentificationSequence(
        name="pe-nnunet", family=codes.cid7162.ArtificialIntelligence, version=__version__, parameters=parameters
    )
    descriptions = []
    for row in case.emboli.kept[:MOST_SEGMENTS]:
        description = SegmentDescription(
            segment_number=row.id,
            segment_label=f"Embolus {row.id}",
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Embolus,
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
            tracking_uid=generate_uid(),
            tracking_id=f"embolus {row.id}",
            anatomic_regions=[codes.SCT.PulmonaryArtery],
        )
        description.SegmentDescription = f"probability {row.probability:.3f}, {row.volume_mm3:.1f} mm3"
        descriptions.append(description)
    return descriptions


def _sources(
    case: CaseResult, dicom: DicomInfo, labels: NDArray[np.uint16]
) -> tuple[list[pydicom.Dataset], NDArray[np.uint16]]:
    """The slices that findings lie on, reduced to what a SEG needs, and the ids on them in the same order."""
    used = np.flatnonzero(labels.any(axis=(1, 2)))
    if len(set(dicom.files)) == len(dicom.files):
        return [_reduced(dicom.files[z]) for z in used], labels[used]
    if len(set(dicom.files)) > 1:
        raise ValueError("the series is made of several multi-frame files")
    whole = _reduced(dicom.files[0])
    frames = slices_of(whole, dicom.files[0])
    planes = np.zeros((len(frames), *labels.shape[1:]), labels.dtype)
    for plane, frame in zip(planes, frames, strict=True):
        z = round(case.image.TransformPhysicalPointToContinuousIndex(frame.position_mm)[2])
        plane[:] = labels[z]
    return [whole], planes


def _reduced(file: Path) -> pydicom.Dataset:
    """The few elements of a source that a SEG refers to or must repeat; odd values are left empty, text is UTF-8."""
    tags: Sequence[Any] = [*GEOMETRY, *IDENTITY, *PATIENT, *NUMBERS, "PatientSex", "SpecificCharacterSet"]
    source = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(tags), force=True)
    reduced = pydicom.Dataset()
    for keyword in (*GEOMETRY, *IDENTITY):
        if keyword in source:
            setattr(reduced, keyword, source[keyword].value)
    for keyword in ("FrameOfReferenceUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        if not text_of(reduced, keyword):
            raise ValueError(f"{file.name} has no {keyword}")
    reduced.Modality = text_of(source, "Modality") or "CT"
    reduced.SpecificCharacterSet = "ISO_IR 192"
    for keyword in PATIENT:
        setattr(reduced, keyword, text_of(source, keyword))
    for keyword, form in NUMBERS.items():
        value = text_of(source, keyword)
        setattr(reduced, keyword, value if re.fullmatch(form, value) else "")
    sex = text_of(source, "PatientSex").upper()
    reduced.PatientSex = sex if sex in {"M", "F", "O"} else ""
    return reduced
