"""One case from its files to its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.dataset.dataset_json import read_dataset_json
from pe_nnunet.dataset.probabilities import (
    ENDING,
    description_of,
    read_pe_probability,
    reader_of,
    require_probabilities,
)
from pe_nnunet.errors import InputError, Note
from pe_nnunet.evaluation.label_identity import LabelIdentity
from pe_nnunet.evaluation.prediction_pairing import CaseFiles
from pe_nnunet.evaluation.settings import EvaluationSettings
from pe_nnunet.evaluation.text_tables import aanet_csv
from pe_nnunet.metrics.case_scores import CaseScores, evaluate_case
from pe_nnunet.metrics.clot_geometry import LungGeometry
from pe_nnunet.metrics.froc import ScanHits
from pe_nnunet.metrics.ignored import emboli_without_ignored, markers_outside, without_ignored
from pe_nnunet.metrics.instances import (
    LabelKind,
    embolus_voxels,
    ignored_voxels,
    require_known_values,
    to_instances,
)
from pe_nnunet.metrics.markers import Voxel, VoxelMarker, markers_of_findings, markers_of_table
from pe_nnunet.metrics.protocols import PROTOCOLS, ProtocolName
from pe_nnunet.outputs.emboli_table import read_emboli_csv
from pe_nnunet.volumes.files.volume_file import read_file
from pe_nnunet.volumes.geometry import spacing_zyx
from pe_nnunet.volumes.label_grid import GRID_NOTES, laid_on
from pe_nnunet.volumes.readers import read_label, read_label_noted
from pe_nnunet.volumes.seg.slicer_segmentation import is_segmentation
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
        label: What identifies the label that it was scored against.
        ignores: Whether some of its voxels are ignored.
        notes: Doubts of the label's grid, from which lengths and volumes follow, and how others were laid on it.
    """

    scores: CaseScores
    hits: HitsBy
    scored: bool
    calibration: tuple[tuple[float, bool], ...]
    markers: tuple[VoxelMarker, ...]
    marker_table: str
    label: LabelIdentity
    ignores: bool = False
    notes: tuple[Note, ...] = ()


def score_case(files: CaseFiles, settings: EvaluationSettings) -> ScoredCase:
    """Read a case, each file once, and score it.

    Args:
        files: Of the case.
        settings: How to score.

    Raises:
        InputError: What reading a label, a probability or a table raises; PE-FUS-002 for a map of probabilities whose
            values are none; PE-EVAL-016 for values that dataset.json does not name; PE-EVAL-018 where every voxel is
            ignored.
        GeometryError: PE-GEO-001 or PE-GEO-002 where they are not on the label's grid.
    """
    case_id = files.case_id
    mask = None if files.mask is None else read_label(files.mask)
    grid, notes = _label(files, mask)
    spacing_mm = spacing_zyx(grid)
    truth = sitk.GetArrayViewFromImage(grid)
    require_known_values(truth, files.label_kind, f"the label of case {case_id}")
    ignored, said = _ignored(files, grid)
    notes += said
    if ignored is not None and ignored.all():
        raise InputError("PE-EVAL-018", f"every voxel of the label of case {case_id} is ignored", "leave the case out")
    found_image = None
    if files.mask is not None and mask is not None:
        what = f"the prediction of case {case_id}"
        found_image, laid = laid_on(grid, files.label, mask, files.mask, what)
        notes += laid
    found = None if found_image is None else sitk.GetArrayViewFromImage(found_image)
    if found is not None:
        require_known_values(found, files.prediction_kind, f"the prediction of case {case_id}")

    # Everything lies in a small part of the scan; with room for what a tolerance adds.
    sides = [embolus_voxels(truth, files.label_kind)]
    sides += [] if found is None else [embolus_voxels(found, files.prediction_kind)]
    boxes = [box for box in map(Box.around, sides) if box is not None]
    del sides
    box = Box((0, 0, 0), (1, 1, 1)) if not boxes else boxes[0] if len(boxes) == 1 else boxes[0].union(boxes[1])
    room_mm = max(settings.eps_mm, default=0.0) + 2 * max(spacing_mm)
    box = box.grown(room_mm, spacing_mm, truth.shape)
    ignored_here = None if ignored is None else ignored[box.slices]
    truth_ids = emboli_without_ignored(to_instances(truth[box.slices], files.label_kind), ignored_here)
    found_ids = None
    if found is not None:
        found_ids = without_ignored(to_instances(found[box.slices], files.prediction_kind), ignored_here)
    lungs = None
    if files.lungs is not None:
        what = f"the lung mask of case {case_id}"
        lung_mask, laid = laid_on(grid, files.label, read_label(files.lungs), files.lungs, what)
        notes += laid
        lungs = LungGeometry.of(lung_mask)
        lungs = None if lungs is None else lungs.part(box.slices)

    scored = True
    z, y, x = box.start
    if files.markers is not None:
        markers = _moved(markers_outside(files.markers, ignored), (-z, -y, -x))
    elif files.table is not None:
        of_table = markers_of_table(read_emboli_csv(files.table), grid)
        markers = _moved(markers_outside(of_table, ignored), (-z, -y, -x))
    elif found_ids is None:  # `find_pairs` makes no such prediction
        markers = ()
    else:
        probability = None
        if files.probability is not None:
            probability = _probability(files, files.probability, grid)[box.slices]
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
    said = [Note(note.code, note.kind, f"{case_id}: {note.message}") for note in notes]
    table = aanet_csv(markers, grid)
    label = LabelIdentity.of(truth_ids, box.start, ignored, grid)
    return ScoredCase(scores, hits, scored, calibration, markers, table, label, ignored is not None, tuple(said))


def _ignored(files: CaseFiles, grid: sitk.Image) -> tuple[NDArray[np.bool_] | None, list[Note]]:
    """The voxels of a case of which nobody says what they are, None where there are none; and how they were laid on."""
    if files.ignored_in is None:
        return ignored_voxels(sitk.GetArrayViewFromImage(grid), files.label_kind), []
    what = f"the label of classes of case {files.case_id}"
    classes, notes = laid_on(grid, files.label, read_label(files.ignored_in), files.ignored_in, what)
    return ignored_voxels(sitk.GetArrayViewFromImage(classes), LabelKind(ignored=files.ignored_values)), list(notes)


def _label(files: CaseFiles, mask: sitk.Image | None) -> tuple[sitk.Image, list[Note]]:
    """The label, whose grid is the case's, with doubts of that grid; a cropped segmentation is placed on the mask's."""
    label, found = read_label_noted(files.label)
    notes = [note for note in found if note.code in GRID_NOTES]
    if files.mask is not None and mask is not None and is_segmentation(files.label):
        label, laid = laid_on(mask, files.mask, label, files.label, f"the label of case {files.case_id}")
        notes += laid
    return label, notes


def _probability(files: CaseFiles, path: Path, grid: sitk.Image) -> NDArray[np.float32]:
    """On the label's grid, (z, y, x)."""
    described = description_of(path) if path.suffix == ENDING else None
    if described is not None:
        return read_pe_probability(path, read_dataset_json(described), reader_of(described), grid)
    image, _ = laid_on(grid, files.label, read_file(path)[0], path, f"the probability of case {files.case_id}")
    values = np.asarray(sitk.GetArrayFromImage(image), np.float32)
    require_probabilities(values, path, "PE-FUS-002")
    return np.clip(values, 0, 1, out=values)


def _moved(markers: Sequence[VoxelMarker], by: Voxel) -> tuple[VoxelMarker, ...]:
    """Markers so many voxels on; those outside a crop keep their distances, and hit nothing inside."""
    dz, dy, dx = by
    return tuple(VoxelMarker((z + dz, y + dy, x + dx), probability) for (z, y, x), probability in markers)
