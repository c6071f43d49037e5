"""A dataset folder that appears whole or not at all.

The dataset is built in a hidden folder beside its place, which nnU-Net does not take for a dataset, and renamed when it
is complete. An existing dataset stays as it is until then. What an interrupted conversion leaves is that hidden folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pe_nnunet.dataset.dataset_json import DATASET
from pe_nnunet.dataset.folders import SPLITS
from pe_nnunet.dataset.raw import CASES, CORRECTIONS, TEST_FILES, case_file, load_cases, load_progress
from pe_nnunet.errors import ConfigurationError, OutputError
from pe_nnunet.files.locks import locked

_OURS = frozenset({"imagesTr", "labelsTr", "pe_nnunet", SPLITS, DATASET})
_TEST_FOLDERS = frozenset(TEST_FILES[role].split("/")[0] for role in ("image", "label"))


@dataclass(frozen=True)
class Staging:
    """A dataset under construction.

    Attributes:
        target: Where the dataset will be.
        building: Where it is built.
    """

    target: Path
    building: Path

    @property
    def _replaced(self) -> Path:
        return self.target.with_name(f".{self.target.name}.replaced")

    def publish(self) -> None:
        """Put the new dataset into its place, with whatever else a person had put into the old one."""
        if self.target.exists():
            self.target.rename(self._replaced)
        self.building.rename(self.target)
        self.clean_up()

    def clean_up(self) -> None:
        """Finish a replacement, also one that was interrupted between its steps."""
        old = self._replaced
        if not old.is_dir():
            return
        if not self.target.exists():
            old.rename(self.target)
            return
        for path in _added_by_people(old):
            kept = self.target / path.relative_to(old)
            if not kept.exists():
                kept.parent.mkdir(exist_ok=True)
                path.rename(kept)
        shutil.rmtree(old)

    def discard(self) -> None:
        """Leave no trace of the new dataset."""
        shutil.rmtree(self.building, ignore_errors=True)


def _added_by_people(dataset_folder: Path) -> list[Path]:
    """What lies in a dataset that no conversion wrote; the folders of test cases may hold both."""
    converted: set[Path] = set()
    with suppress(ConfigurationError):  # no readable record: then nothing there is known to be ours
        for case, record in load_cases(dataset_folder).items():
            converted |= {case_file(dataset_folder, role, case, test=True) for role in TEST_FILES if record.test}
    found = []
    for path in dataset_folder.iterdir():
        if path.name in _TEST_FOLDERS and path.is_dir():
            found += [file for file in path.iterdir() if file not in converted]
        elif path.name not in _OURS:
            found.append(path)
    return found


@contextmanager
def staged(target: Path, *, resume: bool, overwrite: bool, part_id: int | None = None) -> Iterator[Staging]:
    """The folder to build a dataset in, for this process alone, or for those that each convert a part of the cases.

    Args:
        target: Where the dataset will be.
        resume: Go on with what is there.
        overwrite: Start anew, and replace what is there in the end.
        part_id: The part of the cases that this process converts, while others convert other parts; None for all.

    Raises:
        ConfigurationError: If a dataset or an unfinished one is there and neither was asked for, if it was not made
            by a conversion, or if another process is at it.
        OutputError: If the folder cannot be written.
    """
    staging = Staging(target, target.with_name(f".{target.name}.building"))
    whole = part_id is None
    with ExitStack() as locks:
        locks.enter_context(locked(target.with_name(f".{target.name}.lock"), _busy(target), shared=not whole))
        if not whole:
            locks.enter_context(locked(target.with_name(f".{target.name}.part{part_id}.lock"), _busy(target)))
        try:
            if whole:
                staging.clean_up()
            _check(staging, resume=resume or (not whole and not target.exists()), overwrite=overwrite)
            if overwrite:
                staging.discard()
            staging.building.mkdir(exist_ok=True)
            try:
                yield staging
            finally:
                if whole and staging.building.exists() and not load_progress(staging.building):
                    staging.discard()  # stopped before its first case was done: nothing to go on with
        except OSError as error:
            raise OutputError(
                "PE-OUT-001",
                f"{target} cannot be written: {error.strerror or error}",
                "check free space and permissions",
            ) from error


def _check(staging: Staging, *, resume: bool, overwrite: bool) -> None:
    target = staging.target
    if target.exists() and not (target / CASES).is_file():
        raise ConfigurationError(
            "PE-CONV-002", f"{target} is there and was not made by this command", "choose another -d, or remove it"
        )
    if (target / CORRECTIONS).is_dir():
        raise ConfigurationError(
            "PE-COR-009",
            f"{target} holds labels that people corrected, and converting would lose them",
            f"choose another -d, or move {CORRECTIONS} away first",
        )
    if resume or overwrite:
        return
    ways = "--resume goes on with it, --overwrite replaces it"
    if target.exists():
        raise ConfigurationError("PE-CONV-002", f"{target} is there already", ways)
    if staging.building.exists():
        raise ConfigurationError("PE-CONV-002", f"{target} has an unfinished conversion", ways)


def _busy(target: Path) -> ConfigurationError:
    return ConfigurationError(
        "PE-CONV-011", f"another process is converting into {target.name}", "wait until it is done"
    )
