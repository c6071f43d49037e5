"""How networks are run over an image, and presets of it."""

from __future__ import annotations

from dataclasses import dataclass

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.options import option, require_limits


@dataclass(frozen=True)
class InferenceSettings:
    """How networks are run over an image.

    Raises:
        ConfigurationError: PE-MODEL-007 if a value is out of range.
    """

    mirroring: bool = option(True, "no averaging over mirrored inputs: up to 8 times faster", flag="--disable_tta")
    step: float = option(0.5, "of the windows, as a share of one", above=0, high=1, flag="-step_size")
    float32: bool = option(False, "single precision, also where half precision is faster")
    window: tuple[int, ...] = option(
        (),
        "voxels that a network is given at once: smaller than the patch that it was trained on takes less memory",
        low=1,
        kind=int,
        metavar=("Z", "Y", "X"),
        default_text="the trained patch, or what memory and a CPU allow of it",
    )
    backend: str = option(
        "auto",
        "what runs networks on a CPU; auto: OpenVINO where it is installed and the CPU has no bfloat16, else torch",
        choices=("auto", "torch", "onnx", "openvino"),
    )
    batch_size: int | None = option(None, "windows at once", low=1, kind=int, default_text="as suits the device")

    def __post_init__(self) -> None:
        require_limits(self, "PE-MODEL-007")
        if len(self.window) not in (0, 3):
            raise ConfigurationError("PE-MODEL-007", f"--window is {self.window}, expected Z, Y and X")


PRESETS = {
    "default": InferenceSettings(),
    "fast": InferenceSettings(mirroring=False, step=0.75),
    "accurate": InferenceSettings(step=0.35, float32=True),
}
