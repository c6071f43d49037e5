"""The files that a case may have: one entry each, which `write_case`, the command's switches and the manifest go by.

Whatever a file needs is imported when it is written: the command knows its switches without loading NumPy, and pictures
take no memory from the networks that run before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pe_nnunet.errors import Note, OutputError

if TYPE_CHECKING:
    from pe_nnunet.detection import Detections
    from pe_nnunet.outputs.case import CaseResult

MAX_SEGMENTS = 255  # an embolus costs a frame of its own in every slice; thousands, as noise gives, would be gigabytes
SEG_SERIES_NUMBER = 900
KEY_IMAGES = 8


@dataclass(frozen=True)
class Writer:
    """One output format.

    Attributes:
        suffix: Of the file's name, after the case's id.
        content: What is in it, for the command's help and `docs/outputs.md`.
        write: Writes it, and returns what a person should know about it. `OutputError` PE-OUT-004 says that this case
            allows none: it becomes a note, and the other files do not depend on it.
        applies: Whether a case has it.
        switch: Of the command: `--save-...` asks for the file, `--no-...` leaves it out; empty: there is no choice.
        folder: Within that of the results; empty for that itself.
        beside: Suffixes of further files that it writes there.
        shown: What people read for the suffix, where several entries differ in a number; empty: the suffix.
        slow: Whether it is drawn after the others, beside the other slow ones: it shows all notes, and returns none.
    """

    suffix: str
    content: str
    write: Callable[[CaseResult, Path], Sequence[Note] | None]
    applies: Callable[[CaseResult], bool] = lambda _: True
    switch: str = ""
    slow: bool = False
    folder: str = ""
    beside: tuple[str, ...] = ()
    shown: str = ""

    def name(self, case_id: str) -> str:
        """The path of the file of a case, from the folder of the results."""
        return f"{self.folder}/{case_id}{self.suffix}" if self.folder else f"{case_id}{self.suffix}"


def _write_emboli(case: CaseResult, path: Path) -> None:
    from pe_nnunet.volumes.files.image_writer import write_image
    from pe_nnunet.volumes.geometry import image_like

    write_image(image_like(case.emboli.labels, case.image), path)


def _write_table(case: CaseResult, path: Path) -> None:
    from pe_nnunet.files import atomic_text
    from pe_nnunet.outputs.emboli_table import emboli_csv

    atomic_text(path, emboli_csv(case.emboli.candidates, case.image, case.artery_mm, case.burden))


def _map(part: str, suffix: str, content: str, switch: str) -> Writer:
    """The entry of a map that `CaseResult` holds under this name, or None."""

    def write(case: CaseResult, path: Path) -> None:
        from pe_nnunet.volumes.files.image_writer import write_image

        write_image(getattr(case, part), path)

    return Writer(suffix, content, write, lambda case: getattr(case, part) is not None, switch)


def _write_detections(case: CaseResult, path: Path) -> None:
    from pe_nnunet.cases import DISCLAIMER
    from pe_nnunet.detection.results import detections_json
    from pe_nnunet.files import atomic_json

    found = cast("Detections", case.detections)  # `applies` has asked
    facts = {"notice": DISCLAIMER, "source": {"path": case.source, "names": case.names, "sha256": case.source_sha256}}
    atomic_json(path, detections_json(found, case.image, case.case_id, facts))


def _write_detections_table(case: CaseResult, path: Path) -> None:
    from pe_nnunet.detection.results import detections_csv
    from pe_nnunet.files import atomic_text

    atomic_text(path, detections_csv(cast("Detections", case.detections), case.image))


def write_dicom_seg(case: CaseResult, path: Path) -> tuple[Note, ...]:
    """Write the kept emboli, at most the 255 of the highest score, as a binary segmentation of the scan's series.

    Args:
        case: Read from DICOM, with at least one kept embolus: a segmentation without segments is not valid.
        path: The file.

    Returns:
        PE-OUT-005 where emboli are left out.

    Raises:
        OutputError: PE-OUT-004 if the series' headers do not allow one, PE-OUT-001 if it cannot be written.
    """
    import numpy as np
    from highdicom import AlgorithmIdentificationSequence
    from pydicom.sr.codedict import codes

    from pe_nnunet import __version__
    from pe_nnunet.files import atomic_path
    from pe_nnunet.outputs.algorithm import NAME, algorithm_parameters
    from pe_nnunet.volumes.seg.seg_writer import Origin, Segment, build_segmentation

    kept = case.emboli.kept
    if case.dicom is None or not kept:
        raise OutputError("PE-OUT-004", f"case {case.case_id}: no DICOM series or no embolus to write a SEG of")
    labels = case.emboli.labels
    if len(kept) > MAX_SEGMENTS:
        labels = np.where(labels <= MAX_SEGMENTS, labels, 0).astype(np.uint16)
    segments = [
        Segment(
            row.id,
            f"Embolus {row.id}",
            f"embolus {row.id}",
            f"probability {row.probability:.3f}, {row.volume_mm3:.1f} mm3",
        )
        for row in kept[:MAX_SEGMENTS]
    ]
    origin = Origin(
        command="predict-fused",
        algorithm=AlgorithmIdentificationSequence(
            name=NAME,
            family=codes.cid7162.ArtificialIntelligence,
            version=__version__,
            parameters=algorithm_parameters(case),
        ),
        series_description="Pulmonary emboli, research use only",
        content_label="PULMONARY_EMBOLI",
        content_description="Found by pe-nnunet; research use only, not for diagnosis",
        series_number=SEG_SERIES_NUMBER,
    )
    segmentation = build_segmentation(labels, case.image, case.dicom.files, segments, origin, f"case {case.case_id}")
    with atomic_path(path) as temporary:
        segmentation.save_as(temporary)
    if len(kept) <= MAX_SEGMENTS:
        return ()
    text = f"the DICOM SEG holds the {MAX_SEGMENTS} emboli of the highest score, of {len(kept)}"
    return (Note("PE-OUT-005", "warning", text),)


def _write_dicom_sr(case: CaseResult, path: Path) -> Sequence[Note]:
    from pe_nnunet.outputs.structured_report import write_dicom_sr

    return write_dicom_sr(case, path, path.parent / WRITERS["dicom_seg"].name(case.case_id), MAX_SEGMENTS)


def _key_image(number: int) -> Writer:
    """The entry of the key image of the embolus with this id."""

    def write(case: CaseResult, path: Path) -> None:
        from pe_nnunet.outputs.key_image import write_key_image

        write_key_image(case, number, path)

    return Writer(
        f"_key_{number:02d}.dcm",
        f"key images as DICOM secondary capture: the widest slices of the {KEY_IMAGES} emboli of the highest score, "
        "with outlines, for DICOM scans",
        write,
        lambda case: case.dicom is not None and len(case.emboli.kept) >= number,
        switch="--no-key-images",
        shown="_key_NN.dcm",
    )


def _write_stock(case: CaseResult, path: Path) -> None:
    from pe_nnunet.outputs.stock_files import write_stock

    write_stock(case, path)


def _draw_picture(case: CaseResult, path: Path) -> None:
    from pe_nnunet.outputs import overview

    overview.write_overview(case, path)


def _draw_ventricles(case: CaseResult, path: Path) -> None:
    from pe_nnunet.outputs.ventricles_picture import write_ventricles

    write_ventricles(case, path)


def _has_ventricles(case: CaseResult) -> bool:
    return case.burden is not None and case.burden.has_lines


def _draw_page(case: CaseResult, path: Path) -> None:
    from pe_nnunet.outputs import case_page as report

    report.write_report(case, path)


WRITERS: dict[str, Writer] = {
    "emboli": Writer(
        ".nii.gz", "the emboli that are kept, one id each (1, 2, ... by falling score), 0 elsewhere", _write_emboli
    ),
    "table": Writer("_emboli.csv", "all candidates down to a probability of 0.05, kept or not", _write_table),
    "probability": _map("probability", "_probability.nii.gz", "embolus probability", "--save-probability"),
    "agreement": _map(
        "agreement", "_agreement.nii.gz", "share of the ensemble's members that agree", "--save-agreement"
    ),
    "segmentation": _map(
        "segmentation",
        "_segmentation_probability.nii.gz",
        "with a detector: the probability before its boxes changed it",
        "--save-parts",
    ),
    "detections": Writer(
        "_detections.json",
        "with a detector: its boxes",
        _write_detections,
        lambda case: case.detections is not None,
        switch="--save-parts",
    ),
    "detections_table": Writer(
        "_detections.csv",
        "with a detector: its boxes as a table",
        _write_detections_table,
        lambda case: case.detections is not None,
        switch="--save-parts",
    ),
    "nnunet": Writer(
        ".npz",
        "in the folder `nnunet`, with `.pkl` and `.nii.gz`: probabilities and labels as nnU-Net writes them",
        _write_stock,
        lambda case: case.stock is not None and case.probability is not None,
        switch="--save-nnunet",
        folder="nnunet",
        beside=(".pkl", ".nii.gz"),
    ),
    "dicom_seg": Writer(
        "_seg.dcm",
        "the emboli that are kept as DICOM SEG, for DICOM scans with at least one",
        write_dicom_seg,
        lambda case: case.dicom is not None and bool(case.emboli.kept),
        switch="--no-dicom-seg",
    ),
    "dicom_sr": Writer(
        "_sr.dcm",
        "what was found, or that nothing was, as DICOM SR with measurements (TID 1500), for DICOM scans",
        _write_dicom_sr,
        lambda case: case.dicom is not None,
        switch="--no-dicom-sr",
    ),
    **{f"key_image_{number}": _key_image(number) for number in range(1, KEY_IMAGES + 1)},
    "picture": Writer(
        ".png", "overview: where the emboli lie, and the key slices of the main ones", _draw_picture, slow=True
    ),
    "ventricles": Writer(
        "_ventricles.png",
        "with `--anatomy`: the ventricles with the lines that their diameters were measured along",
        _draw_ventricles,
        _has_ventricles,
        slow=True,
    ),
    "report": Writer(
        "_report.html",
        "the case in a browser: slices to scroll, outlines, table; listed in report.html",
        _draw_page,
        switch="--no-report",
        slow=True,
    ),
}
"""By kind, the key of a file in the manifest's `files`, in its order."""


STOCK_SPELLINGS = {"--save-nnunet": "--save_probabilities"}
"""A switch -> what nnU-Net's own command calls the like."""


def kinds_for(switches: Collection[str]) -> frozenset[str]:
    """The kinds of files that are written under these switches of the command."""
    asked = ((kind, writer.switch.startswith("--save-"), writer.switch in switches) for kind, writer in WRITERS.items())
    return frozenset(kind for kind, on_request, given in asked if on_request == given)


DEFAULT = kinds_for(())


def switch_helps() -> dict[str, str]:
    """The command's switches and their help."""
    files: dict[str, dict[str, None]] = {}  # each text once, in order
    for writer in WRITERS.values():
        if writer.switch:
            files.setdefault(writer.switch, {})[f"<case>{writer.shown or writer.suffix}: {writer.content}"] = None
    return {
        switch: ("also write " if switch.startswith("--save-") else "no ") + "; ".join(texts)
        for switch, texts in files.items()
    }
