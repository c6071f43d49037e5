"""A contact sheet: many scans in one picture, each with truth and prediction outlined."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pe_nnunet.errors import InputError
from pe_nnunet.outputs import drawing
from pe_nnunet.outputs.drawing import Volume, lps_array
from pe_nnunet.outputs.picture_scene import view_around, widest_slice
from pe_nnunet.volumes.geometry import require_same_grid
from pe_nnunet.voxels import boxes_by_id

COLUMNS = 4
SIDE_MM = 130.0


@dataclass(frozen=True)
class CohortRow:
    """One scan of the sheet.

    Attributes:
        case_id: Its name.
        image: The scan in HU.
        prediction: Ids or a mask of what was found, on the scan's grid.
        truth: Ids or a mask of the true emboli, on the scan's grid.
        caption: A line of numbers, for example `"Dice 0.62, 3 of 4 emboli, 1 false positive"`.
    """

    case_id: str
    image: sitk.Image
    prediction: sitk.Image
    truth: sitk.Image
    caption: str = ""


def cohort_picture(rows: Iterable[CohortRow], path: Path, *, title: str = "") -> None:
    """Draw one key slice a scan, with truth and prediction outlined, and write the sheet as PNG.

    The slice is the one in which the largest true embolus is widest; in a scan without any, the one of the largest
    finding, which is then a false positive; else the middle of the scan.

    Args:
        rows: The scans; each is reduced to its slice before the next is taken, so a generator that reads them from disk
            needs the memory of one.
        path: The file.
        title: Above the sheet.

    Raises:
        InputError: PE-IN-001 if there are no rows.
        GeometryError: PE-GEO-001 or PE-GEO-002 if prediction or truth lie on another grid than their scan.
        OutputError: PE-OUT-001 if the file cannot be written.
    """
    tiles = [_tile(row) for row in rows]
    if not tiles:
        raise InputError("PE-IN-001", "no scan to draw in the cohort's picture")
    columns = min(COLUMNS, len(tiles))
    lines = math.ceil(len(tiles) / columns)
    width, height = 3.3 * columns + 0.2, 3.75 * lines + 0.75
    figure = drawing.new_figure(max(width, 6.6), height)
    grid = figure.add_gridspec(
        lines, columns, left=0.01, right=0.99, bottom=0.12 / height, top=1 - 1.2 / height, wspace=0.06, hspace=0.2
    )
    figure.text(0.012, 1 - 0.15 / height, title, color=drawing.TEXT, fontsize=14, weight="bold", va="top")
    names = {drawing.TRUTH_COLOUR: "truth", drawing.PREDICTION_COLOUR: "found"}
    under_the_title = (0.0, 1 - 0.42 / height)  # which may be as long as the sheet is wide
    drawing.legend(figure, names, loc="upper left", at=under_the_title)
    for place, tile in enumerate(tiles):
        tile(figure.add_subplot(grid[place // columns, place % columns]))
    drawing.save(figure, path)


def _tile(row: CohortRow) -> Callable[[Axes], None]:
    """What draws a scan, once its axes are known; of the scan it keeps one plane."""
    require_same_grid(row.image, row.prediction, f"the prediction of case {row.case_id}")
    require_same_grid(row.image, row.truth, f"the label of case {row.case_id}")
    scan = Volume.of(row.image)
    truth, found = lps_array(row.truth), lps_array(row.prediction)
    part = _key_view(truth, scan) or _key_view(found, scan) or _middle(scan)
    z_mm = scan.image.TransformIndexToPhysicalPoint((0, 0, part[0]))[2]
    kind = "" if truth.any() else " (no embolus)"
    return partial(
        _draw,
        heading=f"{row.case_id}{kind}, z = {z_mm:.0f} mm\n{row.caption}",
        hu=scan.array[part].copy(),
        masks={drawing.TRUTH_COLOUR: truth[part] > 0, drawing.PREDICTION_COLOUR: found[part] > 0},
        spacing_mm=scan.spacing_mm[1:],
    )


def _key_view(labels: NDArray[Any], scan: Volume) -> tuple[int, slice, slice] | None:
    boxes = boxes_by_id(labels)
    if not boxes:
        return None
    largest = max(boxes, key=lambda identity: int((labels[boxes[identity].slices] == identity).sum()))
    z = widest_slice(labels, largest, boxes[largest])
    rows, columns = np.nonzero(labels[z] == largest)
    return view_around((z, int(rows.mean()), int(columns.mean())), scan.array.shape, scan.spacing_mm, SIDE_MM)


def _middle(scan: Volume) -> tuple[int, slice, slice]:
    depth, height, width = scan.array.shape
    return view_around((depth // 2, height // 2, width // 2), scan.array.shape, scan.spacing_mm, np.inf)


def _draw(
    axes: Axes, *, heading: str, hu: NDArray[Any], masks: dict[str, NDArray[np.bool_]], spacing_mm: tuple[float, float]
) -> None:
    panel = drawing.Panel(axes, spacing_mm)
    panel.show(hu)
    for colour, mask in masks.items():
        panel.outline(mask, colour)
    panel.scale_bar()
    panel.heading(heading, size=9)
