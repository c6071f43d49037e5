"""What an earlier run has done, and need not be done again."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pe_nnunet.cases import CaseFailure, run_cases
from pe_nnunet.cases.output_folder import OutputFolder
from pe_nnunet.errors import PEError
from pe_nnunet.files import text_sha256
from pe_nnunet.files.json_reader import MALFORMED, read_object
from pe_nnunet.inference.inputs import inputs_sha256, inputs_stamp
from pe_nnunet.outputs import CaseSummary, read_case_summary
from pe_nnunet.outputs.results_index import IndexRow, ResultsIndex
from pe_nnunet.volumes import ScanRef
from pe_nnunet.volumes.files.volume_file import file_sha256
from pe_nnunet.volumes.stored import remove_staged, staged

if TYPE_CHECKING:
    from pe_nnunet.cases.engine import Engine
    from pe_nnunet.inference.predictor import PEPredictor

Key = tuple[str, str, str]  # inputs, models and settings, kinds of files

MACHINE = ("device", "threads")  # arguments that say where a case was computed, not how


@dataclass(frozen=True)
class Look:
    """What is compared for every case.

    Attributes:
        output: Where results lie.
        artery: As in `predict_batch`.
        anatomy: As in `predict_batch`.
        channels: That the models need.
        kinds: Of files that are asked for.
    """

    output: OutputFolder
    artery: Path | None
    anatomy: Path | None
    channels: int
    kinds: frozenset[str]

    def indexed(
        self, refs: Iterable[ScanRef], rows: Mapping[str, IndexRow], manifests: Collection[str], made_by: str
    ) -> dict[str, CaseSummary]:
        """The scans whose rows in the index say that nothing has changed, with a manifest that is there.

        No file is opened: scans and masks count as unchanged by their names, sizes and times, results as written.

        Args:
            refs: The scans.
            rows: Of the index.
            manifests: Paths of those that are there.
            made_by: Of `made_by`.
        """
        found = {}
        for ref in refs:
            row = rows.get(ref.case_id)
            if row is None or row.made_by != made_by or not self.kinds <= {*row.kinds.split()}:
                continue
            stamp = inputs_stamp(ref, self.artery, self.channels, self.anatomy)
            if stamp and row.inputs == stamp and self.output.manifest(ref.case_id) in manifests:
                found[ref.case_id] = row.summary
        return found

    def at(self, ref: ScanRef, predictor: PEPredictor) -> tuple[CaseSummary | None, str, str]:
        """The summary of a scan that need not be predicted again, what differs else, and the stamp of its files."""
        stamp = inputs_stamp(ref, self.artery, self.channels, self.anatomy)
        with self.output.reading(ref.case_id) as folder:
            if not (folder / f"{ref.case_id}.json").is_file():
                return None, "", ""
            with staged(ref) as (here, temporary):
                inputs = inputs_sha256(here, self.artery, self.channels, self.anatomy)
                remove_staged(temporary)
            return *completed(predictor, ref.case_id, folder, inputs, self.kinds), stamp


def done_before(
    own: Sequence[ScanRef], look: Look, index: ResultsIndex | None, at_work: Any, engine: Engine | None
) -> dict[str, CaseSummary]:
    """The scans that need not be predicted again, by the index where it knows them, else by their files.

    Args:
        own: The scans.
        look: What is compared.
        index: Of the results, where there is one; it gets the rows that it lacks.
        at_work: The predictor, or what becomes one where a worker gets it.
        engine: What hands out cases to workers elsewhere.
    """
    there: dict[str, CaseSummary] = {}
    unsure = {ref.case_id: ref for ref in own}
    if index is not None:
        manifests = look.output.manifests()
        unsure = {case: ref for case, ref in unsure.items() if look.output.manifest(case) in manifests}
        if rows := index.rows():
            # asked of a worker, which may compute otherwise than this process
            ((_, hashed),) = run_cases(made_by, {"models": at_work}, engine=engine)
            there = look.indexed(unsure.values(), rows, manifests, "" if isinstance(hashed, CaseFailure) else hashed)
            print(f"{len(there)} of {len(own)} scans are there already, by the index", flush=True)
        unsure = {case: ref for case, ref in unsure.items() if case not in there}
    title = titles(own)
    for case_id, found in run_cases(partial(_look, look=look, predictor=at_work), unsure, engine=engine):
        known, changed, key = (None, found.message, None) if isinstance(found, CaseFailure) else found
        if known is not None:
            there[case_id] = known
            if index is not None and key is not None:
                index.add(IndexRow(known, *key))
        if known is not None or changed:
            print(f"{title[case_id]}: {f'again: {changed}' if changed else 'there already'}", flush=True)
    return there


def titles(own: Sequence[ScanRef]) -> dict[str, str]:
    """What scans are called on the terminal."""
    return {ref.case_id: f"[{number}/{len(own)}] {ref.case_id}" for number, ref in enumerate(own, 1)}


def _look(ref: ScanRef, *, look: Look, predictor: PEPredictor) -> tuple[CaseSummary | None, str, Key | None]:
    """See `Look.at`; with what the index says of the case."""
    summary, changed, stamp = look.at(ref, predictor)
    return summary, changed, None if summary is None else index_key(look, predictor, stamp)


def index_key(look: Look, predictor: PEPredictor, stamp: str) -> Key | None:
    """Inputs, models and kinds of files of a case, as the index has them."""
    return (stamp, made_by(predictor), " ".join(sorted(look.kinds))) if look.output.indexed else None


def made_by(predictor: PEPredictor) -> str:
    """A hash of the models and settings, but for what says where a case is computed."""
    models = [asdict(record) for record in predictor.ensemble.records]
    return text_sha256(json.dumps([models, _lasting(predictor.settings())], sort_keys=True, default=str))


def completed(
    predictor: PEPredictor, case_id: str, folder: Path, inputs: Mapping[str, str], outputs: Collection[str]
) -> tuple[CaseSummary | None, str]:
    """The summary of a case that need not be predicted again; else None, and what differs from what is asked for now.

    Args:
        predictor: That would predict it.
        case_id: The case.
        folder: Where its results lie.
        inputs: Of `inputs_sha256`.
        outputs: Kinds of files that are asked for.

    Returns:
        The summary, or None; and why an earlier result does not count, empty where there is none.
    """
    path = folder / f"{case_id}.json"
    if not path.is_file():
        return None, ""
    summary = summary_of(folder, case_id)
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


def summary_of(folder: Path, case_id: str) -> CaseSummary | None:
    """The line of a case whose files lie in a folder; None where its manifest is not there, or cannot be read."""
    try:
        return read_case_summary(folder / f"{case_id}.json")
    except PEError:
        return None
