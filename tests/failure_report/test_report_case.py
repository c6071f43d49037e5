"""Nothing that tells a person is left in the bundle of a failing case, and what shows the failure is."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from pe_nnunet.cli import main
from pe_nnunet.failure_report import bundle
from pe_nnunet.failure_report.case_texts import names_of_case
from pe_nnunet.failure_report.source_files import kind_of
from pe_nnunet.volumes import write_dicom_series
from pe_nnunet.volumes.case_names import hashed

pytest.importorskip("dicomanonymizer")

NAMES = ("Quimbelton", "Zarathusa", "Oppenfeld", "王小东", "Мирославова")
SECRETS = (
    *NAMES,
    *("MRN-778812", "ACC993817", "19470523", "23.05.1947", "20240917", "101533", "Spital Wolkenheim", "Station Q7"),
    *(
        "pale lady of room 5512",
        "vendor-secret-31",
        "fell from ladder",
        "nested-id-4471",
        "Krankheit Xyz",
        "overlay note",
    ),
    *(
        "preamble-Quim",
        "OPPENF_AE",
        "1.3.6.1.4.1.55555.7",
        "padding-8841",
        "HiddenInCode",
        "seen by Dr Vorname",
        "C7H44",
    ),
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"versions": {"pe-nnunet": "1"}, "package_folder": "/home/Quimbelton/lib/pe_nnunet", "ok": True}
    monkeypatch.setattr(bundle, "examine", lambda: SimpleNamespace(to_dict=lambda: found))


def content_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def require_nothing_left(path: Path, secrets: tuple[str, ...] = SECRETS) -> dict[str, bytes]:
    content = content_of(path)
    for name, raw in {**content, "names": " ".join(content).encode(), "zip": path.read_bytes()}.items():
        for secret in secrets:
            for encoding in ("utf-8", "utf-16-le", "gb18030", "iso8859-5"):
                needle = secret.lower().encode(encoding, "ignore")
                assert len(needle) < 4 or needle not in raw.lower(), (name, secret, encoding)
            escaped = json.dumps(secret)[1:-1].encode()
            assert escaped not in raw, (name, secret)
    return content


def identify(dataset: pydicom.Dataset, k: int) -> None:
    """Put what tells a person wherever a header has room for it."""
    dataset.preamble = b"preamble-Quim".ljust(128, b"\0")
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = "Quimbelton^Zarathusa=王小东=Мирославова"
    dataset.PatientID, dataset.AccessionNumber, dataset.PatientBirthDate = "MRN-778812", "ACC993817", "19470523"
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = dataset.InstanceCreationDate = "20240917"
    dataset.StudyTime = dataset.AcquisitionTime = "101533"
    dataset.AcquisitionDateTime = "20240917101533"
    dataset.InstitutionName, dataset.StationName = "Spital Wolkenheim", "Station Q7"
    dataset.ReferringPhysicianName = dataset.OperatorsName = "Oppenfeld^Dr"
    dataset.ImageComments = dataset.PatientComments = "pale lady of room 5512"
    dataset.StudyDescription = dataset.ProtocolName = "Krankheit Xyz"
    dataset.AdditionalPatientHistory = "fell from ladder"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "QUIMBELTON"]
    dataset.Manufacturer, dataset.ManufacturerModelName = "Spital Wolkenheim", "C7H44 of Oppenfeld"
    dataset.SoftwareVersions = "v1"
    dataset.WindowCenterWidthExplanation = "seen by Dr Vorname"  # in no table
    dataset.BodyPartExamined = "HiddenInCode"  # no code: small letters
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.3.6.1.4.1.55555.7.1", "1.3.6.1.4.1.55555.7.2"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.3.6.1.4.1.55555.7.3.{k}"
    dataset.file_meta.SourceApplicationEntityTitle = "OPPENF_AE"
    code = pydicom.Dataset()  # a sequence that the profile keeps
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "nested-id-4471", "99X", "seen by Dr Vorname"
    code.PatientName, code.ReferencedSOPInstanceUID = "Zarathusa", "1.3.6.1.4.1.55555.7.9"
    code.add_new(0x00091001, "LO", "vendor-secret-31")
    dataset.AnatomicRegionSequence = [code]
    block = dataset.private_block(0x0009, "Oppenfeld Private", create=True)
    block.add_new(1, "LO", "vendor-secret-31")
    dataset.add_new(0x60000022, "LO", "overlay note")
    dataset.add_new(0x60003000, "OW", b"overlay note")
    dataset.add_new(0xFFFCFFFC, "OB", b"padding-8841")
    dataset.add_new(0x00189999, "UN", b"vendor-secret-31")  # no such element
    value = b"0.7\\Quimbelton 101533"
    dataset._dict[Tag(0x00181100)] = RawDataElement(Tag(0x00181100), "DS", len(value), value, 0, False, True)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    voxels = np.random.default_rng(0).integers(-1000, 400, (4, 12, 10)).astype(np.int16)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((0.75, 0.75, 2.0))
    folder = tmp_path / "Quimbelton_Zarathusa_19470523"
    write_dicom_series(image, folder, patient_id="P1")
    for k, path in enumerate(sorted(folder.iterdir())):
        dataset = pydicom.dcmread(path)
        identify(dataset, k)
        dataset.save_as(folder / f"Oppenfeld{k}.dcm")
        path.unlink()
    broken = (folder / "Oppenfeld3.dcm").read_bytes()
    (folder / "Oppenfeld4.dcm").write_bytes(broken[:140] + b"\xff" * 40 + broken[180:])  # a meta group without sense
    (folder / "MRN-778812.txt").write_text("Quimbelton, MRN-778812\n")
    return folder


@pytest.mark.parametrize("pixels", [False, True])
def test_nothing_is_left_of_a_dicom_series(study: Path, tmp_path: Path, pixels: bool) -> None:
    first = pydicom.dcmread(study / "Oppenfeld0.dcm")
    case = study.name
    message = f"{study}/Oppenfeld1.dcm: Krankheit Xyz of 1.3.6.1.4.1.55555.7.2, born 1947-05-23, 王小东 MRN-778812"
    rows = [{"case": case, "code": "PE-DCM-016", "message": message, "hint": "look"}, {"case": "Vorname", "code": "X"}]
    (tmp_path / "errors.json").write_text(json.dumps(rows))
    log = tmp_path / "log.txt"
    log.write_text(f"start Spital Wolkenheim\n[1/2] {case}: PE-DCM-016: {message}\n[2/2] Vorname: fine\n")
    command = (
        f"pe-nnunet predict-fused -i '{study}' -o '/data/Spital Wolkenheim/out' -m a/nnUNetTrainer__p__3d -f 0 --only"
    )
    arguments = ["report-case", str(study), "-o", str(tmp_path / "b.zip"), "--errors", str(tmp_path / "errors.json")]
    assert main([*arguments, "--log", str(log), "--command", command, *(["--pixels"] if pixels else [])]) == 0

    content = require_nothing_left(tmp_path / "b.zip")
    record = json.loads(content["case.json"])
    (error,) = record["errors"]
    assert error["code"] == "PE-DCM-016"
    assert error["case"] == record["case"] != hashed(case)
    assert len(record["log"]) == 1
    assert "PE-DCM-016" in record["log"][0]
    assert "nnUNetTrainer__p__3d -f 0" in record["command"]
    slices = [pydicom.dcmread(io.BytesIO(raw)) for name, raw in content.items() if name.endswith(".dcm")]
    assert len(slices) == 4
    assert len({ds.SeriesInstanceUID for ds in slices}) == 1
    assert len({ds.SOPInstanceUID for ds in slices}) == 4
    for ds in slices:
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
        assert ds.file_meta.TransferSyntaxUID == first.file_meta.TransferSyntaxUID
        assert ds.PixelSpacing == first.PixelSpacing
        assert (ds.Rows, ds.RescaleType, ds.PatientIdentityRemoved) == (12, "HU", "YES")
        assert ("PixelData" in ds) == pixels
    assert slices[0].ImagePositionPatient == first.ImagePositionPatient
    assert not pixels or slices[0].PixelData == first.PixelData
    facts = record["files"]
    texts = [fact for fact in facts if fact["kind"].endswith("text")]
    assert [fact["in_bundle"] for fact in texts] == [None]
    of_first = next(fact for fact in facts if fact["in_bundle"])
    assert of_first["pixels"]["PixelData"]["bytes"] == 12 * 10 * 2
    assert of_first["unreadable_elements"] == ["(0018,1100) DS, 21 bytes, '9.9\\\\aaaaaaaaaa 999999': ValueError"]


def nifti(path: Path) -> bytes:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4, 5), np.int16)), str(path))
    content = bytearray(path.read_bytes())
    content[148:163] = b"Quimbelton^Zara"
    content[4:14] = content[328:338] = b"MRN-778812"
    content[108:112] = struct.pack("<f", 384)  # an extension between header and voxels
    content[348:352] = b"\1\0\0\0"
    content[352:352] = struct.pack("<ii", 32, 6) + b"ACC993817 Oppenfeld".ljust(24, b"\0")
    path.write_bytes(content)
    return bytes(content)


def nrrd(path: Path) -> bytes:
    head = (
        "NRRD0004\n# Quimbelton\ntype: short\ndimension: 3\nsizes: 2 2 2\ncontent: MRN-778812\nspacings: 1 1 nan\n"
        "encoding: raw\nendian: little\nDICOM_patientID:=ACC993817\nACC993817: 3\nspace: Oppenfeld/x\n\n"
    )
    path.write_bytes(head.encode() + bytes(16))
    return head.encode()


def mha(path: Path) -> bytes:
    head = (
        "ObjectType = Image\nNDims = 3\nComment = Quimbelton\nPatientID = MRN-778812\nDimSize = 2 2 2\n"
        "ElementSpacing = 1 1 0\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    path.write_bytes(head.encode() + bytes(16))
    return head.encode()


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize(
    ("ending", "write", "kept"), [(".nii", nifti, ""), (".nrrd", nrrd, "1 1 nan"), (".mha", mha, "1 1 0")]
)
def test_nothing_is_left_of_a_volume(tmp_path: Path, ending: str, write: Any, kept: str, pixels: bool) -> None:
    path = tmp_path / "Oppenfeld" / f"Quimbelton{ending}"
    path.parent.mkdir()
    write(path)
    assert main(["report-case", str(path), "-o", str(tmp_path / "b.zip"), *(["--pixels"] if pixels else [])]) == 0
    content = require_nothing_left(tmp_path / "b.zip")
    name = f"files/0001{ending}" + ("" if pixels else ".header")
    assert kept.encode() in content[name]
    assert content[name].endswith(bytes(16)) == (pixels or ending == ".nii")
    assert ("PE-REP-005" in content["case.json"].decode()) == pixels
    if pixels and ending == ".nii":  # as it was but for the text
        (tmp_path / "again.nii").write_bytes(content[name])
        assert sitk.ReadImage(str(tmp_path / "again.nii")).GetSize() == (5, 4, 3)


def test_the_unused_text_of_nifti_2_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii"
    nib.save(nib.Nifti2Image(np.zeros((5, 4, 3), np.int16), np.eye(4)), path)
    content = bytearray(path.read_bytes())
    content[525:540] = b"Quimbelton^Zara"
    path.write_bytes(content)
    assert main(["report-case", str(path), "-o", str(tmp_path / "b.zip")]) == 0
    header = require_nothing_left(tmp_path / "b.zip")["files/0001.nii.header"]
    assert header[:525] == content[:525]


def test_compressed_pixels_with_a_name_in_them_stay_out(study: Path, tmp_path: Path) -> None:
    path = study / "Oppenfeld0.dcm"
    dataset = pydicom.dcmread(path)
    dataset.PixelData = b"a comment: Quimbelton".ljust(len(dataset.PixelData), b"\0")
    dataset.save_as(path)
    assert main(["report-case", str(path), "-o", str(tmp_path / "b.zip"), "--pixels"]) == 0
    content = require_nothing_left(tmp_path / "b.zip")
    assert "PixelData" not in pydicom.dcmread(io.BytesIO(content["files/0001.dcm"]))
    assert "PE-REP-006" in content["case.json"].decode()


def test_pixels_of_an_unknown_value_representation_go_along(study: Path, tmp_path: Path) -> None:
    path, pixels = study / "Oppenfeld0.dcm", pydicom.dcmread(study / "Oppenfeld0.dcm").PixelData
    written, tag = path.read_bytes(), b"\xe0\x7f\x10\x00"
    vr = written[written.index(tag) + 4 :][:2]
    path.write_bytes(written.replace(tag + vr, tag + b"UN"))
    assert main(["report-case", str(path), "-o", str(tmp_path / "b.zip"), "--pixels"]) == 0
    content = require_nothing_left(tmp_path / "b.zip")
    assert pydicom.dcmread(io.BytesIO(content["files/0001.dcm"])).PixelData == pixels
    assert json.loads(content["case.json"])["files"][0]["pixels"]["PixelData"]["vr"] == "UN"


def test_a_list_writes_nothing(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert main(["report-case", str(study / "Oppenfeld0.dcm"), "--list", "-o", str(tmp_path / "b.zip")]) == 0
    assert "files/0001.dcm" in (said := capsys.readouterr().out)
    assert not [secret for secret in SECRETS if secret in said]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nowhere"], "PE-IN-002"),
        (["empty"], "PE-IN-001"),
        (["study", "-o", "b.txt"], "PE-REP-002"),
        (["study", "--errors", "errors.json"], "PE-REP-003"),
        (["study", "--errors", "study/a.dcm"], "PE-REP-003"),
        (["study", "--output-of", "empty"], "PE-REP-003"),
        (["study", "--command", "a 'b"], "PE-REP-003"),
        (["study", "--log", "nowhere"], "PE-REP-003"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], code: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "a.dcm").write_bytes(b"no DICOM")
    (tmp_path / "errors.json").write_text('[{"case": "other", "code": "PE-IN-003", "message": "", "hint": ""}]')
    before = sorted(tmp_path.rglob("*"))
    assert main(["report-case", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{code}: ")
    assert sorted(tmp_path.rglob("*")) == before


def test_kinds_of_first_bytes() -> None:
    starts = (b"\x1f\x8b\x08", b"PK\x03\x04", bytes(132), b"\x01\xff", bytes(128) + b"DICM")
    assert [kind_of(start) for start in starts] == ["gzip", "zip", "zeros", "other bytes", "DICOM"]


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize(
    ("case", "other", "own_lines", "lines_of_others"),
    [
        ("Quimbelton", "Oppenfeld", ["Quimbelton: PE-IN-003", "{data}/Quimbelton/ct.mha is cut"], ["7 s, {data}/."]),
        ("Quimbelton/ct", "Oppenfeld/ct", ["Quimbelton: PE-IN-003"], ["{data}/Quimbelton/series/1"]),
        ("p1/Arterial", "Oppenfeld/Arterial", ["p1_Arterial: PE-IN-003"], ["{data}/Oppenfeld/Arterial"]),
        ("7", "Oppenfeld", ["7: PE-IN-003", "7: PE-IN-009"], ["[7/20] b: 7 s"]),
        ("p1", "p1.Oppenfeld", ["p1: PE-IN-003"], ["{data}/p1.Oppenfeld/ct.mha"]),
    ],
)
def test_lines_of_other_cases_stay_out(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
    other: str,
    own_lines: list[str],
    lines_of_others: list[str],
    relative: bool,
) -> None:
    data = tmp_path / "data"
    for name in (case, other):
        (data / name).mkdir(parents=True)
        mha(data / name / "ct.mha")
    lines = [f"[1/2] {line}" for line in own_lines]
    lines += [f"[2/2] Oppenfeld: {line}" for line in ["fine", f"{data}/{other}/ct.mha", *lines_of_others]]
    log = tmp_path / "log.txt"
    log.write_text("\n".join([f"reading {data}", *lines]).replace("{data}", str(data)) + "\n")
    monkeypatch.chdir(data / case)
    source = "." if relative else str(data / case)
    assert main(["report-case", source, "-o", str(tmp_path / "b.zip"), "--log", str(log)]) == 0
    content = require_nothing_left(tmp_path / "b.zip", ("Quimbelton", "Oppenfeld"))
    assert len(json.loads(content["case.json"])["log"]) == len(own_lines)


@pytest.mark.parametrize(
    ("done", "failed"), [(("a", "a_b"), ()), (("a",), ("a_b",)), (("a", "a_b"), None)], ids=["two", "one failed", "set"]
)
def test_of_two_cases_that_could_be_it_none_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], done: tuple[str, ...], failed: tuple[str, ...] | None
) -> None:
    source, out = tmp_path / "a" / "b.mha", tmp_path / "out"
    source.parent.mkdir()
    mha(source)
    out.mkdir()
    if failed is None:  # a converted dataset
        (out / "pe_nnunet").mkdir()
        (out / "pe_nnunet" / "cases.json").write_text(json.dumps({"cases": {name: {"n": name} for name in done}}))
    else:
        (out / "errors.json").write_text(json.dumps([{"case": name, "code": "PE-IN-003"} for name in failed]))
        for name in done:
            (out / f"{name}.json").write_text(json.dumps({"case": name}))
    arguments = ["report-case", str(source), "-o", str(tmp_path / "b.zip"), "--output-of", str(out)]
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("PE-REP-003: 2 cases in ")
    assert main([*arguments, "--case", "a_b"]) == 0
    said = json.loads(content_of(tmp_path / "b.zip")["case.json"])
    assert ("record" in said, "errors" in said) == (not failed, bool(failed))


def test_the_root_of_a_path_is_no_name() -> None:
    assert not {"case", hashed("case")} & names_of_case(Path("/quimbelton"))


def with_offset(offset: float) -> Any:
    def write(path: Path) -> None:
        content = bytearray(nifti(path))
        content[108:112] = struct.pack("<f", offset)
        path.write_bytes(content)

    return write


def pair(path: Path) -> None:
    """Header and voxels in two files; an extension behind the header, and no place of voxels."""
    content = bytearray(nifti(path.with_suffix(".nii")))
    path.with_suffix(".nii").unlink()
    content[344:348], content[108:112] = b"ni1\0", bytes(4)
    path.write_bytes(content[:384])
    path.with_suffix(".img").write_bytes(content[384:])


def text_after(head: str) -> Any:
    return lambda path: path.write_bytes(f"{head}\nQuimbelton_1.raw\nOppenfeld_2.raw\n\nMRN-778812\n".encode())


MHD = "ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_SHORT\nElementDataFile = "
NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nencoding: raw\nendian: little\n"


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize(
    ("ending", "write"),
    [
        (".mhd", text_after(f"{MHD}LIST")),
        (".mhd", text_after(f"{MHD}Quimbelton_0.raw")),
        (".nrrd", text_after(f"{NRRD}data file: LIST")),
        (".nrrd", text_after(f"{NRRD}data file: Quimbelton_0.raw\n")),
        (".hdr", pair),
        (".nii", with_offset(0)),
        (".nii", with_offset(352)),
        (".nii", with_offset(360)),
        (".nii", with_offset(float("nan"))),
        (".nii", with_offset(1e9)),
    ],
)
def test_text_where_no_voxels_are_stays_out(tmp_path: Path, ending: str, write: Any, pixels: bool) -> None:
    path = tmp_path / "Oppenfeld" / f"Quimbelton{ending}"
    path.parent.mkdir()
    write(path)
    arguments = ["report-case", str(path.parent), "-o", str(tmp_path / "b.zip")]
    assert main([*arguments, *(["--pixels"] if pixels else [])]) == 0
    content = require_nothing_left(tmp_path / "b.zip")
    assert [name for name in content if name.startswith("files/")] == [
        f"files/0001{ending}" + ("" if pixels else ".header")
    ]
    assert json.loads(content["case.json"])["files"][0]["voxels"]["bytes"] == 0
    assert "PE-REP-005" not in content["case.json"].decode()  # no voxels go along
