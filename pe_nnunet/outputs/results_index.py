"""What a folder of many results holds, one row a case: `index/part-*.parquet`, for pandas, DuckDB, and `--resume`.

Rows are appended in files of their own, each whole or not there. It is no more than an index: a case is done where its
manifest is, and one whose row was lost with the process that should write it gets one when its manifest is read again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

from pe_nnunet.cases.output_folder import OutputFolder
from pe_nnunet.errors import MissingExtraError
from pe_nnunet.files import atomic_path
from pe_nnunet.outputs.cohort_files import CaseSummary

INDEX = "index"
ROWS, SECONDS = 1000, 60.0  # after which a file is written


@dataclass(frozen=True)
class IndexRow:
    """One case.

    Attributes:
        summary: Its line.
        inputs: Hash of names, sizes and times of the files that it was made of.
        made_by: Hash of the models and settings that it was made by.
        kinds: Of files that were asked for, one after another with spaces between.
    """

    summary: CaseSummary
    inputs: str
    made_by: str
    kinds: str


class ResultsIndex:
    """Of one folder, for a `with` block that ends with all rows written.

    Args:
        output: The folder.

    Raises:
        MissingExtraError: PE-CLU-008 if pyarrow is not installed.
    """

    def __init__(self, output: OutputFolder) -> None:
        try:
            self._arrow, self._parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
        except ImportError as error:
            raise MissingExtraError(
                "PE-CLU-008",
                "so many results are listed in Parquet, and pyarrow is not installed",
                "pip install pyarrow",
            ) from error
        self._output, self._folder = output, output.root / INDEX
        self._rows: list[dict[str, Any]] = []
        self._written_at = time.monotonic()

    def __enter__(self) -> ResultsIndex:
        """Itself."""
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Write what is left."""
        self.write()

    def add(self, row: IndexRow) -> None:
        """A case is done; an older row of it no longer counts.

        Raises:
            OutputError: PE-OUT-001 if the index cannot be written.
        """
        summary = row.summary
        self._rows.append(
            {
                "case": summary.case_id,
                "folder": self._output.below(summary.case_id),
                "pe_score": summary.pe_score,
                "emboli": summary.emboli,
                "volume_mm3": summary.volume_mm3,
                "seconds": summary.seconds,
                "notes": list(summary.notes),
                "inputs": row.inputs,
                "made_by": row.made_by,
                "kinds": row.kinds,
                "indexed_at": time.time_ns() // 1000,
            }
        )
        if len(self._rows) >= ROWS or time.monotonic() > self._written_at + SECONDS:
            self.write()

    def write(self) -> None:
        """Write the rows that were added since the last time, as a file of their own."""
        if self._rows:
            self._write(self._arrow.Table.from_pylist(self._rows, schema=self._schema()))
        self._rows, self._written_at = [], time.monotonic()

    def rows(self) -> dict[str, IndexRow]:
        """The rows that count, by case; not those that are still to be written."""
        table, _ = self._read()
        columns = [table[name].to_pylist() for name in self._schema().names]
        return {
            case: IndexRow(CaseSummary(case, score, emboli, mm3, seconds, tuple(notes)), inputs, made_by, kinds)
            for case, _, score, emboli, mm3, seconds, notes, inputs, made_by, kinds, _ in zip(*columns, strict=True)
        }

    def compact(self, without: Collection[str] = ()) -> None:
        """Make one file of all: one row a case, the latest, and none of the cases named, which have no result.

        Files that another process writes meanwhile stay as they are.
        """
        table, files = self._read()
        rows = table.num_rows
        if without:
            compute = import_module("pyarrow.compute")
            gone = self._arrow.array(sorted(without), type=self._arrow.string())
            table = table.filter(compute.invert(compute.is_in(table["case"], value_set=gone)))
        if len(files) > 1 or table.num_rows < rows:
            self._write(table)
            for file in files:
                file.unlink(missing_ok=True)
            self._output.publish(*(f"{INDEX}/{file.name}" for file in files))

    def _read(self) -> tuple[Any, list[Path]]:
        """The latest row of each case, by the time of writing, and the files that were read."""
        files, tables = [], [self._schema().empty_table()]
        for file in sorted(self._folder.glob("part-*.parquet")):
            try:
                tables.append(self._parquet.read_table(file, schema=self._schema(), partitioning=None))
            except FileNotFoundError:  # another process has made one file of all
                return self._read()
            except (OSError, ValueError) as error:  # pyarrow's are ValueErrors
                text = " ".join(str(error).split())[:200]
                print(f"PE-OUT-018 warning: {file} cannot be read, and is left out: {text}", file=sys.stderr)
                continue
            files.append(file)
        table = self._arrow.concat_tables(tables)
        if len(files) > 1:
            table = table.append_column("at", self._arrow.array(range(table.num_rows), type=self._arrow.int64()))
            table = table.sort_by([("case", "ascending"), ("indexed_at", "ascending"), ("at", "ascending")])
            cases = table["case"].combine_chunks()
            compute = import_module("pyarrow.compute")
            last = compute.not_equal(cases[:-1], cases[1:]) if len(cases) > 1 else self._arrow.array([], "bool")
            mask = self._arrow.concat_arrays([last, self._arrow.array([True] * min(1, len(cases)), "bool")])
            table = table.filter(mask).drop_columns("at")
        return table, files

    def _write(self, table: Any) -> None:
        path = self._folder / f"part-{time.time_ns():020d}.parquet"
        with atomic_path(path) as temporary:
            self._parquet.write_table(table, temporary, compression="zstd")
        self._output.publish(f"{INDEX}/{path.name}")

    def _schema(self) -> Any:
        arrow = self._arrow
        return arrow.schema(
            [
                ("case", arrow.string()),
                ("folder", arrow.string()),
                ("pe_score", arrow.float64()),
                ("emboli", arrow.int32()),
                ("volume_mm3", arrow.float64()),
                ("seconds", arrow.float64()),
                ("notes", arrow.list_(arrow.string())),
                ("inputs", arrow.string()),
                ("made_by", arrow.string()),
                ("kinds", arrow.string()),
                ("indexed_at", arrow.timestamp("us", tz="UTC")),
            ]
        )
