"""The comparison at equal budget: who is scored, how many steps fit, what is not done again, tables of known runs."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from pe_nnunet.planners.asked import AskedPlan
from pe_nnunet.recipe import TrainingRecipe
from pe_nnunet.recipe.resolve import read_environment

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def studies(tmp_path):
    """Five scans: 020 is trained on, and so on; `notes` is no study."""
    folder = tmp_path / "rendered"
    for case in ("020", "021", "022", "e072", "e073"):
        (folder / case).mkdir(parents=True)
        (folder / case / "ct.nii.gz").touch()
    (folder / "notes").mkdir()
    return folder


def test_every_arm_names_a_plan_a_recipe_and_members_that_there_are():
    from budget.arms import ARMS, CHOSEN, TAR_UNETS
    from budget.data import DATASET_IDS
    from budget.goals import GOALS

    for arm in ARMS.values():
        AskedPlan.parsed(arm.plan)
        TrainingRecipe().updated(read_environment(arm.recipe), arm.name)
        assert bool(arm.trainer) != bool(arm.members)
        assert sum(ARMS[name].share for name in arm.members) in (0, 1)
        assert (arm.scheme, arm.margin_mm) in DATASET_IDS
    plans = {arm.plans: (arm.planner, arm.plan) for arm in ARMS.values()}
    assert all(plans[arm.plans] == (arm.planner, arm.plan) for arm in ARMS.values())  # a name stands for one plan
    assert not any("__" in name or "/" in name for name in plans)
    assert plans["nnUNetResEncUNetMPlans"] == ("nnUNetPlannerResEncM", "")
    assert {name for goal in GOALS for name in (goal.arm, *goal.others)} <= ARMS.keys()
    assert ARMS[f"TAR-UNet, {CHOSEN}"].plan == TAR_UNETS[CHOSEN]


def test_scans_to_score_are_chosen_by_name_and_lie_apart_from_those_to_train_on(studies, tmp_path):
    from budget.data import cohort

    made = cohort(tmp_path / "work", studies, ["02[12]", "e073"], 0.5)
    assert sorted(path.name for path in made.test.iterdir()) == ["021", "022", "e073"]
    assert sorted(path.name for path in made.train.iterdir()) == ["020", "e072"]
    assert (made.test / "021" / "ct.nii.gz").exists()
    other = cohort(tmp_path / "work", studies, ["02[12]", "e072"], 0.5)
    assert other.folder != made.folder  # datasets of another split are never met
    assert other.title != made.title
    assert cohort(tmp_path / "work", studies, ["02[12]", "e073"], 0.5) == made


@pytest.mark.parametrize(
    ("patterns", "patients", "said"),
    [
        (["02*", "e09*"], {}, "no study e09*"),
        (["02*", "e072"], {}, "leaves 1 studies to train on and 4"),
        (["021", "022"], {"022": "p", "020": "p"}, "patient p has scans to train on and scans to score"),
        (["02[12]", "e073"], {"020": "p", "e072": "p"}, "all scans to train on are of patient p"),
    ],
)
def test_a_split_that_would_not_hold_is_refused(studies, patterns, patients, said):
    from budget.data import split_by_name

    with pytest.raises(SystemExit, match=said.replace("*", r"\*")):
        split_by_name(studies, patterns, patients)


@pytest.mark.parametrize(("step", "least"), [(0.5, 0.98), (2.4, 0.98), (9.0, 0.9)])
def test_the_steps_fill_the_time_and_leave_room_for_start_and_epoch_ends(step, least):
    from budget.timing import EPOCHS, REHEARSAL, steps_that_fit

    start, rest = 7.0, 2.0
    clock, ends = start, {"train_step": [], "on_epoch_end": []}
    for _ in range(REHEARSAL["epochs"]):
        for _ in range(REHEARSAL["iterations"]):
            clock += step
            ends["train_step"].append(clock)
        clock += rest
        ends["on_epoch_end"].append(clock)
    steps = steps_that_fit({"ends": ends}, 600)
    assert steps["epochs"] in EPOCHS
    assert least <= (start + steps["epochs"] * (steps["iterations"] * step + rest)) / 600 <= 1.01


class Commands:
    """Stands in for the commands: notes them, and leaves what each would have left."""

    def __init__(self):
        self.seen, self.plans, self.fails = [], [], ""

    def __call__(self, command, environment):
        words = list(command)
        what = words[2] if words[0] == "pe-nnunet" and words[1] == "convert" else words[1].rsplit("/", 1)[-1]
        if self.fails and self.fails in " ".join(words):
            raise SystemExit("no memory")
        if what == "train.py":
            job = json.loads(words[2])
            self.seen.append((what, job["plans"], job["epochs"] * job["iterations"]))
            record = {"seconds": 60.0, "steps": job["epochs"] * job["iterations"], "memory_gb": 1.0, "model": "m"}
            ends = {"train_step": list(range(32)), "on_epoch_end": [16, 32]}
            Path(job["out"]).write_text(json.dumps(record | {"ends": ends}))
            return
        self.seen.append((what, *(plans for flag, plans in pairwise(words) if flag == "-overwrite_plans_name")))
        self.plans.append(environment.get("PE_NNUNET_PLAN"))
        if what == "studies":
            dataset = Path(environment["nnUNet_raw"]) / f"Dataset{words[words.index('-d') + 1]}_Budget"
            for folder in (dataset, Path(environment["nnUNet_preprocessed"]) / dataset.name):
                folder.mkdir(parents=True)
            (dataset / "dataset.json").touch()
            self.converted = sorted(path.name for path in Path(words[3]).iterdir())
        if what == "predict-fused":
            out = Path(words[words.index("-o") + 1])
            out.mkdir(parents=True)
            scans = sorted(path.name for path in Path(words[words.index("-i") + 1]).iterdir())
            (out / "summary.csv").write_text("case,seconds\n" + "".join(f"{scan},2\n" for scan in scans))


@pytest.fixture
def commands(monkeypatch):
    from budget import data, score, timing, work

    stand_in = Commands()
    for module in (data, score, timing):
        monkeypatch.setattr(module, "run", stand_in)
    monkeypatch.setattr(data.Cohort, "validation_cases", lambda *_: ["020"])
    case = {"patient": "p", "dice": 0.5, "emboli": [[2000.0, 0.9]], "false": []}
    monkeypatch.setattr(work, "score", lambda *_: {"detect": [0.5, 0.0], "outline": [0.5, 0.0], "cases": {"021": case}})
    return stand_in


@pytest.fixture
def compare(studies, tmp_path, monkeypatch, capsys):
    """The program on the five studies; its exit code and what it printed."""
    import equal_budget

    def call(*more):
        where = ["--work", tmp_path / "work", "--studies", studies, "--test", "02[12]", "e073"]
        words = ["equal_budget.py", *where, "--results", tmp_path / "results.json", *more]
        monkeypatch.setattr(sys, "argv", [str(word) for word in words])
        return equal_budget.main(), capsys.readouterr().out

    return call


def test_an_arm_is_converted_planned_trained_predicted_and_recorded_once(commands, compare, tmp_path):
    from budget.arms import ARMS, STOCK_ARMS, TAR_UNET

    code, text = compare("--steps", "40", "--arms", STOCK_ARMS[1], TAR_UNET)
    plans = ARMS[TAR_UNET].plans
    assert code == 0
    assert commands.seen == [
        ("studies",),
        ("-d",),  # nnUNetv2_plan_and_preprocess of ResEnc-M, under its own name
        ("train.py", "nnUNetResEncUNetMPlans", 40),
        *[("predict-fused",)] * 2,  # validation and test
        ("-d", plans),
        ("train.py", plans, 40),
        *[("predict-fused",)] * 2,
    ]
    assert commands.converted == ["020", "e072"]
    assert ARMS[TAR_UNET].plan in commands.plans
    first, second = json.loads((tmp_path / "results.json").read_text())["runs"]
    assert (first["arm"], first["budget"], first["seed"]) == (STOCK_ARMS[1], "40 steps", 0)
    assert second["definition"]["plan"] == ARMS[TAR_UNET].plan
    assert {"processor", "features", "torch"} <= second["machine"].keys()
    assert f"| {TAR_UNET} | 1, 1, 1, 1 | 50 |" in text

    commands.seen.clear()
    compare("--steps", "40", "--arms", STOCK_ARMS[1], TAR_UNET)
    assert commands.seen == []  # all in the results
    (tmp_path / "results.json").unlink()
    compare("--steps", "40", "--arms", TAR_UNET)
    assert commands.seen == []  # trained and predicted in the folder
    compare("--minutes", "1", "--arms", TAR_UNET)
    assert [what for what, *_ in commands.seen] == ["train.py", "train.py", *["predict-fused"] * 2]  # with a rehearsal


def test_scans_of_one_patient_stay_on_one_side_of_each_fold(commands, studies, tmp_path, monkeypatch):
    from budget import data
    from budget.arms import ARMS, TAR_UNET

    facts = {"clot_mm3": 50.0, "test": False}
    records = {name: SimpleNamespace(patient=name, sha256={"image": name}, **facts) for name in ("020", "021", "022")}
    monkeypatch.setattr(data, "load_cases", lambda _: records)
    held = []
    for last in ("p", "q"):
        patients = {"020": "p", "022": last}
        made = data.cohort(tmp_path / last, studies, ["e07*"], 0.5, patients=patients)
        made.prepare(ARMS[TAR_UNET])
        path = made.folder / "nnUNet" / "nnUNet_raw" / made.dataset(ARMS[TAR_UNET]) / "splits_final.json"
        held.append(sorted(fold["val"] for fold in json.loads(path.read_text())) if path.exists() else None)
    assert held == [[["020", "022"], ["021"]], None]  # those of the conversion stay where each has one scan


def test_an_ensemble_trains_its_members_for_half_and_weighs_them_on_validation_scans(commands, compare):
    from budget.arms import ARMS, ENSEMBLE, HALVES

    compare("--steps", "80", "--arms", ENSEMBLE, HALVES[1])
    trained = [entry for entry in commands.seen if entry[0] == "train.py"]
    assert trained == [("train.py", ARMS[name].plans, 40) for name in HALVES[:2]]
    assert [what for what, *_ in commands.seen][-5:] == ["calibrate", *["predict-fused"] * 4]


def test_an_arm_that_fails_stops_no_other_and_is_begun_again(commands, compare):
    from budget.arms import OUR_STOCK_PLANS, STOCK_ARMS

    commands.fails = "nnUNetTrainer"
    code, text = compare("--steps", "20", "--arms", STOCK_ARMS[0], OUR_STOCK_PLANS[0])
    assert (code, f"failed: {STOCK_ARMS[0]}: no memory" in text) == (1, True)
    assert f"| {OUR_STOCK_PLANS[0]} | 1, 1, 1, 1 |" in text
    commands.fails = ""
    assert compare("--steps", "20", "--arms", STOCK_ARMS[0])[0] == 0


def test_a_run_is_recorded_whatever_becomes_of_its_summary(commands, compare, tmp_path, monkeypatch):
    import equal_budget
    from budget.arms import TAR_UNET

    monkeypatch.setattr(equal_budget, "summaries", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        compare("--steps", "20", "--arms", TAR_UNET)
    (recorded,) = json.loads((tmp_path / "results.json").read_text())["runs"]
    assert recorded["arm"] == TAR_UNET


def run(arm, sensitivity, seed=0, dice=0.5, **changed):
    """Ten scans of ten emboli; so many of each scan's are found, and one false marker scores below all of them."""
    found = round(10 * sensitivity)
    case = {"dice": dice, "emboli": [[2000.0, 0.9]] * found + [[2000.0, None]] * (10 - found), "false": [0.3]}
    machine = {"processor": "P", "processors": 2, "features": ["avx2"], "torch": "2", "nnunetv2": "2"}
    facts = {"train_seconds": 60.0, "steps": "100", "memory_gb": 1.0, "scan_seconds": 2.0, "date": "2026-01-01"}
    cases = {f"scan_{number}": case | {"patient": f"patient_{number}"} for number in range(10)}
    key = {"cohort": "c", "budget": "1 minutes", "arm": arm, "seed": seed, "definition": {"name": arm}}
    return {**key, **facts, "machine": machine, "cases": cases, **changed}


def test_numbers_are_means_over_seeds_with_intervals_over_patients_and_paired_differences():
    from budget.arms import STOCK_ARMS, TAR_UNET
    from budget.summary import summaries

    ours = run(TAR_UNET, 0.5)
    ours["cases"]["scan_0"] = ours["cases"]["scan_0"] | {"emboli": [[500.0, None]] * 10}
    groups = {STOCK_ARMS[0]: "main", TAR_UNET: "main"}
    entry = summaries([run(STOCK_ARMS[0], 0.3), ours], groups)[1]
    assert (entry["scans"], entry["patients"], entry["emboli"], entry["seeds"]) == (10, 10, 100, [0])
    assert entry["emboli_by_size"] == {"under 1 ml": 10, "1 ml and more": 90}
    assert entry["numbers"]["under 1 ml"][0] == 0
    value, low, high = entry["numbers"]["at 2"]
    assert value == pytest.approx(0.45)
    assert low < value < high
    value, low, high = entry["difference"]["at 2"]
    assert value == pytest.approx(0.15)
    assert low < value < high == pytest.approx(0.2)
    both = [ours, run(TAR_UNET, 0.7, seed=1)]
    for scan in (case for one in both for case in one["cases"].values()):
        scan["patient"] = "one"
    assert summaries(both, groups)[0]["numbers"]["at 2"] == [pytest.approx((0.45 + 0.7) / 2), None, None]


def test_seeds_that_scored_different_scans_count_by_those_that_all_have():
    from budget.arms import STOCK_ARMS, TAR_UNET
    from budget.goals import goals
    from budget.summary import summaries

    stock, first, second = run(STOCK_ARMS[0], 0.3), run(TAR_UNET, 0.5), run(TAR_UNET, 0.7, seed=1)
    del second["cases"]["scan_9"], stock["cases"]["scan_0"]
    both = {STOCK_ARMS[0]: "main", TAR_UNET: "main"}
    _, entry = summaries([stock, first, second], both)
    assert (entry["scans"], entry["emboli"]) == (9, 90)
    assert entry["numbers"]["at 2"][0] == pytest.approx(0.6)
    assert entry["difference"]["at 2"][0] == pytest.approx(0.2)  # of seed 0, which both have
    goal = goals([stock, run(STOCK_ARMS[1], 0.2), first, second])[0]
    assert (goal["against"], goal["value"]) == (STOCK_ARMS[0], pytest.approx(0.2))
    second["cases"] = {"scan_10": second["cases"]["scan_1"]}
    assert [entry["arm"] for entry in summaries([stock, first, second], both)] == [STOCK_ARMS[0]]
    assert goals([stock, first, second])[0]["reached"] is None


def test_of_an_arm_that_was_defined_anew_the_former_runs_do_not_count():
    from budget.arms import TAR_UNET
    from budget.summary import summaries

    runs = [run(TAR_UNET, 0.9, definition={"plan": "former"}), run(TAR_UNET, 0.5, seed=1)]
    assert [entry["numbers"]["at 2"][0] for entry in summaries(runs, {TAR_UNET: "main"})] == [pytest.approx(0.5)]


def test_goals_are_held_against_the_better_arm_by_ratio_or_alone_and_open_until_all_were_run():
    from budget.arms import ENSEMBLE, HALVES, OUR_STOCK_PLANS, STOCK_ARMS, TAR_UNET
    from budget.goals import goals
    from budget.table import goal_lines

    runs = [run(STOCK_ARMS[0], 0.3), run(TAR_UNET, 0.5)]
    stock, _, small, large, *_ = goals(runs)
    assert (stock["reached"], stock["not_run"]) == (None, [STOCK_ARMS[1]])
    assert (small["value"], small["reached"]) == (None, None)  # no such embolus
    assert (large["value"], large["reached"]) == (pytest.approx(0.5), False)
    assert goal_lines([large])[2].endswith("emboli of 1 ml and more at least 80 % | 50.0 [50.0, 50.0] % | no |")
    missed, reached = (goals([*runs, run(STOCK_ARMS[1], value)])[0] for value in (0.5, 0.4))
    assert (missed["against"], missed["value"], missed["reached"]) == (STOCK_ARMS[1], 0.0, False)
    assert (reached["value"], reached["reached"]) == (pytest.approx(0.1), True)
    assert goal_lines([reached])[2].endswith("by at least 10 points | +10.0 [+10.0, +10.0] points | yes |")

    dice = {OUR_STOCK_PLANS[0]: 0.5, HALVES[0]: 0.4, HALVES[1]: 0.52, ENSEMBLE: 0.55}
    plain, better = goals([run(arm, 0.5, dice=value) for arm, value in dice.items()])[4:]
    assert (plain["value"], plain["reached"]) == (pytest.approx(0.1), True)
    assert (better["against"], better["reached"]) == (HALVES[1], True)


def test_the_page_gets_tables_and_a_picture_between_its_marks_and_keeps_the_rest(tmp_path, monkeypatch, capsys):
    import equal_budget
    from budget.arms import STOCK_ARMS, TAR_UNET

    results, page = tmp_path / "results.json", tmp_path / "page.md"
    results.write_text(json.dumps({"runs": [run(STOCK_ARMS[0], 0.3), run(TAR_UNET, 0.5)]}))
    end = "<!-- results: end -->\n\n## Older results\n\nold table\n"
    page.write_text(f"before\n<!-- results: generated -->\nformer\n{end}")
    monkeypatch.setattr(sys, "argv", ["equal_budget.py", "--results", str(results), "--write", str(page)])
    equal_budget.main()
    once = page.read_text()
    equal_budget.main()
    assert page.read_text() == once
    assert once.startswith("before\n<!-- results: generated -->\n\n![Emboli found")
    assert once.endswith(end)
    assert "former" not in once
    assert f"| {TAR_UNET} | 10, 10, 100, 1 | 50 [50, 50] | 50 [50, 50] | - | 50 [50, 50] of 100 | +20" in once
    assert (tmp_path / "images" / "page.png").read_bytes().startswith(b"\x89PNG")
    assert f"| {TAR_UNET} | 10, 10, 100, 1 |" in capsys.readouterr().out
