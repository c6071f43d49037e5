"""Detection on axial slices: lungs and emboli as boxes, linked over slices to boxes in space."""

from __future__ import annotations

from pe_nnunet.detection.tubes import Detections, SliceBox, Tube, tube_confidence

__all__ = ["Detections", "SliceBox", "Tube", "tube_confidence"]
