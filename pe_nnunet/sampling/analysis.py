"""How rare the target is: on the whole scan, after the crop to the lungs, and in the patches that are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from pe_nnunet.dataset.dataset_json import pe_label_values, read_dataset_json
from pe_nnunet.dataset.folders import PREPROCESSED, nnunet_folder, plans_in
from pe_nnunet.dataset.records import CaseRecord
from pe_nnunet.errors.near import did_you_mean
from pe_nnunet.named_classes import read_plans
from pe_nnunet.recipe import resolve_recipe
from pe_nnunet.sampling.build import make_loader, voxel_mm3
from pe_nnunet.sampling.draw import PositiveRule
from pe_nnunet.sampling.loader import EmbolusDataLoader

SIZE_CLASSES_MM3 = (0.0, 50.0, 200.0, 1000.0, float("inf"))
Row = dict[str, Any]


@dataclass(frozen=True)
class Patches:
    """What was drawn.

    Attributes:
        ratios: PE voxels over voxels of each patch.
        kinds: Why each was drawn.
        positive: Whether each counts as positive (`PositiveRule`).
        drawn_mm3: Size of the drawn embolus of those drawn around one.
    """

    ratios: tuple[float, ...]
    kinds: tuple[str, ...]
    positive: tuple[bool, ...]
    drawn_mm3: tuple[float, ...]


def case_rows(records: Mapping[str, CaseRecord]) -> list[Row]:
    """One row a case: its emboli and its target ratio before and after the crop."""
    return [
        {
            "case": case,
            "emboli": record.embolus_count,
            "clot_mm3": round(record.clot_mm3, 3),
            "target_ratio_scan": record.target_ratio_before,
            "target_ratio_crop": record.target_ratio_after,
            "crop_factor": record.target_ratio_factor,
        }
        for case, record in sorted(records.items())
    ]


def embolus_rows(records: Mapping[str, CaseRecord]) -> list[Row]:
    """One row an embolus: its size and the part of scan and crop that it alone fills."""
    return [
        {
            "case": case,
            "id": number,
            "volume_mm3": record.embolus_mm3[number],
            "target_ratio_scan": scan,
            "target_ratio_crop": crop,
        }
        for case, record in sorted(records.items())
        for number, (scan, crop) in sorted(record.embolus_target_ratio.items())
    ]


def draw_patches(loader: EmbolusDataLoader, rule: PositiveRule, count: int, seed: int) -> Patches:
    """Draw patches as training does, without augmentation, and look at what they hold.

    Args:
        loader: Without transforms, cutting the final patch.
        rule: What positive means.
        count: How many.
        seed: Source of chance.
    """
    rng = np.random.default_rng(seed)
    ratios, kinds, positive, drawn_mm3 = [], [], [], []
    for _ in range(count):
        draw, _, target = loader.sample(loader.sampler.draw(rng), rng)
        voxels = rule.pe_voxels(target)
        ratios.append(voxels / target[0].numel())
        kinds.append(draw.kind)
        positive.append(voxels >= loader.needed_voxels(rule, draw, target) and voxels > 0)
        if draw.embolus is not None:
            drawn_mm3.append(float(loader.sampler.index[draw.case].voxel_counts[draw.embolus]) * rule.voxel_mm3)
    return Patches(tuple(ratios), tuple(kinds), tuple(positive), tuple(drawn_mm3))


def summary(cases: Sequence[Row], emboli: Sequence[Row], patches: Patches | None) -> dict[str, Any]:
    """The numbers of an analysis, in JSON types.

    Args:
        cases: `case_rows`.
        emboli: `embolus_rows`.
        patches: What was drawn; None where nothing was.
    """
    positives = [row for row in cases if row["emboli"]]
    volumes = [row["volume_mm3"] for row in emboli]
    found: dict[str, Any] = {
        "cases": len(cases),
        "negative_cases": len(cases) - len(positives),
        "emboli": len(emboli),
        "embolus_mm3": _quartiles(volumes),
        "target_ratio_scan": _quartiles([row["target_ratio_scan"] for row in positives]),
        "target_ratio_crop": _quartiles([row["target_ratio_crop"] for row in positives]),
        "crop_factor": _quartiles([row["crop_factor"] for row in cases]),
        "emboli_by_size": _by_size(volumes),
    }
    if patches is not None:
        kinds = np.array(patches.kinds)
        positive = np.array(patches.positive)
        away = kinds != "positive"
        ratios = np.array(patches.ratios)
        found["patches"] = {
            "drawn": len(kinds),
            "positive_share": float(positive.mean()),
            "holding_any_pe_share": float((ratios > 0).mean()),
            "kind_share": {str(kind): float((kinds == kind).mean()) for kind in np.unique(kinds)},
            "positive_among_those_drawn_elsewhere": float(positive[away].mean()) if away.any() else None,
            "target_ratio": _quartiles(
                [ratio for ratio, yes in zip(patches.ratios, patches.positive, strict=True) if yes]
            ),
            "drawn_emboli_by_size": _by_size(patches.drawn_mm3),
        }
    return found


def _quartiles(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    names = ("least", "quarter", "median", "three_quarters", "most")
    return dict(zip(names, np.quantile(values, (0, 0.25, 0.5, 0.75, 1)).tolist(), strict=True))


def _by_size(volumes_mm3: Sequence[float]) -> dict[str, float]:
    """The share of emboli in each class of size; 0 everywhere where there are none."""
    counts = np.histogram(volumes_mm3, SIZE_CLASSES_MM3)[0]
    names = [f"{low:g}-{high:g} mm3" for low, high in pairwise(SIZE_CLASSES_MM3)]
    return dict(zip(names, (counts / max(1, counts.sum())).tolist(), strict=True))


def drawn_patches(name: str, plans_name: str, configuration_name: str, count: int) -> tuple[Patches | None, str]:
    """Draw patches from the preprocessed dataset by the recipe in force.

    Args:
        name: The dataset's folder name.
        plans_name: As nnU-Net's `-p`.
        configuration_name: As nnU-Net's `-c`.
        count: How many.

    Returns:
        The patches, or None and why there are none.
    """
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    folder = nnunet_folder(PREPROCESSED) / name
    path = folder / f"{plans_name}.json"
    if not path.is_file():
        hint = did_you_mean(plans_name, plans_in(folder), "plan and preprocess first, or name other plans with -p")
        return None, f"{path} is not there; {hint}"
    described = read_plans(path)
    plans = PlansManager(described)
    if configuration_name not in described["configurations"]:
        there = described["configurations"]
        hint = did_you_mean(configuration_name, there, f"there: {', '.join(there)}")
        return None, f"{plans_name} has no configuration {configuration_name}; {hint}"
    configuration = plans.get_configuration(configuration_name)
    stored = folder / configuration.data_identifier
    if not stored.is_dir():
        return None, f"{stored} is not there; preprocess first"
    dataset_json = read_dataset_json(folder, "PE-CONV-013")
    recipe = resolve_recipe({}, described)
    loader = make_loader(
        infer_dataset_class(str(stored))(str(stored)),
        configuration.patch_size,
        None,
        recipe=recipe,
        plans=plans,
        configuration=configuration,
        dataset_json=dataset_json,
        batch_size=1,
        training=False,
    )
    rule = PositiveRule(voxel_mm3(plans, configuration), pe_label_values(dataset_json["labels"]))
    return draw_patches(loader, rule, count, recipe.seed), ""
