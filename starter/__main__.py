"""Make the model that ships with the package from rendered scans.

    python -m starter RENDERED... --work FOLDER
    python -m starter RENDERED... --work FOLDER --step train --c           # go on with a stopped training, then pack

RENDERED are folders with one folder a scan: ct, emboli (ids), artery, vein, lung. Scans of test anatomies in them are
left out. The steps are vary, convert, plan, train, pack; --step begins at one, --only ends after it. PE_NNUNET_PLAN
sets patch and batch, PE_NNUNET_RECIPE the training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

STEPS = ("vary", "convert", "plan", "train", "pack")


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    made = argparse.ArgumentParser(
        prog="starter", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = made.add_argument
    add("rendered", nargs="*", type=Path, metavar="RENDERED", help="folders of rendered scans; needed to vary")
    add("--work", type=Path, required=True, help="everything is written below")
    add("--out", type=Path, default=Path("pe_nnunet/models/starter"), help="the packed model; default %(default)s")
    add("--step", choices=STEPS, default=STEPS[0], help="where to begin; default %(default)s")
    add("--only", action="store_true", help="that step alone")
    add("--variants", type=int, default=5, metavar="N", help="of each scan, it included; default %(default)s")
    add("--seed", type=int, default=0, help="of all that is drawn; default %(default)s")
    add("--scheme", choices=("artery-pe", "pe"), default="artery-pe", help="labels; default %(default)s")
    add("--memory-gib", type=float, default=2.0, metavar="GIB", help="the planner's memory target; default %(default)g")
    add("--spacing-mm", type=float, metavar="MM", help="of what the network sees; default: the planner's choice")
    add("--from", dest="first", metavar="MODEL", help="train from its weights: its layers, as wide or wider")
    add("--c", dest="go_on", action="store_true", help="go on with a training that was stopped")
    add("--target-fp", type=float, default=2.0, metavar="N", help="false positives a scan that the threshold is for")
    add("-device", dest="device", choices=("auto", "cuda", "mps", "cpu"), default="auto")
    add("--processes", type=int, default=1, metavar="N", help="workers; default %(default)s")
    return made


def main() -> int:
    """Run the steps."""
    args = parser().parse_args()
    from starter import make
    from starter.anatomies import find_rendered
    from starter.vary import write_variants

    make.use_folders(args.work)
    first = STEPS.index(args.step)
    steps = STEPS[first : first + 1] if args.only else STEPS[first:]
    if "vary" in steps:
        names = write_variants(find_rendered(args.rendered), args.work, args.variants, args.seed, args.processes)
        print(f"{len(names)} variants below {args.work}", flush=True)
    if "convert" in steps:
        make.convert(args.work, args.scheme, args.processes)
    if "plan" in steps:
        make.plan(args.memory_gib, args.spacing_mm, args.processes)
    if "train" in steps:
        print(make.train(args.device, first=args.first, go_on=args.go_on), flush=True)
    if "pack" in steps:
        from starter.pack import pack

        print(pack(args.work, args.out, target_fp=args.target_fp, device=args.device), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
