"""The whole chain, end to end, ending in a table and a picture.

pe-nnunet demo                         synthetic scans: some minutes on two cores, no GPU
pe-nnunet demo --studies MY_SCANS      the same on your own scans: one folder a case, with ct and emboli.nii.gz

The cohort of phantoms is small and coarse (2.5 mm voxels, a small thorax), and its emboli are large enough to show at
that spacing (0.4 ml and more; in FUMPE the median embolus has 1.05 ml, the smallest twentieth under 0.01 ml): it shows
that everything works together, not what the method can do. Phantom results are not clinical results.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pe_nnunet.cli.model_options import add_device


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet demo`."""
    parser.add_argument("--out", type=Path, default=Path("demo"), help="everything goes below; default %(default)s")
    parser.add_argument("--studies", type=Path, help="your own scans instead of phantoms: CASE/ct, CASE/emboli.nii.gz")
    parser.add_argument(
        "--held-out", nargs="+", default=[], metavar="CASE", help="of --studies; default: the last fifth"
    )
    parser.add_argument("--again", action="store_true", help="forget what an earlier run has done")
    training = parser.add_argument_group("training")
    add_device(training)
    training.add_argument("-d", dest="dataset", type=int, default=501, help="nnU-Net dataset id; default %(default)s")
    training.add_argument("-gpu_memory_target", dest="memory_gb", type=float, default=0.5, help="default %(default)s")
    training.add_argument("--epochs", type=int, help="of the segmenter's training; default: what the demo's goal needs")
    training.add_argument(
        "--no-detector", dest="detector", action="store_false", help="train the segmenter alone, and fuse nothing"
    )
    training.add_argument("--detector-epochs", type=int, help="of its training; default: what the demo's goal needs")
    training.add_argument("--detector-image-size", type=int, help="side of its pictures in pixels; default 192")
    training.add_argument("--recipe", default="", help='more of the recipe, as "key=value key=value"')
    training.add_argument(
        "--min-embolus-mm3", type=float, help="smallest finding kept; default: chosen on the validation scans"
    )


def run(args: argparse.Namespace) -> int:
    """Run the chain; exit 2 where the scores on phantoms miss their goals."""
    from dataclasses import replace

    from pe_nnunet.cli import DONE, NOTHING_DONE
    from pe_nnunet.demo import DemoSettings, run_demo
    from pe_nnunet.demo.chain import clean
    from pe_nnunet.demo.settings import DETECTOR
    from pe_nnunet.inference.device import pick_device
    from pe_nnunet.recipe.resolve import read_environment

    defaults = DemoSettings(args.out)
    given = {"epochs": args.detector_epochs, "image_size": args.detector_image_size}
    detector = replace(DETECTOR, **{name: value for name, value in given.items() if value is not None})
    settings = DemoSettings(
        out=args.out,
        studies=args.studies,
        held_out=tuple(args.held_out),
        dataset_id=args.dataset,
        memory_gb=args.memory_gb,
        epochs=defaults.epochs if args.epochs is None else args.epochs,
        recipe=defaults.recipe | read_environment(args.recipe),
        detector=detector if args.detector else None,
        min_embolus_mm3=args.min_embolus_mm3,
        device=str(pick_device(args.device)),
    )
    if args.again:
        clean(settings.out)
    text, missed = run_demo(settings)
    print(text, flush=True)
    if settings.studies is None and missed:
        for goal in missed:
            print(f"goal missed: {goal}", flush=True)
        return NOTHING_DONE
    return DONE
