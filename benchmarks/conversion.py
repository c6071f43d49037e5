"""DICOM to NIfTI, lungs found and cropped, against dcm2niix, dicom2nifti and SimpleITK; and a cohort on two processes.

    python benchmarks/conversion.py [--slices 300] [--runs 5]        one series
    python benchmarks/conversion.py --cohort 200                     a cohort of small scans, one process and two
    pip install --group benchmark                                    dcm2niix and dicom2nifti

The series is a phantom brought to 512x512 pixels, written once and read once before. Each tool runs in a process of
its own, all in turn, several times; the fastest run counts. Python tools are timed after their imports; dcm2niix starts
in milliseconds. dcm2niix compresses at gzip level 1, ours by ISA-L at its highest level, whose files are smaller than
those; ITK and dicom2nifti take no level for NIfTI, and keep zlib's default of 6. Ours reads, checks, finds the lungs,
crops and writes the crop. Peak memory is that of the process, imports included. Exits 1 if ours is slower than dcm2niix
or if two processes are not 1.7 times as fast as one, start and imports included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import SimpleITK as sitk

MIN_SPEEDUP = 1.7
TOOLS = ("ours", "ours, whole volume", "dcm2niix", "SimpleITK", "dicom2nifti")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cohort", type=int, metavar="N")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(_one(*args.one)))
        return 0
    if args.make:
        _write_series(args.make, args.slices)
        return 0
    rows = cohort(args.cohort) if args.cohort else series(args.slices, args.runs)
    for row in rows:
        print(f"{row['what']:<28}{row['ours']:>9.2f} {row['unit']}", flush=True)
    if args.cohort:
        return int(rows[0]["ours"] / rows[1]["ours"] < MIN_SPEEDUP)
    seconds = {row["what"]: row["ours"] for row in rows if row["unit"] == "s"}
    return int(seconds["ours"] > seconds.get("dcm2niix", float("inf")))


def bench(*, quick: bool) -> list[dict[str, Any]]:
    """Rows for `benchmarks/run.py`: ours against each tool that is installed."""
    rows = {(row["what"], row["unit"]): row for row in series(60 if quick else 300, 2 if quick else 5)}
    compared = []
    for unit, limit_by in (("s", "dcm2niix"), ("GB", None)):
        for peer in TOOLS[2:]:
            theirs = rows.get((peer, unit))
            if theirs is not None:
                ours = rows["ours", unit] | {"peer": peer, "theirs": theirs["ours"]}
                ours["what"] = "DICOM to cropped NIfTI" + ("" if unit == "s" else ", peak memory")
                compared.append(ours | ({"limit": theirs["ours"]} if peer == limit_by and not quick else {}))
    return compared


def series(slices: int, runs: int) -> list[dict[str, Any]]:
    """Seconds and peak memory of each tool on one series."""
    data = f"one DICOM series of 512x512x{slices}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "series"
        # in a process of its own: on Linux a child's peak memory begins with what its parent holds
        subprocess.run([sys.executable, __file__, "--make", str(folder), "--slices", str(slices)], check=True)
        for path in folder.iterdir():
            path.read_bytes()  # into the page cache
        best: dict[str, tuple[float, float]] = {}
        for _ in range(runs):
            for tool in TOOLS:
                seconds, peak_gb = _measure(tool, folder, Path(name) / "out")
                if seconds > 0:
                    known = best.get(tool, (float("inf"), 0.0))
                    best[tool] = (min(seconds, known[0]), max(peak_gb, known[1]))
    return [
        {"what": tool, "data": data, "unit": unit, "ours": value}
        for tool, values in best.items()
        for unit, value in zip(("s", "GB"), values, strict=True)
    ]


def cohort(count: int) -> list[dict[str, Any]]:
    """Seconds that a conversion of so many small scans takes on one process and on two."""
    from pe_nnunet.phantom import PhantomSettings
    from pe_nnunet.phantom.cohort import write_cohort

    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "scans"
        settings = PhantomSettings(spacing_mm=(4.0, 4.0, 4.0), thorax_width_mm=(300.0, 300.0))
        made = write_cohort(source, 4, settings, 0, "dicom")
        for k in range(4, count):
            shutil.copytree(made[k % 4], source / f"case_{k:04d}")
        rows = []
        for processes in (1, 2):
            out = Path(name) / f"raw{processes}"
            out.mkdir()
            command = [str(Path(sys.executable).with_name("pe-nnunet")), "convert", "studies", str(source), "-d", "501"]
            environment = {**os.environ, "nnUNet_raw": str(out), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
            start = time.perf_counter()
            subprocess.run(
                [*command, "--num-processes", str(processes)], check=True, capture_output=True, env=environment
            )
            seconds = time.perf_counter() - start
            data = f"{count} DICOM scans of 4 mm"
            rows.append({"what": f"cohort on {processes} process(es)", "data": data, "unit": "s", "ours": seconds})
    return rows


def _write_series(folder: Path, slices: int) -> None:
    from pe_nnunet.phantom import coarse_settings, make_phantom
    from pe_nnunet.volumes import write_dicom_series

    made = make_phantom(coarse_settings(), seed=3, index=0).ct
    size = (512, 512, slices)
    spacing = [n * s / m for n, s, m in zip(made.GetSize(), made.GetSpacing(), size, strict=True)]
    grid = (size, sitk.Transform(), sitk.sitkLinear, made.GetOrigin(), spacing, made.GetDirection(), -1000)
    image = sitk.AdditiveGaussianNoise(sitk.Resample(made, *grid), 20.0, 0.0, 1)  # scans are noisy: gzip feels it
    write_dicom_series(sitk.Cast(image, sitk.sitkInt16), folder, patient_id="phantom")


def _measure(tool: str, folder: Path, out: Path) -> tuple[float, float]:
    """Seconds and peak GB of a tool in a process of its own; 0 where it is not installed."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    command = [sys.executable, __file__, "--one", tool, str(folder), str(out)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().splitlines()[-1]
    seconds, peak_gb = json.loads(text)
    return seconds, peak_gb


def _one(tool: str, folder: str, out: str) -> tuple[float, float]:
    if tool == "dcm2niix":
        program = shutil.which("dcm2niix") or shutil.which("dcm2niix", path=str(Path(sys.executable).parent))
        if program is None:
            return 0.0, 0.0
        start = time.perf_counter()
        command = [program, "-1", "-z", "y", "-b", "n", "-o", out, folder]
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    try:
        convert = {"SimpleITK": _by_simpleitk, "dicom2nifti": _by_dicom2nifti}.get(tool, _by_us)
        seconds = convert(Path(folder), Path(out), tool)
    except ImportError:
        return 0.0, 0.0
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _by_us(folder: Path, out: Path, tool: str) -> float:
    from pe_nnunet.roi import crop, find_roi
    from pe_nnunet.volumes import find_scans, read_scan, to_lps, write_image

    start = time.perf_counter()
    (ref,) = find_scans(folder)
    image = to_lps(read_scan(ref).image)
    if tool == "ours":
        image = crop(image, find_roi(image).box)
    write_image(image, out / "ours.nii.gz")
    return time.perf_counter() - start


def _by_simpleitk(folder: Path, out: Path, _: str) -> float:
    start = time.perf_counter()
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    sitk.WriteImage(reader.Execute(), str(out / "itk.nii.gz"), useCompression=True)
    return time.perf_counter() - start


def _by_dicom2nifti(folder: Path, out: Path, _: str) -> float:
    import dicom2nifti

    start = time.perf_counter()
    dicom2nifti.dicom_series_to_nifti(str(folder), str(out / "d2n.nii.gz"), reorient_nifti=False)
    return time.perf_counter() - start


if __name__ == "__main__":
    raise SystemExit(main())
