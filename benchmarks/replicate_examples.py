"""Ten patches before and after `ReplicateTargets`, as a picture to look at.

    pe-nnunet phantom SCANS --cases 4 --seed 3 --spacing 1.5 --emboli 5 8 --negatives 0
    python benchmarks/replicate_examples.py SCANS docs/images/replicate.png

SCANS holds a folder a case with `ct.nii.gz`, `emboli.nii.gz` and `artery.nii.gz`, as `pe-nnunet phantom` writes them.
The first seven patches go by the artery mask, the others along the branch of an embolus. Each column is a patch: as it
was, as it became, and with what was there (blue) and what was added (orange) outlined.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.ndimage import find_objects

from pe_nnunet.sampling.replicate import Replication, replicate

HALF, COUNT, BY_MASK = 24, 10, 7
WINDOW_HU = (-200, 500)


def main() -> None:
    """Place and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    patches, bank = [], []
    for folder in sorted(path for path in args.scans.iterdir() if (path / "ct.nii.gz").is_file()):
        ct = sitk.ReadImage(str(folder / "ct.nii.gz"))
        hu = sitk.GetArrayFromImage(ct).astype(np.float32)
        masks = [sitk.ReadImage(str(folder / f"{name}.nii.gz")) for name in ("emboli", "artery")]
        emboli, artery = map(sitk.GetArrayFromImage, masks)
        for number, box in enumerate(find_objects(emboli), 1):
            if box is None:
                continue
            bank.append((emboli[box] == number, 60.0))
            middle = [(side.start + side.stop) // 2 for side in box]
            cut = tuple(slice(max(0, m - HALF), m + HALF) for m in middle)
            patches.append((hu[cut], emboli[cut] > 0, artery[cut] > 0, ct.GetSpacing()[::-1]))
    rng = np.random.default_rng(args.seed)
    shown = []
    for k in np.tile(rng.permutation(len(patches)), 6):
        hu, pe, artery, spacing_mm = patches[k]
        by_mask = len(shown) < BY_MASK
        settings = Replication(1.0, 0.1, 3, 150.0, spacing_mm)
        change, placed = replicate(hu, pe, artery if by_mask else None, bank, settings, 3000.0, rng)
        if placed.sum() >= 8:
            z = int(placed.sum(axis=(1, 2)).argmax())
            shown.append((hu[z], (hu + change)[z], pe[z], placed[z], "artery mask" if by_mask else "same branch"))
        if len(shown) == COUNT:
            break
    figure = Figure(figsize=(2 * COUNT, 6.3), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(3, COUNT)
    for column, (before, after, pe, placed, how) in zip(rows.T, shown, strict=False):
        for axes, image in zip(column, (before, after, after), strict=True):
            axes.imshow(image, cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1])
            axes.set_axis_off()
        column[0].set_title(how, fontsize=10)
        for mask, colour in ((pe, "#1f77b4"), (placed, "#e08214")):
            if mask.any():
                column[2].contour(mask, [0.5], colors=colour, linewidths=1.5)
    figure.savefig(args.picture, dpi=60)
    print(f"{len(shown)} patches, {len(bank)} emboli in the bank: {args.picture}")


if __name__ == "__main__":
    main()
