"""Runs every benchmark, each in a process of its own, and writes results as JSON and as the table of a page.

    .venv/bin/python benchmarks/run.py [--quick] [--only NAME ...]        or: make bench

A benchmark is a file in this folder with a function `bench(*, quick: bool)` that returns rows: dictionaries of the
fields of `Row` below, so that nothing has to be imported for it. Its first docstring line says what it measures.
`--quick` asks for small data: the whole then takes less than five minutes, and the ratios are rough. Files without
`bench` take arguments or hours, and are named on the page to be run by themselves. The exit code is 1 if a benchmark
fails or a row misses its limit.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from pe_nnunet.processes import usable_processors

FOLDER = Path(__file__).parent
RESULTS, PAGE = FOLDER / "results" / "bench.json", FOLDER.parent / "docs" / "benchmarks.md"
START, END = "<!-- bench: generated -->", "<!-- bench: end -->"
TIMEOUT_S = 3600
PACKAGES = ("torch", "nnunetv2", "numpy", "scipy", "SimpleITK")
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "bf16", "sve")  # as Linux names them


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        what: What is measured.
        data: On what.
        unit: Of both numbers; lower is better in all of them.
        ours: Ours.
        peer: Whom it is compared with; empty where there is none.
        theirs: Theirs, or None.
        limit: What ours must not exceed, or None.
    """

    what: str
    data: str
    unit: str
    ours: float
    peer: str = ""
    theirs: float | None = None
    limit: float | None = None

    @property
    def missed(self) -> bool:
        """Whether it exceeds its limit."""
        return self.limit is not None and self.ours > self.limit


def main() -> int:
    """Run, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small data, under five minutes in all")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these alone; the others keep their stored results")
    parser.add_argument("--results", type=Path, default=RESULTS, help="default %(default)s")
    parser.add_argument("--page", type=Path, help=f"page with the table; default {PAGE.name}, none under --quick")
    parser.add_argument("--table", action="store_true", help="run nothing, and write the page from stored results")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(_measure(args.one, args.quick)))
        return 0
    with_bench = {path.stem: path for path in sorted(FOLDER.glob("*.py")) if has_bench(path)}
    if unknown := set(args.only or ()) - with_bench.keys():
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(with_bench)}")
    if args.quick and args.results == RESULTS:
        args.results = RESULTS.with_name("bench_quick.json")
    stored = json.loads(args.results.read_text()) if args.results.is_file() else {}
    found = {name: stored[name] for name in with_bench if name in stored}
    for name in () if args.table else args.only or with_bench:
        print(f"== {name}", flush=True)
        found[name] = {"title": title(with_bench[name]), **in_own_process(with_bench[name], args.quick)}
        print("\n".join(lines_of(found[name])), flush=True)
        args.results.parent.mkdir(parents=True, exist_ok=True)
        args.results.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")
    page = args.page or (None if args.quick else PAGE)
    if page is not None:
        others = [
            path for path in sorted(FOLDER.glob("*.py")) if path.stem not in {*with_bench, "run"} and is_run(path)
        ]
        page.write_text(with_table(page.read_text(), table(found) + by_themselves(others)))
        print(f"written: {page}")
    failed = [name for name, result in found.items() if result["error"] or any(Row(**r).missed for r in result["rows"])]
    if failed:
        print(f"failed, or over a limit: {', '.join(failed)}")
    return int(bool(failed))


def has_bench(path: Path) -> bool:
    """Whether a file defines `bench`; it is not imported for that."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == "bench" for node in tree.body)


def is_run(path: Path) -> bool:
    """Whether a file is a program, and no part of one."""
    return "__main__" in path.read_text(encoding="utf-8")


def title(path: Path) -> str:
    """The first line of a file's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or path.stem).splitlines()[0]


def in_own_process(path: Path, quick: bool) -> dict[str, Any]:
    """Run one benchmark; an error is recorded in place of rows."""
    command = [sys.executable, str(Path(__file__).resolve()), "--one", str(path), *(["--quick"] if quick else [])]
    environment = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **os.environ}  # ratios of work, not of scheduling
    began, load = time.perf_counter(), os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    rows, error = [], None
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, cwd=folder, env=environment, timeout=TIMEOUT_S, check=True
            )
            rows = json.loads(done.stdout.splitlines()[-1])
        except subprocess.CalledProcessError as failure:
            error = (failure.stderr.strip().splitlines() or ["no message"])[-1]
        except (subprocess.TimeoutExpired, json.JSONDecodeError, IndexError) as failure:
            error = f"{type(failure).__name__}: {failure}"
    return {
        "rows": rows,
        "error": error,
        "quick": quick,
        "seconds": round(time.perf_counter() - began, 1),
        "date": time.strftime("%Y-%m-%d"),
        "load_before": load,
        "machine": machine(),
    }


def _measure(path: Path, quick: bool) -> list[dict[str, Any]]:
    sys.path.insert(0, str(FOLDER))
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[path.stem] = module  # worker processes find its functions by this name
    spec.loader.exec_module(module)
    return [asdict(Row(**row)) for row in module.bench(quick=quick)]


def machine() -> dict[str, Any]:
    """What the numbers were taken on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split()}
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "processors": usable_processors(),
        "features": [flag for flag in FEATURES if flag in flags],
        **_gpu(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def _gpu() -> dict[str, str]:
    import torch

    return {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}


def lines_of(result: dict[str, Any]) -> list[str]:
    """A benchmark's rows of the table."""
    if result["error"]:
        return [f"| failed: {result['error']} | | | | | |"]
    return [_line(Row(**row)) for row in result["rows"]]


def _line(row: Row) -> str:
    ours = f"{_number(row.ours)} {row.unit}" + ("" if row.limit is None else f" (limit {_number(row.limit)})")
    theirs = "" if row.theirs is None else f"{_number(row.theirs)} {row.unit}"
    ratio = f"{row.ours / row.theirs:.2f}" if row.theirs else ""
    return f"| {row.what} | {row.data} | {ours} | {row.peer} | {theirs} | {ratio} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(found: dict[str, dict[str, Any]]) -> list[str]:
    """The page's table: one section a benchmark, each with its machine where that is not the one before it."""
    lines: list[str] = []
    before = ""
    for name, result in sorted(found.items()):
        versions = ", ".join(f"{package} {result['machine'][package]}" for package in PACKAGES)
        where = (
            f"{result['machine']['processor']}, {result['machine']['processors']} processors, "
            f"{result['machine']['system']}; Python {result['machine']['python']}, {versions}"
        )
        lines += ["", f"### {name}", "", result["title"], ""]
        lines += [] if where == before else [f"On {where}.", ""]
        load = "" if result["load_before"] is None else f", load average before it {result['load_before']:.1f}"
        lines += ["| what | data | ours | peer | theirs | ours / theirs |", "| --- | --- | --- | --- | --- | --- |"]
        lines += lines_of(result)
        lines += ["", f"{result['date']}, {result['seconds']:.0f} s{load}{', small data' * result['quick']}."]
        before = where
    return lines


def by_themselves(paths: list[Path]) -> list[str]:
    """The files that this runner does not run."""
    if not paths:
        return []
    return ["", "### Run by themselves", "", *(f"- `benchmarks/{path.name}`: {title(path)}" for path in paths)]


def with_table(text: str, lines: list[str]) -> str:
    """The page with its generated part replaced."""
    return replace_between(text, "bench", [*lines, ""])


def replace_between(text: str, marker: str, lines: list[str]) -> str:
    """A page with what stands between the two markers of that name replaced."""
    begin, end = f"<!-- {marker}: generated -->", f"<!-- {marker}: end -->"
    head, _, rest = text.partition(begin)
    return "\n".join([head + begin, *lines, end]) + rest.partition(end)[2]


if __name__ == "__main__":
    sys.exit(main())
