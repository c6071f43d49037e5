"""pynetdicom, where it is installed, without its own log: that prints what data sets hold; and TLS for it."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from pe_nnunet.errors import ConfigurationError, MissingExtraError

HANDSHAKE_S = 10.0


class _Impatient(ssl.SSLContext):
    """Gives up a handshake in which the other side is silent: pynetdicom takes no other connection meanwhile."""

    def wrap_socket(self, sock: socket.socket, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        before = sock.gettimeout()
        sock.settimeout(HANDSHAKE_S)
        wrapped = super().wrap_socket(sock, *args, **kwargs)
        wrapped.settimeout(before)
        return wrapped


def require_pynetdicom() -> Any:
    """The package.

    Raises:
        MissingExtraError: PE-SRV-008 without it.
    """
    try:
        package = import_module("pynetdicom")
    except ImportError as error:
        raise MissingExtraError(
            "PE-SRV-008", "pynetdicom, which DICOM connections need, is not installed", "pip install 'pe-nnunet[serve]'"
        ) from error
    logger = logging.getLogger("pynetdicom")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    package._config.LOG_HANDLER_LEVEL = "none"
    return package


def tls_context(files: Sequence[str], *, server: bool) -> ssl.SSLContext | None:
    """What connections are encrypted by, where both sides show certificates; None without files.

    Args:
        files: PEM: certificate, key, and the authority of the other side's certificate.
        server: Whether it is for what listens.

    Raises:
        ConfigurationError: PE-SRV-009 if they cannot be used.
    """
    if not files:
        return None
    certificate, key, authority = files
    try:
        context = _Impatient(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(authority)
        context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise ConfigurationError("PE-SRV-009", f"--tls cannot be used: {error}", "check the three PEM files") from error
    context.verify_mode = ssl.CERT_REQUIRED
    return context
