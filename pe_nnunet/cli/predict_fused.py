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
from typing import Any

from pe_nnunet.cli.engine_options import add_engine, engine, settings
from pe_nnunet.cli.model_options import add_device, add_models, add_trust, models_of, trust
from pe_nnunet.cli.scan_options import add_input, add_limits, add_reading, limits, repairs, say_names, scans_of
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.options import add_options, chosen
from pe_nnunet.outputs.writers import STOCK_SPELLINGS, kinds_for, switch_helps

FUSION = ("threshold", "seed_threshold", "min_volume_mm3", "nms_mm", "box_weight", "box_confidence", "no_box_penalty")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet predict-fused`."""
    add_input(parser)
    parser.add_argument("-o", dest="output", type=Path, required=True, help="folder for the results")
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
    parser.add_argument_group("what is told about them").add_argument(
        "--anatomy",
        type=Path,
        metavar="FOLDER",
        help="masks named as TotalSegmentator names them (lung_arteries, heart_ventricle_right, ...), or a folder with "
        "one such folder <case> a scan: for the level by following the arteries, lobe, obstruction, Qanadli and "
        "Mastora scores, and the ratio of the ventricles",
    )
    batch = parser.add_argument_group("many scans")
    batch.add_argument(
        "--resume", action="store_true", help="leave out what is complete, with the same models and settings"
    )
    add_limits(batch)
    batch.add_argument("--num-parts", type=int, default=1, help="divide the scans for as many machines or devices")
    batch.add_argument("--part-id", type=int, default=0, help="which part this is, from 0 on; default %(default)s")
    add_engine(parser)
    add_reading(parser)


def run(args: argparse.Namespace) -> int:
    """Predict; see `configure` for the arguments."""
    from pe_nnunet.burden import anatomy_files
    from pe_nnunet.cases.made_there import MadeThere
    from pe_nnunet.cli import DONE, NOTHING_DONE, SOME_FAILED
    from pe_nnunet.errors import ConfigurationError
    from pe_nnunet.fusion.choice import choose_settings
    from pe_nnunet.fusion.settings import FusionSettings
    from pe_nnunet.inference import PEPredictor
    from pe_nnunet.inference.batch import predict_batch
    from pe_nnunet.inference.inputs import read_inputs
    from pe_nnunet.inference.settings import PRESETS, InferenceSettings
    from pe_nnunet.processes.case_process import start_ahead

    asked = {name: getattr(args, name) for name in FUSION}
    FusionSettings(**chosen(args, FusionSettings))  # says what is out of range
    refs = scans_of(args)
    trust(args)
    locations = models_of(args)
    inference = replace(PRESETS[args.preset or "default"], **chosen(args, InferenceSettings))
    if not 0 <= args.part_id < args.num_parts:
        raise ConfigurationError(
            "PE-MODEL-007",
            f"--part-id {args.part_id} of --num-parts {args.num_parts}: expected 0 to their number less 1",
        )
    if args.artery is not None and args.roi != "artery":
        raise ConfigurationError("PE-MODEL-007", "--artery says where to look under --roi artery alone: give both")
    if args.anatomy is not None:
        anatomy_files(args.anatomy, "")  # whether there is such a folder
    local = settings(args).engine == "local"
    if local:
        start_ahead(read_inputs.__module__)
    fusion = partial(
        choose_settings,
        [place.folder for place in locations],
        target_fp=args.target_fp,
        accept=args.accept_calibration,
        file=args.fusion,
        model_weights=args.model_weights,
        **asked,
    )
    outputs = kinds_for(args.switches)
    made_of: dict[str, Any] = {
        "models": locations,
        "detector": args.detector,
        "device": args.device,
        "fusion": fusion,
        "margin_mm": args.lung_margin_mm,
        "on_no_lungs": args.on_no_lungs,
        "inference": inference,
        "along_arteries": args.roi == "artery" and args.artery is None,
        "outputs": outputs,
        "repairs": repairs(args),
        "trust_checkpoint": args.trust_checkpoint,
    }
    # beside workers elsewhere, this process checks the models and predicts nothing
    on_head: dict[str, Any] = {} if local else {"device": "cpu", "inference": replace(inference, backend="torch")}
    predictor = PEPredictor(**made_of | on_head)
    say_names(hash_names=args.hash_names, refused=sum(ref.refused for ref in refs))
    if args.detector is None:
        print("PE-MODEL-006 no detector given: findings come from segmentation alone", flush=True)
    for note in predictor.notes if local else predictor.choice.notes:
        print(note, flush=True)
    for heading, text in (line for terms in predictor.ensemble.terms for line in terms.lines):
        print(f"{heading}: {text}", flush=True)
    with engine(args, args.output, networks=True) as workers:
        written, failed = predict_batch(
            predictor,
            refs,
            args.output,
            outputs=outputs,
            artery=args.artery,
            anatomy=args.anatomy,
            resume=args.resume,
            part=args.part_id,
            parts=args.num_parts,
            limits=limits(args),
            engine=workers,
            elsewhere=None if workers is None else MadeThere(PEPredictor, **made_of),
        )
    print(f"{len(written)} scans written to {args.output}, {len(failed)} failed", flush=True)
    if not failed:
        return DONE
    return SOME_FAILED if written else NOTHING_DONE
