"""The models of a prediction, loaded once, with how much each counts; those that count nothing are not loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch

from pe_nnunet.errors import Note
from pe_nnunet.fusion.model_weights import plain_mean
from pe_nnunet.inference.backends import with_backends
from pe_nnunet.inference.locate import ModelLocation
from pe_nnunet.inference.model import TrainedModel, load_model, terms_of
from pe_nnunet.inference.search_region import artery_model
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.inference.window_size import described, with_windows
from pe_nnunet.outputs import ModelRecord, ModelTerms


@dataclass(frozen=True)
class LoadedEnsemble:
    """Models and their weights.

    Attributes:
        models: Those whose probabilities count.
        weights: Of these; None where every fold of every model counts alike.
        of_arteries: The model that says where arteries run, if it is asked; it may be none of `models`.
        shares: Every model that was named, and its weight; they add up to 1.
        notes: Where windows are not the patches that models were trained on.
    """

    models: tuple[TrainedModel, ...]
    weights: tuple[float, ...] | None
    of_arteries: tuple[TrainedModel, ...]
    shares: tuple[tuple[ModelLocation, float], ...]
    notes: tuple[Note, ...]

    @property
    def n_channels(self) -> int:
        """Image channels that the models need, the CT included."""
        return max(model.n_channels for model in (*self.models, *self.of_arteries))

    @property
    def records(self) -> tuple[ModelRecord, ...]:
        """What results say of the folds that are run."""
        return tuple(dict.fromkeys(record for one in (*self.models, *self.of_arteries) for record in one.records))

    @property
    def terms(self) -> tuple[ModelTerms, ...]:
        """Licences and citations that came with the models that are run."""
        found = (terms_of(model) for model in (*self.models, *self.of_arteries))
        return tuple(dict.fromkeys(terms for terms in found if terms is not None))

    def windows(self) -> list[dict[str, Any]]:
        """What a manifest says of the windows."""
        return described([*self.models, *self.of_arteries])

    def backends(self) -> list[str]:
        """What ran the models of `windows`, in that order."""
        models = (*self.models, *self.of_arteries)
        return ["torch" if model.backend is None else model.backend.name for model in models]

    def described(self) -> list[dict[str, Any]]:
        """What a manifest says of the weights."""
        return [
            {"model": place.folder.name, "dataset": place.folder.parent.name, "weight": share}
            for place, share in self.shares
        ]


def load_ensemble(
    locations: Sequence[ModelLocation],
    records: Sequence[tuple[ModelRecord, ...]],
    weights: Sequence[float] | None,
    device: torch.device,
    settings: InferenceSettings,
    *,
    trust: bool = False,
    along_arteries: bool = False,
) -> LoadedEnsemble:
    """Load what counts.

    Args:
        locations: Models and folds.
        records: Of each of them, see `model_records`.
        weights: How much each model counts; None: every fold of every model counts alike.
        device: Where they run.
        settings: How they are run, for the size of windows.
        trust: Load checkpoints that hold more than weights.
        along_arteries: Whether one has to say where arteries run: the first that can, of those that count if possible.

    Raises:
        ConfigurationError: If a model is missing or unreadable; PE-MODEL-007 if none tells arteries.
    """
    shares = plain_mean([len(place.folds) for place in locations]) if weights is None else tuple(weights)
    named = tuple(zip(locations, shares, strict=True))
    of_place = dict(zip(locations, records, strict=True))
    loaded = tuple(load_model(place, device, trust, of_place[place]) for place, share in named if share > 0)
    models, notes = with_windows(loaded, device, settings)
    models, further = with_backends(models, device, settings)
    notes += further
    of_arteries: tuple[TrainedModel, ...] = ()
    if along_arteries:
        idle = (load_model(place, device, trust, of_place[place]) for place, share in named if share == 0)
        of_arteries = (artery_model(chain(models, idle)),)
        if of_arteries[0].window is None:  # of one that counts nothing
            of_arteries, further = with_windows(of_arteries, device, settings)
            notes += further
    counting = None if weights is None else tuple(share for share in shares if share > 0)
    return LoadedEnsemble(models, counting, of_arteries, named, notes)
