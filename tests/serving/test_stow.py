"""Images by DICOMweb STOW: from dicomweb-client, and what is refused, with which status, and nothing stored."""

from __future__ import annotations

import socket
from pathlib import Path

import pydicom
import pytest
import requests
from dicomweb_client import DICOMwebClient

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.serving import request_body
from pe_nnunet.serving.counts import Counts
from pe_nnunet.serving.intake import Intake
from pe_nnunet.serving.settings import ServeSettings
from pe_nnunet.serving.stow import StowReceiver
from pe_nnunet.serving.web import pages
from pe_nnunet.serving.worklist import Worklist
from tests.serving.conftest import write_study
from tests.serving.pacs import free_port

TYPE = 'multipart/related; type="application/dicom"; boundary=b0'
PART = b"\r\n--b0\r\nContent-Type: application/dicom\r\n\r\n"
END = b"\r\n--b0--\r\n"


@pytest.fixture
def site(queue, intake, tmp_path: Path):
    """The address of the DICOMweb service, and what it counts."""
    port, counts = free_port(), Counts()
    with pages(port, Worklist(queue, tmp_path), counts, tmp_path, StowReceiver(intake, counts)):
        yield f"http://127.0.0.1:{port}/dicom-web", counts


def post(address: str, body: bytes, path: str = "/studies", **headers: str) -> requests.Response:
    return requests.post(address + path, data=body, headers={"Content-Type": TYPE, **headers}, timeout=60)


def reasons(answer: requests.Response, name: str = "FailedSOPSequence") -> list[int]:
    return [item.FailureReason for item in getattr(pydicom.Dataset.from_json(answer.json()), name, [])]


@pytest.mark.parametrize("chunk", [1000, 10**6], ids=["chunked", "whole"])
def test_a_study_by_dicomweb_client_is_predicted_once(site, queue, serve, tmp_path, chunk) -> None:
    address, counts = site
    uid = write_study(tmp_path / "in", 51)
    images = [pydicom.dcmread(path) for path in sorted((tmp_path / "in").iterdir())]
    client = DICOMwebClient(address, chunk_size=chunk)
    for _ in range(2):
        answer = client.store_instances(images, study_instance_uid=uid)
        assert {item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence} == {
            image.SOPInstanceUID for image in images
        }
        assert "FailedSOPSequence" not in answer
    assert (counts.events["stored"], counts.events["known"]) == (8, 8)
    serve(lambda: queue.study(uid).state == "done")
    assert (queue.study(uid).emboli, queue.study(uid).answers) == (1, 1)
    assert not list((tmp_path / "state" / "studies").glob(".stow-*"))


def test_of_a_mixed_request_the_good_are_stored_and_the_others_named(site, queue, tmp_path) -> None:
    address, counts = site
    uid = write_study(tmp_path / "in", 52)
    path, *_ = sorted((tmp_path / "in").iterdir())
    capture = pydicom.dcmread(path)
    capture.SOPClassUID = capture.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    capture.save_as(tmp_path / "capture.dcm")
    wrong, good, cut = (tmp_path / "capture.dcm").read_bytes(), path.read_bytes(), path.read_bytes()[:200]
    mixed = post(address, PART + wrong + PART + good + PART + b"no DICOM" + PART + cut + END)
    assert (mixed.status_code, mixed.headers["Content-Type"]) == (202, "application/dicom+json")
    assert reasons(mixed) == [0x0122]
    assert reasons(mixed, "OtherFailuresSequence") == [0xC000, 0xC000]
    assert queue.instances_of(uid) == 1
    none = post(address, PART + wrong + END)
    assert (none.status_code, reasons(none)) == (409, [0x0122])
    other = post(address, PART + good + END, path="/studies/1.2.3.99")
    assert (other.status_code, reasons(other)) == (409, [0xC000])
    assert (counts.events["stored"], counts.events["refused"]) == (1, 5)


REFUSED = [
    (b"", {}, 400),
    (b"no multipart", {}, 400),
    (PART + b"x", {}, 400),
    (PART + b"x" + PART[:-2] + b"y" + END, {}, 400),
    (END, {}, 400),
    (b"\r\n--other\r\n\r\nx\r\n--other--", {}, 400),
    (PART + b"x" + END, {"Content-Type": "application/dicom"}, 415),
    (PART + b"x" + END, {"Content-Type": "multipart/form-data; boundary=b0"}, 415),
    (PART + b"x" + END, {"Content-Type": TYPE.replace("b0", "b" * 300)}, 400),
    (PART + b"x" + END, {"Content-Type": TYPE.partition("; boundary")[0]}, 400),
    (PART + b"x" + END, {"Accept": "application/dicom+xml"}, 406),
    (PART + b"x" * 5000 + END, {}, 413),
    (PART * 12 + END, {}, 400),
    (PART + b"x" + END, {"Host": "evil.example"}, 403),
    (PART + b"x" + END, {}, 409),
]
LYING = {
    "no length": (b"", b"", b"411"),
    "negative": (b"Content-Length: -5\r\n", b"", b"400"),
    "breaks off": (b"Content-Length: 3000\r\n", PART + b"x", b"400"),
    "no number": (b"Transfer-Encoding: chunked\r\n", b"zz\r\n" + PART, b"400"),
    "longer chunk": (b"Transfer-Encoding: chunked\r\n", b"3\r\n" + PART, b"400"),
    "endless": (b"Transfer-Encoding: chunked\r\n", b"fffffffffffffffff\r\n", b"413"),
    "no last chunk": (b"Transfer-Encoding: chunked\r\n", b"%x\r\n" % len(PART) + PART, b"400"),
}


def test_requests_that_are_refused_store_nothing(site, queue, intake, monkeypatch) -> None:
    monkeypatch.setattr(request_body, "MAX_BODY_BYTES", 4000)
    monkeypatch.setattr(request_body, "MAX_PARTS", 10)
    for body, headers, status in REFUSED:
        assert post(site[0], body, **headers).status_code == status, (body[:50], headers)
    host, port = site[0].split("/")[2].split(":")
    head = f"POST /dicom-web/studies HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: {TYPE}\r\n".encode()
    for name, (length, body, answer) in LYING.items():
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(head + length + b"\r\n" + body)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100).split(b" ")[1] == answer, name
    assert queue.studies() == []
    assert not list(intake.folder.rglob("*"))


def test_no_room_is_said_to_the_sender_who_sends_it_later(queue, intake, tmp_path, monkeypatch) -> None:
    uid = write_study(tmp_path / "in", 53)
    body = b"".join(PART + path.read_bytes() for path in sorted((tmp_path / "in").iterdir())) + END
    port, small = free_port(), Intake(intake.folder, queue, quota_bytes=3000)
    address = f"http://127.0.0.1:{port}/dicom-web"
    with pages(port, Worklist(queue, tmp_path), Counts(), tmp_path, StowReceiver(small, Counts())):
        some = post(address, body)
        assert (some.status_code, set(reasons(some))) == (202, {0xA700})
        assert 0 < queue.instances_of(uid) < 8
        assert post(address, PART + body.split(PART)[-1]).status_code == 503
    port = free_port()
    with pages(port, Worklist(queue, tmp_path), Counts(), tmp_path, StowReceiver(intake, Counts())):
        address = f"http://127.0.0.1:{port}/dicom-web"
        with monkeypatch.context() as patched:

            def full(*_: object) -> None:
                raise OSError(28, "No space left on device")

            patched.setattr(request_body._PartFiles, "write", full)
            assert post(address, body).status_code == 503
        assert post(address, body).status_code == 200
    assert queue.instances_of(uid) == 8


def test_off_unless_asked(queue, tmp_path) -> None:
    port = free_port()
    with pages(port, Worklist(queue, tmp_path), Counts(), tmp_path):
        assert post(f"http://127.0.0.1:{port}/dicom-web", PART + b"x" + END).status_code == 404
    with pytest.raises(ConfigurationError, match="PE-SRV-007"):
        ServeSettings(stow_in=True)
