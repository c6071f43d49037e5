"""The files of a run: switched off where that is asked for, with the time that reading took, and one page for all."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from pe_nnunet.cli.predict_fused import configure
from pe_nnunet.fusion import find_emboli
from pe_nnunet.inference.batch import predict_batch
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.outputs import CaseResult
from pe_nnunet.outputs.writers import kinds_for
from pe_nnunet.volumes import Scan, find_scans, spacing_zyx, write_dicom_series


class Predictor:
    """Finds one embolus in every scan, without a network."""

    n_channels = 1
    repairs: ClassVar[dict[str, bool]] = {}
    ensemble = SimpleNamespace(terms=())
    models, device, inference, notes = (), torch.device("cpu"), InferenceSettings(), ()

    def predict(self, scan: Scan, **_: Any) -> CaseResult:
        probability = np.zeros(scan.image.GetSize()[::-1], np.float32)
        probability[2:4, 5:8, 5:8] = 0.9
        emboli = find_emboli(probability, spacing_zyx(scan.image))
        timings = {"read": 0.0, "segmentation": 1.0}
        return CaseResult(scan.case_id, scan.image, emboli, dicom=scan.dicom, timings_s=timings)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    hu = np.random.default_rng(0).integers(-900, 300, (6, 14, 16)).astype(np.int16)
    image = sitk.GetImageFromArray(hu)
    write_dicom_series(image, tmp_path / "in" / "a", patient_id="A")
    sitk.WriteImage(image, str(tmp_path / "in" / "b.nii.gz"))
    (tmp_path / "in" / "c.nii.gz").write_bytes(b"broken")
    return tmp_path / "in"


def test_a_run_has_one_page_for_all_scans(scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written, failed = predict_batch(Predictor(), find_scans(scans), out)  # type: ignore[arg-type]
    assert ([row.case_id for row in written], [row.case_id for row in failed]) == (["a", "b"], ["c"])
    page = (out / "report.html").read_text(encoding="utf-8")
    assert 'href="a_report.html"' in page
    assert 'src="b.png"' in page
    assert f"c: {failed[0].code}" in page
    manifest = json.loads((out / "a.json").read_text())
    assert manifest["timings_s"]["read"] > 0
    assert manifest["files"]["dicom_seg"] == "a_seg.dcm"
    assert (out / "a_report.html").exists()
    assert not (out / "b_seg.dcm").exists()


def test_pages_and_seg_are_left_out_on_request(scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    parser = argparse.ArgumentParser()
    configure(parser)
    usual = parser.parse_args(["-i", str(scans), "-o", str(out)])
    assert {"dicom_seg", "dicom_sr", "key_image_1", "report"} <= kinds_for(usual.switches)
    asked = parser.parse_args(
        ["-i", str(scans), "-o", str(out), "--no-dicom-seg", "--no-dicom-sr", "--no-key-images", "--no-report"]
    )
    assert not {"dicom_seg", "dicom_sr", "key_image_1", "report"} & kinds_for(asked.switches)
    predict_batch(Predictor(), find_scans(scans / "a"), out, outputs=kinds_for(asked.switches))  # type: ignore[arg-type]
    names = {path.name for path in out.iterdir()}
    assert len([name for name in names if name.endswith((".html", ".dcm"))]) == 0
    assert len(names) == 6  # ids, table, picture, manifest, summary, errors
