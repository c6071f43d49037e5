"""Which bits of a stored pixel are its value, and what the other bits hold.

BitsStored bits that end at HighBit are the value; older writers put them at the top of the word, or an overlay beside
them. What a header says of them is checked against the words.

Source: PS3.5, 8.1.1 and its note on overlays; PS3.3 C.7.6.3.1 and C.7.5.1.1.2 (PixelPaddingValue); C.9.2 of the
standard of 2003 (OverlayBitPosition, now retired).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

from pe_nnunet.volumes.dicom.headers import number_of

ALLOCATED = (8, 16, 32)
_OVERLAY_GROUPS = range(0x6000, 0x6020, 2)

Words = npt.NDArray[Any]


@dataclass(frozen=True)
class StoredBits:
    """The bits of a word that hold the value of a pixel.

    Attributes:
        allocated: Bits of a word.
        stored: Bits of the value.
        shift: Bits of the word below the value.
        signed: The value is a two's complement.
        padding: PixelPaddingValue as a word; None where there is none.
        overlays: The bits outside the value that the header declares to be overlays, as a mask of a word.
    """

    allocated: int
    stored: int
    shift: int
    signed: bool
    padding: int | None = None
    overlays: int = 0

    @property
    def above(self) -> int:
        """Bits of the word above the value."""
        return self.allocated - self.stored - self.shift

    def values(self, words: Words, into: npt.NDArray[np.int32] | None = None) -> Words:
        """The value of each word, whole and with its sign.

        Args:
            words: Integers, any shape of two axes, as they are stored.
            into: Memory for the result, for the next call to overwrite.

        Returns:
            int32; int64 from words of 32 bits. Padding that the value's bits cannot hold keeps its number, and other
            bits above the value count as overlays.

        Raises:
            ValueError: If the bits below the value are used, or those above continue it: the header does not describe
                these words. The text says how.

        Example:
            >>> StoredBits(16, 12, 4, signed=False).values(np.array([[0x0010, 0xFFF0]], np.uint16))
            array([[   1, 4095]], dtype=int32)
        """
        values: Words
        if words.itemsize > 2 or into is None:
            values = words.astype(np.int64 if words.itemsize > 2 else np.int32)
        else:
            values = into
            values[...] = words
        lowest, highest = self._limits()
        fits = self.stored == self.allocated or (lowest <= words.min() and words.max() <= highest)
        if self.shift == 0 and fits:
            return values
        whole = values.astype(np.int64) & ((1 << self.allocated) - 1) & ~self.overlays
        self._require_nothing_below(whole)
        values[...] = _signed(whole >> self.shift, self.stored) if self.signed else self._masked(whole >> self.shift)
        if self.above:
            self._without_what_is_above(whole, values)
        return values

    def _limits(self) -> tuple[int, int]:
        return (-(1 << self.stored - 1), (1 << self.stored - 1) - 1) if self.signed else (0, (1 << self.stored) - 1)

    def _masked(self, whole: Words) -> Words:
        return whole & ((1 << self.stored) - 1)

    def _require_nothing_below(self, whole: Words) -> None:
        used = int(np.count_nonzero(whole & ((1 << self.shift) - 1)))
        if used:
            raise ValueError(
                f"HighBit {self.stored + self.shift - 1} with BitsStored {self.stored} leaves the lowest {self.shift} "
                f"bits of a word free, but {used} of {whole.size} pixels use them"
            )

    def _without_what_is_above(self, whole: Words, values: Words) -> None:
        """Keep padding that does not fit into the value's bits, and refuse values that do not."""
        above = whole >> (self.stored + self.shift)
        every = (1 << self.above) - 1
        left = above != 0
        if self.signed:
            left &= ~((above == every) & (values < 0))  # no more than the sign, carried on
        if not left.any():
            return
        if self.padding is not None:
            padding = left & (whole == self.padding)
            values[padding] = _signed(whole[padding], self.allocated) if self.signed else whole[padding]
            left &= ~padding
        negative = left & (above == every)
        if negative.any() and (whole[negative] == whole[negative][0]).all():  # undeclared padding, such as -3024
            values[negative] = _signed(whole[negative], self.allocated)
            left &= ~negative
        if not left.any():
            return
        longer = np.where(left, whole >> self.shift, values)
        if _roughness(values) > _roughness(longer):
            raise ValueError(
                f"BitsStored {self.stored} allows values up to {(1 << self.stored) - 1}, but {np.count_nonzero(left)} "
                f"of {whole.size} pixels go on to {int(longer.max())}"
            )


def stored_bits(dataset: pydicom.Dataset, *, words: bool) -> StoredBits:
    """What a header says of its words.

    Args:
        dataset: The header, with or without pixels.
        words: The words stand in the file as they are, or as RLE keeps them. A codec knows nothing of HighBit.

    Raises:
        ValueError: If there are no such words. The text says why.
    """
    allocated, stored, high, signed = (
        number_of(dataset, keyword) for keyword in ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
    )
    if allocated not in ALLOCATED:
        raise ValueError(f"BitsAllocated is {_said(allocated)}, expected 16")
    if stored is None or not (stored.is_integer() and 1 <= stored <= allocated):
        raise ValueError(f"BitsStored is {_said(stored)}, expected 1 to BitsAllocated, {allocated:g}")
    if high is None and _is_empty(dataset, "HighBit"):
        high = stored - 1
    if high is None or not (high.is_integer() and stored - 1 <= high < allocated):
        raise ValueError(
            f"HighBit is {_said(high)}, expected {stored - 1:g} (BitsStored - 1), or up to {allocated - 1:g}"
        )
    if signed not in {0, 1}:
        raise ValueError(f"PixelRepresentation is {_said(signed)}, expected 0 (unsigned) or 1 (signed)")
    shift = int(high - stored) + 1
    if shift and not words:
        raise ValueError(
            f"HighBit is {high:g} with BitsStored {stored:g}, expected {stored - 1:g} in a compressed stream"
        )
    padding = padding_word(dataset)
    overlays = _overlay_bits(dataset, int(allocated))
    of_value = ((1 << int(stored)) - 1) << shift
    return StoredBits(
        int(allocated),
        int(stored),
        shift,
        signed == 1,
        None if padding is None else padding & ((1 << int(allocated)) - 1),
        overlays & ~of_value,
    )


def _is_empty(dataset: pydicom.Dataset, keyword: str) -> bool:
    """Whether an element of whole numbers is absent or empty, not one of another kind."""
    element = dataset.get_item(keyword)
    return element is None or (element.VR in {None, "US"} and not element.value)


def padding_word(dataset: pydicom.Dataset) -> int | None:
    """PixelPaddingValue as it is written, whatever sign its VR has; None where there is none."""
    return _whole_number(dataset, (0x0028, 0x0120))


def _whole_number(dataset: pydicom.Dataset, tag: tuple[int, int]) -> int | None:
    """The value of an element of two bytes, of whatever VR; None where it is absent or damaged."""
    try:
        value = dataset[tag].value
        return int.from_bytes(value[:2], "little") if isinstance(value, bytes) else int(value)
    except Exception:  # noqa: BLE001 - elements are decoded on access, and a damaged one fails in any way
        return None


def _said(value: float | None) -> str:
    return "missing" if value is None else f"{value:g}"


def _signed(whole: Words, bits: int) -> Words:
    """The low bits of whole words as two's complements."""
    low = whole & ((1 << bits) - 1)
    return low - ((low >> (bits - 1)) << bits)


def _overlay_bits(dataset: pydicom.Dataset, allocated: int) -> int:
    """The bits of a word in which the header says that overlays lie; one that lies elsewhere has OverlayData."""
    bits = 0
    for group in _OVERLAY_GROUPS:
        if (group, 0x3000) not in dataset:
            position = _whole_number(dataset, (group, 0x0102))
            bits |= 1 << position if position is not None and 0 <= position < allocated else 0
    return bits


def _roughness(values: Words) -> int:
    """How much neighbouring pixels differ, in all."""
    wide = values.astype(np.int64)
    return int(sum(np.abs(np.diff(wide, axis=axis)).sum() for axis in range(wide.ndim)))
