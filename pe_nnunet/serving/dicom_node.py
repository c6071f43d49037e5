"""The DICOM node that receives: C-ECHO, and C-STORE of CT images from those who may send.

Source: DICOM PS3.4, annexes A (verification) and B (storage).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.serving.counts import Counts
from pe_nnunet.serving.intake import Intake
from pe_nnunet.serving.log import say
from pe_nnunet.serving.pynetdicom_here import require_pynetdicom, tls_context
from pe_nnunet.serving.settings import NodeSettings
from pe_nnunet.serving.storing import SUCCESS, store
from pe_nnunet.volumes.dicom.headers import CT_CLASSES

SILENCE_S = 60.0  # after which an association that says nothing is ended


class Receiver:
    """Answers requests to store.

    Args:
        intake: Where images go.
        counts: What happened how often; it is added to.
    """

    def __init__(self, intake: Intake, counts: Counts) -> None:
        self._intake, self._counts = intake, counts

    def store(self, event: Any) -> int:
        """The status of a C-STORE request."""
        return store(event.encoded_dataset(), self._intake, self._counts)

    def echo(self, _: Any) -> int:
        """The status of a C-ECHO request."""
        self._counts.add("echoes")
        return SUCCESS

    def rejected(self, _: Any) -> None:
        """An association was not accepted: its title is not allowed, or there are too many."""
        self._counts.add("rejected")
        say("an association was rejected: its AE titles are not those that are allowed, or there are too many")

    def aborted(self, _: Any) -> None:
        """An association ended without being released."""
        self._counts.add("aborted")


@contextmanager
def listening(settings: NodeSettings, intake: Intake, counts: Counts) -> Iterator[None]:
    """Receive while the block runs; nothing where no port is given.

    Args:
        settings: Port, address, titles and limits.
        intake: Where images go.
        counts: What happened how often; it is added to.

    Raises:
        MissingExtraError: PE-SRV-008 without pynetdicom.
        ConfigurationError: PE-SRV-009 if the port or the certificates cannot be used.
    """
    if settings.port is None:
        yield
        return
    pynetdicom = require_pynetdicom()
    events = pynetdicom.evt
    node = pynetdicom.AE(ae_title=settings.ae_title)
    node.require_called_aet = True
    node.require_calling_aet = list(settings.allow)
    node.maximum_associations = settings.max_associations
    node.network_timeout = node.acse_timeout = node.dimse_timeout = SILENCE_S
    node.add_supported_context(pynetdicom.sop_class.Verification)
    for kind in sorted(CT_CLASSES):
        node.add_supported_context(kind, pynetdicom.ALL_TRANSFER_SYNTAXES)
    receiver = Receiver(intake, counts)
    handlers = [
        (events.EVT_C_STORE, receiver.store),
        (events.EVT_C_ECHO, receiver.echo),
        (events.EVT_REJECTED, receiver.rejected),
        (events.EVT_ABORTED, receiver.aborted),
    ]
    where = f"{settings.host}:{settings.port}"
    try:
        server = node.start_server(
            (settings.host, settings.port),
            block=False,
            evt_handlers=handlers,
            ssl_context=tls_context(settings.tls, server=True),
        )
    except OSError as error:
        text = f"{where} cannot be listened on: {error.strerror}"
        raise ConfigurationError("PE-SRV-009", text, "choose another --port or --host") from error
    say(f"listening as {settings.ae_title} on {where}{' by TLS' if settings.tls else ''}")
    try:
        yield
    finally:
        server.shutdown()
