"""Detect lungs and emboli in scans with a trained YOLO detector.

pe-nnunet detect -i STUDY -o OUT -d 501 -f 0

STUDY is a DICOM folder, a NIfTI, NRRD or MHA file, or a folder with any mixture of those. For each scan OUT gets
`<case>_detections.csv`, a box in space for each embolus with its confidence, and `<case>_detections.json`, which also
holds the box around the lungs. The detector runs on onnxruntime; ultralytics is not needed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pe_nnunet.cli.engine_options import add_engine, engine, settings
from pe_nnunet.cli.model_options import add_device
from pe_nnunet.cli.scan_options import add_input, add_limits, add_reading, limits, repairs, say_names, scans_of

if TYPE_CHECKING:
    from pe_nnunet.detection.detector import Detector


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet detect`."""
    add_input(parser)
    parser.add_argument("-o", dest="output", type=Path, required=True, help="folder for the results")
    which = parser.add_argument_group("detector", "by dataset, or by folder")
    which.add_argument("-d", dest="dataset", help="dataset id or name under nnUNet_results")
    which.add_argument("-f", dest="folds", nargs="+", metavar="FOLD", help="folds; default: all that are trained")
    which.add_argument("--detector", type=Path, help="folder PEDetector__..., or a fold of it, instead of -d")
    course = parser.add_argument_group("course")
    add_device(course, "mps")
    add_limits(course)
    add_engine(parser)
    add_reading(parser)


def run(args: argparse.Namespace) -> int:
    """Detect; see `configure` for the arguments."""
    from pe_nnunet.cases.made_there import MadeThere
    from pe_nnunet.cli import DONE, NOTHING_DONE, SOME_FAILED
    from pe_nnunet.errors import ConfigurationError

    if (args.dataset is None) == (args.detector is None):
        raise ConfigurationError("PE-DET-005", "no detector named, or two", "give either -d or --detector")
    refs = scans_of(args)

    from pe_nnunet.dataset.folders import RESULTS, dataset_folder, nnunet_folder
    from pe_nnunet.detection.locate import fold_folders, locate_detector

    if args.detector is not None:
        folders = fold_folders(args.detector, args.folds)
    else:
        folders = locate_detector(dataset_folder(nnunet_folder(RESULTS), args.dataset), args.folds)
    device = args.device if settings(args).engine == "local" else "cpu"
    detector = detector_on(folders, device)

    from pe_nnunet.detection.scans import detect_batch

    say_names(hash_names=args.hash_names, refused=sum(ref.refused for ref in refs))
    with engine(args, args.output, networks=True) as workers:
        found, failed = detect_batch(
            detector,
            refs,
            args.output,
            repairs(args),
            limits(args),
            engine=workers,
            elsewhere=None if workers is None else MadeThere(detector_on, folders, args.device),
        )
    print(f"{len(found)} scans written to {args.output}, {len(failed)} failed", flush=True)
    if not failed:
        return DONE
    return SOME_FAILED if found else NOTHING_DONE


def detector_on(folders: Sequence[Path], device: str) -> Detector:
    """A detector on a device of the machine that calls this."""
    from pe_nnunet.detection.detector import load_detector
    from pe_nnunet.inference.device import pick_device

    return load_detector(folders, pick_device(device).type)
