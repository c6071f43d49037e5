"""Many scans by the command: one fails, some are there already, parts on several machines."""

import csv
import json

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from pe_nnunet.cli import main
from pe_nnunet.inference import model as loading
from pe_nnunet.volumes import image_like, write_dicom_series
from pe_nnunet.volumes.files.volume_file import file_sha256


@pytest.fixture
def scans(tmp_path, thorax):
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("a", "b"):
        sitk.WriteImage(thorax, str(folder / f"{name}.nii.gz"))
    (folder / "c.nii.gz").write_text("no image")
    return folder


@pytest.fixture
def predict(scans, model_folder, tmp_path):
    model = model_folder(log_odds=(2.0,), patch=(32, 32, 32))

    def run(*more, code=3, out="out"):
        arguments = ["-i", scans, "-o", tmp_path / out, "-m", model, "-device", "cpu", "--fast", "--no-report", *more]
        assert main(["predict-fused", *map(str, arguments)]) == code
        return tmp_path / out

    return run


def cases(out):
    with (out / "summary.csv").open() as file:
        return [row["case"] for row in csv.DictReader(file)]


def test_the_others_go_on_and_a_second_run_does_what_is_missing(predict, capsys):
    out = predict()
    told = capsys.readouterr()
    assert cases(out) == ["a", "b"]
    assert [error["case"] for error in json.loads((out / "errors.json").read_text())] == ["c"]
    assert "c: PE-IN-003" in told.err
    assert "[1/3] a: 1 emboli" in told.out
    assert "left" in told.out
    manifest = json.loads((out / "a.json").read_text())
    assert (manifest["arguments"]["mirroring"], manifest["arguments"]["step"]) == (False, 0.75)

    (out / "b.png").unlink()  # incomplete
    predict("--resume")
    told = capsys.readouterr().out
    assert "a: there already" in told
    assert "[2/3] b: 1 emboli" in told
    assert cases(out) == ["a", "b"]


def test_a_checkpoint_is_hashed_once_a_run(predict, monkeypatch):
    hashed = []
    monkeypatch.setattr(loading, "file_sha256", lambda path: hashed.append(path.name) or file_sha256(path))
    predict()
    assert hashed == ["checkpoint_final.pth"]


def test_what_was_made_with_other_settings_or_is_damaged_is_predicted_again(predict, capsys, scans):
    for name in ("b", "c"):
        (scans / f"{name}.nii.gz").unlink()
    out = predict(code=0)
    predict("--resume", "--threshold", "0.9", code=0)
    assert "a: 0 emboli" in capsys.readouterr().out
    (out / "a.json").write_text("{")
    predict("--resume", "--threshold", "0.9", code=0)
    assert "there already" not in capsys.readouterr().out


def only(scans, *names):
    for path in scans.iterdir():
        if path.name.removesuffix(".nii.gz") not in names:
            path.unlink()


def test_resume_compares_the_scan_itself_and_every_file_of_the_result(predict, capsys, scans, thorax):
    only(scans, "a", "b")
    out = predict(code=0)

    def resumed(*more):
        capsys.readouterr()
        predict("--resume", *more, code=0)
        return capsys.readouterr().out

    assert resumed().count("there already") == 2
    sitk.WriteImage(thorax - 3, str(scans / "a.nii.gz"))  # another patient's scan under the same name
    told = resumed()
    assert "a: again: the scan or mask has changed" in told
    told = resumed()
    assert told.count("there already") == 2

    whole = (out / "b.nii.gz").read_bytes()
    (out / "b.nii.gz").write_bytes(whole[:100])
    told = resumed()
    assert "b: again: its files are not as they were written" in told
    assert "a: there already" in told
    (out / "b.nii.gz").write_bytes((scans / "a.nii.gz").read_bytes())  # another label
    assert "b: again: its files" in resumed()
    assert (out / "b.nii.gz").read_bytes() == whole
    assert "b: again: further files are asked for" in resumed("--save-probability")
    (out / "b.json").write_bytes((out / "a.json").read_bytes())
    assert "b: again: its manifest cannot be read" in resumed("--save-probability")


@pytest.mark.parametrize("text", ["[]", "{}", "null", "[" * 100_000, '{"case": "a", "pe_score": Infinity}', "\x00"])
def test_a_manifest_of_any_kind_is_no_obstacle(predict, capsys, scans, text):
    only(scans, "a")
    out = predict(code=0)
    (out / "a.json").write_text(text)
    predict("--resume", code=0)
    assert "a: again: its manifest cannot be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "value"), [("files", ["a.nii.gz"]), ("arguments", 3), ("files_sha256", None), ("asked_for", None)]
)
def test_a_manifest_with_a_part_of_another_kind_is_done_again(predict, capsys, scans, key, value):
    only(scans, "a")
    out = predict(code=0)
    manifest = json.loads((out / "a.json").read_text())
    (out / "a.json").write_text(json.dumps(manifest | {key: value}))
    predict("--resume", code=0)
    assert "a: again: " in capsys.readouterr().out


def test_parts_cover_all_scans_once_and_share_one_summary(predict, capsys):
    out = predict("--num-parts", "2", "--part-id", "1", code=0)
    assert cases(out) == ["b"]
    assert json.loads((out / "part_1_of_2" / "errors.json").read_text()) == []


def test_agreement_and_probability_are_written_on_request(predict, scans):
    for name in ("b", "c"):
        (scans / f"{name}.nii.gz").unlink()
    out = predict("--save-probability", "--save-agreement", "--float32", code=0)
    agreement = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "a_agreement.nii.gz")))
    probability = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "a_probability.nii.gz")))
    np.testing.assert_array_equal(agreement, probability >= 0.5)
    assert agreement.max() == 1


def test_one_loose_dicom_slice_is_predicted_by_a_2d_model_alone(model_folder, thorax, tmp_path, capsys):
    write_dicom_series(thorax, tmp_path / "series", patient_id="x")
    (tmp_path / "loose").mkdir()
    source = sorted((tmp_path / "series").glob("*.dcm"))[28]
    (tmp_path / "loose" / "slice.dcm").write_bytes(source.read_bytes())
    flat = model_folder("A__P__2d", patch=(32, 32), spacing=(4.0, 4.0), log_odds=(2.0,))
    solid = model_folder("B__P__3d_fullres", log_odds=(2.0,))
    for model, code in ((flat, 0), (solid, 2)):
        arguments = ["-i", tmp_path / "loose" / "slice.dcm", "-o", tmp_path / "out", "-m", model, "-device", "cpu"]
        assert main(["predict-fused", *map(str, arguments), "--no-report"]) == code
    told = capsys.readouterr()
    assert "PE-MODEL-011" in told.out
    assert "PE-MODEL-005" in told.err
    (written,) = (tmp_path / "out").glob("*.nii.gz")
    assert sitk.ReadImage(str(written)).GetSize() == (80, 60, 1)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--num-parts", "2", "--part-id", "2"), "PE-MODEL-007"),
        (("-step_size", "0"), "PE-MODEL-007"),
        (("--batch-size", "0"), "PE-MODEL-007"),
        (("--roi", "artery"), "PE-MODEL-007"),
        (("--target-fp", "2"), "PE-FUS-004"),
        (("--detector", "nowhere"), "PE-DET-005"),
        (("--anatomy", "nowhere"), "PE-BUR-006"),
    ],
)
def test_options_that_cannot_be_meant(predict, capsys, arguments, code):
    out = predict(*arguments, code=2)
    assert code in capsys.readouterr().err
    assert not out.exists()


def test_masks_of_the_anatomy_belong_to_their_scan(predict, scans, thorax, tmp_path, capsys):
    only(scans, "a", "b")
    (tmp_path / "masks" / "a").mkdir(parents=True)

    def ventricle(side, voxels):
        mask = np.zeros(thorax.GetSize()[::-1], np.uint8)
        mask[10, 10, :voxels] = 1
        sitk.WriteImage(image_like(mask, thorax), str(tmp_path / "masks" / "a" / f"heart_ventricle_{side}.nii.gz"))

    ventricle("right", 6)
    ventricle("left", 3)
    out = predict("--anatomy", tmp_path / "masks", code=0)
    of_a, of_b = (json.loads((out / f"{case}.json").read_text())["burden"] for case in "ab")
    assert of_a["ventricles"]["volume_ratio"] == 2
    assert of_a["ventricles"]["axial"] is None
    assert (of_b["masks"], of_b["ventricles"], len(of_b["not_told"])) == ([], None, 3)
    ventricle("left", 4)
    capsys.readouterr()
    predict("--anatomy", tmp_path / "masks", "--resume", code=0)
    told = capsys.readouterr().out
    assert "a: again: the scan or mask has changed" in told
    assert "b: there already" in told


def test_a_scan_is_repaired_for_what_is_asked_for_alone(predict, scans, thorax, capsys):
    for path in scans.iterdir():
        path.unlink()
    write_dicom_series(thorax, scans / "d", patient_id="p")
    for path in (scans / "d").iterdir():
        header = pydicom.dcmread(path)
        del header.RescaleSlope, header.RescaleIntercept, header.RescaleType
        header.save_as(path)
    predict(code=2)
    assert "PE-DCM-009" in capsys.readouterr().err
    out = predict("--assume-hu", code=0)
    assert json.loads((out / "d.json").read_text())["arguments"]["repairs"]["assume_hu"] is True
