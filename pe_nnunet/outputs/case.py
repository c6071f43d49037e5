"""What is known about one case when its results are written."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import SimpleITK as sitk

from pe_nnunet import __version__
from pe_nnunet.cases import DISCLAIMER
from pe_nnunet.detection import Detections
from pe_nnunet.errors import GeometryError, Note
from pe_nnunet.fusion import Candidate, Emboli
from pe_nnunet.outputs.artery import ArteryLevel
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
        source_sha256: Hash of the scan, empty if not known.
        roi: The region that the networks saw, in terms that JSON has, for example `{"box_zyx": [[...], [...]]}`.
        models: The networks of the ensemble.
        arguments: What the run was asked for.
        timings_s: Seconds by stage; their sum counts as the case's duration.
        notes: Repairs and warnings.
        levels: Artery diameter and level of kept emboli by id; `write_case` measures them where there are none.
        dicom: The series that the scan was read from; None for other formats.

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
    source_sha256: str = ""
    roi: Mapping[str, Any] = field(default_factory=dict)
    models: tuple[ModelRecord, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    levels: Mapping[int, ArteryLevel] = field(default_factory=dict)
    dicom: DicomInfo | None = None

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


PACKAGES = (
    "nnunetv2", "torch", "numpy", "scipy", "SimpleITK", "connected-components-3d", "pydicom", "highdicom", "nibabel",
)  # fmt: skip


def case_manifest(case: CaseResult, files: dict[str, str]) -> dict[str, Any]:
    """Everything about a case but its voxels.

    Args:
        case: The results.
        files: What was written beside the manifest: kind of output -> file name.

    Returns:
        A dictionary of JSON's own types, in the order in which a person would read it.
    """
    emboli, image = case.emboli, case.image
    volumes = [round(row.volume_mm3, 3) for row in emboli.kept]  # beyond that lies the rounding of a sum, not a volume
    return {
        "case": case.case_id,
        "notice": DISCLAIMER,
        "pe_score": round(emboli.pe_score, 6),
        "emboli": len(volumes),
        "volume_mm3": round(emboli.volume_mm3, 3),
        "volumes_mm3": volumes,
        "findings": [_finding(case, row) for row in emboli.kept],
        "candidates": len(emboli.candidates),
        "seconds": round(case.seconds, 3),
        "timings_s": {stage: round(seconds, 3) for stage, seconds in case.timings_s.items()},
        "notes": [asdict(note) for note in case.notes],
        "files": files,
        "source": {"path": case.source, "sha256": case.source_sha256},
        "grid": {
            "size_xyz": list(image.GetSize()),
            "spacing_mm_xyz": list(image.GetSpacing()),
            "origin_lps_mm": list(image.GetOrigin()),
            "direction": list(image.GetDirection()),
        },
        "roi": dict(case.roi),
        "settings": asdict(emboli.settings),
        "models": [asdict(model) for model in case.models],
        "arguments": dict(case.arguments),
        "versions": versions(),
        "system": {"platform": platform.platform(), "processors": os.cpu_count()},
    }


def _finding(case: CaseResult, row: Candidate) -> dict[str, Any]:
    k, j, i = row.voxel_zyx
    artery = case.levels.get(row.id)
    return {
        "id": row.id,
        "probability": round(row.probability, 6),
        "volume_mm3": round(row.volume_mm3, 3),
        "position_lps_mm": [round(v, 3) for v in case.image.TransformIndexToPhysicalPoint((i, j, k))],
        "artery_mm": round(artery.diameter_mm, 1) if artery else None,
        "level": artery.level if artery else None,
    }


def versions() -> dict[str, str]:
    """Versions of this package, of Python and of the packages that decide about a result; none is imported for it."""
    found = {"pe_nnunet": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
