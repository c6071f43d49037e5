"""One picture of a case that a person understands: where the emboli lie, and the key slices of the main ones."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pe_nnunet.cases import DISCLAIMER
from pe_nnunet.outputs import drawing
from pe_nnunet.outputs.case import CaseResult
from pe_nnunet.outputs.picture_scene import KeySlice, Layer, Scene, compose, slab_of, view_around
from pe_nnunet.volumes.geometry import require_same_grid

KEY_SIDE_MM = 110.0
MAX_NUMBERED = 9  # more numbers than that on a projection hide the anatomy
MAX_OUTLINED = (
    50  # findings in a panel that get a line of their own: each takes milliseconds, and noise gives thousands
)
MARKER_RADIUS_MM = 8.0
MAX_NOTES_CHARACTERS = 120  # of the line that the notice shares


def write_overview(case: CaseResult, path: Path) -> None:
    """Draw a case and write it as PNG.

    Args:
        case: The results.
        path: The file.

    Raises:
        OutputError: PE-OUT-001 if it cannot be written.
    """
    drawing.save(_figure(case, compose(case, None)), path)


def truth_overview(case: CaseResult, truth: sitk.Image, path: Path) -> None:
    """The same picture with the true emboli outlined in a second colour, and with missed ones among the key slices.

    Args:
        case: The results.
        truth: Ids or a mask of the true emboli, on the scan's grid.
        path: The file.

    Raises:
        GeometryError: PE-GEO-001 or PE-GEO-002 if the truth lies on another grid.
        OutputError: PE-OUT-001 if it cannot be written.
    """
    require_same_grid(case.image, truth, f"the label of case {case.case_id}")
    drawing.save(_figure(case, compose(case, truth)), path)


def _figure(case: CaseResult, scene: Scene) -> Figure:
    figure = drawing.new_figure(12.6, 9.0)
    grid = figure.add_gridspec(
        2, 3, left=0.015, right=0.985, bottom=0.05, top=0.87, wspace=0.05, hspace=0.1, width_ratios=[1.2, 1, 1]
    )
    _words(figure, case, with_truth=scene.truth is not None)
    draw_projection(figure.add_subplot(grid[0, 0]), scene, axis=1)
    draw_projection(figure.add_subplot(grid[1, 0]), scene, axis=0)
    for place, key in enumerate(scene.keys):
        draw_key_slice(figure.add_subplot(grid[place // 2, 1 + place % 2]), scene, key)
    return figure


def _words(figure: Figure, case: CaseResult, *, with_truth: bool) -> None:
    emboli = case.emboli
    count = len(emboli.kept)
    if count:
        verdict = f"{count} {'embolus' if count == 1 else 'emboli'}, {emboli.volume_mm3:,.0f} mm³ in all"
    else:
        verdict = f"no embolus found above threshold {emboli.settings.threshold:g}"
    spacing = " x ".join(f"{s:.2f}" for s in case.image.GetSpacing())
    size = " x ".join(map(str, case.image.GetSize()))
    facts = [
        f"PE score {emboli.pe_score:.2f}",
        f"threshold {emboli.settings.threshold:g}",
        f"candidates not kept {len(emboli.candidates) - count}",
        f"{size} voxels of {spacing} mm",
        *([f"networks {len(case.models)}"] if case.models else []),
    ]
    plain: dict[str, Any] = {"parse_math": False, "ha": "left", "va": "top"}
    figure.text(0.012, 0.985, f"{case.case_id}: {verdict}", color=drawing.TEXT, fontsize=17, weight="bold", **plain)
    figure.text(0.012, 0.938, " \u00b7 ".join(facts), color=drawing.FAINT, fontsize=10.5, **plain)
    notes = "notes: " + "; ".join(map(str, case.notes)) if case.notes else ""
    notes = textwrap.shorten(notes, MAX_NOTES_CHARACTERS, placeholder=" ...")
    figure.text(0.012, 0.03, notes, color=drawing.FAINT, fontsize=8, **plain)
    figure.text(0.988, 0.03, DISCLAIMER, color=drawing.FAINT, fontsize=8, **{**plain, "ha": "right"})
    names = {drawing.PREDICTION_COLOUR: "found"} | ({drawing.TRUTH_COLOUR: "truth"} if with_truth else {})
    drawing.legend(figure, names, loc="upper right", at=(0.99, 0.985))


def draw_projection(axes: Axes, scene: Scene, *, axis: int) -> None:
    """A maximum intensity projection of a slab amid the findings, with the outlines of all, those beyond it included.

    Args:
        axes: Where to.
        scene: The case.
        axis: 0 looks from the feet (axial), 1 from the front (coronal).
    """
    array, spacing = scene.scan.array, scene.scan.spacing_mm
    start, stop = slab_of(scene, axis)
    slab = array[start:stop] if axis == 0 else array[:, start:stop]
    panel = drawing.Panel(axes, (spacing[1 - axis], spacing[2]), towards_head_up=axis == 1)
    panel.show(slab.max(axis=axis))
    for layer in scene.layers:
        _outline_projections(panel, layer, axis)
    _number(panel, scene.found, axis)
    name = ("axial", "coronal")[axis]
    panel.heading(f"{name} maximum intensity projection, {(stop - start) * spacing[axis]:.0f} mm thick")
    panel.scale_bar()
    panel.sides()


def draw_key_slice(axes: Axes, scene: Scene, key: KeySlice) -> None:
    """The surroundings of a finding in its axial slice, with the outlines that cross it.

    Args:
        axes: Where to.
        scene: The case.
        key: Which slice.
    """
    scan = scene.scan
    side_mm = np.inf if key.whole else KEY_SIDE_MM
    part = view_around(key.centre_zyx, scan.array.shape, scan.spacing_mm, side_mm)
    origin = (part[1].start, part[2].start)
    panel = drawing.Panel(axes, scan.spacing_mm[1:])
    panel.show(scan.array[part], origin)
    for layer in scene.layers:
        labels = layer.labels[part]
        subject = key.identity if layer.colour == key.colour else 0
        others = np.setdiff1d(labels, [0, subject])
        masks = [labels == other for other in others] if len(others) <= MAX_OUTLINED else [np.isin(labels, others)]
        for mask in masks:
            panel.outline(mask, layer.colour, origin=origin, width=1.0)
        panel.outline((labels == subject) & (labels > 0), layer.colour, origin=origin, width=2.0)
    if key.marked:
        panel.ring(key.centre_zyx[1:], MARKER_RADIUS_MM, key.colour)
    z_mm = scan.image.TransformIndexToPhysicalPoint(key.centre_zyx[::-1])[2]
    panel.heading(key.title, colour=key.colour)
    panel.scale_bar()
    panel.caption(f"z = {z_mm:.1f} mm")


def _outline_projections(panel: drawing.Panel, layer: Layer, axis: int) -> None:
    """Outline the projection of every finding, or, where there are very many, that of all together."""
    common = np.zeros(np.delete(layer.labels.shape, axis), bool)
    for identity, box in layer.boxes.items():
        rows, columns = box.slices[1 - axis], box.slices[2]
        projection = (layer.labels[box.slices] == identity).any(axis=axis)
        common[rows, columns] |= projection
        if len(layer.boxes) <= MAX_OUTLINED:
            panel.outline(projection, layer.colour, origin=(rows.start, columns.start), width=1.1)
    if len(layer.boxes) > MAX_OUTLINED:
        panel.outline(common, layer.colour, width=1.1)


def _number(panel: drawing.Panel, found: Layer, axis: int) -> None:
    for identity, box in list(found.boxes.items())[:MAX_NUMBERED]:
        rows, columns = box.slices[1 - axis], box.slices[2]
        top = rows.stop if panel.towards_head_up else rows.start
        x, y = columns.stop * panel.spacing_mm[1], top * panel.spacing_mm[0]
        panel.write(x, y, str(identity), size=9, colour=found.colour, ha="left", va="bottom")
