"""What a reader asks about the emboli of a scan next, from masks of the anatomy around them. Geometry, no prognosis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.burden.anatomy import ARTERIES, LOBES
from pe_nnunet.burden.artery_tree import SIDES, ArteryTree, Side, most_central
from pe_nnunet.burden.centre_lines import centre_lines
from pe_nnunet.burden.lumen import Lumen, NearestPlace, areas_mm2
from pe_nnunet.burden.scores import MASTORA_MAX, QANADLI_MAX, mastora, qanadli
from pe_nnunet.burden.sites import MIN_SHARE, Obstruction, Site, find_sites
from pe_nnunet.burden.ventricles import Ventricles, measure_ventricles
from pe_nnunet.errors import InputError, Note
from pe_nnunet.volumes.geometry import image_like
from pe_nnunet.voxels import boxes_by_id

ABSENT = "PE-BUR-003"  # of a note that a mask was not given
SEGMENTS_OFF = 1.4  # by which factor the segments that a branch supplies may be off: what parts two levels
UNPLACED = (2, 5)  # points that an embolus off the tree may add to either score: one segmental artery, closed


@dataclass(frozen=True)
class Place:
    """Where an embolus lies.

    Attributes:
        level: The most central of those that a tenth of it lies in, by following the tree; empty if it is off it.
        generation: Divisions from the trunk to the branch that it begins in; -1 if it is off the tree.
        side: Of the patient; empty if nothing tells.
        lobe: Of at least half of it, by masks of the lobes; empty if there are none, or it lies outside.
        obstruction: Where it takes up most of the lumen; None if it is off the tree.
    """

    level: str = ""
    generation: int = -1
    side: Side | None = None
    lobe: str = ""
    obstruction: Obstruction | None = None


@dataclass(frozen=True)
class Score:
    """Points of a score, and the bounds that geometry allows.

    Attributes:
        points: As the rules give them.
        low: With the least obstruction and number of segmental arteries that the masks allow.
        high: With the most.
        most: That there can be.
    """

    points: int
    low: int
    high: int
    most: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON types, with percent of the most."""
        percent = {f"{name}_percent": round(100 * value / self.most, 1) for name, value in
                   (("index", self.points), ("low", self.low), ("high", self.high))}  # fmt: skip
        return {"points": self.points, "low": self.low, "high": self.high, "most": self.most, **percent}


@dataclass(frozen=True)
class Burden:
    """What masks of the anatomy tell about a scan with its emboli.

    Attributes:
        masks: Names of those that were given.
        places: By id of the embolus.
        qanadli: None without a tree.
        mastora: Likewise.
        ventricles: None without masks of both.
        notes: What is absent or could not be told, and why.
    """

    masks: tuple[str, ...]
    places: Mapping[int, Place] = field(default_factory=dict)
    qanadli: Score | None = None
    mastora: Score | None = None
    ventricles: Ventricles | None = None
    notes: tuple[Note, ...] = ()

    @property
    def has_lines(self) -> bool:
        """Whether diameters of the ventricles were measured."""
        found = self.ventricles
        return found is not None and (found.axial is not None or found.four_chamber is not None)


def measure_burden(ids: NDArray[Any], like: sitk.Image, masks: Mapping[str, sitk.Image]) -> Burden:
    """Follow the arteries to the emboli, and measure the ventricles.

    Args:
        ids: One id an embolus, 0 elsewhere, (z, y, x).
        like: The scan, whose grid all lie on.
        masks: By the names of `pe_nnunet.burden.anatomy.MASKS`.
    """
    labels = image_like(ids.astype(np.uint16), like)
    emboli = np.unique(ids[ids > 0]).tolist()
    places = {embolus: Place() for embolus in emboli}
    missing: list[Note] = []
    scores: dict[str, Score] = {}
    arteries = [sitk.GetArrayViewFromImage(masks[name]) > 0 for name in ARTERIES if name in masks]
    if not arteries:
        missing.append(_absent("no mask of the arteries: no level by the tree, obstruction or score"))
    else:
        try:
            artery = image_like(np.logical_or.reduce(arteries).astype(np.uint8), like)
            places, scores, off = _follow(artery, labels, emboli)
        except InputError as error:
            missing.append(Note(error.code, "warning", f"{error.message}: no level by the tree, obstruction or score"))
        else:
            if off:
                text = f"embolus {', '.join(map(str, off))}: off the connected arteries of the mask, so without a level"
                missing.append(Note("PE-BUR-005", "warning", text))
    lobes = {lobe: sitk.GetArrayViewFromImage(masks[name]) > 0 for name, lobe in LOBES.items() if name in masks}
    if lobes:
        for embolus, box in boxes_by_id(ids).items():
            inside = ids[box.slices] == embolus
            shares = {lobe: float(mask[box.slices][inside].mean()) for lobe, mask in lobes.items()}
            places[embolus] = _with_lobe(places[embolus], shares)
    else:
        missing.append(_absent("no masks of the lobes: no lobe of an embolus"))
    ventricles = measure_ventricles(masks)
    if ventricles is None:
        missing.append(_absent("no masks of both ventricles: no ratio of them"))
    else:
        missing += [Note("PE-BUR-004", "warning", text) for text in ventricles.missing]
    return Burden(tuple(masks), places, scores.get("qanadli"), scores.get("mastora"), ventricles, tuple(missing))


def _absent(text: str) -> Note:
    return Note(ABSENT, "warning", text)


def _follow(
    artery: sitk.Image, labels: sitk.Image, emboli: list[int]
) -> tuple[dict[int, Place], dict[str, Score], list[int]]:
    """Places of the emboli in the tree, the scores, and the emboli that are off it."""
    lumen = Lumen.of(artery, labels)
    lines = centre_lines(lumen.inside, lumen.step_mm)
    cubes, ids = lumen.cubes
    nearest = NearestPlace(lines).of(cubes)
    tree = ArteryTree.of(lines, areas_mm2(lines, nearest, lumen.step_mm))
    voxel_mm = float(np.prod(artery.GetSpacing()) ** (1 / 3))
    sites = find_sites(lines, nearest, ids, lumen.step_mm, voxel_mm)
    places = {embolus: _place(tree, [s for s in sites if s.embolus == embolus]) for embolus in emboli}
    off = [embolus for embolus, place in places.items() if not place.level]
    return places, score(tree, sites, len(off)), off


def _place(tree: ArteryTree, sites: list[Site]) -> Place:
    if not sites:
        return Place()
    level = most_central([tree.level[site.branch] for site in sites])
    right, left, whole = (
        sum(s.part for s in sites if tree.side[s.branch] in sides) for sides in (("right",), ("left",), SIDES)
    )
    side: Side = "both" if max(right, left) < (1 - MIN_SHARE) * whole else "right" if right > left else "left"
    first = min(int(tree.generation[site.branch]) for site in sites)
    return Place(level, first, side, "", max((s.obstruction for s in sites), key=lambda o: o.share))


def score(tree: ArteryTree, sites: Sequence[Site], off: int) -> dict[str, Score]:
    """Qanadli's and Mastora's score, by name.

    Args:
        tree: The arteries.
        sites: Of the emboli in it.
        off: How many emboli are off the tree: none of them counts, but each may.
    """
    low, share, high = ({site.branch: 0.0 for site in sites} for _ in range(3))
    for site in sites:
        low[site.branch] = max(low[site.branch], site.obstruction.low)
        share[site.branch] = max(share[site.branch], site.obstruction.share)
        high[site.branch] = max(high[site.branch], site.obstruction.high)
    points = (qanadli(tree, share), qanadli(tree, low, 0.0), qanadli(tree, high, 1.0) + UNPLACED[0] * off)
    trees = [tree.with_segments_off(factor) for factor in (1 / SEGMENTS_OFF, 1.0, SEGMENTS_OFF)]
    least, greatest = min(mastora(t, low).total for t in trees), max(mastora(t, high).total for t in trees)
    obstructed = (mastora(tree, share).total, least, greatest + UNPLACED[1] * off)
    return {
        "qanadli": Score(*points[:2], min(points[2], QANADLI_MAX), QANADLI_MAX),
        "mastora": Score(*obstructed[:2], min(obstructed[2], MASTORA_MAX), MASTORA_MAX),
    }


def _with_lobe(place: Place, shares: Mapping[str, float]) -> Place:
    """The place with the lobe that holds at least half of the embolus, and with its side where the tree tells none."""
    lobe = max(shares, key=lambda name: shares[name])
    if shares[lobe] < 0.5:
        return place
    side: Side = "right" if lobe.startswith("right") else "left"
    return Place(place.level, place.generation, place.side or side, lobe, place.obstruction)
