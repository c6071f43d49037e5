"""The training hyper-parameters, typed and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, get_type_hints

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.errors.near import did_you_mean
from pe_nnunet.options import option, require_limits

RENAMED = {"minimum_embolus_mm3": "min_embolus_mm3", "replicate_most": "replicate_max"}
"""Former name of a key -> the one of today."""

ELSEWHERE = {
    "patch_size": "the planner sets it: PE_NNUNET_PLAN='patch_size_3d=96x96x96' when planning",
}
"""What is no key here, though one may look for it -> where it is."""

WORDS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True)
class TrainingRecipe:
    """Everything about a training that is not the network, the data or nnU-Net's own.

    The fields' metadata hold their meaning and their limits; `docs/recipe.md` is made from them.

    Raises:
        ConfigurationError: If a value lies outside its limits (PE-TRAIN-002).

    Example:
        >>> TrainingRecipe().updated({"epochs": "20"}, "example").epochs
        20
    """

    epochs: int = option(1000, "epochs", low=1)
    iterations: int = option(250, "training steps an epoch", low=1)
    validation_iterations: int = option(50, "validation batches an epoch", low=1)
    batch_size: int = option(0, "patches a training step, over all processes; 0 is what the plans say", low=0)
    patience: int = option(0, "epochs without a better averaged pseudo Dice of PE that end training; 0 is never", low=0)
    checkpoint_epochs: int = option(0, "epochs between checkpoints; 0 is a tenth of the training, at most 50", low=0)
    checkpoint_minutes: float = option(30.0, "minutes after which the next epoch's end writes one in any case", low=0)
    optimizer: str = option("muon", "optimizer", choices=("muon", "adamw", "sgd"))
    learning_rate: float = option(1e-3, "highest learning rate", low=0)
    weight_decay: float = option(1e-4, "weight decay (Muon's and AdamW's is decoupled)", low=0)
    warmup_fraction: float = option(
        0.02, "share of all steps in which the learning rate rises linearly", low=0, high=0.5
    )
    final_learning_rate_fraction: float = option(
        0.01, "where cosine annealing ends, of the highest rate", low=0, high=1
    )
    gradient_clip_norm: float = option(12.0, "norm to which gradients are clipped; 0 switches it off", low=0)
    loss: str = option(
        "dice-focal", "Dice and focal loss, or the one that AANet was published with", choices=("dice-focal", "aanet")
    )
    dice_weight: float = option(1.0, "weight of the Dice loss", low=0)
    focal_weight: float = option(1.0, "weight of the focal loss", low=0)
    focal_gamma: float = option(2.0, "focal exponent; 0 is cross-entropy", low=0, high=10)
    focal_foreground_weight: float = option(
        0.75, "focal weight of foreground voxels; background has one minus it", low=0, high=1
    )
    focal_pe_weight: float = option(
        1.0, "focal weight of PE, of the other foreground classes' or regions'; matters where there are arteries", low=0
    )
    focal_mean: str = option(
        "voxels",
        "what the sum of the focal loss is divided by: all voxels, or foreground ones (a thousandth of all at least), "
        "which makes it hundreds of times larger",
        choices=("voxels", "foreground"),
    )
    embolus_weight_power: float = option(
        0.0,
        "weight (median volume / volume)^power of an embolus's voxels in both losses; 0 counts voxels, 1 emboli",
        low=0,
        high=1,
    )
    foreground_prior: float = option(
        0.01, "probability of foreground that an untrained network starts from", low=1e-6, high=0.5
    )
    ema_decay: float = option(
        0.999, "decay a step of the moving average of the weights; 0 switches it off", low=0, high=0.99999
    )
    positive_fraction: float = option(0.75, "share of patches drawn around an embolus", low=0, high=1)
    embolus_volume_power: float = option(
        0.25, "an embolus is drawn with weight volume^power; 1 draws by voxel", low=-1, high=1
    )
    case_ratio_power: float = option(0.25, "a positive case is drawn with weight target ratio^-power", low=-1, high=1)
    min_embolus_mm3: float = option(5.0, "smaller emboli are never a patch's centre", low=0)
    hard_negative_fraction: float = option(
        0.5, "share of the other patches centred on bright vessels instead of anywhere", low=0, high=1
    )
    hard_negatives: str = option(
        "bright",
        "where those lie: bright vessels, or arteries, where the raw dataset has artery masks",
        choices=("bright", "artery"),
    )
    strict_positives: bool = option(
        False,
        "redraw until positive_fraction of the patches, as augmented, hold half of the drawn embolus or 100 mm3 of any",
    )
    concatenate_probability: float = option(
        0.0, "share of patches around an embolus joined with another, if both target ratios are low", low=0, high=1
    )
    concatenate_below_ratio: float = option(0.001, "PE voxels over voxels of a patch that is low", low=0, high=1)
    concatenate_axis: int = option(0, "axis of the patch across which the halves meet", low=0, high=2)
    concatenate_seam_voxels: int = option(2, "width of the cross-fade on either side of the seam", low=0, high=32)
    replicate_probability: float = option(
        0.0, "share of patches of low target ratio that get further emboli in their arteries", low=0, high=1
    )
    replicate_below_ratio: float = option(0.001, "PE voxels over voxels of a patch that is low", low=0, high=1)
    replicate_max: int = option(3, "emboli that such a patch gets at most", low=1, high=20)
    little_start_epochs: int = option(0, "first epochs, which see little; 0 is none", low=0)
    little_start: str = option(
        "cases", "what they see: few cases, or small patches that grow", choices=("cases", "patches")
    )
    little_start_cases: int = option(4, "how few: those of the highest target ratio", low=1)
    little_start_patch: float = option(0.5, "how small: the first edge, as a share of the patch's", low=0.1, high=1)
    center_jitter: float = option(
        0.25, "how far a patch's centre may lie from its voxel, as a share of the patch", low=0, high=0.5
    )
    training_mirroring: str = option(
        "all", "axes over which training patches are mirrored at random", choices=("all", "left-right", "none")
    )
    test_time_mirroring: bool = option(
        True, "whether validation and prediction average over inputs mirrored as in training"
    )
    cpu_bfloat16: bool = option(True, "bfloat16 autocast on CPUs that have it")
    seed: int = option(0, "seed of the initial weights and of the sampling", low=0)

    def __post_init__(self) -> None:
        require_limits(self, "PE-TRAIN-002", lambda item: f"recipe key {item.name}")

    def updated(self, values: Mapping[str, Any], source: str) -> TrainingRecipe:
        """This recipe with some values replaced.

        Args:
            values: By field name; text is converted to the field's type.
            source: Where the values come from, for error messages.

        Raises:
            ConfigurationError: On an unknown key (PE-TRAIN-001) or a bad value (PE-TRAIN-002).
        """
        types = get_type_hints(TrainingRecipe)
        unknown = sorted(set(values) - set(types))
        if unknown:
            now = RENAMED.get(unknown[0])
            known = did_you_mean(unknown[0], types, f"known: {', '.join(types)}")
            hint = known if now is None else f"it is now called {now}"
            hint = ELSEWHERE.get(unknown[0], hint)
            raise ConfigurationError("PE-TRAIN-001", f"unknown recipe key {unknown[0]!r} in {source}", hint)
        return replace(self, **{name: _converted(name, value, types[name]) for name, value in values.items()})

    def as_dict(self) -> dict[str, Any]:
        """Plain types only, in the fields' order."""
        return asdict(self)


def _refuse(name: str, value: Any, expected: str) -> None:
    raise ConfigurationError("PE-TRAIN-002", f"recipe key {name} is {value!r}, expected {expected}")


def _converted(name: str, value: Any, kind: type) -> Any:
    if kind is bool:
        answer = WORDS.get(str(value).strip().lower())
        if answer is None:
            _refuse(name, value, "true or false")
        return answer
    try:
        if kind is int:
            if float(value) != int(float(value)):
                _refuse(name, value, "a whole number")
            return int(float(value))
        return kind(value)
    except (TypeError, ValueError, OverflowError):
        _refuse(name, value, f"a value of type {kind.__name__}")
