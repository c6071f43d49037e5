"""Detection on axial slices: lungs and emboli as boxes, linked over slices to boxes in space.

What others need is here; `load_detector` and `detect` import onnxruntime and torch on first use. ultralytics is needed
for training alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pe_nnunet.detection.box_tubes import Detections, SliceBox, Tube, tube_confidence

if TYPE_CHECKING:
    from pe_nnunet.detection.detector import Detector, load_detector
    from pe_nnunet.detection.scans import detect

__all__ = ["Detections", "Detector", "SliceBox", "Tube", "detect", "load_detector", "tube_confidence"]


def __getattr__(name: str) -> Any:
    if name == "detect":
        from pe_nnunet.detection.scans import detect

        return detect
    if name in {"Detector", "load_detector"}:
        from pe_nnunet.detection import detector

        return getattr(detector, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
