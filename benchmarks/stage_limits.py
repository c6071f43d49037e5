"""Where the time of one scan goes, from DICOM to report, and how far each stage is from what the machine allows.

    python benchmarks/stage_limits.py [--model NAME|FOLDER] [--scan DICOM|FILE] [--quick]

Without --scan a phantom of 1 mm as a DICOM series, without --model the starter model. The scan is predicted in this
process, once to warm up and three times for the numbers, of which the medians count; all processors are used. The
limit of a stage is the time in which its bytes could be copied (read once, written once), and that of the network the
time of its multiplications in matrix products of the type that it computes in; both rates are measured here. No
program reaches it: it says where time could still be saved. Files of a scan are written side by side where that helps,
so their seconds may sum to more than passes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import SimpleITK as sitk
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pe_nnunet.inference import PEPredictor, ensemble, predictor, windows
from pe_nnunet.outputs import case_files
from pe_nnunet.outputs.writers import DEFAULT, WRITERS
from pe_nnunet.precision import autocast_for
from pe_nnunet.processes import usable_processors

REPEATS = 3
COPIED = 1 << 28  # bytes
PRODUCT = 2048  # edge of the matrices


@dataclass
class Stages:
    """What one prediction did.

    Attributes:
        wait: Called before and after each stage, to wait for a GPU.
        seconds: By stage.
        bytes: That a stage reads and writes at least.
        flop: Of the network.
        windows: That it saw.
    """

    wait: Callable[[], None] = lambda: None
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    bytes: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    flop: float = 0.0
    windows: int = 0

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose seconds are counted."""

        def run(*args: Any, **kwargs: Any) -> Any:
            self.wait()
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.wait()
                self.seconds[stage] += time.perf_counter() - began

        return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scan", help="default: a phantom")
    parser.add_argument("--model", default="starter", help="default %(default)s")
    parser.add_argument("--quick", action="store_true", help="phantom of 3 mm")
    args = parser.parse_args()
    for row in bench(quick=args.quick, scan=args.scan, model=args.model):
        limit, ratio = ("", "") if row["theirs"] is None else (row["theirs"], row["ours"] / row["theirs"])
        print(f"{row['what']:<32}{row['ours']:9.4f} s {limit:>12.6} {ratio:>10.4}  {row['data']}", flush=True)


def bench(*, quick: bool, scan: str | None = None, model: str = "starter") -> list[dict[str, Any]]:
    """Rows of the stages, in the order of their seconds."""
    torch.set_num_threads(usable_processors())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ct = Path(scan) if scan else phantom(folder / "phantom", 3.0 if quick else 1.0)
        finds = PEPredictor([model], device="cpu", outputs=DEFAULT)
        runs = [stages_of(finds, ct, folder / f"out{k}") for k in range(1 if quick else REPEATS + 1)]
    seen, kept = runs[0], runs[-REPEATS:]
    seconds = {stage: median(run.seconds[stage] for run in kept) for stage in seen.seconds}
    copied, computed = bytes_a_second(), flop_a_second()
    rows = []
    for stage in sorted(seconds, key=seconds.__getitem__, reverse=True):
        amount, limit = f"{seen.bytes[stage] / 1e6:,.1f} MB", seen.bytes[stage] / copied
        if stage == "network":
            amount, limit = f"{seen.windows} windows, {seen.flop / 1e9:,.0f} GFLOP", seen.flop / computed
        known = limit > 0
        rows.append(
            {"what": stage, "data": amount if known else "-", "unit": "s", "ours": seconds[stage]}
            | {"peer": "copying or arithmetic alone" if known else "", "theirs": limit if known else None}
        )
    rates = (("copying", copied, "GB"), ("matrix products", computed, "GFLOP"))
    return rows + [
        {"what": f"{what}, time of one {unit}", "data": "all processors", "unit": "s", "ours": 1e9 / rate}
        | {"theirs": None}
        for what, rate, unit in rates
    ]


def stages_of(finds: PEPredictor, ct: Path, out: Path, wait: Callable[[], None] = lambda: None) -> Stages:
    """Predict a scan and write its files, with each stage watched."""
    found = Stages(wait)
    with watched(found):
        began = time.perf_counter()
        result = finds.predict(str(ct))
        case_files.write_case(result, out)
        found.seconds["all of it"] = time.perf_counter() - began
    found.seconds["sums of windows"] -= found.seconds["network"]
    inside = ("network", "sums of windows", "resampling to the network's grid")
    found.seconds["back to the scan's grid"] = result.timings_s["segmentation"] - sum(map(found.seconds.get, inside))
    voxels = prod(result.image.GetSize())
    files = [path for path in ([ct] if ct.is_file() else ct.iterdir()) if path.is_file()]
    found.bytes["reading"] = sum(path.stat().st_size for path in files) + 2 * voxels
    found.bytes["lungs"] = 2 * voxels
    found.bytes["emboli"] = 4 * voxels + 2 * voxels
    found.bytes["back to the scan's grid"] += 4 * voxels
    found.bytes["file: emboli"] = 2 * voxels
    return found


@contextmanager
def watched(found: Stages) -> Iterator[None]:
    """Count what the package does within the block."""
    prepare, log_odds, forward = ensemble.prepare, ensemble.predict_log_odds, windows._mirrored
    last: list[Any] = []

    def prepared(*args: Any, **kwargs: Any) -> Any:
        data = prepare(*args, **kwargs)
        found.bytes["resampling to the network's grid"] += 2 * args[1].size + 4 * data.numel()
        found.bytes["back to the scan's grid"] += 4 * data[0].numel()
        return data

    def seen(network: nn.Module, patches: torch.Tensor, *args: Any) -> Any:
        found.windows += len(patches)
        found.bytes["sums of windows"] += 3 * 4 * patches[:, 0].numel()
        last[:] = network, patches[:1]
        return forward(network, patches, *args)

    with ExitStack() as stack:
        for module, name, stage, function in (
            (predictor, "read_one_scan", "reading", predictor.read_one_scan),
            (predictor, "lung_region", "lungs", predictor.lung_region),
            (predictor, "find_emboli", "emboli", predictor.find_emboli),
            (ensemble, "prepare", "resampling to the network's grid", prepared),
            (ensemble, "predict_log_odds", "sums of windows", log_odds),
            (windows, "_mirrored", "network", seen),
            (case_files, "artery_diameters_mm", "diameters of arteries", case_files.artery_diameters_mm),
        ):
            stack.enter_context(patch.object(module, name, found.timed(stage, function)))
        for kind, writer in WRITERS.items():
            timed = replace(writer, write=found.timed(f"file: {kind.rstrip('_0123456789')}", writer.write))
            stack.enter_context(patch.dict(WRITERS, {kind: timed}))
        yield
    if last:
        found.flop = flop_of(*last) * found.windows


def flop_of(network: nn.Module, window: torch.Tensor) -> float:
    """Of one window: a multiplication and an addition are two."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(window)
    return float(counter.get_total_flops())


def bytes_a_second() -> float:
    """Read and written by a copy of an array that no cache holds."""
    source, target = np.ones(COPIED, np.uint8), np.empty(COPIED, np.uint8)
    one, other = torch.from_numpy(source), torch.from_numpy(target)
    return 2 * COPIED / fastest(lambda: other.copy_(one))


def flop_a_second() -> float:
    """Of matrix products in the type that networks are run in here."""
    one, other = torch.rand(PRODUCT, PRODUCT), torch.rand(PRODUCT, PRODUCT)

    def multiply() -> None:
        with autocast_for(torch.device("cpu")):
            one @ other

    return 2 * PRODUCT**3 / fastest(multiply)


def fastest(run: Callable[[], Any]) -> float:
    """Seconds of the fastest of ten calls."""
    taken = []
    for _ in range(10):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return min(taken)


def phantom(folder: Path, spacing_mm: float) -> Path:
    """A DICOM series."""
    from pe_nnunet.phantom import PhantomSettings, write_cohort

    write_cohort(folder, 1, PhantomSettings(spacing_mm=(spacing_mm,) * 3), 1, "dicom")
    (series,) = folder.glob("*/ct")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(usable_processors())
    return series


if __name__ == "__main__":
    main()
