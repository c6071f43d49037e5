"""How time and memory grow with the voxels of a scan, its emboli, the models of an ensemble, and the scans of a run.

    python benchmarks/growth.py [--quick] [--plot FILE.png]

- voxels: one phantom at five spacings, from DICOM to all files, with a small network of 4 mm. The body stays the same,
  and so does what the network computes.
- emboli: balls in the probability map of a phantom: parted, measured, and all files written.
- models: an ensemble of so many small networks of one fold, loaded and run on one phantom.
- scans: one run over so many scans of 24x24x24 voxels with a small network, tables and page of the run included.

Each point is taken in a process of its own, after a run of the smallest size. Memory is what is added to what the
process has then, as the highest sum over it and its own processes (proportional set size, Linux). The exponent is the
slope in a log-log plot over the three largest sizes, where constant parts weigh least: 1 is linear.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from math import prod
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import SimpleITK as sitk
from inference import memory
from random_model import QUICK, random_model

FITTED = 3  # sizes
MODEL = "nnUNetTrainer__nnUNetPlans__3d_fullres"  # of `random_model`
TINY_VOXELS, TINY_MM = 24, 4.0
POLL_S = 0.05
LEAST_GB = 0.001  # less is the measurement's noise


@dataclass(frozen=True)
class Growth:
    """What grows.

    Attributes:
        run: Does the work of a size with what lies in a folder, and returns how much of it there was.
        sizes: From small to large.
        quick: The same for small data.
    """

    run: Callable[[float, Path], float]
    sizes: tuple[float, ...]
    quick: tuple[float, ...]


@dataclass(frozen=True)
class Point:
    amount: float
    seconds: float
    gigabytes: float


def of_voxels(spacing_mm: float, folder: Path) -> float:
    from pe_nnunet.inference import PEPredictor
    from pe_nnunet.outputs import write_case
    from pe_nnunet.outputs.writers import DEFAULT

    finds = PEPredictor([folder / "small" / MODEL], device="cpu", outputs=DEFAULT, on_no_lungs="full-volume")
    result = finds.predict(series(folder / f"phantom_{spacing_mm:g}"))
    write_case(result, folder / "out")
    return prod(result.image.GetSize())


def of_emboli(count: float, folder: Path) -> float:
    from pe_nnunet.fusion import FusionSettings, find_emboli
    from pe_nnunet.inference.inputs import read_one_scan
    from pe_nnunet.outputs import CaseResult, write_case
    from pe_nnunet.volumes import spacing_zyx

    scan = read_one_scan(series(folder / "phantom"), {})
    probability = balls(scan.image.GetSize()[::-1], int(count))
    emboli = find_emboli(probability, spacing_zyx(scan.image), FusionSettings(min_volume_mm3=0))
    assert len(emboli.kept) == count
    write_case(CaseResult("balls", scan.image, emboli, dicom=scan.dicom), folder / "out")
    return count


def of_models(count: float, folder: Path) -> float:
    from pe_nnunet.inference import PEPredictor

    models = sorted(folder.glob(f"Dataset*/{MODEL}"))[: int(count)]
    assert len(models) == count
    PEPredictor(models, device="cpu", on_no_lungs="full-volume").predict(series(folder / "phantom"))
    return count


def of_scans(count: float, folder: Path) -> float:
    from pe_nnunet.cases import CaseLimits
    from pe_nnunet.inference import PEPredictor
    from pe_nnunet.inference.batch import predict_batch
    from pe_nnunet.volumes import find_scans

    finds = PEPredictor([folder / "small" / MODEL], device="cpu", on_no_lungs="full-volume")
    scans, kinds = find_scans(folder / f"scans_{count:g}"), frozenset({"emboli", "table", "report"})
    out = folder / f"results_{count:g}"
    with redirect_stdout(StringIO()):  # a line a scan
        written, failed = predict_batch(finds, scans, out, outputs=kinds, limits=CaseLimits())
    assert (len(written), failed) == (count, [])
    return count


GROWTHS = {
    "voxels": Growth(of_voxels, (4.0, 2.8, 2.0, 1.4, 1.0), (6.0, 5.0, 4.0, 3.2, 2.5)),  # by mm
    "emboli": Growth(of_emboli, (1, 5, 20, 100, 500), (1, 10, 50, 100, 200)),
    "models": Growth(of_models, (1, 2, 4, 7, 10), (1, 2, 4)),
    "scans": Growth(of_scans, (1, 10, 100, 1000), (1, 5, 20, 50)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=GROWTHS, default=list(GROWTHS))
    parser.add_argument("--plot", type=Path, help="picture to write")
    parser.add_argument("--quick", action="store_true", help="small data")
    args = parser.parse_args()
    found = curves(args.only, quick=args.quick)
    print(table(found))
    if args.plot:
        plot(found, args.plot)


def curves(names: Any, *, quick: bool) -> dict[str, list[Point]]:
    """The points of each growth."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes below: growth, not the scheduling of threads
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {}
        for what in names:
            sizes = GROWTHS[what].quick if quick else GROWTHS[what].sizes
            prepare(what, sizes, folder, quick=quick)
            found[what] = []
            for size in sizes:
                with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
                    found[what].append(fresh.submit(point, what, sizes[0], size, folder).result())
                print(f"{what} {found[what][-1]}", flush=True)
        return found


def prepare(what: str, sizes: tuple[float, ...], folder: Path, *, quick: bool) -> None:
    """Write what the runs read, as far as it is not there."""
    from stage_limits import phantom

    if not (folder / "small").exists():
        random_model(folder / "small", QUICK)
        phantom(folder / "phantom", 4.0 if quick else 2.0)
    for spacing_mm in sizes if what == "voxels" else ():
        phantom(folder / f"phantom_{spacing_mm:g}", spacing_mm)
    if what == "models":
        for number in range(int(max(sizes))):
            random_model(folder / f"Dataset{501 + number}_PE", QUICK)
    if what == "scans":
        hu = np.random.default_rng(0).normal(-500, 300, (TINY_VOXELS,) * 3).astype(np.int16)
        image = sitk.GetImageFromArray(hu)
        image.SetSpacing((TINY_MM,) * 3)
        sitk.WriteImage(image, str(folder / "tiny.nii.gz"))
        for count in sizes:
            (folder / f"scans_{count:g}").mkdir()
            for number in range(int(count)):
                (folder / f"scans_{count:g}" / f"{number:04d}.nii.gz").hardlink_to(folder / "tiny.nii.gz")


def series(folder: Path) -> Path:
    """The only DICOM series of a cohort of phantoms."""
    (found,) = folder.glob("*/ct")
    return found


def balls(shape: tuple[int, ...], count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A probability map with so many balls of five voxels across, apart from each other."""
    places = np.stack(np.meshgrid(*(np.arange(4, side - 4, 7) for side in shape), indexing="ij"), axis=-1)
    places = places.reshape(-1, 3)
    ball = np.linalg.norm(np.indices((5, 5, 5)) - 2, axis=0) <= 2
    probability = np.zeros(shape, np.float32)
    for z, y, x in places[np.linspace(0, len(places) - 1, count).astype(int)]:
        probability[z - 2 : z + 3, y - 2 : y + 3, x - 2 : x + 3][ball] = 0.9
    return probability


def point(what: str, smallest: float, size: float, folder: Path) -> Point:
    """Time and memory of one size, in this process."""
    run = GROWTHS[what].run
    run(smallest, folder)  # imports, and memory that is kept
    base, over = memory(os.getpid()), Event()
    peak = [base]

    def watch() -> None:
        while not over.wait(POLL_S):
            peak[0] = max(peak[0], memory(os.getpid()))

    watcher = Thread(target=watch, daemon=True)  # or an error of the run would wait for it
    watcher.start()
    began = time.perf_counter()
    amount = run(size, folder)
    seconds = time.perf_counter() - began
    over.set()
    watcher.join()
    return Point(amount, seconds, (peak[0] - base) / 1e9)


def exponent(points: list[Point], measure: str) -> float:
    """Of the growth over the largest sizes."""
    largest = points[-FITTED:]
    values = [max(getattr(one, measure), LEAST_GB) for one in largest]
    return float(np.polyfit(np.log([one.amount for one in largest]), np.log(values), 1)[0])


def table(found: dict[str, list[Point]]) -> str:
    """As Markdown."""
    lines = ["| what grows | seconds | exponent | GB more | exponent |", "| --- | --- | --- | --- | --- |"]
    for name, points in found.items():
        cells = [f"{name}: " + ", ".join(f"{one.amount:,.0f}" for one in points)]
        for measure in ("seconds", "gigabytes"):
            cells += [", ".join(f"{getattr(one, measure):.3g}" for one in points), f"{exponent(points, measure):.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(found: dict[str, list[Point]], path: Path) -> None:
    """A column for what grows, time above and memory below, with a line of exponent 1 through the largest size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.9 * len(found), 5.2), layout="constrained")
    panels = figure.subplots(2, len(found), squeeze=False, sharex="col")
    for column, (name, points) in enumerate(found.items()):
        amounts = np.array([one.amount for one in points])
        for panel, measure, label in zip(panels[:, column], ("seconds", "gigabytes"), ("seconds", "GB"), strict=True):
            values = np.array([max(getattr(one, measure), LEAST_GB) for one in points])
            panel.loglog(amounts, values, marker="o", label="measured")
            linear = values[-1] * amounts / amounts[-1]
            panel.loglog(amounts, linear, linestyle="--", color="black", linewidth=1, label="linear")
            panel.set_ylim(values.min() / 3, values.max() * 3)
            panel.set_title(f"exponent {exponent(points, measure):.2f}", fontsize=10)
            panel.grid(alpha=0.3)
            if column == 0:
                panel.set_ylabel(label)
        panels[1, column].set_xlabel(name)
    panels[0, 0].legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
