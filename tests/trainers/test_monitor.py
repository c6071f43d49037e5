"""Counting emboli, the epochs' table, and what ends a training."""

import csv
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from pe_nnunet.trainers.history import write_history
from pe_nnunet.trainers.monitor import collapse_warning, count_emboli, summarise
from pe_nnunet.trainers.stopping import StopSignal, epochs_without_gain


def patch():
    """An embolus of 8 mm3, touched by the prediction at one voxel, and one of 1000 mm3, missed."""
    truth = np.zeros((2, 16, 16, 16), bool)
    truth[0, 1:3, 1:3, 1:3] = True
    truth[1, 2:12, 2:12, 2:12] = True
    predicted = np.zeros_like(truth)
    predicted[0, 2, 2, 2:6] = True
    return predicted, truth


def test_recall_by_size():
    predicted, truth = patch()
    row = summarise([count_emboli(predicted, truth, 1.0), count_emboli(predicted[:1], truth[:1], 1.0)])
    assert (row["recall_small"], row["recall_medium"], row["recall_large"]) == (1.0, None, 0.0)
    assert row["predicted_share"] == pytest.approx((4 / 8192 + 4 / 4096) / 2)
    assert summarise([count_emboli(predicted, truth, 20.0)])["recall_medium"] == 1.0


def test_2d_patches():
    predicted, truth = patch()
    counts = count_emboli(predicted[:, 2], truth[:, 2], 1.0)
    assert counts["emboli"].sum() == 2
    assert counts["found"].sum() == 1


def rows(*predicted, true=0.001):
    return [{"predicted_share": share, "true_share": true} for share in predicted]


@pytest.mark.parametrize(
    ("history", "warned"),
    [
        (rows(0.0, 0.0), False),
        (rows(*[0.0] * 10), True),
        (rows(0.0, 0.001, 0.0), True),
        (rows(0.0, 0.001), False),
        (rows(0.001, 0.0, true=0.0), False),
        (rows(0.9), True),
        (rows(0.9, true=0.8), False),
    ],
)
def test_collapse(history, warned):
    assert (collapse_warning(history) is not None) == warned


def test_table(tmp_path):
    write_history(tmp_path / "history.csv", [{"epoch": 0, "recall": None}, {"epoch": 1, "recall": 0.5}])
    with (tmp_path / "history.csv").open() as file:
        assert list(csv.DictReader(file)) == [{"epoch": "0", "recall": ""}, {"epoch": "1", "recall": "0.5"}]


@pytest.mark.parametrize(("scores", "epochs"), [([], 0), ([0.1], 0), ([0.1, 0.2], 0), ([0.2, 0.1, 0.2], 2)])
def test_epochs_without_gain(scores, epochs):
    assert epochs_without_gain(scores) == epochs


@pytest.mark.skipif(os.name == "nt", reason="SIGTERM ends the process there")
def test_signal_is_noted_and_the_old_handler_comes_back():
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.received
    assert signal.getsignal(signal.SIGTERM) == before
    with pytest.raises(SystemExit) as left, StopSignal(at_once=True):
        os.kill(os.getpid(), signal.SIGTERM)
    assert left.value.code == 0


WAITING_WORKER = """
import multiprocessing, os, signal, time
from pe_nnunet.trainers import stopping
if __name__ == "__main__":
    stopping.GRACE_S = 0.5
    with stopping.StopSignal(at_once=True), multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(abs, (1,))  # from now on it holds the lock of the queue of tasks
        time.sleep(0.2)
        os.killpg(0, signal.SIGTERM)
        time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGTERM ends the process there")
def test_a_signal_to_all_processes_ends_a_validation_whose_worker_died_of_it(tmp_path):
    script = tmp_path / "validates.py"
    script.write_text(WAITING_WORKER)
    done = subprocess.run([sys.executable, str(script)], start_new_session=True, timeout=60, check=False)
    assert done.returncode == 0
