"""The whole of AANet's protocol, from files to figures, against a slow and obvious implementation of it."""

from __future__ import annotations

import csv
import inspect
import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import roc_curve

from pe_nnunet.cli import main
from pe_nnunet.dataset.public_splits import CAD_PE_TEST
from pe_nnunet.evaluation.reproduce import PUBLISHED_PERCENT
from pe_nnunet.evaluation.text_tables import aanet_csv
from pe_nnunet.fusion import FusionSettings
from pe_nnunet.fusion.choice import FusionChoice
from pe_nnunet.inference import PEPredictor
from pe_nnunet.metrics.markers import VoxelMarker

TEST_SCANS = sorted(CAD_PE_TEST)
SHAPE, SPACING_XYZ = (10, 24, 24), (0.8, 0.7, 1.5)


def grid(array: NDArray[Any]) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING_XYZ)
    image.SetOrigin((-20.0, 11.0, -300.0))
    return image


def make(folder: Path) -> tuple[Path, Path]:
    """Labels in the challenge's names, findings in AANet's, with everything that its script treats in its own way."""
    data, findings = folder / "CAD-PE", folder / "findings"
    (data / "rs").mkdir(parents=True)
    findings.mkdir()
    for place, scan in enumerate(TEST_SCANS):
        random = np.random.default_rng(place)
        label, found = np.zeros((2, *SHAPE), np.uint8)
        for number in range(1, 1 + int(random.integers(0, 5))):  # some scans have none; some emboli touch or overlap
            z, y, x = (int(random.integers(0, n - 3)) for n in SHAPE)
            label[z : z + 2, y : y + 3, x : x + 3] = number
        if place == 4:
            label[label == 2] = 0  # an id that is absent
        markers = []
        for number in range(1, 1 + int(random.integers(0, 9))):
            voxel: tuple[int, ...] = tuple(int(random.integers(0, n)) for n in SHAPE)
            if label.any() and random.random() < 0.6:
                voxel = tuple(random.permutation(np.argwhere(label))[0].tolist())
            markers.append(VoxelMarker(voxel, round(float(random.choice([0.05, 0.1, 0.3, 0.5, 0.7, 0.9])), 2)))  # type: ignore[arg-type]
            found[voxel] = number
        name = f"{scan}RefStd.nrrd" if place % 2 else f"0{scan}RefStd.nrrd"
        sitk.WriteImage(grid(label), str(data / "rs" / name))
        sitk.WriteImage(grid(found), str(findings / f"{scan}.nii.gz"))
        (findings / f"{scan}.csv").write_text(aanet_csv(markers, grid(label)))
    sitk.WriteImage(grid(np.ones(SHAPE, np.uint8)), str(data / "rs" / "0001RefStd.nrrd"))  # a training scan
    return data, findings


def slow_protocol(labels: Path, findings: Path, eps: float) -> dict[str, Any]:
    """Every marker on every embolus, whole volumes, and scikit-learn's curve."""
    hits, scores, missed, false = [], [], 0, 0
    for scan in TEST_SCANS:
        (path,) = labels.glob(f"*{scan}RefStd.nrrd")
        image = sitk.ReadImage(str(path))
        label = sitk.GetArrayFromImage(image)
        if eps > 0:
            radius = [math.ceil(eps / mm) + 0.5 for mm in reversed(SPACING_XYZ)]
            reach = np.stack(np.meshgrid(*(np.arange(-int(r), int(r) + 1) / r for r in radius), indexing="ij"))
            grown = ndimage.binary_dilation(label > 0, (reach**2).sum(axis=0) <= 1)
            label = ndimage.label(grown, np.ones((3, 3, 3)))[0]
        with (findings / f"{scan}.csv").open() as file:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
        rows = [row for row in rows if row["prob"] >= 0.1]
        places = [image.TransformPhysicalPointToIndex((row["x"], row["y"], row["z"]))[::-1] for row in rows]
        used = set()
        for embolus in range(1, int(label.max()) + 1):
            inside = [n for n, place in enumerate(places) if label[place] == embolus]
            used.update(inside)
            missed += not inside
            if inside:
                hits.append(1)
                scores.append(max(rows[n]["prob"] for n in inside))
        for n, row in enumerate(rows):
            if n not in used:
                false += 1
                hits.append(0)
                scores.append(row["prob"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fpr, tpr, _ = roc_curve(hits, scores)
    rates, sensitivity = fpr * false / len(TEST_SCANS), tpr * sum(hits) / (sum(hits) + missed)
    return {
        "tp": sum(hits),
        "fn": missed,
        "fp": false,
        "at": {k: float(sensitivity[(rates < float(k)).sum() - 1]) for k in ("0.5", "1", "2", "3", "4", "5", "6")},
    }


def test_the_command_gives_what_the_published_rule_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, findings = make(tmp_path)
    out = tmp_path / "scores"
    command = ["reproduce", "aanet", "--cad-pe", str(data), "--findings", str(findings), "-o", str(out)]
    assert main([*command, "--workers", "1"]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["cohort"]["scans"] == 20  # of the test set alone
    printed = capsys.readouterr().out
    for eps in ("0", "2", "5"):
        slow, found = slow_protocol(data / "rs", findings, float(eps)), summary["froc"]["aanet"][eps]
        assert {k: found[k] for k in ("tp", "fn", "fp")} == {k: slow[k] for k in ("tp", "fn", "fp")}
        assert found["sensitivity_at_fp"] == pytest.approx(slow["at"])
        assert found["score"] == pytest.approx(np.mean(list(slow["at"].values())))
        (line,) = (line for line in printed.splitlines() if line.startswith(f"aanet, eps {eps} mm"))
        assert line.split()[-3:] == [f"{100 * slow['at'][k]:.1f}" for k in ("1", "2", "4")]
    assert summary["froc"]["cad-pe"].keys() == {"0", "2", "5"}
    for percent in PUBLISHED_PERCENT.values():
        assert f"{percent}" in printed
    assert "not the published test set: 20 scans" in printed


def test_missing_findings_are_named_and_missing_data_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, findings = make(tmp_path)
    for path in (*findings.glob("03*"), *findings.glob("040.*")):
        path.unlink()
    command = ["reproduce", "aanet", "-o", str(tmp_path / "scores"), "--workers", "1"]
    assert main([*command, "--cad-pe", str(data), "--findings", str(findings)]) == 3
    assert capsys.readouterr().err.count("PE-EVAL-001") == 11
    assert main([*command, "--cad-pe", str(findings), "--findings", str(findings)]) == 2
    assert "PE-CONV-026" in capsys.readouterr().err
    for path in (data / "rs").glob("*0[234]*RefStd.nrrd"):
        path.unlink()
    assert main([*command, "--cad-pe", str(data), "--findings", str(findings)]) == 2
    assert "PE-IN-001" in capsys.readouterr().err


def test_findings_are_made_where_none_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, findings = make(tmp_path)
    (data / "images").mkdir()
    for scan in ("001", "021", "022"):
        sitk.WriteImage(grid(np.zeros(SHAPE, np.int16)), str(data / "images" / f"{scan}.nrrd"))
    asked: dict[str, Any] = {}

    class Predictor:
        choice = FusionChoice(FusionSettings())
        notes = choice.notes

        def __init__(self, models: object, **settings: object) -> None:
            inspect.signature(PEPredictor).bind(models, **settings)
            asked.update(settings, models=models)

    def predict(_: Predictor, refs: list[Any], folder: Path, *, resume: bool) -> None:
        assert not resume
        folder.mkdir(parents=True)
        for ref in refs:
            (folder / f"{ref.case_id}_emboli.csv").write_text((findings / f"{ref.case_id}.csv").read_text())

    def locate(*what: object) -> list[object]:
        return list(what)

    monkeypatch.setattr("pe_nnunet.inference.PEPredictor", Predictor)
    monkeypatch.setattr("pe_nnunet.inference.batch.predict_batch", predict)
    monkeypatch.setattr("pe_nnunet.inference.locate.locate_models", locate)
    out = tmp_path / "scores"
    assert main(["reproduce", "aanet", "--cad-pe", str(data), "-o", str(out), "-d", "901", "--workers", "1"]) == 3
    assert asked["models"][:2] == ["901", ["PEAANetTrainer"]]
    assert (asked["inference"].step, asked["inference"].mirroring, asked["fusion"].nms_mm) == (0.75, False, 10.0)
    assert sorted(path.name for path in (out / "findings").iterdir()) == ["021_emboli.csv", "022_emboli.csv"]
    assert json.loads((out / "summary.json").read_text())["cohort"]["scans"] == 2
