"""Tables as text, read and written: scored cases, whose the cases are, and markers as other tools have them."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import SimpleITK as sitk

from pe_nnunet.errors import InputError
from pe_nnunet.files import csv_text, csv_value
from pe_nnunet.files.json_reader import MALFORMED, read_object, why
from pe_nnunet.metrics.case_scores import CaseScores
from pe_nnunet.metrics.definitions import METRICS, OF_CASE
from pe_nnunet.metrics.markers import VoxelMarker
from pe_nnunet.volumes.find import clean

CAD_PE_COLUMNS = "Scan X Y Z Confidence"


def cases_csv(cases: Sequence[CaseScores]) -> str:
    """`cases.csv`: one line a case; empty where a number is not defined."""
    rows = []
    for case in cases:
        values = [case[name] for name in OF_CASE]
        row = [f"{value:.6g}" if isinstance(value, float) else value for value in values]
        rows.append([case.case_id, case.patient, *row])
    return csv_text(["case", "patient", *OF_CASE], rows)


def read_cases(folder: Path) -> list[CaseScores]:
    """Read the `cases.csv` that `pe-nnunet evaluate` wrote, by case id.

    Raises:
        InputError: PE-IN-002 if there is none, PE-EVAL-008 if it is not such a table.
    """
    path = folder / "cases.csv"
    _require(path, "give the folder that `pe-nnunet evaluate -o` wrote")

    def value(name: str, text: str) -> float | None:
        if METRICS[name].digits == 0:
            return int(text)
        return float(text) if text else None

    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            cases = [
                CaseScores(csv_value(r["case"]), {n: value(n, r[n]) for n in OF_CASE}, csv_value(r["patient"]))
                for r in rows
            ]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError("PE-EVAL-008", f"{path} is no table of scored cases: {error}", "evaluate again") from error
    return sorted(cases, key=lambda case: case.case_id)


def read_groups(path: Path, column: str) -> dict[str, str]:
    """Read the subgroup of each case from a CSV with a column `case` and others.

    Args:
        path: A CSV in UTF-8.
        column: Whose values name the subgroups.

    Returns:
        case id, cleaned as results are named -> subgroup; cases with an empty field are in none.

    Raises:
        InputError: PE-IN-002 if there is no such file, PE-EVAL-007 if it is no CSV in UTF-8, lacks `case` or the
            column, or gives a case several values.
    """
    _require(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns, lines = reader.fieldnames or (), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError("PE-EVAL-007", f"{path} cannot be read: {error}", "save it as CSV in UTF-8") from error
    missing = [name for name in ("case", column) if name not in columns]
    if missing:
        raise InputError(
            "PE-EVAL-007",
            f"{path} has no column {', '.join(missing)}",
            f"it has {', '.join(columns)}",
        )
    rows = [(csv_value(row["case"] or ""), csv_value((row[column] or "").strip())) for row in lines]
    return _by_case(((case, group) for case, group in rows if case.strip() and group), path, column)


def read_patients(path: Path) -> dict[str, str]:
    """Read whose each case is.

    Args:
        path: A CSV with the columns `case` and `patient`, or the `cases.json` of a converted dataset.

    Returns:
        case id, cleaned as results are named -> patient.

    Raises:
        InputError: PE-IN-002 if there is no such file, PE-EVAL-007 if it does not say, or names two patients of a case.
    """
    if path.suffix != ".json":
        return read_groups(path, "patient")
    _require(path)
    try:
        rows = [(case, str(record["patient"])) for case, record in read_object(path)["cases"].items()]
    except MALFORMED as error:
        raise InputError(
            "PE-EVAL-007", f"{path} names no patients: {why(error)}", "give the cases.json of convert"
        ) from error
    return _by_case(rows, path, "patient")


def _by_case(rows: Iterable[tuple[str, str]], path: Path, column: str) -> dict[str, str]:
    """Values by case; several lines may name a case, with the same value."""
    found: dict[str, str] = {}
    for name, value in rows:
        case = clean(name)
        if found.setdefault(case, value) != value:
            text = f"{path} gives case {case} several values of {column}"
            raise InputError("PE-EVAL-007", text, "leave one line a case; names count as results are named")
    return found


def read_cad_pe(path: Path) -> dict[str, tuple[VoxelMarker, ...]]:
    """Read a submission to the CAD-PE challenge: `Scan X Y Z Confidence`, a line a marker, voxels counted from 0.

    A first line of these names, empty lines, and commas or tabs instead of spaces are accepted; a marker without a
    confidence, which the challenge allows, gets 1.

    Args:
        path: A text file.

    Returns:
        scan -> its markers, in the file's order.

    Raises:
        InputError: PE-IN-002 if there is no such file, PE-EVAL-006 if it is not such a table.
    """
    _require(path)
    scans: dict[str, list[VoxelMarker]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        fields = line.replace(",", " ").split()
        if not fields or (number == 1 and fields[0].lower() == "scan"):
            continue
        try:
            scan, x, y, z, *rest = fields
            (confidence,) = map(float, rest or ["1"])
            voxel = round(float(z)), round(float(y)), round(float(x))
        except (ValueError, OverflowError) as error:
            raise InputError(
                "PE-EVAL-006", f"{path} line {number}: {line.strip()!r}, expected {CAD_PE_COLUMNS}: {error}"
            ) from error
        if not math.isfinite(confidence):
            raise InputError("PE-EVAL-006", f"{path} line {number}: the confidence is {confidence}")
        scans.setdefault(scan, []).append(VoxelMarker(voxel, confidence))
    return {scan: tuple(markers) for scan, markers in scans.items()}


def cad_pe_text(scans: Mapping[str, Sequence[VoxelMarker]]) -> str:
    r"""Markers in the challenge's format.

    Example:
        >>> cad_pe_text({"021": [VoxelMarker((30, 20, 10), 0.75)]})
        '021 10 20 30 0.75\n'
    """
    return "".join(
        "{} {} {} {} {:.7g}\n".format(scan, *reversed(marker.voxel_zyx), marker.probability)
        for scan, markers in scans.items()
        for marker in markers
    )


def aanet_csv(markers: Sequence[VoxelMarker], grid: sitk.Image) -> str:
    """Markers as AANet's own evaluation reads them: `id,x,y,z,prob`, ids from 1 on without a gap, x, y, z in LPS mm.

    `pe_nnunet.outputs.emboli_table.read_emboli_csv` reads them.
    """
    lines = ["id,x,y,z,prob"]
    for number, marker in enumerate(markers, 1):
        k, j, i = marker.voxel_zyx
        x, y, z = grid.TransformIndexToPhysicalPoint((i, j, k))
        lines.append(f"{number},{x:.4f},{y:.4f},{z:.4f},{marker.probability:.7g}")
    return "\n".join(lines) + "\n"


def _require(path: Path, hint: str = "check the path") -> None:
    if not path.is_file():
        raise InputError("PE-IN-002", f"{path} does not exist", hint)
