"""Which scans weights were trained on, and which were held out: as a checkpoint or a detector's record says it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pe_nnunet.dataset.scan_hashes import ScanHashes

KEY = "pe_split"
"""Of the record in a checkpoint."""

_NAMED = 5


@dataclass(frozen=True)
class TrainingSplit:
    """What weights were trained on.

    Attributes:
        dataset: Name of the dataset's folder.
        fold: `"0"`, ..., or `"all"`.
        train: The scans that were trained on, at any time.
        val: The scans that were held out at last.
        unknown: Why further scans may have been trained on; empty if there are none.
    """

    dataset: str
    fold: str
    train: ScanHashes
    val: ScanHashes
    unknown: str = ""

    def to_plain(self) -> dict[str, Any]:
        """In types that JSON and checkpoints hold."""
        return asdict(self)

    @classmethod
    def from_plain(cls, content: Any) -> TrainingSplit | None:
        """Undo `to_plain`; None for anything else."""
        try:
            train, val = (
                {str(case): tuple(map(str, hashes)) for case, hashes in content[part].items()}
                for part in ("train", "val")
            )
            return cls(str(content["dataset"]), str(content["fold"]), train, val, str(content["unknown"]))
        except (TypeError, KeyError, AttributeError):
            return None

    def trained_on(self, scans: Mapping[str, Collection[str]]) -> list[str]:
        """Those of these scans that were trained on: under the same name, or the same scan under another.

        Args:
            scans: Case id -> hashes.

        Example:
            >>> split = TrainingSplit("Dataset501_X", "0", {"a": ("1",)}, {"b": ("2",)})
            >>> split.trained_on({"a": ("3",), "b": ("2",), "c": ("1",)})
            ['a', 'c (the same scan as a)']
        """
        names = {sha256: case for case, hashes in self.train.items() for sha256 in hashes}
        found = []
        for case, hashes in sorted(scans.items()):
            same = next((names[sha256] for sha256 in hashes if sha256 in names), None)
            if case in self.train:
                found.append(case)
            elif same is not None:
                found.append(f"{case} (the same scan as {same})")
        return found

    def replaced(self, scans: Mapping[str, Collection[str]]) -> list[str]:
        """Those of these scans that are others than the ones of the same name at the time of the training.

        Example:
            >>> split = TrainingSplit("Dataset501_X", "0", {}, {"b": ("2",), "c": ()})
            >>> split.replaced({"b": ("3",), "c": ("4",), "d": ("5",)})
            ['b']
        """
        then = self.val | self.train
        return sorted(case for case, now in scans.items() if now and then.get(case) and not set(now) & set(then[case]))

    def seen_from(self, dataset: str, scans: Mapping[str, Collection[str]]) -> TrainingSplit:
        """The same scans, under names that no scan of a dataset has by chance.

        Weights from elsewhere may have been trained on another `case_1`: of what is not the scan of that name in the
        dataset, the name gets its own dataset's before it, with a `/`, which no case id holds. Hashes tell the rest.

        Args:
            dataset: Name of the dataset's folder.
            scans: Its case ids -> hashes.

        Example:
            >>> split = TrainingSplit("Dataset001_A", "0", {"a": ("1",), "b": ("2",)}, {})
            >>> split.seen_from("Dataset002_B", {"a": ("3",)}).train
            {'Dataset001_A/a': ('1',), 'Dataset001_A/b': ('2',)}
            >>> split.seen_from("Dataset001_A", {"a": ("1",), "b": ("9",)}).train
            {'a': ('1',), 'Dataset001_A/b': ('2',)}
        """

        def name(case: str, hashes: tuple[str, ...]) -> str:
            same = self.dataset == dataset and (not hashes or set(hashes) & set(scans.get(case, ())))
            return case if same or is_from_elsewhere(case) else f"{self.dataset}/{case}"

        train, val = ({name(case, h): h for case, h in part.items()} for part in (self.train, self.val))
        return replace(self, train=train, val=val)

    def after(self, earlier: TrainingSplit) -> TrainingSplit:
        """The record of a training that goes on from an earlier one.

        Example:
            >>> first = TrainingSplit("D", "0", {"a": ("1",)}, {"b": ()}, "why")
            >>> TrainingSplit("D", "0", {"a": ("2",), "c": ()}, {"d": ()}).after(first)
            TrainingSplit(dataset='D', fold='0', train={'a': ('1', '2'), 'c': ()}, val={'d': ()}, unknown='why')
        """
        both = {
            case: tuple(dict.fromkeys((*earlier.train.get(case, ()), *self.train.get(case, ()))))
            for case in sorted({*earlier.train, *self.train})
        }
        return TrainingSplit(self.dataset, self.fold, both, self.val, earlier.unknown or self.unknown)


def is_from_elsewhere(case: str) -> bool:
    """Whether a name of a record is that of a scan of another dataset: see `TrainingSplit.seen_from`."""
    return "/" in case


def some_names(names: Collection[str]) -> str:
    """The first few names, and how many there are.

    Example:
        >>> some_names(list("abcdefg"))
        '7: a, b, c, d, e, ...'
    """
    shown = ", ".join(sorted(names)[:_NAMED])
    return f"{len(names)}: {shown}{', ...' if len(names) > _NAMED else ''}"
