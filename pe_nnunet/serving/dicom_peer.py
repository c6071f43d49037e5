"""A DICOM node that results are sent to by C-STORE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pydicom

from pe_nnunet.errors import OutputError
from pe_nnunet.serving.destinations import dicom_files
from pe_nnunet.serving.pynetdicom_here import require_pynetdicom, tls_context
from pe_nnunet.serving.settings import Peer

TIMEOUT_S = 60.0
DUPLICATE = 0x0111  # the peer has the instance: it has the same UIDs and the same content (PS3.7, C.5.9)
WARNINGS = 0xB000  # and above up to 0xBFFF: stored, with a remark (PS3.4, B.2.3)


class DicomPeer:
    """See `Destination`.

    Args:
        peer: Where to.
        title: AE title of this server.
        tls: PEM files; see `NodeSettings`.

    Raises:
        MissingExtraError: PE-SRV-008 without pynetdicom.
        ConfigurationError: PE-SRV-009 if the certificates cannot be used.
    """

    def __init__(self, peer: Peer, title: str, tls: Sequence[str] = ()) -> None:
        self.name = str(peer)
        self._peer, self._title = peer, title
        self._context = tls_context(tls, server=False)
        self._pynetdicom = require_pynetdicom()

    def send(self, study: str, files: Mapping[str, Path]) -> None:  # noqa: ARG002 - it stands in the files
        """See `Destination`; only DICOM objects are sent."""
        objects = [pydicom.dcmread(path) for path in dicom_files(files)]
        if not objects:
            return
        node = self._pynetdicom.AE(ae_title=self._title)
        node.network_timeout = node.acse_timeout = node.dimse_timeout = node.connection_timeout = TIMEOUT_S
        for kind, syntax in sorted({(item.SOPClassUID, item.file_meta.TransferSyntaxUID) for item in objects}):
            node.add_requested_context(kind, syntax)
        tls = None if self._context is None else (self._context, self._peer.host)
        association = node.associate(self._peer.host, self._peer.port, ae_title=self._peer.title, tls_args=tls)
        if not association.is_established:
            raise self._error("does not take an association")
        try:
            for item in objects:
                self._store(association, item)
        finally:
            if association.is_established:
                association.release()

    def _store(self, association: object, item: pydicom.Dataset) -> None:
        kind = item.SOPClassUID.name
        try:
            answer = association.send_c_store(item)  # type: ignore[attr-defined]
        except (ValueError, RuntimeError) as error:  # no context was accepted, or the association has gone
            raise self._error(f"does not take {kind}") from error
        status = answer.get("Status")  # none where the connection broke
        if status is None:
            raise self._error(f"broke off while it was sent {kind}")
        if status not in {0, DUPLICATE} and status & 0xF000 != WARNINGS:
            raise self._error(f"refused {kind} with status 0x{status:04X}")

    def _error(self, what: str) -> OutputError:
        return OutputError("PE-SRV-006", f"{self.name} {what}", "check that it runs and knows this server's AE title")
