"""Files, folders and locks: whole or not there, whatever stops the program."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.cases import sole_writer
from pe_nnunet.errors import ConfigurationError, OutputError
from pe_nnunet.files import atomic_entries, atomic_folder, atomic_path, atomic_text
from pe_nnunet.files.locks import locked
from pe_nnunet.slices import write_png_scan
from pe_nnunet.volumes import find_scans, write_dicom_series


def content(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


class Stop(BaseException):
    """What no handler of errors catches."""


def test_temporary_names_are_random_and_never_a_link_that_lies_there(tmp_path, monkeypatch):
    names = set()
    for _ in range(3):
        with atomic_path(tmp_path / f"{'x' * 240}.nii.gz") as temporary:
            names.add(temporary.name)
            temporary.write_text("a")
    assert len(names) == 3
    assert all(name.startswith(".writing-") and name.endswith(".nii.gz") for name in names)

    monkeypatch.setattr("secrets.token_hex", lambda _: "known")
    (tmp_path / "secret").write_text("mine")
    (tmp_path / ".writing-known.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(OutputError, match="PE-OUT-001"):
        atomic_text(tmp_path / "a.txt", "theirs")
    assert (tmp_path / "secret").read_text() == "mine"
    assert not (tmp_path / "a.txt").exists()


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    target = tmp_path / "series"
    for names in (("1", "2", "3"), ("1", "2")):
        with atomic_folder(target) as staged:
            for name in names:
                (staged / name).write_text(name)
        assert content(target) == {name: name for name in names}

    def stopped() -> None:
        with atomic_folder(target) as staged:
            (staged / "1").write_text("new")
            raise Stop

    with pytest.raises(Stop):
        stopped()
    assert content(tmp_path) == {"series/1": "1", "series/2": "2"}


def test_entries_replace_those_of_their_names_and_the_last_one_is_never_there_before_the_others(tmp_path, monkeypatch):
    case = tmp_path / "case"

    def write(version: str) -> None:
        with atomic_entries(case, last="index") as staged:
            for name in ("index", "ct/1", "emboli/1"):
                (staged / name).parent.mkdir(exist_ok=True)
                (staged / name).write_text(version)

    write("a")
    (case / "mine.txt").write_text("kept")
    write("b")
    assert content(tmp_path) == {f"case/{name}": "b" for name in ("ct/1", "emboli/1", "index")} | {
        "case/mine.txt": "kept"
    }
    real, calls = Path.rename, []

    def stops_at_the_third(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == 3:
            raise Stop
        return real(self, target)

    monkeypatch.setattr(Path, "rename", stops_at_the_third)
    with pytest.raises(Stop):
        write("c")
    assert not (case / "index").exists()


def test_a_full_disk_leaves_the_old_folder(tmp_path, monkeypatch):
    with atomic_folder(tmp_path / "s") as staged:
        (staged / "1").write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"PE-OUT-001.*No space left"), atomic_folder(tmp_path / "s") as staged:
        (staged / "1").write_text("new")
    assert content(tmp_path) == {"s/1": "old"}


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np, pydicom, SimpleITK as sitk
from PIL import Image
from pe_nnunet.slices import write_png_scan
from pe_nnunet.volumes import write_dicom_series
kind, folder, left = sys.argv[1], Path(sys.argv[2]), [int(sys.argv[3])]
def after(method):
    def save(self, *args, **kwargs):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(self, *args, **kwargs)
    return save
pydicom.Dataset.save_as = after(pydicom.Dataset.save_as)
Image.Image.save = after(Image.Image.save)
image = sitk.GetImageFromArray(np.full((8, 6, 6), -800, np.int16))
if kind == "dicom":
    write_dicom_series(image, folder, patient_id="p")
else:
    write_png_scan(image, image * 0, folder, [f"{k:04d}" for k in range(8)])
"""


@pytest.mark.parametrize("kind", ["dicom", "png"])
def test_slices_killed_half_way_leave_no_series(tmp_path, kind):
    folder = tmp_path / "out" / "case"
    done = subprocess.run([sys.executable, "-c", KILLED, kind, str(folder), "5"], check=False)
    assert done.returncode == -9
    assert not folder.exists()
    assert [path.name[:9] for path in (tmp_path / "out").iterdir()] == [".writing-"]
    (tmp_path / "out" / "note.txt").touch()
    assert not any(path.suffix in {".dcm", ".png"} for path in (tmp_path / "out").glob("[!.]*/**"))
    image = sitk.GetImageFromArray(np.full((8, 6, 6), -800, np.int16))
    if kind == "dicom":  # what was left behind is no scan, and in nobody's way
        write_dicom_series(image, folder, patient_id="p")
        assert [ref.case_id for ref in find_scans(tmp_path / "out")] == ["case"]
    else:
        write_png_scan(image, image * 0, folder, [f"{k:04d}" for k in range(8)])
    assert len(list((folder / "ct" if kind == "png" else folder).iterdir())) == 8
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["case", "note.txt"]


WRITES = """
import sys, time
from pathlib import Path
from pe_nnunet.files import atomic_folder, atomic_path
with atomic_path(Path(sys.argv[1])) as file, atomic_folder(Path(sys.argv[2])) as folder:
    file.write_text("a")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="no locks of files")
def test_what_a_process_writes_is_removed_by_the_next_one_only_when_it_has_died(tmp_path, monkeypatch):
    monkeypatch.setattr("pe_nnunet.files.temporary._seen", set())
    writes = [sys.executable, "-c", WRITES, str(tmp_path / "a.txt"), str(tmp_path / "b")]
    writer = subprocess.Popen(writes, stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"writing\n"
    atomic_text(tmp_path / "c.txt", "c")
    assert [path.name[:9] for path in sorted(tmp_path.iterdir())] == [".writing-", ".writing-", "c.txt"]
    writer.kill()
    writer.wait()
    writer.stdout.close()
    (tmp_path / ".writing-by-hand").touch()  # not one of our names
    monkeypatch.setattr("pe_nnunet.files.temporary._seen", set())
    atomic_text(tmp_path / "c.txt", "d")
    assert content(tmp_path) == {".writing-by-hand": "", "c.txt": "d"}


REPLACES = """
import os, signal, sys
from pathlib import Path
from pe_nnunet.files import atomic_folder
real, left = Path.rename, [1]
def rename(self, target):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, target)
Path.rename = rename
with atomic_folder(Path(sys.argv[1])) as folder:
    (folder / "1").write_text("new")
"""


@pytest.mark.skipif(os.name == "nt", reason="no locks of files")
def test_a_folder_whose_replacement_was_killed_between_its_renames_comes_back(tmp_path):
    with atomic_folder(tmp_path / "s") as staged:
        (staged / "1").write_text("old")
    done = subprocess.run([sys.executable, "-c", REPLACES, str(tmp_path / "s")], check=False)
    assert done.returncode == -9
    assert not (tmp_path / "s").exists()
    subprocess.run([sys.executable, "-c", REPLACES, str(tmp_path / "other")], check=True)  # nothing to replace
    assert content(tmp_path) == {"s/1": "old", "other/1": "new"}


HOLDS = """
import sys, time
from pathlib import Path
from pe_nnunet.cases import sole_writer
with sole_writer(Path(sys.argv[1]), None if len(sys.argv) < 3 else int(sys.argv[2])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks there")
def test_two_processes_into_one_folder(tmp_path):
    def holder(*part: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDS, str(tmp_path), *part], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    with holder() as alone:
        for part in (None, 0):
            with pytest.raises(ConfigurationError, match=r"PE-OUT-014.*--num-parts"), sole_writer(tmp_path, part):
                pass
        alone.kill()
    with holder("0") as first:
        with sole_writer(tmp_path, 1):
            pass
        for part in (None, 0):
            with pytest.raises(ConfigurationError, match="PE-OUT-014"), sole_writer(tmp_path, part):
                pass
        first.kill()
    with sole_writer(tmp_path):  # a lock ends with its process
        pass


def test_a_lock_is_waited_for(tmp_path):
    busy = ConfigurationError("PE-OUT-014", "busy")
    with locked(tmp_path / ".lock", busy, wait=True):
        pass
    assert not (tmp_path / ".lock").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks there")
@pytest.mark.parametrize("wait", [False, True])
def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch, wait):
    def none(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", none)
    busy = ConfigurationError("PE-OUT-014", "busy")
    with pytest.raises(OutputError, match=r"PE-OUT-001.*has no locks"), locked(tmp_path / ".lock", busy, wait=wait):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks there")
def test_a_lock_that_its_holder_on_another_machine_just_removed_is_waited_for(tmp_path, monkeypatch):
    real, stale = os.path.samestat, [OSError(errno.ESTALE, os.strerror(errno.ESTALE))]

    def samestat(*stats):
        if stale:
            raise stale.pop()
        return real(*stats)

    monkeypatch.setattr(os.path, "samestat", samestat)
    with locked(tmp_path / ".lock", ConfigurationError("PE-OUT-014", "busy"), wait=True):
        assert (tmp_path / ".lock").exists()
    assert not stale
