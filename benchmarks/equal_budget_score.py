"""Scores of a model of `equal_budget.py`, and the table of all of them.

All arms see the crops that conversion made, go through the same component finder, and have their threshold and smallest
finding chosen on the validation scans alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from equal_budget_arms import ARMS, REFERENCE

from pe_nnunet.evaluation.bootstrap import Resampling
from pe_nnunet.evaluation.cad_pe import cad_pe_hits
from pe_nnunet.evaluation.froc import froc, sensitivity_at
from pe_nnunet.evaluation.hits import ScanHits
from pe_nnunet.evaluation.markers import VoxelMarker
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.inference import locate_folder
from pe_nnunet.inference.ensemble import InferenceSettings, predict_ensemble
from pe_nnunet.inference.model import load_model
from pe_nnunet.volumes import spacing_zyx

THRESHOLDS, SMALLEST_MM3 = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), (0.0, 50.0, 200.0, 400.0)
RATES, SIZES_MM3 = (1.0, 2.0, 4.0, 8.0), ((0.0, 200.0), (200.0, 1000.0), (1000.0, float("inf")))
EPS_MM = 2.0
Scan = tuple[sitk.Image, np.ndarray, np.ndarray]


def score_models(folders: Sequence[str], fold: int, raw: Path, cases: Mapping[str, Sequence[str]], device: str) -> Any:
    """Predict, choose on `cases["val"]`, score `cases["test"]`; JSON types, one entry a test scan."""
    where = torch.device(device)
    models = [load_model(locate_folder(Path(folder), [str(fold)]), where, trust=True) for folder in folders]
    without_mirroring = InferenceSettings(mirroring=False)

    def predicted(case: str) -> Scan:
        image = sitk.ReadImage(str(raw / "imagesTr" / f"{case}_0000.nii.gz"))
        truth = sitk.GetArrayFromImage(sitk.ReadImage(str(raw / "pe_nnunet" / "instances" / f"{case}.nii.gz")))
        return image, truth, predict_ensemble(models, image, where, without_mirroring).probability

    settings = choose([predicted(case) for case in cases["val"]])
    scans = {}
    for case in cases["test"]:
        image, truth, probability = predicted(case)
        found = find_emboli(probability, spacing_zyx(image), settings)
        markers = [VoxelMarker(finding.voxel_zyx, finding.probability) for finding in found.candidates]
        (hits,) = cad_pe_hits(case, truth, markers, spacing_zyx(image), [EPS_MM])
        scans[case] = {
            "dice": dice(found.labels > 0, truth > 0) if truth.any() else None,
            "embolus_scores": hits.embolus_scores,
            "false_scores": hits.false_scores,
            "volumes_mm3": hits.volumes_mm3,
        }
    return {"threshold": settings.threshold, "min_volume_mm3": settings.min_volume_mm3, "scans": scans}


def choose(scans: Sequence[Scan]) -> FusionSettings:
    """The threshold and smallest finding of the highest mean Dice over scans with emboli, less stray clot in others."""
    best, best_score = FusionSettings(min_volume_mm3=0.0), -1.0
    for threshold in THRESHOLDS:
        for smallest in SMALLEST_MM3:
            settings = FusionSettings(threshold=threshold, min_volume_mm3=smallest)
            scores = []
            for image, truth, probability in scans:
                kept = find_emboli(probability, spacing_zyx(image), settings).labels > 0
                scores.append(dice(kept, truth > 0) if truth.any() else float(not kept.any()))
            if np.mean(scores) > best_score:
                best, best_score = settings, float(np.mean(scores))
    return best


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Of two masks, one of which is not empty."""
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


def numbers(scans: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """What the table shows of some scans, each weighted as often as it is there."""
    dices = [scan["dice"] for scan in scans if scan["dice"] is not None]
    hits = [
        ScanHits(str(k), *(tuple(scan[key]) for key in ("embolus_scores", "false_scores", "volumes_mm3")))
        for k, scan in enumerate(scans)
    ]
    curve = froc(hits)
    found: dict[str, float | None] = {"dice": float(np.mean(dices)) if dices else None}
    found |= {f"at {rate:g}": sensitivity_at(curve, rate, "cad-pe") for rate in RATES}
    for low, high in SIZES_MM3:
        part = froc([scan.between(low, high) for scan in hits])
        found[f"{low:g}-{high:g} mm3 at 2"] = sensitivity_at(part, 2.0, "cad-pe")
    return found


def table(runs: Mapping[str, Any], command: str) -> str:
    """The page: one line an arm, intervals by scan; arms not run are named."""
    by_arm = {name: {key: run for key, run in runs.items() if run["arm"] == name} for name in ARMS}
    lines = ["# Equal budget: every arm has the same wall time", "", f"    {command}", ""]
    for group in REFERENCE:
        reference = by_arm[REFERENCE[group]]
        columns = list(numbers([{"dice": None, "embolus_scores": (), "false_scores": (), "volumes_mm3": ()}]))
        head = ["arm", "runs", *columns, "minutes", "steps", "GiB", f"Dice, less than {REFERENCE[group]}'s by"]
        lines += [f"## {group}", "", f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
        members = [name for name, arm in ARMS.items() if arm.group == group or name == REFERENCE[group]]
        for name in members:
            lines.append(_line(name, by_arm[name], reference, columns, len(head)))
        lines.append("")
    return "\n".join(
        [
            *lines,
            "`at N`: embolus sensitivity at N false positives a scan. Brackets: 95 % bootstrap intervals, scans drawn",
            "with replacement; differences are paired by scan. Thresholds were chosen on validation scans.",
            "",
        ]
    )


def _line(name: str, runs: Mapping[str, Any], reference: Mapping[str, Any], columns: Sequence[str], width: int) -> str:
    if not runs:
        return f"| {ARMS[name].text} | not run |{' |' * (width - 2)}"
    scans = pooled(runs)
    found = numbers(list(scans.values()))
    low, high = interval([scans], lambda parts: numbers(parts[0])["dice"])
    cells = [("-" if found[key] is None else f"{found[key]:.3f}") for key in columns]
    cells[0] += f" [{low:.3f}, {high:.3f}]" if low is not None else ""
    facts = [np.mean([run[key] for run in runs.values()]) for key in ("minutes", "steps", "peak_gib")]
    return (
        f"| {ARMS[name].text} | {len(runs)} | {' | '.join(cells)} | {facts[0]:.1f} | {facts[1]:.0f} | {facts[2]:.1f} | "
        f"{_difference(pooled(reference), scans)} |"
    )


def pooled(runs: Mapping[str, Any]) -> dict[str, Any]:
    """The scans of all runs, named by split, seed and case."""
    return {
        f"{run['split']}/{run['seed']}/{case}": scan for run in runs.values() for case, scan in run["scans"].items()
    }


def _difference(reference: Mapping[str, Any], scans: Mapping[str, Any]) -> str:
    common = [key for key in reference if key in scans and scans[key]["dice"] is not None]
    if not common or reference == scans:
        return "-"
    gains = {key: reference[key]["dice"] - scans[key]["dice"] for key in common}
    low, high = interval([gains], lambda parts: float(np.mean(parts[0])))
    return f"{np.mean(list(gains.values())):.3f} [{low:.3f}, {high:.3f}]"


def interval(parts: Sequence[Mapping[str, Any]], statistic: Any) -> tuple[float | None, float | None]:
    """95 % of bootstrap samples of the scans; the runs of one scan are drawn together."""
    keys = list(parts[0])
    scans = [key.split("/")[2] for key in keys]
    values = []
    for weights in Resampling(500).weights(scans):
        drawn = [key for key, times in zip(keys, weights, strict=True) for _ in range(times)]
        value = statistic([[part[key] for key in drawn] for part in parts])
        if value is not None:
            values.append(value)
    return (float(np.percentile(values, 2.5)), float(np.percentile(values, 97.5))) if values else (None, None)
