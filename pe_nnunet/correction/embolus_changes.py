"""What a person changed, embolus by embolus, and which embolus keeps which id: by the voxels that both labels share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cc3d
import numpy as np
import numpy.typing as npt

from pe_nnunet.errors import InputError

Change = Literal["unchanged", "reshaped", "added", "removed"]
Ids = npt.NDArray[np.uint16]
CHANGES: tuple[Change, ...] = ("added", "removed", "reshaped", "unchanged")
_HIGHEST = int(np.iinfo(np.uint16).max)


@dataclass(frozen=True)
class EmbolusChange:
    """What became of an embolus.

    Attributes:
        id: The same before and after.
        change: What was done to it.
        before_mm3: Its volume; 0 for an added one.
        after_mm3: Likewise; 0 for a removed one.
        dice: Of before and after, 0 to 1.
        other: The embolus that a removed one was joined to, or that an added one was split from; None if there is none.
        centre_zyx: Mean index of its voxels, after or, of a removed one, before.
    """

    id: int
    change: Change
    before_mm3: float
    after_mm3: float
    dice: float
    other: int | None
    centre_zyx: tuple[float, float, float]


def follow_emboli(
    before: Ids, edited: Ids, voxel_mm3: float, highest_id: int = 0
) -> tuple[Ids, tuple[EmbolusChange, ...]]:
    """Give the emboli of an edited label the ids that they had, and say what was done to each.

    An embolus is the one of before that it shares most voxels with, each of them once, whatever number the program that
    saved the label gave it; of equal ones that of its own number. Others get new ids: that of a removed embolus is not
    used again.

    Args:
        before: Ids, (z, y, x), 0 outside.
        edited: Numbers of any meaning, same shape, one an embolus.
        voxel_mm3: Volume of a voxel.
        highest_id: Ids up to here were used before, and are not given to new emboli.

    Returns:
        The ids, and a change for each embolus of before and after, ids rising.

    Raises:
        InputError: PE-CONV-007 where ids run out.

    Example:
        >>> before, edited = np.array([[[1, 1, 0, 2, 0]]], np.uint16), np.array([[[0, 5, 0, 0, 1]]], np.uint16)
        >>> ids, changes = follow_emboli(before, edited, 1.0)
        >>> ids.tolist(), [(c.id, c.change) for c in changes]
        ([[[0, 1, 0, 0, 3]]], [(1, 'reshaped'), (2, 'removed'), (3, 'added')])
    """
    old, new = _measured(before), _measured(edited)
    shared = _shared(before, edited)
    id_of = _matched(shared)
    number_of = {embolus: number for number, embolus in id_of.items()}
    highest = max(highest_id, *old, 0)
    id_of |= {number: highest + k for k, number in enumerate((n for n in new if n not in id_of), 1)}
    if max(id_of.values(), default=0) > _HIGHEST:
        raise InputError("PE-CONV-007", f"emboli would get ids above {_HIGHEST}", "number the label anew")
    table = np.zeros(max(new, default=0) + 1, np.uint16)
    table[list(id_of)] = list(id_of.values())

    def said(
        embolus: int, of_old: _Measured, of_new: _Measured, common: int, other: int | None = None
    ) -> EmbolusChange:
        change: Change = "removed" if not of_new.voxels else "added" if not of_old.voxels else "reshaped"
        if common == of_old.voxels == of_new.voxels:
            change = "unchanged"
        volumes = [round(of.voxels * voxel_mm3, 3) for of in (of_old, of_new)]
        dice = round(2 * common / (of_old.voxels + of_new.voxels), 4)
        return EmbolusChange(
            embolus, change, volumes[0], volumes[1], dice, other, (of_new if of_new.voxels else of_old).centre
        )

    changes = []
    for embolus, of_old in old.items():
        if embolus in number_of:
            number = number_of[embolus]
            changes.append(said(embolus, of_old, new[number], shared[embolus, number]))
        else:
            joined = _most({n: count for (o, n), count in shared.items() if o == embolus})
            changes.append(said(embolus, of_old, _NONE, 0, id_of.get(joined)))
    for number, of_new in new.items():
        if id_of[number] not in number_of:
            split = _most({o: count for (o, n), count in shared.items() if n == number})
            changes.append(said(id_of[number], _NONE, of_new, 0, split or None))
    return table[edited], tuple(sorted(changes, key=lambda change: change.id))


def count_changes(changes: tuple[EmbolusChange, ...]) -> dict[Change, int]:
    """How many emboli were added, removed, reshaped and left as they were."""
    return {kind: sum(change.change == kind for change in changes) for kind in CHANGES}


@dataclass(frozen=True)
class _Measured:
    voxels: int
    centre: tuple[float, float, float]


_NONE = _Measured(0, (0.0, 0.0, 0.0))


def _measured(ids: Ids) -> dict[int, _Measured]:
    """Voxels and centre of each embolus, numbers rising."""
    found = cc3d.statistics(np.ascontiguousarray(ids))
    return {
        number: _Measured(int(voxels), tuple(round(float(v), 2) for v in centre))  # type: ignore[arg-type]
        for number, (voxels, centre) in enumerate(zip(found["voxel_counts"], found["centroids"], strict=True))
        if number and voxels
    }


def _shared(before: Ids, edited: Ids) -> dict[tuple[int, int], int]:
    """How many voxels an embolus before and one after have in common, where there are any."""
    both = (before > 0) & (edited > 0)
    pairs, counts = np.unique(np.stack([before[both], edited[both]]), axis=1, return_counts=True)
    return {(int(old), int(number)): int(count) for (old, number), count in zip(pairs.T, counts, strict=True)}


def _matched(shared: dict[tuple[int, int], int]) -> dict[int, int]:
    """Number in the edited label -> id of before: those that share most first, each once."""
    id_of: dict[int, int] = {}
    for old, number in sorted(shared, key=lambda pair: (-shared[pair], pair[0] != pair[1], pair)):
        if number not in id_of and old not in id_of.values():
            id_of[number] = old
    return id_of


def _most(counts: dict[int, int]) -> int:
    """The key of the highest count; 0 where there is none."""
    return max(counts, key=lambda key: (counts[key], -key), default=0)
