"""Trainers compared at equal wall time, on the same scans, with the same crop and component finder.

    pe-nnunet phantom SCANS --coarse --cases 40 --seed 7
    python benchmarks/equal_budget.py SCANS OUT --minutes 30 --splits 2 --seeds 2 --arms stock stock-tar ours

SCANS holds a folder a case with `ct.nii.gz` (or `ct/`) and `emboli.nii.gz`. Results are appended to
OUT/equal_budget.json; what is in it is not done again, so that the command can be ended and given again at any time,
with further arms, splits or seeds. `--page FILE` writes the table of all that is there, with the arms not run.

The plans are made once from all scans, for all arms alike. nnU-Net's trainer uses its own loss, sampling and schedule,
without test-time mirroring, as all arms do.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from equal_budget_arms import ARMS

from pe_nnunet.dataset_conversion.raw import load_cases

NUMBER, NAME, CONFIGURATION = 790, "EqualBudget", "3d_fullres"
DATASET = f"Dataset{NUMBER}_{NAME}"
PLANNERS = {
    "nnUNetPlans": "ExperimentPlanner",
    "PETARUNetPlans": "PETARUNetPlanner",
    "PEAttentionUNetPlans": "PEAttentionUNetPlanner",
}


def arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=["stock", "stock-tar", "ours"])
    parser.add_argument("--minutes", type=float, default=30.0, help="of training, for each arm")
    parser.add_argument("--splits", type=int, default=1, help="random divisions of the scans")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each arm in each split")
    parser.add_argument("--test-share", type=float, default=0.3)
    parser.add_argument("--validation-share", type=float, default=0.2)
    parser.add_argument("--memory-gb", type=float, default=1.0, help="the planners' target")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--page", type=Path, help="write the table there")
    return parser.parse_args()


def run(*command: str) -> None:
    """One of this environment's commands."""
    program = Path(sys.executable).parent / command[0]
    environment = os.environ | {"nnUNet_n_proc_DA": "1"}  # nnU-Net's planner cannot do with 0
    subprocess.run([str(program), *command[1:]], check=True, env=environment)


def prepare(args: argparse.Namespace) -> tuple[Path, list[dict[str, list[str]]]]:
    """Convert, divide, plan and preprocess, as far as that is not done; the raw dataset, and cases by split."""
    raw, preprocessed = (Path(os.environ[name]) / DATASET for name in ("nnUNet_raw", "nnUNet_preprocessed"))
    if not (raw / "dataset.json").is_file():
        run("pe-nnunet", "convert", "studies", str(args.scans), "-d", str(NUMBER), "--name", NAME)
    cases = sorted(load_cases(raw))
    splits = [divide(cases, number, args) for number in range(args.splits)]
    folds = [{"train": split["train"], "val": split["val"]} for split in splits]
    (raw / "splits_final.json").write_text(json.dumps(folds))
    if not (preprocessed / "dataset_fingerprint.json").is_file():
        run("nnUNetv2_extract_fingerprint", "-d", str(NUMBER), "-np", "2")
    for plans in sorted({plans for name in args.arms for _, plans, _ in ARMS[name].members}):
        if not (preprocessed / f"{plans}.json").is_file():
            planner, memory = PLANNERS[plans], f"{args.memory_gb:g}"
            run("nnUNetv2_plan_experiment", "-d", str(NUMBER), "-pl", planner, "-gpu_memory_target", memory)
        content = json.loads((preprocessed / f"{plans}.json").read_text())
        if not (preprocessed / content["configurations"][CONFIGURATION]["data_identifier"]).is_dir():
            run("nnUNetv2_preprocess", "-d", str(NUMBER), "-plans_name", plans, "-c", CONFIGURATION, "-np", "1")
    (preprocessed / "splits_final.json").write_text(json.dumps(folds))
    return raw, splits


def divide(cases: list[str], number: int, args: argparse.Namespace) -> dict[str, list[str]]:
    """Cases by part; the number of the split is its seed."""
    order = random.Random(number).sample(cases, len(cases))  # noqa: S311
    test, val = (max(1, round(share * len(cases))) for share in (args.test_share, args.validation_share))
    return {"test": order[:test], "val": order[test : test + val], "train": order[test + val :]}


def train(args: argparse.Namespace, name: str, split: int, seed: int) -> list[dict]:
    """The members of an arm, one after the other, and what came of each."""
    members, facts = ARMS[name].members, []
    for trainer, plans, recipe in members:
        results = args.out / "models" / f"{name}_{split}_{seed}"
        options = {
            "dataset": DATASET, "configuration": CONFIGURATION, "trainer": trainer, "plans": plans, "recipe": recipe,
            "device": args.device, "fold": split, "seed": seed, "minutes": args.minutes / len(members),
        }  # fmt: skip
        worker = Path(__file__).with_name("equal_budget_train.py")
        command = [sys.executable, str(worker), *(f"--{key}={value}" for key, value in options.items())]
        results.mkdir(parents=True, exist_ok=True)
        subprocess.run(command, check=True, env=os.environ | {"nnUNet_results": str(results)})
        folder = results / DATASET / f"{trainer}__{plans}__{CONFIGURATION}" / f"fold_{split}"
        facts.append(json.loads((folder / "trained.json").read_text()))
    return facts


def main() -> None:
    """Run what is missing, and write the page."""
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    args.out = args.out.resolve()
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (args.out / name).mkdir(exist_ok=True)
        os.environ[name] = str(args.out / name)
    os.environ |= {"nnUNet_n_proc_DA": "1", "nnUNet_compile": "f"} | dict(os.environ)
    from equal_budget_score import score_models, table

    record = args.out / "equal_budget.json"
    runs = json.loads(record.read_text()) if record.is_file() else {}
    raw, splits = prepare(args)
    for split, cases in enumerate(splits):
        for seed in range(args.seeds):
            for name in args.arms:
                key = f"{name}/split {split}/seed {seed}/{args.minutes:g} min"
                if key in runs:
                    print(f"{key}: there already", flush=True)
                    continue
                print(f"{key}: training", flush=True)
                facts = train(args, name, split, seed)
                started = time.monotonic()
                scores = score_models([fact["folder"] for fact in facts], split, raw, cases, args.device)
                runs[key] = {
                    "arm": name, "split": split, "seed": seed, "budget_minutes": args.minutes, "cases": cases,
                    "minutes": sum(fact["seconds"] for fact in facts) / 60,
                    "steps": sum(fact["steps"] for fact in facts),
                    "peak_gib": max(fact["peak_gib"] for fact in facts),
                    "curves": [fact["curve"] for fact in facts],
                    "scoring_seconds": time.monotonic() - started,
                } | scores  # fmt: skip
                temporary = record.with_suffix(".tmp")
                temporary.write_text(json.dumps(runs, indent=1))
                temporary.replace(record)
    repeats = f"--splits {args.splits} --seeds {args.seeds}"
    command = f"python benchmarks/equal_budget.py SCANS OUT --minutes {args.minutes:g} {repeats}"
    same_time = {key: run for key, run in runs.items() if run["budget_minutes"] == args.minutes}
    text = table(same_time, command)
    print(text)
    if args.page is not None:
        args.page.write_text(text)


if __name__ == "__main__":
    main()
