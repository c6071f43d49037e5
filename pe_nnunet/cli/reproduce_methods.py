"""The methods that `pe-nnunet reproduce` scores: models, published or others, and findings that are there already."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pe_nnunet.errors import ConfigurationError, InputError
from pe_nnunet.errors.near import did_you_mean
from pe_nnunet.evaluation.public_sets import LabelledSet
from pe_nnunet.inference.locate import ModelLocation
from pe_nnunet.inference.published import PUBLISHED, PublishedModel, recognised
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.options import chosen
from pe_nnunet.volumes.find import clean

LABELS = "labels"  # the folder beside those of the methods


@dataclass(frozen=True)
class Method:
    """One line of the tables.

    Attributes:
        name: In the tables, and of its folder.
        published: The published model that it is, or None.
        findings: Folder of findings that are there already; None where the models make them.
        models: That make them.
    """

    name: str
    published: PublishedModel | None = None
    findings: Path | None = None
    models: tuple[ModelLocation, ...] = ()

    def findings_on(self, truth: LabelledSet, folder: Path, args: argparse.Namespace) -> tuple[Path, list[str]]:
        """The folder of its findings on a dataset, made where they are not there, and what is to be said of them.

        Args:
            truth: The scans.
            folder: Where findings are made, in `findings`.
            args: Of the command: device, settings of prediction, whether to go on.

        Raises:
            ConfigurationError: PE-EVAL-012 for scans that it was trained on.
            InputError: PE-IN-001 if there are no scans to make findings of.
            PEError: As the predictor.
        """
        from pe_nnunet.inference import PEPredictor
        from pe_nnunet.inference.batch import predict_batch

        self._require_unseen(truth)
        if self.findings is not None:
            return self.findings, [*self._about(), f"{self.name}: findings from {self.findings.name}"]
        if not truth.refs:
            raise InputError("PE-IN-001", "there are no scans to find emboli in", "add them, or give --findings")
        notes = self._doubts(truth)
        given = chosen(args, InferenceSettings)
        inference = replace(self.published.inference if self.published else InferenceSettings(), **given)
        predictor = PEPredictor(
            list(self.models),
            device=args.device,
            fusion=self.published.fusion if self.published else None,
            inference=inference,
        )
        predict_batch(predictor, truth.refs, folder / "findings", resume=args.resume)
        mirrored = "mirrored" if inference.mirroring else "not mirrored"
        choice = predictor.choice
        source = "as its authors take it" if self.published else f"from {choice.source}"
        how = f"{self.name}: windows {inference.step:g} of a window apart, {mirrored}; "
        how += f"kept from probability {choice.settings.threshold:g} on, {source}"
        said = [f"{self.name}: {note}" for note in predictor.notes]
        return folder / "findings", [*self._about(), how, *said, *notes]

    def _about(self) -> list[str]:
        if self.published is None:
            return []
        model = self.published
        return [
            f"{self.name}: {model.citation} Licence of the weights: {model.licence or 'none stated by its authors'}.",
            f"{self.name}: its authors report {model.reported}.",
        ]

    def _require_unseen(self, truth: LabelledSet) -> None:
        """Refuse scans that a published model was trained on, as its authors say."""
        unseen = self.published.unseen_of.get(truth.kind) if self.published else None
        if unseen is not None and (seen := sorted(set(truth.cases) - unseen)):
            some = ", ".join(seen[:5]) + (" and others" if len(seen) > 5 else "")
            raise ConfigurationError(
                "PE-EVAL-012", f"{self.name} was trained on {some}", "name scans with --scans that it has not seen"
            )

    def _doubts(self, truth: LabelledSet) -> list[str]:
        """Refuse scans that a model was trained on, as its checkpoints tell; what nobody can tell is returned."""
        if self.published is not None:
            return []
        from pe_nnunet.calibration.held_out import require_unseen, unseen_notes
        from pe_nnunet.calibration.trained_on import splits_of_models

        trained = splits_of_models(self.models)
        require_unseen(trained, {case: truth.sha256[case] for case in truth.cases if case in truth.sha256})
        notes = unseen_notes(trained)
        for note in notes:
            print(note, flush=True)
        return [f"{self.name}: {note.message}" for note in notes]


def methods_of(args: argparse.Namespace) -> list[Method]:
    """The methods that the arguments name, in their order: findings, published models, model folders.

    Raises:
        ConfigurationError: PE-EVAL-019 if there is none, or names do not fit or come twice; PE-MODEL-001 and others if
            a model is not there.
    """
    if unknown := [name for name in args.published if name not in PUBLISHED]:
        hint = did_you_mean(unknown[0], PUBLISHED, f"known: {', '.join(PUBLISHED)}")
        raise _misfit(f"no published model {', '.join(unknown)} is known", hint)
    given = _findings(args)
    methods = [Method(name, PUBLISHED.get(name), findings=folder) for name, folder in given.items()]
    named = [name for name in args.published if name not in given]
    if args.dataset is not None and len(named) != 1:
        raise _misfit("-d says where one published model lies", "name one, and the others with -m")
    methods += [Method(name, PUBLISHED[name], models=tuple(_imported(name, args))) for name in named]
    methods += _of_folders(args)
    if not methods:
        raise _misfit("no model and no findings are named", "name aanet or duke, -m FOLDER, or --findings NAME=DIR")
    if any(method.name == LABELS for method in methods):
        raise _misfit(f"a method is called {LABELS}, as the folder of the labels", "call it otherwise with --names")
    if twice := [name for name, count in Counter(method.name for method in methods).items() if count > 1]:
        raise _misfit(f"two methods are called {', '.join(twice)}", "call them otherwise with --names")
    return methods


def _findings(args: argparse.Namespace) -> dict[str, Path]:
    """Folders of findings by method."""
    found: dict[str, Path] = {}
    for text in args.findings:
        name, equals, folder = text.partition("=")
        if not equals or "/" in name:
            if len(args.published) != 1:
                raise _misfit(f"--findings {text} is of no method", f"write NAME={text}")
            name, folder = args.published[0], text
        if name in found or name != clean(name):
            raise _misfit(f"--findings {text}: {name} comes twice, or is no name", "use letters, digits, _ and -")
        found[name] = Path(folder)
    return found


def _imported(name: str, args: argparse.Namespace) -> Sequence[ModelLocation]:
    """A published model, where `pe-nnunet import-model` wrote it."""
    from pe_nnunet.inference.locate import locate_models

    model = PUBLISHED[name]
    trainer, plans, configuration = model.model.split("__")
    dataset = args.dataset or str(model.dataset_id)
    return locate_models(dataset, [trainer], [plans], [configuration], args.folds, args.checkpoint)


def _of_folders(args: argparse.Namespace) -> list[Method]:
    """The models of `-m`, each a method of its own."""
    from pe_nnunet.inference.named_models import locate_model, name_notes
    from pe_nnunet.inference.shipped import shipped_as

    models: list[str] = args.model_names
    if args.names is not None and len(args.names) != len(models):
        raise _misfit(f"--names has {len(args.names)} names, and -m {len(models)} models", "give one a model")
    for note in name_notes(models):
        print(note, flush=True)
    methods = []
    for number, model in enumerate(models):
        place = locate_model(model, args.folds, args.checkpoint)
        folder = place.folder
        published = _recognised(place)
        own = next((key for key, one in PUBLISHED.items() if one is published), None) or shipped_as(folder)
        name = args.names[number] if args.names else own or clean(f"{folder.parent.name}_{folder.name}")
        if name != clean(name):
            raise _misfit(f"--names {name}", "use letters, digits, _ and -")
        methods.append(Method(name, published, models=(place,)))
    return methods


def _recognised(place: ModelLocation) -> PublishedModel | None:
    from pe_nnunet.dataset.dataset_json import read_dataset_json
    from pe_nnunet.named_classes import read_plans

    return recognised(read_plans(place.folder / "plans.json"), read_dataset_json(place.folder))


def _misfit(what: str, hint: str) -> ConfigurationError:
    return ConfigurationError("PE-EVAL-019", what, hint)
