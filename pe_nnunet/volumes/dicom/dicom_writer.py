"""Write an image as a DICOM CT series: one uncompressed CT Image Storage file a slice (PS3.3 A.3)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import format_number_as_ds

from pe_nnunet.errors import OutputError
from pe_nnunet.files import atomic_folder


def write_dicom_series(
    image: sitk.Image, folder: Path, *, patient_id: str, series_description: str = "", entropy: str = ""
) -> None:
    """Write `IM00001.dcm` and so on, in the order of the slices.

    UIDs are made from the voxels, the geometry and the texts, and there are no dates, so that the same input gives the
    same bytes.

    Args:
        image: HU, an integer type within int16, or whole numbers as floats; any orthonormal direction. A left-handed
            one reads back with its slices in the opposite order, for DICOM stacks are right-handed.
        folder: Made if it is not there; files of other names in it are an error.
        patient_id: PatientID and PatientName, at most 64 characters.
        series_description: At most 64 characters.
        entropy: Anything that should give other UIDs for the same image.

    Raises:
        OutputError: PE-OUT-001 if it cannot be written, PE-OUT-002 if the folder holds other files.
                    PE-OUT-003 if values are not whole numbers within int16.
    """
    hu = sitk.GetArrayFromImage(image)
    stored = np.clip(np.rint(hu), -32768, 32767).astype("<i2")
    if not np.array_equal(stored, hu):
        raise OutputError("PE-OUT-003", f"{patient_id}: values are not whole numbers within int16", "round them first")
    names = [f"IM{k + 1:05d}.dcm" for k in range(len(stored))]
    require_free(folder, set(names))
    base = _dataset(image, stored, patient_id, series_description, entropy)
    with atomic_folder(folder) as staged:  # half a series would be read as a whole one
        for k, name in enumerate(names):
            _complete(base, image, stored[k], k)
            base.save_as(staged / name, enforce_file_format=True)


def require_free(folder: Path, names: set[str]) -> None:
    """Check that a folder for a series holds nothing else.

    Raises:
        OutputError: PE-OUT-002 if it does.
    """
    others = sorted(file.name for file in folder.iterdir() if file.name not in names) if folder.is_dir() else []
    if others:
        raise OutputError(
            "PE-OUT-002",
            f"{folder} holds other files, for example {others[0]}",
            "write the series into a folder of its own",
        )


def _dataset(
    image: sitk.Image,
    stored: np.ndarray[tuple[int, ...], np.dtype[np.int16]],
    patient_id: str,
    description: str,
    entropy: str,
) -> pydicom.Dataset:
    """Everything that the slices share."""
    seed = hashlib.sha256(stored.tobytes()).hexdigest()
    grid = repr((image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection()))
    seeds = [seed, grid, patient_id, description, entropy]
    x_mm, y_mm, z_mm = image.GetSpacing()
    ds = pydicom.Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = ds.PatientID = patient_id
    ds.PatientBirthDate = ds.PatientSex = ""
    ds.StudyInstanceUID = generate_uid(entropy_srcs=[*seeds, "study"])
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=[*seeds, "series"])
    ds.FrameOfReferenceUID = generate_uid(entropy_srcs=[*seeds, "frame of reference"])
    ds.StudyDate = ds.StudyTime = ds.ReferringPhysicianName = ds.StudyID = ds.AccessionNumber = ""
    ds.PositionReferenceIndicator = ds.Manufacturer = ds.PatientPosition = ""
    ds.Modality, ds.SeriesNumber, ds.SeriesDescription = "CT", 1, description
    ds.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    ds.AcquisitionNumber = ds.KVP = None
    direction = np.array(image.GetDirection()).reshape(3, 3)
    ds.ImageOrientationPatient = [format_number_as_ds(float(v)) for v in direction[:, :2].T.ravel()]
    ds.PixelSpacing = [format_number_as_ds(y_mm), format_number_as_ds(x_mm)]
    ds.SliceThickness = ds.SpacingBetweenSlices = format_number_as_ds(z_mm)
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape[1:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = "1", "0", "HU"
    ds.WindowCenter, ds.WindowWidth = "100", "700"
    return ds


def _complete(
    ds: pydicom.Dataset, image: sitk.Image, plane: np.ndarray[tuple[int, ...], np.dtype[np.int16]], k: int
) -> None:
    """What belongs to slice k alone, written into the shared data set."""
    ds.SOPInstanceUID = generate_uid(entropy_srcs=[str(ds.SeriesInstanceUID), str(k)])
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.InstanceNumber = k + 1
    position = image.TransformIndexToPhysicalPoint((0, 0, k))
    ds.ImagePositionPatient = [format_number_as_ds(float(v)) for v in position]
    ds.PixelData = plane.tobytes()
