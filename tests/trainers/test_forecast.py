"""How long a training will take is said once, after its first steps."""

from __future__ import annotations

from types import SimpleNamespace

from pe_nnunet.trainers.forecast import LAST, Forecast


def test_it_is_said_once_from_the_steps_that_were_measured(monkeypatch):
    now, said = [0.0], []
    monkeypatch.setattr("pe_nnunet.trainers.forecast.time.monotonic", lambda: now[0])
    trainer = SimpleNamespace(
        num_iterations_per_epoch=80,
        num_val_iterations_per_epoch=50,
        num_epochs=16,
        current_epoch=6,
        print_to_log_file=said.append,
    )
    forecast = Forecast()
    for step in range(3 * LAST):
        now[0] += 30 if step < 3 else 2  # the first ones prepare
        forecast.on_train_batch_end(trainer)
    assert said == [
        "2 s a step: about 3.3 minutes an epoch of 80 steps, 33 minutes for 10 epochs, and then the validation of "
        "whole scans"
    ]


def test_a_training_of_few_steps_says_nothing():
    forecast = Forecast()
    for _ in range(LAST - 1):
        forecast.on_train_batch_end(SimpleNamespace())
