"""How long something takes, in words."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

LATEST = 5


def duration(seconds: float) -> str:
    """Rounded to what one wants to know.

    Example:
        >>> duration(50), duration(330), duration(1320), duration(40000)
        ('50 s', '5.5 minutes', '22 minutes', '11.1 hours')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.{1 if seconds < 600 else 0}f} minutes"
    return f"{seconds / 3600:.1f} hours"


def time_left(seconds: float) -> str:
    """How long the rest will take; nothing where nothing is left.

    Example:
        >>> time_left(90), time_left(20), time_left(0)
        (', about 1.5 minutes left', ', about 20 s left', '')
    """
    return f", about {duration(seconds)} left" if seconds > 0 else ""


def epochs_left(seconds: Sequence[float], left: int) -> str:
    """How long so many further epochs will take, if each takes what the latest five did on average.

    Args:
        seconds: Of each epoch so far, one at least.
        left: How many are to come.

    Example:
        >>> epochs_left([900, 6, 6, 6, 6, 6], 10)
        ', about 60 s left'
    """
    return time_left(left * fmean(seconds[-LATEST:]))
