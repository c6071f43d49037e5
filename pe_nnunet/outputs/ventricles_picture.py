"""A picture of the lines that the ventricles were measured along: two axial slices and the four-chamber plane."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pe_nnunet.burden.planes import Chord, Plane
from pe_nnunet.outputs import drawing
from pe_nnunet.outputs.case import CaseResult

COLOURS = {"right": drawing.PREDICTION_COLOUR, "left": drawing.TRUTH_COLOUR}
AROUND_MM = 75.0  # of the lines' middle
STEP_MM = 0.7


def draw_ventricles(case: CaseResult) -> Figure:
    """The figure of a case whose burden has lines."""
    found = None if case.burden is None else case.burden.ventricles
    shown: list[tuple[str, Plane, dict[str, Chord]]] = []
    if found is not None and (axial := found.axial) is not None:
        shown.append(("Axial", axial.planes[0], {"right": axial.right}))
        shown.append(("Axial", axial.planes[1], {"left": axial.left}))
    if found is not None and (four := found.four_chamber) is not None:
        shown.append(("Four-chamber", four.planes[0], {"right": four.right, "left": four.left}))
    volume = drawing.Volume.of(case.image)
    figure = drawing.new_figure(4.2 * len(shown), 4.7)
    for k, (view, plane, chords) in enumerate(shown):
        axes = figure.add_axes(((k + 0.01) / len(shown), 0.02, 0.98 / len(shown), 0.88))
        panel = drawing.Panel(axes, (STEP_MM, STEP_MM))
        _show(panel, volume, plane, chords, axial=view == "Axial")
        lengths = ", ".join(f"{side} ventricle {chord.length_mm:.0f} mm" for side, chord in chords.items())
        panel.heading(f"{view}: {lengths}", size=9)
    return figure


def _show(panel: drawing.Panel, volume: drawing.Volume, plane: Plane, chords: dict[str, Chord], *, axial: bool) -> None:
    """Draw a plane as one looks at it: axial from the feet; four-chamber with the atria above."""
    ends = [end for chord in chords.values() for end in (chord.start_mm, chord.end_mm)]
    down, right = (np.array([0.0, 1, 0]), np.array([0.0, 0, 1])) if axial else (plane.along, plane.across)
    if right[2] < 0:  # what lies more to the patient's left, on the right of the picture
        right = -right
    seen = Plane(np.mean(ends, axis=0), down, right)
    extent = (-AROUND_MM, AROUND_MM, -AROUND_MM, AROUND_MM)
    panel.show(seen.sample(volume.array, volume.spacing_mm, extent, STEP_MM, outside=-1000))
    for side, chord in chords.items():
        places = np.array([seen.coordinates(end) for end in (chord.start_mm, chord.end_mm)]) + AROUND_MM
        panel.axes.plot(places[:, 1], places[:, 0], color=COLOURS[side], linewidth=2)
    panel.scale_bar()
    if axial:
        panel.sides()


def write_ventricles(case: CaseResult, path: Path) -> None:
    """Write it as PNG.

    Raises:
        OutputError: PE-OUT-001 if it cannot be written.
    """
    drawing.save(draw_ventricles(case), path)


def ventricles_address(case: CaseResult) -> str:
    """The picture as an address that a page shows without a file; empty where there are no lines."""
    if case.burden is None or not case.burden.has_lines:
        return ""
    held = io.BytesIO()
    draw_ventricles(case).savefig(held, format="png", facecolor=drawing.BACKGROUND, metadata={"Software": "pe-nnunet"})
    return "data:image/png;base64," + base64.b64encode(held.getvalue()).decode("ascii")
