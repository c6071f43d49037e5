"""Several reconstructions or time points in one series: told by headers that alternate along the stack.

Two series of which each lies between the slices of the other look like one, evenly spaced. An element that differs
between slices is no fault as such: a new AcquisitionNumber half-way is usual. One that comes back is.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pydicom

from pe_nnunet.errors import InputError, Note
from pe_nnunet.volumes.dicom.headers import plain_text
from pe_nnunet.volumes.dicom.increment import SAME_POSITION_MM
from pe_nnunet.volumes.dicom.slice_positions import Slice, frame_sources

# Elements that one reconstruction has one value of, and the functional group of a multi-frame file that holds each.
_TELLING = {
    "ConvolutionKernel": "CTReconstructionSequence",
    "TemporalPositionIdentifier": "",
    "TemporalPositionIndex": "FrameContentSequence",
    "NominalPercentageOfCardiacPhase": "CardiacSynchronizationSequence",
    "AcquisitionNumber": "",
    "FrameAcquisitionNumber": "FrameContentSequence",
    "EchoNumbers": "",
    "KVP": "CTXRayDetailsSequence",
    "ReconstructionDiameter": "CTReconstructionSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "ImageType": "",
    "FrameType": "CTImageFrameTypeSequence",
    "FilterType": "CTExposureSequence",
    "ReconstructionAlgorithm": "CTReconstructionSequence",
    "ContrastBolusAgent": "",
    "SeriesNumber": "",
    "SeriesDescription": "",
    "ProtocolName": "",
    "FrameOfReferenceUID": "",
    "SeriesInstanceUID": "",
}
# Those that no scan changes half-way. An acquisition may end there, and a new one go on.
_CONSTANT = frozenset(
    {
        "ConvolutionKernel",
        "EchoNumbers",
        "KVP",
        "NominalPercentageOfCardiacPhase",
        "ReconstructionDiameter",
        "SliceThickness",
        "TemporalPositionIdentifier",
        "TemporalPositionIndex",
    }
)
_TIMES = ("AcquisitionTime", "AcquisitionDateTime", "SeriesTime", "ContentTime", "TriggerTime")
_MAX_TIMES = 4  # time points; more are the slices' own
_FEW = 0.25  # share of slices without an element that counts as an oversight
_SAID = 3  # elements, and values of each, in a message

Headers = Mapping[Path, pydicom.Dataset]


def require_one_reconstruction(slices: Sequence[Slice], headers: Headers, case_id: str) -> tuple[Note, ...]:
    """Check that no element of those that tell reconstructions apart alternates along the stack.

    Args:
        slices: Of one series, in any order. Without positions nothing is checked.
        headers: The data set of each file.
        case_id: For messages.

    Returns:
        A note where the upper part of the stack is another reconstruction than the lower.

    Raises:
        InputError: PE-DCM-032.
    """
    placed = _along(slices)
    telling = [keyword for keyword in _TELLING if _comes_back(_values(keyword, placed, headers))]
    telling += [keyword for keyword in _TIMES if _alternates(_values(keyword, placed, headers))]
    if telling:
        raise InputError(
            "PE-DCM-032",
            f"{case_id}: several reconstructions or time points lie between one another in one series"
            + _said(telling, placed, headers),
            _way_out(telling, placed, headers),
        )
    mixed = [k for k in _different(placed, headers) if k in _CONSTANT and "" not in _values(k, placed, headers)]
    if not mixed:
        return ()
    text = "parts of the stack differ in how they were made" + _said(mixed, placed, headers)
    return (Note("PE-DCM-032", "warning", text),)


def differing(slices: Sequence[Slice], headers: Headers) -> str:
    """In which of these elements slices differ, for a message."""
    return _said(_different(slices, headers), slices, headers)


def way_out(slices: Sequence[Slice], headers: Headers) -> str:
    """How one of several reconstructions is taken."""
    return _way_out(_different(slices, headers), slices, headers)


def _different(slices: Sequence[Slice], headers: Headers) -> list[str]:
    return [k for k in (*_TELLING, *_TIMES) if 1 < len(set(_values(k, slices, headers))) <= _MAX_TIMES]


def _said(keywords: Sequence[str], slices: Sequence[Slice], headers: Headers) -> str:
    listed = []
    for keyword in keywords[:_SAID]:
        counts = Counter(_values(keyword, slices, headers)).most_common()
        values = ", ".join(f"{value or 'none'} ({n} slices)" for value, n in counts[:_SAID])
        listed.append(f"{keyword} is {values}" + (f" and {len(counts) - _SAID} more" if len(counts) > _SAID else ""))
    return ": " + "; ".join(listed) if listed else ""


def _way_out(keywords: Sequence[str], slices: Sequence[Slice], headers: Headers) -> str:
    if keywords and len({s.file for s in slices}) > 1:
        most, _ = Counter(v for v in _values(keywords[0], slices, headers) if v).most_common(1)[0]
        return f"take one of them, for example with --only {shlex.quote(f'{keywords[0]}={most}')}"
    return "export each as a series of its own, or put its slices into a folder of their own"


def _along(slices: Sequence[Slice]) -> list[Slice]:
    """The first slice at each position, along the normal of the first; none where a slice has no place."""
    if not slices or any(s.position_mm is None or s.orientation is None for s in slices):
        return []
    slices = sorted(slices, key=lambda s: (s.file, s.frame))
    cosines = np.array(slices[0].orientation, dtype=np.float64).reshape(2, 3)
    along_mm = np.array([s.position_mm for s in slices], dtype=np.float64) @ np.cross(cosines[0], cosines[1])
    order = np.argsort(np.round(along_mm, 3), kind="stable")
    starts = np.diff(along_mm[order], prepend=-np.inf) > SAME_POSITION_MM
    return [slices[k] for k in order[starts]]


def _values(keyword: str, slices: Sequence[Slice], headers: Headers) -> list[str]:
    macro = _TELLING.get(keyword, "")
    if not macro:
        by_file = {file: plain_text(headers[file], keyword) for file in dict.fromkeys(s.file for s in slices)}
        return [by_file[s.file] for s in slices]
    return [
        next(
            (
                text
                for source in frame_sources(headers[s.file], s.frame, macro)
                if (text := plain_text(source, keyword))
            ),
            "",
        )
        for s in slices
    ]


def _runs(values: Sequence[str]) -> int:
    return sum(1 for _ in groupby(values))


def _comes_back(values: list[str]) -> bool:
    """Whether a value is there again after another one."""
    if values.count("") < _FEW * len(values):
        values = [value for value in values if value]
    return _runs(values) > len(set(values)) > 1


def _alternates(values: list[str]) -> bool:
    """Whether a few values change at every other slice at least; times of the slices' own differ everywhere."""
    return 1 < len(set(values)) <= _MAX_TIMES and 2 * _runs(values) >= len(values) > 2 * len(set(values))
