"""Surface Dice, HD95 and mean distance: ours against DeepMind's surface-distance, for emboli far apart.

    .venv/bin/python benchmarks/surface_metrics.py      # needs surface-distance, of the development environment

Cubes of 17 mm scattered over a part of a scan, predicted a voxel off. Times are processor time of one run; memory is
the growth of the process's peak, ours measured first.
"""

from __future__ import annotations

import resource
import sys
import time
import warnings
from typing import Any

import numpy as np
import surface_distance

from pe_nnunet.metrics.outlines import assd_mm, hd95_mm, surface_dice, surface_distances

SPACING_MM = (0.6, 0.7, 0.7)


def bench(*, quick: bool) -> list[dict[str, Any]]:
    """Rows of time, memory and the difference of the results."""
    shape = (100, 200, 200) if quick else (250, 400, 400)
    truth, found = scattered(shape, emboli=10)
    peak = _peak_mib()
    start = time.process_time()
    both = surface_distances(found, truth, SPACING_MM)
    assert both is not None
    our_dice, _, _ = surface_dice(both, 1.0), hd95_mm(both), assd_mm(both)
    our_s, our_mib = time.process_time() - start, _peak_mib() - peak
    peak = _peak_mib()
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        distances = surface_distance.compute_surface_distances(truth > 0, found > 0, SPACING_MM)
    their_dice = surface_distance.compute_surface_dice_at_tolerance(distances, 1.0)
    surface_distance.compute_robust_hausdorff(distances, 95)
    surface_distance.compute_average_surface_distance(distances)
    their_s, their_mib = time.process_time() - start, _peak_mib() - peak
    data = f"10 emboli in {'x'.join(map(str, shape[::-1]))}"
    peer = "surface-distance 0.1"
    return [
        {"what": "surface metrics", "data": data, "unit": "s", "ours": our_s, "peer": peer, "theirs": their_s},
        {"what": "memory", "data": data, "unit": "MiB", "ours": our_mib, "peer": peer, "theirs": their_mib},
        {
            "what": "difference of the surface Dice",
            "data": data,
            "unit": "",
            "ours": abs(our_dice - float(their_dice)),
            "limit": 0.005,
        },
    ]


def scattered(shape: tuple[int, ...], emboli: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Ids of emboli, and of findings a voxel off along each axis."""
    random = np.random.default_rng(0)
    truth, found = np.zeros((2, *shape), np.uint8)
    for number in range(1, emboli + 1):
        centre = [int(random.integers(14, n - 14)) for n in shape]
        truth[tuple(slice(c - 12, c + 12) for c in centre)] = number
        found[tuple(slice(c - 11, c + 13) for c in centre)] = number
    return truth, found


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    for row in bench(quick="--quick" in sys.argv):
        print(row)
