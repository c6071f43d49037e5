"""What a training is made of, by the recipe: network, loss, optimizer, loaders."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

import torch
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.utilities.default_n_proc_DA import get_allowed_n_proc_DA
from torch import nn

from pe_nnunet.losses import DiceFocalLoss
from pe_nnunet.precision import channels_last
from pe_nnunet.recipe import resolve_recipe
from pe_nnunet.sampling import BatchSeeds, EmbolusDataLoader, make_loader
from pe_nnunet.trainers.augmentation import without_clock
from pe_nnunet.trainers.loss import deep_supervision_weights, loss_of_one_output
from pe_nnunet.trainers.optimizer import make_optimizer
from pe_nnunet.trainers.prior import start_from_prior
from pe_nnunet.trainers.resumable import ResumableTrainer
from pe_nnunet.trainers.schedule import WarmupCosine
from pe_nnunet.trainers.workers import in_processes


class RecipeTrainer(ResumableTrainer):
    """nnU-Net's trainer with the parts that `TrainingRecipe` describes.

    Hyper-parameters come from `TrainingRecipe`: its defaults, then `recipe_defaults` of the class, then the plans, then
    the environment variable `PE_NNUNET_RECIPE`.
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
        self.print_to_log_file(f"Recipe: {self.recipe}", add_timestamp=False)

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
        loss = loss_of_one_output(
            self.recipe,
            self.label_manager,
            self.dataset_json["labels"],
            batch_dice=self.configuration_manager.batch_dice,
            ddp=self.is_ddp,
        )
        if isinstance(loss, DiceFocalLoss) and self._do_i_compile():
            loss.dc = torch.compile(loss.dc)
        if not self.enable_deep_supervision:
            return loss
        weights = deep_supervision_weights(
            self._get_deep_supervision_scales(), keep_last=self.is_ddp and not self._do_i_compile()
        )
        wrapped: nn.Module = DeepSupervisionWrapper(loss, weights)
        return wrapped

    def _get_deep_supervision_scales(self) -> Any:
        """The sizes of the network's outputs; of a network that does not tell them, those of the plans' stages.

        A target too many would be dropped without a word, and one output be trained on the wrong one.
        """
        told = getattr(self._bare_network(), "deep_supervision_scales", None)
        if told is None or not self.enable_deep_supervision:
            return super()._get_deep_supervision_scales()
        return told

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, WarmupCosine]:
        """AdamW, or nnU-Net's SGD, under warm-up and cosine annealing."""
        return make_optimizer(self.network.parameters(), self.recipe)

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
        augment = without_clock(
            self.get_training_transforms(
                patch_size,
                rotation,
                scales,
                mirror_axes,
                dummy_2d,
                use_mask_for_norm=self.configuration_manager.use_mask_for_norm,
                **self._label_facts(),
            )
        )
        train, validation = self.get_tr_and_val_datasets()
        loaders = (self._loader(train, initial_patch_size, augment, training=True), self.plain_loader(validation))
        workers = get_allowed_n_proc_DA()
        per_epoch = (self.num_iterations_per_epoch, self.num_val_iterations_per_epoch)
        # validation has a worker even where its half of them is none
        counts = (workers, max(1, workers // 2) if workers else 0)
        for stream, loader in enumerate(loaders):
            first = self.current_epoch * per_epoch[stream] + (0 if stream else len(self.outputs_so_far))
            loader.seeds = BatchSeeds(
                self.recipe.seed, self.local_rank, stream, per_epoch[stream], first, max(1, counts[stream])
            )
        pin_memory = self.device.type == "cuda"
        return in_processes(loaders[0], counts[0], pin_memory=pin_memory), in_processes(
            loaders[1], counts[1], pin_memory=pin_memory
        )

    def plain_loader(self, dataset: Any) -> EmbolusDataLoader:
        """A loader of patches as they are, with targets for each output of the network."""
        as_targets = self.get_validation_transforms(self._get_deep_supervision_scales(), **self._label_facts())
        return self._loader(dataset, self.configuration_manager.patch_size, as_targets, training=False)

    def _label_facts(self) -> dict[str, Any]:
        manager = self.label_manager
        return {
            "is_cascaded": False,
            "foreground_labels": manager.foreground_labels,
            "regions": manager.foreground_regions if manager.has_regions else None,
            "ignore_label": manager.ignore_label,
        }

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
