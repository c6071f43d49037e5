"""The findings of a case as a DICOM SR: a measurement report (PS3.16, TID 1500) that PACS and research tools can read.

One measurement group an embolus: TID 1411 with a reference to its segment, or TID 1501 where there is no DICOM SEG.
A further group holds what counts for the whole scan, also where nothing was found, and one the ventricles where their
masks were given. What is not known is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import highdicom.sr as sr
import numpy as np
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from pe_nnunet import __version__
from pe_nnunet.burden import Place
from pe_nnunet.cases import DISCLAIMER
from pe_nnunet.errors import Note, OutputError
from pe_nnunet.files import atomic_path
from pe_nnunet.fusion import Candidate
from pe_nnunet.outputs.algorithm import NAME, algorithm_parameters
from pe_nnunet.outputs.artery import level_of
from pe_nnunet.outputs.burden_record import burden_record, place_record
from pe_nnunet.outputs.case import CaseResult
from pe_nnunet.outputs.diameter import max_diameter_mm
from pe_nnunet.outputs.report_burden import (
    SCHEME,
    levels_of,
    measured,
    obstruction_of,
    scores_of,
    sites_of,
    ventricles_of,
)
from pe_nnunet.outputs.report_sources import ReportSources
from pe_nnunet.volumes.dicom.derived import ContentUids, made_of_series, moment_of, remove_clock
from pe_nnunet.volumes.geometry import spacing_zyx
from pe_nnunet.voxels import Box, boxes_by_id

SERIES_NUMBER = 901
LEVEL = Code("LEVEL_BY_WIDTH", SCHEME, "Level of the pulmonary artery by its width alone")
LEVELS = {name: Code(name.upper(), SCHEME, f"{name.capitalize()} by width") for name in
          ("main", "lobar", "segmental", "subsegmental")}  # fmt: skip
FOUND = Code("FOUND", SCHEME, "Pulmonary embolism found by the algorithm at its threshold")


def write_dicom_sr(case: CaseResult, path: Path, segmentation: Path, most: int) -> tuple[Note, ...]:
    """Write the report.

    UIDs follow from the content and dates are those of the study: the same findings give the same bytes.

    Args:
        case: Read from DICOM, with the widths of arteries where they are known.
        path: The file.
        segmentation: The DICOM SEG of the same emboli; where there is no such file, none is referred to.
        most: Emboli that get a group of their own, the first by id.

    Returns:
        PE-OUT-016 where emboli were found and there is no SEG, PE-OUT-005 where emboli are left out.

    Raises:
        OutputError: PE-OUT-004 if no slice has the UIDs that a report refers to, PE-OUT-001 if it cannot be written.
    """
    if case.dicom is None:
        raise OutputError("PE-OUT-004", f"case {case.case_id}: no DICOM series to write an SR of")
    with made_of_series(f"case {case.case_id}: no DICOM SR", "use the table"):
        sources = ReportSources.of(case.dicom, segmentation)
        report = _report(case, sources, case.emboli.kept[:most])
    with atomic_path(path) as temporary:
        report.save_as(temporary)
    kept, notes = len(case.emboli.kept), []
    if kept and sources.segmentation is None:
        text = f"case {case.case_id}: the DICOM SR refers to no segments: there is no DICOM SEG"
        notes.append(Note("PE-OUT-016", "warning", text))
    if kept > most:
        text = f"the DICOM SR describes the {most} emboli of the highest score, of {kept}; its totals are those of all"
        notes.append(Note("PE-OUT-005", "warning", text))
    return tuple(notes)


def _report(case: CaseResult, sources: ReportSources, described: Sequence[Candidate]) -> Any:
    places = [place_record(case.burden, row.id) for row in case.emboli.kept]
    anatomy = (places, burden_record(case.burden, case.image))
    facts = (list(case.emboli.kept), case.emboli.pe_score, dict(case.artery_mm), anatomy, algorithm_parameters(case))
    uids = ContentUids(b"", *sources.facts(), repr(facts))
    boxes = boxes_by_id(case.emboli.labels)
    groups = [_embolus(case, row, boxes[row.id], sources, uids) for row in described]
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(
            observer_device_context=sr.ObserverContext(
                observer_type=codes.DCM.Device,
                observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
                    uid=ContentUids(b"", NAME).of("device"),
                    name=NAME,
                    manufacturer_name=NAME,
                    model_name=f"{NAME} predict-fused",
                    serial_number=__version__,
                ),
            )
        ),
        procedure_reported=codes.SCT.ComputedTomography,
        imaging_measurements=[*groups, _totals(case, uids), *ventricles_of(case.burden, uids)],
        title=codes.DCM.ImagingMeasurementReport,
    )
    day, time = moment_of(sources.instances[0])
    report = sr.ComprehensiveSR(
        evidence=sources.evidence,
        content=content,
        series_instance_uid=uids.of("series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=uids.of("instance"),
        instance_number=1,
        manufacturer=NAME,
        manufacturer_model_name=f"{NAME} predict-fused",
        software_versions=__version__,
        device_serial_number=__version__,
        series_description="Pulmonary emboli, report, research use only",
        content_date=day,
        content_time=time,
        is_complete=True,
        coding_schemes=[CodingSchemeIdentificationItem(SCHEME, name="Codes of pe-nnunet")],
    )
    remove_clock(report)
    uids.replace_random(report)
    return report


def _embolus(case: CaseResult, row: Candidate, box: Box, sources: ReportSources, uids: ContentUids) -> Any:
    mask = case.emboli.labels[box.slices] == row.id
    artery_mm = case.artery_mm.get(row.id)
    place = Place() if case.burden is None else case.burden.places.get(row.id, Place())
    name = f"embolus {row.id}"
    said: dict[str, Any] = {
        "finding_type": codes.SCT.PulmonaryEmbolism,
        "finding_category": codes.SCT.MorphologicallyAbnormalStructure,
        "finding_sites": sites_of(place),
        "algorithm_id": sr.AlgorithmIdentification(name=NAME, version=__version__),
        "measurements": [
            measured(codes.SCT.Volume, row.volume_mm3, codes.UCUM.CubicMillimeter),
            measured(
                codes.IBSI.Maximum3DDiameterOfAMesh,
                max_diameter_mm(mask, spacing_zyx(case.image)),
                codes.UCUM.Millimeter,
            ),
            *([] if artery_mm is None else [measured(codes.SCT.VesselLumenDiameter, artery_mm, codes.UCUM.Millimeter)]),
            *obstruction_of(place),
            measured(codes.DCM.CertaintyOfFinding, 100 * row.probability, codes.UCUM.Percent),
        ],
        "qualitative_evaluations": [
            *levels_of(place),
            *([] if artery_mm is None else [sr.QualitativeEvaluation(LEVEL, LEVELS[level_of(artery_mm)])]),
        ],
    }
    segment = sources.segments.get(row.id)
    if segment is None:
        slices = (np.flatnonzero(mask.any(axis=(1, 2))) + box.start[0]).tolist()
        tracking = sr.TrackingIdentifier(uid=uids.of(name), identifier=name)
        images = sources.images(slices)
        return sr.MeasurementsAndQualitativeEvaluations(tracking, **said, source_images=images or None)
    tracking = sr.TrackingIdentifier(uid=segment.tracking_uid, identifier=segment.tracking_id)
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(tracking, **said, referenced_segment=segment.reference)


def _totals(case: CaseResult, uids: ContentUids) -> Any:
    """What counts for the whole scan: how many, how much, and the highest score, also of findings that are not kept."""
    emboli = case.emboli
    parameters: Mapping[str, str] = {"notice": DISCLAIMER, **algorithm_parameters(case)}
    return sr.MeasurementsAndQualitativeEvaluations(
        sr.TrackingIdentifier(uid=uids.of("all emboli"), identifier="all emboli"),
        finding_type=codes.SCT.PulmonaryEmbolism,
        finding_category=codes.SCT.MorphologicallyAbnormalStructure,
        finding_sites=[sr.FindingSite(codes.SCT.PulmonaryArtery)],
        algorithm_id=sr.AlgorithmIdentification(
            name=NAME,
            version=__version__,
            parameters=[f"{key}={value}" for key, value in parameters.items()],
            family=codes.cid7162.ArtificialIntelligence,
        ),
        measurements=[
            measured(codes.SCT.NumberOfLesions, len(emboli.kept), codes.UCUM.NoUnits),
            measured(codes.SCT.Volume, emboli.volume_mm3, codes.UCUM.CubicMillimeter, derivation=codes.SCT.Total),
            *scores_of(case.burden),
            measured(codes.DCM.CertaintyOfImpression, 100 * emboli.pe_score, codes.UCUM.Percent),
        ],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(FOUND, codes.DCM.Present if emboli.kept else codes.DCM.Absent)
        ],
    )
