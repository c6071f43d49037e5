"""Find emboli in scans with an ensemble of trained models.

pe-nnunet-predict-fused -i STUDY -o OUT -d 501 -f 0 1 2 3 4

STUDY is a DICOM folder, a NIfTI, NRRD or MHA file, or a folder with any mixture of those. Each scan is cropped to its
lungs, predicted by every fold of every model, averaged, parted into emboli and pasted back onto its own grid.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pe_nnunet.cli.model_options import add_models, models_of
from pe_nnunet.cli.scan_options import add_repairs, add_series, repairs

PRESETS = {"default": (True, 0.5, False), "fast": (False, 0.75, False), "accurate": (True, 0.35, True)}
"""Mirroring, step of the windows, single precision."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet predict-fused`."""
    parser.add_argument("-i", dest="input", type=Path, required=True, help="scan, or folder of scans")
    parser.add_argument("-o", dest="output", type=Path, required=True, help="folder for the results")
    reading = parser.add_argument_group("reading")
    add_series(reading)
    add_repairs(reading)
    which = add_models(parser)
    which.add_argument("--trust-checkpoint", action="store_true", help="load checkpoints that hold more than weights")
    how = parser.add_argument_group("prediction")
    how.add_argument("-device", dest="device", choices=("auto", "cuda", "cpu", "mps"), default="auto")
    how.add_argument("-step_size", dest="step", type=float, help="of the windows, as a share of one; default 0.5")
    how.add_argument(
        "--disable_tta", action="store_true", help="no averaging over mirrored inputs: up to 8 times faster"
    )
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
    how.add_argument("--float32", action="store_true", help="single precision, also where half precision is faster")
    how.add_argument("--batch-size", type=int, help="windows at once; default: as suits the device")
    how.add_argument("--lung-margin-mm", type=float, default=10.0, help="around the lungs; default %(default)s")
    how.add_argument("--on-no-lungs", choices=("error", "full-volume"), default="error")
    how.add_argument(
        "--roi",
        choices=("lungs", "artery"),
        default="lungs",
        help="search the lungs' convex hull, or only along the arteries; default %(default)s",
    )
    how.add_argument(
        "--artery",
        type=Path,
        help="with --roi artery: mask of the arteries, or a folder with one <case>.nii.gz a scan; default: what the "
        "first model that tells arteries takes for them",
    )
    emboli = parser.add_argument_group(
        "emboli", "defaults are those of fusion.json in the model folder, if there is one"
    )
    emboli.add_argument("--threshold", type=float, help="probability of a voxel; default 0.5")
    emboli.add_argument(
        "--seed-threshold", type=float, help="that one voxel of an embolus must reach; default: the same"
    )
    emboli.add_argument("--min-embolus-mm3", type=float, help="default 5")
    emboli.add_argument("--nms-mm", type=float, help="of findings this near the strongest stands for all; default: off")
    emboli.add_argument("--box-weight", type=float, help="of the log-odds of a detected embolus; default 0")
    emboli.add_argument("--box-confidence", type=float, help="of the least sure box that counts; default 0.5")
    emboli.add_argument(
        "--no-box-penalty", type=float, help="taken off the log-odds of a finding without a box; default 0"
    )
    emboli.add_argument(
        "--target-fp", type=float, help="take what was calibrated for at most so many false positives a scan"
    )
    parser.add_argument("--save-probability", action="store_true", help="also write <case>_probability.nii.gz")
    parser.add_argument(
        "--no-dicom-seg", dest="dicom_seg", action="store_false", help="no <case>_seg.dcm for DICOM scans"
    )
    parser.add_argument(
        "--no-report", dest="report", action="store_false", help="no <case>_report.html and no report.html"
    )
    parser.add_argument(
        "--save-agreement", action="store_true", help="also write <case>_agreement.nii.gz: share of members that agree"
    )
    parser.add_argument(
        "--save-parts",
        action="store_true",
        help="with --detector, also write what is fused: <case>_segmentation_probability.nii.gz and <case>_detections",
    )
    batch = parser.add_argument_group("many scans")
    batch.add_argument(
        "--resume", action="store_true", help="leave out what is complete, with the same models and settings"
    )
    batch.add_argument("--num-parts", type=int, default=1, help="divide the scans for as many machines or devices")
    batch.add_argument("--part-id", type=int, default=0, help="which part this is, from 0 on; default %(default)s")


def run(args: argparse.Namespace) -> int:
    """Predict; see `configure` for the arguments."""
    from pe_nnunet.cases import write_errors
    from pe_nnunet.cli import DONE, NOTHING_DONE, SOME_FAILED
    from pe_nnunet.errors import ConfigurationError
    from pe_nnunet.fusion import FusionSettings
    from pe_nnunet.inference import PEPredictor
    from pe_nnunet.inference.batch import BatchOptions, predict_batch
    from pe_nnunet.inference.ensemble import InferenceSettings
    from pe_nnunet.inference.operating_point import choose_settings
    from pe_nnunet.volumes import find_scans

    asked = {
        "threshold": args.threshold,
        "seed_threshold": args.seed_threshold,
        "min_volume_mm3": args.min_embolus_mm3,
        "nms_mm": args.nms_mm,
        "box_weight": args.box_weight,
        "no_box_penalty": args.no_box_penalty,
        "box_confidence": args.box_confidence,
    }
    FusionSettings(**{name: value for name, value in asked.items() if value is not None})  # says what is out of range
    refs = find_scans(args.input, series_uid=args.series_uid, pick=args.pick)
    locations = models_of(args)
    mirroring, step, float32 = PRESETS[args.preset or "default"]
    step = step if args.step is None else args.step
    if not 0 < step <= 1:
        raise ConfigurationError("PE-MODEL-007", f"-step_size is {step}, expected more than 0 and at most 1")
    if not 0 <= args.part_id < args.num_parts:
        raise ConfigurationError(
            "PE-MODEL-007",
            f"--part-id {args.part_id} of --num-parts {args.num_parts}: expected 0 to their number less 1",
        )
    if args.batch_size is not None and args.batch_size < 1:
        raise ConfigurationError("PE-MODEL-007", f"--batch-size is {args.batch_size}, expected 1 or more")
    if args.artery is not None and args.roi != "artery":
        raise ConfigurationError("PE-MODEL-007", "--artery says where to look under --roi artery alone: give both")
    fusion, notes = choose_settings(
        [place.folder for place in locations], target_fp=args.target_fp, detector=args.detector is not None, **asked
    )
    predictor = PEPredictor(
        locations,
        args.detector,
        device=args.device,
        fusion=fusion,
        margin_mm=args.lung_margin_mm,
        on_no_lungs=args.on_no_lungs,
        inference=InferenceSettings(mirroring and not args.disable_tta, step, float32 or args.float32, args.batch_size),
        along_arteries=args.roi == "artery" and args.artery is None,
        agreement=args.save_agreement,
        parts=args.save_parts,
        repairs=repairs(args),
        trust_checkpoint=args.trust_checkpoint,
    )
    if args.detector is None:
        print("PE-MODEL-006 no detector given: findings come from segmentation alone", flush=True)
    for note in notes:
        print(note, flush=True)
    part = args.output if args.num_parts == 1 else args.output / f"part_{args.part_id}_of_{args.num_parts}"
    write_errors([], part)  # before the work: an output that cannot be written is known at once
    options = BatchOptions(
        save_probability=args.save_probability,
        dicom_seg=args.dicom_seg,
        report=args.report,
        artery=args.artery,
        resume=args.resume,
        part=args.part_id,
        parts=args.num_parts,
    )
    written, failed = predict_batch(predictor, refs, args.output, options)
    print(f"{len(written)} scans written to {args.output}, {len(failed)} failed", flush=True)
    if not failed:
        return DONE
    return SOME_FAILED if written else NOTHING_DONE
