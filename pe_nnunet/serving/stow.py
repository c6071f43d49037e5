"""Instances by DICOMweb STOW, with the promises of C-STORE: what is answered as stored is on the disk and in the queue.

A request is looked at as a whole first: of one that is malformed or breaks off nothing is stored.

Source: DICOM PS3.18, 10.5 (Store) and I.2.2 (response); RFC 2387 (multipart/related).
"""

from __future__ import annotations

import json
import tempfile
from email.message import Message
from http import HTTPStatus
from io import BufferedIOBase
from pathlib import Path
from threading import BoundedSemaphore

import pydicom

from pe_nnunet.errors import InputError
from pe_nnunet.serving.counts import Counts
from pe_nnunet.serving.intake import Intake
from pe_nnunet.serving.log import say
from pe_nnunet.serving.request_body import BodyTooLargeError, parts_of, pieces_of, require_multipart
from pe_nnunet.serving.storing import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, SUCCESS, store
from pe_nnunet.volumes.dicom.headers import CT_CLASSES, quiet_pydicom, read_dataset, text_of

STUDIES = "/dicom-web/studies"
JSON = "application/dicom+json"
CLASS_NOT_SUPPORTED = 0x0122
AT_A_TIME = 4  # requests, each of which is on the disk as a whole until it is answered
_ACCEPTED = {"*/*", "application/*", "application/json", JSON}

Answer = tuple[HTTPStatus, str, str]  # with the text and its type


class StowReceiver:
    """Answers requests to store.

    Args:
        intake: Where images go.
        counts: What happened how often; it is added to.

    Raises:
        MissingExtraError: PE-SRV-008 without python-multipart.
    """

    def __init__(self, intake: Intake, counts: Counts) -> None:
        require_multipart()
        self._intake, self._counts = intake, counts
        self._free = BoundedSemaphore(AT_A_TIME)

    def answer(self, path: str, headers: Message, body: BufferedIOBase) -> Answer:
        """Store what a request holds.

        Args:
            path: `STUDIES`, or that with `/` and the UID of the study that all instances must be of.
            headers: Of the request.
            body: Behind them.
        """
        if not self._free.acquire(blocking=False):
            return self._refused(HTTPStatus.SERVICE_UNAVAILABLE, "there are too many at a time")
        try:
            return self._answer(path.removeprefix(STUDIES).removeprefix("/"), headers, body)
        except InputError as error:
            return self._refused(HTTPStatus.BAD_REQUEST, error.message)
        except BodyTooLargeError:
            return self._refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "it is too large; send fewer images at a time")
        except OSError as error:
            if isinstance(error, ConnectionError | TimeoutError):
                raise
            return self._refused(HTTPStatus.SERVICE_UNAVAILABLE, f"it cannot be written: {error.strerror}")
        finally:
            self._free.release()

    def _answer(self, study: str, headers: Message, body: BufferedIOBase) -> Answer:
        if headers.get_content_type() != "multipart/related" or headers.get_param("type") != "application/dicom":
            what = 'it is no multipart/related with type="application/dicom"'
            return self._refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, what)
        accepted = {item.split(";")[0].strip().lower() for item in headers.get("Accept", "*/*").split(",")}
        if not accepted & _ACCEPTED:
            return self._refused(HTTPStatus.NOT_ACCEPTABLE, f"answers are {JSON}")
        if "Content-Length" not in headers and "Transfer-Encoding" not in headers:
            return self._refused(HTTPStatus.LENGTH_REQUIRED, "it does not say how long it is")
        self._intake.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._intake.folder, prefix=".stow-") as folder:
            boundary = headers.get_boundary("")
            return _told(
                [self._store(part, study) for part in parts_of(pieces_of(body, headers), boundary, Path(folder))]
            )

    def _store(self, part: Path, study: str) -> tuple[pydicom.Dataset, int]:
        """Which instance a part is, as a response names it, and its status."""
        content = part.read_bytes()
        part.unlink()  # before it is written again: both may not have room
        item = pydicom.Dataset()
        with quiet_pydicom():
            try:
                header = read_dataset(content, grouping_only=True) or pydicom.Dataset()
            except InputError:
                header = pydicom.Dataset()
            item.ReferencedSOPClassUID = text_of(header, "SOPClassUID")
            item.ReferencedSOPInstanceUID = text_of(header, "SOPInstanceUID")
        status = CANNOT_UNDERSTAND
        if item.ReferencedSOPClassUID and item.ReferencedSOPClassUID not in CT_CLASSES:
            status = CLASS_NOT_SUPPORTED
        elif not study or text_of(header, "StudyInstanceUID") == study:
            return item, store(content, self._intake, self._counts)
        self._counts.add("refused")
        say(f"PE-SRV-013: an object of a STOW request was refused with status 0x{status:04X}")
        return item, status

    def _refused(self, status: HTTPStatus, what: str) -> Answer:
        self._counts.add("rejected")
        say(f"PE-SRV-013: a STOW request was refused with {status.value}: {what}")
        return status, f"{what}\n", "text/plain; charset=utf-8"


def _told(stored: list[tuple[pydicom.Dataset, int]]) -> Answer:
    """The response, whose status says whether all, some or none were stored."""
    answer = pydicom.Dataset()
    answer.RetrieveURL = ""  # nothing can be fetched from here
    good = [item for item, status in stored if status == SUCCESS]
    bad = [(item, status) for item, status in stored if status != SUCCESS]
    for item, status in bad:
        item.FailureReason = status
    for item in good:
        item.RetrieveURL = ""
    unnamed = [_reason_alone(status) for item, status in bad if not item.ReferencedSOPInstanceUID]
    for name, items in (
        ("ReferencedSOPSequence", good),
        ("FailedSOPSequence", [item for item, _ in bad if item.ReferencedSOPInstanceUID]),
        ("OtherFailuresSequence", unnamed),
    ):
        if items:
            setattr(answer, name, items)
    if not bad:
        status = HTTPStatus.OK
    elif good:
        status = HTTPStatus.ACCEPTED
    elif any(reason == OUT_OF_RESOURCES for _, reason in bad):
        status = HTTPStatus.SERVICE_UNAVAILABLE
    else:
        status = HTTPStatus.CONFLICT
    return status, json.dumps(answer.to_json_dict()), JSON


def _reason_alone(status: int) -> pydicom.Dataset:
    item = pydicom.Dataset()
    item.FailureReason = status
    return item
