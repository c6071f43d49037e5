"""Many scans, one after another: a failing one is reported and the rest go on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pe_nnunet.cases import CaseFailure, CaseLimits, busy, run_cases, sole_writer, step_bar, work_through, write_errors
from pe_nnunet.cases.engine import Engine
from pe_nnunet.cases.made_there import MadeThere
from pe_nnunet.errors import Note, PEError
from pe_nnunet.files.json_reader import MALFORMED, read_object
from pe_nnunet.files.locks import locked
from pe_nnunet.inference.channels import without_further_channels
from pe_nnunet.inference.inputs import CaseInputs, inputs_sha256, read_inputs
from pe_nnunet.inference.long_run import LongRun
from pe_nnunet.inference.predictor import PEPredictor
from pe_nnunet.outputs import CaseSummary, read_case_summary, write_case, write_cohort_report, write_summary
from pe_nnunet.outputs.stock_files import write_stock_descriptions
from pe_nnunet.outputs.writers import DEFAULT, WRITERS
from pe_nnunet.volumes import ScanRef
from pe_nnunet.volumes.files.volume_file import file_sha256

MACHINE = ("device", "threads")  # arguments that say where a case was computed, not how


def predict_batch(
    predictor: PEPredictor,
    refs: Sequence[ScanRef],
    folder: Path,
    *,
    outputs: frozenset[str] = DEFAULT,
    artery: Path | None = None,
    anatomy: Path | None = None,
    resume: bool = False,
    part: int = 0,
    parts: int = 1,
    limits: CaseLimits | None = None,
    engine: Engine | None = None,
    elsewhere: MadeThere | None = None,
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
        anatomy: Folder of masks of the anatomy (`pe_nnunet.burden.MASKS`), or with one such folder a case.
        resume: Whether to leave out what an earlier run completed: the same scans, models and settings, with files that
            are as they were written.
        part: Which of the parts this run does, from 0 on.
        parts: Into how many parts the scans are divided, for as many machines.
        limits: What a case may take: each is then read in a process beside this one, while the one before is
            predicted, so that a file that crashes its reader costs its own case, and no loaded model.
        engine: What hands out the scans to workers elsewhere.
        elsewhere: The predictor that these make for themselves.

    Returns:
        The scans of this part that are there, and those that failed.

    Raises:
        OutputError: If the tables of the run cannot be written.
        ConfigurationError: PE-OUT-014 if another process predicts into the folder, or this part of it.
    """
    refs = without_further_channels(refs, predictor.n_channels)
    with sole_writer(folder, None if parts == 1 else part):
        tables = folder if parts == 1 else folder / f"part_{part}_of_{parts}"
        write_errors([], tables)  # before the work: an output that cannot be written is known at once
        at_work: Any = predictor if elsewhere is None else elsewhere  # which is one when a worker gets it
        own = refs[part::parts]
        written, failed = _predict_own(
            predictor, at_work, own, folder, outputs, (artery, anatomy), resume, limits, engine
        )
        write_errors(failed, tables)
        # parts may end together, and each reads what is there
        with locked(folder / ".summary.lock", busy(folder), wait=True):
            done = written
            if parts > 1:
                done = [row for ref in refs if (row := _summary(folder, ref.case_id)) is not None]
            if "nnunet" in outputs:
                first = predictor.models[0]
                write_stock_descriptions(first.plans.plans, first.dataset_json, folder / WRITERS["nnunet"].folder)
            write_summary(done, folder)
            if "report" in outputs:
                write_cohort_report(done, failed, folder, predictor.ensemble.terms)
    return written, failed


def _predict_own(
    predictor: PEPredictor,
    at_work: PEPredictor,
    own: Sequence[ScanRef],
    folder: Path,
    outputs: frozenset[str],
    masks: tuple[Path | None, Path | None],
    resume: bool,
    limits: CaseLimits | None,
    engine: Engine | None,
) -> tuple[list[CaseSummary], list[CaseFailure]]:
    """Predict the scans of this run, and say how it goes; `masks` are of the arteries and of the anatomy."""
    artery, anatomy = masks
    title = {ref.case_id: f"[{number}/{len(own)}] {ref.case_id}" for number, ref in enumerate(own, 1)}
    there: dict[str, CaseSummary] = {}
    check = partial(_look, predictor=at_work, folder=folder, artery=artery, anatomy=anatomy, outputs=outputs)
    for case_id, found in run_cases(check, {ref.case_id: ref for ref in own if resume}, engine=engine):
        known, changed = (None, found.message) if isinstance(found, CaseFailure) else found
        if known is not None:
            there[case_id] = known
        if known is not None or changed:
            print(f"{title[case_id]}: {f'again: {changed}' if changed else 'there already'}", flush=True)

    to_do = len(own) - len(there)
    here = None
    if engine is None:
        here = Shown(title, LongRun(predictor.models, predictor.device, predictor.inference, to_do, in_parts=True))

    def say(case_id: str, predicted: tuple[CaseSummary, tuple[Note, ...]], left: str) -> None:
        summary, notes = predicted
        tqdm.write(
            f"{title[case_id]}: {summary.emboli} emboli, {summary.volume_mm3 / 1000:.2f} ml, "
            f"PE score {summary.pe_score:.2f}, {summary.seconds:.1f} s{left}",
        )
        for note in notes:
            tqdm.write(f"    {note}")
        sys.stdout.flush()

    left = {ref.case_id: ref for ref in own if ref.case_id not in there}
    timeout_s = None if limits is None else limits.case_timeout_s
    made, failed = work_through(
        partial(predict_case, predictor=at_work, folder=folder, outputs=outputs, timeout_s=timeout_s, here=here),
        left,
        read=partial(
            read_inputs, artery=artery, repairs=predictor.repairs, channels=predictor.n_channels, anatomy=anatomy
        ),
        limits=limits,
        say=say,
        hidden={case: ref.hidden for case, ref in left.items()},
        bar="" if engine is None else "predict",
        engine=engine,
    )
    present = there | {case_id: summary for case_id, (summary, _) in made.items()}
    return [present[ref.case_id] for ref in own if ref.case_id in present], failed


@dataclass(frozen=True)
class Shown:
    """How scans that are predicted in this process are called on the terminal, and how long they will take."""

    title: Mapping[str, str]
    long: LongRun


def predict_case(
    case: CaseInputs,
    *,
    predictor: PEPredictor,
    folder: Path,
    outputs: frozenset[str],
    timeout_s: float | None = None,
    here: Shown | None = None,
) -> tuple[CaseSummary, tuple[Note, ...]]:
    """Predict one scan and write its files.

    Args:
        case: As it was read.
        predictor: Holds the models.
        folder: Where to.
        outputs: Kinds of files.
        timeout_s: After which it is given up.
        here: How it is shown; as the case is called, if None.

    Returns:
        Its line in the summary, and its notes but for those of all scans.

    Raises:
        PEError: If it cannot be predicted, or its files not be written.
    """
    case_id = case.scan.case_id
    title, foreseen = (case_id, None) if here is None else (here.title[case_id], here.long.next_scan())
    with step_bar(title, "window", timeout_s, foreseen) as show:
        result = predictor.predict(
            case.scan,
            artery=case.artery,
            anatomy=case.anatomy,
            further=case.further,
            progress=lambda part, done, all_, share: show(done, all_, part, share),
        )
    result = replace(result, timings_s={**result.timings_s, "read": case.seconds}, inputs_sha256=case.sha256)
    summary = write_case(result, folder, outputs)
    return summary, tuple(note for note in result.notes if note not in predictor.notes)  # told once, for all scans


def _look(
    ref: ScanRef,
    *,
    predictor: PEPredictor,
    folder: Path,
    artery: Path | None,
    anatomy: Path | None,
    outputs: Collection[str],
) -> tuple[CaseSummary | None, str]:
    """See `completed`."""
    inputs = inputs_sha256(ref, artery, predictor.n_channels, anatomy)
    return completed(predictor, ref.case_id, folder, inputs, outputs)


def completed(
    predictor: PEPredictor, case_id: str, folder: Path, inputs: Mapping[str, str], outputs: Collection[str]
) -> tuple[CaseSummary | None, str]:
    """The summary of a case that need not be predicted again; else None, and what differs from what is asked for now.

    Args:
        predictor: That would predict it.
        case_id: The case.
        folder: Where results lie.
        inputs: Of `inputs_sha256`.
        outputs: Kinds of files that are asked for.

    Returns:
        The summary, or None; and why an earlier result does not count, empty where there is none.
    """
    path = folder / f"{case_id}.json"
    if not path.is_file():
        return None, ""
    summary = _summary(folder, case_id)
    manifest = {} if summary is None else read_object(path)
    models = json.loads(json.dumps([asdict(record) for record in predictor.ensemble.records]))
    asked = json.loads(json.dumps(predictor.settings()))
    checks: dict[str, Callable[[], bool]] = {
        "its manifest cannot be read": lambda: summary is not None and summary.case_id == case_id,
        "the scan or mask has changed": lambda: all(inputs.values()) and manifest.get("inputs_sha256") == inputs,
        "it was made by other models": lambda: manifest.get("models") == models,
        "it was made with other settings": lambda: _lasting(manifest.get("arguments", {})) == _lasting(asked),
        "further files are asked for": lambda: set(outputs) <= set(manifest.get("asked_for", ())),
        "its files are not as they were written": lambda: _unchanged(manifest, folder),
    }
    for what, holds in checks.items():
        try:
            same = holds()
        except MALFORMED:  # a manifest of another layout
            same = False
        if not same:
            return None, what
    return summary, ""


def _unchanged(manifest: Mapping[str, Any], folder: Path) -> bool:
    """Whether the files of a case are there with the hashes that its manifest says."""
    hashes = manifest.get("files_sha256", {})
    try:
        return all(file_sha256(folder / name) == hashes.get(kind) for kind, name in manifest["files"].items())
    except OSError:
        return False


def _lasting(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in MACHINE}


def _summary(folder: Path, case_id: str) -> CaseSummary | None:
    try:
        return read_case_summary(folder / f"{case_id}.json")
    except PEError:
        return None
