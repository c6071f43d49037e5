"""How a cohort is converted: every setting, its default, and what makes two conversions of a case the same."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pe_nnunet.errors import ConfigurationError

if TYPE_CHECKING:
    from pe_nnunet.dataset_conversion.labels import LabelMap
    from pe_nnunet.roi import LungFinder

LabelKind = Literal["auto", "binary", "instances"]
Scheme = Literal["pe", "artery-pe", "artery"]

# Raised when the files of a case change for the same input and settings, so that --resume does not mix two versions.
CASE_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """Settings of a conversion.

    Attributes:
        labels: Where the embolus masks are: a folder, or a pattern with `{case}`. The `studies` layout brings its own.
        label_kind: `"instances"`, each value an embolus; `"binary"`, everything above 0 is embolus, connected
            components count; `"auto"`, instances where a mask holds more than one value.
        label_map: New value for each value of an embolus mask that counts, as `labels.parse_label_map` gives them;
            None takes every value as it is.
        segments: Which segments of a DICOM SEG, or regions of an RTSTRUCT, are emboli: a shell pattern for their names;
            None takes all, if they are called alike.
        hash_names: Give cases ids that are hashes of their names.
        negatives: Case ids that have no embolus and need no label file.
        scheme: `"pe"`; `"artery-pe"` with the pulmonary arteries as a region around the emboli; or `"artery"`, for
            which no emboli need be labelled.
        artery: Where the artery masks are, like `labels`; or `"contrast"`, to grow them from the blood at the emboli.
        lung_margin_mm: Width of the rim around the lungs that the crop keeps.
        min_embolus_mm3: Emboli of a smaller volume are kept, and warned of.
        test: Case ids that go into the test set, imagesTs and labelsTs, and into no fold.
        published_test: Put the source's published test cases there as well.
        folds: Number of cross-validation folds.
        seed: Decides which of several equally good splits is taken; 12345 is nnU-Net's own.
        on_error: `"continue"` with the other cases, or `"stop"`.
        on_no_lungs: `"error"` for a case in which no lungs are found, or `"full-volume"` without a crop.
        assume_hu: Take the values of the scans for HU, without a rescale and unchecked.
        resample_gaps: Interpolate one gap of at most 10 mm in a DICOM series instead of refusing it.
        fix_tilt: Shift DICOM slices under a gantry tilt upright instead of refusing them.
        roi: How the lungs are found, see `find_roi`.
        lungmask_weights: For `roi="lungmask"`.
        series_uids: The DICOM series to take from folders that hold several.
        pick: Which series of a folder that holds several: None (refuse), or `"largest-ct"`.
        resume: Keep the cases that are done already, if their source and settings are the same.
        overwrite: Replace an existing dataset of the same name, once the new one is complete.
        num_parts: Into how many jobs the cases are dealt; they run apart, perhaps at once, and a last run with
            `resume`, all cases and one part puts the dataset together.
        part_id: Which of them this is, from 0; None for all cases.
        num_processes: Worker processes, 1 for none; None chooses by processors, memory and number of cases.

    Raises:
        ConfigurationError: If a value is out of range.
    """

    labels: str | None = None
    label_kind: LabelKind = "auto"
    label_map: LabelMap | None = None
    segments: str | None = None
    hash_names: bool = False
    negatives: frozenset[str] = frozenset()
    scheme: Scheme = "pe"
    artery: str | None = None
    lung_margin_mm: float = 10.0
    min_embolus_mm3: float = 10.0
    test: frozenset[str] = frozenset()
    published_test: bool = False
    folds: int = 5
    seed: int = 12345
    on_error: Literal["continue", "stop"] = "continue"
    on_no_lungs: Literal["error", "full-volume"] = "error"
    assume_hu: bool = False
    resample_gaps: bool = False
    fix_tilt: bool = False
    roi: LungFinder = "density"
    lungmask_weights: Path | None = None
    series_uids: tuple[str, ...] = ()
    pick: Literal["largest-ct"] | None = None
    resume: bool = False
    overwrite: bool = False
    num_parts: int = 1
    part_id: int | None = None
    num_processes: int | None = 1

    def __post_init__(self) -> None:
        for name, least in (("lung_margin_mm", 0), ("min_embolus_mm3", 0), ("folds", 2), ("seed", 0)):
            value = getattr(self, name)
            if not least <= value < float("inf"):
                raise ConfigurationError("PE-CONV-004", f"{name} is {value}", f"give {least} or more")
        if self.num_processes is not None and self.num_processes < 1:
            raise ConfigurationError("PE-CONV-004", f"num_processes is {self.num_processes}", "give 1 or more")
        if self.resume and self.overwrite:
            raise ConfigurationError("PE-CONV-004", "resume and overwrite exclude each other", "choose one of them")

        if (self.num_parts != 1 or self.part_id is not None) and not 0 <= (self.part_id or 0) < self.num_parts:
            raise ConfigurationError(
                "PE-CONV-004",
                f"part {self.part_id} of {self.num_parts}",
                "give --num-parts 1 or more, and a --part-id from 0 to one less",
            )
        if self.part_id is None and self.num_parts != 1:
            raise ConfigurationError("PE-CONV-004", "num_parts without part_id", "say which part this is: --part-id")
        if self.part_id is not None and self.overwrite:
            raise ConfigurationError(
                "PE-CONV-004", "a part cannot overwrite what other parts make", "remove the dataset first, or --resume"
            )

    @property
    def arteries_by_contrast(self) -> bool:
        """Whether artery masks are derived; a folder of that name is `./contrast`."""
        return self.artery == "contrast"

    def case_digest(self) -> str:
        """Hash of the settings that change the files of a case; where the masks lie is not one, their content is."""
        relevant = {
            "format": CASE_FORMAT,
            "label_kind": self.label_kind,
            "label_map": self.label_map,
            "segments": self.segments,
            "assume_hu": self.assume_hu,
            "resample_gaps": self.resample_gaps,
            "fix_tilt": self.fix_tilt,
            "roi": self.roi,
            "scheme": self.scheme,
            "arteries_by_contrast": self.arteries_by_contrast,
            "lung_margin_mm": float(self.lung_margin_mm),
            "min_embolus_mm3": float(self.min_embolus_mm3),
            "on_no_lungs": self.on_no_lungs,
        }
        return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:16]
