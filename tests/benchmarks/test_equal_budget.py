"""The comparison at equal wall time: how many steps fit, and what its table makes of known runs."""

from __future__ import annotations

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_the_steps_fill_the_time_and_leave_room_for_start_and_epoch_ends():
    from budget.timing import EPOCHS, REHEARSAL, VALIDATION_SHARE, steps_an_epoch

    start, step, check, rest = 7.0, 0.5, 0.25, 2.0
    clock, ends = start, {"train_step": [], "validation_step": [], "on_epoch_end": []}
    for _ in range(REHEARSAL["epochs"]):
        for name, seconds, count in (
            ("train_step", step, REHEARSAL["iterations"]),
            ("validation_step", check, REHEARSAL["validation_iterations"]),
        ):
            for _ in range(count):
                clock += seconds
                ends[name].append(clock)
        clock += rest
        ends["on_epoch_end"].append(clock)
    steps = steps_an_epoch({"ends": ends}, 600)
    assert steps["iterations"] == int(((600 - start) / EPOCHS - rest) / (step + VALIDATION_SHARE * check))
    took = start + EPOCHS * (steps["iterations"] * step + steps["validation_iterations"] * check + rest)
    assert took == pytest.approx(600, rel=0.02)


def run(arm, sensitivity, seed=0, dice=0.5):
    """Ten scans of ten emboli; so many of each scan's are found, and one false marker scores below all of them."""
    found = round(10 * sensitivity)
    case = {"dice": dice, "emboli": [[2000.0, 0.9]] * found + [[2000.0, None]] * (10 - found), "false": [0.3]}
    facts = {"train_seconds": 60.0, "steps": "100", "memory_gb": 1.0, "scan_seconds": 2.0, "curve": []}
    cases = {f"scan_{number}": case for number in range(10)}
    return {"cohort": "c", "split": 0, "minutes": 1.0, "arm": arm, "seed": seed, "cases": cases, **facts}


def test_the_table_gives_each_arm_its_difference_from_the_reference_and_names_what_was_not_run():
    from budget.table import tables

    runs = [run("stock, own plans", 0.3), run("PETARUNet", 0.5), run("PETARUNet", 0.7, seed=1, dice=0.7)]
    rows = {line.split(" | ")[0].removeprefix("| "): line.split(" | ") for line in tables(runs) if " | " in line}
    assert rows["PETARUNet"][1:7] == ["10, 2", "60 [60, 60]", *["60 [60, 60]"] * 4]
    assert rows["PETARUNet"][7:10] == ["-", "60", "-"]  # by size: all emboli have 2 ml
    assert rows["PETARUNet"][10:12] == ["+30 [+30, +30]", "+10 [+10, +10]"]
    assert rows["stock, own plans"][10:12] == ["", ""]
    assert rows["stock, PETARUNetPlans"][1] == "not run |"
