"""Which series of a study is the CTPA, by headers alone, and why.

Series are compared by what is asked first of a CTPA: a volume of axial slices that is no projection, contrast, a
description that names the pulmonary arteries, a kernel that is not sharp, thin slices, many of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom

from pe_nnunet.errors import InputError
from pe_nnunet.volumes.dicom.choose_series import is_small
from pe_nnunet.volumes.dicom.headers import (
    ct_series,
    number_of,
    plain_text,
    quiet_pydicom,
    read_dataset,
    read_headers,
    text_of,
)

THIN_MM, THICK_MM = 1.5, 3.0
_NO_CONTRAST = re.compile(r"(without|no|none|w/?o|non?[- ]?contrast|native?)\b.*", re.IGNORECASE)
_NAMED = re.compile(
    r"ctpa|cta.*(pulm|lung|thor|chest)|pulm.*(art|angio|emb)|lungenemb|(^|[^a-z])(pe|lae|ep)([^a-z]|$)", re.IGNORECASE
)
_PROJECTION = re.compile(r"\b(MIP|MINIP|PROJECTION IMAGE|VRT)\b|_MIP\b", re.IGNORECASE)
_SHARP_WORDS = re.compile(r"LUNG|BONE|EDGE|SHARP|^(L|D|E|YC|YD|YE)$", re.IGNORECASE)  # GE, Philips
_SIEMENS = re.compile(r"^[BHUIDTQ]([a-z]?)(\d\d)")
_CANON = re.compile(r"^FC(\d\d)")
_SHARP_SIEMENS, _SHARP_CANON = 50, (*range(30, 40), *range(50, 60), *range(80, 90))  # bone, lung, high resolution


@dataclass(frozen=True)
class SeriesFacts:
    """What the headers of a series say.

    Attributes:
        uid: SeriesInstanceUID.
        slices: How many CT slices there are.
        axial: Whether their normal is nearest to the axis of the body.
        projected: Whether each is made of many, as in MIPs.
        contrast: Whether a contrast agent is named.
        named: Whether the description names pulmonary arteries or embolism.
        kernel: ConvolutionKernel, empty if unknown.
        thickness_mm: SliceThickness, None if unknown.
    """

    uid: str
    slices: int
    axial: bool
    projected: bool
    contrast: bool
    named: bool
    kernel: str
    thickness_mm: float | None

    @property
    def rank(self) -> tuple[float | str, ...]:
        """The higher the better; nothing is left to chance."""
        thickness = THICK_MM if self.thickness_mm is None else self.thickness_mm
        thin = (thickness <= THIN_MM) + (thickness <= THICK_MM)
        return (self.contrast, self.named, not is_sharp(self.kernel), thin, self.slices, self.uid)

    @property
    def usable(self) -> bool:
        """Whether it is a volume that can be a CTPA at all."""
        return self.axial and not self.projected

    def __str__(self) -> str:
        """In words, without any free text of the header."""
        thickness = "thickness unknown" if self.thickness_mm is None else f"{self.thickness_mm:g} mm"
        kernel = f"{'sharp' if is_sharp(self.kernel) else 'soft'} kernel" if self.kernel else "kernel unknown"
        words = ["contrast" if self.contrast else "no contrast named", kernel, thickness, f"{self.slices} slices"]
        return ", ".join([*words, *(["description names pulmonary arteries"] if self.named else [])])


def choose_ctpa(files: Iterable[Path]) -> tuple[str, str]:
    """The series to look for emboli in.

    Args:
        files: Of one study.

    Returns:
        SeriesInstanceUID, and why it was taken, in words that hold no text of a header but numbers.

    Raises:
        InputError: PE-SRV-011 if no series is a volume of axial CT slices.
    """
    headers, _ = read_headers(files)
    series = ct_series(headers)
    large = {uid: members for uid, members in series.items() if not is_small(members)}
    found = [_facts(uid, [header.path for header in members]) for uid, members in large.items()]
    usable = sorted((facts for facts in found if facts.usable), key=lambda facts: facts.rank, reverse=True)
    if not usable:
        raise InputError(
            "PE-SRV-011",
            f"none of {len(series)} CT series is a volume of axial slices",
            "send the axial series of the CTPA",
        )
    best, left_out = usable[0], len(series) - len(usable)
    told = [f"{best}"]
    if len(usable) > 1:
        told = [f"of {len(usable)} axial series the one with {best}; next: {usable[1]}"]
    if left_out:
        told.append(f"{left_out} left out: small, not axial, or projections")
    return best.uid, "; ".join(told)


def is_sharp(kernel: str) -> bool:
    """Whether a kernel is one for bone or lung, by the vendors' names.

    Source: the vendors' names: Siemens by number (B30f is soft, B70f and Bl57 are sharp), Canon `FCnn`, GE and
    Philips by words and letters.

    Example:
        >>> [is_sharp(kernel) for kernel in ("B30f", "Br40d", "B70f", "Bl57", "FC08", "FC51", "STANDARD", "LUNG", "B")]
        [False, False, True, True, False, True, False, True, False]
    """
    if siemens := _SIEMENS.match(kernel):
        return siemens[1] == "l" or int(siemens[2]) >= _SHARP_SIEMENS
    if canon := _CANON.match(kernel):
        return int(canon[1]) in _SHARP_CANON
    return _SHARP_WORDS.search(kernel) is not None


def _facts(uid: str, files: Sequence[Path]) -> SeriesFacts:
    with quiet_pydicom():
        header = read_dataset(files[len(files) // 2]) or pydicom.Dataset()
    agent = text_of(header, "ContrastBolusAgent")
    described = f"{text_of(header, 'SeriesDescription')} {text_of(header, 'ProtocolName')}"
    return SeriesFacts(
        uid,
        len(files),
        axial=_is_axial(header),
        projected=_PROJECTION.search(plain_text(header, "ImageType").replace("\\", " ")) is not None,
        contrast=bool(agent) and _NO_CONTRAST.fullmatch(agent) is None,
        named=_NAMED.search(described) is not None,
        kernel=plain_text(header, "ConvolutionKernel").split("\\")[0],
        thickness_mm=number_of(header, "SliceThickness"),
    )


def _is_axial(header: pydicom.Dataset) -> bool:
    """By the direction cosines (PS3.3, C.7.6.2.1.1); where there are none, or in a functional group, it may be."""
    try:
        a, b, c, d, e, f = (float(v) for v in plain_text(header, "ImageOrientationPatient").split("\\"))
    except ValueError:
        return True
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    return abs(normal[2]) >= max(abs(normal[0]), abs(normal[1]))
