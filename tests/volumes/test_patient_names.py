"""Names of folders are known for patients' names and dates of birth, in any script, and other words are not."""
# ruff: noqa: RUF001 - names in other scripts

import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from pe_nnunet.volumes.dicom.patient_header import patients_of
from pe_nnunet.volumes.find import clean
from pe_nnunet.volumes.patient_names import tells_patient

TOLD = [
    ("Müller", "Müller^Hans"), ("Mueller", "Müller^Hans"), ("MULLER_2", "Müller^Hans"), ("M_ller", "Müller^Hans"),
    ("Müller", "Mueller^Hans"), ("mu\u0308ller", "M\u00fcller"), ("Weiss", "Weiß^A"), ("Sørensen", "Soerensen^A"),
    ("Łukasz", "Lukasz^A"), ("Garcia", "García^López"), ("ＳＭＩＴＨ", "Smith^J"), ("M%C3%BCller", "Müller"),
    ("Παπαδόπουλος", "Papadopoulos^Nikos"), ("ΔΗΜΗΤΡΙΟΥ 3", "Dimitriou^A"), ("Bakogianni", "Μπακογιάννη^Ντόρα"),
    ("M\udcfcller", "Müller"), ("Иванов", "Иванов^Пётр"), ("Ivanov_Petr", "Иванов^Пётр"), ("Иванов 1", "Ivanov^Petr"),
    ("Schukow", "Жуков^Г"), ("Yuri", "Гагарин^Юрий"), ("DoeJane", "Doe^Jane"), ("doejane", "Doe^Jane"),
    ("JaneDoe2", "Doe^Jane"), ("JDoe", "Doe^Jane"), ("doej", "Doe^Jane"), ("ctdoe", "Doe^Jane"),
    ("Smith, John", "Smith^John"), ("O'Neill", "O'Neill^Pat"), ("oneill", "O'Neill^Pat"), ("O_Neill", "ONEILL^Pat"),
    ("O’Neill", "O'Neill^P"), ("Meier-Schmidt", "Meier-Schmidt^A"), ("MeierSchmidt", "Meier-Schmidt^A"),
    ("schmidt", "Meier-Schmidt^A"), ("GARCIALOPEZ", "García López^A"), ("王小东_1", "Wang^X=王^小东"),
    ("小东", "王^小东"), ("山田", "Yamada^T=山田^太郎"), ("김희중", "Kim^H=金^熙中=김^희중"), ("SMITH", "smith"),
]  # fmt: skip
OTHERS = [
    ("anonymous_1", "Anonymous"), ("PAT001", "PAT001"), ("li_2", "Li^Bo"), ("patient_03", "Patient^03"),
    ("case", "Case"), ("CTPA_scan", "Anonymized^CTPA"), ("phantom", "Phantom"), ("scanner", "Ann^Li"),
    ("Leeds_1", "Lee^Kim"), ("kimono", "Lee^Kim"), ("vander", "van der^Berg"), ("1.2.840", "Doe^J"), ("a", "A^B"),
    ("case_a", "Case^A"), ("01GE", "GE"), ("janus", "Doe^Jane"), ("doeblin", "Doe^J"), ("anything", ""),
]  # fmt: skip
DATES = [
    "19031224", "24.12.1903", "12-24-1903", "1903_12_24", "24121903", "12241903", "031224", "241203", "24 Dec 1903",
    "Dez-24-1903", "24dec1903", "x19031224y", "1903.12.24", "24.12.03", "24/12/1903", "Smith 24-12-1903",
    "２４.12.1903",
]  # fmt: skip


@pytest.mark.parametrize(("written", "name"), TOLD)
def test_a_name_is_known(written, name):
    assert tells_patient([written], name.split("="))


@pytest.mark.parametrize(("written", "name"), OTHERS)
def test_other_words_are_none(written, name):
    assert not tells_patient([written], name.split("="), ["19031224"])


@pytest.mark.parametrize("written", DATES)
def test_a_date_of_birth_is_known(written):
    assert tells_patient([written], [], ["19031224"])
    assert not tells_patient([written], [], ["19031225"])


def header(path, name, character_set, syntax=ExplicitVRLittleEndian, **more):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
        syntax,
        CTImageStorage,
        "1.2",
    )
    dataset = pydicom.FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = CTImageStorage
    if character_set is not None:
        dataset.SpecificCharacterSet = character_set
    dataset[0x00100010] = RawDataElement(Tag(0x00100010), "PN", len(name), name, 0, False, True)
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
    return path


@pytest.mark.parametrize(
    ("raw", "character_set", "expected"),
    [
        ("Müller^Hans".encode("latin-1"), "ISO_IR 100", {"Müller^Hans"}),
        ("Müller^Hans".encode("latin-1"), None, {"Müller^Hans"}),
        ("Müller^Hans".encode(), "ISO_IR 100", {"Müller^Hans"}),
        ("Иванов^Пётр".encode("iso8859-5"), "ISO_IR 144", {"Иванов^Пётр"}),
        ("Иванов^Пётр".encode("cp1251"), None, {"Иванов^Пётр"}),
        ("Wang^X=王^小东".encode(), "ISO_IR 192", {"Wang^X", "王^小东"}),
        ("Wang^X=王^小东".encode("gb18030"), "GB18030", {"Wang^X", "王^小东"}),
        (  # DICOM PS3.5, H.3.1
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            ["", "ISO 2022 IR 87"],
            {"Yamada^Tarou", "山田^太郎", "やまだ^たろう"},
        ),
    ],
)
def test_names_in_every_character_set(tmp_path, raw, character_set, expected):
    names, _ = patients_of([header(tmp_path / "a.dcm", raw, character_set)])
    assert expected <= names


def test_other_names_dates_of_birth_and_all_files_count(tmp_path):
    more = {"OtherPatientNames": ["Doe^Jane", "Roe^Ann"], "PatientBirthName": "Poe^Jane"}
    files = [
        header(tmp_path / "a", b"", None, PatientBirthDate=""),
        header(tmp_path / "b", b"X^Y", None, DeflatedExplicitVRLittleEndian, PatientBirthDate="19031224", **more),
    ]
    (tmp_path / "c").write_bytes(b"DICM")
    names, dates = patients_of([*files, tmp_path / "c", tmp_path / "missing"])
    assert {"Doe^Jane", "Roe^Ann", "Poe^Jane"} <= names
    assert dates == {"19031224"}


def test_names_in_other_scripts_stay_two_cases():
    ids = {clean(name) for name in ("Иванов", "Петров", "王小东_1", "王小红_1")}
    assert len(ids) == 4
    assert all(name.isascii() for name in ids)
    assert clean("Müller") == "M-ller"
