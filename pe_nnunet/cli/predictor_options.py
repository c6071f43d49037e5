"""Options of the commands that predict: models, thresholds, files and how networks are run."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pe_nnunet.cli.model_options import add_device, add_models, add_trust, models_of, trust
from pe_nnunet.cli.scan_options import repairs
from pe_nnunet.options import add_options, chosen
from pe_nnunet.outputs.writers import STOCK_SPELLINGS, switch_helps

if TYPE_CHECKING:
    from pe_nnunet.errors import Note
    from pe_nnunet.inference import PEPredictor

FUSION = ("threshold", "seed_threshold", "min_volume_mm3", "nms_mm", "box_weight", "box_confidence", "no_box_penalty")


def add_predictor(parser: argparse.ArgumentParser) -> None:
    """Add models, thresholds, files and how networks are run; `predictor_arguments` takes them from the arguments."""
    from pe_nnunet.fusion.settings import FusionSettings
    from pe_nnunet.inference.settings import InferenceSettings

    which = add_models(parser)
    add_trust(which)
    which.add_argument(
        "--fusion",
        type=Path,
        metavar="FILE",
        help="calibrated settings to take instead of a model folder's fusion.json",
    )
    which.add_argument(
        "--model-weights",
        type=float,
        nargs="+",
        metavar="W",
        help="how much each model counts, in their order, shared alike by its folds; 0: it is not run; default: what "
        "was calibrated, else every fold of every model alike",
    )
    emboli = parser.add_argument_group(
        "emboli", "defaults are those of fusion.json in the model folder, if there is one"
    )
    emboli.add_argument(
        "--target-fp", type=float, help="take what was calibrated for at most so many false positives a scan"
    )
    add_options(emboli, FusionSettings, *FUSION, unset=True)
    files = parser.add_argument_group("files to write")
    for switch, text in switch_helps().items():
        spellings = [switch, *([STOCK_SPELLINGS[switch]] if switch in STOCK_SPELLINGS else [])]
        files.add_argument(*spellings, dest="switches", action="append_const", const=switch, default=[], help=text)
    how = parser.add_argument_group("prediction")
    add_device(how)
    preset = how.add_mutually_exclusive_group()
    preset.add_argument(
        "--fast",
        dest="preset",
        action="store_const",
        const="fast",
        help="windows 0.75 apart, no mirroring",
    )
    preset.add_argument(
        "--accurate", dest="preset", action="store_const", const="accurate", help="single precision, windows 0.35 apart"
    )
    add_options(how, InferenceSettings, unset=True)


def predictor_arguments(
    args: argparse.Namespace, outputs: frozenset[str], *, along_arteries: bool = False
) -> dict[str, Any]:
    """The arguments of `PEPredictor` that the options of `add_predictor`, `add_reading` and the lungs' ones ask for.

    Args:
        args: Of the command.
        outputs: Kinds of files that are to be written.
        along_arteries: As `PEPredictor` takes it.

    Returns:
        By name; all can be pickled.

    Raises:
        PEError: As `models_of`, and where a value is out of range.
    """
    from pe_nnunet.fusion.choice import choose_settings
    from pe_nnunet.fusion.settings import FusionSettings
    from pe_nnunet.inference.settings import PRESETS, InferenceSettings

    FusionSettings(**chosen(args, FusionSettings))  # says what is out of range
    trust(args)
    locations = models_of(args)
    fusion = partial(
        choose_settings,
        [place.folder for place in locations],
        target_fp=args.target_fp,
        accept=args.accept_calibration,
        file=args.fusion,
        model_weights=args.model_weights,
        **{name: getattr(args, name) for name in FUSION},
    )
    return {
        "models": locations,
        "detector": args.detector,
        "device": args.device,
        "fusion": fusion,
        "margin_mm": args.lung_margin_mm,
        "on_no_lungs": args.on_no_lungs,
        "inference": replace(PRESETS[args.preset or "default"], **chosen(args, InferenceSettings)),
        "along_arteries": along_arteries,
        "outputs": outputs,
        "repairs": repairs(args),
        "trust_checkpoint": args.trust_checkpoint,
    }


def say_predictor(predictor: PEPredictor, notes: Iterable[Note]) -> None:
    """Print what counts for all scans of a run alike: notes, and terms of the weights."""
    if predictor.detector is None:
        print("PE-MODEL-006 no detector given: findings come from segmentation alone", flush=True)
    for note in notes:
        print(note, flush=True)
    for heading, text in (line for terms in predictor.ensemble.terms for line in terms.lines):
        print(f"{heading}: {text}", flush=True)
