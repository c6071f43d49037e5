"""Counting the values that convolutions put out, the unit in which nnU-Net measures a network's memory."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod


def halved(size: Sequence[int], stride: Sequence[int]) -> tuple[int, ...]:
    """The size after a step of that stride.

    Example:
        >>> halved((16, 32, 32), (1, 2, 2))
        (16, 16, 16)
    """
    return tuple(n // s for n, s in zip(size, stride, strict=True))


def values(channels: int, size: Sequence[int]) -> int:
    """How many values one feature map of that size holds, over all channels.

    Example:
        >>> values(8, (4, 4, 4))
        512
    """
    return channels * prod(size)
