"""Pack trained models, their calibration and a detector into one zip file for others.

pe-nnunet export-model -o model.zip -d 501 -f 0 1 2 3 4

The file holds plans, checkpoints, fusion.json and hashes of all of them; `pe-nnunet install-model model.zip` takes it
in elsewhere. Scans are not in it.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet export-model`."""
    parser.add_argument("-o", dest="output", type=Path, required=True, help="zip file to write")
    which = parser.add_argument_group("models", "by dataset, or by folder with -m")
    which.add_argument("-d", dest="dataset", help="dataset id or name under nnUNet_results")
    which.add_argument(
        "-tr", dest="trainers", nargs="+", default=["PETARUNetTrainer"], help="trainer(s); default %(default)s"
    )
    which.add_argument("-p", dest="plans", nargs="+", default=["PETARUNetPlans"], help="plans; default %(default)s")
    which.add_argument("-c", dest="configurations", nargs="+", default=["3d_fullres"], help="default %(default)s")
    which.add_argument("-f", dest="folds", nargs="+", help="folds; default: all that are trained")
    which.add_argument("-m", dest="model_folders", nargs="+", type=Path, help="model folders, instead of -d -tr -p -c")
    which.add_argument("-chk", dest="checkpoint", default="checkpoint_final.pth", help="default %(default)s")
    which.add_argument("--detector", type=Path, help="folder of a detector: PEDetector__..., or a fold of it")


def run(args: argparse.Namespace) -> int:
    """Export; see `configure` for the arguments."""
    from pe_nnunet.cli import DONE
    from pe_nnunet.detection.detector import fold_folders
    from pe_nnunet.inference.locate import locate_asked
    from pe_nnunet.inference.sharing import export_models

    locations = locate_asked(args)
    names = export_models(locations, args.output, [] if args.detector is None else fold_folders(args.detector))
    print("\n".join(names))
    print(f"{len(names)} files in {args.output}, {args.output.stat().st_size / 1e6:.1f} MB", flush=True)
    return DONE
