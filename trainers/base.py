"""The recipe on nnU-Net's trainer: Dice+focal, sampling by embolus, moving average, warm-up and cosine annealing."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.utilities.default_n_proc_DA import get_allowed_n_proc_DA
from torch import Tensor, nn

from pe_nnunet.labels import pe_channel, pe_label_values
from pe_nnunet.losses import AANetLoss, DiceFocalLoss
from pe_nnunet.precision import autocast_for, channels_last, channels_last_format
from pe_nnunet.recipe import resolve_recipe
from pe_nnunet.sampling import BatchSeeds, EmbolusDataLoader, make_loader
from pe_nnunet.sampling.build import voxel_mm3
from pe_nnunet.trainers.augmentation import without_clock
from pe_nnunet.trainers.averaging import WeightAverage
from pe_nnunet.trainers.history import HISTORY_FILE, write_history
from pe_nnunet.trainers.monitor import SIZE_NAMES, collapse, count_emboli, summarise
from pe_nnunet.trainers.prior import start_from_prior
from pe_nnunet.trainers.resumable import ResumableTrainer
from pe_nnunet.trainers.schedule import WarmupCosine
from pe_nnunet.trainers.stopping import StopSignal
from pe_nnunet.trainers.validation_scores import validation_scores
from pe_nnunet.volumes.write import atomic_json


class PETrainer(ResumableTrainer):
    """Trains the plans' own architecture with the recipe; trainers of one network derive from it.

    Hyper-parameters come from `TrainingRecipe`: its defaults, then `recipe_defaults` of the class, then the plans, then
    the environment variable `PE_NNUNET_RECIPE`.

    The moving average of the weights is what is validated and what a checkpoint holds as `network_weights`, so that
    stock `nnUNetv2_predict` uses it; the trained weights lie beside it for resuming.
    """

    recipe_defaults: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 - nnU-Net reads this signature
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.recipe = resolve_recipe(self.recipe_defaults, plans)
        self.num_epochs = self.recipe.epochs
        self.num_iterations_per_epoch = self.recipe.iterations
        self.num_val_iterations_per_epoch = self.recipe.validation_iterations
        self.initial_lr = self.recipe.learning_rate
        self.weight_decay = self.recipe.weight_decay
        self.oversample_foreground_percent = self.recipe.positive_fraction
        self.save_every = sys.maxsize  # `checkpoint_epochs` and `checkpoint_minutes` say when
        self._averaged = ExitStack()
        self._counts: list[dict[str, Any]] = []
        self._positive_patches = 0.0
        self.print_to_log_file(f"Recipe: {self.recipe}", add_timestamp=False)

    # ---- building

    def initialize(self) -> None:
        """As nnU-Net, from seeded initial weights and with channels last."""
        torch.manual_seed(self.recipe.seed)
        super().initialize()
        network = self._bare_network()
        start_from_prior(network, self.recipe.foreground_prior, self.label_manager.has_regions)
        channels_last(network, self._dimensions())

    def _dimensions(self) -> int:
        return len(self.configuration_manager.patch_size)

    def _build_loss(self) -> nn.Module:
        loss = self._loss_of_one_output()
        if not self.enable_deep_supervision:
            return loss
        wrapped: nn.Module = DeepSupervisionWrapper(loss, self._deep_supervision_weights())
        return wrapped

    def _loss_of_one_output(self) -> nn.Module:
        regions = self.label_manager.has_regions
        if self.recipe.loss == "aanet":
            channel = pe_channel(self.dataset_json["labels"], regions)
            return AANetLoss(channel, regions=regions, ignore_label=self.label_manager.ignore_label)
        loss = DiceFocalLoss(
            regions=regions,
            batch_dice=self.configuration_manager.batch_dice,
            ignore_label=self.label_manager.ignore_label,
            ddp=self.is_ddp,
            dice_weight=self.recipe.dice_weight,
            focal_weight=self.recipe.focal_weight,
            gamma=self.recipe.focal_gamma,
            foreground_weight=self.recipe.focal_foreground_weight,
        )
        if self._do_i_compile():
            loss.dc = torch.compile(loss.dc)
        return loss

    def _get_deep_supervision_scales(self) -> Any:
        """The sizes of the network's outputs; of a network that does not tell them, those of the plans' stages.

        A target too many would be dropped without a word, and one output be trained on the wrong one.
        """
        told = getattr(self._bare_network(), "deep_supervision_scales", None)
        if told is None or not self.enable_deep_supervision:
            return super()._get_deep_supervision_scales()
        return told

    def _deep_supervision_weights(self) -> list[float]:
        """Halved with each further output, a coarser last one without any, as nnU-Net does."""
        scales = self._get_deep_supervision_scales()
        weights = [0.5**level for level in range(len(scales))]
        if scales[-1] != scales[0]:
            weights[-1] = 1e-6 if self.is_ddp and not self._do_i_compile() else 0.0
        return [weight / sum(weights) for weight in weights]

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, WarmupCosine]:
        """AdamW, or nnU-Net's SGD, under warm-up and cosine annealing."""
        recipe = self.recipe
        optimizer: torch.optim.Optimizer
        if recipe.optimizer == "adamw":
            optimizer = torch.optim.AdamW(
                self.network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
            )
        else:
            optimizer = torch.optim.SGD(
                self.network.parameters(),
                recipe.learning_rate,
                momentum=0.99,
                nesterov=True,
                weight_decay=recipe.weight_decay,
            )
        schedule = WarmupCosine(
            optimizer,
            recipe.learning_rate,
            recipe.iterations,
            recipe.epochs,
            recipe.warmup_fraction,
            recipe.final_learning_rate_fraction,
        )
        return optimizer, schedule

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> Any:  # noqa: N802 - nnU-Net's name
        """As nnU-Net; the recipe decides whether prediction averages over mirrored inputs."""
        settings = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        if not self.recipe.test_time_mirroring:
            self.inference_allowed_mirroring_axes = None
        return settings

    def plot_network_architecture(self) -> None:
        """Not drawn: nnU-Net's drawing needs a package that no longer works."""

    # ---- data

    def get_dataloaders(self) -> tuple[Any, Any]:
        """Loaders that draw patches by embolus, in as many worker processes as nnU-Net's settings say."""
        patch_size = self.configuration_manager.patch_size
        scales = self._get_deep_supervision_scales()
        rotation, dummy_2d, initial_patch_size, mirror_axes = (
            self.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        labels = {
            "is_cascaded": False,
            "foreground_labels": self.label_manager.foreground_labels,
            "regions": self.label_manager.foreground_regions if self.label_manager.has_regions else None,
            "ignore_label": self.label_manager.ignore_label,
        }
        augment = without_clock(
            self.get_training_transforms(
                patch_size,
                rotation,
                scales,
                mirror_axes,
                dummy_2d,
                use_mask_for_norm=self.configuration_manager.use_mask_for_norm,
                **labels,
            )
        )
        only_shape = self.get_validation_transforms(scales, **labels)
        train, validation = self.get_tr_and_val_datasets()
        loaders = (
            self._loader(train, initial_patch_size, augment, training=True),
            self._loader(validation, patch_size, only_shape, training=False),
        )
        workers = get_allowed_n_proc_DA()
        counts = (workers, max(1, workers // 2))
        for stream, (loader, count) in enumerate(zip(loaders, counts, strict=True)):
            per_epoch = (self.num_iterations_per_epoch, self.num_val_iterations_per_epoch)[stream]
            first = self.current_epoch * per_epoch + (0 if stream else len(self.outputs_so_far))
            loader.seeds = BatchSeeds(self.recipe.seed, self.local_rank, stream, per_epoch, first, max(1, count))
        if workers == 0:
            return tuple(SingleThreadedAugmenter(loader, None) for loader in loaders)
        return tuple(
            NonDetMultiThreadedAugmenter(
                data_loader=loader,
                transform=None,
                num_processes=count,
                num_cached=max(3, count // 2),
                pin_memory=self.device.type == "cuda",
                wait_time=0.002,
            )
            for loader, count in zip(loaders, counts, strict=True)
        )

    def _loader(self, dataset: Any, patch_size: Any, transforms: Any, *, training: bool) -> EmbolusDataLoader:
        return make_loader(
            dataset,
            patch_size,
            transforms,
            recipe=self.recipe,
            plans=self.plans_manager,
            configuration=self.configuration_manager,
            dataset_json=self.dataset_json,
            batch_size=self.batch_size,
            training=training,
        )

    # ---- steps

    def on_train_start(self) -> None:
        """As nnU-Net, and the average starts from the weights that training starts from."""
        super().on_train_start()
        if self.recipe.ema_decay and self.average is None:
            self.average = WeightAverage(self._bare_network(), self.recipe.ema_decay)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One step; returns its loss."""
        positive = self._pe_of(batch["target"]).flatten(1).any(1).float().mean()  # here no GPU need be waited for
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

    def _pe_of(self, target: Any) -> Tensor:
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
        truth = self._pe_of(batch["target"]).numpy()
        outputs: list[Any] = []
        hook = self.network.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
        try:
            with autocast_for(self.device, self.recipe.cpu_bfloat16):
                result: dict[str, Any] = super().validation_step(batch)
        finally:
            hook.remove()
        logits = outputs[0][0] if isinstance(outputs[0], (list, tuple)) else outputs[0]
        channel = pe_channel(self.dataset_json["labels"], self.label_manager.has_regions)
        predicted = logits[:, channel] > 0 if self.label_manager.has_regions else logits.argmax(1) == channel
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
            super().perform_actual_validation(save_probabilities)

    def _apply_average(self, stack: ExitStack) -> None:
        if self.average is not None:
            stack.enter_context(self.average.applied())

    # ---- records

    def on_epoch_end(self) -> None:
        """As nnU-Net, with a row in `history.csv` and a warning where the network has collapsed."""
        self._record_epoch()
        super().on_epoch_end()

    def _record_epoch(self) -> None:
        nnunet = {
            "train_loss": "train_losses",
            "validation_loss": "val_losses",
            "pe_dice": "mean_fg_dice",
            "pe_dice_averaged": "ema_fg_dice",
            "learning_rate": "lrs",
        }
        known = {name: float(self.logger.get_value(key, step=-1)) for name, key in nnunet.items()}
        ours = {"positive_patches": self._positive_patches} | summarise(self._counts)
        self._counts.clear()
        self.history.append({"epoch": self.current_epoch} | known | ours)
        if self.local_rank != 0:
            return
        write_history(Path(self.output_folder) / HISTORY_FILE, self.history)
        for logger in self.logger.loggers:
            for name, value in ours.items():
                if value is not None:
                    logger.log(name, value, self.current_epoch)
        recalls = {name: ours[f"recall_{name}"] for name in SIZE_NAMES}
        shown = [f"{name} {value:.0%}" for name, value in recalls.items() if value is not None]
        self.print_to_log_file(f"emboli found: {', '.join(shown) or 'none there'}")
        warning = collapse(self.history)
        if warning:
            self.print_to_log_file(warning)

    def _save_debug_information(self) -> None:
        """As nnU-Net, with the recipe as a table."""
        super()._save_debug_information()
        if self.local_rank == 0:
            path = Path(self.output_folder) / "debug.json"
            atomic_json(path, json.loads(path.read_text(encoding="utf-8")) | {"recipe": self.recipe.as_dict()})
