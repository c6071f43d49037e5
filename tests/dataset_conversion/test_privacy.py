"""Nothing that names a patient reaches a file, a file's name, or the screen."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from pe_nnunet.cli import main
from pe_nnunet.dataset.raw import load_cases
from pe_nnunet.volumes import write_dicom_series, write_image
from pe_nnunet.volumes.case_names import hashed

TELL_TALES = {
    "PatientName": "Tattletale^Wilhelmina",
    "PatientID": "MRN-99118822",
    "PatientBirthDate": "19031224",
    "PatientAddress": "Whisper Lane 7",
    "OtherPatientIDs": "SSN-55443322",
    "AccessionNumber": "ACC77665544",
    "ReferringPhysicianName": "Gossip^Doctor",
    "InstitutionName": "Rumour Hospital",
    "StudyDescription": "CTPA of Tattletale",
    "PatientComments": "wife of Hearsay",
}
WORDS = ("tattletale", "wilhelmina", "99118822", "19031224", "whisper", "55443322", "77665544", "gossip", "rumour",
         "hearsay")  # fmt: skip


def write_named(folder: Path, drawn: Any, *, missing: bool = False) -> None:
    """A study with tell-tale headers; `missing` takes a slice away, so that reading it fails with a message."""
    write_dicom_series(drawn.ct, folder / "ct", patient_id=TELL_TALES["PatientID"])
    for k, file in enumerate(sorted((folder / "ct").iterdir())):
        dataset = pydicom.dcmread(file)
        for keyword, value in TELL_TALES.items():
            setattr(dataset, keyword, value)
        dataset.save_as(file)
        if missing and k == 20:
            file.unlink()
    write_image(drawn.emboli * 0, folder / "emboli.nii.gz")


def everything(root: Path, said: str) -> str:
    """All file names below a folder, all bytes in them, unpacked, and what was said; in lower case."""
    parts = [said]
    for path in root.rglob("*"):
        parts.append(str(path.relative_to(root)))
        if path.is_file():
            content = path.read_bytes()
            parts.append((gzip.decompress(content) if path.suffix == ".gz" else content).decode("latin-1"))
    return "\n".join(parts).lower()


def test_nothing_written_or_said_holds_a_patient(
    nnunet: Path, tmp_path: Path, draw: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    for case, missing in (("a", False), ("b", True), ("c", False)):
        write_named(tmp_path / "src" / case, draw(1), missing=missing)
    command = ["convert", "studies", str(tmp_path / "src"), "-d", "501", "--debug"]
    assert main(command) == 3
    said = "\n".join(capfd.readouterr())
    assert "PE-DCM-001" in said
    found = everything(nnunet, said)
    assert [word for word in WORDS if word in found] == []
    assert len({record.patient for record in load_cases(nnunet / "Dataset501_PE").values()}) == 1


@pytest.mark.parametrize("name", ["Tattletale_Wilhelmina", "2011 wilhelmina", "TATTLETALE"])
def test_a_folder_with_the_patients_name_is_refused(
    nnunet: Path, tmp_path: Path, draw: Callable[..., Any], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    write_named(tmp_path / "src" / name, draw(1))
    write_named(tmp_path / "src" / "fine", draw(1))
    assert main(["convert", "studies", str(tmp_path / "src"), "-d", "501"]) == 3
    assert list(load_cases(nnunet / "Dataset501_PE")) == ["fine"]
    said = "\n".join(capsys.readouterr())
    assert "PE-CONV-034" in said
    found = everything(nnunet, said)
    assert [word for word in WORDS if word in found] == []


def test_whatever_else_is_wrong_the_name_is_not_said(
    nnunet: Path, tmp_path: Path, draw: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a mask, with two scans, by the date of birth, by a mask's name, and by folders that the case id drops."""
    src = tmp_path / "src"
    write_named(src / "fine", draw(1))
    for name in ("wilhelmina", "1903-12-24", "TattletaleW"):
        write_named(src / name, draw(1))
    (src / "wilhelmina" / "emboli.nii.gz").unlink()
    (src / "TattletaleW" / "ct" / "b").mkdir()
    for file in sorted((src / "TattletaleW" / "ct").glob("*.dcm"))[:4]:
        dataset = pydicom.dcmread(file)
        dataset.SeriesInstanceUID = "1.2.3"
        dataset.save_as(src / "TattletaleW" / "ct" / "b" / file.name)
    command = ["convert", "studies", str(src), "-d", "501"]
    for more, found_in in ((["--dry-run"], nnunet), ([], nnunet)):
        assert main([*command, *more]) == 3
        said = "\n".join(capsys.readouterr())
        assert said.count("PE-CONV-034: ") == 3
        found = everything(found_in, said)
        assert [word for word in (*WORDS, "1903-12-24") if word in found] == []
    assert list(load_cases(nnunet / "Dataset501_PE")) == ["fine"]

    write_dicom_series(draw(1).ct, tmp_path / "dicom" / "Wilhelmina" / "x" / "ct", patient_id="1")
    for file in (tmp_path / "dicom" / "Wilhelmina" / "x" / "ct").iterdir():
        dataset = pydicom.dcmread(file)
        dataset.PatientName = TELL_TALES["PatientName"]
        dataset.save_as(file)
    (tmp_path / "negatives").write_text("x\n")
    command = ["convert", "dicom", str(tmp_path / "dicom"), "-d", "502", "--negatives", str(tmp_path / "negatives")]
    assert main(command) == 2
    (tmp_path / "dicom" / "Wilhelmina").rename(tmp_path / "dicom" / "y")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "x_tattletale.nii.gz").touch()
    command = ["convert", "dicom", str(tmp_path / "dicom"), "-d", "502", "--dry-run"]
    (tmp_path / "dicom" / "y" / "x" / "ct").rename(tmp_path / "dicom" / "x")
    assert main([*command, "--labels", str(tmp_path / "masks" / "{case}_*")]) == 2
    said = "\n".join(capsys.readouterr())
    assert "PE-CONV-034" in said
    assert "tattletale" not in said


@pytest.mark.parametrize(("folder", "patient"), [("anonymous_1", "Anonymous"), ("PAT001", "PAT001"), ("li_2", "Li^Bo")])
def test_pseudonyms_are_no_names(
    nnunet: Path, tmp_path: Path, draw: Callable[..., Any], folder: str, patient: str
) -> None:
    write_dicom_series(draw(1).ct, tmp_path / "src" / folder / "ct", patient_id="1")
    for file in (tmp_path / "src" / folder / "ct").iterdir():
        dataset = pydicom.dcmread(file)
        dataset.PatientName = patient
        dataset.save_as(file)
    write_image(draw(1).emboli, tmp_path / "src" / folder / "emboli.nii.gz")
    assert main(["convert", "studies", str(tmp_path / "src"), "-d", "501"]) == 0


def test_hashed_names(
    nnunet: Path, tmp_path: Path, draw: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    src = tmp_path / "src"
    write_named(src / "Tattletale W", draw(1))
    write_named(src / "gossip", draw(1), missing=True)
    write_image(draw(2).ct, src / "Wilhelmina" / "ct.nii.gz")
    write_image(draw(2).emboli, src / "Wilhelmina" / "emboli.nii.gz")
    write_image(draw(0).ct, src / "rumour" / "ct.nii.gz")
    (src / "hearsay").mkdir()
    write_image(draw(0).emboli, src / "hearsay" / "emboli.nii.gz")
    (tmp_path / "negatives.txt").write_text("rumour\n")
    command = ["convert", "studies", str(src), "-d", "501", "--hash-names"]
    command += ["--negatives", str(tmp_path / "negatives.txt")]
    assert main(command) == 3
    cases = load_cases(nnunet / "Dataset501_PE")
    assert set(cases) == {hashed(name) for name in ("Tattletale-W", "Wilhelmina", "rumour")}
    assert cases[hashed("Wilhelmina")].embolus_count == 2
    found = everything(nnunet, "\n".join(capsys.readouterr()))
    assert "pe-dcm-001" in found
    assert "pe-conv-009" in found
    assert [word for word in WORDS if word in found] == []
    assert main([*command, "--resume"]) == 3
    assert load_cases(nnunet / "Dataset501_PE") == cases


def test_the_names_of_a_public_dataset_are_not_hashed(nnunet: Path, tmp_path: Path) -> None:
    assert main(["convert", "fumpe", str(tmp_path), "-d", "501", "--hash-names"]) == 2
    assert list(nnunet.iterdir()) == []
