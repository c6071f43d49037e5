"""What an earlier run has done, and need not be done again."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pe_nnunet.cases.output_folder import OutputFolder
from pe_nnunet.errors import PEError
from pe_nnunet.files import text_sha256
from pe_nnunet.files.json_reader import MALFORMED, read_object
from pe_nnunet.inference.inputs import inputs_sha256, inputs_stamp
from pe_nnunet.inference.predictor import PEPredictor
from pe_nnunet.outputs import CaseSummary, read_case_summary
from pe_nnunet.outputs.results_index import IndexRow
from pe_nnunet.volumes import ScanRef
from pe_nnunet.volumes.files.volume_file import file_sha256
from pe_nnunet.volumes.stored import remove_staged, staged

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
        self, refs: Iterable[ScanRef], rows: Mapping[str, IndexRow], names: Collection[str], made_by: str
    ) -> dict[str, CaseSummary]:
        """The scans whose rows in the index say that nothing has changed, with a manifest that is there.

        No file is opened: scans and masks count as unchanged by their names, sizes and times, results as written.

        Args:
            refs: The scans.
            rows: Of the index.
            names: Of the files of cases that are there.
            made_by: Of `made_by`.
        """
        found = {}
        for ref in refs:
            row = rows.get(ref.case_id)
            if row is None or row.made_by != made_by or not self.kinds <= {*row.kinds.split()}:
                continue
            stamp = inputs_stamp(ref, self.artery, self.channels, self.anatomy)
            if stamp and row.inputs == stamp and manifest_name(self.output, ref.case_id) in names:
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


def manifest_name(output: OutputFolder, case_id: str) -> str:
    """The path of the manifest of a case, from the folder of the results."""
    return f"{output.below(case_id)}/{case_id}.json" if output.digits else f"{case_id}.json"


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
