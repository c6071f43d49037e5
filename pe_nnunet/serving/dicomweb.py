"""DICOMweb: results by STOW to any server, and studies from an Orthanc by its feed of changes.

Source: DICOM PS3.18, 10.5 (Store); https://orthanc.uclouvain.be/book/users/rest.html (changes, instances).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pydicom

from pe_nnunet.errors import ConfigurationError, InputError, MissingExtraError, OutputError
from pe_nnunet.serving.destinations import dicom_files
from pe_nnunet.serving.intake import Intake
from pe_nnunet.serving.log import say
from pe_nnunet.serving.study_queue import StudyQueue

TIMEOUT_S = 60.0
CHANGES = 100  # in one answer of the feed


def _require(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        text = "dicomweb-client, which DICOMweb needs, is not installed"
        raise MissingExtraError("PE-SRV-008", text, "pip install 'pe-nnunet[serve]'") from error


def require_url(url: str, option: str) -> str:
    """The address, if it is one without user and password, which would be said in the log; `~/.netrc` may have them.

    Raises:
        ConfigurationError: PE-SRV-007.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        hint = "as http://127.0.0.1:8042/dicom-web; user and password belong into ~/.netrc"
        raise ConfigurationError("PE-SRV-007", f"{option} is no address without user and password", hint)
    return url.rstrip("/")


class StowDestination:
    """See `Destination`: a server that takes DICOM objects by STOW.

    Args:
        url: Of its DICOMweb service.

    Raises:
        MissingExtraError: PE-SRV-008 without dicomweb-client.
        ConfigurationError: PE-SRV-007 if that is no address.
    """

    def __init__(self, url: str) -> None:
        self.name = require_url(url, "--stow")
        client = _require("dicomweb_client")
        self._errors = (_require("requests").RequestException, OSError, ValueError)
        self._client = client.DICOMwebClient(self.name)
        self._client.set_http_retry_params(retry=False)  # the delivery tries again, and waits longer

    def send(self, study: str, files: Mapping[str, Path]) -> None:
        """See `Destination`; only DICOM objects are sent."""
        objects = [pydicom.dcmread(path) for path in dicom_files(files)]
        if not objects:
            return
        try:
            answer = self._client.store_instances(objects, study_instance_uid=study)
        except self._errors as error:
            raise self._error(f"cannot be reached: {type(error).__name__}") from error
        failed = len(answer.get("FailedSOPSequence") or ())
        if failed or len(answer.get("ReferencedSOPSequence") or ()) < len(objects):
            raise self._error(f"did not take {failed or 'some'} of {len(objects)} objects")

    def _error(self, what: str) -> OutputError:
        return OutputError("PE-SRV-006", f"{self.name} {what}", "check the address and that it runs")


class OrthancFeed:
    """CT series of studies that become stable in an Orthanc, after the first time that it was asked.

    Args:
        url: Of its REST interface.
        intake: Where images go.
        queue: Which remembers how far the feed was read.

    Raises:
        MissingExtraError: PE-SRV-008 without dicomweb-client, which brings requests.
        ConfigurationError: PE-SRV-007 if that is no address.
    """

    def __init__(self, url: str, intake: Intake, queue: StudyQueue) -> None:
        self._url, self._intake, self._queue = require_url(url, "--orthanc"), intake, queue
        self._mark = f"changes of {self._url}"
        requests = _require("requests")
        self._session, self._errors = requests.Session(), (requests.RequestException, ValueError, LookupError)

    def look(self) -> None:
        """Take in what has become stable since the last look.

        Raises:
            InputError: PE-SRV-010 if Orthanc cannot be asked; the next look begins where this one did.
            OutputError: If an image cannot be stored; likewise.
        """
        try:
            last = int(self._json("/changes?last")["Last"])
            known = self._queue.mark(self._mark)
            since = int(known) if known else last
            if since > last:  # its database was made anew
                since = 0
            while True:
                found = self._json(f"/changes?since={since}&limit={CHANGES}")
                for change in found["Changes"]:
                    if change["ChangeType"] == "StableStudy":
                        self._take_study(change["ID"])
                since = int(found["Last"])
                self._queue.remember(self._mark, str(since))
                if found["Done"]:
                    return
        except self._errors as error:
            raise InputError("PE-SRV-010", f"{self._url}: {type(error).__name__}", "check that it runs") from error

    def _take_study(self, study: str) -> None:
        facts = self._json(f"/studies/{study}", gone={})
        uid = facts["MainDicomTags"]["StudyInstanceUID"] if facts else ""
        for one in self._json(f"/studies/{study}/series", gone=[]):
            of_ct = one["MainDicomTags"].get("Modality") == "CT"
            for instance in self._json(f"/series/{one['ID']}/instances", gone=[]) if of_ct else ():
                if not self._queue.known(uid, instance["MainDicomTags"].get("SOPInstanceUID", "")):
                    self._take(instance["ID"])

    def _take(self, instance: str) -> None:
        answer = self._session.get(f"{self._url}/instances/{instance}/file", timeout=TIMEOUT_S)
        if answer.status_code == 404:
            return
        answer.raise_for_status()
        try:
            self._intake.take(answer.content)
        except InputError as error:
            say(f"{error.code}: an object of Orthanc is left out: {error.message}")

    def _json(self, path: str, gone: Any = None) -> Any:
        """What Orthanc says; `gone`, if it is not None, of what is no longer there."""
        answer = self._session.get(self._url + path, timeout=TIMEOUT_S)
        if answer.status_code == 404 and gone is not None:
            return gone
        answer.raise_for_status()
        return answer.json()
