"""How rare the target is, and what training makes of it: target ratios, sizes of emboli, rates of drawn patches.

pe-nnunet analyse -d 501
pe-nnunet analyse -d 501 -p PETARUNetPlans -c 3d_fullres --draws 2000

Reads a dataset that `pe-nnunet convert` wrote and, where it is preprocessed, draws patches from it as training would,
by the recipe in PE_NNUNET_RECIPE. Writes cases.csv, emboli.csv, analysis.json and analysis.png. docs/sampling.md says
what the numbers mean.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet analyse`."""
    add = parser.add_argument
    add("-d", "--dataset", required=True, metavar="ID", help="number or name of the dataset")
    add("-p", "--plans", default="PETARUNetPlans", help="plans to draw patches by (PETARUNetPlans)")
    add("-c", "--configuration", default="3d_fullres", help="their configuration (3d_fullres)")
    add("--draws", type=int, default=1000, metavar="N", help="patches to draw; 0 draws none (1000)")
    add("-o", "--output", type=Path, metavar="OUT", help="folder to write to (pe_nnunet/analysis in the raw dataset)")


def run(args: argparse.Namespace) -> int:
    """Analyse, write, print."""
    from pe_nnunet.dataset.folders import RAW, dataset_folder, nnunet_folder
    from pe_nnunet.dataset.raw import load_cases
    from pe_nnunet.sampling.analysis import case_rows, drawn_patches, embolus_rows, summary
    from pe_nnunet.sampling.analysis_files import write_analysis

    folder = dataset_folder(nnunet_folder(RAW), args.dataset, "PE-CONV-013")
    records = load_cases(folder)
    patches, why_not = (None, "--draws 0")
    if args.draws > 0:
        patches, why_not = drawn_patches(folder.name, args.plans, args.configuration, args.draws)
    cases, emboli = case_rows(records), embolus_rows(records)
    numbers = summary(cases, emboli, patches)
    for line in _lines(numbers):
        print(line)
    if patches is None:
        print(f"no patches drawn: {why_not}")
    out = args.output or folder / "pe_nnunet" / "analysis"
    write_analysis(out, cases, emboli, patches, numbers)
    print(f"written to {out}")
    return 0


def _lines(numbers: dict[str, Any]) -> list[str]:
    lines = [
        f"{numbers['cases']} cases, {numbers['negative_cases']} without emboli; {numbers['emboli']} emboli",
    ]
    if not numbers["emboli"]:
        return lines
    middle = {name: numbers[name]["median"] for name in ("embolus_mm3", "target_ratio_scan", "target_ratio_crop")}
    lines += [
        f"embolus, median             {middle['embolus_mm3']:.0f} mm3",
        f"target ratio, median        {middle['target_ratio_scan']:.2e} of the scan",
        f"                            {middle['target_ratio_crop']:.2e} of the crop",
    ]
    if "patches" in numbers:
        drawn = numbers["patches"]
        if drawn["target_ratio"]:
            lines.append(f"                            {drawn['target_ratio']['median']:.2e} of a positive patch")
        lines.append(f"positive patches            {drawn['positive_share']:.1%} of {drawn['drawn']}")
    return lines
