"""A case for the report page: its region of interest as small grey pictures, outlines and places of the findings."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import find_contours

from pe_nnunet.errors import InputError
from pe_nnunet.fusion import Candidate
from pe_nnunet.outputs.case import CaseResult
from pe_nnunet.outputs.picture_scene import Scene, compose, slab_of
from pe_nnunet.processes import usable_processors
from pe_nnunet.voxels import Box

GREY_HU = ((-1350.0, 0), (-250.0, 63), (450.0, 255))
"""HU and the grey level that stands for it, straight between: three quarters of the levels for vessels and clot, 3.7 HU
each, the rest for the lung, 17 HU each. A picture with 256 even levels over that range would have steps of 7 HU."""

WINDOWS = (("PE", 700, 100), ("Mediastinum", 350, 40), ("Lung", 1500, -600))  # name, width and level in HU
MAX_CHARACTERS = 13_000_000  # of all slices in the page; beyond, slices are left out evenly
PROBES = 9  # slices that tell how large the others are
QUALITY = 75  # of WebP: some 0.1 bytes a pixel, errors below the noise of a CTPA
MAX_EMBOLI = 300  # that are shown, the first by id
MAX_CANDIDATES = 30  # findings that are not kept, the first by id
MARGIN_VOXELS = 2
BODY_HU = -500


def page_data(case: CaseResult) -> dict[str, Any]:
    """Everything that the page draws, in JSON's own types.

    Args:
        case: The results, with levels where they are known.

    Returns:
        `slices` from the feet to the head, each with `index` on the case's LPS grid within the region, `z_mm` of its
        middle, `image` and `outlines`; `findings` in the order of the table, placed in slices, columns and rows of the
        region; size and spacing, windows, the HU of each grey level, and a coronal projection.
    """
    scene = compose(case, None)
    box = _shown(case, scene)
    shape = box.shape
    places = _places(case, scene, box)
    part = scene.scan.array[box.slices]
    chosen = chosen_slices(shape[0], _characters(part), [int(place[0]) for place in places.values()])
    with ThreadPoolExecutor(usable_processors()) as pool:  # the encoder leaves Python's lock to others
        pictures = list(pool.map(_picture, (part[k] for k in chosen)))
    outlines = _outlines(scene, box, set(chosen))
    findings = [_finding(row, places[row.id], chosen) for row in listed(case)]
    start, stop = slab_of(scene, 1)
    rows = slice(max(start, box.start[1]), max(min(stop, box.stop[1]), max(start, box.start[1]) + 1))
    coronal = scene.scan.array[box.slices[0], rows, box.slices[2]].max(axis=1)[::-1]
    z_mm, y_mm, x_mm = scene.scan.spacing_mm
    return {
        "case": case.case_id,
        "width": shape[2],
        "height": shape[1],
        "depth": shape[0],
        "spacing_mm": [x_mm, y_mm, z_mm],
        "hu": [round(float(hu), 1) for hu in np.interp(range(256), *_knots()[::-1])],
        "windows": [{"name": name, "width": width, "level": level} for name, width, level in WINDOWS],
        "locator": {"image": _picture(coronal), "width": shape[2], "height": shape[0], "depth": shape[0]},
        "findings": findings,
        "slices": [
            {
                "index": k,
                "z_mm": round(_position(scene, box, (k, shape[1] // 2, shape[2] // 2))[2], 2),
                "image": picture,
                "outlines": outlines.get(k, []),
            }
            for k, picture in zip(chosen, pictures, strict=True)
        ],
    }


def listed(case: CaseResult) -> list[Candidate]:
    """The findings that the page shows, in the order of the table."""
    others = [row for row in case.emboli.candidates if not row.kept]
    return [*case.emboli.kept[:MAX_EMBOLI], *others[:MAX_CANDIDATES]]


def _shown(case: CaseResult, scene: Scene) -> Box:
    """The region that the networks saw, else what is inside the body; every listed finding is in it."""
    shape = scene.scan.array.shape
    corners = case.roi.get("box_zyx_lps")
    body = None if corners else Box.around(scene.scan.array > BODY_HU)
    box = Box.from_list(corners) if corners else body or Box.whole(shape)
    voxels = np.array([_voxel_lps(case, scene, row.voxel_zyx) for row in listed(case)] or [box.start])
    low = np.minimum(box.start, np.maximum(voxels.min(axis=0) - MARGIN_VOXELS, 0)).tolist()
    high = np.maximum(box.stop, np.minimum(voxels.max(axis=0) + 1 + MARGIN_VOXELS, shape)).tolist()
    return Box(tuple(low), tuple(high))


def _voxel_lps(case: CaseResult, scene: Scene, voxel_zyx: Sequence[int]) -> tuple[int, int, int]:
    """A voxel of the case's own grid on the LPS grid."""
    point = case.image.TransformIndexToPhysicalPoint([int(v) for v in voxel_zyx[::-1]])
    x, y, z = scene.scan.image.TransformPhysicalPointToIndex(point)
    return z, y, x


def _places(case: CaseResult, scene: Scene, box: Box) -> dict[int, tuple[int, int, int]]:
    """Where to look for each finding: the widest slice of an embolus, the most certain voxel of a candidate."""
    places = {}
    for row in listed(case):
        z, y, x = scene.found.centre(row.id) if row.kept else _voxel_lps(case, scene, row.voxel_zyx)
        places[row.id] = (z - box.start[0], y - box.start[1], x - box.start[2])
    return places


def _characters(part: NDArray[Any]) -> float:
    """What a slice takes in the page on average, by a few of them: noise takes the most, and scans differ in it."""
    probes = np.unique(np.linspace(0, len(part) - 1, PROBES).round().astype(int))
    return float(np.mean([len(_picture(part[k])) for k in probes]))


def chosen_slices(depth: int, characters: float, needed: Sequence[int]) -> list[int]:
    """Every n-th slice, with n as small as the page's size allows, and the slices that findings are looked at in.

    Args:
        depth: How many there are.
        characters: What each takes in the page.
        needed: Those that are shown in any case.

    Example:
        >>> chosen_slices(8, 5_000_000, [3])
        [0, 3, 4]
    """
    step = max(1, math.ceil(depth * characters / MAX_CHARACTERS))
    return sorted({*range(0, depth, step), *needed})


def _finding(row: Candidate, place: tuple[int, int, int], chosen: Sequence[int]) -> dict[str, Any]:
    return {
        "id": row.id,
        "kept": row.kept,
        "slice": chosen.index(place[0]),
        "z_index": place[0],
        "row": place[1] + 0.5,
        "column": place[2] + 0.5,
    }


def _outlines(scene: Scene, box: Box, chosen: set[int]) -> dict[int, list[dict[str, Any]]]:
    """By slice: the border of each embolus as closed lines x, y, x, y, ... in pixels from the region's corner."""
    found: dict[int, list[dict[str, Any]]] = {}
    for identity, found_box in list(scene.found.boxes.items())[:MAX_EMBOLI]:
        sides = found_box.slices
        mask = scene.found.labels[sides] == identity
        top, left = sides[1].start - box.start[1], sides[2].start - box.start[2]
        for k, plane in enumerate(mask, sides[0].start - box.start[0]):
            if k in chosen and plane.any():
                lines = find_contours(np.pad(plane, 1).astype(np.float32), 0.5)
                corner = (top - 0.5, left - 0.5)  # a pixel's middle lies half a pixel into it; one pixel was padded
                flat = [np.round(line[:-1] + corner, 1)[:, ::-1].ravel().tolist() for line in lines]
                found.setdefault(k, []).append({"id": identity, "lines": flat})
    return found


def _position(scene: Scene, box: Box, voxel_zyx: Sequence[int]) -> tuple[float, float, float]:
    index = [int(v + start) for v, start in zip(voxel_zyx, box.start, strict=True)][::-1]
    x, y, z = scene.scan.image.TransformIndexToPhysicalPoint(index)
    return x, y, z


def _knots() -> tuple[list[float], list[float]]:
    return [hu for hu, _ in GREY_HU], [float(grey) for _, grey in GREY_HU]


@lru_cache(maxsize=1)
def _grey_levels() -> NDArray[np.uint8]:
    """The grey level of each whole HU from the lowest on."""
    return np.asarray(np.interp(np.arange(GREY_HU[0][0], GREY_HU[-1][0] + 1), *_knots()).round(), np.uint8)


def _picture(hu: NDArray[Any]) -> str:
    """A plane as WebP in a data address."""
    low, high = GREY_HU[0][0], GREY_HU[-1][0]
    grey = _grey_levels()[np.rint(np.clip(hu, low, high) - low).astype(np.intp)]
    if max(grey.shape) > 16383:
        raise InputError("PE-OUT-003", f"a slice of {grey.shape} pixels is too large for a picture of the report")
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "WEBP", quality=QUALITY, method=2)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")
