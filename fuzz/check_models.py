"""JSON, checkpoints, archives and detectors by our readers, and by json, zipfile and onnx's reference evaluator."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from fuzz.sample import RefusedError, load
from fuzz.seeds_models import CHECKPOINT, MODEL
from pe_nnunet.errors import ConfigurationError


def _fusion(folder: Path) -> Any:
    from pe_nnunet.fusion.choice import misfit
    from pe_nnunet.fusion.stored import read_fusion
    from pe_nnunet.fusion.weights import Weights

    weights = Weights({(MODEL, "0"): (CHECKPOINT, "0" * 64)})
    misfit(folder / "fusion.json", [MODEL], weights)
    return read_fusion(folder / "fusion.json")


def _plans(folder: Path) -> Any:
    from pe_nnunet.named_classes import read_plans

    return read_plans(folder / "plans.json")


def _splits(folder: Path) -> Any:
    from pe_nnunet.dataset.split_checks import read_checked_splits

    return read_checked_splits(folder / "splits_final.json")


def _dataset(folder: Path) -> Any:
    from pe_nnunet.dataset.channels import channel_count
    from pe_nnunet.dataset.dataset_json import pe_label_values, read_dataset_json

    content = read_dataset_json(folder)
    return content, pe_label_values(content["labels"]), channel_count(content)


def _detections(folder: Path) -> Any:
    from pe_nnunet.detection.results import read_detections

    return read_detections(folder / "detections.json")


def _manifest(folder: Path) -> Any:
    from pe_nnunet.outputs.cohort_files import read_case_summary, write_summary

    summary = read_case_summary(folder / "manifest.json")
    write_summary([summary], folder)
    return summary


def _detector(folder: Path) -> Any:
    from pe_nnunet.detection.record import DetectorRecord

    try:
        record = DetectorRecord.read(folder)
    except ConfigurationError as error:  # the network itself is not there; what comes before is what is tried
        if "is not the file" in str(error):
            return None
        raise
    return record, record.split, record.brief()


_JSON: dict[str, Callable[[Path], Any]] = {
    "manifest.json": _manifest, "fusion.json": _fusion, "detections.json": _detections, "splits_final.json": _splits,
    "dataset.json": _dataset, "plans.json": _plans, "detector.json": _detector,
}  # fmt: skip


def read_json_file(folder: Path) -> Any:
    """The one file, by its own reader."""
    name = next(name for name in _JSON if (folder / name).exists())
    return name, _JSON[name](folder)


def compare_json(folder: Path, found: Any) -> str:
    """The values that were taken, as json gives them."""
    name, got = found
    try:
        values = json.loads((folder / name).read_bytes().decode())
        if name == "fusion.json":
            threshold = got.segmentation.chosen.threshold
            given = float(values["segmentation"]["settings"].get("threshold", threshold))  # or its text
            return _differ([threshold, len(got.ensemble)], [given, len(values["ensemble"])])
        if name == "plans.json":
            return _differ(got, values)
        if name == "splits_final.json":
            return _differ(got, [{k: fold[k] for k in ("train", "val")} for fold in values])
        if name == "dataset.json":
            return _differ(
                [got[0], got[2]], [values, len(values.get("channel_names") or values.get("modality") or "1")]
            )
        if name == "detections.json":
            boxes = {tuple(astuple(box)) for tube in got.emboli for box in tube.slices}
            given = {(int(box[0]), *map(float, box[1:])) for tube in values["lps_grid"]["tubes"] for box in tube}
            places = [[int(box[0]) for box in tube] for tube in values["lps_grid"]["tubes"]]
            if any(z != list(range(z[0], z[0] + len(z))) for z in places if z):
                return ""  # gaps, which are filled
            _, height, width = values["lps_grid"]["shape_zyx"]
            cut = {(z, max(y0, 0), max(x0, 0), min(y1, height), min(x1, width), c) for z, y0, x0, y1, x1, c in given}
            own = {box for box in boxes if box[0] in {other[0] for other in given}}  # others fill gaps of a tube
            return "" if own <= cut else "boxes that are not in the file"
        if name == "manifest.json":
            keys = ("case", "pe_score", "emboli", "volume_mm3")
            return _differ([got.case_id, got.pe_score, got.emboli, got.volume_mm3], [values[key] for key in keys])
        if got is not None:
            got = got[0]
            keys = ("model", "fold")
            expected = [*(values[key] for key in keys), values["raster"]["side"]]
            return _differ([got.model, got.fold, got.raster.side], expected)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise RefusedError(f"{name}: {type(error).__name__}: {error}") from error
    return ""


def _differ(got: Any, expected: Any) -> str:
    return "" if got == expected else f"{str(got)[:100]} is not {str(expected)[:100]}"


def read_model(folder: Path) -> Any:
    """A model with its weights, as prediction loads it."""
    import torch

    from pe_nnunet.inference.locate import locate_folder
    from pe_nnunet.inference.model import load_model

    return load_model(locate_folder(folder, ("0",), CHECKPOINT), torch.device("cpu"))


def compare_model(folder: Path, model: Any) -> str:
    """Every tensor's bytes lie in the file, which zipfile finds whole; all weights are numbers."""
    path = folder / "fold_0" / CHECKPOINT
    content = path.read_bytes()
    hashes: set[str] = set()
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                if (damaged := archive.testzip()) is not None:
                    raise RefusedError(f"checksum of {damaged}")
                hashes = {hashlib.sha256(archive.read(info)).hexdigest() for info in archive.infolist()}
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise RefusedError(f"zipfile: {error}") from error
    for name, tensor in model.folds[0][1].items():
        tensor = tensor.detach()
        raw = tensor.contiguous().numpy().tobytes()
        if hashes and hashlib.sha256(raw).hexdigest() not in hashes and raw not in content:
            return f"{name} has bytes that are not in the file"
        if not hashes and raw not in content:
            return f"{name} has bytes that are not in the file"
        if not np.isfinite(tensor.numpy()).all():
            return f"{name} holds values that are no numbers"
    return ""


def read_archive(folder: Path) -> Any:
    """Install a model archive, and load what came of it."""
    from pe_nnunet.inference.archive_install import install_models

    results = Path(tempfile.mkdtemp(prefix="results_", dir=folder))
    return results, install_models(folder / "model.zip", results)


def compare_archive(folder: Path, found: Any) -> str:
    """What lies in the results is what zipfile reads, and nothing lies beside them."""
    results, _ = found
    beside = [path.name for path in folder.iterdir() if path.name not in {"model.zip", results.name}]
    if beside or not results.is_relative_to(folder):
        return f"files beside the results: {beside}"
    try:
        with zipfile.ZipFile(folder / "model.zip") as archive:
            if (damaged := archive.testzip()) is not None:
                raise RefusedError(f"checksum of {damaged}")
            names = [name for name in archive.namelist() if name != "pe_nnunet_model.json"]
            expected = {name: archive.read(name) for name in names}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise RefusedError(f"zipfile: {error}") from error
    return "" if load(results) == expected else "other files than the archive's"


def read_detector(folder: Path) -> Any:
    """Run a detector on two pictures."""
    from pe_nnunet.detection.detector import load_detector

    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype="u1")
    detector = load_detector([folder])
    return pictures, detector(pictures)


def compare_detector(folder: Path, found: Any) -> str:
    """What is surest on each picture, by onnx's reference evaluator, and that all is finite."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    pictures, boxes = found
    for of_picture in boxes:
        if not (np.isfinite(of_picture.boxes).all() and np.isfinite(of_picture.confidence).all()):
            return "boxes or confidences that are no numbers"
        if len(of_picture) and not (of_picture.confidence.min() >= 0 and of_picture.confidence.max() <= 1):
            return "confidences outside 0 to 1"
    try:
        with np.errstate(all="ignore"):
            raw = ReferenceEvaluator(onnx.load(folder / "detector.onnx")).run(None, {"pictures": pictures})[0]
    except Exception as error:
        raise RefusedError(f"{type(error).__name__}: {str(error)[:150]}") from error
    for expected, of_picture in zip(raw, boxes, strict=True):
        surest = float(expected[4:].max(initial=0.0))
        got = float(of_picture.confidence.max(initial=0.0))
        if surest >= 0.05 and abs(surest - got) > 1e-3:
            return f"surest box {got}, by the reference {surest}"
    return ""
