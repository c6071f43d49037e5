"""What lies in a folder, and whether it is whole and as it was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pe_nnunet.cases import CaseLimits
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.verification import archives, datasets, detectors, evaluations, models, phantoms, predictions
from pe_nnunet.verification.cards import check_evaluation
from pe_nnunet.verification.findings import Checked, Finding
from pe_nnunet.verification.leftovers import leftovers

MOST_DEEP = 3  # nnUNet_results, its datasets, their models


class _Kind(NamedTuple):
    """How one kind of place is known and checked."""

    name: str
    is_kind: Callable[[Path], bool]
    check: Callable[[Path, CaseLimits | None], Checked]


KINDS = tuple(
    _Kind(module.KIND, module.is_kind, module.check)
    for module in (models, detectors, archives, predictions, datasets, evaluations, phantoms)
)


def verify(path: Path, limits: CaseLimits | None = None, evaluations: Sequence[Path] = ()) -> list[Checked]:
    """Check a model, an archive, a detector, results, a dataset, an evaluation or a phantom cohort.

    Nothing in it is run, changed or written. A folder of such folders, as nnUNet_results is, has all of them checked.

    Args:
        path: A folder, or a model archive.
        limits: What the check of a case or a checkpoint may take: each is then done in a process beside this one, so
            that a file that crashes its reader is a finding, and the rest is checked; None to check all in this one.
        evaluations: Folders that `pe-nnunet evaluate` wrote, from which the cards of the models took scores.

    Returns:
        Each place and what was found there.

    Raises:
        ConfigurationError: PE-IN-002 if there is no such path, PE-VER-001 if nothing there is known.
    """
    if not path.exists():
        raise ConfigurationError("PE-IN-002", f"{path} does not exist", "check the path")
    found = list(_checked(path, limits, 0))
    if not any(checked.files for checked in found):
        known = ", ".join(kind.name for kind in KINDS)
        raise ConfigurationError("PE-VER-001", f"{path} holds nothing that is known here", f"known are {known}")
    cards = [checked.path for checked in found if checked.kind == models.KIND]
    return [*found, *(check_evaluation(evaluation, cards) for evaluation in evaluations)]


def _checked(path: Path, limits: CaseLimits | None, depth: int) -> Iterator[Checked]:
    kinds = [kind for kind in KINDS if kind.is_kind(path)]
    if len(kinds) > 1:
        names = " and ".join(kind.name for kind in kinds)
        text = f"{path} holds several kinds: {names}; what one wrote may lie in the place of the other's"
        yield Checked(path, "several kinds", 0, [Finding("PE-VER-002", "warning", text)])
    for number, kind in enumerate(kinds):
        checked = kind.check(path, limits)
        left = leftovers(path) if number == 0 and path.is_dir() else []
        yield replace(checked, findings=(*checked.findings, *left))
    if kinds or depth == MOST_DEEP or not path.is_dir():
        return
    for child in sorted(path.iterdir()):
        if child.name.startswith(".") or child.is_symlink() or not (child.is_dir() or archives.is_kind(child)):
            continue
        within = list(_checked(child, limits, depth + 1))
        yield from within
        if not within and depth == 0:
            text = f"{child} holds nothing that is known here, and was not checked"
            yield Checked(child, "unknown", 0, [Finding("PE-VER-001", "warning", text)])
