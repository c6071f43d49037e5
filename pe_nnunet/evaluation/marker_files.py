"""Tables of markers as other tools have them: the CAD-PE challenge's text and AANet's CSV.

AANet's CSV, `id,x,y,z,prob` in LPS mm beside an instance map of the same name, is read by
`pe_nnunet.outputs.table.read_emboli_csv`, as our own is; here it is written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import SimpleITK as sitk

from pe_nnunet.errors import InputError
from pe_nnunet.metrics.markers import VoxelMarker

CAD_PE_COLUMNS = "Scan X Y Z Confidence"


def read_cad_pe(path: Path) -> dict[str, tuple[VoxelMarker, ...]]:
    """Read a submission to the CAD-PE challenge: `Scan X Y Z Confidence`, a line a marker, voxels counted from 0.

    A first line of these names, empty lines, and commas or tabs instead of spaces are accepted; a marker without a
    confidence, which the challenge allows, gets 1.

    Args:
        path: A text file.

    Returns:
        scan -> its markers, in the file's order.

    Raises:
        InputError: PE-IN-002 if there is no such file, PE-EVAL-006 if it is not such a table.
    """
    if not path.is_file():
        raise InputError("PE-IN-002", f"{path} does not exist", "check the path")
    scans: dict[str, list[VoxelMarker]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        fields = line.replace(",", " ").split()
        if not fields or (number == 1 and fields[0].lower() == "scan"):
            continue
        try:
            scan, x, y, z, *rest = fields
            (confidence,) = map(float, rest or ["1"])
            voxel = round(float(z)), round(float(y)), round(float(x))
        except (ValueError, OverflowError) as error:
            raise InputError(
                "PE-EVAL-006", f"{path} line {number}: {line.strip()!r}, expected {CAD_PE_COLUMNS}: {error}"
            ) from error
        if not math.isfinite(confidence):
            raise InputError("PE-EVAL-006", f"{path} line {number}: the confidence is {confidence}")
        scans.setdefault(scan, []).append(VoxelMarker(voxel, confidence))
    return {scan: tuple(markers) for scan, markers in scans.items()}


def cad_pe_text(scans: Mapping[str, Sequence[VoxelMarker]]) -> str:
    r"""Markers in the challenge's format.

    Example:
        >>> cad_pe_text({"021": [VoxelMarker((30, 20, 10), 0.75)]})
        '021 10 20 30 0.75\n'
    """
    return "".join(
        "{} {} {} {} {:.7g}\n".format(scan, *reversed(marker.voxel_zyx), marker.probability)
        for scan, markers in scans.items()
        for marker in markers
    )


def aanet_csv(markers: Sequence[VoxelMarker], grid: sitk.Image) -> str:
    """Markers as AANet's own evaluation reads them: `id,x,y,z,prob`, ids from 1 on without a gap, x, y, z in LPS mm."""
    lines = ["id,x,y,z,prob"]
    for number, marker in enumerate(markers, 1):
        k, j, i = marker.voxel_zyx
        x, y, z = grid.TransformIndexToPhysicalPoint((i, j, k))
        lines.append(f"{number},{x:.4f},{y:.4f},{z:.4f},{marker.probability:.7g}")
    return "\n".join(lines) + "\n"
