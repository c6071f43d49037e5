"""Train the YOLO detector of lungs and emboli on axial slices.

pe-nnunet train-detector -d 501 -f 0

The dataset is one that `pe-nnunet convert` wrote; the folds are the segmenters' own. The network is one of the
architectures that ultralytics brings, with fresh weights or with yours (--weights). Nothing is downloaded. Results go
to nnUNet_results/DatasetXXX_Name/PEDetector__MODEL__SIZEpx/fold_F. ultralytics is AGPL-3.0; see docs/detection.md.
"""

from __future__ import annotations

import argparse
from functools import partial

from pe_nnunet.cli.model_options import add_device
from pe_nnunet.options import add_options, chosen


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet train-detector`."""
    parser.add_argument("-d", dest="dataset", required=True, help="dataset id or name under nnUNet_raw")
    parser.add_argument(
        "-f", dest="folds", nargs="+", metavar="FOLD", help="folds, or all; default: every fold of the splits"
    )
    from pe_nnunet.detection.settings import DetectorSettings

    add_device(parser)
    parser.add_argument("--overwrite", action="store_true", help="train folds again that are trained")
    network = parser.add_argument_group("network")
    add_options(network, DetectorSettings, "model", "weights", "trust_weights", "image_size")
    training = parser.add_argument_group("training")
    add_options(training, DetectorSettings, "epochs", "batch", "seed")
    training.add_argument("--set", dest="overrides", nargs="+", default=[], metavar="KEY=VALUE",
                          help="ultralytics' own training settings: lr0=0.01 fliplr=0 ...")  # fmt: skip
    slices = parser.add_argument_group("slices")
    add_options(slices, DetectorSettings, "slices_per_embolus", "negative_share")
    slices.add_argument("--extra-boxes", nargs="+", default=[], metavar="DATASET",
                        help="further converted datasets to train on, as of convert augmented-rspect")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Train; see `configure` for the arguments."""
    from pe_nnunet.cli import DONE
    from pe_nnunet.dataset.folders import PREPROCESSED, RAW, RESULTS, dataset_folder, nnunet_folder
    from pe_nnunet.detection.architectures import find_architecture
    from pe_nnunet.detection.settings import DetectorSettings, parse_overrides

    overrides = parse_overrides(args.overrides)
    find_architecture(args.model)  # before the work: a typo or a missing ultralytics is known at once
    raw, *extra = (dataset_folder(nnunet_folder(RAW), dataset) for dataset in (args.dataset, *args.extra_boxes))
    preprocessed, results = (nnunet_folder(variable) / raw.name for variable in (PREPROCESSED, RESULTS))

    from pe_nnunet.calibration.held_out import segmenters_of_other_splits
    from pe_nnunet.detection.train_folds import train_folds
    from pe_nnunet.inference.device import pick_device

    settings = DetectorSettings(
        **chosen(args, DetectorSettings), device=pick_device(args.device).type, overrides=overrides
    )
    train_folds(
        raw,
        preprocessed,
        results,
        settings,
        folds=args.folds,
        extra=extra,
        overwrite=args.overwrite,
        compare=partial(segmenters_of_other_splits, results),
    )
    return DONE
