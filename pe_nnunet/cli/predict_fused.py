"""Find emboli in scans with an ensemble of trained models.

pe-nnunet-predict-fused -i STUDY -o OUT -d 501 -f 0 1 2 3 4

STUDY is a DICOM folder, a NIfTI, NRRD or MHA file, or a folder with any mixture of those. Each scan is cropped to its
lungs, predicted by every fold of every model, averaged, parted into emboli and pasted back onto its own grid.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pe_nnunet.cli.model_options import add_device, add_models, add_trust, models_of, trust
from pe_nnunet.cli.scan_options import add_limits, add_reading, choice, limits, repairs, say_names
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.options import add_options, chosen
from pe_nnunet.outputs.writers import STOCK_SPELLINGS, kinds_for, switch_helps

if TYPE_CHECKING:
    from pe_nnunet.inference import PEPredictor

FUSION = ("threshold", "seed_threshold", "min_volume_mm3", "nms_mm", "box_weight", "box_confidence", "no_box_penalty")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet predict-fused`."""
    parser.add_argument("-i", dest="input", type=Path, required=True, help="scan, or folder of scans")
    parser.add_argument("-o", dest="output", type=Path, required=True, help="folder for the results")
    add_predictor(parser)
    where = parser.add_argument_group("where emboli are looked for")
    where.add_argument(
        "--roi",
        choices=("lungs", "artery"),
        default="lungs",
        help="search the lungs' convex hull, or only along the arteries; default %(default)s",
    )
    where.add_argument(
        "--artery",
        type=Path,
        help="with --roi artery: mask of the arteries, or a folder with one <case>.nii.gz a scan; default: what the "
        "first model that tells arteries takes for them",
    )
    add_options(where, ConvertOptions, "lung_margin_mm", "on_no_lungs")
    batch = parser.add_argument_group("many scans")
    batch.add_argument(
        "--resume", action="store_true", help="leave out what is complete, with the same models and settings"
    )
    add_limits(batch)
    batch.add_argument("--num-parts", type=int, default=1, help="divide the scans for as many machines or devices")
    batch.add_argument("--part-id", type=int, default=0, help="which part this is, from 0 on; default %(default)s")
    add_reading(parser)


def add_predictor(parser: argparse.ArgumentParser) -> None:
    """Add models, thresholds, files and how networks are run; `predictor_of` takes them from the arguments."""
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


def predictor_of(args: argparse.Namespace, outputs: frozenset[str], *, along_arteries: bool = False) -> PEPredictor:
    """The predictor that the options of `add_predictor`, `add_reading` and the lungs' ones ask for, with its models.

    Args:
        args: Of the command.
        outputs: Kinds of files that are to be written.
        along_arteries: As `PEPredictor` takes it.

    Raises:
        PEError: As `models_of` and `PEPredictor`.
    """
    from pe_nnunet.detection import load_detector
    from pe_nnunet.fusion.choice import choose_settings
    from pe_nnunet.inference import PEPredictor
    from pe_nnunet.inference.device import pick_device
    from pe_nnunet.inference.inputs import read_inputs
    from pe_nnunet.inference.settings import PRESETS, InferenceSettings
    from pe_nnunet.processes.case_process import start_ahead

    trust(args)
    locations = models_of(args)
    inference = replace(PRESETS[args.preset or "default"], **chosen(args, InferenceSettings))
    start_ahead(read_inputs.__module__)
    detector = None if args.detector is None else load_detector(args.detector, pick_device(args.device).type)
    fusion = partial(
        choose_settings,
        [place.folder for place in locations],
        target_fp=args.target_fp,
        accept=args.accept_calibration,
        file=args.fusion,
        model_weights=args.model_weights,
        **{name: getattr(args, name) for name in FUSION},
    )
    return PEPredictor(
        locations,
        detector,
        device=args.device,
        fusion=fusion,
        margin_mm=args.lung_margin_mm,
        on_no_lungs=args.on_no_lungs,
        inference=inference,
        along_arteries=along_arteries,
        outputs=outputs,
        repairs=repairs(args),
        trust_checkpoint=args.trust_checkpoint,
    )


def say_predictor(predictor: PEPredictor) -> None:
    """Print what counts for all scans of a run alike: notes, and terms of the weights."""
    if predictor.detector is None:
        print("PE-MODEL-006 no detector given: findings come from segmentation alone", flush=True)
    for note in predictor.notes:
        print(note, flush=True)
    for heading, text in (line for terms in predictor.ensemble.terms for line in terms.lines):
        print(f"{heading}: {text}", flush=True)


def run(args: argparse.Namespace) -> int:
    """Predict; see `configure` for the arguments."""
    from pe_nnunet.cli import DONE, NOTHING_DONE, SOME_FAILED
    from pe_nnunet.errors import ConfigurationError
    from pe_nnunet.fusion.settings import FusionSettings
    from pe_nnunet.inference.batch import predict_batch
    from pe_nnunet.volumes import find_scans
    from pe_nnunet.volumes.case_names import named_cases, names_hidden

    FusionSettings(**chosen(args, FusionSettings))  # says what is out of range
    with names_hidden(args.input, hide=args.hash_names):
        refs = find_scans(args.input, **choice(args))
    refs = named_cases(refs, args.input, hash_names=args.hash_names)
    if not 0 <= args.part_id < args.num_parts:
        raise ConfigurationError(
            "PE-MODEL-007",
            f"--part-id {args.part_id} of --num-parts {args.num_parts}: expected 0 to their number less 1",
        )
    if args.artery is not None and args.roi != "artery":
        raise ConfigurationError("PE-MODEL-007", "--artery says where to look under --roi artery alone: give both")
    outputs = kinds_for(args.switches)
    predictor = predictor_of(args, outputs, along_arteries=args.roi == "artery" and args.artery is None)
    say_names(hash_names=args.hash_names, refused=sum(ref.refused for ref in refs))
    say_predictor(predictor)
    written, failed = predict_batch(
        predictor,
        refs,
        args.output,
        outputs=outputs,
        artery=args.artery,
        resume=args.resume,
        part=args.part_id,
        parts=args.num_parts,
        limits=limits(args),
    )
    print(f"{len(written)} scans written to {args.output}, {len(failed)} failed", flush=True)
    if not failed:
        return DONE
    return SOME_FAILED if written else NOTHING_DONE
