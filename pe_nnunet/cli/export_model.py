"""Pack trained models, their calibration and a detector into one zip file for others.

pe-nnunet export-model -o model.zip -d 501 -f 0 1 2 3 4

The file holds plans, checkpoints, fusion.json, a model card for each model (README.md, with Hugging Face's metadata on
top) and hashes of all of them; `pe-nnunet install-model model.zip` takes it in elsewhere. Scans are not in it. The card
says what the model was trained, calibrated and (--evaluation) scored on; it names no scans. `pe-nnunet verify` compares
it with the files.

pe-nnunet export-model -o FOLDER -d 501 -f 0 1 2 3 4 --onnx

writes the networks as ONNX instead, one file a fold, for programs without torch: patches in, logits out, any number at
once. A JSON file beside each, which is in its metadata too, says patch size, spacing, normalisation, order of axes and
what the channels mean; the card lies there too.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pe_nnunet.cli.model_options import add_models, add_trust, models_of, trust

if TYPE_CHECKING:
    from pe_nnunet.inference.locate import ModelLocation
    from pe_nnunet.model_cards.make import Stated


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet export-model`."""
    parser.add_argument("-o", dest="output", type=Path, required=True, help="zip file to write; a folder under --onnx")
    parser.add_argument("--onnx", action="store_true", help="write ONNX files, one a fold, instead of a zip file")
    add_trust(add_models(parser), checkpoints=False)
    card = parser.add_argument_group("model card", "what the files do not say; what is left out is called not stated")
    card.add_argument("--licence", metavar="NAME", default="", help="of the weights, as CC-BY-NC-4.0")
    card.add_argument("--citation", metavar="TEXT", default="", help="what whoever uses the model is asked to cite")
    card.add_argument("--limits", metavar="TEXT", default="", help="what else its users should know")
    card.add_argument(
        "--evaluation", type=Path, nargs="+", metavar="FOLDER", default=[], help="written by evaluate, of its scores"
    )
    card.add_argument(
        "--evaluation-name", nargs="+", metavar="NAME", default=[], help="of each; default: the name of its folder"
    )


def run(args: argparse.Namespace) -> int:
    """Export; see `configure` for the arguments."""
    from pe_nnunet.cli import DONE
    from pe_nnunet.detection.locate import fold_folders
    from pe_nnunet.inference.archive_export import export_models
    from pe_nnunet.model_cards.make import make_card

    trust(args)
    stated = _stated(args)
    locations = models_of(args)
    if args.onnx:
        return _write_onnx(args, locations, stated)
    detector = [] if args.detector is None else fold_folders(args.detector)
    names, notes = export_models(
        locations,
        args.output,
        detector,
        accept_calibration=args.accept_calibration,
        card_of=lambda place, calibrated: make_card(place, stated, calibrated=calibrated),
    )
    for note in notes:
        print(note, flush=True)
    print("\n".join(names))
    print(f"{len(names)} files in {args.output}, {args.output.stat().st_size / 1e6:.1f} MB", flush=True)
    return DONE


def _stated(args: argparse.Namespace) -> Stated:
    from pe_nnunet.errors import ConfigurationError
    from pe_nnunet.model_cards.make import Stated

    names = args.evaluation_name or [folder.resolve().name for folder in args.evaluation]
    if len(names) != len(args.evaluation):
        raise ConfigurationError(
            "PE-MODEL-007", f"--evaluation-name: {len(names)} names for {len(args.evaluation)} folders", "give each one"
        )
    evaluations = tuple(zip(names, args.evaluation, strict=True))
    return Stated(args.licence, args.citation, args.limits, evaluations)


def _write_onnx(args: argparse.Namespace, locations: list[ModelLocation], stated: Stated) -> int:
    from pe_nnunet.cli import DONE
    from pe_nnunet.errors import ConfigurationError
    from pe_nnunet.files import atomic_text
    from pe_nnunet.fusion.stored import NAME as FUSION_FILE
    from pe_nnunet.inference.archive import calibration_doubt
    from pe_nnunet.inference.model import weights_of
    from pe_nnunet.inference.model_card import MODEL_CARD
    from pe_nnunet.inference.onnx_export import export_onnx
    from pe_nnunet.model_cards.make import make_card

    if args.detector is not None:
        raise ConfigurationError(
            "PE-MODEL-007", "--onnx with --detector", "a detector is ONNX already: detector.onnx in its folder"
        )
    if args.output.suffix == ".zip" or args.output.is_file():
        raise ConfigurationError("PE-MODEL-007", f"-o {args.output}: under --onnx it is a folder", "name a folder")
    names, weights = [place.folder.name for place in locations], weights_of(locations)
    fits = [calibration_doubt(place.folder / FUSION_FILE, names, weights) is None for place in locations]
    cards = [make_card(place, stated, calibrated=fit) for place, fit in zip(locations, fits, strict=True)]
    for path in export_onnx(locations, args.output):
        print(f"{path}, {path.stat().st_size / 1e6:.1f} MB, and {path.with_suffix('.json').name}", flush=True)
    for place, (text, notes) in zip(locations, cards, strict=True):
        of_several = f"{place.folder.parent.name}__{place.folder.name}.md"
        atomic_text(args.output / (MODEL_CARD if len(cards) == 1 else of_several), text)
        for note in notes:
            print(note, flush=True)
    return DONE
