"""What a reader would call each piece of a phantom's arteries, known from how the tree was drawn.

Trunk, main and lobar arteries have names. Within a lobe a branch is segmental where the tissue that it supplies,
counted by the tips beyond it, is about a segment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.phantom.anatomy import LOBES
from pe_nnunet.phantom.clots import Embolus
from pe_nnunet.phantom.great_vessels import HILAR_ARTERIES
from pe_nnunet.phantom.tubes import Tubes

NAMED = ("trunk", *HILAR_ARTERIES)
"""By number of the branch, the first of the tree."""

SEGMENTS_OF_LOBE = dict(zip(LOBES, (3, 2, 5, 5, 5), strict=True))
"""As scores of obstruction count them: ten a lung, the two of the lingula among those of the left upper lobe."""

SEGMENTS = {"trunk": 20, "right main": 10, "left main": 10, "right interlobar": 7, **SEGMENTS_OF_LOBE}
IN_LOBE = (("lobar", 2**0.5), ("segmental", 0.65), ("subsegmental", 0.0))
"""Level and fewest segments: half way, by ratio, between 2 and 1, and 1 and 0.42."""

LEVELS = ("main", "lobar", "segmental", "subsegmental")
MIN_SHARE = 0.1  # of an embolus, for a level to be its own


@dataclass(frozen=True)
class ArteryAnatomy:
    """Each piece of the arterial tree.

    Attributes:
        name: Of the named artery that it is, or of the lobe that it lies in.
        level: `main`, `lobar`, `segmental` or `subsegmental`.
        segments: How many it supplies; 20 in all.
    """

    name: tuple[str, ...]
    level: tuple[str, ...]
    segments: NDArray[np.float64]

    @classmethod
    def of(cls, arteries: Tubes) -> ArteryAnatomy:
        """Name the pieces of a tree as `grow_trees` draws it."""
        tips = np.ones(len(arteries))
        tips[arteries.parent[arteries.parent >= 0]] = 0
        for k in range(len(arteries) - 1, 0, -1):
            if arteries.parent[k] >= 0:
                tips[arteries.parent[k]] += tips[k]
        name: list[str] = []
        level: list[str] = []
        segments = np.zeros(len(arteries))
        whole: dict[str, float] = {}
        for k, (branch, parent) in enumerate(zip(arteries.branch, arteries.parent, strict=True)):
            if branch < len(NAMED):
                name.append(NAMED[branch])
                segments[k] = SEGMENTS[name[k]]
                level.append("main" if name[k] == "trunk" or name[k].endswith("main") else "lobar")
                whole[name[k]] = float(tips[k])
                continue
            name.append(name[parent])
            segments[k] = SEGMENTS_OF_LOBE[name[k]] * tips[k] / whole[name[k]]
            level.append(next(each for each, fewest in IN_LOBE if segments[k] >= fewest))
        return cls(tuple(name), tuple(level), segments)

    def place_of(self, embolus: Embolus) -> dict[str, str | None]:
        """Level, side and lobe of an embolus, as JSON types.

        The level is the most central of those that a tenth of it lies in; a lobe is that of at least half of it.
        """
        total = sum(embolus.pieces.values())
        by_level = dict.fromkeys(LEVELS, 0.0)
        by_name: dict[str, float] = {}
        for piece, mm3 in embolus.pieces.items():
            by_level[self.level[piece]] += mm3 / total
            by_name[self.name[piece]] = by_name.get(self.name[piece], 0.0) + mm3 / total
        right, left = (sum(v for n, v in by_name.items() if n.startswith(side)) for side in ("right", "left"))
        most = max(by_name, key=lambda n: by_name[n])
        return {
            "level": next(level for level in LEVELS if by_level[level] >= MIN_SHARE),
            "side": "both" if max(right, left) < 1 - MIN_SHARE else "right" if right > left else "left",
            "lobe": most if most in LOBES and by_name[most] >= 0.5 else None,
        }
