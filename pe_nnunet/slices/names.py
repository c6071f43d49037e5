"""What a slice is called, so that a picture or mask of it finds its way back."""

from __future__ import annotations

from pe_nnunet.volumes import DicomInfo


def slice_names(dicom: DicomInfo | None, slices: int) -> tuple[str, ...]:
    """File names of slices without their ending, in the order of the volume.

    Args:
        dicom: Of a scan read from DICOM: slices are then called by SOPInstanceUID, with the number of the slice
            behind it where the frames of one file share it. None for other volumes, whose slices are numbered, as
            are those of a series that was resampled.
        slices: How many there are.

    Example:
        >>> slice_names(None, 3)
        ('0001', '0002', '0003')
    """
    numbers = tuple(f"{k + 1:04d}" for k in range(slices))
    uids = () if dicom is None else dicom.sop_instance_uids
    if not uids:
        return numbers
    if len(set(uids)) == len(uids):
        return uids
    return tuple(f"{uid}_{number}" for uid, number in zip(uids, numbers, strict=True))
