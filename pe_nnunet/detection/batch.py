"""Detection in many scans, one after another: a failing one is reported and the rest go on."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from pe_nnunet import __version__
from pe_nnunet.detection.detector import Detector
from pe_nnunet.detection.results import write_detections
from pe_nnunet.detection.scan import detect
from pe_nnunet.detection.tubes import Detections
from pe_nnunet.outputs import CaseFailure, write_errors
from pe_nnunet.outputs.manifest import DISCLAIMER
from pe_nnunet.volumes import ScanRef, read_scan, to_lps


def detect_batch(
    detector: Detector, refs: Sequence[ScanRef], folder: Path, repairs: Mapping[str, bool]
) -> tuple[dict[str, Detections], list[CaseFailure]]:
    """Detect in every scan and write its files, then `errors.json`.

    Args:
        detector: Of slices.
        refs: The scans.
        folder: Where to.
        repairs: What scans may be repaired for when they are read, as keywords of `read_scan`.

    Returns:
        What was found, by case, and the scans that failed.

    Raises:
        OutputError: If `errors.json` cannot be written.
    """
    found: dict[str, Detections] = {}
    failed: list[CaseFailure] = []
    for number, ref in enumerate(refs, 1):
        started = time.perf_counter()
        try:
            scan = read_scan(ref, **repairs)
            with tqdm(desc=f"{number}/{len(refs)} {ref.case_id}", unit="slice", disable=None, leave=False) as bar:
                result = detect(to_lps(scan.image), detector, _Bar(bar))
            seconds = time.perf_counter() - started
            facts = {
                "notice": DISCLAIMER,
                "notes": [asdict(note) for note in (*scan.notes, *result.notes)],
                "source": {"path": ref.path.name, "sha256": scan.sha256},
                "detectors": [
                    {"model": r.model, "dataset": r.dataset, "fold": r.fold, "sha256": r.sha256}
                    for r in detector.records
                ],
                "repairs": dict(repairs),
                "seconds": round(seconds, 3),
                "version": __version__,
            }
            write_detections(result, scan.image, folder, ref.case_id, facts)
        except Exception as error:  # noqa: BLE001 - one scan must not stop the others; its error is reported
            failure = CaseFailure.of(ref.case_id, error)
            failed.append(failure)
            print(failure, file=sys.stderr, flush=True)
            continue
        found[ref.case_id] = result
        print(f"[{number}/{len(refs)}] {ref.case_id}: {_said(result)}, {seconds:.1f} s", flush=True)
        for note in (*scan.notes, *result.notes):
            print(f"    {note}", flush=True)
    write_errors(failed, folder)
    return found, failed


def _said(result: Detections) -> str:
    surest = f", the surest {result.emboli[0].confidence:.2f}" if result.emboli else ""
    return f"{len(result.emboli)} embolus boxes{surest}, {'lungs found' if result.lungs else 'no lungs'}"


class _Bar:
    """Shows slices."""

    def __init__(self, bar: tqdm) -> None:
        self.bar = bar

    def __call__(self, done: int, slices: int) -> None:
        self.bar.total = slices
        self.bar.update(done - self.bar.n)
