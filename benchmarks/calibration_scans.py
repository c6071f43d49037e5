"""How many labelled scans it takes before calibrated settings beat the defaults, by resampling scans.

    python benchmarks/calibration_scans.py --counts counts.npz -m FOLDER --scans SCANS ... --labels LABELS ...
    python benchmarks/calibration_scans.py --counts counts.npz [--target-fp 2]

The first command predicts labelled scans that the model was not trained on, as `pe-nnunet calibrate --scans` does, and
keeps what each setting finds in each of them; the second one takes that. Then, for each number of scans, so many are
drawn without replacement, settings are chosen on them, and chosen settings and defaults are compared on those that were
not drawn: each in the objective (the F1 of emboli, or the sensitivity, where more false positives than allowed cost
their share of it). A draw on which nothing can be chosen keeps the defaults.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pe_nnunet.calibration.counts import FOUND, count_findings
from pe_nnunet.calibration.objective import value_elsewhere
from pe_nnunet.calibration.search import chooser, plain_settings
from pe_nnunet.fusion import FusionSettings

SIZES = (2, 3, 5, 8, 10, 15, 20, 30, 50)
FEWEST_LEFT = 5  # to compare on
COLUMNS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=Path, required=True, help="file of counts, made if it is not there")
    parser.add_argument("-m", dest="model", type=Path, help="model folder")
    parser.add_argument("--scans", type=Path, nargs="+", default=[])
    parser.add_argument("--labels", type=Path, nargs="+", default=[], help="a folder for each of --scans")
    parser.add_argument("--target-fp", type=float, help="false positives a scan, at most; default: the F1")
    parser.add_argument("--draws", type=int, default=500)
    args = parser.parse_args()
    if not args.counts.is_file():
        np.savez_compressed(args.counts, counts=count(args.model, args.scans, args.labels))
    counts = np.load(args.counts)["counts"]
    total = counts[-1].sum(axis=0)
    false = total[3] - total[2]
    print(f"{counts.shape[1]} scans, {total[1]} emboli; the defaults find {total[FOUND]}, with {false} false findings")
    print(table(simulate(counts, args.target_fp, args.draws)))


def count(model: Path, scans: list[Path], labels: list[Path]) -> NDArray[np.int64]:
    """What each setting, and last the default, finds in each scan: (settings, scans, columns)."""
    from pe_nnunet.calibration.counts import LabelledScan
    from pe_nnunet.calibration.further_scans import kind_of_labels, label_of, truth_in_lps
    from pe_nnunet.calibration.member_maps import MemberMaps
    from pe_nnunet.calibration.predict_members import predict_members
    from pe_nnunet.evaluation.prediction_pairing import find_labels
    from pe_nnunet.inference.locate import locate_folder
    from pe_nnunet.inference.model import load_model, pick_device
    from pe_nnunet.inference.settings import InferenceSettings
    from pe_nnunet.volumes import find_scans, read_scan, spacing_zyx

    device, how = pick_device(), InferenceSettings(mirroring=False)
    loaded = load_model(locate_folder(model, None), device)
    settings = [*plain_settings(None), FusionSettings()]
    rows = []
    for folder, of_folder in zip(scans, labels, strict=True):
        files, kind = find_labels(of_folder), kind_of_labels(of_folder, None)
        for ref in find_scans(folder):
            image, ids, ignored = truth_in_lps(read_scan(ref), label_of(ref, files), kind)
            maps = predict_members([loaded], image, (), device, how)
            scan = LabelledScan(ref.case_id, maps[0][:0], ids, spacing_zyx(image), ignored=ignored)
            rows.append(count_findings([MemberMaps.of(scan, maps).mixed((1.0,))], settings)[:, 0, :COLUMNS])
            print(f"{ref.case_id}: {rows[-1][-1].tolist()}", flush=True)
    return np.stack(rows, axis=1)


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
        low, high = np.quantile(gain, (0.05, 0.95))
        rows.append(
            {
                "scans": size,
                "default": float(np.mean(default)),
                "calibrated": float(np.mean(chosen)),
                "better": float((gain > 0).mean()),
                "worse": float((gain < 0).mean()),
                "gain": (float(low), float(high)),
            }
        )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """As Markdown."""
    lines = ["| scans | default | calibrated | better in | worse in | gain, 5 to 95 % |", "| --- " * 6 + "|"]
    lines += [
        f"| {row['scans']} | {row['default']:.3f} | {row['calibrated']:.3f} | {row['better']:.0%} | "
        f"{row['worse']:.0%} | {row['gain'][0]:+.3f} to {row['gain'][1]:+.3f} |"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
