"""Small valid JSON files, checkpoints, model archives and detectors."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import zipfile
from dataclasses import asdict
from typing import Any

import numpy as np

from fuzz.sample import Files

MODEL = "nnUNetTrainer__nnUNetPlans__3d_fullres"
DATASET = "Dataset501_PE"
CHECKPOINT = "checkpoint_final.pth"


def _json(values: Any) -> bytes:
    return json.dumps(values).encode()


@functools.cache
def plans() -> bytes:
    """Plans of a network of two stages."""
    kinds = ("conv", "Conv3d"), ("instancenorm", "InstanceNorm3d")
    conv, norm = (f"torch.nn.modules.{module}.{name}" for module, name in kinds)
    resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": 2, "features_per_stage": [2, 4], "conv_op": conv, "kernel_sizes": [[3] * 3] * 2,
            "strides": [[1] * 3, [2] * 3], "n_conv_per_stage": [1, 1], "n_conv_per_stage_decoder": [1],
            "conv_bias": True,
            "norm_op": norm, "norm_op_kwargs": {"eps": 1e-5, "affine": True}, "dropout_op": None,
            "dropout_op_kwargs": None, "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }  # fmt: skip
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres", "preprocessor_name": "DefaultPreprocessor", "batch_size": 2,
        "patch_size": [16, 16, 16], "median_image_size_in_voxels": [64, 64, 64], "spacing": [4.0, 4.0, 4.0],
        "normalization_schemes": ["CTNormalization"], "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape", "resampling_fn_data_kwargs": resampling,
        "resampling_fn_seg": "resample_data_or_seg_to_shape", "resampling_fn_probabilities_kwargs": resampling,
        "resampling_fn_seg_kwargs": {**resampling, "is_seg": True},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "architecture": architecture, "batch_dice": False,
    }  # fmt: skip
    intensities = {
        "max": 1e3,
        "mean": 50.0,
        "median": 60.0,
        "min": -1e3,
        "percentile_00_5": -900.0,
        "percentile_99_5": 800.0,
        "std": 300.0,
    }
    return _json({
        "dataset_name": DATASET, "plans_name": "nnUNetPlans", "original_median_spacing_after_transp": [4.0, 4.0, 4.0],
        "original_median_shape_after_transp": [64, 64, 64], "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2], "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager", "foreground_intensity_properties_per_channel": {"0": intensities},
        "configurations": {"3d_fullres": configuration},
    })  # fmt: skip


def dataset_json() -> bytes:
    """Of a model."""
    return _json(
        {"channel_names": {"0": "CT"}, "labels": {"background": 0, "PE": 1}, "numTraining": 4, "file_ending": ".nii.gz"}
    )


def fusion_json() -> bytes:
    """Calibrated settings of the model."""
    from pe_nnunet.fusion.settings import FusionSettings

    point = {"settings": asdict(FusionSettings()), "budgets": [{"target_fp": 1.0, "settings": {"threshold": 0.7}}]}
    chosen = {"scans": ["a"], "folds": ["0"], "detector": None}
    chosen["models"] = [{"model": MODEL, "dataset": DATASET, "fold": "0", "checkpoint": CHECKPOINT, "sha256": "0" * 64}]
    return _json(
        {
            "format": 2,
            "segmentation": point,
            "fusion": point,
            "boxes": {"confidence": 0.3},
            "ensemble": [MODEL],
            "chosen_on": chosen,
        }
    )


def detections_json() -> bytes:
    """Of a scan with two emboli."""
    tube = [[3, 2.0, 3.0, 8.5, 9.0, 0.5], [4, 2.0, 3.0, 8.0, 9.0, 0.75]]
    grid = {"shape_zyx": [10, 20, 30], "lungs": [[0, 1, 2], [9, 18, 28]], "tubes": [tube, tube[:1]]}
    return _json({"case": "a", "lungs": None, "emboli": 2, "lps_grid": grid})


def manifest_json() -> bytes:
    """Of a predicted case."""
    note = {"code": "PE-DCM-002", "kind": "repaired", "message": "doubled"}
    return _json({
        "case": "a", "notice": "n", "pe_score": 0.5, "emboli": 1, "volume_mm3": 31.5, "volumes_mm3": [31.5],
        "findings": [],
        "candidates": 1, "seconds": 1.5, "timings_s": {"read": 1.0}, "notes": [note], "files": {"emboli": "a.nii.gz"},
        "files_sha256": {"emboli": "0" * 64}, "asked_for": ["emboli"],
        "source": {"path": "a", "names": "plain", "sha256": "0" * 64},
    })  # fmt: skip


def splits_json() -> bytes:
    """Of five cases in two folds."""
    return _json([{"train": ["a", "b", "c"], "val": ["d", "e"]}, {"train": ["d", "e"], "val": ["a", "b", "c"]}])


@functools.cache
def detector_onnx() -> bytes:
    """A network from pictures (n, y, x, 3) to (n, 6, points)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    values = {
        "w": rng.normal(0, 0.1, (6, 3, 8, 8)).astype("f4"),
        "b": np.ones(6, "f4"),
        "shape": np.array([0, 6, -1], "i8"),
        "scale": np.array(255, "f4"),
    }
    weights = [numpy_helper.from_array(value, name) for name, value in values.items()]
    nodes = [
        helper.make_node("Cast", ["pictures"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "scale"], ["unit"]),
        helper.make_node("Transpose", ["unit"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "w", "b"], ["conv"], strides=[8, 8]),
        helper.make_node("Sigmoid", ["conv"], ["act"]),
        helper.make_node("Reshape", ["act", "shape"], ["boxes"]),
    ]
    given = helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["n", "y", "x", 3])
    found = helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", 6, "points"])
    graph = helper.make_graph(nodes, "g", [given], [found], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def detector_json(onnx_bytes: bytes) -> bytes:
    """The record of a detector with this file."""
    return _json({
        "format": 1, "classes": ["lung", "embolus"], "windows_hu": [[700.0, 100.0], [350.0, 40.0], [1500.0, -600.0]],
        "model": "yolo11n", "raster": {"pixel_mm": 1.2, "side": 64}, "dataset": DATASET, "fold": "0",
        "sha256": {"detector.onnx": hashlib.sha256(onnx_bytes).hexdigest()},
        "facts": {"cases": {"train": ["a"], "val": ["b"]}},
    })  # fmt: skip


def detector_seeds() -> list[Files]:
    """A detector's folder."""
    content = detector_onnx()
    return [{"detector.onnx": content, "detector.json": detector_json(content)}]


@functools.cache
def checkpoint(*, legacy: bool = False, metrics: bool = False) -> bytes:
    """What a trainer saves, with random weights."""
    import torch

    network = build_network(json.loads(plans()))
    rng = np.random.default_rng(1)
    weights = {
        name: torch.from_numpy(rng.normal(0, 0.1, tuple(t.shape)).astype("f4"))
        for name, t in network.state_dict().items()
    }
    content: dict[str, Any] = {
        "network_weights": weights, "trainer_name": "nnUNetTrainer", "init_args": {"configuration": "3d_fullres"},
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }  # fmt: skip
    if metrics:
        content["logging"] = {"ema_fg_dice": [np.float64(0.5), np.float32(0.25)]}
        content["current_epoch"] = 3
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def build_network(values: dict[str, Any]) -> Any:
    """The network of the plans."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    parts = values["configurations"]["3d_fullres"]["architecture"]
    return get_network_from_plans(
        parts["network_class_name"], parts["arch_kwargs"], parts["_kw_requires_import"], 1, 2, deep_supervision=False
    )


def checkpoint_seeds() -> list[Files]:
    """Model folders with checkpoints of both of torch's formats."""
    shared = {"plans.json": plans(), "dataset.json": dataset_json()}
    kinds = [checkpoint(), checkpoint(metrics=True), checkpoint(legacy=True)]
    return [{**shared, f"fold_0/{CHECKPOINT}": content} for content in kinds]


def json_seeds() -> list[Files]:
    """One file of each kind; what their readers import is imported here, for it is no part of the time of a case."""
    import pe_nnunet.inference.model
    import pe_nnunet.outputs.cohort_files  # noqa: F401

    content = detector_onnx()
    return [
        {"manifest.json": manifest_json()}, {"fusion.json": fusion_json()}, {"detections.json": detections_json()},
        {"splits_final.json": splits_json()}, {"dataset.json": dataset_json()}, {"plans.json": plans()},
        {"detector.json": detector_json(content)},
    ]  # fmt: skip


def archive_members() -> Files:
    """The files of an archive but its index."""
    content = detector_onnx()
    model, detector = f"{DATASET}/{MODEL}", f"{DATASET}/PEDetector__x/fold_0"
    return {
        f"{model}/plans.json": plans(), f"{model}/dataset.json": dataset_json(), f"{model}/fusion.json": fusion_json(),
        f"{model}/fold_0/{CHECKPOINT}": checkpoint(),
        f"{detector}/detector.json": detector_json(content), f"{detector}/detector.onnx": content,
    }  # fmt: skip


def indexed(members: Files) -> bytes:
    """The index of an archive."""
    files = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in members.items()
    }
    return _json({"format": 1, "versions": {}, "files": files})


def packed(members: list[tuple[str, bytes]], *, compress: bool = True) -> bytes:
    """A zip file of these members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content)
    return stream.getvalue()


def archive_seeds() -> list[Files]:
    """A model with its detector, packed."""
    members = archive_members()
    every = [("pe_nnunet_model.json", indexed(members)), *members.items()]
    return [{"model.zip": packed(every)}, {"model.zip": packed(every, compress=False)}]
