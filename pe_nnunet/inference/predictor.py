"""Scans in, emboli out: models are loaded once and used for any number of scans."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import SimpleITK as sitk
import torch

from pe_nnunet.burden import ABSENT, ARTERY, measure_burden
from pe_nnunet.detection import Detections, Detector, detect, load_detector
from pe_nnunet.errors import Note
from pe_nnunet.fusion import FusionSettings, find_emboli, fuse
from pe_nnunet.fusion.choice import FusionChoice, choose_settings, given_settings
from pe_nnunet.fusion.weights import Weights
from pe_nnunet.inference.channels import further_channels
from pe_nnunet.inference.device import pick_device
from pe_nnunet.inference.ensemble import predict_ensemble
from pe_nnunet.inference.inputs import read_one_scan
from pe_nnunet.inference.loaded_ensemble import load_ensemble
from pe_nnunet.inference.locate import ModelLocation
from pe_nnunet.inference.model import TrainedModel, model_records, require_one_scheme, weights_of_records
from pe_nnunet.inference.model_card import model_cards
from pe_nnunet.inference.named_models import locate_model, name_notes
from pe_nnunet.inference.other_classes import other_classes
from pe_nnunet.inference.search_region import Region, artery_region, lung_region, predict_arteries
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.inference.stage_times import StageTimes
from pe_nnunet.inference.window_progress import Progress
from pe_nnunet.outputs import CaseResult
from pe_nnunet.roi import crop, paste
from pe_nnunet.volumes import Scan, from_lps, spacing_zyx, to_lps
from pe_nnunet.volumes.case_names import HASHED, PLAIN
from pe_nnunet.volumes.lps_arrays import own_view
from pe_nnunet.volumes.readers import MIN_SLICES_3D


class PEPredictor:
    """Finds pulmonary emboli in CT pulmonary angiograms.

    Args:
        models: Names or nnU-Net model folders as `find_model` takes them (all their trained folds), or locations with
            chosen folds; a `Path` is a folder, never a name. Any mixture of networks, plans, 2D and 3D.
        detector: Folder of a detector (one fold or several), or one that was loaded: what it takes for lungs joins the
            region of interest, and its boxes of emboli change probabilities as `fusion` says. None: segmentation alone.
        device: `auto`, `cuda`, `mps` or `cpu`.
        fusion: Thresholds, or what `choose_settings` chose, or what chooses it for the weights that were found; if
            None, those of `fusion.json` where it was chosen for these very weights, else the defaults.
        model_weights: How much each model counts; its folds share that alike. If None, what `fusion` or `fusion.json`
            says, else every fold of every model counts alike. A model of weight 0 is not loaded, unless it alone tells
            the arteries to look along.
        inference: How the networks are run; the defaults if None.
        margin_mm: Around the lungs.
        on_no_lungs: `error`, or `full-volume` to predict the whole scan where no lungs are found.
        along_arteries: Look only along the arteries: those of the mask that `predict` is given, else what the first
            model that tells arteries takes for them.
        outputs: Kinds of files that are to be written: what only some of them need (`agreement`, `nnunet`,
            `segmentation`, `detections`, `detections_table`) is computed and kept where they are among these. The
            probability is left out where neither it nor `nnunet` is among them, unless none are named.
        repairs: What scans may be repaired for when they are read, as keywords of `read_scan`.
        trust_checkpoint: Load checkpoints that hold more than weights, which runs code from them.

    Raises:
        ConfigurationError: If a model, fold or device is missing.
    """

    def __init__(
        self,
        models: Sequence[Path | str | ModelLocation],
        detector: Path | str | Detector | None = None,
        *,
        device: str = "auto",
        fusion: FusionSettings | FusionChoice | Callable[[Weights], FusionChoice] | None = None,
        model_weights: Sequence[float] | None = None,
        inference: InferenceSettings | None = None,
        margin_mm: float = 10.0,
        on_no_lungs: Literal["error", "full-volume"] = "error",
        along_arteries: bool = False,
        outputs: Collection[str] = (),
        repairs: Mapping[str, bool] | None = None,
        trust_checkpoint: bool = False,
    ) -> None:
        self.device = pick_device(device)
        self.inference = inference or InferenceSettings()
        self.margin_mm = margin_mm
        self.on_no_lungs = on_no_lungs
        self.along_arteries = along_arteries
        self.outputs = frozenset(outputs)
        self.repairs = dict(repairs or {})
        locations = [m if isinstance(m, ModelLocation) else locate_model(m) for m in models]
        if isinstance(detector, (str, Path)):
            detector = load_detector(Path(detector), self.device.type)
        self.detector = detector
        records = [model_records(place) for place in locations]  # once: hashing takes as long as reading
        folders = [place.folder for place in locations]
        if fusion is None:
            fusion = partial(choose_settings, folders, model_weights=model_weights)
            model_weights = None
        if not isinstance(fusion, (FusionSettings, FusionChoice)):
            of_detector = () if detector is None else detector.records
            fusion = fusion(weights_of_records(chain.from_iterable(records), of_detector))
        if isinstance(fusion, FusionSettings) or model_weights is not None:
            fusion = given_settings(fusion, folders, model_weights)
        self.choice, self.fusion = fusion, fusion.settings
        self.ensemble = load_ensemble(  # whether a model tells arteries is known before the first scan
            locations,
            records,
            fusion.model_weights,
            self.device,
            self.inference,
            trust=trust_checkpoint,
            along_arteries=along_arteries,
        )
        named = name_notes(m for m in models if not isinstance(m, ModelLocation))
        self.notes = (*named, *self.choice.notes, *self.ensemble.notes)  # of all scans alike
        self.models: Sequence[TrainedModel] = self.ensemble.models
        self.model_cards = model_cards(folders)
        if "nnunet" in self.outputs:
            require_one_scheme(self.models)

    def predict(
        self,
        scan: Path | str | sitk.Image | Scan,
        *,
        artery: sitk.Image | None = None,
        anatomy: Mapping[str, sitk.Image] | None = None,
        further: Sequence[sitk.Image] | None = None,
        case_id: str = "scan",
        progress: Progress | None = None,
    ) -> CaseResult:
        """Find the emboli of one scan.

        Args:
            scan: A file, a DICOM folder, an image in HU, or a scan that was read.
            artery: A mask of the pulmonary arteries on the scan's grid: emboli are looked for along it alone.
            anatomy: Masks of arteries, lobes and chambers on the scan's grid, by the names `pe_nnunet.burden.MASKS`:
                levels, obstruction, scores and ratios are measured with them. Arteries that emboli are looked for along
                are followed as well.
            further: Channels beside the CT, on its grid, for models of several; None reads the files `_0001`, ...
                beside a scan's `_0000`. Lungs are found in the CT alone.
            case_id: For an image; otherwise it comes from the file name.
            progress: Called with a model's name and fold, windows done and in all, and the share of the time that
                these took of what all will take.

        Returns:
            Emboli, and the probability where `outputs` need it, on the scan's own grid; the probability is 0 outside
            the lungs' box and, where both lungs show, outside their convex hull.

        Raises:
            PEError: If the scan cannot be read, has no lungs, or does not fit the models.
        """
        clock = StageTimes()
        if isinstance(scan, (str, Path)):
            scan = read_one_scan(Path(scan), self.repairs, self.n_channels)
        image, case_id = (scan.image, scan.case_id) if isinstance(scan, Scan) else (scan, case_id)
        if further is None and isinstance(scan, Scan):
            further = further_channels(scan.ref, image, self.n_channels)
        channels_lps = [to_lps(channel) for channel in further or ()]
        clock.lap("read")

        image_lps = to_lps(image)
        detected = self._detect(image_lps)
        if self.detector is not None:
            clock.lap("detection")
        region = self._region(image_lps, channels_lps, artery, detected, progress)
        part, *beside = (crop(channel, region.box) for channel in (image_lps, *channels_lps))
        shape = image_lps.GetSize()[::-1]
        del image_lps, channels_lps  # copies, where the scan has other axes
        clock.lap("roi")

        of_box, votes = predict_ensemble(
            self.models,
            part,
            self.device,
            self.inference,
            within=region.within,
            agreement_at=self.fusion.threshold if "agreement" in self.outputs else None,
            progress=progress,
            further=beside,
            weights=self.ensemble.weights,
        )
        clock.lap("segmentation")

        stock = None
        if "nnunet" in self.outputs:
            stock = other_classes(self.ensemble, part, region, self.device, self.inference, image, progress)
            clock.lap("other classes")
        agreement = None if votes is None else paste(votes, region.box, image)
        segmentation = None
        if detected is not None:
            segmentation = paste(of_box, region.box, image) if "segmentation" in self.outputs else None
            of_box = fuse(of_box, detected.emboli, self.fusion, start=region.box.start)
        in_own_axes, held = own_view(of_box, region.box, image)  # a map of all of the scan is large
        emboli = find_emboli(in_own_axes, spacing_zyx(image), self.fusion).placed(held, image.GetSize()[::-1])
        wanted = not self.outputs or self.outputs & {"probability", "nnunet"}
        probability = paste(of_box, region.box, image) if wanted else None
        del of_box, in_own_axes, votes, part, beside
        clock.lap("emboli")
        burden = None
        if anatomy is not None or region.artery is not None:
            followed = {} if region.artery is None else {ARTERY: from_lps(region.artery, image)}
            burden = measure_burden(emboli.labels, image, followed | dict(anatomy or {}))
            clock.lap("burden")
        notes = [*(scan.notes if isinstance(scan, Scan) else ()), *region.notes, *(detected.notes if detected else ())]
        if burden is not None:  # what was not asked for need not be missed
            notes += [note for note in burden.notes if anatomy is not None or note.code != ABSENT]
        notes += [*self._notes(shape), *self.notes]
        return CaseResult(
            case_id=case_id,
            image=image,
            probability=probability,
            agreement=agreement,
            segmentation=segmentation,
            detections=detected if self.outputs & {"detections", "detections_table"} else None,
            emboli=emboli,
            roi={
                **region.facts(shape),
                "detected_emboli": len(detected.emboli) if detected else None,
            },
            models=self.ensemble.records,
            model_cards=self.model_cards,
            terms=self.ensemble.terms,
            dicom=scan.dicom if isinstance(scan, Scan) else None,
            stock=stock,
            burden=burden,
            source=scan.ref.shown_name if isinstance(scan, Scan) else "",
            names=HASHED if isinstance(scan, Scan) and scan.ref.hidden else PLAIN,
            source_sha256=scan.sha256 if isinstance(scan, Scan) else "",
            arguments=self.settings(),
            timings_s=clock.seconds,
            notes=tuple(notes),
        )

    def _detect(self, image_lps: sitk.Image) -> Detections | None:
        if self.detector is None or image_lps.GetSize()[2] < MIN_SLICES_3D:
            return None
        return detect(image_lps, self.detector)

    def _region(
        self,
        image_lps: sitk.Image,
        channels_lps: Sequence[sitk.Image],
        artery: sitk.Image | None,
        detected: Detections | None,
        progress: Progress | None,
    ) -> Region:
        if artery is not None:
            return artery_region(image_lps, artery, self.margin_mm)
        seen = None if detected is None else detected.lungs
        lungs = lung_region(image_lps, self.margin_mm, self.on_no_lungs, also=seen)
        if not self.along_arteries:
            return lungs
        models = [*self.models, *self.ensemble.of_arteries]
        mask = predict_arteries(models, image_lps, lungs, self.device, self.inference, progress, channels_lps)
        return artery_region(image_lps, mask, self.margin_mm)

    def _notes(self, shape: tuple[int, ...]) -> list[Note]:
        if shape[0] >= MIN_SLICES_3D:
            return []
        text = "loose slices: searched whole, without lungs or boxes; an area is no volume"
        return [Note("PE-MODEL-011", "warning", text)]

    @property
    def n_channels(self) -> int:
        """Image channels that the models need, the CT included."""
        return self.ensemble.n_channels

    def settings(self) -> dict[str, Any]:
        """What was asked for, for the record."""
        return {
            "device": str(self.device),
            "fusion": asdict(self.fusion),
            "fusion_from": self.choice.source,
            "fusion_sha256": self.choice.source_sha256,
            "model_weights": self.ensemble.described(),
            "detector": None if self.detector is None else [record.brief() for record in self.detector.records],
            "lung_margin_mm": self.margin_mm,
            "on_no_lungs": self.on_no_lungs,
            "along_arteries": self.along_arteries,
            "repairs": self.repairs,
            **asdict(self.inference),
            "windows": self.ensemble.windows(),
            "backends": self.ensemble.backends(),
            "threads": torch.get_num_threads(),
        }
