from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pe_nnunet import cases
from pe_nnunet.dataset_conversion import ConversionReport, ConvertOptions, convert, convert_case
from pe_nnunet.dataset_conversion.convert_dataset import GIB_PER_WORKER, Outcome
from pe_nnunet.errors import ConfigurationError, OutputError
from pe_nnunet.volumes import write_image


def converted(src: Path, **settings: Any) -> ConversionReport:
    return convert("studies", src, 501, "PE", ConvertOptions(**settings))


def bytes_of(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see processes")


@pytest.fixture
def dataset(nnunet: Path) -> Path:
    return nnunet / "Dataset501_PE"


@pytest.fixture
def source(studies: Path, tmp_path: Path) -> Path:
    """A copy of the study folders that a test may change."""
    return Path(shutil.copytree(studies, tmp_path / "src"))


def test_an_existing_dataset_is_not_touched_unasked(studies: Path, dataset: Path) -> None:
    converted(studies)
    before = bytes_of(dataset)
    with pytest.raises(ConfigurationError, match=r"PE-CONV-002.*--resume.*--overwrite"):
        converted(studies, lung_margin_mm=20)
    assert bytes_of(dataset) == before


def test_resume_keeps_what_is_the_same_and_redoes_what_is_not(source: Path, dataset: Path, thorax: Any) -> None:
    converted(source)
    before = bytes_of(dataset)
    again = converted(source, resume=True)
    assert again.reused == {f"case_{k}" for k in range(6)}
    assert bytes_of(dataset) == before

    write_image(thorax.emboli, source / "case_2" / "emboli.nrrd")
    shutil.rmtree(source / "case_5")
    report = converted(source, resume=True)
    assert report.reused == {"case_0", "case_1", "case_3", "case_4"}
    assert report.cases["case_2"].embolus_count == 2
    assert not list(dataset.rglob("case_5*"))
    assert json.loads((dataset / "dataset.json").read_text())["numTraining"] == 5
    assert converted(source, resume=True, lung_margin_mm=20).reused == frozenset()


def test_resume_makes_up_for_a_file_that_was_lost(source: Path, dataset: Path) -> None:
    converted(source)
    before = bytes_of(dataset)
    (dataset / "labelsTr" / "case_1.nii.gz").unlink()
    assert "case_1" not in converted(source, resume=True).reused
    assert bytes_of(dataset) == before


def test_resume_makes_anew_what_is_cut_off_or_of_another_case(source: Path, dataset: Path) -> None:
    converted(source)
    before = bytes_of(dataset)
    labels, images = dataset / "labelsTr", dataset / "imagesTr"
    (labels / "case_1.nii.gz").write_bytes((labels / "case_1.nii.gz").read_bytes()[:100])
    shutil.copyfile(labels / "case_3.nii.gz", labels / "case_2.nii.gz")
    shutil.copyfile(images / "case_3_0000.nii.gz", images / "case_4_0000.nii.gz")
    (dataset / "pe_nnunet" / "instances" / "case_0.nii.gz").write_bytes(b"")
    report = converted(source, resume=True)
    assert report.reused == {"case_3", "case_5"}
    assert "case_0, case_1, case_2, case_4" in next(n.message for n in report.notes if n.code == "PE-CONV-039")
    assert bytes_of(dataset) == before


def test_overwrite_replaces_the_dataset_and_keeps_what_else_lies_there(source: Path, dataset: Path) -> None:
    converted(source)
    (dataset / "imagesTs").mkdir()
    (dataset / "imagesTs" / "x_0000.nii.gz").write_bytes(b"mine")
    shutil.rmtree(source / "case_0")
    converted(source, overwrite=True)
    assert not list(dataset.rglob("case_0*"))
    assert (dataset / "imagesTs" / "x_0000.nii.gz").read_bytes() == b"mine"
    assert [path.name for path in dataset.parent.iterdir()] == ["Dataset501_PE"]


def test_overwriting_in_vain_leaves_the_old_dataset(source: Path, dataset: Path) -> None:
    converted(source)
    before = bytes_of(dataset)
    for emboli in source.rglob("emboli.*"):
        emboli.unlink()
    assert converted(source, overwrite=True).dataset_folder is None
    assert bytes_of(dataset) == before


def test_a_dataset_of_other_making_is_never_replaced(studies: Path, dataset: Path) -> None:
    (dataset / "imagesTr").mkdir(parents=True)
    for settings in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(ConfigurationError, match=r"PE-CONV-002.*not made by this command"):
            converted(studies, **settings)
    assert list(dataset.iterdir()) == [dataset / "imagesTr"]


KILLED_AFTER_TWO = """
import os, signal, sys
from pathlib import Path
from pe_nnunet.dataset_conversion import convert
def progress(outcome, done, total):
    if done == 2:
        os.kill(os.getpid(), signal.SIGKILL)
convert("studies", Path(sys.argv[1]), 501, "PE", progress=progress)
"""


def test_killed_half_way_and_resumed_gives_the_same_bytes(studies: Path, dataset: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_AFTER_TWO, str(studies)], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert not dataset.exists()
    with pytest.raises(ConfigurationError, match=r"PE-CONV-002.*unfinished"):
        converted(studies)
    (dataset.parent / ".Dataset501_PE.building" / "imagesTr" / ".writing-1-case_2_0000.nii.gz").write_bytes(b"half")
    assert converted(studies, resume=True).reused == {"case_0", "case_1"}
    resumed = bytes_of(dataset)
    assert [path.name for path in dataset.parent.iterdir()] == ["Dataset501_PE"]
    converted(studies, overwrite=True)
    assert bytes_of(dataset) == resumed


KILLED_WITH_WORKERS = """
import multiprocessing, os, signal, sys
from pathlib import Path
from pe_nnunet.dataset_conversion import ConvertOptions, convert
def progress(outcome, done, total):
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    convert("studies", Path(sys.argv[1]), 501, "PE", ConvertOptions(num_processes=2), progress=progress)
"""


@needs_proc
def test_workers_end_with_the_process_that_started_them(studies: Path, dataset: Path, tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED_WITH_WORKERS)
    killed = subprocess.run([sys.executable, script, studies], check=False, stdout=subprocess.PIPE, timeout=120)
    workers_of_it = [int(pid) for pid in killed.stdout.split()]
    assert len(workers_of_it) == 2
    deadline = time.monotonic() + 20
    while any(map(is_running, workers_of_it)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, workers_of_it))


def is_running(pid: int) -> bool:
    """A zombie, which nobody may be there to collect, does not run."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_killed_between_the_two_renames(studies: Path, dataset: Path) -> None:
    converted(studies)
    before = bytes_of(dataset)
    shutil.copytree(dataset, dataset.with_name(".Dataset501_PE.building"))
    dataset.rename(dataset.with_name(".Dataset501_PE.replaced"))
    assert len(converted(studies, resume=True).reused) == 6
    assert bytes_of(dataset) == before


def test_two_conversions_into_one_dataset(studies: Path, dataset: Path) -> None:
    def progress(outcome: Outcome, done: int, total: int) -> None:
        with pytest.raises(ConfigurationError, match="PE-CONV-011"):
            converted(studies, resume=True)

    convert("studies", studies / "case_4", 501, "PE", progress=progress)


def test_two_processes_give_the_bytes_of_one(studies: Path, dataset: Path) -> None:
    converted(studies)
    before = bytes_of(dataset)
    report = converted(studies, overwrite=True, num_processes=2)
    assert report.errors == ()
    assert bytes_of(dataset) == before


DYING_ON_CASE_1 = """
import os, signal, sys
from pathlib import Path
from pe_nnunet.dataset_conversion import ConvertOptions, convert, convert_case, convert_dataset

def die_on_case_1(case, **how):
    if case[0].case_id == "case_1":
        os.kill(os.getpid(), signal.SIGKILL)
    return convert_case.convert_case(case, **how)

if __name__ == "__main__":
    convert_dataset.convert_case = die_on_case_1
    report = convert("studies", Path(sys.argv[1]), 501, "PE", ConvertOptions(num_processes=2))
    assert [(error.case_id, error.code) for error in report.errors] == [("case_1", "PE-CONV-012")], report.errors
    assert len(report.cases) == 5
"""


def test_a_worker_that_dies_is_named_and_the_others_go_on(studies: Path, dataset: Path, tmp_path: Path) -> None:
    script = tmp_path / "dying.py"  # a file, for spawned workers import the function from it
    script.write_text(DYING_ON_CASE_1)
    subprocess.run([sys.executable, str(script), str(studies)], check=True, timeout=120)
    assert len(json.loads((dataset / "pe_nnunet" / "cases.json").read_text())["cases"]) == 5


def test_an_unforeseen_error_fails_its_case_alone(
    studies: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(kind: str, source: Any, *rest: Any) -> Any:
        if source.case_id == "case_3":
            raise ZeroDivisionError("no idea")
        return prepare(kind, source, *rest)

    prepare = convert_case.prepare
    monkeypatch.setattr(convert_case, "prepare", broken)
    report = converted(studies)
    assert [(error.case_id, error.code) for error in report.errors] == [("case_3", "PE-ENV-006")]
    assert report.errors[0].message == "ZeroDivisionError: no idea"
    assert len(report.cases) == 5


def test_a_full_disk_stops_the_conversion_and_resume_goes_on(
    studies: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(image: Any, path: Path) -> None:
        if "case_2" in path.name:
            raise OutputError("PE-OUT-001", f"{path.name} cannot be written: no space left")
        write_image(image, path)

    with monkeypatch.context() as patch:
        patch.setattr(convert_case, "write_image", full)
        with pytest.raises(OutputError, match="PE-OUT-001"):
            converted(studies)
    assert not dataset.exists()
    assert converted(studies, resume=True).reused == {"case_0", "case_1"}


def test_workers_fit_processors_memory_and_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(cases, "free_bytes", lambda: 13 << 30)
    assert cases.sensible_workers(100, GIB_PER_WORKER) == 13 // GIB_PER_WORKER
    assert cases.sensible_workers(7, GIB_PER_WORKER) == 1
    monkeypatch.setattr(cases, "free_bytes", lambda: 1 << 30)
    assert cases.sensible_workers(100, GIB_PER_WORKER) == 1


class Killed(BaseException):
    """The end of the process, as nothing catches it."""


@pytest.mark.parametrize("step", [1, 6, 12, 13, 16])
def test_ended_before_any_file_gets_its_name_and_resumed_gives_the_same_bytes(
    studies: Path, tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, step: int, whole: dict[str, str]
) -> None:
    """Files get their names by renaming; the process ends before the given one, the last being that of the dataset."""
    done, replace = [], Path.replace

    def renamed(path: Path, target: Path) -> Path:
        if len(done) + 1 == step:
            raise Killed
        done.append(target)
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", renamed)
        patch.setattr(Path, "rename", renamed)
        with pytest.raises(Killed):
            converted(two_of(studies, tmp_path))
    assert not dataset.exists()
    assert not list(dataset.parent.rglob(".writing-*"))
    report = converted(tmp_path / "two", resume=True)
    assert len(report.reused) == sum("unfinished" in str(target) for target in done)
    assert bytes_of(dataset) == whole


def two_of(studies: Path, tmp_path: Path) -> Path:
    (tmp_path / "two").mkdir()
    for name in ("case_1", "case_5"):
        (tmp_path / "two" / name).symlink_to(studies / name, target_is_directory=True)
    return tmp_path / "two"


@pytest.fixture(scope="module")
def whole(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The bytes of the dataset of two studies, converted at one go."""
    root = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("nnUNet_raw", str(root))
        converted(two_of(studies, root))
    return bytes_of(root / "Dataset501_PE")


def test_a_disk_that_fills_up_leaves_no_half_file(
    studies: Path, dataset: Path, tmp_path: Path, fresh_python: Any
) -> None:
    """A limit on the size of files stands in for the disk; the labels would still fit, the scans do not."""
    pytest.importorskip("resource", reason="POSIX only")
    answer = fresh_python(
        f"""
import resource, signal
from pathlib import Path
from pe_nnunet.dataset_conversion import convert
from pe_nnunet.errors import OutputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
try:
    convert("studies", Path({str(studies / "case_4")!r}), 501, "PE")
    answer = "no error"
except OutputError as error:
    answer = error.code
""",
        nnUNet_raw=str(dataset.parent),
    )
    assert answer == "PE-OUT-001"
    assert [path for path in dataset.parent.rglob("*") if path.is_file()] == []
    assert len(converted(studies / "case_4").cases) == 1
