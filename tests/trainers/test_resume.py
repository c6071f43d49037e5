"""A training that is killed goes on to the same result, bit by bit."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint
from nnunetv2.training.logging.nnunet_logger import LocalLogger

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.registration.names import load_class
from pe_nnunet.trainers.checkpoints import LATEST, OLDER, read_checkpoint, write_checkpoint

CPU = torch.device("cpu")
RECIPE = "epochs=4 iterations=3 validation_iterations=1 checkpoint_epochs=1 learning_rate=0.01"
TIMES = ("epoch_start_timestamps", "epoch_end_timestamps")
FORK = multiprocessing.get_context("fork") if os.name != "nt" else None
pytestmark = pytest.mark.skipif(os.name == "nt", reason="no fork and no SIGKILL")


@pytest.fixture
def place(workplace, monkeypatch, tmp_path):
    """Settings of a run, and its results in a folder of their own."""
    workplace.plan("pe", "PETARUNetPlanner", ["3d_fullres"], narrow=True)
    monkeypatch.setenv("PE_NNUNET_RECIPE", RECIPE)
    monkeypatch.setattr(LocalLogger, "plot_progress_png", lambda *_: None)  # seconds each

    def choose(name, workers):
        monkeypatch.setenv("nnUNet_results", str(tmp_path / name))
        monkeypatch.setenv("nnUNet_n_proc_DA", str(workers))

    choose.preprocessed = workplace.preprocessed("pe")
    return choose


def trainer_here(place, resume):
    plans = json.loads((place.preprocessed / "PETARUNetPlans.json").read_text()) | {"continue_training": resume}
    dataset = json.loads((place.preprocessed / "dataset.json").read_text())
    trainer = load_class("PETARUNetTrainer")(plans, "3d_fullres", 0, dataset, CPU)
    maybe_load_checkpoint(trainer, resume, False)
    return trainer


def train(place, resume=False):
    trainer = trainer_here(place, resume)
    trainer.run_training()
    return Path(trainer.output_folder)


def train_until(place, cut, end, told=None):
    """Train in another process, which gets a signal as soon as a step is reached; returns its exit code.

    Its workers' ids are written to `told`; they must have ended by themselves soon after it.
    """

    def work():
        os.setpgrp()
        trainer = trainer_here(place, False)
        step, steps = trainer.train_step, []

        def counted(batch):
            steps.append(step(batch))
            if len(steps) == cut:
                workers = [*trainer.dataloader_train._processes, *trainer.dataloader_val._processes] if told else []
                if told:
                    told.write_text(" ".join(str(worker.pid) for worker in workers))
                end(os.getpid())
            return steps[-1]

        trainer.train_step = counted
        trainer.run_training()

    process = FORK.Process(target=work)
    process.start()
    until = time.monotonic() + 100
    while process.exitcode is None and time.monotonic() < until:  # `join` would wait for orphaned workers too
        time.sleep(0.02)
    try:
        while told and any(alive(int(worker)) for worker in told.read_text().split()):
            assert time.monotonic() < until, "workers outlived their training"
            time.sleep(0.05)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.exitcode


def alive(process):
    """Whether a process runs; one that has ended and that nobody has asked after does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def assert_same(first, second, path=""):
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), path
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), path
        for key in first:
            if key not in TIMES:
                assert_same(first[key], second[key], f"{path}/{key}")
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second), path
        for index, pair in enumerate(zip(first, second, strict=True)):
            assert_same(*pair, f"{path}/{index}")
    else:
        assert first == second, path


def final(folder):
    return torch.load(folder / "checkpoint_final.pth", weights_only=True)  # plain types and tensors alone


def test_killed_training_ends_as_the_unbroken_one(place, monkeypatch):
    monkeypatch.setenv("PE_NNUNET_RECIPE", f"{RECIPE} little_start_epochs=3 little_start=patches")
    place("unbroken", 0)
    unbroken = train(place)
    expected = final(unbroken)
    assert expected["current_epoch"] == 4
    assert expected["pe_average_updates"] == 12

    # killed in the first epoch, where there is no checkpoint, and in the third; asked to stop in the fourth
    for cut, number, code in ((2, signal.SIGKILL, -9), (8, signal.SIGKILL, -9), (11, signal.SIGTERM, 0)):
        place(f"cut_{cut}", 0)
        assert train_until(place, cut, lambda process, number=number: os.kill(process, number)) == code
        cut_off = train(place, resume=True)
        assert_same(expected, final(cut_off))
        assert (cut_off / "history.csv").read_text() == (unbroken / "history.csv").read_text()
        best = "checkpoint_best.pth"
        assert_same(torch.load(unbroken / best), torch.load(cut_off / best))
        assert not [file.name for file in cut_off.iterdir() if "latest" in file.name]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no /proc to look for workers in")
def test_with_one_worker_as_well_and_no_worker_is_left_behind(place, tmp_path, monkeypatch):
    monkeypatch.setenv(
        "PE_NNUNET_RECIPE", f"{RECIPE} epochs=3 little_start_epochs=2 little_start=cases little_start_cases=1"
    )
    place("unbroken", 1)
    expected = final(train(place))
    for cut, number, code in ((5, signal.SIGKILL, -9), (7, signal.SIGTERM, 0)):
        place(f"cut_{cut}", 1)
        told = tmp_path / f"workers_{cut}"
        assert train_until(place, cut, lambda process, number=number: os.kill(process, number), told) == code
        assert len(told.read_text().split()) == 2
        assert_same(expected, final(train(place, resume=True)))


def test_damaged_latest_gives_way_to_the_older_copy(tmp_path):
    for number in range(2):
        write_checkpoint(tmp_path / LATEST, {"pe_recipe": {}, "number": number}, tmp_path / OLDER)
    assert read_checkpoint(tmp_path / LATEST, CPU)["number"] == 1
    (tmp_path / LATEST).write_bytes((tmp_path / LATEST).read_bytes()[:100])
    assert read_checkpoint(tmp_path / LATEST, CPU)["number"] == 0
    (tmp_path / OLDER).unlink()
    with pytest.raises(ConfigurationError, match="PE-TRAIN-005"):
        read_checkpoint(tmp_path / LATEST, CPU)


def test_no_moment_of_a_write_leaves_nothing_to_read(tmp_path):
    """Killed again and again while writing."""
    write_checkpoint(tmp_path / LATEST, {"pe_recipe": {}, "weights": torch.zeros(1000)}, tmp_path / OLDER)

    def work():
        while True:
            write_checkpoint(tmp_path / LATEST, {"pe_recipe": {}, "weights": torch.ones(1000)}, tmp_path / OLDER)

    for attempt in range(10):
        process = FORK.Process(target=work)
        process.start()
        time.sleep(0.02 + 0.007 * attempt)
        process.kill()
        process.join()
        assert torch.load(tmp_path / LATEST, weights_only=True)["weights"].shape == (1000,)


def test_stop_file_and_patience_end_training_as_usual(place, monkeypatch):
    monkeypatch.setenv("PE_NNUNET_RECIPE", f"{RECIPE} epochs=9 patience=2 learning_rate=0")
    place("no_gain", 0)
    folder = train(place)
    scores = final(folder)["logging"]["ema_fg_dice"]
    assert len(scores) == 3 + scores.index(max(scores))
    assert len(scores) < 9
    recipe = json.loads((folder / "debug.json").read_text())["recipe"]
    assert (recipe["patience"], recipe["learning_rate"]) == (2, 0.0)

    monkeypatch.setenv("PE_NNUNET_RECIPE", RECIPE)
    place("stopped_by_file", 0)
    trainer = trainer_here(place, False)
    (Path(trainer.output_folder) / "stop").touch()
    trainer.run_training()
    assert final(Path(trainer.output_folder))["current_epoch"] == 1
    assert not (Path(trainer.output_folder) / "stop").exists()


def test_a_loss_that_is_not_finite_ends_it_before_the_weights_change(place):
    place("not_finite", 0)
    trainer = trainer_here(place, False)
    trainer.initialize()
    before = {name: weight.clone() for name, weight in trainer.bare_network().state_dict().items()}
    trainer.loss = lambda outputs, _targets: outputs[0].float().sum() * float("nan")
    with pytest.raises(ConfigurationError, match="PE-TRAIN-031: the loss is nan"):
        trainer.run_training()
    assert_same(before, dict(trainer.bare_network().state_dict()))
    assert not list(Path(trainer.output_folder).glob("checkpoint_*"))
