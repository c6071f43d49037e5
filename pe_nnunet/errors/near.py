"""Which known name a misspelt one is near to: the one home of "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType

NONE: Mapping[str, str] = MappingProxyType({})


def nearest(
    name: str, known: Iterable[str] = (), likeness: float = 0.6, *, spellings: Mapping[str, str] = NONE
) -> str | None:
    """The known name that is nearest to a misspelt one, upper and lower case being the same; None if none is near.

    Args:
        name: As it was given.
        known: The names that there are.
        likeness: At least, 0 to 1: twice the letters in common over the letters of both; difflib's own limit is 0.6.
        spellings: Further spelling -> the name that it stands for.

    Source: Ratcliff and Metzener, Dr. Dobb's Journal, July 1988.

    Example:
        >>> nearest("3d_fulres", ["2d", "3d_fullres"]), nearest("mype", spellings={"MyPE": "Dataset501_MyPE"})
        ('3d_fullres', 'Dataset501_MyPE')
    """
    lower = {
        spelling.lower(): meant for spelling, meant in ({other: other for other in known} | dict(spellings)).items()
    }
    found = get_close_matches(name.lower(), lower, n=1, cutoff=likeness)
    return lower[found[0]] if found else None


def did_you_mean(
    name: str, known: Iterable[str] = (), otherwise: str = "", *, spellings: Mapping[str, str] = NONE
) -> str:
    """The hint of an error about an unknown name: the one that is near, and what there is to say in any case.

    Args:
        name: As it was given.
        known: As `nearest`.
        otherwise: What follows, or stands alone where no name is near.
        spellings: As `nearest`.

    Example:
        >>> did_you_mean("3d_fulres", ["2d", "3d_fullres"], "there: 2d, 3d_fullres")
        'did you mean 3d_fullres? there: 2d, 3d_fullres'
        >>> did_you_mean("5", ["2d", "3d_fullres"], "there: 2d, 3d_fullres")
        'there: 2d, 3d_fullres'
    """
    meant = nearest(name, known, spellings=spellings)
    return " ".join(filter(None, [meant and f"did you mean {meant}?", otherwise]))
