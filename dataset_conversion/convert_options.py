"""How a cohort is converted: every setting, its default, and what makes two conversions of a case the same."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files import text_sha256
from pe_nnunet.options import option, require_limits

if TYPE_CHECKING:
    from pe_nnunet.dataset_conversion.labels import LabelMap
    from pe_nnunet.roi import LungFinder


LabelKind = Literal["auto", "binary", "instances"]
Scheme = Literal["pe", "artery-pe", "artery"]

# Raised when the files of a case change for the same input and settings, so that --resume does not mix two versions.
CASE_FORMAT = 2


def _label_map(text: str) -> LabelMap:
    """`parse_label_map`, imported when a map is given."""
    from pe_nnunet.dataset_conversion.labels import parse_label_map

    return parse_label_map(text)


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """Settings of a conversion.

    Raises:
        ConfigurationError: PE-CONV-004 if a value is out of range, or two contradict each other.
    """

    labels: str | None = option(None, "embolus masks: a folder, or a pattern with {case}", metavar="WHERE")
    label_kind: LabelKind = option(
        "auto",
        "a value is an embolus (instances), or a connected component is (binary); auto: by the number of values",
        choices=("auto", "binary", "instances"),
    )
    label_map: LabelMap | None = option(
        None,
        "values of the embolus masks that are emboli, and what they become; all others count as none",
        kind=_label_map,
        metavar="OLD=NEW,...",
    )
    segments: str | None = option(
        None,
        "segments of a DICOM SEG or .seg.nrrd, or regions of an RTSTRUCT, that are emboli, such as 'embol*'",
        metavar="NAMES",
        default_text="all, if they are called alike",
    )
    hash_names: bool = option(False, "case ids are hashes of the names of folders and files, which may be patients'")
    negatives: frozenset[str] = frozenset()
    scheme: Scheme = option("pe", "labels to train on", choices=("pe", "artery-pe", "artery"))
    artery: str | None = option(
        None,
        "artery masks, like --labels, value 1 is artery; or `contrast` to grow them from the blood at the emboli",
        metavar="WHERE",
    )
    lung_margin_mm: float = option(10.0, "width of the rim around the lungs that is kept, mm", low=0, metavar="MM")
    warn_below_mm3: float = option(10.0, "smaller emboli are kept, and warned of, mm3", low=0, metavar="MM3")
    test: frozenset[str] = frozenset()
    published_test: bool = False
    folds: int = option(5, "cross-validation folds, by patient", low=2)
    seed: int = option(12345, "decides which of several equally good splits is taken; nnU-Net's own", low=0)
    on_error: Literal["continue", "stop"] = option("continue", "after a case that fails", choices=("continue", "stop"))
    on_no_lungs: Literal["error", "full-volume"] = option(
        "error", "for a scan without lungs", choices=("error", "full-volume")
    )
    assume_hu: bool = option(False, "the values are HU, whatever header and range say")
    resample_gaps: bool = option(False, "interpolate one gap of up to 10 mm between DICOM slices, or uneven distances")
    fix_tilt: bool = option(False, "shift DICOM slices under a gantry tilt upright")
    lung_finder: LungFinder = option(
        "density",
        "how lungs are found: by density, or by lungmask, which sees dense lung too",
        choices=("density", "lungmask"),
    )
    lungmask_weights: Path | None = option(
        None, "weights of lungmask; nothing is downloaded", kind=Path, metavar="FILE"
    )
    series_uids: tuple[str, ...] = option(
        (), "take these DICOM series where folders hold several", flag="--series-uid", metavar="UID"
    )
    pick: Literal["largest-ct"] | None = option(
        None, "take this series where a folder holds several", choices=("largest-ct",)
    )
    join_series: bool = option(
        False, "take DICOM series of under four slices for one, where each slice got a SeriesInstanceUID of its own"
    )
    only: tuple[str, ...] = option(
        (), "only DICOM slices with these values, such as ConvolutionKernel=B30f", metavar="KEYWORD=VALUE"
    )
    resume: bool = option(False, "keep cases that are done, if source and settings are the same")
    overwrite: bool = option(False, "replace the dataset, once the new one is complete")
    num_parts: int = option(1, "for job arrays: so many jobs share the cases; then --resume once", low=1, metavar="N")
    part_id: int | None = option(
        None, "which of them this is, 0 to N-1", low=0, kind=int, metavar="K", default_text="all cases"
    )
    num_processes: int | None = option(
        1, "worker processes", low=1, metavar="N", default_text="by processors and memory"
    )

    def __post_init__(self) -> None:
        require_limits(self, "PE-CONV-004")
        if self.resume and self.overwrite:
            raise ConfigurationError("PE-CONV-004", "resume and overwrite exclude each other", "choose one of them")
        if self.part_id is None:
            if self.num_parts != 1:
                raise ConfigurationError(
                    "PE-CONV-004", "num_parts without part_id", "say which part this is: --part-id"
                )
        elif self.part_id >= self.num_parts:
            raise ConfigurationError(
                "PE-CONV-004", f"part {self.part_id} of {self.num_parts}", "give a --part-id from 0 to one less"
            )
        elif self.overwrite:
            raise ConfigurationError(
                "PE-CONV-004", "a part cannot overwrite what other parts make", "remove the dataset first, or --resume"
            )

    @property
    def arteries_by_contrast(self) -> bool:
        """Whether artery masks are derived; a folder of that name is `./contrast`."""
        return self.artery == "contrast"

    @property
    def repairs(self) -> dict[str, bool]:
        """Keywords of `read_scan`."""
        return {"assume_hu": self.assume_hu, "resample_gaps": self.resample_gaps, "fix_tilt": self.fix_tilt}

    def case_digest(self) -> str:
        """Hash of the settings that change the files of a case; where the masks lie is not one, their content is."""
        relevant = {
            "format": CASE_FORMAT,
            "label_kind": self.label_kind,
            "label_map": self.label_map,
            "segments": self.segments,
            **self.repairs,
            "roi": self.lung_finder,  # stored names: older datasets resume
            "scheme": self.scheme,
            "arteries_by_contrast": self.arteries_by_contrast,
            "lung_margin_mm": float(self.lung_margin_mm),
            "min_embolus_mm3": float(self.warn_below_mm3),
            "on_no_lungs": self.on_no_lungs,
        }
        return text_sha256(json.dumps(relevant, sort_keys=True))[:16]
