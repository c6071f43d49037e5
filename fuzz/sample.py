"""A case: the files of a folder as bytes, and what was done to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

Files = dict[str, bytes]
Rng = np.random.Generator
Mutated = tuple[Files, str]
T = TypeVar("T")


class RefusedError(Exception):
    """The independent reader refuses what ours read."""


@dataclass(frozen=True)
class Reader:
    """A reader of ours and how to try it.

    Attributes:
        seeds: Valid small inputs, the same at every call.
        mutate: One change of an input, and what it was in a few words.
        read: Our reader on a folder; raises PEError where it refuses.
        compare: What differs from an independent reader's values, or an empty string; `RefusedError` if that one
            refuses.
    """

    seeds: Callable[[], list[Files]]
    mutate: Callable[[Rng, Files], Mutated]
    read: Callable[[Path], Any]
    compare: Callable[[Path, Any], str]


def pick(rng: Rng, items: Sequence[T]) -> T:
    """One of several, the objects themselves and not numpy's copies of them."""
    return items[int(rng.integers(len(items)))]


def write(files: Files, folder: Path) -> None:
    """Write the files of a case below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def load(folder: Path) -> Files:
    """The files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
