"""Which runtime runs each model: torch, or on a CPU without bfloat16 what is faster there and computes the same."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace

import torch

from pe_nnunet.errors import Note
from pe_nnunet.inference.compiled_network import PACKAGES, TOLERANCE, Backend, difference, is_installed
from pe_nnunet.inference.model import TrainedModel
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.precision import cpu_has_bfloat16

TORCH, AUTO, FASTEST = "torch", "auto", "openvino"
MEASURED_ON = ("x86_64", "AMD64")


def with_backends(
    models: Sequence[TrainedModel], device: torch.device, settings: InferenceSettings
) -> tuple[tuple[TrainedModel, ...], tuple[Note, ...]]:
    """Give models their runtimes.

    Each is tried on one window, with the weights of its first fold, against torch; where it fails or computes something
    else, torch stays.

    Args:
        models: With their windows.
        device: Where they run.
        settings: Of the prediction.

    Returns:
        The models; and what was asked for and is not so.
    """
    name, reason = _chosen(settings.backend, device)
    notes = [] if reason is None else [_note(f"--backend {settings.backend}: {reason}")]
    if name == TORCH:
        return tuple(models), tuple(notes)
    ready = []
    for model in models:
        tried = replace(model, backend=Backend(name))
        if (reason := _fault(tried)) is not None:
            notes.append(_note(f"{model.name}: {PACKAGES[name]} {reason}"))
            tried = model
        ready.append(tried)
    return tuple(ready), tuple(notes)


def _chosen(asked: str, device: torch.device) -> tuple[str, str | None]:
    """The runtime's name, and why it is not the one that was asked for."""
    if asked == AUTO:
        slow = device.type == "cpu" and platform.machine() in MEASURED_ON and not cpu_has_bfloat16()
        return (FASTEST if slow and is_installed(FASTEST) else TORCH), None
    if asked != TORCH and device.type != "cpu":
        return TORCH, f"it runs on a CPU, not on {device.type}"
    if asked != TORCH and not is_installed(asked):
        return TORCH, f"{PACKAGES[asked]} is not installed"
    return asked, None


def _fault(model: TrainedModel) -> str | None:
    """Why a model's backend cannot stand in for torch; None where it can."""
    shape = (model.n_channels, *model.window_size)
    try:
        compiled = model.network_with(model.folds[0][1])
        away = difference(model.network, compiled, shape)
    except Exception as error:  # noqa: BLE001 - the exporter's and the runtimes' own types
        return f"cannot run it ({' '.join(f'{type(error).__name__}: {error}'.split())[:200]})"
    return None if away <= TOLERANCE else f"gives logits that are {away:.2g} away, expected {TOLERANCE:g}"


def _note(text: str) -> Note:
    return Note("PE-MODEL-029", "warning", f"{text}; torch runs it")
