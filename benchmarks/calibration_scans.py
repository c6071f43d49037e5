"""How many labelled scans it takes before calibrated settings beat the defaults, by resampling scans.

    pe-nnunet phantom SHIFTED --coarse --cases 64 --seed 71 --artery-hu 150 300 --contrast-to-noise 3 6
    python benchmarks/calibration_scans.py --counts counts.npz --scans SHIFTED --labels SHIFTED -m FOLDER
    python benchmarks/calibration_scans.py --counts counts.npz [--target-fp 2] [--default 0.3 600] [--plot FILE.png]

The second command predicts labelled scans that the model was not trained on, as `pe-nnunet calibrate --scans` does, or
takes <case>_probability.nii.gz from --probabilities, and keeps what each setting finds in each scan; run again, it goes
on where it was. The third one takes that alone. Then, for each number of scans, so many are drawn without replacement,
settings are chosen on them, and chosen settings and defaults are compared on those that were not drawn: each in the
objective (the F1 of emboli, and the sensitivity, where more false positives than allowed cost their share of it). A
draw on which nothing can be chosen keeps the defaults.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.calibration.counts import FOUND, LabelledScan, count_findings
from pe_nnunet.calibration.further_scans import kind_of_labels, label_of, truth_in_lps
from pe_nnunet.calibration.member_maps import MemberMaps
from pe_nnunet.calibration.objective import value_elsewhere
from pe_nnunet.calibration.search import chooser, plain_settings
from pe_nnunet.demo.steps import link_scans
from pe_nnunet.evaluation.prediction_pairing import find_labels
from pe_nnunet.fusion import FusionSettings
from pe_nnunet.volumes import ScanRef, find_scans, read_file, read_scan, require_same_grid, spacing_zyx, to_lps

SIZES = (2, 4, 8, 16, 32)
FEWEST_LEFT = 3  # to compare on
COLUMNS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=Path, required=True, help="file of counts, made or added to")
    parser.add_argument("-m", dest="model", type=Path, help="model folder")
    parser.add_argument("--scans", type=Path, nargs="+", default=[])
    parser.add_argument("--labels", type=Path, nargs="+", default=[], help="a folder for each of --scans")
    parser.add_argument("--probabilities", type=Path, help="folder of <case>_probability.nii.gz, instead of -m")
    parser.add_argument("--target-fp", type=float, default=2.0, help="false positives a scan, at most")
    parser.add_argument(
        "--default",
        type=float,
        nargs=2,
        metavar=("THRESHOLD", "MM3"),
        help="settings of the grid to compare with, as those of a model whose defaults happen to suit; default: ours",
    )
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--plot", type=Path, help="picture to write")
    args = parser.parse_args()
    if args.scans:
        add_counts(args.counts, args.scans, args.labels, args.model, args.probabilities)
    counts = np.load(args.counts)["counts"].astype(np.int64)
    if args.default:
        known = plain_settings(None).index(FusionSettings(args.default[0], min_volume_mm3=args.default[1]))
        counts = np.concatenate([counts[:-1], counts[known : known + 1]])
    total = counts[-1].sum(axis=0)
    false = total[3] - total[2]
    print(f"{counts.shape[1]} scans, {total[1]} emboli; the defaults find {total[FOUND]}, with {false} false findings")
    goals = {"F1 of emboli": None, f"sensitivity at {args.target_fp:g} false positives a scan": args.target_fp}
    simulated = {goal: simulate(counts, number, args.draws) for goal, number in goals.items()}
    for goal, rows in simulated.items():
        print(f"\n{goal}\n\n{table(rows)}")
    if args.plot:
        plot(simulated, args.plot)


def add_counts(
    path: Path, scans: list[Path], labels: list[Path], model: Path | None, probabilities: Path | None
) -> None:
    """Keep what each setting, and last the default, finds in each scan, beside what is there: (settings, scans, 4)."""
    settings = [*plain_settings(None), FusionSettings()]
    cases: list[str] = []
    counts = np.zeros((len(settings), 0, COLUMNS), np.int32)
    if path.is_file():
        there = np.load(path)
        cases, counts = there["cases"].tolist(), there["counts"]
    predict = from_files(probabilities) if model is None else by_model(model)
    for folder, of_folder in zip(scans, labels, strict=True):
        files, kind = find_labels(of_folder), kind_of_labels(of_folder, None)
        for ref in scans_of(folder):
            if ref.case_id in cases:
                continue
            scan = read_scan(ref)
            image, ids, ignored = truth_in_lps(scan, label_of(ref, files), kind)
            probability = predict(ref.case_id, image)
            truth = LabelledScan(ref.case_id, probability[:0], ids, spacing_zyx(image), ignored=ignored)
            found = count_findings([MemberMaps.of(truth, [probability]).mixed((1.0,))], settings)[..., :COLUMNS]
            cases, counts = [*cases, ref.case_id], np.concatenate([counts, found.astype(np.int32)], axis=1)
            np.savez_compressed(path, cases=cases, counts=counts)
            print(f"{ref.case_id}: found, emboli, true, findings at the default {found[-1, 0].tolist()}", flush=True)


def scans_of(folder: Path) -> list[ScanRef]:
    """The scans in a folder; of a phantom cohort its CTs without their masks."""
    if not (folder / "phantom.json").is_file():
        return find_scans(folder)
    links = folder.with_name(f"{folder.name}_ct")
    link_scans(folder, links)
    return find_scans(links)


def from_files(folder: Path | None) -> Callable[[str, Any], NDArray[np.float32]]:
    """Probabilities that `predict-fused --save-parts`, or without a detector `--save-probability`, left."""

    def read(case: str, image: Any) -> NDArray[np.float32]:
        names = (f"{case}_segmentation_probability.nii.gz", f"{case}_probability.nii.gz")
        paths = [(folder or Path()) / name for name in names]
        stored, _ = read_file(next((path for path in paths if path.is_file()), paths[-1]))
        stored = to_lps(stored)
        require_same_grid(image, stored, f"the probability of {case}")
        return np.asarray(sitk.GetArrayFromImage(stored), np.float32)

    return read


def by_model(folder: Path) -> Callable[[str, Any], NDArray[np.float32]]:
    """Probabilities of all folds of a model, without mirroring."""
    from pe_nnunet.calibration.predict_members import predict_members
    from pe_nnunet.inference.device import pick_device
    from pe_nnunet.inference.locate import locate_folder
    from pe_nnunet.inference.model import load_model
    from pe_nnunet.inference.settings import InferenceSettings

    device, how = pick_device(), InferenceSettings(mirroring=False)
    model = load_model(locate_folder(folder, None), device)
    return lambda _, image: predict_members([model], image, (), device, how)[0]


def simulate(counts: NDArray[np.int64], max_fp_per_scan: float | None, draws: int) -> list[dict[str, Any]]:
    """A row for each number of scans.

    Args:
        counts: (settings, scans, columns), the last of the default.
        max_fp_per_scan: The objective, see `pe_nnunet.calibration.search.calibrate`.
        draws: Of scans, for each number.
    """
    settings, scans = plain_settings(None), counts.shape[1]
    choose, rng = chooser(settings, max_fp_per_scan), np.random.default_rng(0)
    rows = []
    for size in (n for n in SIZES if n <= scans - FEWEST_LEFT):
        chosen, default = [], []
        for _ in range(draws):
            order = rng.permutation(scans)
            drawn, rest = order[:size], order[size:]
            of_drawn = counts[:-1, drawn]
            number = choose(of_drawn)
            if not of_drawn[number, :, FOUND].any():
                number = len(counts) - 1
            for of, values in ((number, chosen), (len(counts) - 1, default)):
                values.append(float(value_elsewhere(counts[of, rest].sum(axis=0), len(rest), max_fp_per_scan)))
        gain = np.subtract(chosen, default)
        rows.append(
            {
                "scans": size,
                "default": float(np.mean(default)),
                "calibrated": float(np.mean(chosen)),
                "middle": np.quantile(chosen, (0.05, 0.95)).tolist(),
                "better": float((gain > 0).mean()),
                "worse": float((gain < 0).mean()),
                "gain": np.quantile(gain, (0.05, 0.95)).tolist(),
            }
        )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """As Markdown."""
    heading = "| scans | default | calibrated | 5 to 95 % | better in | worse in | gain, 5 to 95 % |"
    lines = [heading, "| --- " * 7 + "|"]
    lines += [
        f"| {row['scans']} | {row['default']:.3f} | {row['calibrated']:.3f} | "
        f"{row['middle'][0]:.3f} to {row['middle'][1]:.3f} | {row['better']:.0%} | {row['worse']:.0%} | "
        f"{row['gain'][0]:+.3f} to {row['gain'][1]:+.3f} |"
        for row in rows
    ]
    return "\n".join(lines)


def plot(simulated: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Calibrated and default settings by the number of scans, a panel for each objective."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(simulated), 3.2), layout="constrained")
    for panel, (goal, rows) in zip(
        figure.subplots(1, len(simulated), squeeze=False)[0], simulated.items(), strict=True
    ):
        sizes = [row["scans"] for row in rows]
        low, high = np.transpose([row["middle"] for row in rows])
        panel.fill_between(sizes, low, high, alpha=0.25, linewidth=0, label="5 to 95 % of draws")
        panel.plot(sizes, [row["calibrated"] for row in rows], marker="o", label="calibrated, mean")
        panel.plot(sizes, [row["default"] for row in rows], linestyle="--", color="black", label="default, mean")
        panel.set_xscale("log", base=2)
        panel.set_xticks(sizes, map(str, sizes))
        panel.set_xlabel("scans to calibrate on")
        panel.set_ylabel(goal)
        panel.set_ylim(bottom=0)
    panel.legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
