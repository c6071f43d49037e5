"""Whether a DICOM SEG belongs to a scan: by frame of reference and series, and by the slices that its frames name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path

import pydicom
import SimpleITK as sitk

from pe_nnunet.errors import InputError, Note
from pe_nnunet.volumes.dicom.headers import text_of
from pe_nnunet.volumes.scan import DicomInfo
from pe_nnunet.volumes.seg.frame_placement import Placement
from pe_nnunet.volumes.seg.seg_contents import SegFrame, damaged, items_of

OTHER_INCREMENT = 1.5  # times the distance of the scan's slices


def require_same_series(dataset: pydicom.Dataset, frames: Sequence[SegFrame], dicom: DicomInfo, path: Path) -> None:
    """Refuse a SEG of another frame of reference or series, and one of which nothing says that it is of this one."""
    given, expected = text_of(dataset, "FrameOfReferenceUID"), dicom.frame_of_reference_uid
    if given and expected and given != expected:
        raise InputError("PE-SEG-002", f"{path.name} lies in another frame of reference", "give that of this series")
    series = items_of(dataset, "ReferencedSeriesSequence")
    uids = {
        text_of(item, "ReferencedSOPInstanceUID") for s in series for item in items_of(s, "ReferencedInstanceSequence")
    }
    uids |= {uid for frame in frames for uid, _ in frame.sources}
    named = {text_of(item, "SeriesInstanceUID") for item in series}
    require_named_source(uids, named, dicom, path, in_frame=bool(given and expected))


def require_named_source(
    uids: Collection[str], series: Collection[str], dicom: DicomInfo, path: Path, *, in_frame: bool
) -> None:
    """Refuse a label that names slices or series that are all others, or neither where no frame of reference ties it.

    Args:
        uids: SOPInstanceUID of the slices that it names.
        series: SeriesInstanceUID of the series that it names.
        dicom: Of the scan.
        path: For messages.
        in_frame: It lies in the frame of reference of the scan.
    """
    of_scan = set(dicom.sop_instance_uids) - {""}
    if of_scan and set(uids) - {""}:
        if of_scan.isdisjoint(uids):
            text = f"{path.name} names {len(uids)} slices, and none is of this series"
            raise InputError("PE-SEG-002", text, "give the segmentation of this series")
    elif series:
        if dicom.series_uid not in series:
            text = f"{path.name} was drawn on another series of the study"
            raise InputError("PE-SEG-002", text, "give the segmentation of this series")
    elif not in_frame:
        text = f"{path.name} names neither slices nor a series, and it or the scan has no FrameOfReferenceUID"
        raise InputError("PE-SEG-002", text, "bring the label onto the scan as NIfTI")


def require_all_slices(frames: Sequence[SegFrame], places: Sequence[Placement], image: sitk.Image, path: Path) -> None:
    """Refuse a SEG drawn on every second slice or fewer, where nothing but positions ties it to this series."""
    increment_mm = image.GetSpacing()[2]
    flat = [k for k, spot in enumerate(places) if not spot.steps[2].any()]
    steps = {after - before for before, after in pairwise(sorted({int(places[k].corner[2]) for k in flat}))}
    if 1 in steps:
        return
    stated_mm = max((frames[k].between_mm or 0.0 for k in flat), default=0.0)
    evenly = len(flat) > 2 and len(steps) == 1  # of two, each may be an embolus
    between_mm = stated_mm or (min(steps) * increment_mm if evenly else 0.0)
    if between_mm > OTHER_INCREMENT * increment_mm:
        raise InputError(
            "PE-SEG-004",
            f"{path.name} has slices every {between_mm:.4g} mm, the scan every {increment_mm:.4g} mm",
            "give the series that it was drawn on, or resample it, with the nearest neighbour",
        )


def require_named_slices(
    frames: Sequence[SegFrame], places: Sequence[Placement], image: sitk.Image, dicom: DicomInfo, path: Path
) -> list[Note]:
    """Compare the slices that frames name with those where they lie.

    Raises:
        InputError: PE-SEG-011 if frames name slices of this scan, and lie on others.
    """
    of_uid: dict[str, list[tuple[int, int]]] = {}
    indices = dicom.frames or (0,) * len(dicom.sop_instance_uids)
    for z, (uid, index) in enumerate(zip(dicom.sop_instance_uids, indices, strict=True)):
        if uid:
            of_uid.setdefault(uid, []).append((z, index))
    several_frames = any(indices)
    elsewhere, strangers = [], 0
    for frame, spot in zip(frames, places, strict=True):
        named = {
            z
            for uid, numbers in frame.sources
            for z, index in of_uid.get(uid, ())
            if not (several_frames and numbers) or index in numbers
        }
        if named and named.isdisjoint(spot.slices):
            elsewhere.append((frame.place.frame + 1, spot.slices.start + 1, min(named) + 1))
        inside = 0 <= spot.slices.start < image.GetSize()[2]
        strangers += bool(of_uid and frame.sources and not named and inside)
    if elsewhere:
        number, lies, names = elsewhere[0]
        raise damaged(
            path,
            f"{len(elsewhere)} of {len(frames)} frames name other slices than those where they lie, "
            f"the first frame {number}: it lies on slice {lies} and names slice {names}",
        )
    if not strangers:
        return []
    text = f"{path.name}: {strangers} of {len(frames)} frames name slices that are not of the scan, placed by position"
    return [Note("PE-SEG-009", "warning", text)]
