"""A contact sheet: many scans in one picture, each with truth and prediction outlined."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from pe_nnunet.errors import InputError
from pe_nnunet.outputs import drawing
from pe_nnunet.outputs import drawing as colours
from pe_nnunet.outputs.drawing import Volume, lps_array
from pe_nnunet.outputs.scene import View, view_around, widest_slice
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


@dataclass(frozen=True)
class _Tile:
    """What remains of a scan once it has been looked at: one plane."""

    title: str
    caption: str
    hu: NDArray[Any]
    layers: tuple[tuple[NDArray[np.bool_], str], ...]
    plane: drawing.Plane


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
    figure.text(0.012, 1 - 0.15 / height, title, color=colours.TEXT, fontsize=14, weight="bold", va="top")
    figure.legend(
        handles=[
            Line2D([], [], color=colours.TRUTH_COLOUR, linewidth=2.5, label="truth"),
            Line2D([], [], color=colours.PREDICTION_COLOUR, linewidth=2.5, label="found"),
        ],
        loc="upper left",
        bbox_to_anchor=(0.0, 1 - 0.42 / height),  # under the title, which may be as long as the sheet is wide
        ncols=2,
        frameon=False,
        labelcolor=colours.TEXT,
        fontsize=11,
    )
    for place, tile in enumerate(tiles):
        _draw(figure.add_subplot(grid[place // columns, place % columns]), tile)
    drawing.save(figure, path)


def _tile(row: CohortRow) -> _Tile:
    require_same_grid(row.image, row.prediction, f"the prediction of case {row.case_id}")
    require_same_grid(row.image, row.truth, f"the label of case {row.case_id}")
    scan = Volume.of(row.image)
    truth, found = lps_array(row.truth), lps_array(row.prediction)
    view = _key_view(truth, scan) or _key_view(found, scan) or _middle(scan)
    z_mm = scan.image.TransformIndexToPhysicalPoint((0, 0, view.z))[2]
    part = (view.z, view.rows, view.columns)
    kind = "" if truth.any() else " (no embolus)"
    return _Tile(
        title=f"{row.case_id}{kind}, z = {z_mm:.0f} mm",
        caption=row.caption,
        hu=scan.array[part].copy(),
        layers=((truth[part] > 0, colours.TRUTH_COLOUR), (found[part] > 0, colours.PREDICTION_COLOUR)),
        plane=drawing.Plane((scan.spacing_mm[1], scan.spacing_mm[2])),
    )


def _key_view(labels: NDArray[Any], scan: Volume) -> View | None:
    boxes = boxes_by_id(labels)
    if not boxes:
        return None
    largest = max(boxes, key=lambda identity: int((labels[boxes[identity].slices] == identity).sum()))
    z = widest_slice(labels, largest, boxes[largest])
    rows, columns = np.nonzero(labels[z] == largest)
    return view_around((z, int(rows.mean()), int(columns.mean())), scan.array.shape, scan.spacing_mm, SIDE_MM)


def _middle(scan: Volume) -> View:
    depth, height, width = scan.array.shape
    return view_around((depth // 2, height // 2, width // 2), scan.array.shape, scan.spacing_mm, np.inf)


def _draw(axes: Axes, tile: _Tile) -> None:
    tile.plane.show(axes, tile.hu)
    for mask, colour in tile.layers:
        tile.plane.outline(axes, mask, colour)
    drawing.scale_bar(axes)
    drawing.heading(axes, f"{tile.title}\n{tile.caption}", size=9)
