"""Changes of bytes that know no format: what disks, networks and editors do to any file."""

from __future__ import annotations

import struct

from fuzz.sample import Files, Mutated, Rng, pick

WORDS = (
    0, 1, 2, 3, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1,
)  # fmt: skip


def change_bytes(rng: Rng, content: bytes) -> tuple[bytes, str]:
    """One change somewhere in some bytes."""
    if not content:
        return bytes(rng.integers(0, 256, 16, dtype="u1")), "random bytes for none"
    at = int(rng.integers(len(content))) if rng.random() < 0.6 else int(rng.integers(min(len(content), 512)))
    length = int(min(2 ** rng.integers(0, 10), len(content) - at))
    kind = int(rng.integers(9))
    if kind == 0:
        changed = bytearray(content)
        changed[at] ^= 1 << int(rng.integers(8))
        return bytes(changed), f"bit of byte {at} flipped"
    if kind == 1:
        return content[:at], f"cut at {at}"
    if kind == 2:
        return content[:at] + content[at + length :], f"{length} bytes out at {at}"
    if kind == 3:
        return content[:at] + content[at : at + length] + content[at:], f"{length} bytes doubled at {at}"
    if kind == 4:
        return content[:at] + bytes(length) + content[at + length :], f"{length} zeros at {at}"
    if kind == 5:
        noise = rng.integers(0, 256, length, dtype="u1").tobytes()
        return content[:at] + noise + content[at + length :], f"{length} random bytes at {at}"
    if kind == 6:
        size, order = pick(rng, (1, 2, 4, 8)), pick(rng, ("little", "big"))
        word = (pick(rng, WORDS) % 2 ** (8 * size)).to_bytes(size, order)  # type: ignore[arg-type]
        return content[:at] + word + content[at + size :], f"word {word.hex()} at {at}"
    if kind == 7:
        number = struct.pack(pick(rng, ("<f", ">f", "<d")), pick(rng, (0.0, -1.0, float("nan"), float("inf"), 1e30)))
        return content[:at] + number + content[at + len(number) :], f"float {number.hex()} at {at}"
    return content + rng.integers(0, 256, length, dtype="u1").tobytes(), f"{length} bytes behind the end"


def change_any(rng: Rng, files: Files) -> Mutated:
    """`change_bytes` of one file of several."""
    name = pick(rng, sorted(files))
    content, what = change_bytes(rng, files[name])
    return {**files, name: content}, f"{name}: {what}"
