"""What masks of the anatomy tell, in the manifest, the table, the page and the picture of a case."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.burden import Burden, Place, Score
from pe_nnunet.burden.sites import Obstruction
from pe_nnunet.burden.ventricles import measure_ventricles
from pe_nnunet.errors import Note
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.outputs import CaseResult, write_case
from pe_nnunet.phantom.heart_chambers import heart_chambers
from pe_nnunet.volumes.geometry import image_like, spacing_zyx


@pytest.fixture
def measured() -> CaseResult:
    """A heart of 4 mm voxels, on axes that are not LPS, with an embolus that has a place and one that has none."""
    heart = heart_chambers((4.0, 4.0, 4.0), np.random.default_rng(1))
    masks = {name: sitk.DICOMOrient(mask, "RAI") for name, mask in heart.masks.items()}
    blood = sum(sitk.GetArrayFromImage(mask).astype(np.int16) for mask in masks.values())
    image = image_like(np.where(blood > 0, 300, 40).astype(np.int16), masks["heart_atrium_left"])
    probability = np.zeros(blood.shape, np.float32)
    probability[5:8, 5:8, 5:8], probability[20:22, 20:22, 20:22] = 0.9, 0.7
    burden = Burden(
        masks=("artery", *masks),
        places={1: Place("lobar", 3, "right", "right lower", Obstruction(0.62, 0.4, 0.8)), 2: Place()},
        qanadli=Score(5, 3, 8, 40),
        mastora=Score(9, 6, 15, 155),
        ventricles=measure_ventricles(masks),
        notes=(Note("PE-BUR-005", "warning", "embolus 2: off the connected arteries"),),
    )
    emboli = find_emboli(probability, spacing_zyx(image), FusionSettings())
    return CaseResult("case_1", image, emboli, burden=burden, artery_mm={1: 8.0, 2: 3.0})


def test_all_that_was_measured_is_written(measured: CaseResult, tmp_path: Path) -> None:
    write_case(measured, tmp_path, {"table", "ventricles", "report"})
    manifest = json.loads((tmp_path / "case_1.json").read_text(encoding="utf-8"))
    first, second = manifest["findings"]
    assert (first["level"], first["tree_level"], first["generation"]) == ("lobar", "lobar", 3)
    assert (first["side"], first["lobe"], first["obstruction_percent"]) == ("right", "right lower", 62)
    assert first["obstruction_low_high"] == [40, 80]
    assert (second["tree_level"], second["side"], second["obstruction_percent"]) == (None, None, None)
    told = manifest["burden"]
    assert (told["qanadli"]["points"], told["qanadli"]["index_percent"], told["mastora"]["high"]) == (5, 12.5, 15)
    assert told["not_told"] == ["embolus 2: off the connected arteries"]

    axial = told["ventricles"]["axial"]
    start, end = np.array(axial["right_line_lps_mm"])
    assert np.linalg.norm(end - start) == pytest.approx(axial["right_mm"], abs=0.2)
    middle = measured.image.TransformPhysicalPointToIndex(((start + end) / 2).tolist())
    assert measured.image[middle] == 300  # where the line was drawn in the patient, there is blood

    with (tmp_path / "case_1_emboli.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["tree_level"] for row in rows] == ["lobar", ""]
    assert [row["obstruction_percent"] for row in rows] == ["62", ""]

    page = (tmp_path / "case_1_report.html").read_text(encoding="utf-8")
    for text in (
        "right lower",
        "62 % (40-80)",
        "12 %, 5 of 40 points",
        "RV/LV, four-chamber",
        "data:image/png;base64,",
    ):
        assert text in page
    assert (tmp_path / "case_1_ventricles.png").stat().st_size > 10_000


def test_without_masks_nothing_is_claimed(measured: CaseResult, tmp_path: Path) -> None:
    write_case(replace(measured, burden=None), tmp_path, {"table", "ventricles", "report"})
    manifest = json.loads((tmp_path / "case_1.json").read_text(encoding="utf-8"))
    assert manifest["burden"] is None
    assert "ventricles" not in manifest["files"]
    assert "Clot burden" not in (tmp_path / "case_1_report.html").read_text(encoding="utf-8")
