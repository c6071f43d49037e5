"""The recipe's training: steps, validation with the averaged weights, and records of the epochs."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pe_nnunet.dataset.dataset_json import pe_channel, pe_label_values
from pe_nnunet.files import atomic_json
from pe_nnunet.precision import autocast_for, channels_last_format
from pe_nnunet.processes import one_core_for_other_threads
from pe_nnunet.sampling.build import voxel_mm3
from pe_nnunet.trainers.averaging import WeightAverage
from pe_nnunet.trainers.history import HISTORY_FILE, logged_by_nnunet, told_of_epoch, write_history
from pe_nnunet.trainers.monitor import count_emboli, summarise
from pe_nnunet.trainers.parts import RecipeTrainer
from pe_nnunet.trainers.stopping import StopSignal
from pe_nnunet.trainers.tensorboard import FOLDER, MISSING, TensorBoardLogger
from pe_nnunet.trainers.validation_scores import validation_scores


class PETrainer(RecipeTrainer):
    """Trains the plans' own architecture with the recipe; trainers of one network derive from it.

    The moving average of the weights is what is validated and what a checkpoint holds as `network_weights`, so that
    stock `nnUNetv2_predict` uses it; the trained weights lie beside it for resuming.
    """

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 - nnU-Net reads this signature
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self._averaged = ExitStack()
        self._counts: list[dict[str, Any]] = []
        self._positive_patches = 0.0
        self._tensorboard: TensorBoardLogger | None = None

    # ---- steps

    def on_train_start(self) -> None:
        """As nnU-Net, and the average starts from the weights that training starts from."""
        super().on_train_start()
        if self.recipe.ema_decay and self.average is None:
            self.average = WeightAverage(self._bare_network(), self.recipe.ema_decay)
        if self.local_rank == 0 and self._tensorboard is None:
            try:
                self._tensorboard = TensorBoardLogger(Path(self.output_folder) / FOLDER, self.current_epoch)
            except ImportError:
                self.print_to_log_file(MISSING)
            else:
                self.logger.loggers.append(self._tensorboard)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One step; returns its loss."""
        positive = self.pe_of(batch["target"]).flatten(1).any(1).float().mean()  # here no GPU need be waited for
        target = self._to_device(batch["target"])
        self.optimizer.zero_grad(set_to_none=True)
        with autocast_for(self.device, self.recipe.cpu_bfloat16):
            output = self.network(self._to_device(batch["data"], image=True))
        loss = self.loss(output, target)
        self._backward(loss)
        self.lr_scheduler.advance()
        if self.average is not None:
            self.average.update()
        return {"loss": loss.detach().cpu().numpy(), "positive": positive.numpy()}

    def _backward(self, loss: Tensor) -> None:
        clip = self.recipe.gradient_clip_norm
        if self.grad_scaler is None:
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), clip)
            self.optimizer.step()
            return
        self.grad_scaler.scale(loss).backward()
        self.grad_scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), clip)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def _to_device(self, value: Any, image: bool = False) -> Any:
        if isinstance(value, list):
            return [self._to_device(item) for item in value]
        moved = value.to(self.device, non_blocking=True)
        if image:
            moved = moved.to(memory_format=channels_last_format(self._dimensions()))
        return moved

    def predicted_pe(self, output: Any) -> Tensor:
        """Where the network's finest output says PE, (batch, ...)."""
        logits = output[0] if isinstance(output, (list, tuple)) else output
        regions = self.label_manager.has_regions
        channel = pe_channel(self.dataset_json["labels"], regions)
        predicted: Tensor = logits[:, channel] > 0 if regions else logits.argmax(1) == channel
        return predicted

    def pe_of(self, target: Any) -> Tensor:
        """Where the finest target is PE, (batch, ...)."""
        finest = target[0] if isinstance(target, list) else target
        labels = self.dataset_json["labels"]
        found: Tensor
        if self.label_manager.has_regions:
            found = finest[:, pe_channel(labels, regions=True)] > 0
        else:
            found = finest[:, 0] == pe_label_values(labels)[0]
        return found

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        """As nnU-Net, and the share of patches that held PE is logged."""
        super().on_train_epoch_end(train_outputs)
        self._positive_patches = float(np.mean([output["positive"] for output in train_outputs]))
        self.print_to_log_file(f"patches with PE: {self._positive_patches:.0%}")

    # ---- validation, with the averaged weights

    def on_validation_epoch_start(self) -> None:
        """Validation sees the averaged weights."""
        self._apply_average(self._averaged)
        super().on_validation_epoch_start()

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """As nnU-Net, in the precision of training; emboli are counted as well."""
        truth = self.pe_of(batch["target"]).numpy()
        outputs: list[Any] = []
        hook = self.network.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
        try:
            with autocast_for(self.device, self.recipe.cpu_bfloat16):
                result: dict[str, Any] = super().validation_step(batch)
        finally:
            hook.remove()
        predicted = self.predicted_pe(outputs[0])
        self._counts.append(
            count_emboli(predicted.cpu().numpy(), truth, voxel_mm3(self.plans_manager, self.configuration_manager))
        )
        return result

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        """Training goes on with its own weights; the score that chooses the best checkpoint is PE's alone."""
        self._restore_trained_weights()
        losses, dice = validation_scores(val_outputs, self.is_ddp)
        regions = self.label_manager.has_regions
        pe = dice[pe_channel(self.dataset_json["labels"], regions) - (0 if regions else 1)]
        self.logger.log("mean_fg_dice", 0.0 if np.isnan(pe) else pe, self.current_epoch)
        self.logger.log("dice_per_class_or_region", dice, self.current_epoch)
        self.logger.log("val_losses", losses, self.current_epoch)

    def _restore_trained_weights(self) -> None:
        self._averaged.close()

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """As nnU-Net, with the averaged weights."""
        with StopSignal(at_once=True), ExitStack() as averaged, autocast_for(self.device, self.recipe.cpu_bfloat16):
            self._apply_average(averaged)
            if self.device.type == "cpu":
                one_core_for_other_threads()
            super().perform_actual_validation(save_probabilities)

    def _apply_average(self, stack: ExitStack) -> None:
        if self.average is not None:
            stack.enter_context(self.average.applied())

    # ---- records

    def on_epoch_end(self) -> None:
        """As nnU-Net, with a row in `history.csv` and a warning where the network has collapsed."""
        self._record_epoch()
        super().on_epoch_end()
        if self._tensorboard is not None:
            self._tensorboard.flush()

    def _record_epoch(self) -> None:
        ours = {"positive_patches": self._positive_patches} | summarise(self._counts)
        self._counts.clear()
        self.history.append({"epoch": self.current_epoch} | logged_by_nnunet(self.logger) | ours)
        if self.local_rank != 0:
            return
        write_history(Path(self.output_folder) / HISTORY_FILE, self.history)
        for logger in self.logger.loggers:
            for name, value in ours.items():
                if value is not None:
                    logger.log(name, value, self.current_epoch)
        for line in told_of_epoch(self.history):
            self.print_to_log_file(line)

    def _save_debug_information(self) -> None:
        """As nnU-Net, with the recipe as a table."""
        super()._save_debug_information()
        if self.local_rank == 0:
            path = Path(self.output_folder) / "debug.json"
            atomic_json(path, json.loads(path.read_text(encoding="utf-8")) | {"recipe": self.recipe.as_dict()})
