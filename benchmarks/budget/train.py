"""One training of so many steps, and what each part of it took. Run as a program by `budget.timing`.

python train.py '{"dataset": ..., "plans": ..., "trainer": ..., "epochs": ..., "iterations": ...,
                  "validation_iterations": ..., "seed": ..., "device": ..., "threads": ..., "out": ...}'
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
    """Writes down when each training step, validation step and epoch of a trainer ended."""

    def __init__(self, trainer: Any) -> None:
        self.begin = time.perf_counter()
        self.ends: dict[str, list[float]] = {"train_step": [], "validation_step": [], "on_epoch_end": []}
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
    recipe = {**job["recipe"], "epochs": job["epochs"], "iterations": job["iterations"], "seed": job["seed"]}
    recipe["validation_iterations"] = job["validation_iterations"]
    os.environ["PE_NNUNET_RECIPE"] = " ".join(f"{key}={value}" for key, value in recipe.items())

    import numpy as np
    import torch
    from nnunetv2.run.run_training import get_trainer_from_args

    from pe_nnunet.files import atomic_json

    np.random.seed(job["seed"])  # noqa: NPY002 - nnU-Net's own loader draws from it
    torch.manual_seed(job["seed"])
    torch.set_num_threads(job["threads"])
    device = torch.device(job["device"])
    trainer = get_trainer_from_args(job["dataset"], "3d_fullres", 0, job["trainer"], job["plans"], device=device)
    trainer.num_epochs = job["epochs"]
    trainer.num_iterations_per_epoch = job["iterations"]
    trainer.num_val_iterations_per_epoch = job["validation_iterations"]
    watch = Stopwatch(trainer)
    trainer.run_training()
    seconds = time.perf_counter() - watch.begin
    epochs = watch.ends["on_epoch_end"]
    dice = trainer.logger.get_value("mean_fg_dice", step=None)
    largest = 1024 * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    if device.type == "cuda":
        largest = torch.cuda.max_memory_reserved(device)
    result = {
        "seconds": seconds,
        "steps": job["epochs"] * job["iterations"],
        "memory_gb": largest / 1e9,
        "curve": [[round(end, 1), round(float(value), 4)] for end, value in zip(epochs, dice, strict=False)],
        "ends": watch.ends,
        "model": str(trainer.output_folder_base),
    }
    atomic_json(Path(job["out"]), result)


if __name__ == "__main__":
    main()
