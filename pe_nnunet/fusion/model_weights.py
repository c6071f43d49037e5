"""How much each model of an ensemble counts; its folds share that alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pe_nnunet.errors import ConfigurationError, Note


def plain_mean(folds: Sequence[int]) -> tuple[float, ...]:
    """The weights of the mean of all folds of all models, which counts where nothing else is said.

    Args:
        folds: How many each model has.

    Example:
        >>> plain_mean([5, 5]), plain_mean([3, 1])
        ((0.5, 0.5), (0.75, 0.25))
    """
    return tuple(number / sum(folds) for number in folds)


def normalised(weights: Sequence[float], models: Sequence[str]) -> tuple[float, ...]:
    """Weights that add up to 1.

    Args:
        weights: One a model, not all 0.
        models: Their names.

    Raises:
        ConfigurationError: PE-FUS-020 if they are no such weights.

    Example:
        >>> normalised([3, 1], ["A", "B"])
        (0.75, 0.25)
    """
    if len(weights) != len(models):
        reason = f"{len(weights)} weights for {len(models)} models ({', '.join(models)})"
    elif wrong := [weight for weight in weights if not (math.isfinite(weight) and weight >= 0)]:
        reason = f"a weight of {wrong[0]:g}"
    elif not math.isfinite(sum(weights)):
        reason = "weights whose sum is no number"
    elif not sum(weights) > 0:
        reason = "weights of 0 alone"
    else:
        return tuple(float(weight) / sum(weights) for weight in weights)
    raise ConfigurationError(
        "PE-FUS-020", f"--model-weights: {reason}", "give each model a number from 0 on, in their order, not all 0"
    )


def weights_text(weights: Sequence[float], models: Sequence[str]) -> str:
    """For a person.

    Example:
        >>> weights_text([0.75, 0.25], ["A", "B"])
        'A 0.75, B 0.25'
    """
    return ", ".join(f"{model} {weight:.3g}" for model, weight in zip(models, weights, strict=True))


def weight_notes(
    weights: Sequence[float] | None,
    models: Sequence[str],
    calibrated: Sequence[float] | None,
    *,
    given: bool,
    folds: Sequence[int] = (),
) -> list[Note]:
    """What a person should know of the weights of a prediction.

    Args:
        weights: That count; None for the mean of all folds.
        models: Their names.
        calibrated: Those that the other settings were chosen with; None where they are not calibrated, or for the mean.
        given: Whether a person gave the weights, and other settings are calibrated.
        folds: How many each model has, for the mean; not needed where no weights are given.
    """
    notes = []
    if weights is not None and given and not _same(weights, calibrated or plain_mean(folds)):
        then = "the mean" if calibrated is None else weights_text(calibrated, models)
        text = f"the thresholds were calibrated for other weights ({then}), and are used with --model-weights"
        notes.append(Note("PE-FUS-022", "warning", text))
    for model, weight in zip(models, weights or (), strict=False):
        if weight == 0:
            notes.append(Note("PE-FUS-021", "warning", f"{model} has weight 0: it is not run"))
    return notes


def _same(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(one, other, strict=True))
