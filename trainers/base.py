"""nnU-Net's trainer by our recipe: the loop over epochs, and what calls the callbacks in it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import nn
from torch._dynamo import OptimizedModule

from pe_nnunet.architecture import build_network
from pe_nnunet.dataset.dataset_json import pe_channel
from pe_nnunet.dataset.validation_record import remove_validation_record, write_validation_record
from pe_nnunet.named_classes import check_plans
from pe_nnunet.networks import SegmentationNetwork
from pe_nnunet.precision import autocast_for, channels_last, channels_last_format
from pe_nnunet.processes import compute_threads, one_core_for_other_threads
from pe_nnunet.recipe import resolve_recipe
from pe_nnunet.sampling import BatchSeeds
from pe_nnunet.trainers.batch_size import say_batch_size, use_batch_size
from pe_nnunet.trainers.callback import Callback
from pe_nnunet.trainers.check_start import check_start, is_first_process
from pe_nnunet.trainers.checkpoints import Checkpoints
from pe_nnunet.trainers.first_weights import FirstWeights
from pe_nnunet.trainers.forecast import Forecast
from pe_nnunet.trainers.history import History
from pe_nnunet.trainers.loaders import to_device, training_and_validation_batches
from pe_nnunet.trainers.loss import build_loss, initialise_heads
from pe_nnunet.trainers.mirroring import mirror_axes
from pe_nnunet.trainers.monitor import labelled_pe, predicted_pe, validation_scores
from pe_nnunet.trainers.optimizer import StepwiseLambdaLR, backward_and_step, make_optimizer, require_finite
from pe_nnunet.trainers.split_record import SplitRecord
from pe_nnunet.trainers.stopping import SigtermExit, Stopping, StopSignal
from pe_nnunet.trainers.weight_average import WeightAverage

STREAM_OF_STEPS = 2  # 0 and 1 are the loaders'


class PETrainer(nnUNetTrainer):  # type: ignore[misc] # nnU-Net publishes no types
    """Trains the plans' own architecture with the recipe; a trainer of one network derives from it and names that.

    Hyper-parameters come from `TrainingRecipe`: its defaults, then `recipe_defaults` of the class, then the plans, then
    the environment variable `PE_NNUNET_RECIPE`. What is not the network, the loss or a step is done by `callbacks`.
    """

    recipe_defaults: ClassVar[dict[str, Any]] = {}
    network_class: ClassVar[type[SegmentationNetwork] | None] = None

    @classmethod
    def build_network_architecture(
        cls,
        plans_manager: Any,  # noqa: ARG003 - nnU-Net's signature
        configuration_manager: Any,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """The network with the plans' stages, widths, strides and kernels; nnU-Net calls it for prediction as well.

        Args:
            plans_manager: Not used.
            configuration_manager: nnU-Net's, for the configuration; plans made for another network are translated by
                the `kwargs_from_plans` of `network_class`.
            num_input_channels: Image channels.
            num_output_channels: Segmentation heads.
            enable_deep_supervision: Whether forward returns a list of outputs.

        Returns:
            The network, initialised.

        Raises:
            ConfigurationError: PE-MODEL-020 if the plans name what is no part of a network.
        """
        return build_network(
            cls.network_class,
            configuration_manager,
            num_input_channels,
            num_output_channels,
            deep_supervision=enable_deep_supervision,
        )

    @classmethod
    def check(cls, plans: dict[str, Any], configuration: str, dataset_json: dict[str, Any]) -> None:
        """Refuse what a subclass cannot train; called before anything is written, by `check_start`.

        Args:
            plans: nnU-Net's, as read.
            configuration: The name of one in them.
            dataset_json: The dataset's `dataset.json`.
        """

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 - nnU-Net reads this signature
    ) -> None:
        check_plans(plans, "the plans")
        notes = check_start(type(self), plans, configuration, fold, dataset_json) if is_first_process() else []
        super().__init__(plans, configuration, fold, dataset_json, device)
        recipe = self.recipe = resolve_recipe(self.recipe_defaults, plans)
        use_batch_size(self, recipe.batch_size)
        self.num_epochs = recipe.epochs
        self.num_iterations_per_epoch = recipe.iterations
        self.num_val_iterations_per_epoch = recipe.validation_iterations
        self.initial_lr = recipe.learning_rate
        self.weight_decay = recipe.weight_decay
        self.oversample_foreground_percent = recipe.positive_fraction
        self.save_every = sys.maxsize  # `Checkpoints` says when
        self.print_to_log_file(f"Recipe: {recipe}", add_timestamp=False)
        for note in notes:
            self.print_to_log_file(str(note), add_timestamp=False)

        folder = Path(self.output_folder)
        self.train_outputs: list[dict[str, Any]] = []  # of the running epoch's steps
        self.should_stop = False
        self.split_record = SplitRecord()
        self.first_weights = FirstWeights()
        self.average = WeightAverage(recipe.ema_decay)
        self.checkpoints = Checkpoints(folder, recipe.checkpoint_epochs, recipe.checkpoint_minutes)
        self.stopping = Stopping(folder, recipe.patience)
        self.callbacks: list[Callback] = [
            self.split_record,
            self.first_weights,
            self.average,
            Forecast(),
            History(folder),
            self.checkpoints,
            self.stopping,
        ]

    def _call(self, hook: str, *args: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(self, *args)

    # ---- network, loss, optimizer, data

    def initialize(self) -> None:
        """As nnU-Net, from seeded initial weights and with channels last."""
        if self.device.type == "cpu":
            torch.set_num_threads(compute_threads())
        torch.manual_seed(self.recipe.seed)
        super().initialize()
        network = self.bare_network()
        initialise_heads(network, self.recipe.foreground_prior, self.label_manager.has_regions)
        channels_last(network, self._dimensions())
        self.split_record.watch(network)
        say_batch_size(self)

    def bare_network(self) -> nn.Module:
        """The network without what DDP and the compiler put around it."""
        network = self.network.module if self.is_ddp else self.network
        return network._orig_mod if isinstance(network, OptimizedModule) else network

    def _dimensions(self) -> int:
        return len(self.configuration_manager.patch_size)

    def _build_loss(self) -> nn.Module:
        return build_loss(self)

    def _get_deep_supervision_scales(self) -> Any:
        """The sizes of the network's outputs; of a network that does not tell them, those of the plans' stages.

        A target too many would be dropped without a word, and one output be trained on the wrong one.
        """
        told = getattr(self.bare_network(), "deep_supervision_scales", None)
        if told is None or not self.enable_deep_supervision:
            return super()._get_deep_supervision_scales()
        return told

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, StepwiseLambdaLR]:
        """Of the recipe: Muon, AdamW or nnU-Net's SGD, under warm-up and cosine annealing."""
        return make_optimizer(self.network.parameters(), self.recipe)

    def plot_network_architecture(self) -> None:
        """Not drawn: nnU-Net's drawing needs a package that no longer works."""

    def do_split(self) -> tuple[Any, Any]:
        """As nnU-Net, but what the weights were trained on is not validated on."""
        train, val = super().do_split()
        self.split_record.compare(self, train, val)
        return train, val

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> tuple[Any, ...]:  # noqa: N802 - nnU-Net's
        """As nnU-Net, but mirrored over the axes of the recipe; prediction mirrors over the same, or over none."""
        *others, _ = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        axes = mirror_axes(self.recipe.training_mirroring, self.plans_manager.transpose_forward, self._dimensions())
        # nnU-Net's prediction takes None for no axis, and fails on an empty tuple
        self.inference_allowed_mirroring_axes = axes if axes and self.recipe.test_time_mirroring else None
        return *others, axes

    def get_dataloaders(self) -> tuple[Any, Any]:
        """Patches drawn by embolus, not by voxel."""
        return training_and_validation_batches(self)

    # ---- the loop

    def run_training(self) -> None:
        """Train until the last epoch, or until a callback sets `should_stop` or SIGTERM comes."""
        self.on_train_start()
        with self.stopping.sigterm:
            try:
                while self.current_epoch < self.num_epochs and not self.should_stop:
                    self._run_epoch()
            except SigtermExit:
                self._call("on_sigterm")
                raise
        self.on_train_end()

    def _run_epoch(self) -> None:
        self.on_epoch_start()
        self.on_train_epoch_start()
        outputs, steps = self.train_outputs, self.num_iterations_per_epoch
        for _ in outputs:  # made before a checkpoint that was written within the epoch
            self.lr_scheduler.step()
        seeds = BatchSeeds(self.recipe.seed, self.local_rank, STREAM_OF_STEPS, steps, self.current_epoch * steps)
        while len(outputs) < steps:
            batch = self._next_batch(self.dataloader_train)
            torch.manual_seed(seeds.of(len(outputs)))  # chance within the network, dropout for one
            outputs.append(self.train_step(batch))
            if self.grad_scaler is None:
                require_finite(outputs[-1]["loss"])
            self._call("on_train_batch_end")
        self.on_train_epoch_end(outputs)
        with torch.no_grad():
            self.on_validation_epoch_start()
            batches = (self._next_batch(self.dataloader_val) for _ in range(self.num_val_iterations_per_epoch))
            self.on_validation_epoch_end([self.validation_step(batch) for batch in batches])
        self.train_outputs = []
        self.on_epoch_end()

    def _next_batch(self, loader: Any) -> Any:
        try:
            return next(loader)
        except RuntimeError:
            self.stopping.exit_on_sigterm()  # the signal may have gone to the workers as well
            raise

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One step; returns its loss, and the share of patches that hold PE."""
        positive = labelled_pe(self, batch["target"]).flatten(1).any(1).float().mean()  # here no GPU need be waited for
        target = to_device(batch["target"], self.device)
        image = to_device(batch["data"], self.device).to(memory_format=channels_last_format(self._dimensions()))
        self.optimizer.zero_grad(set_to_none=True)
        with autocast_for(self.device, self.recipe.cpu_bfloat16):
            output = self.network(image)
        loss = self.loss(output, target)
        backward_and_step(loss, self.network, self.optimizer, self.grad_scaler, self.recipe.gradient_clip_norm)
        self.lr_scheduler.step()
        return {"loss": loss.detach().cpu().numpy(), "positive": positive.numpy()}

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """As nnU-Net, in the precision of training."""
        truth = labelled_pe(self, batch["target"])
        outputs: list[Any] = []
        hook = self.network.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
        try:
            with autocast_for(self.device, self.recipe.cpu_bfloat16):
                result: dict[str, Any] = super().validation_step(batch)
        finally:
            hook.remove()
        self._call("on_validation_batch_end", predicted_pe(self, outputs[0]).cpu(), truth)
        return result

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """As nnU-Net, with the averaged weights; beside the predictions stands which checkpoint made them."""
        folder, checkpoint = Path(self.output_folder) / "validation", self.checkpoints.current
        if self.local_rank == 0:
            remove_validation_record(folder)
        averaged, autocast = (
            self.average.applied(self.bare_network()),
            autocast_for(self.device, self.recipe.cpu_bfloat16),
        )
        with StopSignal(at_once=True), averaged, autocast:
            if self.device.type == "cpu":
                one_core_for_other_threads()
            super().perform_actual_validation(save_probabilities)
        if self.local_rank == 0:
            write_validation_record(folder, checkpoint, self.split_record.cases["val"])

    # ---- nnU-Net's hooks

    def on_train_start(self) -> None:
        """As nnU-Net, and the callbacks."""
        super().on_train_start()
        self._call("on_train_start")

    def on_validation_epoch_start(self) -> None:
        """As nnU-Net, after the callbacks."""
        self._call("on_validation_start")
        super().on_validation_epoch_start()

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        """As nnU-Net, but the score that chooses the best checkpoint is PE's alone; and the callbacks."""
        losses, dice = validation_scores(val_outputs, self.is_ddp)
        regions = self.label_manager.has_regions
        pe = dice[pe_channel(self.dataset_json["labels"], regions) - (0 if regions else 1)]
        self.logger.log("mean_fg_dice", 0.0 if np.isnan(pe) else pe, self.current_epoch)
        self.logger.log("dice_per_class_or_region", dice, self.current_epoch)
        self.logger.log("val_losses", losses, self.current_epoch)
        self._call("on_validation_end")

    def on_epoch_end(self) -> None:
        """As nnU-Net, and the callbacks."""
        super().on_epoch_end()
        self._call("on_epoch_end")

    def on_train_end(self) -> None:
        """As nnU-Net, and the callbacks."""
        super().on_train_end()
        self._call("on_train_end")

    def save_checkpoint(self, filename: str) -> None:
        """Write the state after the epoch that is running; the format is that of `Checkpoints`."""
        self.checkpoints.save(self, Path(filename), self.current_epoch + 1)

    def load_checkpoint(self, filename_or_checkpoint: dict[str, Any] | str) -> None:
        """Take over a stored state.

        Args:
            filename_or_checkpoint: A checkpoint of this trainer, or its path.

        Raises:
            ConfigurationError: PE-TRAIN-005 if it is damaged or another trainer's.
        """
        if not self.was_initialized:
            self.initialize()
        self.checkpoints.load(self, filename_or_checkpoint)
