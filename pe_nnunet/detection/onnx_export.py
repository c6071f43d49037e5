"""A trained detector as an ONNX file."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pe_nnunet.detection.raster import STRIDE
from pe_nnunet.networks.onnx_files import write_onnx

INPUT, OUTPUT = "pictures", "boxes"


class _Detector(nn.Module):
    """From 8-bit pictures (n, y, x, 3) to (n, 4 + classes, points): centre x, y, width, height, then scores."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        boxes: torch.Tensor = self.network(pictures.permute(0, 3, 1, 2).float() / 255)
        return boxes


def deployable(network: nn.Module) -> nn.Module:
    """The detector as it is exported: norms folded into convolutions, boxes decoded, no suppression of doubles.

    Args:
        network: An ultralytics detection network; a copy of it is changed.
    """
    ours: Any = deepcopy(network).float().cpu().eval()
    head = ours.model[-1]
    head.end2end = False  # before folding, which would drop the outputs that are not used
    ours.criterion = None  # the loss is no part of it
    ours = ours.fuse(verbose=False)
    head.export, head.dynamic, head.format = True, True, "onnx"
    return _Detector(ours).eval()


def export_onnx(network: nn.Module, path: Path) -> None:
    """Write a detector as ONNX.

    Args:
        network: An ultralytics detection network.
        path: The file.

    Raises:
        MissingExtraError: PE-MODEL-013 if onnx is not installed.
        OutputError: PE-OUT-001 if it cannot be written.
    """
    example = torch.zeros((2, 2 * STRIDE, 3 * STRIDE, 3), dtype=torch.uint8)  # unlike sides, so that none is assumed
    axes = {INPUT: {0: "n", 1: "y", 2: "x"}, OUTPUT: {0: "n", 2: "points"}}
    write_onnx(deployable(network), example, path, given=INPUT, found=OUTPUT, dynamic=axes)
