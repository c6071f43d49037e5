"""A training that goes on exactly where it was cut off."""

from __future__ import annotations

import sys
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import nn
from torch._dynamo import OptimizedModule

from pe_nnunet.recipe import TrainingRecipe
from pe_nnunet.sampling import BatchSeeds
from pe_nnunet.trainers.averaging import WeightAverage
from pe_nnunet.trainers.checkpoint import LATEST, OLDER, read_checkpoint, write_checkpoint
from pe_nnunet.trainers.stopping import STOP_FILE, StopSignal, epochs_without_gain
from pe_nnunet.trainers.workers import stop_processes

STREAM_OF_STEPS = 2  # 0 and 1 are the loaders'


class ResumableTrainer(nnUNetTrainer):  # type: ignore[misc] # nnU-Net publishes no types
    """nnU-Net's loop over epochs, with checkpoints that hold all that the rest of the training depends on.

    The chance in a step follows from the seed and the step's number, so a checkpoint needs no state of random
    generators, and can be written within an epoch: it then holds that epoch's results so far.

    Subclasses set `recipe` and, where weights are averaged, `average`.
    """

    recipe: TrainingRecipe

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 - nnU-Net reads this signature
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.average: WeightAverage | None = None
        self.outputs_so_far: list[dict[str, Any]] = []  # of the epoch that a checkpoint was written in
        self.history: list[dict[str, Any]] = []
        self._saved_at = monotonic()

    def _bare_network(self) -> nn.Module:
        network = self.network.module if self.is_ddp else self.network
        return network._orig_mod if isinstance(network, OptimizedModule) else network

    # ---- the loop

    def run_training(self) -> None:
        """Train until the last epoch, or until nothing is gained or a file named `stop` lies in the fold's folder.

        SIGTERM ends the process after the step that is running: with a checkpoint, and with exit code 0.
        """
        self.on_train_start()
        self._saved_at = monotonic()
        with StopSignal() as stop:
            while self.current_epoch < self.num_epochs and not self._ends_early():
                self._run_epoch(stop)
        self.on_train_end()

    def _run_epoch(self, stop: StopSignal) -> None:
        self.on_epoch_start()
        self.on_train_epoch_start()
        outputs, self.outputs_so_far = self.outputs_so_far, []
        for _ in outputs:  # the learning rate goes by step
            self.lr_scheduler.advance()
        while len(outputs) < self.num_iterations_per_epoch:
            batch = self._next_batch(self.dataloader_train, stop, outputs)
            self._seed_step(len(outputs))
            outputs.append(self.train_step(batch))
            self._leave_if(stop, outputs)
        self.on_train_epoch_end(outputs)
        with torch.no_grad():
            self.on_validation_epoch_start()
            results = []
            for _ in range(self.num_val_iterations_per_epoch):
                results.append(self.validation_step(self._next_batch(self.dataloader_val, stop, outputs)))
                self._leave_if(stop, outputs)
            self.on_validation_epoch_end(results)
        self.on_epoch_end()
        self._leave_if(stop, [])

    def _next_batch(self, loader: Any, stop: StopSignal, outputs: list[dict[str, Any]]) -> Any:
        try:
            return next(loader)
        except RuntimeError:  # the signal may have gone to the workers as well
            self._leave_if(stop, outputs)
            raise

    def _seed_step(self, step: int) -> None:
        """Chance within the network, dropout for one."""
        seeds = BatchSeeds(self.recipe.seed, self.local_rank, STREAM_OF_STEPS, self.num_iterations_per_epoch)
        torch.manual_seed(seeds.of(self.current_epoch * self.num_iterations_per_epoch + step))

    def _leave_if(self, stop: StopSignal, outputs: list[dict[str, Any]]) -> None:
        if not stop.received:
            return
        self._restore_trained_weights()
        self._write(Path(self.output_folder) / LATEST, self.current_epoch, outputs)
        self._stop_workers()
        self.print_to_log_file(f"SIGTERM: stopped in epoch {self.current_epoch}; --c goes on from here")
        sys.exit(0)

    def _restore_trained_weights(self) -> None:
        """Undo what validation does to the network."""

    def _stop_workers(self) -> None:
        for loader in (self.dataloader_train, self.dataloader_val):
            stop_processes(loader)

    def _ends_early(self) -> bool:
        scores = self.logger.get_value("ema_fg_dice", step=None)
        if self.recipe.patience and epochs_without_gain(scores) >= self.recipe.patience:
            self.print_to_log_file(f"no gain in {self.recipe.patience} epochs: training ends")
            return True
        file = Path(self.output_folder) / STOP_FILE
        if self.current_epoch and file.exists():
            self.print_to_log_file(f"{file} found: training ends")
            if self.local_rank == 0:
                file.unlink(missing_ok=True)  # else the next training would end at once
            return True
        return False

    # ---- checkpoints

    def on_epoch_end(self) -> None:
        """As nnU-Net, but the latest checkpoint is written last: it holds the best score too."""
        super().on_epoch_end()  # with `save_every` out of reach it writes no latest
        every = self.recipe.checkpoint_epochs or max(1, min(50, self.num_epochs // 10))
        waited = (monotonic() - self._saved_at) / 60
        due = self.current_epoch % every == 0 or waited >= self.recipe.checkpoint_minutes
        if due and self.current_epoch < self.num_epochs:
            self._write(Path(self.output_folder) / LATEST, self.current_epoch, [])
            self._saved_at = monotonic()

    def on_train_end(self) -> None:
        """As nnU-Net: the final checkpoint takes the place of the latest and of its older copy."""
        super().on_train_end()
        if self.local_rank == 0:
            (Path(self.output_folder) / OLDER).unlink(missing_ok=True)

    def save_checkpoint(self, filename: str) -> None:
        """Write the state after the epoch that is running.

        Args:
            filename: Where to.
        """
        self._write(Path(filename), self.current_epoch + 1, [])

    def _write(self, path: Path, epoch: int, outputs: list[dict[str, Any]]) -> None:
        """Write the state from which `epoch` goes on, with the results of its first steps; rank 0 alone."""
        if self.local_rank != 0:
            return
        if self.disable_checkpointing:
            self.print_to_log_file("No checkpoint written, checkpointing is disabled")
            return
        weights = self._bare_network().state_dict()
        logged = self.logger.get_checkpoint()
        content = {
            "network_weights": weights if self.average is None else self.average.state_dict(),
            "pe_trained_weights": None if self.average is None else weights,
            "pe_average_updates": 0 if self.average is None else self.average.updates,
            "pe_recipe": self.recipe.as_dict(),
            "pe_outputs_so_far": outputs,
            "pe_history": self.history,
            "optimizer_state": self.optimizer.state_dict(),
            "grad_scaler_state": None if self.grad_scaler is None else self.grad_scaler.state_dict(),
            "logging": {key: values[:epoch] for key, values in logged.items()},
            "_best_ema": self._best_ema,
            "current_epoch": epoch,
            "init_args": self.my_init_kwargs,
            "trainer_name": self.__class__.__name__,
            "inference_allowed_mirroring_axes": self.inference_allowed_mirroring_axes,
        }
        write_checkpoint(path, content, path.with_name(OLDER) if path.name == LATEST else None)

    def load_checkpoint(self, filename_or_checkpoint: dict[str, Any] | str) -> None:
        """Take over a stored state: training goes on from the trained weights, validation from the averaged ones.

        Args:
            filename_or_checkpoint: A checkpoint of this trainer, or its path.

        Raises:
            ConfigurationError: PE-TRAIN-005 if it is damaged or another trainer's.
        """
        if not self.was_initialized:
            self.initialize()
        stored = filename_or_checkpoint
        if not isinstance(stored, dict):
            stored = read_checkpoint(Path(stored), self.device)
        self._tell_changes(stored["pe_recipe"])
        network = self._bare_network()
        trained = stored["pe_trained_weights"]
        if trained is not None and self.recipe.ema_decay:
            self.average = WeightAverage(network, self.recipe.ema_decay)
            self.average.load(stored["network_weights"], stored["pe_average_updates"])
        network.load_state_dict(stored["network_weights"] if trained is None else trained)
        self.optimizer.load_state_dict(stored["optimizer_state"])
        if self.grad_scaler is not None and stored["grad_scaler_state"] is not None:
            self.grad_scaler.load_state_dict(stored["grad_scaler_state"])
        self.logger.load_checkpoint(self.logger.get_checkpoint() | stored["logging"])
        self._best_ema = stored["_best_ema"]
        self.current_epoch = stored["current_epoch"]
        self.inference_allowed_mirroring_axes = stored["inference_allowed_mirroring_axes"]
        self.history = stored["pe_history"]
        self.outputs_so_far = [
            {key: np.asarray(value, np.float32) for key, value in output.items()}
            for output in stored["pe_outputs_so_far"]
        ]

    def _tell_changes(self, stored: dict[str, Any]) -> None:
        now = self.recipe.as_dict()
        changed = [f"{key} {stored[key]} -> {now[key]}" for key in now if key in stored and stored[key] != now[key]]
        if changed:
            self.print_to_log_file(f"The recipe differs from the checkpoint's: {', '.join(changed)}")
