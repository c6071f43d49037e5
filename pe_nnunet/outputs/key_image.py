"""One slice with its outlines burnt in, as DICOM secondary capture (PS3.3 A.8), for archives that show no segmentation.

The slice is that of the series, whole and with its axes as they are, so that it looks as the source does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet import __version__
from pe_nnunet.errors import OutputError
from pe_nnunet.files import atomic_path
from pe_nnunet.fusion import Candidate
from pe_nnunet.outputs import drawing
from pe_nnunet.outputs.algorithm import NAME
from pe_nnunet.outputs.artery import level_of
from pe_nnunet.outputs.case import CaseResult
from pe_nnunet.outputs.picture_scene import widest_slice
from pe_nnunet.volumes.dicom.derived import INSTANCE, ContentUids, made_of_series, moment_of, reduced, remove_clock
from pe_nnunet.volumes.geometry import spacing_zyx
from pe_nnunet.volumes.scan import DicomInfo
from pe_nnunet.voxels import boxes_by_id

SERIES_NUMBER = 902
WIDTH = 768  # pixels: half as many again as of a usual slice, for thin outlines and legible text
MAX_HEIGHT = 1536
WARNING = f"{NAME} {__version__}, research use only, not for diagnosis"


def write_key_image(case: CaseResult, number: int, path: Path) -> None:
    """Write the slice in which an embolus has its largest area.

    UIDs follow from the content and dates are those of the study. All key images of a case are one series.

    Args:
        case: Read from DICOM.
        number: The id of a kept embolus.
        path: The file.

    Raises:
        OutputError: PE-OUT-004 if the series' headers do not allow one, PE-OUT-001 if it cannot be written.
    """
    if case.dicom is None:
        raise OutputError("PE-OUT-004", f"case {case.case_id}: no DICOM series to write key images of")
    row = next(row for row in case.emboli.kept if row.id == number)
    box = boxes_by_id(case.emboli.labels)[number]
    z = widest_slice(case.emboli.labels, number, box)
    pixels = draw_key_image(case, row, z)
    with made_of_series(f"case {case.case_id}: no key image", "use the overview"):
        if not case.dicom.files:
            raise ValueError("the scan was resampled, and no file holds the slices that it has now")
        image = _secondary_capture(case, case.dicom, row, z, pixels)
    with atomic_path(path) as temporary:
        image.save_as(temporary)


def draw_key_image(case: CaseResult, row: Candidate, z: int) -> NDArray[np.uint8]:
    """The picture of a slice.

    Args:
        case: The results.
        row: The embolus that it is about, outlined more strongly than others.
        z: Index of the slice on the scan's grid.

    Returns:
        RGB, (row, column, 3).
    """
    hu = sitk.GetArrayViewFromImage(case.image)[z]
    labels = case.emboli.labels[z]
    _, dy, dx = spacing_zyx(case.image)
    height = min(MAX_HEIGHT, max(1, round(WIDTH * hu.shape[0] * dy / (hu.shape[1] * dx))))
    figure = drawing.new_figure(WIDTH / 100, height / 100)
    panel = drawing.Panel(figure.add_axes((0, 0, 1, 1)), (dy, dx))
    panel.show(hu)
    panel.axes.set_aspect("auto")  # the figure has the slice's own shape, to a pixel
    for identity in np.setdiff1d(labels, [0, row.id]).tolist():
        panel.outline(labels == identity, drawing.PREDICTION_COLOUR, width=0.7)
    mask = labels == row.id
    panel.outline(mask, drawing.PREDICTION_COLOUR, width=1.4)
    y, x = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    near: dict[str, Any] = {"ha": "left", "va": "bottom", "colour": drawing.PREDICTION_COLOUR}
    panel.write((x[-1] + 2) * dx, (y[0] - 1) * dy, str(row.id), size=9, **near)
    right, below = (orientation(case.image, axis) for axis in (0, 1))
    opposite = dict(zip("LRPAHF", "RLAPFH", strict=True))
    for place, letter, (ha, va) in (
        ((0.985, 0.5), right, ("right", "center")),
        ((0.015, 0.5), opposite[right], ("left", "center")),
        ((0.5, 0.015), below, ("center", "bottom")),
    ):
        panel.write(*place, letter, size=10, transform=panel.axes.transAxes, ha=ha, va=va)
    for k, line in enumerate(_lines(case, row, z)):
        panel.write(0.015, 0.985 - k * 26 / height, line, size=9, transform=panel.axes.transAxes, ha="left", va="top")
    panel.write(0.985, 0.015, WARNING, size=7, transform=panel.axes.transAxes, ha="right", va="bottom")
    panel.scale_bar()
    canvas: Any = figure.canvas
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def _lines(case: CaseResult, row: Candidate, z: int) -> list[str]:
    """What is written: no name and no date, which would identify the patient."""
    artery_mm = case.artery_mm.get(row.id)
    lines = [
        f"Embolus {row.id} of {len(case.emboli.kept)}: probability {row.probability:.2f}, {row.volume_mm3:,.0f} mm³"
    ]
    if artery_mm is not None:
        lines.append(f"Artery {artery_mm:.1f} mm wide: {level_of(artery_mm)} by width alone")
    size = case.image.GetSize()
    z_mm = case.image.TransformIndexToPhysicalPoint((size[0] // 2, size[1] // 2, z))[2]
    return [*lines, f"z = {z_mm:.1f} mm"]


def orientation(image: sitk.Image, axis: int) -> str:
    """The side of the patient that an index axis of an image runs to, most of all: L, R, P, A, H or F.

    Args:
        image: In LPS coordinates.
        axis: 0 along a row, 1 down a column, 2 through the slices.
    """
    direction = np.array(image.GetDirection()).reshape(3, 3)[:, axis]
    most = int(np.abs(direction).argmax())
    return ("LPH" if direction[most] > 0 else "RAF")[most]


def _secondary_capture(case: CaseResult, dicom: DicomInfo, row: Candidate, z: int, pixels: NDArray[np.uint8]) -> Any:
    from highdicom.sc import SCImage
    from pydicom.dataset import Dataset

    source = reduced(dicom.files[z], INSTANCE)
    header = reduced(dicom.files[0], INSTANCE)
    series = ContentUids(b"", header.to_json(suppress_invalid_tags=True), repr(case.emboli.kept), "key images")
    uids = ContentUids(pixels.tobytes(), series.of("series"), str(row.id))
    _, dy, dx = spacing_zyx(case.image)
    rows, columns = case.emboli.labels.shape[1:]
    day, time = moment_of(header)
    image = SCImage(
        pixel_array=pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=header.StudyInstanceUID,
        series_instance_uid=series.of("series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=uids.of("instance"),
        instance_number=row.id,
        manufacturer=NAME,
        manufacturer_model_name=f"{NAME} predict-fused",
        software_versions=__version__,
        device_serial_number=__version__,
        series_description="Pulmonary emboli, key images, research use only",
        content_date=day,
        content_time=time,
        specific_character_set="ISO_IR 192",
        patient_orientation=(orientation(case.image, 0), orientation(case.image, 1)),
        pixel_spacing=(rows * dy / pixels.shape[0], columns * dx / pixels.shape[1]),
    )
    image.copy_patient_and_study_information(header)
    remove_clock(image)
    image.ImageType = ["DERIVED", "SECONDARY"]
    image.ConversionType = "WSD"
    image.BodyPartExamined = "CHEST"  # not one of a pair: no laterality is asked for
    image.BurnedInAnnotation = "NO"  # text is burnt in, but none that tells who it is or when (PS3.3 C.7.6.1)
    image.ImageComments = f"Embolus {row.id}, probability {row.probability:.3f}; {WARNING}"
    image.DerivationDescription = "window 700/100 HU, outlines and labels burnt in"
    frames = dicom.frames or [0] * len(dicom.files)
    if len(set(zip(dicom.sop_instance_uids, frames, strict=True))) < len(frames):
        return image  # slices share a UID: a reference would not say which is meant
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    if len(set(dicom.files)) < len(dicom.files):
        reference.ReferencedFrameNumber = frames[z] + 1
    image.SourceImageSequence = [reference]
    return image
