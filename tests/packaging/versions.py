"""`make versions`: which versions of Python, torch and nnU-Net work together, found out by running tests with them.

    versions.py [--only NAME ...] [--resolve | --keep]     NAME: a combination of `COMBINATIONS`, `oldest` for example

Each combination gets an environment of its own by uv, with the wheel, not the tree; then `pe-nnunet doctor` and the
tests of `TESTS` run in it, and the environment is deleted. Results go to `versions.json`, beside this file, and from
there to the table in docs/versions.md; those of combinations that are not run stay. Exit code 1 if one does not work.
`--resolve` only asks uv which versions it would install, which takes seconds, and keeps the outcomes of those that ran.
An environment is some 6 GB with torch for CUDA, which PyPI serves for Linux; `UV_TORCH_BACKEND=cpu` asks for less.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
REPOSITORY = FOLDER.parents[1]
RESULTS, PAGE = FOLDER / "versions.json", REPOSITORY / "docs" / "versions.md"
START, END = "<!-- versions: generated -->\n", "<!-- versions: end -->\n"
SHOWN = ("torch", "nnunetv2", "numpy", "scipy", "SimpleITK", "onnxruntime")
TESTS = (
    "tests/registration/test_hook.py",
    "tests/registration/test_lookup.py",
    "tests/networks/test_table.py",
    "tests/networks/test_contract.py::test_gradients_reach_every_parameter",
    "tests/networks/test_contract.py::test_survives_pickling",
    "tests/planners/test_plans.py::test_plans_fit_the_network_and_the_memory",
    "tests/planners/test_plans.py::test_plans_are_what_nnunet_reads_back",
    "tests/fine_tuning/test_fine_tune.py",  # nnU-Net's own steps, from fingerprint to validation
    "tests/inference/test_starter.py",  # a scan searched by the model that ships
)


@dataclass(frozen=True)
class Combination:
    """Versions to ask for.

    Attributes:
        python: Of the interpreter, such as "3.11".
        pins: Requirements beside those of pyproject.toml.
        resolution: Which versions uv takes where several are allowed: "highest", or "lowest-direct" for the lower
            bounds that pyproject.toml names.
    """

    python: str
    pins: tuple[str, ...] = ()
    resolution: str = "highest"

    @property
    def asked(self) -> str:
        """In words."""
        if self.pins:
            return ", ".join(self.pins)
        return "newest of everything" if self.resolution == "highest" else "every lower bound"


COMBINATIONS = {
    "newest": Combination("3.11"),
    "oldest-torch": Combination("3.11", ("torch==2.11.*", "torchvision==0.26.*")),
    "oldest-nnunet": Combination("3.11", ("nnunetv2==2.8.0",)),
    "oldest": Combination("3.10", resolution="lowest-direct"),
    "newest-3.10": Combination("3.10"),
    "newest-3.12": Combination("3.12"),
    "newest-3.13": Combination("3.13"),
}


@dataclass
class Outcome:
    """What became of a combination; exit codes are None where it did not come so far.

    Attributes:
        python: The interpreter's version.
        asked: What was asked for, in words.
        versions: Of the packages in `SHOWN`.
        resolve: Exit code of uv's search for versions that fit together.
        install: Exit code of the installation.
        doctor: Exit code of `pe-nnunet doctor`.
        tests: Exit code of pytest.
        counts: pytest's last line.
        minutes: The whole, installation included.
        date: ISO 8601.
        problem: Last lines of what failed.
    """

    python: str
    asked: str
    versions: dict[str, str] = field(default_factory=dict)
    resolve: int | None = None
    install: int | None = None
    doctor: int | None = None
    tests: int | None = None
    counts: str = ""
    minutes: float = 0.0
    date: str = ""
    problem: str = ""

    @property
    def works(self) -> bool:
        """Whether all that was run ended well."""
        return self.resolve == self.install == self.doctor == self.tests == 0


def _run(command: Sequence[str | Path], environment: dict[str, str]) -> tuple[int, str]:
    """Exit code, and what it wrote."""
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )
    return done.returncode, f"{done.stdout}\n{done.stderr}".strip()


def _installation(uv: str, wheel: Path, combination: Combination, folder: Path) -> Iterator[list[str | Path]]:
    """Commands that make the environment: dependencies as pyproject.toml bounds them, the wheel, then the tests'."""
    pip = [uv, "pip", "install", "--python", folder]
    yield [uv, "venv", "--python", combination.python, folder]
    yield [*pip, "--resolution", combination.resolution, "-r", "pyproject.toml", *combination.pins]
    yield [*pip, "--no-deps", wheel]
    yield [*pip, "--group", "test"]


def resolve(uv: str, combination: Combination) -> Outcome:
    """Which versions uv would install."""
    outcome = Outcome(combination.python, combination.asked, date=time.strftime("%Y-%m-%d"))
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder, "pins.in")
        pins.write_text("\n".join(combination.pins), encoding="utf-8")
        command = [uv, "pip", "compile", "--quiet", "--no-annotate", "--no-header", "--python", combination.python]
        command += ["--resolution", combination.resolution, "pyproject.toml", str(pins)]
        outcome.resolve, text = _run(command, dict(os.environ))
    found = dict(line.split(" ")[0].split("==") for line in text.splitlines() if re.match(r"[\w.-]+==", line))
    outcome.versions = {name: found[name.lower()] for name in SHOWN if name.lower() in found}
    outcome.problem = text[-2000:] if outcome.resolve else ""
    return outcome


def attempt(uv: str, wheel: Path, combination: Combination, folder: Path) -> Outcome:
    """Make the environment in `folder`, and run doctor and the tests in it."""
    dropped = ("nnUNet", "PE_NNUNET", "TORCH_DEVICE_BACKEND_AUTOLOAD", "PYTHONPATH", "VIRTUAL_ENV")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    outcome = resolve(uv, combination)
    if outcome.resolve:
        return outcome
    for command in _installation(uv, wheel, combination, folder):
        outcome.install, text = _run(command, environment)
        if outcome.install:
            outcome.problem = text[-2000:]
            return outcome
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    code = (
        "import json, platform, sys; from importlib.metadata import version; print(json.dumps(["
        "platform.python_version(), {name: version(name) for name in sys.argv[1:]}]))"
    )
    _, text = _run([scripts / "python", "-I", "-c", code, *SHOWN], environment)
    outcome.python, outcome.versions = json.loads(text.splitlines()[-1])
    outcome.doctor, told = _run([scripts / "pe-nnunet", "doctor"], environment)
    outcome.tests, text = _run([scripts / "pytest", "-q", "-p", "no:cacheprovider", *TESTS], environment)
    outcome.counts = re.sub(r" in [\d.]+s.*|=", "", text.strip().splitlines()[-1]).strip()
    if not outcome.works:
        outcome.problem = (told if outcome.doctor else text)[-2000:]
    return outcome


def table(results: dict[str, Any]) -> str:
    """The outcomes as a Markdown table."""

    def shown(code: int | None) -> str:
        return "not run" if code is None else str(code)

    heads = ["Python", "asked for", *SHOWN, "resolve", "install", "doctor", "tests", "what they said", "date"]
    rows = [heads, ["---"] * len(heads)]
    for name in COMBINATIONS:
        if name not in results:
            continue
        found = Outcome(**results[name])
        codes = [found.resolve, found.install, found.doctor, found.tests]
        versions = [found.versions.get(package, "") for package in SHOWN]
        rows.append([found.python, found.asked, *versions, *map(shown, codes), found.counts, found.date])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def page(text: str, results: dict[str, Any]) -> str:
    """The page with a table of the results between its two marks."""
    before, rest = text.split(START)
    return f"{before}{START}\n{table(results)}\n{END}{rest.split(END)[1]}"


def outcomes(uv: str, args: argparse.Namespace) -> Iterator[tuple[str, Outcome]]:
    """What becomes of each combination that is asked for, one after the other."""
    if args.resolve:
        yield from ((name, resolve(uv, COMBINATIONS[name])) for name in args.only)
        return
    with tempfile.TemporaryDirectory() as built:
        subprocess.run([uv, "build", "--quiet", "--out-dir", built, REPOSITORY], check=True)
        (wheel,) = Path(built).glob("*.whl")
        for name in args.only:
            folder, started = Path(tempfile.mkdtemp(prefix=f"pe-nnunet-{name}-")), time.monotonic()
            try:
                outcome = attempt(uv, wheel, COMBINATIONS[name], folder / "env")
            finally:
                if args.keep:
                    print(f"{name}: {folder}")
                else:
                    shutil.rmtree(folder)
            outcome.minutes = round((time.monotonic() - started) / 60, 1)
            yield name, outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=COMBINATIONS, default=list(COMBINATIONS), metavar="NAME")
    parser.add_argument("--resolve", action="store_true", help="ask uv for versions, and install nothing")
    parser.add_argument("--keep", action="store_true", help="leave the environments, and print where they are")
    args = parser.parse_args()
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        raise SystemExit("uv is not installed: pip install uv")
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    failed = 0
    for name, outcome in outcomes(uv, args):
        failed += bool(outcome.resolve) if args.resolve else not outcome.works
        print(f"{name}: {outcome}" if outcome.problem else f"{name}: well {outcome.counts}", flush=True)
        if args.resolve and name in results and results[name]["install"] is not None:
            continue
        results[name] = asdict(outcome)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
