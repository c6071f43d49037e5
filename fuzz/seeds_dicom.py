"""Small valid DICOM: CT series in several syntaxes, enhanced CT, SEG and RTSTRUCT of one series."""

from __future__ import annotations

import functools
import io
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    RTStructureSetStorage,
)

from fuzz.sample import Files
from fuzz.seeds_volumes import SPACING, label, thorax
from pe_nnunet.volumes.dicom.dicom_writer import write_dicom_series


def image() -> sitk.Image:
    """The scan of all series."""
    found = sitk.GetImageFromArray(thorax())
    found.SetSpacing(SPACING)
    found.SetOrigin((-100.0, -50.0, -300.0))
    return found


@functools.cache
def plain_series() -> tuple[bytes, ...]:
    """The files of a plain series."""
    with tempfile.TemporaryDirectory() as folder:
        write_dicom_series(image(), Path(folder, "s"), patient_id="P1", series_description="CTPA")
        return tuple(path.read_bytes() for path in sorted(Path(folder, "s").iterdir()))


def _series(edit: Callable[[Any], None]) -> Files:
    found = {}
    for k, content in enumerate(plain_series()):
        dataset = pydicom.dcmread(io.BytesIO(content))
        edit(dataset)
        found[f"IM{k}.dcm"] = _bytes(dataset)
    return found


def _bytes(dataset: Any) -> bytes:
    stream = io.BytesIO()
    fresh = Dataset()  # one that was read is not written in another order of bytes
    for element in dataset:
        fresh.add(element)
    fresh.file_meta = dataset.file_meta
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fresh.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _syntax(uid: str) -> Callable[[Any], None]:
    def edit(dataset: Any) -> None:
        if uid == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
        dataset.file_meta.TransferSyntaxUID = uid

    return edit


def _rle(dataset: Any) -> None:
    dataset.compress(RLELossless, generate_instance_uid=False)


def _unsigned(dataset: Any) -> None:
    """12 bits, as most scanners store them, with padding."""
    stored = (dataset.pixel_array.astype(int) + 1024).clip(0, 4095).astype("<u2")
    stored[0, :2] = 63536
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 15, 0
    dataset.RescaleIntercept, dataset.PixelPaddingValue = "-1024", 63536
    dataset["PixelPaddingValue"].VR = "US"
    dataset.PixelData = stored.tobytes()


def _jpeg_2000(dataset: Any) -> None:
    from PIL import Image

    stored = (dataset.pixel_array.astype(int) + 1024).clip(0, 4095).astype(np.uint16)
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation, dataset.RescaleIntercept = 16, 15, 0, "-1024"
    stream = io.BytesIO()
    Image.fromarray(stored).save(stream, format="JPEG2000", no_jp2=True)
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.PixelData = pydicom.encaps.encapsulate([stream.getvalue()])
    dataset["PixelData"].is_undefined_length = True


def _enhanced(compress: str = "") -> Files:
    hu = thorax()
    ds: Any = pydicom.dcmread(io.BytesIO(plain_series()[0]))
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
    ):
        del ds[keyword]
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    ds.ImageType, ds.NumberOfFrames = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], len(hu)
    measures, orientation = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    ds.SharedFunctionalGroupsSequence, frames = [shared], []
    for k in range(len(hu)):
        place, scale, frame = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [-100, -50, -300 + SPACING[2] * k]
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = 1, 0, "HU"
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [place], [scale]
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = frames
    ds.PixelData = hu.tobytes()
    if compress:
        ds.compress(compress, generate_instance_uid=False)
    return {"a.dcm": _bytes(ds)}


def series_seeds() -> list[Files]:
    """CT series as files of one slice and as one enhanced file."""
    edits = [
        lambda _: None, _syntax(ImplicitVRLittleEndian), _syntax(DeflatedExplicitVRLittleEndian),
        _syntax(ExplicitVRBigEndian), _rle, _unsigned, _jpeg_2000,
    ]  # fmt: skip
    return [*map(_series, edits), _enhanced(), _enhanced(RLELossless)]


def seg_seeds() -> list[Files]:
    """SEG of each kind, by highdicom."""
    import highdicom
    from pydicom.sr.codedict import codes

    sources = [pydicom.dcmread(io.BytesIO(content)) for content in plain_series()]
    found: list[Files] = []
    for kind, syntax in (
        ("BINARY", ExplicitVRLittleEndian), ("FRACTIONAL", ExplicitVRLittleEndian), ("FRACTIONAL", RLELossless),
        ("LABELMAP", ExplicitVRLittleEndian), ("BINARY", DeflatedExplicitVRLittleEndian),
    ):  # fmt: skip
        ids = (
            label(3) if kind == "LABELMAP" else (label(3) > 0).astype(np.float32 if kind == "FRACTIONAL" else np.uint8)
        )
        count = int(ids.max()) if kind == "LABELMAP" else 1
        described = [
            highdicom.seg.SegmentDescription(
                segment_number=k,
                segment_label=f"PE {k}",
                segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
                segmented_property_type=codes.SCT.Embolus,
                algorithm_type="MANUAL",
            )
            for k in range(1, count + 1)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            seg = highdicom.seg.Segmentation(
                source_images=sources, pixel_array=ids, segmentation_type=kind, segment_descriptions=described,
                series_instance_uid="1.2.3.4.5", series_number=2, sop_instance_uid="1.2.3.4.6", instance_number=1,
                manufacturer="m", manufacturer_model_name="m", software_versions="1", device_serial_number="1",
                transfer_syntax_uid=RLELossless if syntax == RLELossless else ExplicitVRLittleEndian,
            )  # fmt: skip
        seg.file_meta.TransferSyntaxUID = syntax
        found.append({"label.dcm": _bytes(seg)})
    return found


def rtstruct_seeds() -> list[Files]:
    """Rectangles and a polygon on several slices, of one and of two regions."""
    source: Any = pydicom.dcmread(io.BytesIO(plain_series()[0]))
    found: list[Files] = []
    for regions in (1, 2):
        for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
            ds: Any = Dataset()
            ds.file_meta = FileMetaDataset()
            ds.file_meta.TransferSyntaxUID = syntax
            ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = RTStructureSetStorage
            ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.3.9"
            ds.Modality, ds.PatientID, ds.StudyInstanceUID = "RTSTRUCT", "P1", source.StudyInstanceUID
            ds.FrameOfReferenceUID = source.FrameOfReferenceUID
            ds.StructureSetROISequence, ds.ROIContourSequence = [], []
            for region in range(1, regions + 1):
                roi, drawn = Dataset(), Dataset()
                roi.ROINumber, roi.ROIName = region, f"PE {region}"
                roi.ReferencedFrameOfReferenceUID = source.FrameOfReferenceUID
                drawn.ReferencedROINumber, drawn.ContourSequence = region, []
                for k in range(region, region + 3):
                    contour = Dataset()
                    corners = (
                        [(1.5, 1.5), (5.5, 1.5), (7.5, 5.5), (1.5, 6.5)]
                        if region == 1
                        else [(8.5, 7.5), (10.5, 7.5), (10.5, 8.5), (8.5, 8.5)]
                    )
                    contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(corners)
                    points = [(-100 + SPACING[0] * x, -50 + SPACING[1] * y, -300 + SPACING[2] * k) for x, y in corners]
                    contour.ContourData = [f"{v:.4f}" for point in points for v in point]
                    drawn.ContourSequence.append(contour)
                ds.StructureSetROISequence.append(roi)
                ds.ROIContourSequence.append(drawn)
            found.append({"label.dcm": _bytes(ds)})
    return found
