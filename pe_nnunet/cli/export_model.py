"""Pack trained models, their calibration and a detector into one zip file for others.

pe-nnunet export-model -o model.zip -d 501 -f 0 1 2 3 4

The file holds plans, checkpoints, fusion.json and hashes of all of them; `pe-nnunet install-model model.zip` takes it
in elsewhere. Scans are not in it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pe_nnunet.cli.model_options import add_models, add_trust, models_of, trust


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet export-model`."""
    parser.add_argument("-o", dest="output", type=Path, required=True, help="zip file to write")
    add_trust(add_models(parser), checkpoints=False)


def run(args: argparse.Namespace) -> int:
    """Export; see `configure` for the arguments."""
    from pe_nnunet.cli import DONE
    from pe_nnunet.detection.detector import fold_folders
    from pe_nnunet.inference.sharing import export_models

    trust(args)
    locations = models_of(args)
    detector = [] if args.detector is None else fold_folders(args.detector)
    names, notes = export_models(locations, args.output, detector, accept_calibration=args.accept_calibration)
    for note in notes:
        print(note, flush=True)
    print("\n".join(names))
    print(f"{len(names)} files in {args.output}, {args.output.stat().st_size / 1e6:.1f} MB", flush=True)
    return DONE
