"""Networks as ONNX files: written by torch's exporter, with what they are in their metadata.

The exporter is the one that traces (`dynamo=False`): every version of torch from 2.5 on has it, and it needs no package
but onnx.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pe_nnunet.errors import MissingExtraError
from pe_nnunet.files import atomic_path

OPSET = 17
METADATA = "pe_nnunet"  # key in the file's metadata_props


def require_onnx() -> None:
    """Refuse to begin where the packages are missing that ONNX files are written and run with.

    Raises:
        MissingExtraError: PE-MODEL-013.
    """
    missing = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            "PE-MODEL-013",
            f"{' and '.join(missing)}, which ONNX files are written and run with, not installed",
            f"pip install {' '.join(missing)}",
        )


def write_onnx(
    network: nn.Module,
    example: Tensor,
    path: Path,
    *,
    given: str,
    found: str,
    dynamic: Mapping[str, Mapping[int, str]],
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write a network of one input and one output.

    Args:
        network: In eval mode, of operations that the exporter knows.
        example: An input; sizes that are not dynamic are those of it.
        path: The file.
        given: Name of the input.
        found: Name of the output.
        dynamic: For either name, the axes whose size is free, and what they are called.
        facts: Stored in the file as JSON under `METADATA`; nothing is stored if None.

    Raises:
        MissingExtraError: PE-MODEL-013 if onnx is not installed.
        OutputError: PE-OUT-001 if it cannot be written.
    """
    require_onnx()
    import onnx

    with warnings.catch_warnings(), torch.no_grad(), atomic_path(path) as temporary:
        warnings.simplefilter("ignore")  # the tracer's remarks on shapes, which are dynamic where they need to be
        torch.onnx.export(
            network, (example,), str(temporary), input_names=[given], output_names=[found],
            dynamic_axes={name: dict(axes) for name, axes in dynamic.items()}, opset_version=OPSET, dynamo=False,
        )  # fmt: skip
        if facts is not None:
            model = onnx.load(str(temporary))
            onnx.helper.set_model_props(model, {METADATA: json.dumps(facts)})
            onnx.checker.check_model(model)
            onnx.save(model, str(temporary))
