"""Detect lungs and emboli in one scan, or in many, one after another: a failing one is reported and the rest go on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from tqdm import tqdm

from pe_nnunet import __version__
from pe_nnunet.cases import DISCLAIMER, CaseFailure, CaseLimits, sole_writer, step_bar, work_through, write_errors
from pe_nnunet.cases.engine import Engine
from pe_nnunet.cases.made_there import MadeThere
from pe_nnunet.cases.output_folder import OutputFolder, begun_output
from pe_nnunet.detection.box_tubes import Detections, SliceBox, Tube, link, tube_of, usable
from pe_nnunet.detection.detector import Detector
from pe_nnunet.detection.raster import Layout, Raster
from pe_nnunet.detection.results import write_detections
from pe_nnunet.detection.slice_labels import EMBOLUS, LUNG
from pe_nnunet.detection.suppress import SliceFindings
from pe_nnunet.errors import Note
from pe_nnunet.volumes import Scan, ScanRef, spacing_zyx, to_lps
from pe_nnunet.volumes.case_names import HASHED, PLAIN
from pe_nnunet.volumes.readers import read_timed
from pe_nnunet.voxels import Box

BATCH = 8  # slices at a time: memory does not grow with the scan
MIN_LUNG_CONFIDENCE = 0.25
MIN_LUNG_SHARE = 0.25  # of the slices of the longest: shorter tubes of lung are mistakes

Progress = Callable[[int, int], None]  # slices done, slices in all


class SliceDetector(Protocol):
    """What `detect` needs: `detector.Detector`, or anything else that finds boxes in pictures."""

    @property
    def raster(self) -> Raster:
        """The pixels that it expects."""

    def __call__(self, pictures: npt.NDArray[np.uint8]) -> list[SliceFindings]:
        """Boxes of each of these pictures (n, y, x, 3), in pixels."""


def detect(image_lps: sitk.Image, detector: SliceDetector, progress: Progress | None = None) -> Detections:
    """Find the lungs and the emboli of one scan.

    Args:
        image_lps: HU, axes in LPS order as `to_lps` gives them, so that the slices are axial.
        detector: Of slices.
        progress: Called after each batch of slices.

    Returns:
        The box around the lungs and the tubes of emboli, in voxels of the image.
    """
    hu = sitk.GetArrayViewFromImage(image_lps)
    spacing_z_mm, *spacing_yx = spacing_zyx(image_lps)
    layout = Layout(detector.raster, hu.shape[1:], spacing_yx)
    boxes: dict[int, list[SliceBox]] = {LUNG: [], EMBOLUS: []}
    for first in range(0, len(hu), BATCH):
        for z, found in enumerate(detector(layout.pictures(hu[first : first + BATCH])), first):
            edges = layout.to_voxels(found.boxes)
            for (y0, x0, y1, x1), confidence, label in zip(
                edges.tolist(), found.confidence.tolist(), found.label.tolist(), strict=True
            ):
                boxes[label].append(SliceBox(z, y0, x0, y1, x1, confidence))
        if progress is not None:
            progress(min(first + BATCH, len(hu)), len(hu))
    good = {label: usable(some) for label, some in boxes.items()}
    dropped = sum(map(len, boxes.values())) - sum(map(len, good.values()))
    notes = (Note("PE-DET-008", "warning", f"{dropped} boxes with NaN or inverted edges were dropped"),)
    tubes = _tubes(good[EMBOLUS], spacing_z_mm, hu.shape)
    sure = [box for box in good[LUNG] if box.confidence >= MIN_LUNG_CONFIDENCE]
    return Detections(
        _lung_box(_tubes(sure, spacing_z_mm, hu.shape)),
        tuple(sorted(tubes, key=lambda tube: -tube.confidence)),
        notes if dropped else (),
    )


def _tubes(boxes: Sequence[SliceBox], spacing_z_mm: float, shape: Sequence[int]) -> list[Tube]:
    tubes = (tube_of(linked, shape) for linked in link(boxes, spacing_z_mm))
    return [tube for tube in tubes if tube is not None]


def _lung_box(tubes: Sequence[Tube]) -> Box | None:
    """The box around all tubes of lung that are long enough: too large costs time, too small costs emboli."""
    longest = max((len(tube.slices) for tube in tubes), default=0)
    around: Box | None = None
    for tube in tubes:
        if len(tube.slices) >= MIN_LUNG_SHARE * longest:
            around = tube.box if around is None else around.union(tube.box)
    return around


def detect_batch(
    detector: Detector,
    refs: Sequence[ScanRef],
    folder: Path,
    repairs: Mapping[str, bool],
    limits: CaseLimits | None = None,
    *,
    engine: Engine | None = None,
    elsewhere: MadeThere | None = None,
) -> tuple[dict[str, Detections], list[CaseFailure]]:
    """Detect in every scan and write its files, then `errors.json`.

    Args:
        detector: Of slices.
        refs: The scans.
        folder: Where to.
        repairs: What scans may be repaired for when they are read, as keywords of `read_scan`.
        limits: What a case may take: each is then read in a process beside this one.
        engine: What hands out the scans to workers elsewhere.
        elsewhere: The detector that these make for themselves.

    Returns:
        What was found, by case, and the scans that failed.

    Raises:
        OutputError: If `errors.json` cannot be written.
        ConfigurationError: PE-OUT-014 if another process writes into the folder.
    """
    title = {ref.case_id: f"[{number}/{len(refs)}] {ref.case_id}" for number, ref in enumerate(refs, 1)}

    def say(case_id: str, found: tuple[Detections, tuple[Note, ...], float], _left: str) -> None:
        result, notes, seconds = found
        tqdm.write(f"{title[case_id]}: {_said(result)}, {seconds:.1f} s")
        for note in notes:
            tqdm.write(f"    {note}")
        sys.stdout.flush()

    with sole_writer(folder):
        output = begun_output(folder, len(refs))
        write_errors([], folder)  # before the work: an output that cannot be written is known at once
        at_work: Any = detector if elsewhere is None else elsewhere  # which is one when a worker gets it
        found, failed = work_through(
            partial(
                detect_case,
                detector=at_work,
                output=output,
                repairs=repairs,
                timeout_s=None if limits is None else limits.case_timeout_s,
                title=title if engine is None else {},
            ),
            {ref.case_id: ref for ref in refs},
            read=partial(read_timed, repairs=repairs),
            limits=limits,
            say=say,
            hidden={ref.case_id: ref.hidden for ref in refs},
            bar="" if engine is None else "detect",
            engine=engine,
        )
        write_errors(failed, folder)
    return {case_id: result for case_id, (result, _, _) in found.items()}, failed


def detect_case(
    read: tuple[Scan, float],
    *,
    detector: Detector,
    output: OutputFolder,
    repairs: Mapping[str, bool],
    timeout_s: float | None = None,
    title: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Detections, tuple[Note, ...], float]:
    """Detect in one scan and write its files.

    Args:
        read: The scan, and the seconds that reading it took.
        detector: Of slices.
        output: Where to.
        repairs: What it might be repaired for.
        timeout_s: After which it is given up.
        title: What cases are called on the terminal, where not by their ids.

    Returns:
        What was found, notes, and the seconds that it took.

    Raises:
        PEError: If it takes too long, or its files cannot be written.
    """
    scan, read_s = read
    started, ref = time.perf_counter() - read_s, scan.ref
    with step_bar(title.get(ref.case_id, ref.case_id), "slice", timeout_s) as show:
        result = detect(to_lps(scan.image), detector, show)
    seconds, notes = time.perf_counter() - started, (*scan.notes, *result.notes)
    facts = {
        "notice": DISCLAIMER,
        "notes": [asdict(note) for note in notes],
        "source": {
            "path": ref.shown_name,
            "names": HASHED if ref.hidden else PLAIN,
            "sha256": scan.sha256,
        },
        "detectors": [
            {"model": r.model, "dataset": r.dataset, "fold": r.fold, "sha256": r.sha256} for r in detector.records
        ],
        "repairs": dict(repairs),
        "seconds": round(seconds, 3),
        "version": __version__,
    }
    write_detections(result, scan.image, output.of(ref.case_id), ref.case_id, facts)
    return result, notes, seconds


def _said(result: Detections) -> str:
    surest = f", the surest {result.emboli[0].confidence:.2f}" if result.emboli else ""
    return f"{len(result.emboli)} embolus boxes{surest}, {'lungs found' if result.lungs else 'no lungs'}"
