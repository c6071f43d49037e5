"""Changes of DICOM by its elements: tags, VRs, lengths, values, items, fragments; and of a series by its files.

Source: PS3.5, 7.1 (elements), 7.5 (sequences), A.4 (fragments).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from fuzz.mutate_bytes import change_bytes
from fuzz.sample import Files, Mutated, Rng, pick

LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
VRS = (
    b"OB", b"OW", b"SQ", b"UN", b"UT", b"US", b"SS", b"UL", b"FD", b"FL", b"DS", b"IS", b"CS", b"UI", b"LO", b"PN",
    b"AT", b"??", b"\0\0",
)  # fmt: skip
LENGTHS = (0, 1, 2, 3, 7, 8, 0xFF, 0xFFFE, 0xFFFF, 0xFFFFFFFE, 0xFFFFFFFF, 0x7FFFFFFF, 0x10000)
TEXTS = (
    b"", b"0", b"1", b"-1", b"2", b"1e300", b"-1e300", b"1e-300", b"nan", b"inf", b"NaN\\NaN", b"1\\1", b"0\\0",
    b"1\\1\\1", b"1\\0\\0\\0\\1\\0", b"0\\1\\0\\0\\0\\-1", b"1\\0\\0\\1\\0\\0", b"0\\0\\0\\0\\0\\0", b"0\\0\\-5",
    b"1e5\\1e5\\1e5", b"0.7\\0.8", b"5\\5", b"HU", b"US", b"MR", b"CT", b"MONOCHROME1", b"RGB",
    b"ORIGINAL\\PRIMARY\\LOCALIZER", b"\xff\xfe", b"\x1b[2J", b"12345678901234567890", b"999999999", b"10000000",
    b"65536", b"1.2.3", b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.2",
    b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.4.70", b"1.2.840.10008.1.2.4.90",
    b"1.2.840.10008.1.2.5", b"1.2.840.10008.5.1.4.1.1.2", b"1.2.840.10008.5.1.4.1.1.2.1",
    b"1.2.840.10008.5.1.4.1.1.7", b"ISO_IR 100", b"\\ISO 2022 IR 87", b"GB18030", b"-1024", b"-3024", b"0.5", b"2",
    b"BINARY", b"FRACTIONAL", b"LABELMAP", b"CLOSED_PLANAR", b"POINT", b"CLOSEDPLANAR_XOR", b"OPEN_PLANAR",
    b"x" * 5000,
)  # fmt: skip
NUMBERS = (0, 1, 2, 3, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 20, 31, 32, 255, 256, 4095, 32767, 32768, 65534, 65535)
_ITEM, _END_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0"
_UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True)
class Element:
    """Where an element lies in the bytes: its tag at `start`, its length at `length_at` in `width` bytes, its value."""

    start: int
    vr: bytes
    length_at: int
    width: int
    value: int
    end: int


def elements(content: bytes, start: int, end: int, *, implicit: bool, depth: int = 0) -> list[Element]:
    """Elements and items in little endian, those within sequences too; as far as they can be followed."""
    found: list[Element] = []
    at = start
    while at + 8 <= end and len(found) < 4000:
        tag, vr = content[at : at + 4], content[at + 4 : at + 6]
        if tag in {_ITEM, _END_ITEM, _END} or implicit:
            vr, length_at, width = b"", at + 4, 4
        elif vr in LONG_VRS:
            length_at, width = at + 8, 4
        else:
            length_at, width = at + 6, 2
        length = int.from_bytes(content[length_at : length_at + width], "little")
        value = length_at + width
        nested = tag == _ITEM or vr == b"SQ" or (length == _UNDEFINED and width == 4)
        stop = value if length == _UNDEFINED and width == 4 else min(value + length, end)
        found.append(Element(at, vr, length_at, width, value, stop))
        if nested and depth < 8 and stop > value and not (tag == _ITEM and content[value : value + 2] == b"\xff\xd8"):
            inner = elements(content, value, stop, implicit=implicit, depth=depth + 1)
            found += inner if all(part.end <= stop for part in inner) else []
        at = stop
    return found


def change_dicom(rng: Rng, content: bytes) -> tuple[bytes, str]:
    """One change of a DICOM file; one in deflated or big endian syntax is changed by its bytes where it must be."""
    if content[128:132] != b"DICM" or len(content) < 160 or rng.random() < 0.12:
        return change_bytes(rng, content)
    meta = elements(content, 132, len(content), implicit=False)
    begin = next((part.start for part in meta if content[part.start : part.start + 2] != b"\x02\x00"), len(content))
    if rng.random() < 0.08:
        return _change_elements(rng, content, [part for part in meta if part.start < begin])
    head, body = content[:begin], content[begin:]
    if b"1.2.840.10008.1.2.1.99" in head:
        try:
            plain = zlib.decompress(body, wbits=-15)
        except zlib.error:
            return change_bytes(rng, content)
        changed, what = _change_elements(rng, plain, elements(plain, 0, len(plain), implicit=False))
        packer = zlib.compressobj(1, wbits=-15)
        packed = packer.compress(changed) + packer.flush()
        return head + packed + bytes(len(packed) % 2), f"deflated: {what}"
    if b"1.2.840.10008.1.2.2\0" in head:
        return change_bytes(rng, content)
    implicit = b"1.2.840.10008.1.2\0" in head
    changed, what = _change_elements(rng, body, elements(body, 0, len(body), implicit=implicit))
    return head + changed, what


def _change_elements(rng: Rng, content: bytes, parts: list[Element]) -> tuple[bytes, str]:
    if not parts:
        return change_bytes(rng, content)
    of_image = [part for part in parts if content[part.start] == 0x28]
    part = pick(rng, of_image or parts) if rng.random() < 0.3 else pick(rng, parts)
    name = content[part.start : part.start + 4].hex()
    kind = int(rng.integers(12))
    if kind <= 3:
        return _with_value(content, part, new := _value(rng, part.vr)), f"{name} {part.vr!r} = {new[:30]!r}"
    if kind == 4:
        length = (pick(rng, LENGTHS) % 2 ** (8 * part.width)).to_bytes(part.width, "little")
        return content[: part.length_at] + length + content[part.value :], f"{name} length {length.hex()}"
    if kind == 5:
        held = part.end - part.value
        near = max(0, held + int(rng.integers(-3, 4)))
        length = (near % 2 ** (8 * part.width)).to_bytes(part.width, "little")
        return content[: part.length_at] + length + content[part.value :], f"{name} length {near} of {held}"
    if kind == 6:
        return content[: part.start] + content[part.end :], f"without {name}"
    if kind == 7:
        whole = content[part.start : part.end]
        return content[: part.end] + whole + content[part.end :], f"{name} twice"
    if kind == 8 and part.vr:
        vr = pick(rng, VRS)
        return content[: part.start + 4] + vr + content[part.start + 6 :], f"{name} VR {part.vr!r} -> {vr!r}"
    if kind == 9:
        other = pick(rng, parts)
        tag = content[other.start : other.start + 4]
        return content[: part.start] + tag + content[part.start + 4 :], f"{name} gets the tag {tag.hex()}"
    if kind == 10:
        deep = _nested(int(pick(rng, (1, 3, 50, 2000))))
        return content[: part.start] + deep + content[part.start :], f"nested sequences before {name}"
    value, what = change_bytes(rng, content[part.value : part.end])
    return _with_value(content, part, value), f"{name} value: {what}"


def _with_value(content: bytes, part: Element, value: bytes) -> bytes:
    value = value + (b"\0" if part.vr == b"UI" else b" ") * (len(value) % 2)
    if len(value) >= 2 ** (8 * part.width):
        value = value[: 2 ** (8 * part.width) - 2]
    length = len(value).to_bytes(part.width, "little")
    return content[: part.length_at] + length + value + content[part.end :]


def _value(rng: Rng, vr: bytes) -> bytes:
    if vr in {b"US", b"SS", b""} and rng.random() < 0.8:
        return struct.pack("<H", pick(rng, NUMBERS))
    if vr in {b"UL", b"SL"}:
        return struct.pack("<I", pick(rng, (*NUMBERS, 2**31, 2**32 - 1)))
    if vr in {b"FD", b"FL"}:
        return struct.pack("<d" if vr == b"FD" else "<f", pick(rng, (0.0, -1.0, float("nan"), float("inf"), 1e30, 0.5)))
    return pick(rng, TEXTS)


def _nested(depth: int) -> bytes:
    head = b"\x08\x00\x40\x11SQ\0\0" + struct.pack("<I", _UNDEFINED) + _ITEM + struct.pack("<I", _UNDEFINED)
    return head * depth + (_END_ITEM + bytes(4) + _END + bytes(4)) * depth


def change_series(rng: Rng, files: Files) -> Mutated:
    """One change of a folder with a series: of one file, of all of them in the same way, or of which there are."""
    names = sorted(files)
    name = pick(rng, names)
    kind = rng.random()
    if kind < 0.45 or len(names) < 2:
        content, what = change_dicom(rng, files[name])
        return {**files, name: content}, f"{name}: {what}"
    if kind < 0.8:
        state = rng.bit_generator.state
        changed, what = {}, ""
        for each in names:  # the same draws for every file
            rng.bit_generator.state = state
            changed[each], what = change_dicom(rng, files[each])
        return changed, f"all: {what}"
    other = pick(rng, names)
    if kind < 0.84:
        return {n: c for n, c in files.items() if n != name}, f"without {name}"
    if kind < 0.88:
        return {**files, f"x{name}": files[name]}, f"{name} twice"
    if kind < 0.91:
        return {**files, name: files[other]}, f"{name} is {other}"
    if kind < 0.94:
        return {**files, name: b""}, f"{name} empty"
    if kind < 0.96:
        left = {n: c for n, c in files.items() if n != name}
        return {**left, name.replace(".dcm", ""): files[name]}, f"{name} without its ending"
    if kind < 0.98:
        return {**files, f"sub/{name}": files[name]}, f"{name} in a folder, too"
    return {**files, "a.dcm": rng.integers(0, 256, 400, dtype="u1").tobytes()}, "a file of random bytes"
