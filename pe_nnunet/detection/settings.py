"""How a detector is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.errors.near import did_you_mean
from pe_nnunet.options import option, require_limits

# Ours where they differ from ultralytics' own: slices are no photographs. The three channels are windows and no
# colours; the size of a thing in mm carries meaning; four slices in one picture cut lungs into parts that no slice has.
SLICES_NOT_PHOTOGRAPHS: dict[str, Any] = {
    "hsv_h": 0.0, "hsv_s": 0.0, "hsv_v": 0.2, "scale": 0.2, "degrees": 10.0, "mosaic": 0.0,
}  # fmt: skip
# What a user may set of ultralytics' own: the rest is ours, or reaches for network, disk or other tasks.
OVERRIDES = {
    "box", "cls", "cls_pw", "cos_lr", "degrees", "dfl", "fliplr", "flipud", "freeze", "hsv_v", "lr0", "lrf", "mixup",
    "momentum", "mosaic", "multi_scale", "nbs", "optimizer", "scale", "shear", "translate", "warmup_epochs",
    "weight_decay", "workers",
}  # fmt: skip


@dataclass(frozen=True)
class DetectorSettings:
    """How a detector is trained.

    Raises:
        ConfigurationError: PE-DET-003 if a value is out of range, or a setting of ultralytics cannot be set.
    """

    model: str = option("yolo11n", "architecture, family and size, of those that ultralytics brings: yolo26s, ...")
    image_size: int = option(512, "side of a picture in pixels, a multiple of 32", low=32)
    epochs: int = option(100, "how often training sees every picture", low=1)
    batch: int = option(16, "pictures a step", low=1)
    device: str = "cpu"
    weights: Path | None = option(
        None, "start from a detector.pt, or from a checkpoint of ultralytics", kind=Path, default_text="fresh weights"
    )
    trust_weights: bool = option(False, "load a checkpoint that holds more than weights")
    seed: int = option(0, "of weights, order and augmentation", low=0)
    overrides: dict[str, Any] = field(default_factory=dict)
    slices_per_embolus: int = option(12, "at most so many slices for each embolus", low=1)
    negative_share: float = option(0.5, "slices without emboli, as a share of those with", low=0, high=10)
    min_negatives: int = option(8, "but at least so many a scan, so that scans without emboli count", low=0)

    def __post_init__(self) -> None:
        require_limits(self, "PE-DET-003")
        unknown = sorted(set(self.overrides) - OVERRIDES)
        if unknown:
            hint = did_you_mean(unknown[0], OVERRIDES, f"these can: {', '.join(sorted(OVERRIDES))}")
            raise ConfigurationError("PE-DET-003", f"{', '.join(unknown)} cannot be set here", hint)

    def for_ultralytics(self, folder: Path) -> dict[str, Any]:
        """As ultralytics' training settings, writing below `folder`."""
        return {
            "imgsz": self.image_size,
            "epochs": self.epochs,
            "batch": self.batch,
            "nbs": self.batch,  # a step a batch: trainings on slices are short
            "device": "0" if self.device == "cuda" else self.device,
            "seed": self.seed,
            "warmup_epochs": min(3.0, 0.1 * self.epochs),
            **SLICES_NOT_PHOTOGRAPHS,
            **self.overrides,
            "close_mosaic": 0,
            "amp": False,  # its trial of half precision fetches weights
            "val": False,  # after the last epoch only: the split that measures does not choose the epoch
            "plots": False,
            "pretrained": False,
            "project": str(folder),
            "name": "run",
            "exist_ok": True,
        }


def parse_overrides(pairs: Sequence[str]) -> dict[str, Any]:
    """`key=value` as ultralytics takes it: numbers, `true` and `false`, else text.

    Raises:
        ConfigurationError: PE-DET-003 if one is no pair.

    Example:
        >>> parse_overrides(["lr0=0.01", "optimizer=SGD", "cos_lr=true", "workers=2"])
        {'lr0': 0.01, 'optimizer': 'SGD', 'cos_lr': True, 'workers': 2}
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key or not text:
            raise ConfigurationError("PE-DET-003", f"{pair!r} is no setting", "write key=value")
        values[key] = _value(text)
    return values


def _value(text: str) -> Any:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
