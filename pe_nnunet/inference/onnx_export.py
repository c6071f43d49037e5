"""Segmentation networks as ONNX files, one a fold, with all that one needs to feed them and to read their output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pe_nnunet import __version__
from pe_nnunet.cases import DISCLAIMER
from pe_nnunet.dataset.dataset_json import licence_of
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files import atomic_json
from pe_nnunet.inference.compiled_network import IMAGE, LOGITS, TOLERANCE, CompiledNetwork, by_onnxruntime, difference
from pe_nnunet.inference.locate import ModelLocation
from pe_nnunet.inference.model import TrainedModel, load_model
from pe_nnunet.networks.onnx_files import METADATA, OPSET, require_onnx, write_onnx
from pe_nnunet.networks.plain import plain_copy

AXES = ("z", "y", "x")
FORMULAS = {
    "CTNormalization": "(clip(HU, percentile_00_5, percentile_99_5) - mean) / max(std, 1e-8)",
    "ZScoreNormalization": "(value - mean of the image) / max(standard deviation of the image, 1e-8)",
    "NoNormalization": "value",
    "RescaleTo01Normalization": "(value - lowest of the image) / (highest - lowest)",
    "RGBTo01Normalization": "value / 255",
}
OF_A_CHANNEL = ("percentile_00_5", "percentile_99_5", "mean", "std")


def export_onnx(locations: Sequence[ModelLocation], folder: Path) -> list[Path]:
    """Write every fold of every model as `DATASET__MODEL__fold_F.onnx`, with the same name in `.json` beside it.

    The network takes patches as nnU-Net prepares them and gives logits; the number of patches is free. Each file is run
    by onnxruntime, and compared with torch, before it is kept.

    Args:
        locations: Models and their folds.
        folder: Where to.

    Returns:
        The ONNX files.

    Raises:
        ConfigurationError: PE-MODEL-002 or -003 for a checkpoint that is missing or cannot be read, PE-MODEL-004 for
            two models of one name, PE-MODEL-014 if a network cannot be exported.
        MissingExtraError: PE-MODEL-013 if onnx or onnxruntime is not installed.
        OutputError: PE-OUT-001 if a file cannot be written.
    """
    require_onnx()
    names = [f"{place.folder.parent.name}__{place.folder.name}" for place in locations]
    if double := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError("PE-MODEL-004", f"two models are called {double[0]}", "export them one by one")
    written = []
    for name, place in zip(names, locations, strict=True):
        model = load_model(place, torch.device("cpu"))
        for number, (fold, weights) in enumerate(model.folds):
            path = folder / f"{name}__fold_{fold}.onnx"
            model.network.load_state_dict(weights)
            facts = file_facts(model, number)
            _write(model, path, facts)
            atomic_json(path.with_suffix(".json"), facts)
            written.append(path)
    return written


def _write(model: TrainedModel, path: Path, facts: dict[str, Any]) -> None:
    network = plain_copy(model.network).float().to(memory_format=torch.contiguous_format)
    batch = {0: "batch"}
    generator = torch.Generator().manual_seed(0)
    channels = len(facts["input"]["channels"])
    example = torch.randn((2, channels, *model.patch_size), generator=generator)  # two, so that one is not assumed
    path.unlink(missing_ok=True)
    try:
        write_onnx(
            network, example, path, given=IMAGE, found=LOGITS, dynamic={IMAGE: batch, LOGITS: batch}, facts=facts
        )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigurationError(
            "PE-MODEL-014", f"{model.name} cannot be written as ONNX: {reason}", "its trainer's network is not ours"
        ) from error
    away = difference(network, CompiledNetwork(by_onnxruntime(path)), example.shape[1:])
    if not away <= TOLERANCE:
        path.unlink(missing_ok=True)
        raise ConfigurationError(
            "PE-MODEL-014",
            f"{path.name} is not written: its logits are up to {away:.2g} away from torch's, expected {TOLERANCE:g}",
            "another version of onnxruntime or torch may do",
        )


def file_facts(model: TrainedModel, number: int) -> dict[str, Any]:
    """What a user of the file needs, in JSON's types.

    Args:
        model: The model.
        number: Which of its folds, from 0 on.
    """
    configuration, plans, dataset = model.configuration, model.plans, model.dataset_json
    axes = [AXES[axis] for axis in plans.transpose_forward][-len(model.patch_size) :]
    record = model.records[number]
    return {
        "notice": DISCLAIMER,
        "licence": {
            "file_format_and_code": "Apache-2.0",
            "weights": licence_of(dataset) or "not stated",
        },
        "written_by": f"pe-nnunet {__version__}, torch {torch.__version__}",
        "opset": OPSET,
        "metadata_key": METADATA,
        "model": {
            "dataset": record.dataset,
            "name": record.model,
            "fold": record.fold,
            "checkpoint": record.checkpoint,
            "sha256": record.sha256,
        },
        "input": {
            "name": IMAGE,
            "type": "float32",
            "axes": ["batch", "channel", *axes],
            "patch_size": list(model.patch_size),
            "spacing_mm": [float(s) for s in configuration.spacing],
            "orientation": "axes of the image as SimpleITK reads it, array (z, y, x); for pe-nnunet's datasets LPS: "
            "z grows towards the head, y towards the back, x towards the patient's left",
            "transpose_forward": [int(axis) for axis in plans.transpose_forward],
            "channels": _channels(model),
            "resampling": {
                "function": configuration.configuration["resampling_fn_data"],
                "arguments": configuration.configuration["resampling_fn_data_kwargs"],
                "when": "after normalisation",
            },
        },
        "output": {
            "name": LOGITS,
            "type": "float32",
            "axes": ["batch", "class", *axes],
            "activation": "sigmoid, each channel by itself" if model.regions else "softmax over the channels",
            "channels": _classes(model),
            "pe_channel": model.pe_channel,
            "regions_class_order": dataset.get("regions_class_order") if model.regions else None,
        },
        "windows": {
            "step": 0.5,
            "weights": "Gaussian around the middle, sigma an eighth of the patch",
            "mirror_axes": list(model.mirror_axes),
            "logits": "averaged over windows and mirrored inputs, brought to the image's grid, then activated",
        },
    }


def _channels(model: TrainedModel) -> list[dict[str, Any]]:
    names = model.dataset_json.get("channel_names") or model.dataset_json["modality"]
    properties = model.plans.foreground_intensity_properties_per_channel
    found = []
    for number, scheme in enumerate(model.configuration.normalization_schemes):
        known = properties.get(str(number), {})
        values = {name: float(known[name]) for name in OF_A_CHANNEL if name in known}
        found.append(
            {
                "channel": number,
                "name": names.get(str(number), ""),
                "normalisation": scheme,
                "formula": FORMULAS.get(scheme, "see nnU-Net"),
                **(values if scheme == "CTNormalization" else {}),
            }
        )
    return found


def _classes(model: TrainedModel) -> list[dict[str, Any]]:
    """Channels of the output: the regions in the order of `dataset.json`, or the classes by their value."""
    labels = {name: value for name, value in model.dataset_json["labels"].items() if name != "ignore"}
    values = {name: list(value) if isinstance(value, (list, tuple)) else [value] for name, value in labels.items()}
    if model.regions:
        kept = [(name, of) for name, of in values.items() if set(of) != {0}]
    else:
        kept = sorted(values.items(), key=lambda item: item[1])
    return [{"channel": number, "name": name, "label_values": of} for number, (name, of) in enumerate(kept)]
