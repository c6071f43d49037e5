"""The published models that are known here: where they are from, under which terms, and how their authors run them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pe_nnunet.dataset.dataset_json import citation_of, licence_of
from pe_nnunet.dataset.public_splits import CAD_PE_TEST
from pe_nnunet.fusion.settings import FusionSettings
from pe_nnunet.inference.plan_numbers import INTENSITIES
from pe_nnunet.inference.settings import InferenceSettings


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """One published model; its weights are for users to fetch.

    Attributes:
        title: What people call it.
        origin: Where its authors have published it.
        licence: Of the weights; empty where their authors state none.
        citation: What its users are asked to cite.
        dataset_id: That it is imported under, unless another is chosen.
        dataset_name: Likewise.
        model: Name of its folder, `TRAINER__PLANS__CONFIGURATION`.
        sha256: Of the published files, as far as known.
        git_sha1: Likewise, by which git names a file's content.
        recognised_by: Plans that are its own: what they hold under these keys, and of the intensities of the CT.
        inference: How its authors run it.
        fusion: How they make emboli of probabilities.
        unseen_of: Public datasets that it was trained on, and their scans that it was not trained on.
        reported: What its authors report, and on what.
    """

    title: str
    origin: str
    licence: str
    citation: str
    dataset_id: int
    dataset_name: str
    model: str
    sha256: frozenset[str] = frozenset()
    git_sha1: frozenset[str] = frozenset()
    recognised_by: Mapping[str, Any] = field(default_factory=dict)
    inference: InferenceSettings
    fusion: FusionSettings
    unseen_of: Mapping[str, frozenset[str]] = field(default_factory=dict)
    reported: str

    @property
    def terms(self) -> dict[str, str]:
        """What `dataset.json` says of them; a licence that is not stated is left out."""
        return {"licence": self.licence, "citation": self.citation} if self.licence else {"citation": self.citation}


AS_STOCK = FusionSettings(threshold=0.5, min_volume_mm3=0.0)  # two classes: the larger logit decides

PUBLISHED: dict[str, PublishedModel] = {
    "aanet": PublishedModel(
        title="AANet",
        origin="github.com/guojiajeremy/AANet",
        licence="",
        citation="Guo J, et al. AANet: Artery-Aware Network for Pulmonary Embolism Detection in CTPA Images. MICCAI "
        "2022. doi:10.1007/978-3-031-16431-6_45",
        dataset_id=900,
        dataset_name="AANet",
        model="PEAANetTrainer__PEAANetPlans__3d_fullres",
        git_sha1=frozenset({"2aa9b58cfb29f81feb74830f21d1a17aaeaf3920"}),
        inference=InferenceSettings(step=0.75, mirroring=False),
        fusion=FusionSettings(threshold=0.5, min_volume_mm3=0.0, nms_mm=10.0),
        unseen_of={"cad-pe": CAD_PE_TEST},
        reported="78.1 / 84.2 / 85.1 % of the emboli of CAD-PE 021-040 at 1 / 2 / 4 false positives a scan; no "
        "tolerance is named",
    ),
    "duke": PublishedModel(
        title="Duke",
        origin="github.com/mazurowski-lab/PulmonaryEmbolismSegmentation, "
        "huggingface.co/yzluka/PulmonaryEmbolismSegmentation",
        licence="CC-BY-NC-4.0",
        citation="Zhang Y, Chamberlain R, Ngo L, Kramer K, Mazurowski MA. Rethinking Pulmonary Embolism Segmentation: "
        "A Study of Current Approaches and Challenges with an Open Weight Model. J Imaging Inform Med 2026. "
        "doi:10.1007/s10278-026-01958-4",
        dataset_id=256,
        dataset_name="PE",
        model="nnUNetTrainer_500epochs__nnUNetResEncUNetPlans_80G__3d_fullres",
        recognised_by={
            "dataset_name": "Dataset256_PE",
            "plans_name": "nnUNetResEncUNetPlans_80G",
            INTENSITIES: {"mean": 37.060203552246094, "std": 92.34374237060547},
        },
        inference=InferenceSettings(),
        fusion=AS_STOCK,
        reported="86.6 % of 209 emboli at 0.82 false positives a scan, Dice 0.713, on 60 private scans",
    ),
}
"""By the name on the command line."""


def recognised(plans: Mapping[str, Any], dataset_json: Mapping[str, Any]) -> PublishedModel | None:
    """The published model that a model folder holds, as it was released or as it was imported; None for any other.

    Args:
        plans: Content of its `plans.json`.
        dataset_json: Content of its `dataset.json`.
    """
    citation = citation_of(dataset_json)
    return next((one for one in PUBLISHED.values() if citation == one.citation or _has_plans_of(one, plans)), None)


def with_terms(plans: Mapping[str, Any], dataset_json: dict[str, Any]) -> dict[str, Any]:
    """A `dataset.json` that states licence and citation, where it does so itself or the model is known here.

    Args:
        plans: Of the model.
        dataset_json: Of the model; what it states stands.
    """
    if (model := recognised(plans, dataset_json)) is None:
        return dataset_json
    stated = {"licence": licence_of(dataset_json), "citation": citation_of(dataset_json)}
    return {**dataset_json, **model.terms, **{key: text for key, text in stated.items() if text}}


def _has_plans_of(model: PublishedModel, plans: Mapping[str, Any]) -> bool:
    """Whether plans are those that a published model comes with, by what no others share."""
    own = dict(model.recognised_by)
    if not own:
        return False
    try:
        intensities = plans[INTENSITIES]["0"]
        numbers_agree = all(abs(intensities[key] - value) < 1e-4 for key, value in own.pop(INTENSITIES).items())
        return numbers_agree and all(plans[key] == value for key, value in own.items())
    except (KeyError, TypeError):
        return False
