"""The kept emboli as a DICOM Segmentation, with what found them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pe_nnunet import __version__
from pe_nnunet.errors import OutputError
from pe_nnunet.files import atomic_path
from pe_nnunet.outputs.case import CaseResult
from pe_nnunet.volumes.seg.seg_writer import UNSUITABLE, Origin, Segment, build_segmentation

MOST_SEGMENTS = 255  # an embolus costs a frame of its own in every slice; thousands, as noise gives, would be gigabytes
SERIES_NUMBER = 900


def write_dicom_seg(case: CaseResult, path: Path) -> None:
    """Write the kept emboli, at most the 255 of the highest score, as a binary segmentation of the scan's series.

    Args:
        case: Read from DICOM, with at least one kept embolus: a segmentation without segments is not valid.
        path: The file.

    Raises:
        OutputError: PE-OUT-004 if the series' headers do not allow one, PE-OUT-001 if it cannot be written.
    """
    if case.dicom is None or not case.emboli.kept:
        raise OutputError("PE-OUT-004", f"case {case.case_id}: no DICOM series or no embolus to write a SEG of")
    labels = np.where(case.emboli.labels <= MOST_SEGMENTS, case.emboli.labels, 0).astype(np.uint16)
    segments = [
        Segment(
            row.id,
            f"Embolus {row.id}",
            f"embolus {row.id}",
            f"probability {row.probability:.3f}, {row.volume_mm3:.1f} mm3",
        )
        for row in case.emboli.kept[:MOST_SEGMENTS]
    ]
    origin = Origin(
        command="predict-fused",
        algorithm=_algorithm(case),
        series_description="Pulmonary emboli, research use only",
        content_label="PULMONARY_EMBOLI",
        content_description="Found by pe-nnunet; research use only, not for diagnosis",
        series_number=SERIES_NUMBER,
    )
    try:
        segmentation = build_segmentation(labels, case.image, case.dicom.files, segments, origin)
    except UNSUITABLE as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise OutputError("PE-OUT-004", f"case {case.case_id}: no DICOM SEG: {reason}") from error
    with atomic_path(path) as temporary:
        segmentation.save_as(temporary)


def _algorithm(case: CaseResult) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from pydicom.sr.codedict import codes

    settings = case.emboli.settings
    parameters = {"threshold": f"{settings.threshold:g}", "smallest volume in mm3": f"{settings.min_volume_mm3:g}"}
    parameters |= {f"network {k}": f"{m.model} fold {m.fold} {m.sha256[:16]}" for k, m in enumerate(case.models, 1)}
    return AlgorithmIdentificationSequence(
        name="pe-nnunet", family=codes.cid7162.ArtificialIntelligence, version=__version__, parameters=parameters
    )
