"""Time and memory of one scan: `pe-nnunet-predict-fused` against `nnUNetv2_predict` on the whole scan, and why.

    python benchmarks/inference.py --scan CT.nii.gz [--truth EMBOLI.nii.gz] [--model FOLDER] [--quick]

Without --model the network is nnU-Net's plain U-Net of 4 levels, 16 to 128 features, 1.5 mm, patch 96, with random
weights: times do not depend on weights. Mirroring is off in both. Each row is a command of its own, from its start to
its end, run twice: once for the time, once for the memory, since watching it slows it down. CPU seconds count all
processes and threads. Memory is the highest sum over the processes (proportional set size, Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from random_model import QUICK, USUAL, random_model

from pe_nnunet.processes import usable_processors

MAPS = ("box", "hull", "half")  # kinds of which the maps are compared
OURS = "from pe_nnunet.cli import main_predict_fused as run; raise SystemExit(run())"


@dataclass(frozen=True)
class Row:
    seconds: float
    cpu_seconds: float
    gigabytes: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scan", type=Path, help="CT; default: a phantom")
    parser.add_argument("--truth", type=Path, help="emboli of the scan, one id each")
    parser.add_argument("--model", type=Path, help="nnU-Net model folder with fold 0; default: random weights")
    parser.add_argument("--quick", action="store_true", help="phantom of 4 mm and a small network, to see that it runs")
    if sys.argv[1:2] == ["--without"]:
        raise SystemExit(without(sys.argv[2], sys.argv[3:]))
    args = parser.parse_args()
    bench(quick=args.quick, scan=args.scan, truth=args.truth, model=args.model)


def bench(
    *, quick: bool, scan: Path | None = None, truth: Path | None = None, model: Path | None = None
) -> list[dict[str, Any]]:
    """Rows of time and memory."""
    with tempfile.TemporaryDirectory() as name:
        return compare(Path(name), quick, scan, truth, model)


def compare(
    folder: Path, quick: bool, scan: Path | None, truth: Path | None, model: Path | None
) -> list[dict[str, Any]]:
    model = model or random_model(folder / "results" / "Dataset501_PE", QUICK if quick else USUAL)
    scan = scan or phantom(folder / "phantom", 4.0 if quick else 1.0)
    images = folder / "whole"
    images.mkdir()
    ct = sitk.DICOMOrient(sitk.ReadImage(str(scan)), "LPS")
    sitk.WriteImage(ct, str(images / "scan_0000.nii.gz"))
    lung_box(ct, folder / "box")
    plans = json.loads((model / "plans.json").read_text())
    ((_, configuration),) = [(k, v) for k, v in plans["configurations"].items() if "patch_size" in v and "3d" in k][:1]
    network = configuration["architecture"]["network_class_name"].split(".")[-1]
    features = configuration["architecture"]["arch_kwargs"]["features_per_stage"]
    print(
        f"scan {ct.GetSize()} of {ct.GetSpacing()} mm; {network}, features {features}, patch "
        f"{configuration['patch_size']}, {configuration['spacing']} mm; {os.cpu_count()} CPUs"
    )
    rows = {}
    for title, source, kind in (
        ("stock, whole scan", images, "stock"),
        ("stock, lung box", folder / "box", "stock"),
        ("ours, lung box, float32, stock resampling", images, "resampled"),
        ("ours, lung box, float32", images, "box"),
        ("ours, windows over the hull, float32", images, "hull"),
        ("ours", images, "half"),
    ):
        out = folder / title.replace(" ", "_").replace(",", "")
        row = timed(command(kind, source, out, model))
        row = rows[title] = replace(row, gigabytes=peak_memory(command(kind, source, out / "watched", model)))
        print(f"{title:42} {row.seconds:7.1f} s {row.cpu_seconds:7.1f} CPU s {row.gigabytes:5.2f} GB", flush=True)
    stages = json.loads((folder / "ours" / "scan.json").read_text())["timings_s"]
    print("seconds of ours: " + ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in stages.items()))
    whole, box, resampled, float32, hull, last = rows.values()
    for what, before, after in (
        ("region of interest", whole, box),
        ("start, layout, sums", box, resampled),
        ("resampling", resampled, float32),
        ("windows", float32, hull),
        ("precision", hull, last),
        ("in all", whole, last),
    ):
        print(
            f"{what:28} {before.seconds / after.seconds:5.2f} x faster, "
            f"CPU {before.cpu_seconds / after.cpu_seconds:5.2f} x, memory {after.gigabytes / before.gigabytes:4.2f}"
        )
    for kind in MAPS:
        timed(command(kind, images, folder / f"map_{kind}", model, probability=True))
    accuracy(folder, truth)
    data = f"{ct.GetSize()} voxels of {ct.GetSpacing()} mm, {network} {features}, patch {configuration['patch_size']}"
    return [
        {"what": f"predict one scan, {what}", "data": data, "unit": unit, "ours": getattr(last, name)}
        | {"peer": "nnUNetv2_predict on the whole scan, the same weights", "theirs": getattr(whole, name)}
        for what, unit, name in (
            ("time", "s", "seconds"),
            ("CPU time", "s", "cpu_seconds"),
            ("peak memory", "GB", "gigabytes"),
        )
    ]


def command(
    kind: str, images: Path, out: Path, model: Path, *, probability: bool = False, device: str = "cpu"
) -> list[str]:
    if kind == "stock":
        ours = "from pe_nnunet.registration import register; register()"  # our networks, where we are not installed
        start = "from nnunetv2.inference.predict_from_raw_data import predict_entry_point_modelfolder as run; run()"
        return [
            *(sys.executable, "-c", f"{ours}; {start}", "-i", str(images), "-o", str(out), "-m", str(model), "-f", "0"),
            *("-device", device, "--disable_tta", "--disable_progress_bar"),
        ]
    return [
        sys.executable,
        *((__file__, "--without", kind) if kind in ("resampled", "box") else ("-c", OURS)),
        *our_arguments(images / "scan_0000.nii.gz", out, model, device),
        *(("--float32",) if kind != "half" else ()),
        *(("--save-probability",) if probability else ()),
    ]


def our_arguments(scan: Path, out: Path, model: Path, device: str = "cpu") -> list[str]:
    """What `pe-nnunet predict-fused` is given."""
    places = ["-i", str(scan), "-o", str(out), "-m", str(model), "-f", "0"]
    return [*places, "-device", device, "--disable_tta", "--on-no-lungs", "full-volume"]


def without(kind: str, arguments: list[str]) -> int:
    """Our command without what one row measures."""
    import pe_nnunet.inference.predictor as predictor
    from pe_nnunet.cli import main
    from pe_nnunet.inference.resampling import Resampling

    seen = predictor.lung_region
    predictor.lung_region = lambda *a, **k: replace(seen(*a, **k), within=None)  # every window of the box
    if kind == "resampled":  # what it does not know it leaves to nnU-Net's functions
        Resampling.of_plans = lambda *_: None  # type: ignore[method-assign]
    return main(["predict-fused", *arguments])


def started(arguments: list[str]) -> subprocess.Popen[str]:
    """All processors for both, whatever the environment says: nnU-Net's program sees to it itself."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(usable_processors()))
    return subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ | threads
    )


def timed(arguments: list[str]) -> Row:
    before, start = os.times(), time.perf_counter()
    process = started(arguments)
    _, errors = process.communicate()
    seconds, after = time.perf_counter() - start, os.times()
    assert process.returncode == 0, errors[-3000:]
    return Row(seconds, sum(after[2:4]) - sum(before[2:4]), 0.0)


def peak_memory(arguments: list[str]) -> float:
    """GB."""
    process = started(arguments)
    peak = [0.0]

    def watch() -> None:
        while process.returncode is None:
            peak[0] = max(peak[0], memory(process.pid))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    _, errors = process.communicate()
    watcher.join()
    assert process.returncode == 0, errors[-3000:]
    return peak[0] / 1e9


def memory(pid: int) -> float:
    """Bytes that a process and its descendants use, shared pages counted once."""
    total = 0.0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += 1024 * float(line.split()[1])
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            total += sum(memory(int(child)) for child in children.read_text().split())
    except OSError:
        pass  # it has just ended
    return total


def lung_box(ct: sitk.Image, folder: Path) -> None:
    from pe_nnunet.roi import crop, find_roi

    folder.mkdir()
    sitk.WriteImage(crop(ct, find_roi(ct, on_no_lungs="full-volume").box), str(folder / "scan_0000.nii.gz"))


def accuracy(folder: Path, truth: Path | None) -> None:
    from pe_nnunet.fusion import find_emboli
    from pe_nnunet.metrics.case_scores import evaluate_case

    exact, hull, half = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"map_{kind}" / "scan_probability.nii.gz"))) for kind in MAPS
    )
    ct, box, mask, whole = (
        sitk.ReadImage(str(folder / name))
        for name in (
            "whole/scan_0000.nii.gz",
            "box/scan_0000.nii.gz",
            "stock_lung_box/scan.nii.gz",
            "stock_whole_scan/scan.nii.gz",
        )
    )
    start = ct.TransformPhysicalPointToIndex(box.GetOrigin())[::-1]
    place = tuple(slice(a, a + n) for a, n in zip(start, box.GetSize()[::-1], strict=True))
    inside = hull > 0
    for what, one, other in (
        ("stock and ours in float32, same box", sitk.GetArrayFromImage(mask), exact[place]),
        ("windows over hull and box, in it", hull[inside], exact[inside]),
        ("half precision and float32", half, hull),
    ):
        masks = one >= 0.5, other >= 0.5
        dice = 2 * (masks[0] & masks[1]).sum() / max(1, masks[0].sum() + masks[1].sum())
        difference = "" if one.dtype.kind != "f" else f", mean difference {np.abs(one - other).mean():.2e}"
        print(f"{what:36} Dice {dice:.5f} of {masks[0].sum()} voxels{difference}")
    if truth is not None:
        ids = sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(str(truth)), "LPS"))
        for what, held in (("stock, whole scan", sitk.GetArrayFromImage(whole)), ("float32", hull), ("ours", half)):
            found = find_emboli(held.astype(np.float32), ct.GetSpacing()[::-1])
            scores = evaluate_case(found.labels, ids, ct.GetSpacing()[::-1])
            print(f"{what:36} {scores.found} of {scores.emboli} emboli, {scores.false_positives} false findings")


def phantom(folder: Path, spacing_mm: float) -> Path:
    from pe_nnunet.phantom import PhantomSettings, write_cohort

    write_cohort(folder, 1, PhantomSettings(spacing_mm=(spacing_mm,) * 3), 1, "nifti")
    (scan,) = folder.glob("*/ct.nii.gz")
    return scan


if __name__ == "__main__":
    main()
