"""Pack trained models, their calibration and a detector into one zip file for others.

pe-nnunet export-model -o model.zip -d 501 -f 0 1 2 3 4

The file holds plans, checkpoints, fusion.json and hashes of all of them; `pe-nnunet install-model model.zip` takes it
in elsewhere. Scans are not in it.

pe-nnunet export-model -o FOLDER -d 501 -f 0 1 2 3 4 --onnx

writes the networks as ONNX instead, one file a fold, for programs without torch: patches in, logits out, any number at
once. A JSON file beside each, which is in its metadata too, says patch size, spacing, normalisation, order of axes and
what the channels mean.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pe_nnunet.cli.model_options import add_models, add_trust, models_of, trust

if TYPE_CHECKING:
    from pe_nnunet.inference.locate import ModelLocation


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet export-model`."""
    parser.add_argument("-o", dest="output", type=Path, required=True, help="zip file to write; a folder under --onnx")
    parser.add_argument("--onnx", action="store_true", help="write ONNX files, one a fold, instead of a zip file")
    add_trust(add_models(parser), checkpoints=False)


def run(args: argparse.Namespace) -> int:
    """Export; see `configure` for the arguments."""
    from pe_nnunet.cli import DONE
    from pe_nnunet.detection.locate import fold_folders
    from pe_nnunet.inference.archive_export import export_models

    trust(args)
    locations = models_of(args)
    if args.onnx:
        return _write_onnx(args, locations)
    detector = [] if args.detector is None else fold_folders(args.detector)
    names, notes = export_models(locations, args.output, detector, accept_calibration=args.accept_calibration)
    for note in notes:
        print(note, flush=True)
    print("\n".join(names))
    print(f"{len(names)} files in {args.output}, {args.output.stat().st_size / 1e6:.1f} MB", flush=True)
    return DONE


def _write_onnx(args: argparse.Namespace, locations: list[ModelLocation]) -> int:
    from pe_nnunet.cli import DONE
    from pe_nnunet.errors import ConfigurationError
    from pe_nnunet.inference.onnx_export import export_onnx

    if args.detector is not None:
        raise ConfigurationError(
            "PE-MODEL-007", "--onnx with --detector", "a detector is ONNX already: detector.onnx in its folder"
        )
    if args.output.suffix == ".zip" or args.output.is_file():
        raise ConfigurationError("PE-MODEL-007", f"-o {args.output}: under --onnx it is a folder", "name a folder")
    for path in export_onnx(locations, args.output):
        print(f"{path}, {path.stat().st_size / 1e6:.1f} MB, and {path.with_suffix('.json').name}", flush=True)
    return DONE
