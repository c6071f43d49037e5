"""The probability of PE in a scan where PE is more or less frequent than where the score was calibrated."""

from __future__ import annotations


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


def assumption(score_prevalence: float | None, prevalence: float | None) -> str:
    """What the probability on the page means, and what it assumes."""
    if score_prevalence is None or prevalence is None:
        return (
            "The PE score is the highest probability of any voxel group; it is no calibrated probability of PE. "
            "--prevalence and --score-prevalence would show one for the local prevalence."
        )
    return (
        f"Probability: the PE score brought from a prevalence of {score_prevalence:g} to one of {prevalence:g} by "
        "Bayes' rule. This assumes that the score is a calibrated probability at the former prevalence, and that scans "
        "with PE look there as they do here, and scans without as well. Neither is checked here."
    )
