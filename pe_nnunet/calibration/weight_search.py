"""How much each model of an ensemble should count: searched, and taken only if it holds on other patients."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pe_nnunet.calibration.counts import Grid, count_findings
from pe_nnunet.calibration.cross_validation import (
    Comparison,
    Estimate,
    best_elsewhere,
    compare,
    elsewhere,
    estimate,
    numbered_patients,
)
from pe_nnunet.calibration.member_maps import MemberMaps
from pe_nnunet.calibration.objective import best, require_found
from pe_nnunet.calibration.search import OperatingPoint, operating_point, plain_settings

MOST_MIXTURES = 40
STEPS = (10, 5, 4, 3, 2, 1)
COLUMNS = 4  # of counts: those that the objective needs

Way = Literal["mean", "alone", "searched"]
"""How weights come about: the mean of all folds, one model alone, or the best on the grid."""


@dataclass(frozen=True)
class Weighed:
    """What a way to choose the weights comes to.

    Attributes:
        weights: Of the models, the best of this way on all scans.
        point: What these come to, with the settings that are best for them.
        cross_validated: What the way comes to on patients that it did not choose on; None with a single one.
    """

    weights: tuple[float, ...]
    point: OperatingPoint
    cross_validated: Estimate | None


@dataclass(frozen=True)
class WeightChoice:
    """How much each model counts, and what it was compared with.

    Attributes:
        taken: The way that was taken.
        ways: What each way comes to.
        alone: What each model alone comes to, in their order.
        comparison: Of the searched weights with the mean and the best model alone, on other patients.
        tried: How many sets of weights were tried.
    """

    taken: Way
    ways: Mapping[Way, Weighed]
    alone: tuple[OperatingPoint, ...]
    comparison: Comparison
    tried: int

    @property
    def weights(self) -> tuple[float, ...]:
        """Those that were taken."""
        return self.ways[self.taken].weights


def mixtures(mean: Sequence[float]) -> list[tuple[float, ...]]:
    """The weights that are tried: the mean, each model alone, and a grid over the simplex.

    Args:
        mean: The weights of the mean of all folds.

    Example:
        >>> mixtures([0.5, 0.5])[:5]
        [(0.5, 0.5), (1.0, 0.0), (0.0, 1.0), (0.9, 0.1), (0.8, 0.2)]
        >>> [len(mixtures([1 / n] * n)) for n in (2, 3, 4, 5, 12)]
        [11, 22, 35, 36, 13]
    """
    count = len(mean)
    steps = next((n for n in STEPS if math.comb(n + count - 1, count - 1) <= MOST_MIXTURES), 1)
    single = [tuple(float(k == number) for k in range(count)) for number in range(count)]
    return list(dict.fromkeys([tuple(mean), *single, *_simplex(count, steps)]))


def _simplex(count: int, steps: int) -> Iterator[tuple[float, ...]]:
    for chosen in combinations_with_replacement(range(count), steps):
        yield tuple(chosen.count(number) / steps for number in range(count))


def choose_weights(
    members: Sequence[MemberMaps],
    mean: Sequence[float],
    max_fp_per_scan: float | None,
    grid: Grid | None = None,
    patients: Mapping[str, str] | None = None,
) -> WeightChoice:
    """Choose the weights of models together with thresholds and the smallest volume, without boxes.

    The best weights on these scans are those of the mean, of one model, or others; of equals those nearest to the mean
    are taken. Others are taken only if the search for them beats both the mean and the best model alone on patients
    that nothing was chosen on, in 95 % of bootstrap resamples of five patients or more; else the better of the mean and
    the best model alone is taken. So what is taken is never below the better member on these scans.

    Args:
        members: What each model says of each scan.
        mean: The weights of the mean of all folds.
        max_fp_per_scan: As in `calibrate`.
        grid: As in `calibrate`.
        patients: As in `calibrate`.

    Raises:
        InputError: PE-FUS-010 if no setting finds an embolus.
    """
    tried, settings = mixtures(mean), plain_settings(grid)
    counts = np.zeros((len(tried), len(settings), len(members), COLUMNS), np.int32)
    bar = tqdm(members, desc="weights of the models", unit="scan", disable=None, file=sys.stderr)
    for place, member in enumerate(bar):
        for number, weights in enumerate(tried):
            mixed = replace(member.mixed(weights), tubes=None)  # boxes are weighed later
            counts[number, :, place] = count_findings([mixed], settings)[:, 0, :COLUMNS]
    whose = numbered_patients([member.case_id for member in members], patients)
    volumes = np.array([choice.min_volume_mm3 for choice in settings])
    distance = np.abs(np.array(tried) - np.array(tried[0])).sum(axis=1).round(9)
    search = best_elsewhere(max_fp_per_scan)

    def pick(rows: Sequence[int], of: NDArray[np.int64]) -> int:
        far = np.repeat(distance[list(rows)], len(settings))
        return best(of, max_fp_per_scan, np.tile(volumes, len(rows)), (far,))

    def flat(rows: Sequence[int]) -> NDArray[np.int64]:
        return counts[list(rows)].reshape(-1, *counts.shape[2:]).astype(np.int64)

    def weighed(rows: Sequence[int]) -> Weighed:
        of = flat(rows)
        number = pick(rows, of)
        row, setting = rows[number // len(settings)], settings[number % len(settings)]
        held = estimate(elsewhere(of, whose, lambda part: pick(rows, part)), whose)
        return Weighed(tried[row], operating_point(setting, of[number]), held)

    every, single = range(len(tried)), range(1, 1 + len(mean))
    of_all = flat(every)
    require_found(of_all, pick(every, of_all), max_fp_per_scan)
    ways: dict[Way, Weighed] = {"mean": weighed([0]), "alone": weighed(single), "searched": weighed(every)}
    outcomes = [elsewhere(flat(rows), whose, search) for rows in (every, [0], single)]
    comparison = compare(outcomes[0], outcomes[1:], whose, max_fp_per_scan)
    safe = [0, *single]
    plain = tried[safe[pick(safe, flat(safe)) // len(settings)]]
    taken: Way = "mean" if plain == tried[0] else "alone"
    if ways["searched"].weights not in [tried[row] for row in safe] and comparison.holds:
        taken = "searched"
    alone = tuple(weighed([row]).point for row in single)
    return WeightChoice(taken, ways, alone, comparison, len(tried))
