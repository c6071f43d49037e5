"""The table of emboli and candidates of one case as CSV, written and read back."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import SimpleITK as sitk

from pe_nnunet.burden import Burden
from pe_nnunet.errors import InputError
from pe_nnunet.files import csv_text
from pe_nnunet.fusion import Candidate
from pe_nnunet.metrics.markers import Marker
from pe_nnunet.outputs.artery import level_of
from pe_nnunet.outputs.burden_record import place_record

COLUMNS = (
    "id", "x", "y", "z", "prob", "volume_mm3", "kept", "mean_prob", "voxel_x", "voxel_y", "voxel_z",
    "artery_mm", "level", "tree_level", "side", "lobe", "obstruction_percent",
)  # fmt: skip
REQUIRED = ("id", "x", "y", "z", "prob")
TRUE_WORDS = frozenset({"1", "1.0", "true", "yes"})


def emboli_csv(
    candidates: Sequence[Candidate],
    image: sitk.Image,
    artery_mm: Mapping[int, float] | None = None,
    burden: Burden | None = None,
) -> str:
    """The table as text: one line a candidate, kept ones first.

    Args:
        candidates: Rows with voxel indices on `image`'s grid.
        image: The scan, whose geometry turns indices into positions.
        artery_mm: Diameter of the artery by id, which gives the level; empty fields where there is none.
        burden: Where emboli lie by masks of the anatomy; likewise.

    Returns:
        CSV with the columns `COLUMNS`: x, y, z in LPS mm of the most certain voxel, `kept` as 1 or 0, and that voxel's
        index counted from 0.
    """
    rows = []
    for row in candidates:
        k, j, i = row.voxel_zyx
        x, y, z = image.TransformIndexToPhysicalPoint((i, j, k))
        mm = (artery_mm or {}).get(row.id)
        place = place_record(burden, row.id)
        rows.append(
            [
                row.id,
                *(f"{v:.3f}" for v in (x, y, z)),
                f"{row.probability:.6g}",
                f"{row.volume_mm3:.3f}",
                int(row.kept),
                f"{row.mean_probability:.6g}",
                i,
                j,
                k,
                *(("", "") if mm is None else (f"{mm:.1f}", level_of(mm))),
                *("" if place[name] is None else place[name] for name in COLUMNS[-4:]),
            ]
        )
    return csv_text(COLUMNS, rows)


def read_emboli_csv(path: Path) -> list[Marker]:
    """Read a table of emboli, tolerant of what spreadsheets make of it: byte order mark, semicolons, decimal commas.

    Args:
        path: A CSV with at least the columns id, x, y, z, prob (any order, any case of letters).

    Returns:
        The rows in the file's order.

    Raises:
        InputError: PE-IN-002 if there is no such file, PE-OUT-011 if it is not such a table.
    """
    if not path.is_file():
        raise InputError("PE-IN-002", f"{path} does not exist", "give the folder that the prediction wrote")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("PE-OUT-011", f"{path} is no text in UTF-8", "save it as CSV in UTF-8") from error
    lines = text.splitlines() or [""]
    head = lines[0]
    separator = ";" if ";" in head else "\t" if "\t" in head else ","
    markers = []
    reader = csv.reader(lines, delimiter=separator)
    try:
        names = [name.strip().lower() for name in next(reader)]
        if missing := [name for name in REQUIRED if name not in names]:
            text = f"{path} lacks the columns {', '.join(missing)}"
            raise InputError("PE-OUT-011", text, f"its first line is {head!r}")
        for fields in reader:
            if not any(value.strip() for value in fields):
                continue
            row = dict(zip(names, (value.strip() for value in fields), strict=False))
            markers.append(_marker(row, decimal_comma=separator != ","))
    except (KeyError, ValueError, csv.Error) as error:
        raise InputError(
            "PE-OUT-011", f"{path} line {reader.line_num}: not a row of {', '.join(REQUIRED)}: {error}"
        ) from error
    return markers


def _marker(row: dict[str, str], *, decimal_comma: bool) -> Marker:
    def number(name: str) -> float:
        value = float(row[name].replace(",", ".") if decimal_comma else row[name])
        if not math.isfinite(value):
            raise ValueError(f"{name} is {value}")
        return value

    def share(name: str) -> float:
        value = number(name)
        if not 0 <= value <= 1:
            raise ValueError(f"{name} {value} is not between 0 and 1")
        return value

    return Marker(
        id=int(number("id")),
        position_lps_mm=(number("x"), number("y"), number("z")),
        probability=share("prob"),
        volume_mm3=number("volume_mm3") if row.get("volume_mm3") else None,
        kept=row.get("kept", "1").lower() in TRUE_WORDS,
        mean_probability=share("mean_prob") if row.get("mean_prob") else None,
    )
