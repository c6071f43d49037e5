"""Run trained detectors on pictures, by onnxruntime: neither ultralytics nor a trusted file is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pe_nnunet.detection.locate import fold_folders
from pe_nnunet.detection.onnx_checks import require_sound
from pe_nnunet.detection.onnx_export import INPUT, OUTPUT
from pe_nnunet.detection.record import ONNX, DetectorRecord
from pe_nnunet.detection.slice_labels import CLASSES
from pe_nnunet.detection.suppress import SliceFindings, decode, overlaps, suppress
from pe_nnunet.errors import ConfigurationError, MissingExtraError

MIN_CONFIDENCE = 0.05  # what is less sure is not even a candidate
SURE_TOLERANCE = 1e-3  # of a confidence, for arithmetic of half precision
_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class Detector:
    """One or several folds of a detector, whose boxes are averaged; see `load_detector` for the arguments.

    Attributes:
        records: What they are.
        raster: Pixels that all of them were trained on.
    """

    def __init__(self, folders: Sequence[Path], device: str) -> None:
        self.records = tuple(DetectorRecord.read(folder) for folder in folders)
        rasters = {record.raster for record in self.records}
        if len(rasters) != 1:
            text = f"{len(rasters)} rasters among {len(self.records)} detectors"
            raise ConfigurationError("PE-DET-007", text, "take folds of one training")
        self.raster = rasters.pop()
        self._sessions = tuple(_session(folder / ONNX, device) for folder in folders)

    def __call__(self, pictures: npt.NDArray[np.uint8]) -> list[SliceFindings]:
        """Find boxes.

        Args:
            pictures: (n, y, x, 3), as `raster.Layout.pictures` draws them.

        Returns:
            For each picture its boxes in pixels.

        Raises:
            ConfigurationError: PE-DET-006 if a network gives values that are no numbers, which are not "no embolus".
        """
        raws = [_run(session, pictures, record) for session, record in zip(self._sessions, self.records, strict=True)]
        return [merge([suppress(decode(raw[n], MIN_CONFIDENCE)) for raw in raws]) for n in range(len(pictures))]


def _run(session: Any, pictures: npt.NDArray[np.uint8], record: DetectorRecord) -> npt.NDArray[np.floating]:
    """What a network says of pictures: (n, 4 + classes, points).

    Raises:
        ConfigurationError: PE-DET-006 if it cannot be run on them, or says what is no boxes: not "no emboli".
    """
    try:
        raw: npt.NDArray[np.floating] = session.run([OUTPUT], {INPUT: pictures})[0]
    except Exception as error:  # onnxruntime's own types, which it does not export
        raise _useless(record, " ".join(str(error).split())[:200]) from error
    if raw.ndim != 3 or raw.shape[:2] != (len(pictures), 4 + len(CLASSES)) or raw.dtype.kind != "f":
        raise _useless(record, f"its result has shape {raw.shape} and type {raw.dtype}")
    scores = raw[:, 4:]
    sure = scores.min(initial=0.0) >= -SURE_TOLERANCE and scores.max(initial=0.0) <= 1 + SURE_TOLERANCE
    if not (sure and np.isfinite(raw).all()):
        raise _useless(record, "its result holds values that are no boxes, or no confidences from 0 to 1")
    return raw


def _useless(record: DetectorRecord, why: str) -> ConfigurationError:
    text = f"the detector of fold {record.fold} cannot be run: {why}"
    return ConfigurationError("PE-DET-006", text, "train it again")


def load_detector(folders: Path | Sequence[Path], device: str = "cpu") -> Detector:
    """Load a detector.

    Args:
        folders: Folders of folds, each with a `detector.json`; or one folder of `fold_*`, all of which are taken.
        device: `cuda` where onnxruntime was installed with it; anything else is the CPU.

    Raises:
        ConfigurationError: PE-DET-005 no detector there; PE-DET-006 files that are not what the record says; PE-DET-007
            folds that were trained on other pixels.
        MissingExtraError: PE-DET-012 if onnxruntime is not installed.
    """
    return Detector(fold_folders(folders) if isinstance(folders, Path) else folders, device)


def merge(of_folds: Sequence[SliceFindings], same: float = 0.5) -> SliceFindings:
    """Average the boxes of several folds.

    Boxes of one class that overlap are one, placed where the surest fold sees it; its confidence is the mean over all
    folds, 0 for those that do not see it.

    Args:
        of_folds: Boxes of one picture, for each fold.
        same: Overlap from which two boxes are one.
    """
    if len(of_folds) == 1:
        return of_folds[0]
    pooled = SliceFindings(
        np.concatenate([found.boxes for found in of_folds]),
        np.concatenate([found.confidence for found in of_folds]),
        np.concatenate([found.label for found in of_folds]),
    )
    surest = suppress(pooled.take(np.argsort(-pooled.confidence, kind="stable")), same)
    mean = np.zeros(len(surest))
    for n, (box, label) in enumerate(zip(surest.boxes, surest.label, strict=True)):
        for found in of_folds:
            hit = (found.label == label) & (overlaps(box, found.boxes) > same)
            mean[n] += found.confidence[hit].max(initial=0.0) / len(of_folds)
    order = np.argsort(-mean, kind="stable")
    return SliceFindings(surest.boxes[order], mean[order], surest.label[order])


def _session(path: Path, device: str) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError(
            "PE-DET-012", "onnxruntime, which runs the detector, is not installed", "pip install onnxruntime"
        ) from None
    onnxruntime.disable_telemetry_events()  # official builds for Windows have some
    require_sound(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()  # which obeys OMP_NUM_THREADS
    with_cuda = device == "cuda" and _CUDA in onnxruntime.get_available_providers()
    providers = [_CUDA, _CPU] if with_cuda else [_CPU]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's own types, which it does not export
        raise ConfigurationError(
            "PE-DET-006", f"{path} cannot be run: {' '.join(str(error).split())[:200]}", "train it again"
        ) from error
