"""The artery tree of the lungs: how much of its lung each branch supplies, and so its level and side.

Divisions are counted, but do not make a level alone: the artery of a lower lobe gives off one segmental artery after
another and stays what it is. What tells levels is how many of its lung's ten segments a branch supplies. At a division
the blood is shared out as the cubes of the radii (Murray, PNAS 12 (1926)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.burden.centre_lines import WIDE, CentreLines, Floats
from pe_nnunet.errors import InputError

Side = Literal["right", "left", "both"]
SIDES: tuple[Side, ...] = ("right", "left", "both")

SEGMENTS = 10  # of a lung, as both scores count them (Qanadli: 3 of the upper, 2 of the middle, 5 of the lower lobe)
LEVELS = (("main", 8.5), ("lobar", 2**0.5), ("segmental", 0.65), ("subsegmental", 0.0))
"""Name and fewest segments that a branch of the level supplies. Main: all but what leaves it early. The others part 2
segments (the smallest lobe), 1, and 0.42 (a segment has two or three subsegments) at their geometric means."""

MURRAY = 3.0
SIDE_SHARE, SIDE_MM = 0.1, 20.0  # of all centre lines, and their mean way aside, beyond the trunk's division on a side


@dataclass(frozen=True)
class ArteryTree:
    """Branches and what is known of each.

    Attributes:
        parent: -1 of the trunk, which is the first; a parent comes before its children.
        segments: How many of its lung's ten segments it supplies; 20 of the trunk.
        level: Of `LEVELS`.
        side: Of the patient; `"both"` of the trunk.
        generation: Divisions from the trunk.
    """

    parent: NDArray[np.int64]
    segments: Floats
    level: tuple[str, ...]
    side: tuple[Side, ...]
    generation: NDArray[np.int64]

    def with_segments_off(self, factor: float) -> ArteryTree:
        """With the levels that there would be if branches beyond the main arteries supplied so many times as many."""
        levels = zip(self.level, self.segments * factor, strict=True)
        return replace(
            self, level=tuple(k if k == "main" else level_of(min(n, LEVELS[0][1] - 0.01)) for k, n in levels)
        )

    @classmethod
    def of(cls, lines: CentreLines, area_mm2: Floats) -> ArteryTree:
        """Follow centre lines from the trunk.

        Args:
            lines: Outwards from the trunk; x towards the patient's left.
            area_mm2: Mean cross-section of each branch.

        Raises:
            InputError: PE-BUR-002 if they do not reach into both lungs.
        """
        trunk = _trunk(lines)
        middle, centre = lines.points[lines.of(trunk[-1])][-1, 2], _downstream_centres(lines)
        segments = np.full(len(lines.parent), 2.0 * SEGMENTS)
        side: list[Side] = ["both"] * len(lines.parent)
        blood = area_mm2 ** (MURRAY / 2)
        for branch, parent in enumerate(lines.parent.tolist()):
            if branch in trunk:
                continue
            if parent in trunk:
                side[branch] = "left" if centre[branch] > middle else "right"
                beside = [b for k in trunk for b in lines.children(k) if b not in trunk]
                siblings, whole = [b for b in beside if (centre[b] > middle) == (centre[branch] > middle)], SEGMENTS
            else:
                side[branch], siblings, whole = side[parent], lines.children(parent), segments[parent]
            segments[branch] = whole * blood[branch] / blood[siblings].sum()
        levels = tuple("main" if s == "both" else level_of(n) for s, n in zip(side, segments, strict=True))
        return cls(lines.parent, segments, levels, tuple(side), lines.generations())


def level_of(segments: float) -> str:
    """The level of a branch that supplies so many segments of its lung.

    Example:
        >>> [level_of(n) for n in (10, 5, 2, 1, 0.4)]
        ['main', 'lobar', 'lobar', 'segmental', 'subsegmental']
    """
    return next(name for name, fewest in LEVELS if segments >= fewest)


def most_central(levels: Sequence[str]) -> str:
    """The first of some levels, from the trunk outwards."""
    names = [name for name, _ in LEVELS]
    return min(levels, key=names.index)


def _downstream(lines: CentreLines) -> Floats:
    """Length of the centre lines of each branch and all beyond it."""
    total = lines.length_mm
    for branch in range(len(total) - 1, 0, -1):
        total[lines.parent[branch]] += total[branch]
    return np.asarray(total)


def _downstream_centres(lines: CentreLines) -> Floats:
    """Mean x of each branch and all beyond it."""
    count = np.bincount(lines.branch, minlength=len(lines.parent)).astype(float)
    moment = np.bincount(lines.branch, lines.points[:, 2], minlength=len(lines.parent))
    for branch in range(len(count) - 1, 0, -1):
        count[lines.parent[branch]] += count[branch]
        moment[lines.parent[branch]] += moment[branch]
    return np.asarray(moment / count)


def _trunk(lines: CentreLines) -> list[int]:
    """The branches from the root to where the tree parts into one for each lung.

    That is the first end, in the wide part, beyond which a good part of all centre lines lies aside on either side.
    """
    below, centre = _downstream(lines), _downstream_centres(lines)
    trunk = [0]
    while children := lines.children(trunk[-1]):
        end = lines.of(trunk[-1]).stop - 1
        if lines.radius[end] < WIDE * lines.radius.max():
            break
        aside = {b: centre[b] - lines.points[end, 2] for b in children}
        left = sum(below[b] for b in children if aside[b] >= SIDE_MM)
        right = sum(below[b] for b in children if aside[b] <= -SIDE_MM)
        if min(left, right) >= SIDE_SHARE * below[0]:
            return trunk
        trunk.append(max(children, key=lambda b: float(below[b])))
    raise InputError(
        "PE-BUR-002", "the arteries of the mask do not reach from the trunk into both lungs",
        "give a mask with trunk and both main arteries",
    )  # fmt: skip
