"""Many scans, one after another: a failing one is reported and the rest go on."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from tqdm import tqdm

from pe_nnunet.errors import InputError
from pe_nnunet.inference.predictor import PEPredictor
from pe_nnunet.outputs import CaseFailure, CaseResult, CaseSummary, write_case, write_errors, write_summary
from pe_nnunet.volumes import ScanRef, read_label, read_scan


def predict_batch(
    predictor: PEPredictor,
    refs: Sequence[ScanRef],
    folder: Path,
    *,
    save_probability: bool = False,
    dicom_seg: bool = True,
    artery: Path | None = None,
) -> tuple[list[CaseSummary], list[CaseFailure]]:
    """Predict every scan and write its files, then `summary.csv` and `errors.json`.

    Args:
        predictor: Holds the models.
        refs: The scans.
        folder: Where to.
        save_probability: Whether to write probability maps too.
        dicom_seg: Whether to write a DICOM SEG for DICOM scans.
        artery: Mask of the arteries to search along, or a folder with one a case.

    Returns:
        The scans that were written, and those that failed.

    Raises:
        OutputError: If the tables of the run cannot be written.
    """
    written: list[CaseSummary] = []
    failed: list[CaseFailure] = []
    for number, ref in enumerate(refs, 1):
        try:
            with tqdm(desc=f"{number}/{len(refs)} {ref.case_id}", unit="window", disable=None, leave=False) as bar:
                mask = None if artery is None else _artery_mask(artery, ref.case_id)
                started = time.perf_counter()
                scan = read_scan(ref)
                read_s = time.perf_counter() - started
                result = predictor.predict(scan, artery=mask, progress=_Bar(bar))
            result = replace(result, timings_s={**result.timings_s, "read": read_s})
            summary = write_case(result, folder, save_probability=save_probability, dicom_seg=dicom_seg)
        except Exception as error:  # noqa: BLE001 - one scan must not stop the others; its error is reported
            failure = CaseFailure.of(ref.case_id, error)
            failed.append(failure)
            print(failure, file=sys.stderr, flush=True)
            continue
        written.append(summary)
        _say(f"[{number}/{len(refs)}]", result, summary)
    write_summary(written, folder)
    write_errors(failed, folder)
    return written, failed


def _artery_mask(path: Path, case_id: str) -> sitk.Image:
    if path.is_dir():
        folder, path = path, path / f"{case_id}.nii.gz"
        if not path.is_file():
            raise InputError("PE-ROI-004", f"no artery mask {path.name} in {folder}", "name masks like the cases")
    return read_label(path)


class _Bar:
    """Shows windows; starts anew with each model and fold."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar
        self.name = ""

    def __call__(self, name: str, done: int, windows: int) -> None:
        if name != self.name:
            self.name = name
            self.bar.reset(total=windows)
            self.bar.set_postfix_str(name, refresh=False)
        self.bar.update(done - self.bar.n)


def _say(place: str, result: CaseResult, summary: CaseSummary) -> None:
    print(
        f"{place} {summary.case_id}: {summary.emboli} emboli, {summary.volume_mm3 / 1000:.2f} ml, "
        f"PE score {summary.pe_score:.2f}, {summary.seconds:.1f} s",
        flush=True,
    )
    for note in result.notes:
        print(f"    {note}", flush=True)
