"""The queue, the watched folder and the folder that results go to: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pydicom
import pytest

from pe_nnunet.cases import CaseFailure
from pe_nnunet.cli import main
from pe_nnunet.errors import InputError, OutputError
from pe_nnunet.serving import study_queue
from pe_nnunet.serving.counts import Counts
from pe_nnunet.serving.destinations import FolderDestination
from pe_nnunet.serving.intake import Intake
from pe_nnunet.serving.retention import Retention
from pe_nnunet.serving.settings import ServeSettings
from pe_nnunet.serving.study_queue import StudyQueue
from pe_nnunet.serving.watched_folder import WatchedFolder
from tests.serving.conftest import PATIENT, STAND_IN, write_study


def states(queue: StudyQueue) -> dict[str, str]:
    return {study.uid: study.state for study in queue.studies()}


def everything_below(folder: Path) -> str:
    return "\n".join(str(path) for path in folder.rglob("*"))


def test_a_watched_folder_is_answered_once(queue, intake, serve, tmp_path, capsys) -> None:
    inbox, outbox = tmp_path / "Erika" / "inbox", tmp_path / "outbox"
    uids = [write_study(inbox / f"Muster Erika {n}", n, clot=n % 2 == 1) for n in (1, 2)]
    (inbox / "Muster Erika 1" / "notes.txt").write_text("Erika Muster")
    watched = WatchedFolder(inbox, intake, queue)
    to = FolderDestination(outbox)
    watched.look()
    assert queue.studies() == []  # a file may still grow
    watched.look()
    serve(lambda: states(queue) == dict.fromkeys(uids, "sent"), destinations=[to])
    first, second = queue.study(uids[0]), queue.study(uids[1])
    assert (first.emboli, first.pe_score, first.answers) == (1, pytest.approx(0.9), 1)
    assert (second.emboli, second.answers) == (0, 1)
    assert first.reason.startswith("no contrast named, kernel unknown, 2 mm, 8 slices")
    assert {path.name for path in outbox.iterdir()} == {"study_1-2-3-1", "study_1-2-3-2"}
    seg = pydicom.dcmread(outbox / "study_1-2-3-1" / "study_1-2-3-1_seg.dcm")
    assert (seg.StudyInstanceUID, str(seg.PatientName)) == (uids[0], PATIENT)
    said = capsys.readouterr()
    assert "PE-SRV-004: a file in the watched folder is left out" in said.out
    told = said.out + said.err + everything_below(tmp_path / "state") + everything_below(outbox)
    told += "".join(path.read_text() for path in outbox.rglob("*.json"))
    assert "Muster" not in told.replace(str(tmp_path), "")
    assert "Erika" not in told.replace(str(tmp_path), "")

    again = StudyQueue(tmp_path / "state" / "queue.sqlite")  # another start, which looks through the same folder
    WatchedFolder(inbox, Intake(intake.folder, again), again).look()
    assert states(again) == dict.fromkeys(uids, "sent")
    again.close()


def test_what_comes_late_is_answered_anew_and_the_same_again_is_not(queue, intake, serve, tmp_path) -> None:
    uid = write_study(tmp_path / "in", 1, slices=9)
    files = [path.read_bytes() for path in sorted((tmp_path / "in").iterdir())]
    assert [intake.take(content) for content in files[:8]] == [True] * 8
    assert not intake.take(files[0])
    serve(lambda: states(queue) == {uid: "done"})
    assert not intake.take(files[0])
    assert states(queue) == {uid: "done"}
    assert intake.take(files[8])
    assert (states(queue), queue.study(uid).pe_score) == ({uid: "received"}, None)
    serve(lambda: states(queue) == {uid: "done"})
    assert queue.study(uid).answers == 2
    manifest = json.loads((tmp_path / f"state/results/{uid}/study_1-2-3-1.json").read_text())
    assert manifest["grid"]["size_xyz"] == [20, 16, 9]


def test_a_study_that_changes_while_it_runs_is_not_done(queue, intake, tmp_path) -> None:
    uid = write_study(tmp_path / "in", 1)
    files = [path.read_bytes() for path in sorted((tmp_path / "in").iterdir())]
    for content in files[:7]:
        intake.take(content)
    queue.settle(0)
    assert queue.claim().uid == uid
    intake.take(files[7])
    assert not queue.done(uid, "", 0.5, 1, 1.0, 1.0)
    queue.failed(CaseFailure(uid, "PE-IN-003", "half of it"), "running")
    assert (queue.study(uid).state, queue.study(uid).code) == ("received", "")


def test_a_failed_study_says_its_code_and_goes_again(queue, intake, serve, tmp_path, capsys) -> None:
    uid = write_study(tmp_path / "in", 1)
    files = sorted((tmp_path / "in").iterdir())
    whole = files[3].read_bytes()
    for path in files:
        intake.take(path.read_bytes()[: -100 if path == files[3] else None])
    serve(lambda: states(queue) == {uid: "failed"})
    assert queue.study(uid).code == "PE-DCM-022"
    assert f"study {uid}: PE-DCM-022" in capsys.readouterr().out
    assert main(["serve", "-o", str(tmp_path / "state"), "--retry", uid]) == 0
    assert states(queue) == {uid: "waiting"}
    intake.take(whole)  # the sender does it right
    serve(lambda: states(queue) == {uid: "done"})
    assert main(["serve", "-o", str(tmp_path / "state"), "--retry", "1.2.3.99"]) == 2
    assert "PE-SRV-003" in capsys.readouterr().err
    assert main(["serve", "-o", str(tmp_path / "nowhere"), "--retry", uid]) == 2
    assert not (tmp_path / "nowhere").exists()


def test_objects_that_are_not_taken_in(intake, queue, tmp_path) -> None:
    write_study(tmp_path / "in", 1)
    (path, *_) = sorted((tmp_path / "in").iterdir())
    dataset = pydicom.dcmread(path)
    for keyword, value in (("StudyInstanceUID", "../../up"), ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.7"),
                           ("SOPInstanceUID", "1" * 65), ("SeriesInstanceUID", "")):  # fmt: skip
        bad = pydicom.dcmread(path)
        with pydicom.config.disable_value_validation():
            setattr(bad, keyword, value)
            bad.save_as(tmp_path / "bad.dcm")
        with pytest.raises(InputError, match="PE-SRV-004"):
            intake.take((tmp_path / "bad.dcm").read_bytes())
    with pytest.raises(InputError, match="PE-SRV-004"):
        intake.take(b"no DICOM")
    assert queue.studies() == []
    assert not intake.folder.exists()
    assert dataset.StudyInstanceUID == "1.2.3.1"


def test_a_full_disk_loses_nothing(queue, intake, serve, tmp_path, monkeypatch) -> None:
    uid = write_study(tmp_path / "in", 1)
    inbox = WatchedFolder(tmp_path / "in", intake, queue)
    written = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        written(path, content[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    inbox.look()
    with pytest.raises(OutputError, match="PE-OUT-001"):
        inbox.look()
    assert queue.studies() == []
    assert not list(intake.folder.rglob("*.dcm"))
    monkeypatch.undo()
    inbox.look()
    serve(lambda: states(queue) == {uid: "done"})


def test_a_destination_that_fails_is_tried_again_and_then_given_up(queue, intake, serve, tmp_path, monkeypatch) -> None:
    uid = write_study(tmp_path / "in", 1)
    monkeypatch.setattr("pe_nnunet.serving.delivery.FIRST_WAIT_S", 0.01)
    monkeypatch.setattr("pe_nnunet.serving.delivery.MAX_TRIES", 2)
    calls: list[str] = []

    class Broken:
        name = "broken"

        def send(self, study: str, files: Any) -> None:
            calls.append(study)
            raise OutputError("PE-SRV-006", "nobody there")

    good = FolderDestination(tmp_path / "out")
    for path in (tmp_path / "in").iterdir():
        intake.take(path.read_bytes())
    serve(lambda: states(queue) == {uid: "failed"}, destinations=[Broken(), good])
    assert (calls, queue.study(uid).code, queue.study(uid).answers) == ([uid, uid], "PE-SRV-006", 1)
    assert queue.has(uid, good.name)
    queue.again(uid)
    serve(lambda: states(queue) == {uid: "sent"}, destinations=[good])


def test_a_study_that_ends_the_server_again_and_again_fails(queue, intake, tmp_path) -> None:
    uid = write_study(tmp_path / "in", 1)
    for path in (tmp_path / "in").iterdir():
        intake.take(path.read_bytes())
    queue.settle(0)
    for _ in range(study_queue.MAX_DEATHS):
        assert queue.claim().uid == uid
        queue.recover()
    assert (queue.study(uid).state, queue.study(uid).code) == ("failed", "PE-SRV-002")


def test_a_server_killed_in_the_middle_goes_on(tmp_path) -> None:
    inbox, outbox, state = tmp_path / "in", tmp_path / "out", tmp_path / "state"
    uids = [write_study(inbox / str(n), n) for n in range(1, 4)]
    command = [sys.executable, STAND_IN, "-o", state, "--watch", inbox, "--send-folder", outbox, "--quiet-s", "2",
               "--look-s", "0.1", "--no-report", "--no-key-images"]  # fmt: skip

    def wait(process: subprocess.Popen[bytes], reached: Any) -> None:
        end = time.monotonic() + 300
        while not reached():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)

    environment = {**os.environ, "PE_NNUNET_SLOW": "0.4"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            wait(process, lambda: (tmp_path / "log").read_text().count(": begun") >= 2)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        (state / "studies" / "orphan.dcm").write_bytes(b"half")
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            queue = StudyQueue(state / "queue.sqlite")
            wait(process, lambda: states(queue) == dict.fromkeys(uids, "sent"))
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(20)
    said = (tmp_path / "log").read_text()
    assert code == 0, said
    assert [study.answers for study in queue.studies()] == [1, 1, 1], said
    queue.close()
    assert len(list(outbox.iterdir())) == 3
    assert not (state / "studies" / "orphan.dcm").exists()
    assert "Erika" not in said


def test_dry_run_says_what_would_be_done_and_writes_nothing(tmp_path, capsys) -> None:
    uid = write_study(tmp_path / "in", 1, ContrastBolusAgent="Iomeron", ConvolutionKernel="B30f")
    assert main(["serve", "-o", str(tmp_path / "state"), "--watch", str(tmp_path / "in"), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert f"study {uid}: 8 CT images; series " in said
    assert "contrast, soft kernel, 2 mm, 8 slices" in said
    assert not (tmp_path / "state").exists()


def test_what_a_kill_left_of_a_request_goes_with_its_folder(intake) -> None:
    left = intake.folder / ".stow-a1"
    left.mkdir(parents=True)
    (left / "part").write_bytes(b"half")
    intake.remove_unknown()
    assert not left.exists()


def test_images_of_a_study_whose_images_were_removed_take_no_result(queue, intake, tmp_path) -> None:
    uid = write_study(tmp_path / "in", 1, slices=9)
    files = [path.read_bytes() for path in sorted((tmp_path / "in").iterdir())]
    (tmp_path / "results").mkdir()
    retention = Retention(queue, intake, tmp_path / "results", ServeSettings(keep_days=0.0), "done", Counts())

    def now() -> tuple[str, float | None, str, bool]:
        study = queue.study(uid)
        return study.state, study.pe_score, study.reason, queue.has(uid, "pacs")

    def predicted() -> None:
        assert queue.claim().uid == uid
        queue.done(uid, "soft", 0.9, 1, 5.0, 1.0)
        queue.sent(queue.study(uid), "pacs")
        retention.tidy()
        assert queue.instances_of(uid) == 0

    for content in files[:8]:
        intake.take(content)
    queue.settle(0)
    predicted()
    assert intake.take(files[0])
    queue.settle(0)
    assert now() == ("done", 0.9, "soft", True)
    with pytest.raises(InputError, match="PE-SRV-003"):
        queue.again(uid)  # it would be predicted from one image
    retention.tidy()
    assert queue.instances_of(uid) == 0

    for content in files[:8]:  # all of it
        assert intake.take(content)
    queue.settle(0)
    assert now() == ("waiting", 0.9, "soft", False)
    predicted()
    for content in (files[8], files[0]):  # one that it did not have
        assert intake.take(content)
    queue.settle(0)
    assert now() == ("waiting", 0.9, "soft", False)
    queue.claim()
    queue.failed(CaseFailure(uid, "PE-SRV-011", "two images"), "running")
    assert now() == ("failed", 0.9, "soft", False)
