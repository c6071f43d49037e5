"""Many scans, one after another: a failing one is reported and the rest go on."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pe_nnunet.cases import CaseFailure, CaseLimits, busy, sole_writer, step_bar, work_through, write_errors
from pe_nnunet.cases.engine import Engine
from pe_nnunet.cases.made_there import MadeThere
from pe_nnunet.cases.output_folder import ERRORS, OutputFolder, begun_output
from pe_nnunet.errors import Note
from pe_nnunet.files.locks import locked
from pe_nnunet.inference.channels import without_further_channels
from pe_nnunet.inference.inputs import CaseInputs, read_inputs
from pe_nnunet.inference.long_run import LongRun
from pe_nnunet.inference.predictor import PEPredictor
from pe_nnunet.inference.resume import Key, Look, done_before, index_key, summary_of, titles
from pe_nnunet.outputs import CaseSummary, write_case, write_cohort_report, write_summary
from pe_nnunet.outputs.object_output import begun_object_output
from pe_nnunet.outputs.results_index import IndexRow, ResultsIndex
from pe_nnunet.outputs.stock_files import write_stock_descriptions
from pe_nnunet.outputs.writers import DEFAULT, WRITERS
from pe_nnunet.volumes import ScanRef
from pe_nnunet.volumes.stored import remove_staged


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
    stored_at: str = "",
) -> tuple[list[CaseSummary], list[CaseFailure]]:
    """Predict every scan and write its files, then `errors.json`, and `summary.csv` or the index in its place.

    Of parts each writes its own `errors.json` into `part_<i>_of_<n>`; `summary.csv` and the index hold what all have
    completed.

    Args:
        predictor: Holds the models.
        refs: The scans, of all parts.
        folder: Where to.
        outputs: Kinds of files to write, keys of `pe_nnunet.outputs.writers.WRITERS`; where pages of cases are among
            them, there is one for all too.
        artery: Mask of the arteries to search along, or a folder with one a case.
        anatomy: Folder of masks of the anatomy (`pe_nnunet.burden.MASKS`), or with one such folder a case.
        resume: Whether to leave out what an earlier run completed: the same scans, models and settings, with files that
            are as they were written. Where there is an index, names, sizes and times of files stand for their contents.
        part: Which of the parts this run does, from 0 on.
        parts: Into how many parts the scans are divided, for as many machines.
        limits: What a case may take: each is then read in a process beside this one, while the one before is
            predicted, so that a file that crashes its reader costs its own case, and no loaded model.
        engine: What hands out the scans to workers elsewhere.
        elsewhere: The predictor that these make for themselves.
        stored_at: An address in object storage where the files go; `folder` then is empty, and gets the run's tables.

    Returns:
        The scans of this part that are there, and those that failed.

    Raises:
        OutputError: If the tables of the run cannot be written.
        ConfigurationError: PE-OUT-014 if another process predicts into the folder, or this part of it.
        MissingExtraError: PE-CLU-008 if there are so many scans that they get an index, and pyarrow is not installed.
    """
    refs = without_further_channels(refs, predictor.n_channels)
    with sole_writer(folder, None if parts == 1 else part), ExitStack() as open_until_done:
        output = begun_object_output(stored_at, folder, len(refs)) if stored_at else begun_output(folder, len(refs))
        index = open_until_done.enter_context(ResultsIndex(output)) if output.indexed else None
        own_tables = "" if parts == 1 else f"part_{part}_of_{parts}/"
        write_errors([], folder / own_tables)  # before the work: an output that cannot be written is known at once
        output.publish(own_tables + ERRORS)
        at_work: Any = predictor if elsewhere is None else elsewhere  # which is one when a worker gets it
        look = Look(output, artery, anatomy, predictor.n_channels, outputs)
        own = refs[part::parts]
        there = done_before(own, look, index, at_work, engine) if resume else {}
        written, failed = _predict_own(predictor, at_work, own, there, look, index, limits, engine)
        write_errors(failed, folder / own_tables)
        output.publish(own_tables + ERRORS)
        # parts may end together, and each reads what is there
        with locked(folder / ".summary.lock", busy(folder), wait=True):
            done = written
            if index is not None:
                index.write()
                output.renew()
                index.compact(without={failure.case_id for failure in failed})
            if parts > 1:
                done = _of_all_parts(refs, output, index)
            if "nnunet" in outputs:
                _describe_stock(predictor, done, output)
            if not output.indexed:
                write_summary(done, folder)
            if "report" in outputs:
                write_cohort_report(done, failed, output, predictor.ensemble.terms)
    return written, failed


def _of_all_parts(refs: Sequence[ScanRef], output: OutputFolder, index: ResultsIndex | None) -> list[CaseSummary]:
    """The lines of all scans that are done."""
    if index is not None:
        rows = index.rows()
        return [rows[ref.case_id].summary for ref in refs if ref.case_id in rows]
    found = (summary_of(output.of(ref.case_id), ref.case_id) for ref in refs)
    return [row for row in found if row is not None]


def _describe_stock(predictor: PEPredictor, done: Sequence[CaseSummary], output: OutputFolder) -> None:
    """Write how nnU-Net's probabilities are read, beside them."""
    first, stock = predictor.models[0], WRITERS["nnunet"].folder
    for below in sorted({output.below(row.case_id) for row in done} if output.digits else {""}):
        write_stock_descriptions(first.plans.plans, first.dataset_json, output.root / below / stock)
        names = ("plans.json", "dataset.json")
        output.publish(*(f"{below}/{stock}/{name}".lstrip("/") for name in names))


def _predict_own(
    predictor: PEPredictor,
    at_work: PEPredictor,
    own: Sequence[ScanRef],
    there: dict[str, CaseSummary],
    look: Look,
    index: ResultsIndex | None,
    limits: CaseLimits | None,
    engine: Engine | None,
) -> tuple[list[CaseSummary], list[CaseFailure]]:
    """Predict the scans of this run that are not there, and say how it goes."""
    title = titles(own)
    to_do = len(own) - len(there)
    here = None
    if engine is None:
        here = Shown(title, LongRun(predictor.models, predictor.device, predictor.inference, to_do, in_parts=True))

    def say(case_id: str, predicted: Predicted, left: str) -> None:
        summary = predicted.summary
        if index is not None and predicted.key is not None:
            index.add(IndexRow(summary, *predicted.key))
        tqdm.write(
            f"{title[case_id]}: {summary.emboli} emboli, {summary.volume_mm3 / 1000:.2f} ml, "
            f"PE score {summary.pe_score:.2f}, {summary.seconds:.1f} s{left}",
        )
        for note in predicted.notes:
            tqdm.write(f"    {note}")
        sys.stdout.flush()

    left = {ref.case_id: ref for ref in own if ref.case_id not in there}
    made, failed = work_through(
        partial(
            predict_case,
            predictor=at_work,
            look=look,
            timeout_s=None if limits is None else limits.case_timeout_s,
            here=here,
        ),
        left,
        read=partial(
            read_inputs,
            artery=look.artery,
            repairs=predictor.repairs,
            channels=look.channels,
            anatomy=look.anatomy,
        ),
        limits=limits,
        say=say,
        hidden={case: ref.hidden for case, ref in left.items()},
        bar="" if engine is None else "predict",
        engine=engine,
    )
    present = there | {case_id: predicted.summary for case_id, predicted in made.items()}
    return [present[ref.case_id] for ref in own if ref.case_id in present], failed


@dataclass(frozen=True)
class Shown:
    """How scans that are predicted in this process are called on the terminal, and how long they will take."""

    title: Mapping[str, str]
    long: LongRun


@dataclass(frozen=True)
class Predicted:
    """A scan that was predicted.

    Attributes:
        summary: Its line in the summary.
        notes: But for those of all scans.
        key: What the index says of its inputs, models and kinds of files, where there is one.
    """

    summary: CaseSummary
    notes: tuple[Note, ...]
    key: Key | None


def predict_case(
    case: CaseInputs,
    *,
    predictor: PEPredictor,
    look: Look,
    timeout_s: float | None = None,
    here: Shown | None = None,
) -> Predicted:
    """Predict one scan and write its files.

    Args:
        case: As it was read.
        predictor: Holds the models.
        look: Where to, and what.
        timeout_s: After which it is given up.
        here: How it is shown; as the case is called, if None.

    Raises:
        PEError: If it cannot be predicted, or its files not be written.
    """
    case_id = case.scan.case_id
    title, foreseen = (case_id, None) if here is None else (here.title[case_id], here.long.next_scan())
    try:
        with step_bar(title, "window", timeout_s, foreseen) as show:
            result = predictor.predict(
                case.scan,
                artery=case.artery,
                anatomy=case.anatomy,
                further=case.further,
                progress=lambda part, done, all_, share: show(done, all_, part, share),
            )
        result = replace(result, timings_s={**result.timings_s, "read": case.seconds}, inputs_sha256=case.sha256)
        with look.output.writing(case_id) as folder:
            summary = write_case(result, folder, look.kinds)
    finally:
        remove_staged(case.staged)
    notes = tuple(note for note in result.notes if note not in predictor.notes)  # told once, for all scans
    return Predicted(summary, notes, index_key(look, predictor, case.stamp))
