"""Whether network, loss and data fit together: train on a few patches until they are known by heart.

pe-nnunet check-fit -d 501 -tr PETARUNetTrainer
pe-nnunet check-fit -d 501 -tr PEAANetTrainer -p PEAANetPlans --minutes 10 -device cuda

Takes patches around emboli from the preprocessed training cases, without augmentation, and trains by the recipe in
PE_NNUNET_RECIPE. Exit code 0 if their Dice reaches 0.9, else 2 and what to look at. Nothing is kept.
"""

from __future__ import annotations

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet check-fit`."""
    add = parser.add_argument
    add("-d", "--dataset", required=True, metavar="ID", help="number or name of the dataset")
    add("-tr", "--trainer", default="PETARUNetTrainer", help="one of our trainers (PETARUNetTrainer)")
    add("-p", "--plans", help="plans (those of the trainer's planner)")
    add("-c", "--configuration", default="3d_fullres", help="their configuration (3d_fullres)")
    add("-f", "--fold", default="0", help="whose training cases: a number, or all (0)")
    add("-device", "--device", help="cuda, cpu or mps (cuda where there is one)")
    add = parser.add_argument_group("how long").add_argument
    add("--patches", type=int, default=2, metavar="N", help="patches to learn (2)")
    add("--steps", type=int, default=400, metavar="N", help="most steps (400)")
    add("--minutes", type=float, default=5.0, metavar="M", help="most time (5)")


def run(args: argparse.Namespace) -> int:
    """Train, and say whether the patches were learned.

    Raises:
        ConfigurationError: PE-TRAIN-009 if they were not.
    """
    from pe_nnunet.inference.device import pick_device
    from pe_nnunet.trainers.check_fit import check_fit, temporary_trainer

    plans = args.plans or args.trainer.removesuffix("Trainer") + "Plans"
    device = args.device and pick_device(args.device).type
    with temporary_trainer(args.dataset, args.trainer, plans, args.configuration, args.fold, device) as trainer:
        print(check_fit(trainer, patches=args.patches, max_steps=args.steps, max_minutes=args.minutes, log=print))
    return 0
