"""What an ONNX file is refused for before it is run; neither torch nor onnxruntime is needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pe_nnunet.errors import ConfigurationError

_FLOATS = (1, 10, 11)  # float, half and double of ONNX's TensorProto.DataType


def require_sound(path: Path) -> None:
    """Refuse a network with weights that are no numbers, or lie in other files, which it could name anywhere.

    Args:
        path: An ONNX file; none of ours refers to another.

    Raises:
        ConfigurationError: PE-DET-006 if it does, or cannot be read.
    """
    import numpy as np
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own types
        raise ConfigurationError(
            "PE-DET-006", f"{path} cannot be read: {' '.join(str(error).split())[:200]}", "train it again"
        ) from error
    for message in _messages(model):
        if not isinstance(message, onnx.TensorProto):
            continue
        if message.external_data or message.data_location:
            raise ConfigurationError(
                "PE-DET-006", f"{path} keeps weights in other files, which no detector of ours does", "train it again"
            )
        if message.data_type in _FLOATS and not np.isfinite(_numbers(message, path)).all():
            raise ConfigurationError(
                "PE-DET-006", f"{path} holds weights that are NaN or infinite: {message.name}", "train it again"
            )


def _numbers(tensor: Any, path: Path) -> Any:
    """The values of a tensor."""
    from onnx import numpy_helper

    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:  # fewer bytes than its shape says
        raise ConfigurationError(
            "PE-DET-006", f"{path} holds damaged weights {tensor.name}: {error}", "train it again"
        ) from error


def _messages(message: Any) -> Iterator[Any]:
    """A protobuf message and all messages in it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                yield from _messages(part)
