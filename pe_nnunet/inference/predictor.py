"""Scans in, emboli out: models are loaded once and used for any number of scans."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk
import torch

from pe_nnunet.errors import InputError, Note
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.inference.device import pick_device
from pe_nnunet.inference.ensemble import Progress, predict_probability
from pe_nnunet.inference.locate import ModelLocation, locate_folder
from pe_nnunet.inference.model import TrainedModel, load_model
from pe_nnunet.outputs import CaseResult
from pe_nnunet.roi import Roi, crop, find_roi, lung_hull, paste
from pe_nnunet.volumes import Scan, find_scans, from_lps, image_like, read_scan, spacing_zyx, to_lps


class PEPredictor:
    """Finds pulmonary emboli in CT pulmonary angiograms.

    Args:
        models: nnU-Net model folders (all their trained folds), or locations with chosen folds.
        device: `auto`, `cuda`, `mps` or `cpu`.
        fusion: Thresholds; the defaults if None.
        margin_mm: Around the lungs.
        on_no_lungs: `error`, or `full-volume` to predict the whole scan where no lungs are found.
        mirroring: Whether to average over mirrored inputs where the models allow it.
        step: Largest step between windows, as a share of the window.
        trust_checkpoint: Load checkpoints that hold more than weights, which runs code from them.

    Raises:
        ConfigurationError: If a model, fold or device is missing.
    """

    def __init__(
        self,
        models: Sequence[Path | str | ModelLocation],
        *,
        device: str = "auto",
        fusion: FusionSettings | None = None,
        margin_mm: float = 10.0,
        on_no_lungs: Literal["error", "full-volume"] = "error",
        mirroring: bool = True,
        step: float = 0.5,
        trust_checkpoint: bool = False,
    ) -> None:
        self.device = pick_device(device)
        self.fusion = fusion or FusionSettings()
        self.margin_mm = margin_mm
        self.on_no_lungs = on_no_lungs
        self.mirroring = mirroring
        self.step = step
        locations = [m if isinstance(m, ModelLocation) else locate_folder(Path(m), None) for m in models]
        self.models: list[TrainedModel] = [load_model(place, self.device, trust_checkpoint) for place in locations]

    def predict(
        self, scan: Path | str | sitk.Image | Scan, *, case_id: str = "scan", progress: Progress | None = None
    ) -> CaseResult:
        """Find the emboli of one scan.

        Args:
            scan: A file, a DICOM folder, an image in HU, or a scan that was read.
            case_id: For an image; otherwise it comes from the file name.
            progress: Called with a model's name and fold, windows done and in all.

        Returns:
            Probability and emboli on the scan's own grid; the probability is 0 outside the lungs' box and, where both
            lungs show, outside their convex hull.

        Raises:
            PEError: If the scan cannot be read, has no lungs, or does not fit the models.
        """
        started = time.perf_counter()
        notes: list[Note] = []
        source, sha256 = "", ""
        if isinstance(scan, (str, Path)):
            scan = _only_scan(Path(scan))
        if isinstance(scan, Scan):
            case_id, image = scan.case_id, scan.image
            notes += scan.notes
            source, sha256 = scan.ref.path.name, scan.sha256
        else:
            image = scan
        read = time.perf_counter()

        upright = to_lps(image)
        roi: Roi = find_roi(upright, margin_mm=self.margin_mm, on_no_lungs=self.on_no_lungs)
        notes += roi.notes
        part = crop(upright, roi.box)
        found_roi = time.perf_counter()

        inside = predict_probability(
            self.models,
            part,
            self.device,
            mirroring=self.mirroring,
            step=self.step,
            progress=progress,
        )
        if roi.lungs is not None and not roi.lungs.one_sided:
            inside *= lung_hull(crop(roi.lungs.mask, roi.box))  # no pulmonary artery lies in the chest wall
        predicted = time.perf_counter()

        probability = from_lps(paste(image_like(inside, part), roi.box, upright), image)
        emboli = find_emboli(sitk.GetArrayViewFromImage(probability), spacing_zyx(image), self.fusion)
        finished = time.perf_counter()
        return CaseResult(
            case_id=case_id,
            image=image,
            probability=probability,
            emboli=emboli,
            roi=_roi_facts(roi, upright),
            models=tuple(record for model in self.models for record in model.records),
            source=source,
            source_sha256=sha256,
            arguments=self.settings(),
            timings_s={
                "read": read - started,
                "roi": found_roi - read,
                "segmentation": predicted - found_roi,
                "emboli": finished - predicted,
            },
            notes=tuple(notes),
        )

    def settings(self) -> dict[str, Any]:
        """What was asked for, for the record."""
        return {
            "device": str(self.device),
            "fusion": asdict(self.fusion),
            "lung_margin_mm": self.margin_mm,
            "on_no_lungs": self.on_no_lungs,
            "mirroring": self.mirroring,
            "step": self.step,
            "threads": torch.get_num_threads(),
        }


def _only_scan(path: Path) -> Scan:
    refs = find_scans(path)
    if len(refs) != 1:
        raise InputError(
            "PE-IN-005", f"{path} holds {len(refs)} scans, expected one", "predict them one by one, or name one of them"
        )
    return read_scan(refs[0])


def _roi_facts(roi: Roi, upright: sitk.Image) -> dict[str, Any]:
    shape = np.array(upright.GetSize()[::-1])
    return {
        "box_zyx_lps": roi.box.to_list(),
        "volume_fraction": float(np.prod(roi.box.shape) / np.prod(shape)),
        "lungs_found": roi.lungs is not None,
    }
