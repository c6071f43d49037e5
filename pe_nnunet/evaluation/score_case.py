"""One case from its files to its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import SimpleITK as sitk

from pe_nnunet.evaluation.marker_files import aanet_csv
from pe_nnunet.evaluation.pairs import Prediction
from pe_nnunet.evaluation.settings import EvaluationSettings
from pe_nnunet.metrics.case_scores import CaseScores, evaluate_case, evaluate_markers
from pe_nnunet.metrics.clot_geometry import LungGeometry, clot_geometry
from pe_nnunet.metrics.froc import ProtocolName, ScanHits
from pe_nnunet.metrics.instances import to_instances
from pe_nnunet.metrics.markers import Voxel, VoxelMarker, markers_of_findings, markers_of_table
from pe_nnunet.metrics.protocol_aanet import aanet_hits
from pe_nnunet.metrics.protocol_cad_pe import cad_pe_hits
from pe_nnunet.outputs.table import read_emboli_csv
from pe_nnunet.roi.box import Box
from pe_nnunet.volumes.files.volume_file import read_file
from pe_nnunet.volumes.geometry import require_same_grid, spacing_zyx
from pe_nnunet.volumes.read import read_label

HitsBy = dict[tuple[ProtocolName, float], ScanHits]


@dataclass(frozen=True)
class CaseJob:
    """One case to score.

    Attributes:
        case_id: Names it.
        prediction: Its files.
        label: Its label.
        patient: Key that scans of one patient share; empty where each scan is one.
        lungs: A mask of its lungs, or None.
    """

    case_id: str
    prediction: Prediction
    label: Path
    patient: str = ""
    lungs: Path | None = None


@dataclass(frozen=True)
class ScoredCase:
    """One case.

    Attributes:
        scores: Voxels and emboli.
        hits: At tolerance 0 of `cad-pe`, and of each protocol and tolerance that was asked for.
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


def score_case(job: CaseJob, settings: EvaluationSettings) -> ScoredCase:
    """Read a case, each file once, and score it.

    Args:
        job: The case.
        settings: How to score.

    Raises:
        InputError: What reading a label, a probability or a table raises.
        GeometryError: PE-GEO-001 or PE-GEO-002 where they are not on the label's grid.
    """
    case_id, prediction = job.case_id, job.prediction
    grid = read_label(job.label)
    spacing_mm = spacing_zyx(grid)
    truth = sitk.GetArrayViewFromImage(grid)
    found_image = None
    if prediction.mask is not None:
        found_image = read_label(prediction.mask)
        require_same_grid(grid, found_image, f"the prediction of case {case_id}")
    found = None if found_image is None else sitk.GetArrayViewFromImage(found_image)

    # Everything lies in a small part of the scan; with room for what a tolerance adds.
    boxes = [box for box in (Box.around(a) for a in (truth, found) if a is not None) if box is not None]
    box = Box((0, 0, 0), (1, 1, 1)) if not boxes else boxes[0] if len(boxes) == 1 else boxes[0].union(boxes[1])
    room_mm = max(settings.eps_mm, default=0.0) + 2 * max(spacing_mm)
    box = box.grown(room_mm, spacing_mm, truth.shape)
    truth_ids = to_instances(truth[box.slices], settings.label_kind)
    found_ids = None if found is None else to_instances(found[box.slices], settings.prediction_kind)
    lungs = None if job.lungs is None else _lungs(job.lungs, grid, case_id)
    lungs = None if lungs is None else lungs.part(box.slices)

    scored = True
    if prediction.markers is not None:
        markers = _moved(prediction.markers, box)
    elif prediction.table is not None:
        markers = _moved(markers_of_table(read_emboli_csv(prediction.table), grid), box)
    elif found_ids is None:  # `find_pairs` makes no such prediction
        markers = ()
    else:
        probability = None
        if prediction.probability is not None:
            image = read_file(prediction.probability)[0]
            require_same_grid(grid, image, f"the probability of case {case_id}")
            probability = sitk.GetArrayViewFromImage(image)[box.slices]
        scored = probability is not None
        markers = markers_of_findings(found_ids, probability)

    hits: HitsBy = {}
    wanted = sorted({0.0, *settings.eps_mm} if "cad-pe" in settings.protocols else {0.0})
    for eps, scan in zip(wanted, cad_pe_hits(case_id, truth_ids, markers, spacing_mm, wanted), strict=True):
        hits["cad-pe", eps] = scan
    if "aanet" in settings.protocols:
        for eps in settings.eps_mm:
            hits["aanet", eps] = aanet_hits(case_id, truth_ids, markers, spacing_mm, eps)

    inside = [
        all(0 <= i < n for i, n in zip(m.voxel_zyx, truth_ids.shape, strict=True)) and bool(truth_ids[m.voxel_zyx])
        for m in markers
    ]
    plain = hits["cad-pe", 0.0]
    if found_ids is None:
        clot = clot_geometry(truth_ids, spacing_mm, lungs)
        scores = evaluate_markers(plain, sum(inside), truth_clot=clot, empty=settings.empty)
    else:
        scores = evaluate_case(
            found_ids,
            truth_ids,
            spacing_mm,
            case_id=case_id,
            overlap=settings.overlap,
            empty=settings.empty,
            pe_score=max((m.probability for m in markers), default=0.0) if scored else None,
            surface_tolerance_mm=settings.surface_tolerance_mm,
            lungs=lungs,
        )
    pairs = tuple((m.probability, true) for m, true in zip(markers, inside, strict=True))
    scores = replace(scores, patient=job.patient)
    markers = tuple(_shifted(m, box.start) for m in markers)
    return ScoredCase(scores, hits, scored, pairs if scored else (), markers, aanet_csv(markers, grid))


def _lungs(path: Path, grid: sitk.Image, case_id: str) -> LungGeometry | None:
    lungs = read_label(path)
    require_same_grid(grid, lungs, f"the lung mask of case {case_id}")
    return LungGeometry.of(lungs)


def _moved(markers: Sequence[VoxelMarker], box: Box) -> tuple[VoxelMarker, ...]:
    """Markers on the grid of a crop; those outside the crop keep their distances, and hit nothing inside."""
    z, y, x = box.start
    return tuple(_shifted(m, (-z, -y, -x)) for m in markers)


def _shifted(marker: VoxelMarker, by: Voxel) -> VoxelMarker:
    (z, y, x), (dz, dy, dx) = marker.voxel_zyx, by
    return replace(marker, voxel_zyx=(z + dz, y + dy, x + dx))
