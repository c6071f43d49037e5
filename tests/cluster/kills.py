"""A cohort on three machines that are raylets here, with kills in the middle: is every scan there once, and whole?

    python -m tests.cluster.kills FOLDER [--scans 20] [--seed 0]

predicts small phantoms with `pe-nnunet predict-fused` on one machine, then with `--engine ray`. Once a share of the
scans is there, a worker is killed; later a machine, in whose place another comes; later the head with all that runs on
its machine. That ends the command, which is given again with `--resume` on a cluster that is started anew. Last, a head
is started again in its place at once. The results of both are compared byte for byte, but for times.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import SimpleITK as sitk

from tests.cluster.conftest import LEAN, with_this_folder
from tests.conftest import make_thorax, write_model_folder
from tests.kill.compare import contents, differences, left_behind


def main(folder: Path, scans: int, seed: int) -> int:
    """Run it; 1 if anything is lost, twice or half."""
    write_scans(folder / "scans", scans)
    model = write_model_folder(folder / "model", log_odds=(-2.0,), patch=(32, 32, 32))
    command = ["predict-fused", "-i", folder / "scans", "-m", model, "-device", "cpu", "--fast", "--no-report", "-o"]
    here, ray = folder / "here", folder / "ray"
    started([*command, here]).wait()
    draw = random.Random(seed)  # noqa: S311 - moments
    moments = iter(sorted(draw.uniform(0.05, 0.6) * scans for _ in range(3)))
    codes: list[int] = []

    def until_next(process: subprocess.Popen[bytes], more_than: float | None = None) -> None:
        number = next(moments) if more_than is None else more_than
        wait_for(lambda: len(manifests(ray)) > number or process.poll() is not None)
        print(f"    at {len(manifests(ray))} of {scans} scans:", end=" ", flush=True)

    with Machines() as machines:
        process = started([*command, ray, *machines.options])
        until_next(process)
        print("a worker is killed", flush=True)
        a_worker().kill()
        until_next(process)
        print("a machine is killed, and another comes", flush=True)
        machines.lose_one()
        until_next(process)
        print("the head is killed, with its machine", flush=True)
        machines.cluster.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
        codes.append(process.wait())
    with Machines() as machines:
        before = len(manifests(ray))
        process = started([*command, ray, "--resume", *machines.options])
        until_next(process, before)
        print("the head is started again, and knows nothing", flush=True)
        machines.cluster.head_node.kill_gcs_server(check_alive=False)
        machines.cluster.head_node.start_gcs_server()
        codes.append(process.wait())
    with Machines() as machines:
        codes.append(started([*command, ray, "--resume", *machines.options]).wait())
    return judge(here, ray, scans, codes)


def judge(here: Path, ray: Path, scans: int, codes: list[int]) -> int:
    """Print what came of it."""
    found = differences(contents(here), contents(ray))
    rows = [line.split(",")[0] for line in (ray / "summary.csv").read_text(encoding="utf-8").splitlines()[1:]]
    errors = json.loads((ray / "errors.json").read_text(encoding="utf-8"))
    print(f"the three commands ended with {codes}")
    print(f"{len(manifests(ray))} of {scans} manifests, {len(rows)} lines of which {len(set(rows))} differ", end=", ")
    print(f"{len(errors)} errors, {len(found)} files differ, {len(left_behind(ray))} temporary files")
    print(*found, sep="\n")
    return int(bool(found or errors or left_behind(ray)) or len(rows) != scans or len(set(rows)) != scans)


class Machines:
    """A head without work, and two machines with a processor each."""

    def __enter__(self) -> Machines:
        from ray.cluster_utils import Cluster

        head = LEAN | {"num_cpus": 0, "no_monitor": True, "include_dashboard": False}
        self.cluster: Any = Cluster(initialize_head=True, head_node_args=head)
        self.others = [self.cluster.add_node(**LEAN) for _ in range(2)]
        self.options = ["--engine", "ray", "--address", self.cluster.address]
        return self

    def lose_one(self) -> None:
        self.cluster.remove_node(self.others.pop(), allow_graceful=False)
        self.others.append(self.cluster.add_node(**LEAN))

    def __exit__(self, *_: object) -> None:
        self.cluster.shutdown()


def write_scans(folder: Path, number: int) -> None:
    folder.mkdir(parents=True)
    for k in range(number):  # no two have the same results
        sitk.WriteImage(make_thorax()[:, k % 5 :, k // 5 :], str(folder / f"{k:03d}.nii.gz"))


def started(arguments: list[Any]) -> subprocess.Popen[bytes]:
    """A command in a process of its own; what it says goes to a file beside its results."""
    folder = Path(next(value for value, before in zip(arguments[1:], arguments, strict=False) if before == "-o"))
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        start = "import sys; from pe_nnunet.cli import main; sys.exit(main())"
        return subprocess.Popen([sys.executable, "-c", start, *map(str, arguments)], stdout=log, stderr=log)


def manifests(folder: Path) -> list[Path]:
    return [path for path in folder.glob("[0-9]*.json") if path.stem.isdigit()]


def a_worker() -> psutil.Process:
    """One that is at work."""
    return next(
        process
        for child in psutil.Process().children(recursive=True)
        if (process := child).name().startswith("ray::Worker")
    )


def wait_for(holds: Callable[[], bool], seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a new one")
    parser.add_argument("--scans", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    os.environ["PYTHONPATH"] = with_this_folder()
    given.folder.mkdir()
    sys.exit(main(given.folder.absolute(), given.scans, given.seed))
