"""What correcting scans is worth: emboli found after 0, 4, 8, 16 of them, chosen by `pe-nnunet next` and at random.

    python benchmarks/correction.py RENDERED... --test '02*' 030 --work FOLDER
    python benchmarks/correction.py RENDERED... --test '02*' --work FOLDER --pool-scans 12 --test-scans 8 --steps 100 \
        --counts 4 8

RENDERED are folders with one folder a scan, as `pe-nnunet phantom` writes them. --test names those that are scored and
never trained on; of the others, two are labelled from the beginning and the rest is the pool. The model predicts the
pool once. For each way to choose and each number, the perfect corrector, who knows the truth, hands so many scans to
`pe-nnunet correct`, and the model is fine-tuned for the same number of steps on what is then labelled. All models
predict the test scans with the same threshold and smallest volume, those of the first one; the FROC score (CAD-PE's
protocol, mean sensitivity from 1/8 to 8 false positives a scan) compares them where these differ. The same command goes
on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from pe_nnunet.cli import main as pe_nnunet
from pe_nnunet.correction.next_scans import next_scans
from pe_nnunet.dataset.folders import PREPROCESSED, RAW, RESULTS, SPLITS
from pe_nnunet.files import atomic_json

DATASET, ID, MODEL = "Dataset501_Correction", "501", "starter"
LABELLED = 2
STEPS_AN_EPOCH = 25
FOLDERS = {"ct": "scans", "emboli": "truth", "artery": "arteries"}
WAYS = ("next", "random")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rendered", type=Path, nargs="+")
    parser.add_argument("--test", nargs="+", required=True, metavar="PATTERN", help="end of the names of scored scans")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=[4, 8, 16], help="of corrected scans")
    parser.add_argument("--steps", type=int, default=500, help="of each fine-tuning; default %(default)s")
    parser.add_argument("--pool-scans", type=int, default=40, help="at most; default %(default)s")
    parser.add_argument("--test-scans", type=int, default=20, help="at most; default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the scans that are taken, and of the random order")
    args = parser.parse_args()
    work = args.work.resolve()
    names = link_scans(args.rendered, args.test, work, args.pool_scans, args.test_scans, args.seed)
    start = work / "start"
    begin(work, start, names["labelled"])
    predict(MODEL, work / "pool" / "scans", work / "pool_out")
    orders = {"next": [scan.case for scan in next_scans(start / DATASET, work / "pool_out")[0]]}
    orders["random"] = np.random.default_rng(args.seed).permutation(names["pool"]).tolist()
    rows = [{"way": "", "corrected": 0, **score(work, MODEL, work / "test_out_0")}]
    print(rows[-1], flush=True)
    for count in args.counts:
        for way in WAYS:
            folder = work / f"{way}_{count}_{args.steps}"
            model = fine_tuned(work, folder, orders[way][:count], args.steps)
            rows.append({"way": way, "corrected": count, **score(work, model, folder / "test_out")})
            print(rows[-1], flush=True)
            atomic_json(work / "correction.json", {"steps": args.steps, "scans": names, "rows": rows})
    print("\n".join(table(rows)))


def link_scans(
    rendered: Sequence[Path], test: Sequence[str], work: Path, pool_scans: int, test_scans: int, seed: int
) -> dict[str, list[str]]:
    """Links of scans and truth, by what they are for; returns the case ids."""
    found = {path.name: path for root in rendered for path in sorted(root.iterdir()) if (path / "ct.nii.gz").is_file()}
    scored = [name for name in found if any(fnmatch(name, f"*{pattern}") for pattern in test)]
    others = [name for name in found if name not in scored]
    drawn = np.random.default_rng(seed).permutation(others)[: LABELLED + pool_scans].tolist()
    parts = {"labelled": drawn[:LABELLED], "pool": drawn[LABELLED:], "test": scored[:test_scans]}
    for part, cases in parts.items():
        for role, folder in FOLDERS.items():
            (work / part / folder).mkdir(parents=True, exist_ok=True)
            for case in cases:
                link = work / part / folder / f"{case}.nii.gz"
                if not link.is_symlink():
                    link.symlink_to((found[case] / f"{role}.nii.gz").resolve())
    return parts


def begin(work: Path, raw: Path, labelled: Sequence[str]) -> None:
    """The dataset before any correction: fold 0 trains on all but the first scan, which it validates on."""
    use(raw)
    if (raw / DATASET).is_dir():
        return
    part = work / "labelled"
    masks = ("--labels", part / "truth", "--artery", part / "arteries", "--scheme", "artery-pe", "--folds", 2)
    command("convert", "nifti", part / "scans", "-d", ID, "--name", "Correction", *masks)
    first, *others = labelled
    atomic_json(raw / DATASET / SPLITS, [{"train": sorted(others), "val": [first]}])


def fine_tuned(work: Path, folder: Path, cases: Sequence[str], steps: int) -> Path:
    """The model after the corrector has labelled these cases and it was trained on them."""
    raw = folder / "raw"
    if not raw.is_dir():
        shutil.copytree(work / "start", raw)
    use(raw)
    truth, pool = [work / "pool" / "truth" / f"{case}.nii.gz" for case in cases], work / "pool"
    if not all((raw / DATASET / "labelsTr" / path.name).is_file() for path in truth):
        given = ("-i", pool / "scans", "--predictions", work / "pool_out", "--artery", pool / "arteries")
        command("correct", *truth, "-d", ID, "--by", "perfect corrector", *given)
        splits = json.loads((raw / DATASET / SPLITS).read_text())  # one fold: the new scans would all be held out
        new = {case for case in splits[0]["val"] if case in cases}
        fold = {"train": sorted({*splits[0]["train"], *new}), "val": [c for c in splits[0]["val"] if c not in new]}
        atomic_json(raw / DATASET / SPLITS, [fold])
    os.environ["PE_NNUNET_RECIPE"] = f"iterations={STEPS_AN_EPOCH} validation_iterations=1 test_time_mirroring=False"
    command("fine-tune", "-m", MODEL, "-d", ID, "--epochs", max(1, steps // STEPS_AN_EPOCH), "-device", "cpu")
    return next((folder / RESULTS / DATASET).iterdir())


def use(raw: Path) -> None:
    """Name nnU-Net's folders: these raw datasets, and others beside them."""
    os.environ[RAW] = str(raw)
    for variable in (PREPROCESSED, RESULTS):
        os.environ[variable] = str(raw.parent / variable)
        (raw.parent / variable).mkdir(parents=True, exist_ok=True)
    raw.mkdir(parents=True, exist_ok=True)


def predict(model: str | Path, scans: Path, out: Path) -> None:
    """Find emboli with the settings that ship with the first model."""
    from pe_nnunet.inference.shipped import shipped_folder

    shipped = json.loads((shipped_folder(MODEL) / "fusion.json").read_text())["segmentation"]["settings"]
    settings = ("--threshold", shipped["threshold"], "--min-embolus-mm3", shipped["min_volume_mm3"])
    command("predict-fused", "-i", scans, "-o", out, "-m", model, *settings, "--no-report", "--resume")


def score(work: Path, model: str | Path, out: Path) -> dict[str, Any]:
    """Emboli found in the test scans, and false findings a scan."""
    predict(model, work / "test" / "scans", out)
    scores = out.with_name(f"{out.name}_scores")
    command("evaluate", "-i", out, "-g", work / "test" / "truth", "-o", scores)
    return numbers(json.loads((scores / "summary.json").read_text()))


def numbers(summary: dict[str, Any]) -> dict[str, Any]:
    """What of `summary.json` is compared."""
    cohort = summary["cohort"]
    counted = {name: cohort[name] for name in ("emboli", "found", "false_positives_per_scan", "dice")}
    return counted | {"froc": summary["froc"]["cad-pe"]["0"]["score"]}


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Lines of Markdown.

    Example:
        >>> counted = {"emboli": 9, "found": 3, "false_positives_per_scan": 1.5, "dice": None, "froc": 0.25}
        >>> table([{"way": "", "corrected": 0, **counted}])[-1]
        '| 0 |  | 3 of 9 | 1.50 | - | 0.25 |'
    """
    lines = [
        "| corrected scans | chosen by | emboli found | false positives a scan | Dice | FROC score |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        dice = "-" if row["dice"] is None else f"{row['dice']:.2f}"
        found = f"{row['found']} of {row['emboli']}"
        scores = f"{row['false_positives_per_scan']:.2f} | {dice} | {row['froc']:.2f}"
        lines.append(f"| {row['corrected']} | {row['way']} | {found} | {scores} |")
    return lines


def command(*arguments: object) -> None:
    """Run a command of pe-nnunet in this process.

    Raises:
        SystemExit: If it fails.
    """
    code = pe_nnunet([str(argument) for argument in arguments])
    if code:
        raise SystemExit(f"pe-nnunet {arguments[0]} ended with {code}")


if __name__ == "__main__":
    main()
