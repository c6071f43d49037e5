"""The comparison at equal wall time: how many steps fit, and what its tables, goals and page make of known runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
STOCK, TAR = "stock, own plans", "stock, PETARUNetPlans"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.parametrize(("step", "least"), [(0.5, 0.98), (2.4, 0.98), (9.0, 0.9)])
def test_the_steps_fill_the_time_and_leave_room_for_start_and_epoch_ends(step, least):
    from budget.timing import EPOCHS, REHEARSAL, steps_that_fit

    start, check, rest = 7.0, 0.25, 2.0
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
    steps = steps_that_fit({"ends": ends}, 600)
    assert steps["epochs"] in EPOCHS
    an_epoch = steps["iterations"] * step + steps["validation_iterations"] * check + rest
    assert least <= (start + steps["epochs"] * an_epoch) / 600 <= 1.01


def run(arm, sensitivity, seed=0, dice=0.5):
    """Ten scans of ten emboli; so many of each scan's are found, and one false marker scores below all of them."""
    found = round(10 * sensitivity)
    case = {"dice": dice, "emboli": [[2000.0, 0.9]] * found + [[2000.0, None]] * (10 - found), "false": [0.3]}
    facts = {"train_seconds": 60.0, "steps": "100", "memory_gb": 1.0, "scan_seconds": 2.0}
    machine = {"processor": "P", "processors": 2, "torch": "2", "nnunetv2": "2"}
    facts |= {"date": "2026-01-01", "machine": machine}
    cases = {f"scan_{number}": case for number in range(10)}
    curve = [[[20.0, 0.1], [60.0, dice]]]
    return {
        "cohort": "c",
        "split": 0,
        "minutes": 1.0,
        "arm": arm,
        "seed": seed,
        "cases": cases,
        "curve": curve,
        **facts,
    }


def test_the_table_gives_each_arm_its_difference_from_the_reference_and_names_what_was_not_run():
    from budget.summary import summaries
    from budget.table import tables

    runs = [run(STOCK, 0.3), run("PETARUNet", 0.5), run("PETARUNet", 0.7, seed=1, dice=0.7)]
    rows = {line.split(" | ")[0].removeprefix("| "): line.split(" | ") for line in tables(summaries(runs), [])}
    assert rows["PETARUNet"][1:7] == ["10, 100, 2", "60 [60, 60]", *["60 [60, 60]"] * 4]
    assert rows["PETARUNet"][7:10] == ["-", "60 % of 100", "-"]  # by size: all emboli have 2 ml
    assert rows["PETARUNet"][10:12] == ["+20 [+20, +20]", "+0 [+0, +0]"]  # seed 0 alone, which both have
    assert rows[STOCK][10:12] == ["", ""]
    assert rows[TAR][1] == "not run"
    assert any(line.startswith("Not run: U-Net; ") for line in rows)


def test_a_summary_has_n_seeds_and_intervals_that_move_with_the_scans():
    from budget.summary import summaries

    stock, ours = run(STOCK, 0.3), run("PETARUNet", 0.5)
    ours["cases"]["scan_0"] = ours["cases"]["scan_0"] | {"emboli": [[500.0, None]] * 10}
    entry = summaries([stock, ours])[1]
    assert (entry["scans"], entry["emboli"], entry["seeds"]) == (10, 100, [0])
    assert entry["emboli_by_size"] == {"under 1 ml": 10, "1 to 5 ml": 90, "5 ml and more": 0}
    value, low, high = entry["numbers"]["at 2"]
    assert value == pytest.approx(0.45)
    assert low < value < high
    value, low, high = entry["difference"]["at 2"]
    assert value == pytest.approx(0.15)
    assert low < value < high == pytest.approx(0.2)


def test_the_goal_is_held_against_the_better_stock_arm_and_open_until_both_were_run():
    from budget.goals import goal_lines, goals

    runs = [run(STOCK, 0.3), run("PETARUNet", 0.5)]
    first = goals(runs)[0]
    assert (first["reached"], first["not_run"]) == (None, [TAR])
    missed, reached = goals([*runs, run(TAR, 0.5)])[0], goals([*runs, run(TAR, 0.4)])[0]
    assert (missed["against"], missed["value"], missed["reached"]) == (TAR, 0.0, False)
    assert (reached["value"], reached["reached"]) == (pytest.approx(0.1), True)
    assert goal_lines([reached])[2].endswith("| +10.0 [+10.0, +10.0] points | yes |")


def test_the_ensemble_is_compared_with_the_u_net_by_ratio_and_with_its_better_member():
    from budget.goals import ENSEMBLE, MEMBERS, PLAIN, goals

    dice = {STOCK: 0.45, TAR: 0.3, PLAIN: 0.5, MEMBERS[0]: 0.4, MEMBERS[1]: 0.52, ENSEMBLE: 0.55}
    _, plain, better, first, second = goals([run(arm, 0.5, dice=value) for arm, value in dice.items()])
    assert (plain["value"], plain["reached"]) == (pytest.approx(0.1), True)
    assert (better["against"], better["reached"]) == (MEMBERS[1], True)
    assert (first["against"], first["reached"], second["reached"]) == (STOCK, False, True)  # a member below stock


def test_the_page_gets_tables_and_a_picture_between_its_marks_and_keeps_the_rest(tmp_path, monkeypatch, capsys):
    import equal_budget

    results, page = tmp_path / "results.json", tmp_path / "page.md"
    results.write_text(json.dumps({"runs": [run(STOCK, 0.3), run("PETARUNet", 0.5), run("U-Net", 0.4)]}))
    page.write_text(f"before\n{equal_budget.START}\nold\n{equal_budget.END}\nafter\n")
    monkeypatch.setattr(sys, "argv", ["equal_budget.py", "--results", str(results), "--write", str(page)])
    equal_budget.main()
    once = page.read_text()
    equal_budget.main()
    assert page.read_text() == once
    assert once.startswith("before\n")
    assert once.endswith(f"{equal_budget.END}\nafter\n")
    assert "old" not in once
    assert "| PETARUNet | 10, 100, 1 |" in once
    assert "(images/page.png)" in once
    assert (tmp_path / "images" / "page.png").read_bytes().startswith(b"\x89PNG")
    assert "| PETARUNet | 10, 100, 1 |" in capsys.readouterr().out


def test_a_prediction_is_repeated_unless_its_table_names_every_scan(tmp_path, monkeypatch):
    from budget import score
    from budget.arms import ARMS
    from budget.data import Cohort
    from budget.share import Share

    cohort, out = Cohort(tmp_path / "cohort", 0.5, Share()), tmp_path / "out"
    for name, case in (("train", "a"), ("test", "b"), ("test", "c")):
        (cohort.folder / "scans" / name / case).mkdir(parents=True)
        (cohort.folder / "scans" / name / case / "ct.nii.gz").touch()
    monkeypatch.setattr(Cohort, "validation_cases", lambda *_: ["a"])
    commands = []

    def command(words, _):
        commands.append(words[words.index("-o") + 1])
        (out / "test" / "summary.csv").write_text("case,seconds\nb,1\nc,3\n")

    monkeypatch.setattr(score, "run", command)
    for name, rows in (("validation", "a,1\n"), ("test", "b,1\n")):
        (out / name).mkdir(parents=True)
        (out / name / "summary.csv").write_text(f"case,seconds\n{rows}")
    assert score.predict(cohort, ARMS[STOCK], [tmp_path], out) == {"b": 1.0, "c": 3.0}
    assert score.predict(cohort, ARMS[STOCK], [tmp_path], out) == {"b": 1.0, "c": 3.0}
    assert commands == [str(out / "test")]


def test_what_is_in_the_results_or_trained_already_is_not_done_again(tmp_path, monkeypatch, capsys):
    import equal_budget

    results = tmp_path / "results.json"
    done = run(STOCK, 0.3) | {"cohort": "Coarse phantoms, 60 to train and 24 to score"}
    results.write_text(json.dumps({"runs": [done]}))
    monkeypatch.setattr(equal_budget, "_cohort", lambda *_: pytest.fail("a finished run was begun again"))
    arguments = ["--work", str(tmp_path / "work"), "--results", str(results), "--minutes", "1", "--arms", STOCK]
    monkeypatch.setattr(sys, "argv", ["equal_budget.py", *arguments])
    equal_budget.main()
    assert f"| {STOCK} | 10, 100, 1 |" in capsys.readouterr().out


def test_runs_are_scored_as_soon_as_their_networks_are_there_and_a_failure_stops_no_other(tmp_path, monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    from budget import work
    from budget.arms import ARMS
    from budget.data import Cohort
    from budget.goals import ENSEMBLE, MEMBERS
    from budget.share import Share

    events = []

    def train(_cohort, arm, *_):
        events.append(f"train {arm.name}")
        if arm.name == STOCK:
            raise SystemExit("no memory")
        return {"seconds": 60.0, "steps": 9, "memory_gb": 1.0, "curve": [[1.0, 0.5]], "model": str(tmp_path)}

    def predict(_cohort, arm, models, _folder):
        events.append(f"predict {arm.name} with {len(models)}")
        return {"a": 2.0}

    monkeypatch.setattr(work, "worker_pool", ThreadPoolExecutor)
    monkeypatch.setattr(work, "train", train)
    monkeypatch.setattr(work, "predict", predict)
    monkeypatch.setattr(work, "score", lambda *_: {"cases": {}})
    cohort = Cohort(tmp_path, 0.5, Share(jobs=1))
    names = [STOCK, MEMBERS[0], ENSEMBLE]
    jobs = [work.Job(cohort, {"cohort": "c", "split": 0, "minutes": 1.0, "arm": name, "seed": 0}) for name in names]
    found = list(work.results(jobs, 1))
    assert [run["arm"] for run in found] == [MEMBERS[0], ENSEMBLE]
    assert found[1]["train_seconds"] == 120
    assert found[1]["steps"] == "9 + 9"
    assert ARMS[ENSEMBLE].members == MEMBERS
    assert events == [
        *(f"train {STOCK}", f"train {MEMBERS[0]}", f"predict {MEMBERS[0]} with 1"),
        *(f"train {MEMBERS[1]}", f"predict {ENSEMBLE} with 2"),
    ]


def test_an_arm_has_its_part_of_the_processors_and_says_what_it_shares(monkeypatch):
    from budget import share

    monkeypatch.setattr(share, "usable_processors", lambda: 16)
    alone, shared = share.Share(), share.Share("cuda", 6)
    assert (alone.threads, alone.environment(), str(alone)) == (16, {}, "")
    assert (shared.threads, shared.environment()["OMP_NUM_THREADS"]) == (2, "2")
    assert str(shared) == ", on a GPU, 6 arms at a time"
    assert share.Share("cuda", 40).threads == 1
