"""Which slices of a scan the detector is trained on.

A scan has hundreds of slices, neighbours nearly alike, and a large embolus lies on many of them. Each embolus gives at
most so many slices, spread evenly over its length: small emboli, whose slices hold the fewest target voxels, keep all
of theirs and are not drowned. Slices without emboli follow in proportion, also spread over the scan.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pe_nnunet.errors import ConfigurationError


@dataclass(frozen=True)
class SlicePolicy:
    """How slices are chosen.

    Attributes:
        per_embolus: At most so many slices for each embolus.
        negative_share: Slices without emboli, as a share of those with.
        fewest_negatives: But at least so many a scan, so that scans without emboli count.

    Raises:
        ConfigurationError: PE-DET-003 if one is out of range.
    """

    per_embolus: int = 12
    negative_share: float = 0.5
    fewest_negatives: int = 8

    def __post_init__(self) -> None:
        if self.per_embolus < 1 or not 0 <= self.negative_share <= 10 or self.fewest_negatives < 0:
            raise ConfigurationError(
                "PE-DET-003",
                f"{self.per_embolus} slices for each embolus and {self.negative_share} as many without, "
                "expected at least 1 and a share from 0 to 10",
            )


def choose_slices(
    instances: npt.NDArray[np.integer], policy: SlicePolicy, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    """Choose slices with and without emboli.

    Args:
        instances: (z, y, x), ids of emboli.
        policy: How many.
        rng: Moves the slices without emboli about within their even spacing.

    Returns:
        Sorted indices of slices with emboli, and of slices without.
    """
    ids_of = [set(np.unique(plane[plane > 0]).tolist()) for plane in instances]
    positive: set[int] = set()
    for embolus in set().union(*ids_of):
        its = [z for z, ids in enumerate(ids_of) if embolus in ids]
        places = np.linspace(0, len(its) - 1, min(policy.per_embolus, len(its)))
        positive |= {its[round(place)] for place in places}
    free = [z for z, ids in enumerate(ids_of) if not ids]
    wanted = min(len(free), max(policy.fewest_negatives, round(policy.negative_share * len(positive))))
    edges = np.linspace(0, len(free), wanted + 1).round().astype(int)
    negative = [free[int(rng.integers(a, b))] for a, b in pairwise(edges)]
    return sorted(positive), negative
