"""Ignored voxels count neither way."""

from __future__ import annotations

import numpy as np
import pytest

from pe_nnunet.errors import InputError
from pe_nnunet.metrics.instances import LabelKind, ignored_voxels, require_known_values, to_instances

CLASSES = np.array([[[0, 1, 2, 2, 3, 3, 0, 2]]], np.uint8)  # artery 1, PE 2, ignored 3


@pytest.mark.parametrize(
    ("kind", "ids"),
    [
        (LabelKind("class", (2,), (3,)), [0, 0, 1, 1, 0, 0, 0, 2]),
        (LabelKind("class", (1, 2), (3,)), [0, 1, 1, 1, 0, 0, 0, 2]),
        (LabelKind("binary", ignored=(3,)), [0, 1, 1, 1, 0, 0, 0, 2]),
        (LabelKind("instances", ignored=(3,)), [0, 1, 2, 2, 0, 0, 0, 2]),
        (LabelKind("auto", ignored=(2, 3)), [0, 1, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_an_ignored_value_is_no_embolus_whatever_the_kind(kind: LabelKind, ids: list[int]) -> None:
    assert to_instances(CLASSES, kind)[0, 0].tolist() == ids
    ignored = ignored_voxels(CLASSES, kind)
    assert ignored is not None
    assert ignored[0, 0].tolist() == [value in kind.ignored for value in CLASSES[0, 0]]
    assert ignored_voxels(CLASSES, LabelKind(kind.kind, kind.embolus_values)) is None
    assert ignored_voxels(CLASSES * 0, kind) is None


@pytest.mark.parametrize(("known", "unknown"), [((0, 1, 2), "3"), ((0, 1, 3), "2"), ((0, 1, 2, 3), ""), ((), "")])
def test_values_that_nobody_named(known: tuple[int, ...], unknown: str) -> None:
    kind = LabelKind("class", (1,), known=known)
    if not unknown:
        require_known_values(CLASSES, kind, "the label")
        return
    with pytest.raises(InputError, match=f"PE-EVAL-016: the label holds {unknown}, expected"):
        require_known_values(CLASSES, kind, "the label")


def test_several_classes_on_the_command_line() -> None:
    assert LabelKind.parse("class:3,2") == LabelKind("class", (2, 3))
    assert str(LabelKind.parse("class:3,2")) == "class:2,3"
