"""Calibrate models that were trained elsewhere on a user's own labelled scans, which all of their folds predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.calibration.counts import Grid, LabelledScan
from pe_nnunet.calibration.ensemble_calibration import calibrate_ensemble, model_names_of
from pe_nnunet.calibration.further_scans import hashes_of, kind_of_labels, label_of, truth_in_lps
from pe_nnunet.calibration.held_out import seen_scans, unseen_notes
from pe_nnunet.calibration.member_maps import MemberMaps
from pe_nnunet.calibration.predict_members import predict_members
from pe_nnunet.calibration.results import calibration_text, naming_older, require_writable, write_fusion
from pe_nnunet.calibration.trained_on import splits_of_detectors, splits_of_models
from pe_nnunet.cases import CaseFailure, CaseLimits, step_bar, work_through
from pe_nnunet.detection import Detector, detect, load_detector
from pe_nnunet.errors import ConfigurationError, InputError
from pe_nnunet.fusion.stored import NAME
from pe_nnunet.inference.backends import with_backends
from pe_nnunet.inference.channels import without_further_channels
from pe_nnunet.inference.device import pick_device
from pe_nnunet.inference.inputs import read_inputs
from pe_nnunet.inference.locate import ModelLocation
from pe_nnunet.inference.long_run import LongRun
from pe_nnunet.inference.model import TrainedModel, load_model, model_records
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.inference.window_size import described, with_windows
from pe_nnunet.metrics.ignored import without_ignored
from pe_nnunet.metrics.instances import LabelKind
from pe_nnunet.volumes import ScanRef, spacing_zyx, to_lps


@dataclass(frozen=True)
class OwnScans:
    """A user's labelled scans.

    Attributes:
        refs: The scans, under the names that results may hold.
        labels: Their files by case id.
        folder: Where labels lie, for what their values mean.
        dataset_json: Says it instead, if it lies elsewhere.
        patients: Case id -> patient; who is not in it is a patient of its own.
        repairs: What scans may be repaired for, as keywords of `read_scan`.
        limits: What reading a case may take; None to read in this process.
    """

    refs: Sequence[ScanRef]
    labels: Mapping[str, Sequence[Path]]
    folder: Path
    dataset_json: Path | None = None
    patients: Mapping[str, str] | None = None
    repairs: Mapping[str, bool] | None = None
    limits: CaseLimits | None = None


@dataclass(frozen=True)
class _ReadCase:
    """A scan in LPS axes with its further channels and truth."""

    case_id: str
    image: sitk.Image
    channels: list[sitk.Image]
    ids: NDArray[Any]
    ignored: NDArray[np.bool_] | None


def calibrate_on_scans(
    locations: Sequence[ModelLocation],
    scans: OwnScans,
    max_fp_per_scan: float | None,
    grid: Grid,
    *,
    device: str = "auto",
    inference: InferenceSettings | None = None,
    trust_checkpoint: bool = False,
    detector: Path | None = None,
    output: Path | None = None,
) -> tuple[Path, list[CaseFailure]]:
    """Predict scans with all folds of each model, choose weights and settings, and write them.

    A scan that cannot be read, has no label, or was trained on by one of the models, as far as their records tell, is
    left out and listed.

    Args:
        locations: Models of any datasets, with any folds.
        scans: The scans.
        max_fp_per_scan: The sensitivity at this many false positives a scan, at most, counts; None: the F1 of emboli.
        grid: Which settings are tried.
        device: Where the networks run.
        inference: How; the default if None.
        trust_checkpoint: Load checkpoints that hold more than weights.
        detector: Folder of a detector; None: segmentation alone.
        output: Where the result goes; None for `fusion.json` in the folder of the first model.

    Returns:
        The file that was written, and the cases that were left out.

    Raises:
        PEError: If a model is missing, nothing is left to calibrate on, or the result cannot be written.
    """
    model_names_of(locations)  # they can be told apart
    path = output or locations[0].folder / NAME
    require_writable(path)
    kind = kind_of_labels(scans.folder, scans.dataset_json)
    inference, where = inference or InferenceSettings(), pick_device(device)
    boxes = None if detector is None else load_detector(detector, where.type)
    records = () if boxes is None else boxes.records
    trained = [
        *splits_of_models(locations, trust=trust_checkpoint),
        *splits_of_detectors({record.fold: [record] for record in records}),
    ]
    for note in unseen_notes(trained):
        print(note, flush=True)
    loaded = [load_model(location, where, trust_checkpoint) for location in locations]
    models, notes = with_windows(loaded, where, inference)
    models, further = with_backends(models, where, inference)
    for note in (*notes, *further):
        print(note, flush=True)
    channels = max(model.n_channels for model in models)
    refs = {ref.case_id: ref for ref in without_further_channels(scans.refs, channels)}
    items = {case: (ref, scans.labels.get(ref.mask_id, ())) for case, ref in refs.items()}
    read = partial(_read, kind=kind, repairs=scans.repairs or {}, channels=channels, seen=seen_scans(trained))

    long = LongRun(models, where, inference, len(items))

    def predict(case: _ReadCase) -> MemberMaps:
        return _predict(case, models, boxes, inference, where, long.next_scan())

    made, failed = work_through(
        predict,
        items,
        read=read,
        limits=scans.limits,
        say=lambda case, _, left: print(f"{case}: predicted{left}", flush=True),
        hidden={case: ref.hidden for case, ref in refs.items()},
    )
    members = list(made.values())
    with naming_older(path):
        if not members:
            raise InputError("PE-FUS-006", f"none of the {len(refs)} scans can be used", "see the lines above")
        chosen = calibrate_ensemble(locations, members, max_fp_per_scan, grid, scans.patients or {})
    record = {
        "scans": [member.case_id for member in members],
        "left_out": [{"case": failure.case_id, "code": failure.code} for failure in failed],
        "labels": {"kinds": [str(kind)], "ignored_values": list(kind.ignored)},
        "source": "scans",
        "models": [asdict(record) for location in locations for record in model_records(location)],
        "detector": [record.brief() for record in records] or None,
        "inference": asdict(inference) | {"windows": described(models)},
    }
    write_fusion(path, chosen, record)
    print(calibration_text(chosen, len(members), None), flush=True)
    return path, failed


def _read(
    item: tuple[ScanRef, Sequence[Path]],
    kind: LabelKind,
    repairs: Mapping[str, bool],
    channels: int,
    seen: Mapping[str, str],
) -> _ReadCase:
    ref, labels = item
    label = label_of(ref, {ref.mask_id: labels})
    inputs = read_inputs(ref, None, repairs, channels)
    if known := [seen[sha256] for sha256 in hashes_of(inputs.scan) if sha256 in seen]:
        raise ConfigurationError(
            "PE-EVAL-012",
            f"the same scan as {known[0]}, which one of the models was trained or validated on",
            "calibrate on scans that no model has seen",
        )
    image, ids, ignored = truth_in_lps(inputs.scan, label, kind)
    if ignored is not None and ignored.all():
        raise InputError("PE-EVAL-018", "every voxel of its label is ignored", "leave it out")
    return _ReadCase(ref.case_id, image, [to_lps(one) for one in inputs.further], ids, ignored)


def _predict(
    case: _ReadCase,
    models: Sequence[TrainedModel],
    detector: Detector | None,
    inference: InferenceSettings,
    device: Any,
    foreseen: Callable[[float], None],
) -> MemberMaps:
    tubes = None if detector is None else detect(case.image, detector).emboli
    with step_bar(case.case_id, "window", foreseen=foreseen) as show:
        maps = predict_members(
            models,
            case.image,
            case.channels,
            device,
            inference,
            lambda part, done, windows, share: show(done, windows, part, share),
        )
    nothing = np.zeros((0, 0, 0), np.float32)
    truth = without_ignored(case.ids, case.ignored)
    return MemberMaps.of(LabelledScan(case.case_id, nothing, truth, spacing_zyx(case.image), tubes, case.ignored), maps)
