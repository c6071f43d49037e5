"""The probability of PE where it is more or less frequent than where scores were calibrated; and how frequent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MIN_STUDIES = 30
CHI_SQUARE_95 = 3.841  # of one degree of freedom
STEPS = 1000


def recalibrated(score: float, score_prevalence: float, prevalence: float) -> float:
    """A calibrated probability brought to another prevalence, by Bayes' rule.

    Args:
        score: Probability of PE, 0 to 1, calibrated where the share of scans with PE is `score_prevalence`.
        score_prevalence: Above 0 and below 1.
        prevalence: The share of scans with PE where it is read, above 0 and below 1.

    Source: Saerens, Latinne and Decaestecker, Neural Computation 14, 21-41 (2002), equation 2.4.

    Example:
        >>> recalibrated(0.5, 0.5, 0.2), recalibrated(0.3, 0.4, 0.4)
        (0.2, 0.3)
        >>> round(recalibrated(0.9, 0.5, 0.1), 3)
        0.5
    """
    with_pe = score * prevalence / score_prevalence
    without = (1 - score) * (1 - prevalence) / (1 - score_prevalence)
    return round(with_pe / (with_pe + without), 9)


@dataclass(frozen=True)
class Estimate:
    """The share of scans with PE that scores tell.

    Attributes:
        prevalence: The most likely share.
        low: Of the interval of 95 %.
        high: See `low`.
        studies: How many scores there were.
    """

    prevalence: float
    low: float
    high: float
    studies: int


def estimated(scores: Sequence[float], score_prevalence: float) -> Estimate | None:
    """The share of scans with PE under which the scores are most likely; None from fewer than `MIN_STUDIES`.

    Only the share may differ between the scans that the score is calibrated for and these. The interval is that of the
    likelihood ratio, and knows of chance alone.

    Args:
        scores: Probabilities of PE, 0 to 1, one a study, calibrated where the share is `score_prevalence`.
        score_prevalence: Above 0 and below 1.

    Source: Saerens, Latinne and Decaestecker, Neural Computation 14, 21-41 (2002), section 2.2: what their EM algorithm
        climbs to, which has one maximum, is looked for on a grid here.

    Example:
        >>> estimated([0.99] * 20 + [0.01] * 80, 0.5)
        Estimate(prevalence=0.194, low=0.123, high=0.281, studies=100)
    """
    if len(scores) < MIN_STUDIES:
        return None
    score = np.asarray(scores, np.float64)[:, None]
    shares = np.linspace(0, 1, STEPS + 1)[1:-1]
    likelihood = shares * score / score_prevalence + (1 - shares) * (1 - score) / (1 - score_prevalence)
    total = np.log(likelihood).sum(0)
    inside = shares[total >= total.max() - CHI_SQUARE_95 / 2]
    best, low, high = (round(float(share), 3) for share in (shares[total.argmax()], inside[0], inside[-1]))
    return Estimate(best, low, high, len(scores))


def assumption(score_prevalence: float | None, prevalence: float | None, estimate: Estimate | None) -> str:
    """What the probability on the page means, and what it assumes.

    Args:
        score_prevalence: Where the score is calibrated; None if nobody says so.
        prevalence: As it was given.
        estimate: From the results; None from too few.
    """
    if score_prevalence is None:
        return (
            "The PE score is the highest probability of any voxel group; it is no calibrated probability of PE. "
            "--score-prevalence, and --prevalence if it is known, would show one for the local prevalence."
        )
    if estimate is None:
        told = f"The prevalence here is estimated once {MIN_STUDIES} studies have a score."
    else:
        told = (
            f"The scores of the newest {estimate.studies} studies tell a prevalence of {estimate.prevalence:.2f} "
            f"(95 % interval {estimate.low:.2f} to {estimate.high:.2f})."
        )
    used = estimate.prevalence if prevalence is None and estimate is not None else prevalence
    if used is None:
        return f"Probability: not shown yet, as the share of scans with PE here is not known. {told}"
    return (
        f"Probability: the PE score brought from a prevalence of {score_prevalence:g} to one of {used:g}, "
        f"{'estimated' if prevalence is None else 'given'}, by Bayes' rule. {told} "
        "All this assumes that the score is a calibrated probability at the former prevalence, and that scans with PE "
        "look there as they do here, and scans without as well: only how many there are may differ. Neither is checked "
        "here; where the scores are not calibrated the estimate is wrong, however many studies there are."
    )
