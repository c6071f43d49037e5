"""A file that should be a slice and cannot be read fails its case: a series without its first slice looks whole."""

import json
import shutil

import pytest

from pe_nnunet.cli import main
from pe_nnunet.errors import InputError
from pe_nnunet.volumes import find_scans, read_scan


def files_of(folder):
    return sorted(folder.glob("*.dcm"))


DAMAGE = {
    "empty": lambda content: b"",
    "cut in the preamble": lambda content: content[:90],
    "cut behind the preamble": lambda content: content[:140],
    "DICM and garbage": lambda content: content[:132] + b"\xff" * 500,
    "DICM and text": lambda content: content[:132] + b"<html>not here</html>" * 9,
    "zeros": lambda content: bytes(len(content)),
    "a web page": lambda content: b"<html>session expired</html>" * 50,
}


@pytest.mark.parametrize("what", DAMAGE)
@pytest.mark.parametrize("place", [0, -1])
def test_a_first_or_last_slice_that_cannot_be_read_fails_its_case(make_series, what, place):
    folder = make_series()
    victim = files_of(folder)[place]
    victim.write_bytes(DAMAGE[what](victim.read_bytes()))
    (ref,) = find_scans(folder)
    with pytest.raises(InputError, match=rf"PE-DCM-022.*1 file\(s\).*{victim.name}"):
        read_scan(ref)
    victim.unlink()  # the way out that the message names
    (ref,) = find_scans(folder)
    read_scan(ref)


def test_without_an_ending_the_first_bytes_decide(make_series):
    folder = make_series()
    (folder / "README").write_bytes(b"")
    (folder / "notes.txt").write_text("a scan")
    (folder / ".hidden.dcm").write_bytes(b"")
    (folder / "preview.png").write_bytes(b"\x89PNG")
    read_scan(find_scans(folder)[0])
    (folder / "IM7").write_bytes(bytes(128) + b"DICM" + b"\xff" * 99)
    with pytest.raises(InputError, match=r"PE-DCM-022.*IM7"):
        read_scan(find_scans(folder)[0])


def test_the_other_cases_go_on_and_a_folder_of_damage_alone_is_listed(make_series, tmp_path, capsys):
    first = make_series()
    root = tmp_path / "studies"
    shutil.copytree(first, root / "a")
    shutil.copytree(first, root / "b")
    files_of(root / "b")[0].write_bytes(b"")
    (root / "c").mkdir()
    (root / "c" / "1.dcm").write_bytes(b"")
    (root / "DICOMDIR").write_bytes(b"")
    assert main(["slices", "nifti", str(root), str(tmp_path / "out")]) == 3
    told = capsys.readouterr().err
    assert "b: PE-DCM-022" in told
    assert "c: PE-DCM-0" in told
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a"]
    assert json.dumps(told)
