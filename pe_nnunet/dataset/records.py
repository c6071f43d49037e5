"""What is kept of every converted case: where it came from, its grid, its crop, its emboli, and what was noted."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from math import prod
from typing import Any

import SimpleITK as sitk

from pe_nnunet.errors import Note
from pe_nnunet.files.json_reader import require_types
from pe_nnunet.voxels import Box

DERIVED = ("embolus_count", "embolus_target_ratio")  # written for people, not read


@dataclass(frozen=True)
class Geometry:
    """The grid of an image, enough to build it again.

    Attributes:
        size_xyz: Voxels.
        spacing_xyz_mm: Millimetres.
        origin_lps_mm: Centre of the first voxel.
        direction: Direction cosines, 3x3 row by row, as in SimpleITK.
        orientation: DICOM code of the nearest axes: `"LPS"`.
    """

    size_xyz: tuple[int, int, int]
    spacing_xyz_mm: tuple[float, float, float]
    origin_lps_mm: tuple[float, float, float]
    direction: tuple[float, ...]
    orientation: str

    @classmethod
    def of(cls, image: sitk.Image) -> Geometry:
        """The grid of an image."""
        return cls(
            image.GetSize(),
            image.GetSpacing(),
            image.GetOrigin(),
            image.GetDirection(),
            sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection()),
        )

    def blank(self) -> sitk.Image:
        """An image of zeros on this grid, uint8."""
        image = sitk.Image(list(self.size_xyz), sitk.sitkUInt8)
        image.SetSpacing(self.spacing_xyz_mm)
        image.SetOrigin(self.origin_lps_mm)
        image.SetDirection(self.direction)
        return image


@dataclass(frozen=True)
class CaseRecord:
    """One case of a converted dataset.

    Attributes:
        case: Case id.
        kind: Kind of source that it was read as.
        source: Where it lies, relative to the source folder.
        sha256: Hexadecimal SHA-256 of the source files, by role: `"image"`, `"label"`, `"artery"`.
        digest: Hash of all source bytes and settings; `--resume` keeps a case whose digest is the same.
        patient: Key that scans of one patient share: a hash of DICOM's PatientID, else the case id.
        geometry: The source grid.
        box: The crop, in voxels of the source grid brought to LPS axes.
        margin_mm: Rim around the lungs that was asked for.
        lungs_found: False where the whole volume was taken for want of lungs.
        ids_from: `"source"` where the embolus ids are the source's, `"components"` where they were counted here,
            `"none"` where nobody labelled emboli.
        embolus_mm3: Volume of each embolus, by its id in `instances/`.
        embolus_voxels: Voxels of all emboli.
        target_ratio_before: Embolus voxels over voxels of the whole scan.
        target_ratio_after: Embolus voxels over voxels of the crop.
        target_ratio_factor: How many times as dense in targets the crop is: voxels of the scan over voxels of the crop.
        notes: What was repaired or deserves a look.
        test: It belongs to the test set, and to no fold.
        files_sha256: Hexadecimal SHA-256 of the files that were written, by role; `--resume` keeps a case whose files
            are still those. Empty in records of older versions.
    """

    case: str
    kind: str
    source: str
    sha256: dict[str, str]
    digest: str
    patient: str
    geometry: Geometry
    box: Box
    margin_mm: float
    lungs_found: bool
    ids_from: str
    embolus_mm3: dict[int, float]
    embolus_voxels: int
    target_ratio_before: float
    target_ratio_after: float
    target_ratio_factor: float
    notes: tuple[Note, ...]
    test: bool = False
    files_sha256: dict[str, str] = field(default_factory=dict)

    @property
    def embolus_count(self) -> int:
        """Number of emboli."""
        return len(self.embolus_mm3)

    @property
    def clot_mm3(self) -> float:
        """Volume of all emboli."""
        return sum(self.embolus_mm3.values())

    @property
    def embolus_target_ratio(self) -> dict[int, tuple[float, float]]:
        """By id, the part of the scan and of the crop that each embolus fills by itself."""
        voxel_mm3 = prod(self.geometry.spacing_xyz_mm)
        scan_mm3, crop_mm3 = prod(self.geometry.size_xyz) * voxel_mm3, prod(self.box.shape) * voxel_mm3
        return {number: (mm3 / scan_mm3, mm3 / crop_mm3) for number, mm3 in self.embolus_mm3.items()}

    def to_json(self) -> dict[str, Any]:
        """As plain values, with the embolus count and each embolus' ratios, which a person looks for."""
        values = asdict(self) | {"box": self.box.to_list(), "embolus_count": self.embolus_count}
        values["embolus_target_ratio"] = {str(k): list(v) for k, v in self.embolus_target_ratio.items()}
        values["embolus_mm3"] = {str(k): v for k, v in self.embolus_mm3.items()}
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> CaseRecord:
        """Undo `to_json`.

        Raises:
            KeyError, TypeError, ValueError: If the values are not those of a record.
        """
        values = {key: value for key, value in values.items() if key not in DERIVED}
        grid: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values["geometry"].items()}
        record = cls(
            **values
            | {
                "geometry": Geometry(**grid),
                "box": Box.from_list(values["box"]),
                "embolus_mm3": {int(k): float(v) for k, v in values["embolus_mm3"].items()},
                "notes": tuple(Note(**note) for note in values["notes"]),
            }
        )
        require_types(record)
        return record
