"""Choose thresholds, smallest volume and the weights of models and boxes on scans that the models were not trained on.

pe-nnunet calibrate -d 501 -f 0 1 2 3 4 --target-fp 2
pe-nnunet calibrate -m FOLDER ... --scans SCANS --labels LABELS --output fusion.json

Each fold predicts its own validation scans or, with --scans, all folds predict labelled scans that no model was trained
on; the settings with the highest F1 of emboli, or with the highest sensitivity at a number of false positives a scan,
are written to fusion.json in the (first) model's folder, where predict-fused finds them, or to --output. Of several
models it is also chosen how much each counts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pe_nnunet.cli.model_options import (
    add_dataset_json,
    add_device,
    add_model_folders,
    add_search,
    add_trust,
    models_of,
    require_target,
    trust,
)
from pe_nnunet.cli.scan_options import add_limits, add_reading, choice, limits, repairs, say_names
from pe_nnunet.options import add_options, chosen


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet calibrate`."""
    which = parser.add_argument_group("models", "by dataset, or by name or folder with -m")
    add_model_folders(which)
    which.add_argument(
        "--detector", type=Path, help="folder of a detector: PEDetector__...; with the same folds, but for --scans"
    )
    add_trust(which)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="where the result goes; predict-fused takes it with --fusion; default: fusion.json in the (first) model's "
        "folder",
    )
    goal = parser.add_argument_group("goal")
    add_search(goal)
    goal.add_argument(
        "--from",
        dest="source",
        choices=("probabilities", "npz", "masks"),
        default="probabilities",
        help="predict the scans, or take what training left in fold_*/validation: npz, the probabilities that "
        "nnUNetv2_train --npz wrote, or masks, by which only the smallest volume can be chosen; default %(default)s",
    )
    add_dataset_json(goal)
    own = parser.add_argument_group("scans of your own", "instead of the validation scans of each fold")
    own.add_argument("--scans", type=Path, help="labelled scans that no model was trained on")
    own.add_argument("--labels", type=Path, help="their labels, as evaluate takes them")
    own.add_argument(
        "--patients",
        type=Path,
        metavar="FILE",
        help="whose each scan is: a CSV with the columns `case` and `patient`; default: each is a patient of its own",
    )
    add_limits(own)
    from pe_nnunet.inference.settings import InferenceSettings

    how = parser.add_argument_group("prediction")
    add_device(how)
    add_options(how, InferenceSettings, "step", "mirroring", "window", "backend")
    check = parser.add_argument_group("check on further scans", "how the mean of all folds differs from single folds")
    check.add_argument("--check", type=Path, help="scans that no fold was trained on")
    check.add_argument("--check-labels", type=Path, help="folder with one <case>.nii.gz a scan")
    add_reading(parser)


def run(args: argparse.Namespace) -> int:
    """Calibrate; see `configure` for the arguments."""
    from pe_nnunet.calibration.calibrate_models import calibrate_models
    from pe_nnunet.calibration.counts import Grid
    from pe_nnunet.calibration.held_out import refuse_fold_all
    from pe_nnunet.calibration.own_scans import OwnScans, calibrate_on_scans
    from pe_nnunet.cli import DONE, SOME_FAILED
    from pe_nnunet.errors import ConfigurationError
    from pe_nnunet.evaluation import read_patients
    from pe_nnunet.evaluation.prediction_pairing import find_labels
    from pe_nnunet.fusion import FusionSettings
    from pe_nnunet.inference.settings import InferenceSettings
    from pe_nnunet.volumes import find_scans
    from pe_nnunet.volumes.case_names import named_cases, names_hidden

    trust(args)
    for one, other in (("check", "check_labels"), ("scans", "labels")):
        if (getattr(args, one) is None) != (getattr(args, other) is None):
            flags = f"--{one} and --{other.replace('_', '-')}"
            raise ConfigurationError("PE-MODEL-007", f"{flags} belong together: give both, or neither")
    if args.scans is not None and (args.check is not None or args.source != "probabilities"):
        raise ConfigurationError("PE-MODEL-007", "--scans are predicted by all folds: give no --check and no --from")
    if args.scans is None and args.patients is not None:
        raise ConfigurationError("PE-MODEL-007", "--patients says whose the --scans are: give both")
    require_target(args)
    inference = InferenceSettings(**chosen(args, InferenceSettings))
    grid = Grid()
    thresholds = (0.5,) if args.source == "masks" else tuple(args.thresholds or grid.thresholds)
    volumes = tuple(sorted(args.min_embolus_mm3)) if args.min_embolus_mm3 else grid.volumes_mm3
    for threshold in thresholds:
        for volume in volumes:
            FusionSettings(threshold, min_volume_mm3=volume)  # says what is out of range
    grid = Grid(thresholds, (0.0,) if args.source == "masks" else grid.seeds, volumes)
    if args.scans is None:
        refuse_fold_all(args.folds or ())
        path = calibrate_models(
            models_of(args),
            args.target_fp,
            grid,
            source=args.source,
            device=args.device,
            inference=inference,
            trust_checkpoint=args.trust_checkpoint,
            detector=args.detector,
            check=None if args.check is None else (args.check, args.check_labels),
            dataset_json=args.dataset_json,
            output=args.output,
        )
        print(f"written to {path}", flush=True)
        return DONE
    locations = models_of(args)
    labels = find_labels(args.labels)
    with names_hidden(args.scans, hide=args.hash_names):
        refs = find_scans(args.scans, **choice(args))
    refs = named_cases(refs, args.scans, hash_names=args.hash_names)
    say_names(hash_names=args.hash_names, refused=sum(ref.refused for ref in refs))
    path, failed = calibrate_on_scans(
        locations,
        OwnScans(
            refs,
            labels,
            args.labels,
            args.dataset_json,
            read_patients(args.patients) if args.patients else None,
            repairs(args),
            limits(args),
        ),
        args.target_fp,
        grid,
        device=args.device,
        inference=inference,
        trust_checkpoint=args.trust_checkpoint,
        detector=args.detector,
        output=args.output,
    )
    print(f"written to {path}; {len(failed)} scans were left out", flush=True)
    return SOME_FAILED if failed else DONE
