"""Many scans in one run of `pe-nnunet predict-fused`, against as many runs of one scan and against `nnUNetv2_predict`.

    python benchmarks/throughput.py [--scans 20] [--spacing 1] [--model FOLDER] [--quick]

Phantoms as NIfTI, and nnU-Net's plain U-Net of random weights, as in `benchmarks/inference.py`: times do not depend on
weights. Mirroring is off in all. Commands are timed from start to end; processor time counts all processes and threads.
Peak memory is the highest sum over the processes of a second run, on the first three scans: ours never has more in work
at once, and nnU-Net's may. nnU-Net's command gets the whole folder as well, and has its three processes for reading and
three for writing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import astuple
from pathlib import Path
from typing import Any

from inference import OURS, Row, command, our_arguments, peak_memory, timed
from random_model import QUICK, USUAL, random_model

AT_ONCE = 3  # scans; two are in work: one is read, one predicted
MEASURES = (("time a scan", "s"), ("processor time a scan", "core s"), ("peak memory", "GB"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=4, help="default %(default)s")
    parser.add_argument("--spacing", type=float, default=1.0, help="of the phantoms in mm; default %(default)s")
    parser.add_argument("--model", type=Path, help="nnU-Net model folder with fold 0; default: random weights")
    parser.add_argument("--quick", action="store_true", help="three phantoms of 4 mm and a small network")
    args = parser.parse_args()
    for row in bench(quick=args.quick, scans=args.scans, spacing_mm=args.spacing, model=args.model):
        ratio = row["ours"] / row["theirs"]
        print(f"{row['what']:<24}{row['peer']:<36}{row['ours']:8.2f} {row['theirs']:8.2f} {row['unit']:<7}{ratio:6.2f}")


def bench(*, quick: bool, scans: int = 4, spacing_mm: float = 1.0, model: Path | None = None) -> list[dict[str, Any]]:
    """Rows of one run, against each of the other ways."""
    scans, spacing_mm = (AT_ONCE, 4.0) if quick else (scans, spacing_mm)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = model or random_model(folder / "results" / "Dataset501_PE", QUICK if quick else USUAL)
        images = phantoms(folder, scans, spacing_mm)
        few, one = linked(images[:AT_ONCE], folder / "few"), linked(images[:1], folder / "one")
        together = measured(ours(images[0].parent, folder / "many", model), ours(few, folder / "few_out", model), scans)
        singly = [timed(ours(image, folder / "single" / str(k), model)) for k, image in enumerate(images)]
        alone = Row(
            sum(row.seconds for row in singly) / scans,
            sum(row.cpu_seconds for row in singly) / scans,
            peak_memory(ours(one, folder / "one_out", model)),
        )
        stock = measured(
            command("stock", images[0].parent, folder / "stock", model),
            command("stock", few, folder / "stock_few", model),
            scans,
        )
    data = f"{scans} phantoms of {spacing_mm:g} mm"
    peers = ((f"{scans} runs of one scan", alone), ("nnUNetv2_predict on the folder", stock))
    return [
        {"what": what, "data": data, "unit": unit, "ours": ours_, "peer": peer, "theirs": theirs}
        for peer, row in peers
        for (what, unit), ours_, theirs in zip(MEASURES, astuple(together), astuple(row), strict=True)
    ]


def measured(whole: list[str], few: list[str], scans: int) -> Row:
    """Seconds a scan of a command, and the memory of another on a few of its scans."""
    row = timed(whole)
    return Row(row.seconds / scans, row.cpu_seconds / scans, peak_memory(few))


def ours(scans: Path, out: Path, model: Path) -> list[str]:
    return [sys.executable, "-c", OURS, *our_arguments(scans, out, model)]


def phantoms(folder: Path, count: int, spacing_mm: float) -> list[Path]:
    """Scans in a folder of their own, named as nnU-Net wants them."""
    from pe_nnunet.phantom import PhantomSettings, write_cohort

    cases = write_cohort(folder / "phantoms", count, PhantomSettings(spacing_mm=(spacing_mm,) * 3), 1, "nifti")
    images = folder / "images"
    images.mkdir()
    for case in cases:
        (images / f"{case.name}_0000.nii.gz").hardlink_to(case / "ct.nii.gz")
    return sorted(images.iterdir())


def linked(images: list[Path], folder: Path) -> Path:
    """A folder of some of them."""
    folder.mkdir()
    for image in images:
        (folder / image.name).hardlink_to(image)
    return folder


if __name__ == "__main__":
    main()
