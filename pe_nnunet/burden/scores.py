"""Two published scores of how far emboli obstruct the arteries, from a tree and the obstruction of its branches.

Qanadli's index (Qanadli et al., AJR 176 (2001)): an embolus counts as many points as segmental arteries arise beyond
it, of ten a lung, times 1 where it lets blood through and 2 where it does not; in a subsegmental artery alone, 1 point;
40 at most, given in percent of that.

Mastora's score (Mastora et al., European Radiology 13 (2003)): the cross-section of each of 31 arteries (5 mediastinal:
trunk, main and interlobar; 6 lobar; 20 segmental) is obstructed by less than 25 % (1 point), 50 % (2), 75 % (3), 100 %
(4) or wholly (5); 155 at most, of which 55 are central and 100 segmental.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pe_nnunet.burden.artery_tree import SEGMENTS, ArteryTree

WHOLE = 0.9  # share of the cross-section from which on nothing is taken to pass: masks end where voxels are half blood
GRADES = (0.25, 0.5, 0.75, WHOLE)
QANADLI_MAX, MASTORA_MAX = 40, 155
CENTRAL = (("main", 3), ("interlobar", 2), ("lobar", 6))
"""Arteries that Mastora's score counts beside the 20 segmental ones, in both lungs."""
INTERLOBAR_SEGMENTS = 6.0  # a lobe has 5 at most, what goes to a lobe and to middle lobe or lingula has 7


def qanadli(tree: ArteryTree, obstruction: Mapping[int, float], rounding: float = 0.5) -> int:
    """Points of Qanadli's index, 0 to 40.

    Where emboli lie beyond one another, each segmental artery counts once, with the higher weight.

    Args:
        tree: The arteries.
        obstruction: By branch with an embolus, 0 to 1.
        rounding: Added to the number of segmental arteries beyond a branch before decimals are cut off; 0 and 1 give
            bounds.

    Example:
        An embolus that lets blood through, on the division of the trunk:

        >>> import numpy as np
        >>> trunk = ArteryTree(np.array([-1]), np.array([20.0]), ("main",), ("both",), np.array([0]))
        >>> qanadli(trunk, {0: 0.4})
        20
    """
    weight = {branch: 2 if share >= WHOLE else 1 for branch, share in obstruction.items()}
    counted: dict[int, int] = {}
    for branch, d in weight.items():
        artery = _counted_at(tree, branch)
        d = 1 if tree.level[branch] == "subsegmental" else d
        counted[artery] = max(counted.get(artery, 0), d)
    reached = [0] * len(tree.parent)  # the highest weight on the way from the trunk
    points = {"right": 0, "left": 0, "both": 0}
    for branch in range(len(tree.parent)):
        above = reached[tree.parent[branch]] if branch else 0
        reached[branch] = max(above, counted.get(branch, 0))
        if reached[branch] > above:
            limit = SEGMENTS * (2 if tree.side[branch] == "both" else 1)
            beyond = min(max(int(tree.segments[branch] + rounding - 1e-9), 1), limit)
            points[tree.side[branch]] += beyond * (reached[branch] - above)
    per_lung = 2 * SEGMENTS
    return min(points["both"] + min(points["right"], per_lung) + min(points["left"], per_lung), QANADLI_MAX)


@dataclass(frozen=True)
class Mastora:
    """Points of Mastora's score: of trunk, main, interlobar and lobar arteries, and of segmental ones."""

    central: int
    segmental: int

    @property
    def total(self) -> int:
        """0 to 155."""
        return self.central + self.segmental


def mastora(tree: ArteryTree, obstruction: Mapping[int, float]) -> Mastora:
    """Points of Mastora's score.

    Args:
        tree: The arteries.
        obstruction: By branch with an embolus, 0 to 1.
    """
    grades: dict[str, dict[int, int]] = {}
    for branch, share in obstruction.items():
        kind = _kind(tree, branch)
        artery = _artery_of(tree, branch)
        held = grades.setdefault(kind, {})
        held[artery] = max(held.get(artery, 0), 1 + sum(share >= bound for bound in GRADES))
    central = sum(sum(sorted(grades.get(kind, {}).values())[-most:]) for kind, most in CENTRAL)
    return Mastora(central, sum(sorted(grades.get("segmental", {}).values())[-2 * SEGMENTS :]))


def _kind(tree: ArteryTree, branch: int) -> str:
    level = tree.level[branch]
    return "interlobar" if level == "lobar" and tree.segments[branch] >= INTERLOBAR_SEGMENTS else level


def _artery_of(tree: ArteryTree, branch: int) -> int:
    """The first branch of the artery that a branch is part of: an artery goes on while its kind does."""
    kind, above = _kind(tree, branch), int(tree.parent[branch])
    while above >= 0 and (_kind(tree, above), tree.side[above]) == (kind, tree.side[branch]):
        branch, above = above, int(tree.parent[above])
    return branch


def _counted_at(tree: ArteryTree, branch: int) -> int:
    """Where Qanadli's index counts an embolus: a subsegmental one at its segmental artery, if it has one."""
    artery = _artery_of(tree, branch)
    above = int(tree.parent[artery])
    if tree.level[branch] == "subsegmental" and above >= 0 and tree.level[above] == "segmental":
        return _artery_of(tree, above)
    return artery if tree.level[branch] == "segmental" else branch
