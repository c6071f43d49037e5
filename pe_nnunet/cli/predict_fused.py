"""Find emboli in scans with an ensemble of trained models.

pe-nnunet-predict-fused -i STUDY -o OUT -d 501 -f 0 1 2 3 4

STUDY is a DICOM folder, a NIfTI, NRRD or MHA file, or a folder with any mixture of those. Each scan is cropped to its
lungs, predicted by every fold of every model, averaged, parted into emboli and pasted back onto its own grid.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet predict-fused`."""
    parser.add_argument("-i", dest="input", type=Path, required=True, help="scan, or folder of scans")
    parser.add_argument("-o", dest="output", type=Path, required=True, help="folder for the results")
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
    which.add_argument("--trust-checkpoint", action="store_true", help="load checkpoints that hold more than weights")
    how = parser.add_argument_group("prediction")
    how.add_argument("-device", dest="device", choices=("auto", "cuda", "cpu", "mps"), default="auto")
    how.add_argument("-step_size", dest="step", type=float, default=0.5, help="of the windows; default %(default)s")
    how.add_argument(
        "--disable_tta", action="store_true", help="no averaging over mirrored inputs: up to 8 times faster"
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
        "--artery", type=Path, help="with --roi artery: mask of the arteries, or a folder with one <case>.nii.gz a scan"
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
    emboli.add_argument(
        "--target-fp", type=float, help="take what was calibrated for at most so many false positives a scan"
    )
    parser.add_argument("--save-probability", action="store_true", help="also write <case>_probability.nii.gz")
    parser.add_argument(
        "--no-dicom-seg", dest="dicom_seg", action="store_false", help="no <case>_seg.dcm for DICOM scans"
    )
    parser.add_argument(
        "--save-agreement", action="store_true", help="also write <case>_agreement.nii.gz: share of members that agree"
    )


def run(args: argparse.Namespace) -> int:
    """Predict; see `configure` for the arguments."""
    from pe_nnunet.cli import DONE, NOTHING_DONE, SOME_FAILED
    from pe_nnunet.errors import ConfigurationError
    from pe_nnunet.fusion import FusionSettings
    from pe_nnunet.inference.locate import locate_folder, locate_models
    from pe_nnunet.inference.operating_point import choose_settings
    from pe_nnunet.volumes import find_scans

    asked = {
        "threshold": args.threshold,
        "seed_threshold": args.seed_threshold,
        "min_volume_mm3": args.min_embolus_mm3,
        "nms_mm": args.nms_mm,
    }
    FusionSettings(**{name: value for name, value in asked.items() if value is not None})  # says what is out of range
    refs = find_scans(args.input)
    if args.model_folders:
        locations = [locate_folder(folder, args.folds, args.checkpoint) for folder in args.model_folders]
    elif args.dataset:
        locations = locate_models(
            args.dataset, args.trainers, args.plans, args.configurations, args.folds, args.checkpoint
        )
    else:
        raise ConfigurationError("PE-MODEL-001", "no model given", "name a dataset with -d, or model folders with -m")
    if not 0 < args.step <= 1:
        raise ConfigurationError("PE-MODEL-007", f"-step_size is {args.step}, expected more than 0 and at most 1")
    if args.batch_size is not None and args.batch_size < 1:
        raise ConfigurationError("PE-MODEL-007", f"--batch-size is {args.batch_size}, expected 1 or more")
    if (args.roi == "artery") != (args.artery is not None):
        raise ConfigurationError("PE-MODEL-007", "--roi artery and --artery belong together: give both, or neither")
    fusion, notes = choose_settings([place.folder for place in locations], target_fp=args.target_fp, **asked)

    from pe_nnunet.inference import PEPredictor
    from pe_nnunet.inference.batch import predict_batch
    from pe_nnunet.inference.ensemble import InferenceSettings
    from pe_nnunet.outputs import write_errors

    predictor = PEPredictor(
        locations,
        device=args.device,
        fusion=fusion,
        margin_mm=args.lung_margin_mm,
        on_no_lungs=args.on_no_lungs,
        inference=InferenceSettings(not args.disable_tta, args.step, args.float32, args.batch_size),
        agreement=args.save_agreement,
        trust_checkpoint=args.trust_checkpoint,
    )
    print("PE-MODEL-006 no detector given: findings come from segmentation alone", flush=True)
    for note in notes:
        print(note, flush=True)
    write_errors([], args.output)  # before the work: an output that cannot be written is known at once
    written, failed = predict_batch(
        predictor,
        refs,
        args.output,
        save_probability=args.save_probability,
        dicom_seg=args.dicom_seg,
        artery=args.artery,
    )
    print(f"{len(written)} scans written to {args.output}, {len(failed)} failed", flush=True)
    if not failed:
        return DONE
    return SOME_FAILED if written else NOTHING_DONE
