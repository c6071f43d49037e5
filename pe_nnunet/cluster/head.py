"""Whether Ray's head is there: a minute after it is gone Ray ends this process, with a line of its own and no more."""

from __future__ import annotations

import socket
import time

from pe_nnunet.errors import ConfigurationError

PATIENCE_S = 20.0  # below Ray's own, from the first look that found nobody
CONNECT_S = 5.0


class Head:
    """The process that knows which machines and workers there are.

    Args:
        address: HOST:PORT.

    Example:
        >>> with socket.create_server(("127.0.0.1", 0)) as server:
        ...     Head("127.0.0.1:%d" % server.getsockname()[1]).answers()
        True
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._silent_since: float | None = None

    def answers(self) -> bool:
        """Whether it does now; where it does not, Ray's calls about machines and workers wait for it."""
        host, _, port = self._address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
        except OSError:
            self._silent_since = self._silent_since or time.monotonic()
            return False
        self._silent_since = None
        return True

    def require(self) -> None:
        """End the run where it has not answered for some time.

        Raises:
            ConfigurationError: PE-CLU-010.
        """
        if self._silent_since is not None and time.monotonic() > self._silent_since + PATIENCE_S:
            raise ConfigurationError(
                "PE-CLU-010",
                f"Ray's head at {self._address} has not answered for {PATIENCE_S:.0f} s",
                "start Ray again and give the same command; where it has --resume, with that",
            )
