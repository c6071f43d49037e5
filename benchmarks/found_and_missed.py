"""Found and missed emboli as pictures, and what tells them apart: volume, contrast, width of the artery.

    python benchmarks/found_and_missed.py --predictions FOLDER --studies STUDIES --point 0.2 400 --plot FILE.png

FOLDER holds `<case>_probability.nii.gz`, as `pe-nnunet predict-fused --save-probability` writes them; STUDIES a folder
a case with `ct`, `emboli` and `artery`, as `pe-nnunet phantom` and the rendering write them. `--point` is the threshold
and the smallest finding in mm3. An embolus is found if a finding's marker lies in it (rule of the CAD-PE challenge, no
tolerance) and the finding's mean probability is one with which there are no more than 2 false positives a scan. Of the
found ones and of the missed ones ten are drawn each, evenly spaced by volume: the slice in which the embolus is widest,
truth and findings outlined. The table holds medians.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from budget.score import Predicted, read_predicted
from numpy.typing import NDArray
from scipy import ndimage

from pe_nnunet.metrics.froc import ScanHits
from pe_nnunet.outputs import drawing
from pe_nnunet.outputs.picture_scene import view_around, widest_slice
from pe_nnunet.voxels import boxes_by_id

FALSE_POSITIVES = 2.0  # a scan
DRAWN, COLUMNS, SIDE_MM = 10, 5, 60.0
AROUND = 3  # voxels, of the artery beside an embolus
SMALL_ML = 1.0


@dataclass(frozen=True, eq=False)  # of arrays
class Embolus:
    """A true embolus.

    Attributes:
        case_id: Its scan.
        score: Of the best finding whose marker lies in it, or None.
        volume_ml: Its volume.
        mean_hu: Of its voxels.
        artery_hu: Mean of the artery's other voxels within three voxels; None where there are none.
        width_mm: Twice the largest distance of its voxels from the border of artery and embolus.
        probability: The network's highest in it.
        view: What is drawn: HU, truth and findings of a part of a slice, and its spacing.
    """

    case_id: str
    score: float | None
    volume_ml: float
    mean_hu: float
    artery_hu: float | None
    width_mm: float
    probability: float
    view: tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], tuple[float, float]]

    @property
    def contrast_hu(self) -> float | None:
        """How much darker it is than the artery around it."""
        return None if self.artery_hu is None else self.artery_hu - self.mean_hu


NUMBERS = {
    "volume, ml": "volume_ml",
    "mean HU": "mean_hu",
    "HU of the artery beside it": "artery_hu",
    "darker than that by, HU": "contrast_hu",
    "width of the artery, mm": "width_mm",
    "highest probability": "probability",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=Path, required=True)
    parser.add_argument("--studies", type=Path, required=True)
    parser.add_argument("--point", type=float, nargs=2, required=True, metavar=("THRESHOLD", "MM3"))
    parser.add_argument("--plot", type=Path, help="picture to write")
    args = parser.parse_args()
    emboli, hits = [], []
    for scan in read_predicted(args.predictions, args.studies):
        findings = scan.findings(*args.point)
        hits.append(scan.hits(findings))
        emboli += emboli_of(scan, findings, hits[-1], args.studies / scan.case_id)
    found, missed = parted(emboli, hits)
    print("\n".join(table(found, missed)))
    if args.plot:
        draw(found, missed, args.plot)


def emboli_of(scan: Predicted, findings: NDArray[Any], hits: ScanHits, study: Path) -> Iterator[Embolus]:
    """The emboli of a scan, in ascending order of ids.

    Args:
        scan: With its truth.
        findings: Ids, on the same grid.
        hits: Of the findings.
        study: Folder with `ct` and `artery`.
    """
    hu, artery = (sitk.GetArrayFromImage(sitk.ReadImage(str(next(study.glob(f"{n}.*"))))) for n in ("ct", "artery"))
    inside = ndimage.distance_transform_edt((artery > 0) | (scan.truth > 0), scan.spacing_mm)
    beside = (artery > 0) & (scan.truth == 0)
    boxes = boxes_by_id(scan.truth)
    for (identity, box), score, mm3 in zip(boxes.items(), hits.embolus_scores, hits.volumes_mm3, strict=True):
        wide = tuple(slice(max(0, a - AROUND), b + AROUND) for a, b in zip(box.start, box.stop, strict=True))
        mask = scan.truth[wide] == identity
        near = beside[wide] & (ndimage.distance_transform_cdt(~mask) <= AROUND)
        z = widest_slice(scan.truth, identity, box)
        rows, columns = np.nonzero(scan.truth[z] == identity)
        part = view_around((z, int(rows.mean()), int(columns.mean())), hu.shape, scan.spacing_mm, SIDE_MM)
        yield Embolus(
            scan.case_id,
            score,
            mm3 / 1000,
            float(hu[wide][mask].mean()),
            float(hu[wide][near].mean()) if near.any() else None,
            2 * float(inside[wide][mask].max()),
            float(scan.probability[wide][mask].max()),
            (hu[part].copy(), scan.truth[part] > 0, findings[part] > 0, scan.spacing_mm[1:]),
        )


def parted(emboli: Sequence[Embolus], hits: Sequence[ScanHits]) -> tuple[list[Embolus], list[Embolus]]:
    """Found and missed ones at 2 false positives a scan, each by volume."""
    false = sorted((score for scan in hits for score in scan.false_scores), reverse=True)
    allowed = int(FALSE_POSITIVES * len(hits))
    below = false[allowed] if len(false) > allowed else -np.inf  # with this score there would be one too many
    ordered = sorted(emboli, key=lambda embolus: embolus.volume_ml)
    found = [embolus for embolus in ordered if embolus.score is not None and embolus.score > below]
    return found, [embolus for embolus in ordered if embolus not in found]


def table(found: Sequence[Embolus], missed: Sequence[Embolus]) -> list[str]:
    """Markdown: medians, of all emboli and of those under 1 ml."""
    groups = {"found": found, "missed": missed}
    groups |= {f"{name}, under 1 ml": [e for e in group if e.volume_ml < SMALL_ML] for name, group in groups.items()}
    lines = [f"| median of | {' | '.join(f'{name} ({len(group)})' for name, group in groups.items())} |"]
    lines.append("| --- " * (len(groups) + 1) + "|")
    for title, number in NUMBERS.items():
        cells = []
        for group in groups.values():
            values = [value for embolus in group if (value := getattr(embolus, number)) is not None]
            cells.append(f"{np.median(values):.3g}" if values else "-")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines


def draw(found: Sequence[Embolus], missed: Sequence[Embolus], path: Path) -> None:
    """Ten of each, evenly spaced by volume, the smallest first."""
    rows = DRAWN // COLUMNS
    width, height = 2.9 * COLUMNS, 3.2 * 2 * rows + 0.6
    figure = drawing.new_figure(width, height)
    grid = figure.add_gridspec(
        2 * rows, COLUMNS, left=0.01, right=0.99, bottom=0.01, top=1 - 0.75 / height, wspace=0.04
    )
    names = {drawing.TRUTH_COLOUR: "truth", drawing.PREDICTION_COLOUR: "found"}
    drawing.legend(figure, names, loc="upper left", at=(0.0, 1 - 0.05 / height))
    for first, (name, group) in zip((0, rows), (("found", found), ("missed", missed)), strict=True):
        places = np.unique(np.linspace(0, len(group) - 1, DRAWN).round().astype(int)) if group else []
        for place, number in enumerate(places):
            embolus = group[number]
            hu, truth, findings, spacing_mm = embolus.view
            panel = drawing.Panel(figure.add_subplot(grid[first + place // COLUMNS, place % COLUMNS]), spacing_mm)
            panel.show(hu)
            panel.outline(truth, drawing.TRUTH_COLOUR)
            panel.outline(findings, drawing.PREDICTION_COLOUR)
            panel.scale_bar()
            facts = f"{embolus.volume_ml:.2f} ml, artery {embolus.width_mm:.0f} mm, p {embolus.probability:.2f}"
            panel.heading(f"{name}: {embolus.case_id}\n{facts}", size=9)
    drawing.save(figure, path)


if __name__ == "__main__":
    main()
