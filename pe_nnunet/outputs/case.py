"""What is known about one case when its results are written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import SimpleITK as sitk

from pe_nnunet.burden import Burden
from pe_nnunet.detection import Detections
from pe_nnunet.errors import GeometryError, Note
from pe_nnunet.fusion import Emboli
from pe_nnunet.volumes.geometry import require_same_grid
from pe_nnunet.volumes.scan import DicomInfo


@dataclass(frozen=True)
class ModelRecord:
    """One network of the ensemble: enough to find the very weights again.

    Attributes:
        model: The model folder's name, nnU-Net's `TRAINER__PLANS__CONFIGURATION`.
        dataset: The folder above it, for example `Dataset501_PE`.
        fold: `"0"`, ..., or `"all"`.
        checkpoint: The file's name.
        sha256: Of the checkpoint file, hexadecimal.
    """

    model: str
    dataset: str
    fold: str
    checkpoint: str
    sha256: str


@dataclass(frozen=True)
class ModelTerms:
    """Under which terms the weights of a model may be used, and what its users are asked to cite.

    Attributes:
        model: The model folder's name.
        dataset: The folder above it.
        licence: As it came with the weights; empty where none is stated.
        citation: Likewise.
        notice: What its users have to know first, likewise.
    """

    model: str
    dataset: str
    licence: str
    citation: str
    notice: str = ""

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """What people are shown: headings and texts."""
        warned = (("Notice of the model", self.notice),) if self.notice else ()
        licence = f"{self.dataset} {self.model}: {self.licence or 'none stated by its authors'}"
        cited = (("Please cite", self.citation),) if self.citation else ()
        return (*warned, ("Licence of the weights", licence), *cited)


def notices_of(terms: Iterable[ModelTerms]) -> list[str]:
    """The notices of models, each once, with the models that they are of."""
    models: dict[str, list[str]] = {}
    for one in terms:
        if one.notice:
            models.setdefault(one.notice, []).append(one.model)
    return [f"{', '.join(named)}: {notice}" for notice, named in models.items()]


@dataclass(frozen=True)
class StockClasses:
    """What nnU-Net's files of a case hold beside the probability of PE.

    Attributes:
        plans: nnU-Net's plans, of the (first) model.
        dataset_json: Of that model: what its channels mean.
        others: Probabilities of the other channels that are not background, by their number, on the scan's grid.
    """

    plans: Mapping[str, Any]
    dataset_json: Mapping[str, Any]
    others: Mapping[int, sitk.Image]


@dataclass(frozen=True)
class CaseResult:
    """The results for one case, all on the grid of the scan as it was given.

    Attributes:
        case_id: Names the files.
        image: The scan in HU.
        emboli: Kept emboli and candidates; labels and voxel indices are on `image`'s grid.
        probability: Embolus probability, float32, 0 outside the region of interest; None if it need not be written.
        agreement: Share of the ensemble's members that call a voxel PE, float32; None if it was not asked for.
        segmentation: As `probability`, but of the segmenters alone, before boxes changed it; None if it was not asked
            for, or if there was no detector.
        detections: What the detector found, in voxels of the LPS version of `image`; None as for `segmentation`.
        source: Where the scan came from, as the user gave it.
        names: `"plain"` where case id and source are names of folders and files, `"hashed"` where they are hashes.
        source_sha256: Hash of the scan, empty if not known.
        inputs_sha256: Hash of all files that the result depends on, by what they are: `"scan"`, `"artery"`, ....
        roi: The region that the networks saw, in terms that JSON has, for example `{"box_zyx": [[...], [...]]}`.
        models: The networks of the ensemble.
        model_cards: Name of a model's folder -> the file of its card and its SHA-256; of those that have one.
        terms: Of those models that came with a licence, a citation or a notice.
        arguments: What the run was asked for.
        timings_s: Seconds by stage; their sum counts as the case's duration.
        notes: Repairs and warnings.
        artery_mm: Diameter of the artery around kept emboli, by id; `write_case` measures them where there are none.
        dicom: The series that the scan was read from; None for other formats.
        stock: What nnU-Net's own files need beside the probability; None if they were not asked for.
        burden: What masks of the anatomy tell about the emboli; None if there were none.

    Raises:
        GeometryError: PE-GEO-001 or PE-GEO-002 if the parts do not share one grid.
    """

    case_id: str
    image: sitk.Image
    emboli: Emboli
    probability: sitk.Image | None = None
    agreement: sitk.Image | None = None
    segmentation: sitk.Image | None = None
    detections: Detections | None = None
    source: str = ""
    names: str = "plain"
    source_sha256: str = ""
    inputs_sha256: Mapping[str, str] = field(default_factory=dict)
    roi: Mapping[str, Any] = field(default_factory=dict)
    models: tuple[ModelRecord, ...] = ()
    model_cards: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    terms: tuple[ModelTerms, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    artery_mm: Mapping[int, float] = field(default_factory=dict)
    dicom: DicomInfo | None = None
    stock: StockClasses | None = None
    burden: Burden | None = None

    def __post_init__(self) -> None:
        shape = self.image.GetSize()[::-1]
        if self.emboli.labels.shape != shape:
            raise GeometryError(
                "PE-GEO-001",
                f"case {self.case_id}: emboli of shape {self.emboli.labels.shape} (z, y, x) on a scan of {shape}",
            )
        for part, what in (
            (self.probability, "probability"),
            (self.agreement, "agreement"),
            (self.segmentation, "segmentation"),
        ):
            if part is not None:
                require_same_grid(self.image, part, f"the {what} map of case {self.case_id}")

    @property
    def seconds(self) -> float:
        """The time that all stages took together."""
        return float(sum(self.timings_s.values()))
