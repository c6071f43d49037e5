"""One training of so many steps, without validation of whole scans, and what each part of it took.

python train.py '{"dataset": ..., "plans": ..., "trainer": ..., "recipe": ..., "epochs": ..., "iterations": ...,
                  "seed": ..., "device": ..., "out": ...}'

Run as a program by `budget.timing`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Stopwatch:
    """Writes down when each training step and each epoch of a trainer ended."""

    def __init__(self, trainer: Any) -> None:
        self.begin = time.perf_counter()
        self.ends: dict[str, list[float]] = {"train_step": [], "on_epoch_end": []}
        for name in self.ends:
            setattr(trainer, name, self._timed(name, getattr(trainer, name)))

    def _timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            result = call(*args)
            self.ends[name].append(time.perf_counter() - self.begin)
            return result

        return timed


def main() -> None:
    job = json.loads(sys.argv[1])
    fixed = f"epochs={job['epochs']} iterations={job['iterations']} validation_iterations=1 seed={job['seed']}"
    os.environ["PE_NNUNET_RECIPE"] = f"{job['recipe']} {fixed}"

    import numpy as np
    import torch
    from nnunetv2.run.run_training import get_trainer_from_args

    from pe_nnunet.files import atomic_json
    from pe_nnunet.recipe.resolve import read_environment

    np.random.seed(job["seed"])  # noqa: NPY002 - nnU-Net's own loader draws from it
    torch.manual_seed(job["seed"])
    device = torch.device(job["device"])
    trainer = get_trainer_from_args(job["dataset"], "3d_fullres", 0, job["trainer"], job["plans"], device=device)
    trainer.num_epochs = job["epochs"]
    trainer.num_iterations_per_epoch = job["iterations"]
    trainer.num_val_iterations_per_epoch = 1  # nnU-Net's loop takes no fewer
    if job["trainer"] == "nnUNetTrainer":  # which reads no recipe
        rate = read_environment(job["recipe"]).get("learning_rate", trainer.initial_lr)
        trainer.initial_lr = float(rate)
    watch = Stopwatch(trainer)
    trainer.run_training()
    seconds = time.perf_counter() - watch.begin
    largest = 1024 * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    if device.type == "cuda":
        largest = torch.cuda.max_memory_reserved(device)
    result = {
        "seconds": seconds,
        "steps": job["epochs"] * job["iterations"],
        "memory_gb": largest / 1e9,
        "ends": watch.ends,
        "model": str(trainer.output_folder_base),
    }
    atomic_json(Path(job["out"]), result)


if __name__ == "__main__":
    main()
