"""Which scans a training learns from, kept in its checkpoints, so that nobody takes one of them for held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from pe_nnunet.dataset.folders import Split
from pe_nnunet.dataset.scan_hashes import scan_hashes
from pe_nnunet.dataset.training_split import KEY, TrainingSplit, is_from_elsewhere, some_names
from pe_nnunet.errors import ConfigurationError, Note
from pe_nnunet.trainers.callback import Callback

if TYPE_CHECKING:
    from pe_nnunet.trainers.base import PETrainer

ALL = "all"
_UNNAMED_RESUME = "it went on from a checkpoint that does not name its training scans"
_TRAINED_BEFORE = "the weights that it starts from were trained on"
_UNNAMED_WEIGHTS = "it started from other weights, which do not name their training scans"


class SplitRecord(Callback):
    """Compares the split in use with that of the weights that are there.

    Attributes:
        split: Of the weights; None before the training starts and where a checkpoint says nothing.
        cases: The split that nnU-Net read last.
    """

    def __init__(self) -> None:
        self.split: TrainingSplit | None = None
        self.cases: Split = {"train": [], "val": []}
        self._resumed = False
        self._weights_given = False
        self._of_weights: TrainingSplit | None = None
        self._watched: RemovableHandle | None = None

    def watch(self, network: nn.Module) -> None:
        """Notice weights that are loaded before the training starts: nnU-Net's `-pretrained_weights` asks nobody."""

        def given(*_: Any) -> None:
            self._weights_given = True

        self._weights_given = False
        self._watched = network.register_load_state_dict_post_hook(given)  # type: ignore[no-untyped-call]

    def start_from(self, split: TrainingSplit) -> None:
        """Know what the weights that were loaded before the start were trained on; the record names those scans too.

        Args:
            split: Of the weights.
        """
        self._of_weights = split

    def compare(self, trainer: PETrainer, train: Sequence[str], val: Sequence[str]) -> None:
        """Refuse a split that validates on what the weights were, or will be, trained on.

        Args:
            trainer: Whose.
            train: Case ids, as nnU-Net's split has them now.
            val: Likewise.

        Raises:
            ConfigurationError: PE-TRAIN-010.
        """
        self.cases = {"train": list(train), "val": list(val)}
        if trainer.fold == ALL:
            return
        if self.split is None:
            _refuse(trainer, sorted({*train} & {*val}), "are in both parts of the split")
        else:
            _refuse(trainer, self.split.trained_on(dict.fromkeys(val, ())), "were trained on before the split changed")

    def on_train_start(self, trainer: PETrainer, /) -> None:
        """Hash the scans, which is done once a dataset, and say what is doubtful."""
        if self._watched is not None:
            self._watched.remove()
        if trainer.local_rank != 0:
            return
        dataset, (train, val) = trainer.plans_manager.dataset_name, self.cases.values()
        hashes = scan_hashes(dataset, (*train, *val))
        unknown = _UNNAMED_RESUME if self._resumed else _UNNAMED_WEIGHTS if self._weights_given else ""
        now = TrainingSplit(
            dataset,
            str(trainer.fold),
            {case: hashes[case] for case in sorted(train)},
            {case: hashes[case] for case in sorted(val)},
            "" if self.split else unknown,
        )
        if self.split is not None:
            if trainer.fold != ALL:
                _refuse(trainer, self.split.trained_on(now.val), "were trained on before the split changed")
            self._tell_changes(trainer, self.split, now)
            now = now.after(self.split)
        elif self._of_weights is not None:
            before = self._of_weights.seen_from(dataset, hashes)
            if trainer.fold != ALL:
                _refuse(trainer, before.trained_on(now.val), _TRAINED_BEFORE)
            now = replace(now, unknown="").after(before)
        if self.split is None and now.unknown:
            _say(trainer, f"{now.unknown}: whether its validation scans are held out, nobody can tell")
        if trainer.fold != ALL and (twice := now.trained_on(now.val)):
            _say(trainer, f"scans that are both trained and validated on, under two names ({some_names(twice)})")
        self.split = now

    def on_save_checkpoint(self, trainer: PETrainer, checkpoint: dict[str, Any], /) -> None:  # noqa: ARG002
        """The record goes with the weights."""
        if self.split is not None:
            checkpoint[KEY] = self.split.to_plain()

    def on_load_checkpoint(self, trainer: PETrainer, checkpoint: dict[str, Any], /) -> None:  # noqa: ARG002
        """The weights' own record takes the place of any other."""
        self.split = TrainingSplit.from_plain(checkpoint.get(KEY))
        self._resumed = self.split is None

    @staticmethod
    def _tell_changes(trainer: PETrainer, before: TrainingSplit, now: TrainingSplit) -> None:
        earlier = {case for case in before.train if not is_from_elsewhere(case)}
        moved = sorted(earlier ^ {*now.train} | {*before.val} ^ {*now.val})
        if moved:
            _say(trainer, f"the split is not that of the checkpoint ({some_names(moved)}); both are recorded")
        if others := before.replaced(now.train | now.val):
            _say(trainer, f"other scans bear the names that they had at the checkpoint ({some_names(others)})")


def _refuse(trainer: PETrainer, cases: Sequence[str], why: str) -> None:
    if cases:
        raise ConfigurationError(
            "PE-TRAIN-010",
            f"fold {trainer.fold} would validate on cases that {why} ({some_names(cases)})",
            "take back the splits_final.json that the fold was trained with, or train the fold from the start",
        )


def _say(trainer: PETrainer, text: str) -> None:
    trainer.print_to_log_file(Note("PE-TRAIN-011", "warning", text))
