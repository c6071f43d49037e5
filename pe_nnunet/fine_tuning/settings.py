"""What a fine-tuning may be told."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pe_nnunet.dataset.folders import fold_spellings
from pe_nnunet.dataset.split_checks import N_FOLDS
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.errors.near import did_you_mean
from pe_nnunet.options import option, require_limits


@dataclass(frozen=True)
class FineTuneSettings:
    """Options of `pe-nnunet fine-tune`; those of the training go into the recipe of the plans.

    Raises:
        ConfigurationError: PE-TRAIN-028 if one lies outside its limits.
    """

    learning_rate: float = option(1e-4, "highest learning rate; the recipe's own is 1e-3", low=0)
    epochs: int = option(200, "epochs of 250 steps", low=1)
    patch_size: tuple[int, ...] = option(
        (),
        "voxels of a training patch, along z y x, where the model's is too large for the memory",
        low=1,
        kind=int,
        metavar="N",
        default_text="the model's",
    )
    plans_name: str | None = option(
        None,
        "what the plans are called in the dataset's folder",
        metavar="NAME",
        default_text="the model's plans, From, the id of its dataset",
    )
    processes: int = option(2, "worker processes of fingerprint and preprocessing", low=1, flag="-np")

    def __post_init__(self) -> None:
        require_limits(self, "PE-TRAIN-028")
        name = self.plans_name
        if name is not None and not is_plain_name(name):
            raise ConfigurationError(
                "PE-TRAIN-028",
                f"--plans-name is {name!r}, which nnU-Net can give no folder",
                "use letters, digits, - and single _, beginning with a letter or digit",
            )

    @property
    def recipe(self) -> dict[str, float | int]:
        """Keys of the training recipe."""
        return {"learning_rate": self.learning_rate, "epochs": self.epochs}


def is_plain_name(name: object) -> bool:
    """Whether a name of plans, of a configuration or of their data can be that of a file or folder within another.

    Example:
        >>> is_plain_name("3d_fullres"), is_plain_name("../3d"), is_plain_name("a__b")
        (True, False, False)
    """
    return isinstance(name, str) and "__" not in name and bool(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name))


def check_folds(folds: tuple[str, ...]) -> None:
    """Refuse what is no fold, or named twice.

    Raises:
        ConfigurationError: PE-TRAIN-028.
    """
    for fold in folds:
        if not (fold == "all" or fold.isdecimal()) or folds.count(fold) > 1:
            known = {} if fold.isdecimal() else fold_spellings(["all", *map(str, range(N_FOLDS))])
            hint = did_you_mean(fold, otherwise="name folds once each, by their numbers, or all", spellings=known)
            raise ConfigurationError("PE-TRAIN-028", f"-f is {' '.join(folds)}", hint)
