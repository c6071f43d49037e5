"""Choose thresholds, smallest volume and the weights of detection on scans that each fold was not trained on.

pe-nnunet calibrate -d 501 -f 0 1 2 3 4 --target-fp 2

Each fold predicts its own validation scans; the settings with the highest F1 of emboli, or with the highest sensitivity
at a number of false positives a scan, are written to fusion.json in the (first) model's folder, where predict-fused
finds them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pe_nnunet.cli.model_options import (
    add_dataset_json,
    add_device,
    add_models_of_dataset,
    add_search,
    add_trust,
    trust,
)
from pe_nnunet.options import add_options, chosen


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet calibrate`."""
    add_models_of_dataset(parser, required=True)
    add_trust(parser)
    parser.add_argument("--detector", type=Path, help="folder of a detector with the same folds: PEDetector__...")
    add_device(parser)
    from pe_nnunet.inference.settings import InferenceSettings

    add_options(parser, InferenceSettings, "step", "mirroring")
    goal = parser.add_argument_group("goal")
    goal.add_argument(
        "--from",
        dest="source",
        choices=("probabilities", "npz", "masks"),
        default="probabilities",
        help="predict the scans, or take what training left in fold_*/validation: npz, the probabilities that "
        "nnUNetv2_train --npz wrote, or masks, by which only the smallest volume can be chosen; default %(default)s",
    )
    add_search(goal)
    add_dataset_json(goal)
    check = parser.add_argument_group("check on further scans", "how the mean of all folds differs from single folds")
    check.add_argument("--check", type=Path, help="scans that no fold was trained on")
    check.add_argument("--check-labels", type=Path, help="folder with one <case>.nii.gz a scan")


def run(args: argparse.Namespace) -> int:
    """Calibrate; see `configure` for the arguments."""
    from pe_nnunet.calibration.calibrate_models import calibrate_models
    from pe_nnunet.calibration.counts import Grid
    from pe_nnunet.calibration.held_out import refuse_fold_all
    from pe_nnunet.cli import DONE
    from pe_nnunet.errors import ConfigurationError
    from pe_nnunet.fusion import FusionSettings
    from pe_nnunet.inference.locate import locate_models
    from pe_nnunet.inference.settings import InferenceSettings

    trust(args)
    if (args.check is None) != (args.check_labels is None):
        raise ConfigurationError("PE-MODEL-007", "--check and --check-labels belong together: give both, or neither")
    if args.target_fp is not None and not args.target_fp >= 0:
        raise ConfigurationError("PE-MODEL-007", f"--target-fp is {args.target_fp}, expected 0 or more")
    inference = InferenceSettings(**chosen(args, InferenceSettings))
    grid = Grid()
    thresholds = (0.5,) if args.source == "masks" else tuple(args.thresholds or grid.thresholds)
    volumes = tuple(sorted(args.min_embolus_mm3)) if args.min_embolus_mm3 else grid.volumes_mm3
    for threshold in thresholds:
        for volume in volumes:
            FusionSettings(threshold, min_volume_mm3=volume)  # says what is out of range
    refuse_fold_all(args.folds or ())
    locations = locate_models(args.dataset, args.trainers, args.plans, args.configurations, args.folds, args.checkpoint)
    path = calibrate_models(
        locations,
        args.target_fp,
        Grid(thresholds, (0.0,) if args.source == "masks" else grid.seeds, volumes),
        source=args.source,
        device=args.device,
        inference=inference,
        trust_checkpoint=args.trust_checkpoint,
        detector=args.detector,
        check=None if args.check is None else (args.check, args.check_labels),
        dataset_json=args.dataset_json,
    )
    print(f"written to {path}", flush=True)
    return DONE
