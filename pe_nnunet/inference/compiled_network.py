"""Networks as functions of OpenVINO or onnxruntime, for CPUs that compute in single precision.

A network goes there as an ONNX file of one window. Sizes and weights are fixed in it, so that convolution, norm and
activation are joined and weights lie as the processor wants them; the function stays the same up to rounding.
`benchmarks/cpu_backends.py` has the times.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pe_nnunet.networks.onnx_files import write_onnx
from pe_nnunet.networks.plain import plain_copy

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""A window (1, channels, ...) to its logits (1, classes, ...)."""
IMAGE, LOGITS = "image", "logits"
TOLERANCE = 1e-4  # of logits; of those beyond 1 relative to the largest
PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime"}


class CompiledNetwork(nn.Module):
    """Calls another runtime, window by window.

    Args:
        run: Its function.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def forward(self, patches: Tensor) -> Tensor:
        """(n, channels, ...) to (n, classes, ...), both on the CPU."""
        windows = np.ascontiguousarray(patches.numpy(), np.float32)
        return torch.from_numpy(np.concatenate([self.run(windows[k : k + 1]) for k in range(len(windows))]))


class Backend:
    """Runs a network's folds by another runtime; the fold that was run last stays compiled.

    Args:
        name: A key of `PACKAGES`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._weights: object = None
        self._compiled: CompiledNetwork | None = None

    def network_with(self, network: nn.Module, weights: dict[str, Tensor], shape: Sequence[int]) -> CompiledNetwork:
        """The network with the weights of a fold.

        Args:
            network: Of torch, on the CPU; it takes the weights over.
            weights: Its state; compiled again when it is another object than the last time.
            shape: Of a window, (channels, z, y, x) or (channels, y, x).
        """
        if self._compiled is None or self._weights is not weights:
            network.load_state_dict(weights)
            self._compiled, self._weights = None, None  # one at a time: each has buffers for a window
            self._compiled, self._weights = compile_network(network, shape, self.name), weights
        return self._compiled


def compile_network(network: nn.Module, shape: Sequence[int], name: str) -> CompiledNetwork:
    """Compile a network with the weights that it has.

    Args:
        network: On the CPU, in eval mode.
        shape: Of a window, without the batch.
        name: A key of `PACKAGES`.

    Raises:
        Exception: Of torch's exporter or the runtime's own types, where an operator is missing.
    """
    copied = plain_copy(network).float().to(memory_format=torch.contiguous_format)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        write_onnx(copied, torch.zeros(1, *shape), path, given=IMAGE, found=LOGITS, dynamic={})
        return CompiledNetwork({"openvino": _openvino, "onnx": by_onnxruntime}[name](path))


def is_installed(name: str) -> bool:
    """Whether the package of a backend is there."""
    return find_spec(PACKAGES[name]) is not None


def difference(network: nn.Module, compiled: nn.Module, shape: Sequence[int]) -> float:
    """Largest difference of the logits of a window of noise, as a share of the largest logit where that exceeds 1."""
    window = torch.randn((1, *shape), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network(window)
        return float((compiled(window) - expected).abs().max() / max(1.0, float(expected.abs().max())))


def _openvino(path: Path) -> Run:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # nothing is sent: it does without
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
    }
    request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()

    def run(window: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = request.infer([window])[0]
        return found

    return run


def by_onnxruntime(path: Path) -> Run:
    """A network's ONNX file, of `IMAGE` and `LOGITS`, as a function of onnxruntime."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # official builds for Windows have some
    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(window: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = session.run([LOGITS], {IMAGE: window})[0]
        return found

    return run
