"""Images by C-STORE from DCMTK, results by C-STORE to Orthanc, and what a node must withstand."""

from __future__ import annotations

import shutil
import socket
import subprocess

import numpy as np
import pydicom
import pytest

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.serving.counts import Counts
from pe_nnunet.serving.dicom_node import listening
from pe_nnunet.serving.dicom_peer import DicomPeer
from pe_nnunet.serving.intake import Intake
from pe_nnunet.serving.pynetdicom_here import require_pynetdicom, tls_context
from pe_nnunet.serving.settings import NodeSettings, Peer
from tests.serving.conftest import write_study
from tests.serving.pacs import dcmtk, free_port, wait_for

REJECT, ABORT = 0x03, 0x07  # PDU types (PS3.8, 9.3)


@pytest.fixture
def node(intake):
    """A node that SCANNER may send to; its port and what it counts."""
    port, counts = free_port(), Counts()
    with listening(NodeSettings(port=port, allow=("SCANNER",)), intake, counts):
        yield port, counts


def states(queue) -> dict[str, str]:
    return {study.uid: study.state for study in queue.studies()}


def test_from_a_scanner_into_the_same_study_of_a_pacs(queue, node, serve, orthanc, tmp_path) -> None:
    port, counts = node
    uids = [write_study(tmp_path / str(n), n, clot=n == 21) for n in (21, 22)]
    for number in (21, 22):
        for file in (tmp_path / str(number)).iterdir():
            orthanc.store(file)
        assert dcmtk("storescu", "+sd", tmp_path / str(number), port=port) == 0
    assert dcmtk("storescu", "+sd", tmp_path / "22", port=port) == 0  # the same again
    assert (counts.events["stored"], counts.events["known"]) == (16, 8)
    peer = DicomPeer(Peer("ORTHANC", "127.0.0.1", orthanc.dicom_port), "PENNUNET")
    serve(lambda: states(queue) == dict.fromkeys(uids, "sent"), destinations=[peer])
    assert orthanc.modalities(uids[0]) == ["CT"] * 8 + ["SEG", "SR"]
    assert orthanc.modalities(uids[1]) == ["CT"] * 8 + ["SR"]
    query = ["-S", "-k", "QueryRetrieveLevel=SERIES", "-k", f"StudyInstanceUID={uids[0]}", "-k", "Modality=SEG"]
    (tmp_path / "found").mkdir()
    query += ["-k", "SeriesInstanceUID", "-X", "-od", tmp_path / "found"]
    assert dcmtk("findscu", *query, to="ORTHANC", port=orthanc.dicom_port) == 0
    (answer,) = (tmp_path / "found").iterdir()
    (seg,) = (tmp_path / "state").rglob("*_seg.dcm")
    assert pydicom.dcmread(answer, force=True).SeriesInstanceUID == pydicom.dcmread(seg).SeriesInstanceUID
    queue.again(uids[0])
    serve(lambda: states(queue) == dict.fromkeys(uids, "sent"), destinations=[peer])
    assert orthanc.modalities(uids[0]) == ["CT"] * 8 + ["SEG", "SR"]  # the same objects, not further ones


def test_echo_and_who_may_send(node, tmp_path) -> None:
    port, counts = node
    assert dcmtk("echoscu", port=port) == 0
    assert dcmtk("echoscu", title="STRANGER", port=port) != 0
    assert dcmtk("echoscu", to="OTHER", port=port) != 0
    assert (counts.events["echoes"], counts.events["rejected"]) == (1, 2)


def test_no_more_associations_at_a_time_than_are_allowed(intake) -> None:
    port, counts = free_port(), Counts()
    entity = require_pynetdicom().AE(ae_title="SCANNER")
    entity.add_requested_context("1.2.840.10008.1.1")
    with listening(NodeSettings(port=port, allow=("SCANNER",), max_associations=1), intake, counts):
        first = entity.associate("127.0.0.1", port, ae_title="PENNUNET")
        assert first.is_established
        assert dcmtk("echoscu", port=port) != 0
        first.release()
        wait_for(lambda: dcmtk("echoscu", port=port) == 0)
    assert counts.events["rejected"] >= 1


def test_a_wrong_class_and_a_truncated_file_are_refused_or_queued_with_a_code(queue, node, serve, tmp_path) -> None:
    port, counts = node
    uid = write_study(tmp_path / "in", 3)
    files = sorted((tmp_path / "in").iterdir())
    capture = pydicom.dcmread(files[0])
    capture.SOPClassUID = capture.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    capture.save_as(tmp_path / "capture.dcm")
    assert dcmtk("storescu", "-R", tmp_path / "capture.dcm", port=port) != 0
    assert counts.events["stored"] == 0
    cut = pydicom.dcmread(files[2])
    cut.PixelData = np.frombuffer(cut.PixelData, np.uint8)[:-200].tobytes()
    cut.save_as(tmp_path / "cut.dcm")
    assert dcmtk("storescu", *files[:2], tmp_path / "cut.dcm", *files[3:], port=port) == 0
    serve(lambda: states(queue) == {uid: "failed"})
    assert queue.study(uid).code in {"PE-DCM-022", "PE-DCM-028"}
    assert dcmtk("storescu", files[2], port=port) == 0
    serve(lambda: states(queue) == {uid: "done"})


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x01\x00\xff\xff\xff\xff" + b"\0" * 100,
        b"\x01\x00\x00\x00\x00\x0a" + b"\xff" * 10,
        b"\x04\x00\x00\x00\x00\x06" + b"\0" * 6,
    ],
    ids=["http", "endless", "garbage", "data first"],
)
def test_a_malformed_association_ends_nothing(node, sent: bytes) -> None:
    port, _ = node
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(100)
    assert answer == b"" or answer[0] in {REJECT, ABORT}
    assert dcmtk("echoscu", port=port) == 0


def test_no_room_is_said_to_the_sender_who_sends_it_later(queue, tmp_path, intake: Intake) -> None:
    write_study(tmp_path / "in", 4)
    port, small = free_port(), Intake(intake.folder, queue, quota_bytes=3000)
    with listening(NodeSettings(port=port, allow=("SCANNER",)), small, counts := Counts()):
        assert dcmtk("storescu", "+sd", tmp_path / "in", port=port) != 0
    assert 0 < counts.events["stored"] < 8
    assert queue.stored_bytes() <= 3000
    with listening(NodeSettings(port=port, allow=("SCANNER",)), intake, counts := Counts()):
        assert dcmtk("storescu", "+sd", tmp_path / "in", port=port) == 0
    assert counts.events["stored"] + counts.events["known"] == 8
    assert queue.instances_of("1.2.3.4") == 8


@pytest.mark.parametrize(
    "options",
    [{"port": 104}, {"port": 1, "allow": ("A\\B",)}, {"ae_title": ""}, {"ae_title": "T" * 17}, {"max_associations": 0}],
    ids=str,
)
def test_options_that_are_refused(options) -> None:
    with pytest.raises(ConfigurationError, match="PE-SRV-007"):
        NodeSettings(**options)
    for text in ("PACS", "PACS@host", "PACS@host:0", "PACS@host:99999", "P CS@host:1"):
        with pytest.raises(ConfigurationError, match="PE-SRV-007"):
            _ = NodeSettings(send_to=(text,)).peers


def test_tls_lets_in_who_shows_a_certificate_and_nobody_else(intake, tmp_path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here, which makes the certificates")
    for name in ("node", "stranger"):
        made = f"req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN={name} -addext subjectAltName=IP:127.0.0.1"
        files = ["-keyout", tmp_path / f"{name}.key", "-out", tmp_path / f"{name}.pem"]
        subprocess.run(["openssl", *made.split(), *files], check=True, capture_output=True)
    authority, port = str(tmp_path / "node.pem"), free_port()
    ours, strangers = (
        (str(tmp_path / f"{name}.pem"), str(tmp_path / f"{name}.key"), authority) for name in ("node", "stranger")
    )
    entity = require_pynetdicom().AE(ae_title="SCANNER")
    entity.add_requested_context("1.2.840.10008.1.1")
    with listening(NodeSettings(port=port, allow=("SCANNER",), tls=ours), intake, Counts()):
        for files, accepted in ((ours, True), (strangers, False), ((), False)):
            context = tls_context(files, server=False)
            tls = None if context is None else (context, "127.0.0.1")
            association = entity.associate("127.0.0.1", port, ae_title="PENNUNET", tls_args=tls)
            assert association.is_established == accepted, files
            if accepted:
                assert association.send_c_echo().Status == 0
                association.release()
    with pytest.raises(ConfigurationError, match="PE-SRV-009"):
        tls_context((str(tmp_path / "none.pem"), authority, authority), server=True)


def test_a_port_that_is_taken(node, intake) -> None:
    port, _ = node
    with (
        pytest.raises(ConfigurationError, match="PE-SRV-009"),
        listening(NodeSettings(port=port, allow=("SCANNER",)), intake, Counts()),
    ):
        pass
