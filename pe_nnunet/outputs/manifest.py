"""The JSON manifest of one case: what was found, and everything needed to know how."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pe_nnunet import __version__
from pe_nnunet.fusion import Candidate
from pe_nnunet.outputs.case import CaseResult

DISCLAIMER = "Research use only. Not a medical device; not for diagnosis or treatment decisions."
PACKAGES = (
    "nnunetv2", "torch", "numpy", "scipy", "SimpleITK", "connected-components-3d", "pydicom", "highdicom", "nibabel",
)  # fmt: skip


def case_manifest(case: CaseResult, files: dict[str, str]) -> dict[str, Any]:
    """Everything about a case but its voxels.

    Args:
        case: The results.
        files: What was written beside the manifest: kind of output -> file name.

    Returns:
        A dictionary of JSON's own types, in the order in which a person would read it.
    """
    emboli, image = case.emboli, case.image
    volumes = [round(row.volume_mm3, 3) for row in emboli.kept]  # beyond that lies the rounding of a sum, not a volume
    return {
        "case": case.case_id,
        "notice": DISCLAIMER,
        "pe_score": round(emboli.pe_score, 6),
        "emboli": len(volumes),
        "volume_mm3": round(emboli.volume_mm3, 3),
        "volumes_mm3": volumes,
        "findings": [_finding(case, row) for row in emboli.kept],
        "candidates": len(emboli.candidates),
        "seconds": round(case.seconds, 3),
        "timings_s": {stage: round(seconds, 3) for stage, seconds in case.timings_s.items()},
        "notes": [asdict(note) for note in case.notes],
        "files": files,
        "source": {"path": case.source, "sha256": case.source_sha256},
        "grid": {
            "size_xyz": list(image.GetSize()),
            "spacing_mm_xyz": list(image.GetSpacing()),
            "origin_lps_mm": list(image.GetOrigin()),
            "direction": list(image.GetDirection()),
        },
        "roi": dict(case.roi),
        "settings": asdict(emboli.settings),
        "models": [asdict(model) for model in case.models],
        "arguments": dict(case.arguments),
        "versions": versions(),
        "system": {"platform": platform.platform(), "processors": os.cpu_count()},
    }


def _finding(case: CaseResult, row: Candidate) -> dict[str, Any]:
    k, j, i = row.voxel_zyx
    artery = case.levels.get(row.id)
    return {
        "id": row.id,
        "probability": round(row.probability, 6),
        "volume_mm3": round(row.volume_mm3, 3),
        "position_lps_mm": [round(v, 3) for v in case.image.TransformIndexToPhysicalPoint((i, j, k))],
        "artery_mm": round(artery.diameter_mm, 1) if artery else None,
        "level": artery.level if artery else None,
    }


def versions() -> dict[str, str]:
    """Versions of this package, of Python and of the packages that decide about a result; none is imported for it."""
    found = {"pe_nnunet": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
