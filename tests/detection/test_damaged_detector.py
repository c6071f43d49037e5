"""Detectors that say what is no boxes: an error, and not "no emboli"."""

import hashlib
import json

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from pe_nnunet.detection.detector import load_detector
from pe_nnunet.errors import ConfigurationError

PICTURES = np.zeros((2, 64, 64, 3), np.uint8)


@pytest.fixture
def detector(tmp_path):
    """A folder with a network that gives the same numbers for every picture."""

    def make(found, given=TensorProto.UINT8, output="boxes"):
        values = np.asarray(found, np.float32)[None]
        nodes = [
            helper.make_node("ReduceMax", ["float"], ["zero"], axes=[1, 2, 3], keepdims=1),
            helper.make_node("Squeeze", ["zero"], ["n11"], axes=[3]),
            helper.make_node("Mul", ["n11", "none"], ["null"]),
            helper.make_node("Add", ["null", "values"], [output]),
        ]
        cast = helper.make_node("Cast", ["pictures"], ["float"], to=TensorProto.FLOAT)
        graph = helper.make_graph(
            [cast, *nodes],
            "g",
            [helper.make_tensor_value_info("pictures", given, ["n", "y", "x", 3])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(values, "values"), numpy_helper.from_array(np.zeros(1, np.float32), "none")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
        content = model.SerializeToString()
        (tmp_path / "detector.onnx").write_bytes(content)
        record = {
            "format": 1, "classes": ["lung", "embolus"], "model": "yolo11n", "dataset": "D", "fold": "0", "facts": {},
            "windows_hu": [[700, 100], [350, 40], [1500, -600]], "raster": {"pixel_mm": 1.2, "side": 64},
            "sha256": {"detector.onnx": hashlib.sha256(content).hexdigest()},
        }  # fmt: skip
        (tmp_path / "detector.json").write_text(json.dumps(record))
        return tmp_path

    return make


GOOD = [[20, 40], [20, 40], [8, 8], [8, 8], [0.1, 0.2], [0.9, 0.7]]  # two points: x, y, width, height, lung, embolus


def test_boxes_of_a_whole_one(detector):
    found = load_detector(detector(GOOD))(PICTURES)
    assert [list(picture.confidence) for picture in found] == [pytest.approx([0.9, 0.7])] * 2
    np.testing.assert_allclose(found[0].boxes[0], [16, 16, 24, 24])


def with_value(row, value):
    changed = np.array(GOOD, np.float32)
    changed[row, 0] = value
    return changed


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"found": with_value(5, np.nan)}, "weights that are NaN or infinite"),  # they are in the file itself
        ({"found": with_value(0, np.inf)}, "weights that are NaN or infinite"),
        ({"found": with_value(5, 7.0)}, "no confidences"),
        ({"found": with_value(4, -3.0)}, "no confidences"),
        ({"found": GOOD[:5]}, r"shape \(2, 5, 2\)"),
        ({"found": GOOD, "given": TensorProto.FLOAT}, "Unexpected input data type"),
        ({"found": GOOD, "output": "other"}, "cannot be run"),
    ],
)
def test_what_is_no_boxes(detector, settings, error):
    folder = detector(**settings)
    with pytest.raises(ConfigurationError, match=rf"PE-DET-006.*{error}"):
        load_detector(folder)(PICTURES)


@pytest.mark.parametrize("cases", ["=1+1", [], 3, None])
def test_a_record_whose_cases_are_none(detector, cases):
    folder = detector(GOOD)
    record = json.loads((folder / "detector.json").read_text())
    record["facts"]["cases"] = cases
    (folder / "detector.json").write_text(json.dumps(record))
    assert load_detector(folder).records[0].split.train == {}
