"""Pieces of a picture: grey planes at a CTPA window, outlines, scale bars, in mm and in radiological orientation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from numpy.typing import NDArray

from pe_nnunet.files import atomic_path
from pe_nnunet.volumes.geometry import spacing_zyx, to_lps

PREDICTION_COLOUR, TRUTH_COLOUR = "#ff9d2e", "#35d0ff"  # orange and sky blue: told apart with any colour vision
BACKGROUND, TEXT, FAINT = "#101214", "#f2f2f2", "#9aa0a6"
WINDOW_HU = (-250.0, 450.0)  # width 700, level 100: opacified arteries are bright, clots a darker grey within them
SCALE_BARS_MM = (200, 100, 50, 20, 10, 5)


class Panel:
    """A plane of a volume in its axes: rows run downwards, columns to the right, which is the patient's left.

    Args:
        axes: Where to; its coordinates are mm from the plane's first voxel.
        spacing_mm: (row, column).
        towards_head_up: Whether rows must be flipped, because row 0 lies at the feet (coronal planes).
    """

    def __init__(self, axes: Axes, spacing_mm: tuple[float, float], *, towards_head_up: bool = False) -> None:
        self.axes = axes
        self.spacing_mm = spacing_mm
        self.towards_head_up = towards_head_up

    def show(self, hu: NDArray[Any], origin: tuple[int, int] = (0, 0)) -> None:
        """Draw the plane in grey.

        Args:
            hu: (row, column).
            origin: Index in the whole plane of the first voxel of `hu`, where that is a part.
        """
        (dy, dx), (rows, columns) = self.spacing_mm, hu.shape
        left, top = (origin[1] - 0.5) * dx, (origin[0] - 0.5) * dy
        self.axes.imshow(
            hu,
            cmap="gray",
            vmin=WINDOW_HU[0],
            vmax=WINDOW_HU[1],
            extent=(left, left + columns * dx, top + rows * dy, top),
            interpolation="bilinear",
            aspect="equal",
        )
        self.axes.set_xlim(left, left + columns * dx)
        self.axes.set_ylim(*((top, top + rows * dy) if self.towards_head_up else (top + rows * dy, top)))
        self.axes.set_anchor("N")  # so that panels of different shapes have their headings on one line
        self.axes.set_xticks([])
        self.axes.set_yticks([])
        for side in self.axes.spines.values():
            side.set_visible(False)

    def outline(
        self, mask: NDArray[np.bool_], colour: str, *, origin: tuple[int, int] = (0, 0), width: float = 1.4
    ) -> None:
        """Draw the border of a mask.

        Args:
            mask: (row, column).
            colour: Any that matplotlib knows.
            origin: Index in the whole plane of the mask's first voxel.
            width: In points.
        """
        if not mask.any():
            return
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        padded = np.pad(part, 1).astype(np.float32)  # closes the line where the mask touches the border
        y = (np.arange(padded.shape[0]) + rows[0] - 1 + origin[0]) * self.spacing_mm[0]
        x = (np.arange(padded.shape[1]) + columns[0] - 1 + origin[1]) * self.spacing_mm[1]
        self.axes.contour(x, y, padded, levels=[0.5], colors=[colour], linewidths=width)

    def ring(self, centre: tuple[int, int], radius_mm: float, colour: str) -> None:
        """Draw a broken circle around a voxel (row, column)."""
        y, x = (index * step for index, step in zip(centre, self.spacing_mm, strict=True))
        circle = Circle((x, y), radius_mm, fill=False, edgecolor=colour, linestyle="dashed", linewidth=1.4)
        self.axes.add_patch(circle)

    def scale_bar(self) -> None:
        """Draw a bar of a round length, at most a third of the picture's width, with its length in mm."""
        left, right = self.axes.get_xlim()
        low, high = self.axes.get_ylim()  # low is the lower border of the picture, whichever way the axis runs
        length = next((mm for mm in SCALE_BARS_MM if mm <= 0.34 * abs(right - left)), None)
        if length is None:
            return
        x, y = left + 0.04 * (right - left), low + 0.045 * (high - low)
        self.axes.plot([x, x + length], [y, y], color=TEXT, linewidth=2.5, solid_capstyle="butt")
        self.write(x + length / 2, y + 0.015 * (high - low), f"{length} mm", size=8, va="bottom", ha="center")

    def write(self, x: float, y: float, text: str, *, size: float, colour: str = TEXT, **where: Any) -> None:
        """Put text at a place (in mm unless `where` says otherwise), legible on any ground, never read as a formula."""
        label = self.axes.text(x, y, text, fontsize=size, color=colour, parse_math=False, clip_on=True, **where)
        label.set_bbox({"facecolor": BACKGROUND, "edgecolor": "none", "alpha": 0.55, "pad": 1.0})

    def heading(self, text: str, *, colour: str = TEXT, size: float = 10) -> None:
        """A title above the panel, from its left border on."""
        self.axes.set_title(text, loc="left", color=colour, fontsize=size, pad=4, parse_math=False)

    def caption(self, text: str) -> None:
        """Small text in the upper right corner."""
        self.write(0.98, 0.97, text, size=8, transform=self.axes.transAxes, ha="right", va="top")

    def sides(self) -> None:
        """The patient's right and left, as radiologists view an image."""
        for x, side, place in ((0.015, "R", "left"), (0.985, "L", "right")):
            self.write(x, 0.5, side, size=10, transform=self.axes.transAxes, ha=place, va="center")


def new_figure(width_inch: float, height_inch: float) -> Figure:
    """A dark figure of its own: no pyplot, so no state that other code could share or leak."""
    figure = Figure(figsize=(width_inch, height_inch), dpi=100, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    return figure


def legend(
    figure: Figure, names: dict[str, str], *, loc: Literal["upper left", "upper right"], at: tuple[float, float]
) -> None:
    """Say what is outlined in which colour.

    Args:
        figure: Where to.
        names: By colour.
        loc: Corner of the legend, as matplotlib names it.
        at: Where that corner lies, as a share of the figure (x, y).
    """
    figure.legend(
        handles=[Line2D([], [], color=colour, linewidth=2.5, label=name) for colour, name in names.items()],
        loc=loc,
        bbox_to_anchor=at,
        ncols=2,
        frameon=False,
        labelcolor=TEXT,
        fontsize=11,
    )


def save(figure: Figure, path: Path) -> None:
    """Write the figure as PNG, whole or not at all; the same figure gives the same bytes.

    Raises:
        OutputError: PE-OUT-001 if it cannot be written.
    """
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", facecolor=BACKGROUND, metadata={"Software": "pe-nnunet"})


@dataclass(frozen=True)
class Volume:
    """A scan turned to LPS axes, with its voxels as an array that is not copied.

    Attributes:
        image: In LPS orientation; it owns the voxels, so the array must not outlive this object.
        array: A view of it, (z, y, x): z grows towards the head, y towards the back, x towards the patient's left.
        spacing_mm: (z, y, x).
    """

    image: sitk.Image
    array: NDArray[Any]
    spacing_mm: tuple[float, float, float]

    @classmethod
    def of(cls, image: sitk.Image) -> Volume:
        """Turn an image's axes, without interpolation."""
        turned = to_lps(image)
        return cls(turned, sitk.GetArrayViewFromImage(turned), spacing_zyx(turned))


def lps_array(image: sitk.Image) -> NDArray[Any]:
    """The voxels of an image turned to LPS axes, (z, y, x), as an array of its own."""
    return np.asarray(sitk.GetArrayFromImage(to_lps(image)))
