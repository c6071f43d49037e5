"""Trainings are as long as the minutes allow, and what is said of the time adds up."""

from dataclasses import replace
from pathlib import Path

import pytest

from pe_nnunet.demo import DemoSettings
from pe_nnunet.demo.chain import seconds_left
from pe_nnunet.demo.measure import Speed, seconds_of
from pe_nnunet.demo.schedule import (
    DETECTOR_EPOCHS,
    REFERENCE_SCAN_S,
    STEPS,
    fit,
    read_schedule,
    with_schedule,
    write_schedule,
)
from pe_nnunet.demo.steps import Steps

SETTINGS = DemoSettings(Path("demo"))
LIKE_THE_REFERENCE = Speed(REFERENCE_SCAN_S, 0.2, 0.25)


def fitted(speed=LIKE_THE_REFERENCE, **changes):
    return fit(replace(SETTINGS, **changes), speed, 40, 10)


def total_s(schedule):
    """What is said before the first step."""
    steps = Steps(with_schedule(SETTINGS, schedule), Path("demo"), schedule.seconds)
    groups = [*steps.learning(), *((step,) for step in steps.scoring())]
    return schedule.seconds["report"] + seconds_left(groups, Path("demo"))


def test_a_run_that_was_timed_is_foretold_to_a_fifth():
    timed_s = 36.9 + 12.0 + 19.7 + 32.9 + 285.6 + 20.4 + 44.7 + 7.0 + 4.4  # stage by stage, on two AVX2 cores
    recorded = {"epochs": 10, "detector_epochs": 10, "recipe": {"iterations": "100"}}
    schedule = fit(replace(SETTINGS, **recorded), Speed(1.89, 0.184, 0.3), 32, 8)
    assert total_s(schedule) == pytest.approx(timed_s, rel=0.2)


def test_what_was_spent_before_shortens_the_trainings():
    speed, of = LIKE_THE_REFERENCE, (SETTINGS, LIKE_THE_REFERENCE, 32, 8)
    assert total_s(fit(*of)) - total_s(fit(*of, 30.0)) == pytest.approx(30, abs=5 * speed.step_s * 1.1)


def test_the_chain_keeps_to_its_minutes_where_it_can():
    schedule = fitted()
    steps = schedule.epochs * schedule.iterations
    assert STEPS[0] < steps < STEPS[1]
    assert total_s(schedule) == pytest.approx(60 * SETTINGS.minutes, rel=0.1)
    longer = fitted(minutes=9.5)
    assert total_s(longer) == pytest.approx(570, rel=0.1)
    assert longer.iterations > schedule.iterations


@pytest.mark.parametrize(("factor", "limit"), [(20, 0), (0.01, 1)])
def test_trainings_are_neither_too_short_for_the_goals_nor_longer_than_needed(factor, limit):
    schedule = fitted(Speed(REFERENCE_SCAN_S * factor, 0.2 * factor, 0.25 * factor))
    assert schedule.epochs * schedule.iterations == STEPS[limit]
    assert schedule.detector_epochs == DETECTOR_EPOCHS[limit]
    assert (total_s(schedule) > 60 * SETTINGS.minutes) == (factor > 1)  # and that is what is said


def test_what_was_asked_for_is_kept():
    schedule = fitted(epochs=3, detector_epochs=2, recipe={"iterations": "7"})
    assert (schedule.epochs, schedule.iterations, schedule.detector_epochs) == (3, 7, 2)
    planned = with_schedule(SETTINGS, schedule)
    assert (planned.epochs, planned.recipe["iterations"], planned.detector.epochs) == (3, "7", 2)


def test_a_run_that_goes_on_has_the_schedule_of_the_first_unless_settings_differ(tmp_path):
    path = tmp_path / "schedule.json"
    assert read_schedule(path, SETTINGS) is None
    schedule = fitted()
    write_schedule(path, SETTINGS, schedule)
    assert read_schedule(path, SETTINGS) == schedule
    assert read_schedule(path, replace(SETTINGS, minutes=9.0)) is None
    path.write_text("{")
    assert read_schedule(path, SETTINGS) is None


def test_the_first_step_is_not_counted():
    calls = []
    seconds = seconds_of(lambda: calls.append(1), least_s=0.0)
    assert len(calls) == 5
    assert seconds < 0.1
