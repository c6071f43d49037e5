"""Muon in fewer steps against AdamW: seconds of the training steps, and what both reach on the same validation patches.

    python benchmarks/optimizers.py --nnunet demo/nnUNet -d 501 --steps 900 --float32      # after `make demo`

Both train PETARUNetTrainer on fold 0 of a planned dataset from the same weights, each with a learning rate schedule of
its own length, and take turns epoch by epoch, so that what else the machine does falls on both alike. The seconds are
those of the steps alone, without the loading of batches. The validation patches of the last epoch are the same for
both; they are scored with the averaged weights, and Dice is over all voxels of these patches.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

EPOCHS, VALIDATION_BATCHES = 5, 40
OPTIMIZERS = ("muon", "adamw")


class Training:
    """A trainer by one optimizer, and the seconds that its steps took so far.

    Args:
        optimizer: As in the recipe.
        steps: Of the whole training.
        seed: Of weights and batches.
        args: Of the command.
        folder: Where it writes.
    """

    def __init__(self, optimizer: str, steps: int, seed: int, args: argparse.Namespace, folder: Path) -> None:
        import torch
        from nnunetv2.run.run_training import get_trainer_from_args

        recipe = {
            "epochs": EPOCHS,
            "iterations": round(steps / EPOCHS),
            "validation_iterations": VALIDATION_BATCHES,
            "learning_rate": args.learning_rate,
            "cpu_bfloat16": "no" if args.float32 else "yes",
            "optimizer": optimizer,
            "seed": seed,
        }
        pairs = [f"{key}={value}" for key, value in recipe.items()]
        os.environ["PE_NNUNET_RECIPE"] = " ".join([*pairs, args.muon_recipe if optimizer == "muon" else ""])
        os.environ["nnUNet_results"] = str(folder / f"{optimizer}_{seed}")  # noqa: SIM112 - nnU-Net's name
        device = torch.device(args.device)
        self.trainer: Any = get_trainer_from_args(
            args.dataset, "3d_fullres", 0, "PETARUNetTrainer", args.plans, device=device
        )
        self.seconds = 0.0
        self._step = self.trainer.train_step
        self.trainer.train_step = self._timed
        self.trainer.on_train_start()

    def _timed(self, batch: dict[str, Any]) -> dict[str, Any]:
        started = time.perf_counter()
        result: dict[str, Any] = self._step(batch)
        self.seconds += time.perf_counter() - started
        return result

    def epoch(self) -> None:
        """Train and validate one."""
        self.trainer._run_epoch()

    def result(self) -> dict[str, float]:
        """Of the last epoch."""
        logged = self.trainer.logger.get_checkpoint()
        return {
            "seconds": self.seconds,
            "training loss": float(logged["train_losses"][-1]),
            "validation loss": float(logged["val_losses"][-1]),
            "Dice": float(logged["mean_fg_dice"][-1]),
        }


def compare(args: argparse.Namespace, seed: int, folder: Path) -> dict[str, dict[str, float]]:
    """Both optimizers, in turns."""
    steps = {"adamw": args.steps, "muon": round(args.share * args.steps)}
    trainings = {name: Training(name, steps[name], seed, args, folder) for name in OPTIMIZERS}
    for _ in range(EPOCHS):
        for training in trainings.values():
            training.epoch()
    return {name: training.result() for name, training in trainings.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nnunet", type=Path, required=True, help="folder of nnUNet_raw and nnUNet_preprocessed")
    parser.add_argument("-d", "--dataset", required=True)
    parser.add_argument("-p", "--plans", default="PETARUNetPlans")
    parser.add_argument("--steps", type=int, default=900, help="of AdamW")
    parser.add_argument("--share", type=float, default=2 / 3, help="of these, Muon's")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--muon-recipe", default="", help="further recipe keys of the training with Muon")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--float32", action="store_true", help="as on a CPU without bfloat16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("nnUNet_raw", "nnUNet_preprocessed"):
            os.environ[name] = str(args.nnunet / name)
        os.environ |= {"nnUNet_n_proc_DA": "0", "nnUNet_compile": "f"}
        import torch

        torch.set_num_threads(args.threads)
        found = [compare(args, seed, Path(folder)) for seed in range(args.seeds)]
    print(
        f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {args.device}, {args.threads} threads"
    )
    for seed, results in enumerate(found):
        for name, numbers in results.items():
            print(f"seed {seed}  {name:6}" + "".join(f"  {key} {value:.3f}" for key, value in numbers.items()))
    ours, theirs = (sum(results[name]["seconds"] for results in found) for name in OPTIMIZERS)
    print(f"seconds, AdamW / Muon: {theirs / ours:.2f}")


if __name__ == "__main__":
    main()
