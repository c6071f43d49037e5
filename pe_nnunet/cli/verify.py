"""Say whether a model or results are whole, and as they were written.

pe-nnunet verify FOLDER

FOLDER is a trained or installed model, the name of a shipped one (starter), a model archive, a detector, what
predict-fused wrote, a converted dataset, an evaluation, a phantom cohort, or a folder of these, as nnUNet_results is.
Files are compared with the hashes that were recorded of them and read to their end, records, tables and model cards
with one another, and what is missing, too much, or left by an interrupted run is named. Nothing that lies there is run,
changed or written.

One line a finding. Exit code 0 if there is no error (warnings do not count), 3 if there is one, 2 if
nothing there is known.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pe_nnunet.cli.scan_options import add_limits, limits


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet verify`."""
    parser.add_argument("folder", type=Path, help="folder, model archive, or name of a shipped model")
    parser.add_argument(
        "--evaluation",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        default=[],
        help="what evaluate wrote: are these the scores on the model card?",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    add_limits(parser.add_argument_group("course"))


def run(args: argparse.Namespace) -> int:
    """Verify; see `configure` for the arguments."""
    import json

    from pe_nnunet.cli import DONE, SOME_FAILED
    from pe_nnunet.inference.named_models import name_notes
    from pe_nnunet.inference.shipped import SHIPPED, shipped_folder
    from pe_nnunet.verification.verify import verify

    name = str(args.folder)
    for note in name_notes([name]):
        print(note, file=sys.stderr, flush=True)
    places = verify(shipped_folder(name) if name in SHIPPED else args.folder, limits(args), args.evaluation)
    errors = sum(place.errors for place in places)
    if args.json:
        print(json.dumps({"errors": errors, "places": [place.to_dict() for place in places]}, indent=2))
        return SOME_FAILED if errors else DONE
    for place in places:
        for finding in place.findings:
            print(finding)
        if place.files:
            said = f"{place.errors} error{'s' * (place.errors > 1)}" if place.errors else "as it should be"
            print(f"{place.path}: {place.kind}, {place.files} files, {said}", flush=True)
    return SOME_FAILED if errors else DONE
