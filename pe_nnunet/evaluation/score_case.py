"""One case from its files to its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.dataset.dataset_json import read_dataset_json
from pe_nnunet.dataset.probabilities import ENDING, description_of, read_pe_probability, reader_of
from pe_nnunet.evaluation.prediction_pairing import CaseFiles
from pe_nnunet.evaluation.settings import EvaluationSettings
from pe_nnunet.evaluation.text_tables import aanet_csv
from pe_nnunet.metrics.case_scores import CaseScores, evaluate_case
from pe_nnunet.metrics.clot_geometry import LungGeometry
from pe_nnunet.metrics.froc import ScanHits
from pe_nnunet.metrics.instances import to_instances
from pe_nnunet.metrics.markers import Voxel, VoxelMarker, markers_of_findings, markers_of_table
from pe_nnunet.metrics.protocols import PROTOCOLS, ProtocolName
from pe_nnunet.outputs.emboli_table import read_emboli_csv
from pe_nnunet.volumes.files.volume_file import read_file
from pe_nnunet.volumes.geometry import require_same_grid, spacing_zyx
from pe_nnunet.volumes.readers import read_label
from pe_nnunet.voxels import Box

MAIN_PROTOCOL: ProtocolName = "cad-pe"  # of the sensitivity at a number of false positives
HitsBy = dict[tuple[ProtocolName, float], ScanHits]


@dataclass(frozen=True)
class ScoredCase:
    """One case.

    Attributes:
        scores: Voxels and emboli.
        hits: Of each protocol and tolerance that was asked for, and of `cad-pe` at tolerance 0.
        scored: Whether the markers' probabilities come from the tool; without, all are 1.
        calibration: (probability, true or not) of every marker, at tolerance 0; empty where not scored.
        markers: On the label's grid.
        marker_table: The same as `id,x,y,z,prob` in LPS mm.
    """

    scores: CaseScores
    hits: HitsBy
    scored: bool
    calibration: tuple[tuple[float, bool], ...]
    markers: tuple[VoxelMarker, ...]
    marker_table: str


def score_case(files: CaseFiles, settings: EvaluationSettings) -> ScoredCase:
    """Read a case, each file once, and score it.

    Args:
        files: Of the case.
        settings: How to score.

    Raises:
        InputError: What reading a label, a probability or a table raises.
        GeometryError: PE-GEO-001 or PE-GEO-002 where they are not on the label's grid.
    """
    case_id = files.case_id
    grid = read_label(files.label)
    spacing_mm = spacing_zyx(grid)
    truth = sitk.GetArrayViewFromImage(grid)
    found_image = (
        None if files.mask is None else _on_grid(read_label(files.mask), grid, f"prediction of case {case_id}")
    )
    found = None if found_image is None else sitk.GetArrayViewFromImage(found_image)

    # Everything lies in a small part of the scan; with room for what a tolerance adds.
    boxes = [box for box in (Box.around(a) for a in (truth, found) if a is not None) if box is not None]
    box = Box((0, 0, 0), (1, 1, 1)) if not boxes else boxes[0] if len(boxes) == 1 else boxes[0].union(boxes[1])
    room_mm = max(settings.eps_mm, default=0.0) + 2 * max(spacing_mm)
    box = box.grown(room_mm, spacing_mm, truth.shape)
    truth_ids = to_instances(truth[box.slices], settings.label_kind)
    found_ids = None if found is None else to_instances(found[box.slices], settings.prediction_kind)
    lungs = None
    if files.lungs is not None:
        lungs = LungGeometry.of(_on_grid(read_label(files.lungs), grid, f"lung mask of case {case_id}"))
        lungs = None if lungs is None else lungs.part(box.slices)

    scored = True
    z, y, x = box.start
    if files.markers is not None:
        markers = _moved(files.markers, (-z, -y, -x))
    elif files.table is not None:
        markers = _moved(markers_of_table(read_emboli_csv(files.table), grid), (-z, -y, -x))
    elif found_ids is None:  # `find_pairs` makes no such prediction
        markers = ()
    else:
        probability = None
        if files.probability is not None:
            probability = _probability(files.probability, grid, case_id)[box.slices]
        scored = probability is not None
        markers = markers_of_findings(found_ids, probability)

    hits: HitsBy = {}
    for name in dict.fromkeys([MAIN_PROTOCOL, *settings.protocols]):
        eps_mm = sorted({0.0, *(settings.eps_mm if name in settings.protocols else ())})
        of_eps = PROTOCOLS[name].hits(case_id, truth_ids, markers, spacing_mm, eps_mm)
        hits |= {(name, eps): scan for eps, scan in zip(eps_mm, of_eps, strict=True)}
    scores = evaluate_case(
        markers if found_ids is None else found_ids,
        truth_ids,
        spacing_mm,
        case_id=case_id,
        patient=files.patient,
        overlap=settings.overlap,
        empty=settings.empty,
        pe_score=max((m.probability for m in markers), default=0.0) if scored else None,
        surface_tolerance_mm=settings.surface_tolerance_mm,
        lungs=lungs,
    )
    calibration = tuple((m.probability, m.value_in(truth_ids) > 0) for m in markers) if scored else ()
    markers = _moved(markers, box.start)
    return ScoredCase(scores, hits, scored, calibration, markers, aanet_csv(markers, grid))


def _probability(path: Path, grid: sitk.Image, case_id: str) -> NDArray[np.float32]:
    """On the label's grid, (z, y, x)."""
    described = description_of(path) if path.suffix == ENDING else None
    if described is not None:
        return read_pe_probability(path, read_dataset_json(described), reader_of(described), grid)
    image = _on_grid(read_file(path)[0], grid, f"probability of case {case_id}")
    return np.asarray(sitk.GetArrayFromImage(image), np.float32)


def _on_grid(image: sitk.Image, grid: sitk.Image, what: str) -> sitk.Image:
    require_same_grid(grid, image, f"the {what}")
    return image


def _moved(markers: Sequence[VoxelMarker], by: Voxel) -> tuple[VoxelMarker, ...]:
    """Markers so many voxels on; those outside a crop keep their distances, and hit nothing inside."""
    dz, dy, dx = by
    return tuple(VoxelMarker((z + dz, y + dy, x + dx), probability) for (z, y, x), probability in markers)
