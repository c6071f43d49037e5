from __future__ import annotations

import numpy as np
import pytest

from pe_nnunet.dataset_conversion.checks import clot_share, flip_note

SPACING_MM = (2.0, 1.0, 1.0)


@pytest.fixture
def vessel() -> tuple[np.ndarray, np.ndarray]:
    """An artery in the upper half alone, with a clot of 3x4x4 voxels within it, in soft tissue."""
    hu = np.full((24, 40, 40), 40, np.int16)
    hu[14:22, 12:28, 12:28] = 320
    label = np.zeros(hu.shape, np.uint8)
    label[17:20, 18:22, 18:22] = 1
    hu[label > 0] = 55
    return hu, label


def test_a_label_on_its_clot_raises_no_doubt(vessel: tuple[np.ndarray, np.ndarray]) -> None:
    hu, label = vessel
    assert clot_share(hu, np.argwhere(label), SPACING_MM) == 1
    assert flip_note(hu, label, SPACING_MM) == []


def test_a_label_upside_down_is_noted(vessel: tuple[np.ndarray, np.ndarray]) -> None:
    hu, label = vessel
    (note,) = flip_note(hu, label[::-1], SPACING_MM)
    assert (note.code, note.kind) == ("PE-CONV-028", "warning")
    assert "0% of the label looks like clot in contrast, 100% with" in note.message


def test_a_label_beside_its_clot_is_no_flip(vessel: tuple[np.ndarray, np.ndarray]) -> None:
    hu, label = vessel
    assert flip_note(hu, np.roll(label, 9, axis=1), SPACING_MM) == []


def test_a_clot_that_fills_its_artery_is_no_flip(vessel: tuple[np.ndarray, np.ndarray]) -> None:
    hu, label = vessel
    label = label | (hu > 200).astype(np.uint8)
    assert flip_note(np.where(label > 0, 60, hu), label, SPACING_MM) == []


def test_an_empty_label_is_none(vessel: tuple[np.ndarray, np.ndarray]) -> None:
    assert flip_note(vessel[0], np.zeros_like(vessel[1]), SPACING_MM) == []
