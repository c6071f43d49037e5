"""Both scores by their published rules, on the arteries that these count."""

from __future__ import annotations

import numpy as np
import pytest

from pe_nnunet.burden.artery_tree import ArteryTree, level_of
from pe_nnunet.burden.scores import mastora, qanadli

TREE = [("trunk", "", 20.0)]
for side in ("right", "left"):
    TREE += [(f"{side} main", "trunk", 10.0), (f"{side} upper", f"{side} main", 3.0)]
    TREE += [(f"{side} interlobar", f"{side} main", 7.0)]
    TREE += [(f"{side} middle", f"{side} interlobar", 2.0), (f"{side} lower", f"{side} interlobar", 5.0)]
    for lobe, count in (("upper", 3), ("middle", 2), ("lower", 5)):
        TREE += [(f"{side} {lobe} {k}", f"{side} {lobe}", 1.0) for k in range(count)]
TREE += [("right upper 0 a", "right upper 0", 0.5), ("right upper 0 b", "right upper 0", 0.5)]
NAMES = [name for name, _, _ in TREE]


@pytest.fixture(scope="module")
def tree() -> ArteryTree:
    segments = np.array([count for _, _, count in TREE])
    return ArteryTree(
        parent=np.array([NAMES.index(parent) if parent else -1 for _, parent, _ in TREE]),
        segments=segments,
        level=tuple(level_of(count) for count in segments),
        side=tuple("both" if name == "trunk" else name.split()[0] for name in NAMES),
        generation=np.zeros(len(NAMES), np.int64),
    )


def of(**obstruction: float) -> dict[int, float]:
    return {NAMES.index(name.replace("_", " ")): share for name, share in obstruction.items()}


@pytest.mark.parametrize(
    ("obstruction", "points"),
    [
        ({}, 0),
        ({"trunk": 0.4}, 20),  # astride the division, blood passes: 50 %
        ({"right_main": 1.0}, 20),
        ({"right_main": 0.5}, 10),
        ({"right_lower": 1.0}, 10),
        ({"left_middle_0": 0.5}, 1),
        ({"left_middle_0": 1.0}, 2),
        ({"right_upper_0_a": 1.0}, 1),  # subsegmental alone
        ({"right_upper_0_a": 1.0, "right_upper_0_b": 1.0}, 1),  # of one segment
        ({"right_upper_0_a": 1.0, "right_upper": 0.5}, 3),
        ({"right_lower": 0.5, "right_lower_3": 1.0}, 6),  # closed beyond an embolus that lets blood through
        ({"right_lower": 1.0, "right_lower_3": 1.0}, 10),
        ({"right_main": 1.0, "left_main": 1.0}, 40),
    ],
)
def test_qanadli(tree: ArteryTree, obstruction: dict[str, float], points: int) -> None:
    assert qanadli(tree, of(**obstruction)) == points


@pytest.mark.parametrize(
    ("obstruction", "central", "segmental"),
    [
        ({"trunk": 0.2}, 1, 0),
        ({"right_main": 0.25, "left_interlobar": 0.5, "right_lower": 0.75}, 2 + 3 + 4, 0),
        ({"left_lower_0": 1.0, "left_lower_1": 0.1}, 0, 6),
        ({"right_upper_0_a": 1.0}, 0, 0),  # subsegmental arteries are none of the 31
    ],
)
def test_mastora(tree: ArteryTree, obstruction: dict[str, float], central: int, segmental: int) -> None:
    found = mastora(tree, of(**obstruction))
    assert (found.central, found.segmental) == (central, segmental)


def test_all_closed_is_the_most_that_there_is(tree: ArteryTree) -> None:
    closed = dict.fromkeys(range(len(NAMES)), 1.0)
    assert qanadli(tree, closed) == 40
    assert (mastora(tree, closed).central, mastora(tree, closed).segmental) == (55, 100)
