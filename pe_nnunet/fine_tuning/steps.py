"""The whole of a fine-tuning: checks first, then fingerprint, plans, preprocessing and the folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from pe_nnunet.dataset.dataset_json import read_dataset_json
from pe_nnunet.dataset.folders import (
    PREPROCESSED,
    RAW,
    RESULTS,
    SPLITS,
    Split,
    dataset_folder,
    nnunet_folder,
    stale_preprocessed,
)
from pe_nnunet.dataset.scan_hashes import scan_hashes
from pe_nnunet.dataset.split_checks import check_fold, read_checked_splits
from pe_nnunet.dataset.training_split import some_names
from pe_nnunet.errors import ConfigurationError, Note
from pe_nnunet.files.json_reader import read_json
from pe_nnunet.fine_tuning.first_model import FirstModel, read_first_model
from pe_nnunet.fine_tuning.fit import (
    check_configuration,
    check_images,
    check_memory,
    check_plans_and_network,
    check_weights,
    heads_fit,
    larger_than_scans,
    what_is_exchanged,
)
from pe_nnunet.fine_tuning.moved_plans import name_of_plans, require_same_origin, trained_plans
from pe_nnunet.fine_tuning.preprocess import FINGERPRINT, prepare
from pe_nnunet.fine_tuning.settings import FineTuneSettings, check_folds
from pe_nnunet.fine_tuning.train import FoldStart, require_same_start, train_fold
from pe_nnunet.inference.device import pick_device
from pe_nnunet.inference.locate import FINAL
from pe_nnunet.inference.named_models import find_model
from pe_nnunet.planners.check_dataset import check_dataset
from pe_nnunet.recipe import ENVIRONMENT_VARIABLE, resolve_recipe
from pe_nnunet.registration import register
from pe_nnunet.registration.names import load_class
from pe_nnunet.trainers.check_start import splits_of_nnunet


@dataclass(frozen=True)
class FineTuned:
    """What came of a fine-tuning.

    Attributes:
        folder: Of the model, in `nnUNet_results`.
        dataset: Name of the dataset's folder.
        trainer: Name of the trainer.
        plans: Name of the plans.
        configuration: Of the plans.
        folds: Those that are trained.
    """

    folder: Path
    dataset: str
    trainer: str
    plans: str
    configuration: str
    folds: tuple[str, ...]


def fine_tune(
    model_name: str,
    dataset: str,
    folds: Sequence[str] = ("0",),
    settings: FineTuneSettings | None = None,
    *,
    configuration: str | None = None,
    checkpoint: str = FINAL,
    device: str = "auto",
    npz: bool = False,
) -> FineTuned:
    """Train folds on a dataset from the weights of a trained model.

    Everything that can be refused is, before anything is computed. A second call goes on with what was stopped.

    Args:
        model_name: See `find_model`.
        dataset: Id or name of a dataset in `nnUNet_raw`.
        folds: Numbers, or all.
        settings: Of the training.
        configuration: Has to be the model's.
        checkpoint: File name within a fold of the model.
        device: See `pick_device`.
        npz: Whether the validation's probabilities are written.

    Raises:
        PEError: See docs/fine_tuning.md.
    """
    settings = settings or FineTuneSettings()
    check_folds(tuple(folds))
    register()
    where = pick_device(device)
    raw = dataset_folder(nnunet_folder(RAW), dataset)
    preprocessed = nnunet_folder(PREPROCESSED) / raw.name
    results = nnunet_folder(RESULTS)
    dataset_json = read_dataset_json(raw, "PE-ENV-002")
    model = read_first_model(find_model(model_name), checkpoint)
    check_configuration(model, configuration)
    check_images(model, dataset_json, raw.name)
    plans = trained_plans(model, settings, raw.name)
    recipe = resolve_recipe(load_class(model.trainer).recipe_defaults, plans)
    name = name_of_plans(model, settings)
    network = check_plans_and_network(model, plans, dataset_json, bool(settings.patch_size))
    target = results / raw.name / f"{model.trainer}__{name}__{model.configuration}"
    require_same_origin(preprocessed / f"{name}.json", plans)
    files = _files(raw, dataset_json)
    notes = check_dataset(raw, preprocessed, dataset_json, files)
    splits = _splits(raw, preprocessed, list(files), folds)
    starts = [_start(model, fold, dataset_json, network, raw.name, splits) for fold in folds]
    chosen = PlansManager(plans).get_configuration(model.configuration)
    check_memory(network, chosen.patch_size, recipe.batch_size or chosen.batch_size, where)
    for start in starts:
        require_same_start(target / f"fold_{start.fold}", start)

    changed = _changes(model, dataset_json, starts)
    for note in [*notes, *_other_splits(raw), *changed]:
        print(note, flush=True)
    by = f", by {ENVIRONMENT_VARIABLE}" if recipe.learning_rate != settings.learning_rate else ""
    patch = "x".join(map(str, chosen.patch_size))
    print(
        f"{model.name} -> {raw.name}: trainer {model.trainer}, learning rate {recipe.learning_rate:g}{by}, "
        f"{recipe.epochs} epochs of {recipe.iterations} steps, patches of {patch}, on {where}",
        flush=True,
    )
    prepare(raw, preprocessed, name, plans, model.configuration, files, settings.processes)
    padding = _padding(preprocessed, plans, model.configuration)
    if padding is not None:
        print(padding, flush=True)
    for start in starts:
        print(f"[4/4] fold {start.fold}, from fold {start.model_fold} of the model", flush=True)
        done = train_fold(model, start, raw.name, name, where, npz=npz)
        print(f"fold {start.fold}: {done}, {target / f'fold_{start.fold}'}", flush=True)
    return FineTuned(target, raw.name, model.trainer, name, model.configuration, tuple(folds))


def _files(raw: Path, dataset_json: dict[str, Any]) -> dict[str, Any]:
    """Images and labels by case, as nnU-Net lists them.

    Raises:
        ConfigurationError: PE-PLN-006 if nothing is where they belong; which of them are missing `check_dataset` says.
    """
    ending, listed = dataset_json.get("file_ending"), dataset_json.get("dataset")
    images = raw / "imagesTr"
    files: dict[str, Any] = {}
    if isinstance(ending, str) and (listed or images.is_dir()):
        files = get_filenames_of_train_images_and_targets(str(raw), dataset_json)
    if not any(Path(path).is_file() for case in files.values() for path in case["images"]):
        raise ConfigurationError(
            "PE-PLN-006", f"{raw} holds no training image", f"dataset.json says: imagesTr/<case>_0000{ending}"
        )
    return files


def _splits(raw: Path, preprocessed: Path, cases: list[str], folds: Sequence[str]) -> list[Split]:
    """The folds of the dataset, or those that nnU-Net will make; none where only `all` is trained.

    Raises:
        ConfigurationError: PE-TRAIN-012, -013 or -014 if one that is asked for is not among them.
    """
    numbers = [int(fold) for fold in folds if fold != "all"]
    if not numbers:
        return []
    path = next((folder / SPLITS for folder in (preprocessed, raw) if (folder / SPLITS).is_file()), None)
    splits = splits_of_nnunet(cases) if path is None else read_checked_splits(path, cases)
    for number in numbers:
        check_fold(number, len(splits), str(path or raw))
    return splits


def _other_splits(raw: Path) -> list[Note]:
    """That the splits which were used before, and are again, are not those that the dataset has now."""
    path = raw / SPLITS
    return stale_preprocessed(raw.name, read_checked_splits(path), cases_changed=False) if path.is_file() else []


def _start(
    model: FirstModel,
    fold: str,
    dataset_json: dict[str, Any],
    network: torch.nn.Module,
    dataset: str,
    splits: Sequence[Split],
) -> FoldStart:
    """What a fold starts from, compared with the network and with what the fold validates on."""
    of_model = model.fold_for(fold)
    weights = model.weights(of_model)
    check_weights(model, of_model, weights, network)
    if fold != "all":
        hashes = scan_hashes(dataset, [*splits[int(fold)]["train"], *splits[int(fold)]["val"]])
        before = model.split(of_model).seen_from(dataset, hashes)
        if seen := before.trained_on({case: hashes[case] for case in splits[int(fold)]["val"]}):
            raise ConfigurationError(
                "PE-TRAIN-010",
                f"fold {fold} would validate on cases that fold {of_model} of {model.name} was trained on "
                f"({some_names(seen)})",
                "fine-tune folds that the model has and that hold out the same cases, or name a model of other scans",
            )
    keep = heads_fit(model, dataset_json, weights, network)
    return FoldStart(fold, of_model, model.record(of_model, keep_heads=keep), keep)


def _changes(model: FirstModel, dataset_json: dict[str, Any], starts: Sequence[FoldStart]) -> list[Note]:
    """What is not as it was in the model's own training."""
    notes = []
    if (heads := what_is_exchanged(model, dataset_json, all(start.keep_heads for start in starts))) is not None:
        notes.append(heads)
    if model.trainer != model.trained_by:
        text = f"{model.trained_by} has trained the model, {model.trainer} goes on, by the recipe"
        notes.append(Note("PE-TRAIN-029", "warning", text))
    return notes


def _padding(preprocessed: Path, plans: dict[str, Any], configuration: str) -> Note | None:
    """Whether the scans are much smaller than a patch, by their fingerprint."""
    facts = read_json(preprocessed / FINGERPRINT, finite=False)
    chosen, order = PlansManager(plans).get_configuration(configuration), plans["transpose_forward"]
    sizes_mm = [
        [shape[axis] * spacing[axis] for axis in order]
        for shape, spacing in zip(facts["shapes_after_crop"], facts["spacings"], strict=True)
    ]
    return larger_than_scans(chosen.patch_size, chosen.spacing, sizes_mm)
