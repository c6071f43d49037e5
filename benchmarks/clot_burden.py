"""How well level, side, obstruction, scores and ventricles agree with what phantoms are drawn from.

    python benchmarks/clot_burden.py --cases 12 --seed 5        # 1 mm; --coarse for 2.5 mm

The true emboli stand for the findings and the true arteries for the mask, so that what is measured is the geometry
alone and no network. `--thinnest 3` leaves arteries narrower than 3 mm out of the mask, as masks of models do. Levels,
sides and obstruction of the reference are known from how the trees were drawn; its scores follow from them by the same
rules. Ventricles are ellipsoids of known axes.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import numpy as np

from pe_nnunet.burden import measure_burden
from pe_nnunet.burden.artery_tree import LEVELS, ArteryTree
from pe_nnunet.burden.measure import score
from pe_nnunet.burden.sites import MIN_SHARE, Obstruction, Site
from pe_nnunet.burden.ventricles import measure_ventricles
from pe_nnunet.phantom.artery_anatomy import ArteryAnatomy
from pe_nnunet.phantom.heart_chambers import exact_widths_mm, heart_chambers
from pe_nnunet.phantom.make import artery_mask
from pe_nnunet.phantom.scene import Scene, compose
from pe_nnunet.phantom.settings import PhantomSettings, coarse_settings

NAMES = [name for name, _ in LEVELS]


def exact_scores(scene: Scene, anatomy: ArteryAnatomy) -> tuple[int, int]:
    """Points of both scores for the tree and the emboli as they were drawn."""
    tubes = scene.trees.arteries
    first = np.array([np.flatnonzero(tubes.branch == b)[0] for b in range(tubes.branch.max() + 1)])
    above = tubes.parent[first]
    parent = np.where(above >= 0, tubes.branch[above], -1)
    side = tuple("both" if anatomy.name[k] == "trunk" else anatomy.name[k].split()[0] for k in first)
    level = tuple(anatomy.level[k] for k in first)
    tree = ArteryTree(parent, anatomy.segments[first], level, side, tubes.generation[first])
    sites = []
    for number, embolus in enumerate(scene.clot.emboli, 1):
        of_branch: Counter[int] = Counter()
        for piece, mm3 in embolus.pieces.items():
            of_branch[int(tubes.branch[piece])] += mm3 / sum(embolus.pieces.values())
        exact = Obstruction(*(embolus.obstruction,) * 3)
        sites += [Site(number, b, part, exact) for b, part in of_branch.items() if part >= MIN_SHARE]
    points = score(tree, sites, 0)
    return points["qanadli"].points, points["mastora"].points


def arteries(settings: PhantomSettings, seed: int, cases: int, thinnest_mm: float) -> None:
    """Measure the emboli of phantoms and print the agreement."""
    levels, sides, lumen, seconds = [], [], [], []
    scores: dict[str, list[tuple[int, int, int, int]]] = {"qanadli": [], "mastora": []}
    for index in range(cases):
        scene = compose(settings, seed, index)
        anatomy = ArteryAnatomy.of(scene.trees.arteries)
        grid = scene.grid  # as coarse as the scan at both spacings
        mask = artery_mask(scene)
        wide = np.append(2 * scene.trees.arteries.radius >= thinnest_mm, False)
        mask &= wide[scene.artery.piece] | (scene.clot.ids > 0)
        image = grid.image(mask.astype(np.uint8))
        started = time.perf_counter()
        found = measure_burden(scene.clot.ids, image, {"artery": image})
        seconds.append(time.perf_counter() - started)
        for number, embolus in enumerate(scene.clot.emboli, 1):
            truth, place = anatomy.place_of(embolus), found.places[number]
            levels.append((truth["level"], place.level or "not told"))
            sides.append((truth["side"], place.side))
            if place.obstruction is not None:
                o = place.obstruction
                lumen.append((embolus.obstruction, o.share, o.low, o.high))
        for name, points in zip(scores, exact_scores(scene, anatomy), strict=True):
            estimate = getattr(found, name)
            scores[name].append((points, estimate.points, estimate.low, estimate.high))
    told = [(t, f) for t, f in levels if f != "not told"]
    away = [abs(NAMES.index(t) - NAMES.index(f)) for t, f in told]
    print(f"{len(levels)} emboli in {cases} scans, {np.mean(seconds):.1f} s a scan")
    print(
        f"level: told of {len(told)}, the same {away.count(0)}, the one beside it {away.count(1)}, further off ", end=""
    )
    print(f"{sum(a > 1 for a in away)}; side: the same {sum(t == f for t, f in sides)}")
    print("| true, found: | " + " | ".join([*NAMES, "not told"]) + " |")
    print("| --- |" + " --- |" * (len(NAMES) + 1))
    table = Counter(levels)
    for name in NAMES:
        print(f"| {name} | " + " | ".join(str(table[name, other]) for other in [*NAMES, "not told"]) + " |")
    true, share, low, high = np.array(lumen).T
    error = 100 * (share - true)
    print(f"obstruction: bias {error.mean():+.0f}, mean error {abs(error).mean():.0f} of 100, in bounds ", end="")
    print(f"{np.mean((low <= true + 0.005) & (true - 0.005 <= high)):.0%}; wholly or not: ", end="")
    print(f"{np.mean((share >= 0.9) == (true >= 0.9)):.0%} the same")
    for name, rows in scores.items():
        true, points, low, high = np.array(rows).T
        print(
            f"{name}: true {true.min()} to {true.max()} points, bias {np.mean(points - true):+.1f}, mean error ", end=""
        )
        print(f"{np.mean(abs(points - true)):.1f}, in bounds {np.mean((low <= true) & (true <= high)):.0%}, ", end="")
        print(f"bounds {np.mean(high - low):.0f} wide, correlation {np.corrcoef(true, points)[0, 1]:.2f}")


def hearts(spacing_mm: tuple[float, float, float], seed: int, cases: int) -> None:
    """Measure ventricles of known widths."""
    errors: dict[str, list[float]] = {"axial": [], "four-chamber": [], "volume": []}
    for index in range(cases):
        heart = heart_chambers(spacing_mm, np.random.default_rng([seed, index]))
        found = measure_ventricles(heart.masks)
        for name, view in (("axial", found.axial), ("four-chamber", found.four_chamber)):
            right, left = exact_widths_mm(heart, view.planes)
            errors[name].append(view.ratio / (right / left) - 1)
        errors["volume"].append(found.right_ml / found.left_ml / heart.volume_ratio - 1)
    for name, values in errors.items():
        off = 100 * np.array(values)
        print(
            f"RV/LV, {name}: bias {off.mean():+.1f} %, mean error {abs(off).mean():.1f} %, worst {abs(off).max():.1f} %"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--coarse", action="store_true")
    parser.add_argument("--thinnest", type=float, default=0.0, metavar="MM")
    args = parser.parse_args()
    chosen = coarse_settings(negative_fraction=0.0) if args.coarse else PhantomSettings(negative_fraction=0.0)
    arteries(chosen, args.seed, args.cases, args.thinnest)
    hearts(chosen.spacing_mm, args.seed, 20)
