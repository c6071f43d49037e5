from __future__ import annotations

import json

import numpy as np
import pytest
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from pe_nnunet.dataset_conversion.labels import dataset_json, embolus_ids, embolus_volumes_mm3, make_label
from pe_nnunet.errors import InputError


@pytest.mark.parametrize(
    ("kind", "mask", "ids", "ids_from"),
    [
        ("binary", [1, 1, 0, 2], [1, 1, 0, 2], "components"),
        ("binary", [9, 0, 9, 0], [1, 0, 2, 0], "components"),
        ("instances", [9, 0, 9, 4], [9, 0, 9, 4], "source"),  # two pieces of one embolus, ids 1-3 and 5-8 absent
        ("auto", [1, 0, 1, 1], [1, 0, 2, 2], "components"),
        ("auto", [1, 0, 3, 3], [1, 0, 3, 3], "source"),
        ("auto", [0, 0, 0, 0], [0, 0, 0, 0], "components"),
    ],
)
def test_embolus_ids(kind: str, mask: list[int], ids: list[int], ids_from: str) -> None:
    found, source = embolus_ids(np.array([[mask]], np.uint16), kind)  # type: ignore[arg-type]
    assert found.ravel().tolist() == ids
    assert found.dtype == np.uint16
    assert source == ids_from


def test_components_that_touch_at_a_corner_are_one() -> None:
    mask = np.zeros((3, 3, 3), np.uint8)
    mask[0, 0, 0] = mask[1, 1, 1] = 1
    assert embolus_ids(mask, "binary")[0].max() == 1


def test_ids_beyond_16_bits_are_refused() -> None:
    with pytest.raises(InputError, match="PE-CONV-007"):
        embolus_ids(np.array([[[70_000]]], np.int32), "instances")


def test_volumes_are_by_id_with_absent_ids_left_out() -> None:
    ids = np.array([[[0, 2, 2], [7, 0, 0]]], np.uint16)
    assert embolus_volumes_mm3(ids, 0.5) == {2: 1.0, 7: 0.5}
    assert embolus_volumes_mm3(np.zeros((2, 2, 2), np.uint16), 0.5) == {}


def test_pe_scheme_is_binary_whatever_the_ids() -> None:
    assert make_label("pe", np.array([0, 1, 300]), None).tolist() == [0, 1, 1]


def test_emboli_lie_over_arteries_and_beyond_them() -> None:
    label = make_label("artery-pe", np.array([0, 0, 5, 5]), np.array([0, 1, 1, 0]))
    assert label.tolist() == [0, 1, 2, 2]


def test_artery_scheme_without_arteries_is_an_error() -> None:
    with pytest.raises(ValueError, match="artery mask"):
        make_label("artery-pe", np.zeros(3, int), None)


def test_channel_order_survives_json_and_is_what_nnunet_reads() -> None:
    content = json.loads(json.dumps(dataset_json("artery-pe", name="Dataset501_PE", cases=3, converted_by="test")))
    assert list(content["labels"]) == ["background", "artery", "PE"]  # sorted, PE would come before artery
    manager = LabelManager(content["labels"], content["regions_class_order"])
    assert manager.foreground_regions == [(1, 2), 2]
    assert content["channel_names"] == {"0": "CT"}


def test_pe_scheme_has_no_regions() -> None:
    content = dataset_json("pe", name="Dataset501_PE", cases=3, converted_by="test")
    manager = LabelManager(content["labels"], content.get("regions_class_order"))
    assert not manager.has_regions
    assert manager.foreground_labels == [1]
