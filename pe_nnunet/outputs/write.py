"""Write the files of one case."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from pe_nnunet.cases import DISCLAIMER
from pe_nnunet.detection.results import write_detections
from pe_nnunet.errors import Note, OutputError
from pe_nnunet.files import atomic_json, atomic_text
from pe_nnunet.outputs.artery import artery_levels
from pe_nnunet.outputs.case import CaseResult, case_manifest
from pe_nnunet.outputs.dicom_seg import MOST_SEGMENTS, write_dicom_seg
from pe_nnunet.outputs.run import CaseSummary
from pe_nnunet.outputs.table import emboli_csv
from pe_nnunet.volumes.files.image_writer import write_image
from pe_nnunet.volumes.geometry import image_like

FILES = {
    "emboli": "{}.nii.gz",
    "table": "{}_emboli.csv",
    "probability": "{}_probability.nii.gz",
    "agreement": "{}_agreement.nii.gz",
    "segmentation": "{}_segmentation_probability.nii.gz",
    "detections": "{}_detections.json",
    "detections_table": "{}_detections.csv",
    "dicom_seg": "{}_seg.dcm",
    "picture": "{}.png",
    "report": "{}_report.html",
}


def write_case(
    case: CaseResult,
    folder: Path,
    *,
    save_probability: bool = False,
    picture: bool = True,
    dicom_seg: bool = True,
    report: bool = True,
) -> CaseSummary:
    """Write all files of a case; the manifest comes last, so where it is, the case is complete.

    `<case>.nii.gz` (ids of the kept emboli), `<case>_emboli.csv` (all candidates), `<case>.png` (overview),
    `<case>_probability.nii.gz` on request, `<case>_agreement.nii.gz`, `<case>_segmentation_probability.nii.gz` and
    `<case>_detections.json` with its table if the case has them, `<case>_seg.dcm` for a DICOM scan with emboli,
    `<case>_report.html` (slices to scroll), `<case>.json` (manifest). Every file appears whole or not at all, and none
    of an earlier run stays beside a newer manifest.

    Args:
        case: The results, on the scan's own grid.
        folder: Where to; made if missing.
        save_probability: Also write the probability map, if the case has one.
        picture: Draw the overview.
        dicom_seg: Write the DICOM SEG where the scan was DICOM; a series that does not allow one gets a note instead.
        report: Write the page of the case.

    Returns:
        The case's line in the run's summary.

    Raises:
        OutputError: If a file cannot be written.
    """
    started = time.perf_counter()
    manifest_path = folder / f"{case.case_id}.json"
    names = {kind: name.format(case.case_id) for kind, name in FILES.items()}
    for name in (manifest_path.name, *names.values()):  # from here on an older run's result is no longer complete
        _remove(folder / name)
    case = replace(case, levels=case.levels or artery_levels(case.image, case.emboli))
    files = {kind: names[kind] for kind in ("emboli", "table")}
    write_image(image_like(case.emboli.labels, case.image), folder / names["emboli"])
    atomic_text(folder / names["table"], emboli_csv(case.emboli.candidates, case.image, case.levels))
    if save_probability and case.probability is not None:
        files["probability"] = names["probability"]
        write_image(case.probability, folder / names["probability"])
    for kind, volume in (("agreement", case.agreement), ("segmentation", case.segmentation)):
        if volume is not None:
            files[kind] = names[kind]
            write_image(volume, folder / names[kind])
    if case.detections is not None:
        files |= {kind: names[kind] for kind in ("detections", "detections_table")}
        facts = {"notice": DISCLAIMER, "source": {"path": case.source, "sha256": case.source_sha256}}
        write_detections(case.detections, case.image, folder, case.case_id, facts)
    if dicom_seg and case.dicom is not None and case.emboli.kept:
        note = _try_dicom_seg(case, folder / names["dicom_seg"])
        if (folder / names["dicom_seg"]).exists():
            files["dicom_seg"] = names["dicom_seg"]
        case = replace(case, notes=(*case.notes, *note))
    shown = {kind: names[kind] for kind, wanted in (("picture", picture), ("report", report)) if wanted}
    files |= shown
    with ThreadPoolExecutor() as pool:  # the page's encoder leaves Python's lock to the picture
        list(pool.map(lambda kind: _show(kind, case, folder / shown[kind]), shown))
    case = replace(case, timings_s={**case.timings_s, "outputs": time.perf_counter() - started})
    manifest = case_manifest(case, files)
    atomic_json(manifest_path, manifest)
    return CaseSummary.from_manifest(manifest)


def _show(kind: str, case: CaseResult, path: Path) -> None:
    """Write the picture or the page; what draws them is imported by then, after the networks, whose memory it takes."""
    if kind == "picture":
        from pe_nnunet.outputs.overview import write_overview as write
    else:
        from pe_nnunet.outputs.report import write_report as write
    write(case, path)


def _try_dicom_seg(case: CaseResult, path: Path) -> tuple[Note, ...]:
    """Write the SEG; what a person should know about it. The other files do not depend on it."""
    try:
        write_dicom_seg(case, path)
    except OutputError as error:
        if error.code != "PE-OUT-004":
            raise
        return (Note(error.code, "warning", error.message),)
    kept = len(case.emboli.kept)
    if kept > MOST_SEGMENTS:
        text = f"the DICOM SEG holds the {MOST_SEGMENTS} emboli of the highest score, of {kept}"
        return (Note("PE-OUT-005", "warning", text),)
    return ()


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            "PE-OUT-001", f"{path} cannot be replaced: {error.strerror}", "check the permissions of the folder"
        ) from error
