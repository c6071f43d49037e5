"""predict-fused, detect and slices refuse a scan that is called as its patient, or hash all names."""

import json

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from pe_nnunet.cli import main
from pe_nnunet.detection.raster import Raster
from pe_nnunet.detection.scans import detect_batch
from pe_nnunet.detection.suppress import SliceFindings
from pe_nnunet.volumes import find_scans, write_dicom_series
from pe_nnunet.volumes.case_names import hashed, named_cases


@pytest.fixture
def scans(tmp_path, thorax):
    """A scan in a folder called as its patient, one by the date of birth, a harmless one, and a volume file."""
    for folder, name in (("Müller", "Müller^Änne"), ("24.12.1903", "X^Y"), ("Zebra", "Müller^Änne")):
        part = thorax[:, :, 20:26] if folder == "24.12.1903" else thorax
        write_dicom_series(part, tmp_path / "in" / folder / "ct", patient_id="1")
        for file in (tmp_path / "in" / folder / "ct").iterdir():
            dataset = pydicom.dcmread(file)
            dataset.SpecificCharacterSet = "ISO_IR 192"
            dataset.PatientName, dataset.PatientBirthDate = name, "19031224"
            dataset.save_as(file)
    sitk.WriteImage(thorax[:, :, 18:30], str(tmp_path / "in" / "Smith.nii.gz"))
    (tmp_path / "in" / "Jones.nii.gz").write_text("no image")
    return tmp_path / "in"


def everything(folder, capsys):
    told = capsys.readouterr()
    parts = [told.out, told.err]
    for path in folder.rglob("*"):
        parts.append(str(path.relative_to(folder)))
        if path.suffix in {".json", ".csv", ".html"}:
            parts.append(path.read_text(encoding="utf-8"))
    return "\n".join(parts)


def tells(text):
    return [word for word in ("ller", "12.1903", "12-1903", "Smith", "Jones", "Zebra") if word in text]


def test_predict_fused(scans, model_folder, tmp_path, capsys):
    model = model_folder(log_odds=(2.0,), patch=(32, 32, 32))
    command = ["predict-fused", "-i", str(scans), "-m", str(model), "-device", "cpu", "--fast", "--resume"]
    assert main([*command, "-o", str(tmp_path / "plain"), "--no-report"]) == 3
    assert {path.name for path in (tmp_path / "plain").glob("*.nii.gz")} == {"Zebra_ct.nii.gz", "Smith.nii.gz"}
    errors = json.loads((tmp_path / "plain" / "errors.json").read_text())
    assert [error["code"] for error in errors].count("PE-CONV-034") == 2
    assert "--hash-names" in errors[0]["hint"] + errors[1]["hint"]
    assert json.loads((tmp_path / "plain" / "Zebra_ct.json").read_text())["source"]["names"] == "plain"
    found = everything(tmp_path / "plain", capsys)
    assert tells(found) == ["Smith", "Jones", "Zebra"]
    assert "2 would say a patient's name" in found

    assert main([*command, "-o", str(tmp_path / "hashed"), "--hash-names"]) == 3
    manifest = json.loads((tmp_path / "hashed" / f"{hashed('Zebra_ct')}.json").read_text())
    assert manifest["source"]["names"] == "hashed"
    found = everything(tmp_path / "hashed", capsys)
    assert "PE-IN-003" in found
    assert tells(found) == []


class NothingFound:
    """A detector that finds nothing."""

    raster, records = Raster(4.0, 64), ()

    def __call__(self, pictures):
        none = np.zeros(0)
        return [SliceFindings(np.zeros((0, 4)), none, none.astype(np.intp)) for _ in pictures]


@pytest.mark.parametrize("hash_names", [False, True])
def test_detect(scans, tmp_path, capsys, hash_names):
    refs = named_cases(find_scans(scans), scans, hash_names=hash_names)
    found, failed = detect_batch(NothingFound(), refs, tmp_path / "out", {})
    assert (len(found), len(failed)) == ((4, 1) if hash_names else (2, 3))
    (name,) = {json.loads(p.read_text())["source"]["names"] for p in (tmp_path / "out").glob("*_detections.json")}
    assert name == ("hashed" if hash_names else "plain")
    assert tells(everything(tmp_path / "out", capsys)) == ([] if hash_names else ["Smith", "Jones", "Zebra"])


def test_slices(scans, tmp_path, capsys):
    assert main(["slices", "png", str(scans), str(tmp_path / "plain")]) == 3
    assert {path.name for path in (tmp_path / "plain").iterdir()} == {"Zebra_ct", "Smith"}
    capsys.readouterr()
    assert main(["slices", "png", str(scans), str(tmp_path / "hashed"), "--hash-names"]) == 3
    assert len(list((tmp_path / "hashed").iterdir())) == 4
    assert tells(everything(tmp_path / "hashed", capsys)) == []
