"""A loader over the dataset that is analysed, as training has one."""

from __future__ import annotations

import json

from pe_nnunet.dataset.dataset_json import pe_label_values, read_dataset_json
from pe_nnunet.dataset.folders import PREPROCESSED, nnunet_folder
from pe_nnunet.recipe import resolve_recipe
from pe_nnunet.sampling.analysis import Patches, draw_patches
from pe_nnunet.sampling.build import make_loader, voxel_mm3
from pe_nnunet.sampling.positive import PositiveRule


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
        return None, f"{path} is not there; plan and preprocess first, or name other plans with -p"
    described = json.loads(path.read_text(encoding="utf-8"))
    plans = PlansManager(described)
    if configuration_name not in described["configurations"]:
        return None, f"{plans_name} has no configuration {configuration_name}"
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
