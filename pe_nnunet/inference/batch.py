"""Many scans, one after another: a failing one is reported and the rest go on."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from pe_nnunet.cases import CaseFailure, step_bar, work_through, write_errors
from pe_nnunet.errors import InputError, Note, PEError
from pe_nnunet.inference.channels import without_further_channels
from pe_nnunet.inference.predictor import PEPredictor
from pe_nnunet.outputs import CaseSummary, read_case_summary, write_case, write_cohort_report, write_summary
from pe_nnunet.outputs.writers import DEFAULT
from pe_nnunet.volumes import ScanRef, read_label, read_scan

MACHINE = ("device", "threads")  # arguments that say where a case was computed, not how


def predict_batch(
    predictor: PEPredictor,
    refs: Sequence[ScanRef],
    folder: Path,
    *,
    outputs: frozenset[str] = DEFAULT,
    artery: Path | None = None,
    resume: bool = False,
    part: int = 0,
    parts: int = 1,
) -> tuple[list[CaseSummary], list[CaseFailure]]:
    """Predict every scan and write its files, then `summary.csv` and `errors.json`.

    Of parts each writes its own `errors.json` into `part_<i>_of_<n>`; `summary.csv` holds what all have completed.

    Args:
        predictor: Holds the models.
        refs: The scans, of all parts.
        folder: Where to.
        outputs: Kinds of files to write, keys of `pe_nnunet.outputs.writers.WRITERS`; where pages of cases are among
            them, there is one for all too.
        artery: Mask of the arteries to search along, or a folder with one a case.
        resume: Whether to leave out what an earlier run completed with the same models and settings.
        part: Which of the parts this run does, from 0 on.
        parts: Into how many parts the scans are divided, for as many machines.

    Returns:
        The scans of this part that are there, and those that failed.

    Raises:
        OutputError: If the tables of the run cannot be written.
    """
    refs = without_further_channels(refs, predictor.n_channels)
    own = refs[part::parts]
    title = {ref.case_id: f"[{number}/{len(own)}] {ref.case_id}" for number, ref in enumerate(own, 1)}
    there: dict[str, CaseSummary] = {}
    for ref in own if resume else ():
        known = completed(predictor, ref.case_id, folder)
        if known is not None:
            there[ref.case_id] = known
            print(f"{title[ref.case_id]}: there already", flush=True)

    def predict(ref: ScanRef) -> tuple[CaseSummary, tuple[Note, ...]]:
        with step_bar(title[ref.case_id], "window") as show:
            mask = None if artery is None else _artery_mask(artery, ref.case_id)
            started = time.perf_counter()
            scan = read_scan(ref, **predictor.repairs)
            read_s = time.perf_counter() - started
            result = predictor.predict(scan, artery=mask, progress=lambda part, done, all_: show(done, all_, part))
        result = replace(result, timings_s={**result.timings_s, "read": read_s})
        summary = write_case(result, folder, outputs)
        return summary, result.notes

    def say(case_id: str, predicted: tuple[CaseSummary, tuple[Note, ...]], left: str) -> None:
        summary, notes = predicted
        print(
            f"{title[case_id]}: {summary.emboli} emboli, {summary.volume_mm3 / 1000:.2f} ml, "
            f"PE score {summary.pe_score:.2f}, {summary.seconds:.1f} s{left}",
            flush=True,
        )
        for note in notes:
            print(f"    {note}", flush=True)

    made, failed = work_through(predict, {ref.case_id: ref for ref in own if ref.case_id not in there}, say=say)
    present = there | {case_id: summary for case_id, (summary, _) in made.items()}
    written = [present[ref.case_id] for ref in own if ref.case_id in present]
    done = written
    if parts > 1:
        done = [row for ref in refs if (row := _summary(folder, ref.case_id)) is not None]
    write_summary(done, folder)
    write_errors(failed, folder if parts == 1 else folder / f"part_{part}_of_{parts}")
    if "report" in outputs:
        write_cohort_report(done, failed, folder)
    return written, failed


def completed(predictor: PEPredictor, case_id: str, folder: Path) -> CaseSummary | None:
    """The summary of a case that is complete, with the very models and settings; None where it must be predicted.

    Args:
        predictor: That would predict it.
        case_id: The case.
        folder: Where results lie.
    """
    summary = _summary(folder, case_id)
    if summary is None:
        return None
    manifest = json.loads((folder / f"{case_id}.json").read_text(encoding="utf-8"))
    models = json.loads(json.dumps([asdict(record) for model in predictor.models for record in model.records]))
    asked = json.loads(json.dumps(predictor.settings()))
    same = manifest.get("models") == models and _lasting(manifest.get("arguments", {})) == _lasting(asked)
    return summary if same and all((folder / name).is_file() for name in manifest["files"].values()) else None


def _lasting(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in MACHINE}


def _summary(folder: Path, case_id: str) -> CaseSummary | None:
    try:
        return read_case_summary(folder / f"{case_id}.json")
    except PEError:
        return None


def _artery_mask(path: Path, case_id: str) -> sitk.Image:
    if path.is_dir():
        folder, path = path, path / f"{case_id}.nii.gz"
        if not path.is_file():
            raise InputError("PE-ROI-004", f"no artery mask {path.name} in {folder}", "name masks like the cases")
    return read_label(path)
