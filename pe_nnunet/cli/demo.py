"""The whole chain, end to end, ending in a table and a picture.

pe-nnunet demo                         synthetic scans: some minutes on two cores, no GPU
pe-nnunet demo --studies MY_SCANS      the same on your own scans: one folder a case, with ct and emboli.nii.gz
pe-nnunet demo --quick                 nothing is trained: the shipped model on one synthetic scan, or on --scan

The machine is measured first, and the trainings are as long as --minutes allow. A second run goes on where the first
one was stopped. The cohort of phantoms is small and coarse (3 mm voxels, a small thorax), and its emboli are large
enough to show at that spacing (1 ml and more, FUMPE's median): it shows that everything works together, not what the
method can do. Phantom results are not clinical results.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pe_nnunet.cli.model_options import add_device

_QUICK = {"scan", "model"}
_WITH_QUICK = _QUICK | {"quick", "out", "device", "debug"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet demo`."""
    parser.add_argument("--out", type=Path, default=Path("demo"), help="everything goes below; default %(default)s")
    parser.add_argument("--studies", type=Path, help="your own scans instead of phantoms: CASE/ct, CASE/emboli.nii.gz")
    parser.add_argument(
        "--held-out", nargs="+", default=[], metavar="CASE", help="of --studies; default: the last fifth"
    )
    parser.add_argument("--minutes", type=float, default=8.5, help="that all may take; default %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="of phantoms and networks, 1 or more; default %(default)s")
    parser.add_argument("--again", action="store_true", help="forget what an earlier run has done")
    quick = parser.add_argument_group("without training")
    quick.add_argument("--quick", action="store_true", help="a trained model on one scan, in two minutes")
    quick.add_argument("--scan", type=Path, help="with --quick: your own, DICOM or a volume; default: a phantom")
    quick.add_argument("-m", dest="model", help="with --quick: the model; default starter")
    training = parser.add_argument_group("training")
    add_device(training)
    training.add_argument("-d", dest="dataset", type=int, default=501, help="nnU-Net dataset id; default %(default)s")
    training.add_argument(
        "-gpu_memory_target",
        dest="memory_gb",
        type=float,
        help="plan the network by it, instead of the demo's small one",
    )
    training.add_argument("--epochs", type=int, help="of the segmenter's training; default: as the minutes allow")
    training.add_argument(
        "--no-detector", dest="detector", action="store_false", help="train the segmenter alone, and fuse nothing"
    )
    training.add_argument("--detector-epochs", type=int, help="of its training; default: as the minutes allow")
    training.add_argument("--detector-image-size", type=int, help="side of its pictures in pixels; default 128")
    training.add_argument("--recipe", default="", help='more of the recipe, as "key=value key=value"')
    training.add_argument(
        "--min-embolus-mm3", type=float, help="smallest finding kept; default: chosen on the validation scans"
    )


def run(args: argparse.Namespace) -> int:
    """Run the chain; exit 2 where the scores on phantoms miss their goals."""
    _require_meaning(args)
    if args.quick:
        return _quick(args)
    from dataclasses import replace

    from pe_nnunet.cli import DONE, NOTHING_DONE
    from pe_nnunet.demo import DemoSettings, run_demo
    from pe_nnunet.demo.chain import clean
    from pe_nnunet.demo.settings import DETECTOR
    from pe_nnunet.inference.device import pick_device
    from pe_nnunet.recipe.resolve import read_environment

    defaults = DemoSettings(args.out)
    given = {"epochs": args.detector_epochs, "image_size": args.detector_image_size, "seed": args.seed - 1}
    detector = replace(DETECTOR, **{name: value for name, value in given.items() if value is not None})
    settings = DemoSettings(
        out=args.out,
        studies=args.studies,
        held_out=tuple(args.held_out),
        dataset_id=args.dataset,
        seed=args.seed,
        minutes=args.minutes,
        memory_gb=args.memory_gb or defaults.memory_gb,
        network="" if args.memory_gb else defaults.network,
        epochs=args.epochs,
        detector_epochs=args.detector_epochs,
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


def _require_meaning(args: argparse.Namespace) -> None:
    """Refuse options that would be left out: of training with --quick, and of that without.

    Raises:
        ConfigurationError: PE-DEMO-002.
    """
    from pe_nnunet.cli import command_parser
    from pe_nnunet.errors import ConfigurationError

    parser = command_parser("demo")
    flags = {action.dest: action.option_strings[0] for action in parser._actions}
    given = {name for name, value in vars(args).items() if value != parser.get_default(name)}
    left_out = given - _WITH_QUICK if args.quick else given & _QUICK
    if left_out:
        names = ", ".join(flags[name] for name in flags if name in left_out)
        hint = "leave them out" if args.quick else "give --quick too, or leave them out"
        raise ConfigurationError("PE-DEMO-002", f"{names}: no meaning with{'' if args.quick else 'out'} --quick", hint)


def _quick(args: argparse.Namespace) -> int:
    from pe_nnunet.cli import DONE
    from pe_nnunet.demo.quick import run_quick
    from pe_nnunet.inference.device import pick_device

    print(run_quick(args.out, args.model or "starter", args.scan, str(pick_device(args.device))), flush=True)
    return DONE
