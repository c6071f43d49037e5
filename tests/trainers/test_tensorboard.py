"""TensorBoard gets what nnU-Net's logger gets, and a training goes on where it is not installed."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from pe_nnunet.trainers.history import TENSORBOARD_MISSING, TensorBoardLogger


def test_numbers_are_written_once_an_epoch(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for first in (0, 2):  # the second run goes on from the third epoch
        logger = TensorBoardLogger(tmp_path, first)
        for epoch in range(first, first + 3):
            logger.log("recall_small", np.float32(epoch / 10), epoch)
            logger.log("dice_per_class_or_region", [0.1, 0.2], epoch)
        logger.log_summary("final", 0.5)
        logger.update_config({"epochs": 3})
        logger.flush()
    read = accumulator.EventAccumulator(str(tmp_path))
    read.Reload()
    assert [event.step for event in read.Scalars("recall_small")] == [0, 1, 2, 3, 4]
    assert read.Scalars("recall_small")[4].value == pytest.approx(0.4)
    assert set(read.Tags()["scalars"]) == {"recall_small", "final"}


def test_missing_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError):
        TensorBoardLogger(tmp_path, 0)
    assert "pip install 'pe-nnunet[tensorboard]'" in TENSORBOARD_MISSING
