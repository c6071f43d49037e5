"""A scan, a trained model, and what it finds: the table of emboli, the picture and the page, in two minutes."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from pathlib import Path

import SimpleITK as sitk

from pe_nnunet.cases.output_folder import OutputFolder, output_folder
from pe_nnunet.dataset.dataset_json import notice_of, read_dataset_json
from pe_nnunet.demo.chain import alone
from pe_nnunet.demo.command import Step, StepRunner
from pe_nnunet.demo.methods import score
from pe_nnunet.demo.watchers import everything
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.files.json_reader import MALFORMED, why
from pe_nnunet.inference.named_models import find_model
from pe_nnunet.outputs.cohort_files import SUMMARY
from pe_nnunet.outputs.results_index import ResultsIndex
from pe_nnunet.volumes import read_label, spacing_zyx

PHANTOM = ("--cases", "1", "--seed", "5", "--spacing", "2", "--negatives", "0", "--min-embolus-mm3", "300")
CASE = "phantom_001"


def run_quick(out: Path, model: str, scan: Path | None = None, device: str = "cpu") -> str:
    """Predict a scan, and say what was found.

    Args:
        out: Everything is written below.
        model: Name or folder of a trained model, as `-m` takes them.
        scan: A scan, or a folder of scans; None for a phantom.
        device: Where the network runs.

    Returns:
        For people: the emboli of each scan, the picture and the page, and what has to be known of the model.

    Raises:
        PEError: If there is no such model or scan, or a step fails.
    """
    folder = find_model(model)
    out = out.resolve() / "quick"
    (out / "steps").mkdir(parents=True, exist_ok=True)
    name, scans = ("phantom", out / "scans") if scan is None else ("own", scan.resolve())
    predictions = out / f"predictions_{name}"
    steps = [] if scan is not None else [_phantom(scans)]
    given = scans / CASE / "ct.nii.gz" if scan is None else scans
    with alone(out / "steps") as inherited:
        runner = StepRunner(out / "steps", {"PYTHONUNBUFFERED": "1"}, len(steps) + 1, inherited)
        for step in (*steps, _predict(given, predictions, folder, device)):
            runner.run(step)
        written = output_folder(predictions)
        cases = _cases(written)
        lines = [line for case in cases for line in _case_lines(written.of(case), case)]
        if scan is None:
            lines.append(_against_truth(predictions, cases[0], scans / CASE / "emboli.nii.gz"))
            lines.append("A synthetic scan: no clinical result.")
    notice = notice_of(read_dataset_json(folder))
    lines += [f"Notice of the model: {notice}"] if notice else []
    seconds = sum(runner.seconds.values())
    return "\n".join([*lines, f"took {seconds:.0f} s: {_by_step(runner.seconds)}"])


def _phantom(scans: Path) -> Step:
    return Step(
        "a phantom scan",
        ("pe-nnunet", "phantom", str(scans), *PHANTOM),
        (scans / "phantom.json", scans / CASE),
        everything,
    )


def _predict(scan: Path, out: Path, model: Path, device: str) -> Step:
    return Step(
        "find emboli",
        ("pe-nnunet-predict-fused", "-i", str(scan), "-o", str(out), "-m", str(model), "--fast", "-device", device),
        (out,),
        everything,
        reads=(scan, model),
    )


def _cases(written: OutputFolder) -> list[str]:
    if written.indexed:  # there are many
        return sorted(ResultsIndex(written).rows())
    return _rows(written.root / SUMMARY, itemgetter("case"))


def _rows(path: Path, shown: Callable[[dict[str, str]], str]) -> list[str]:
    """What is shown of each row of a table that a step wrote."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [shown(row) for row in csv.DictReader(file)]
    except (*MALFORMED, csv.Error) as error:
        reason = why(error) if isinstance(error, MALFORMED) else error
        hint = f"remove {path.parent}, and run it again"
        raise ConfigurationError("PE-DEMO-001", f"{path} cannot be read: {reason}", hint) from error


def _case_lines(predictions: Path, case: str) -> Iterator[str]:
    kept = [line for line in _rows(predictions / f"{case}_emboli.csv", _row) if line]
    yield ""
    yield f"{case}: {len(kept)} emboli" if kept else f"{case}: no embolus"
    if kept:
        yield f"{'id':>4}  {'x, y, z in LPS mm':>26}  {'mm3':>8}  {'probability':>11}  level"
    yield from kept
    yield f"picture: {predictions / f'{case}.png'}"
    yield f"page: {predictions / f'{case}_report.html'}"


def _row(row: Mapping[str, str]) -> str:
    """A kept embolus; nothing of a candidate that was not."""
    if row["kept"] != "1":
        return ""
    place = ", ".join(f"{float(row[axis]):.1f}" for axis in "xyz")
    return f"{row['id']:>4}  {place:>26}  {float(row['volume_mm3']):>8.0f}  {float(row['prob']):>11.2f}  {row['level']}"


def _against_truth(predictions: Path, case: str, label: Path) -> str:
    truth = read_label(label)
    found = read_label(predictions / f"{case}.nii.gz")
    scored = score(case, sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(truth), spacing_zyx(truth))
    return f"truth: {scored.found} of {scored.emboli} emboli found, {scored.false_positives} false"


def _by_step(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{title} {value:.0f} s" for title, value in seconds.items())
