"""The server's pages on loopback: worklist, case reports, health and metrics; and where images are taken in by STOW.

Only requests to a name of this machine are answered, so that no page from elsewhere reaches it under a name of its own
(DNS rebinding), and only those with a header, or of a type, that a foreign page cannot send change anything.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SHUT_WR
from threading import Thread
from urllib.parse import unquote, urlsplit

from pe_nnunet.errors import ConfigurationError, PEError
from pe_nnunet.serving.counts import Counts
from pe_nnunet.serving.log import say
from pe_nnunet.serving.metrics import CONTENT_TYPE, metrics
from pe_nnunet.serving.request_body import PIECE
from pe_nnunet.serving.stow import STUDIES, StowReceiver
from pe_nnunet.serving.worklist import Worklist

LOOPBACK = "127.0.0.1"
NAMES = frozenset({LOOPBACK, "localhost"})
ASKS = "X-PE-nnUNet"  # header of a request that changes something
HTML, JSON = "text/html; charset=utf-8", "application/json"
SILENCE_S = 30.0
PATIENCE_S, MOST_UNHEARD = 2.0, 1 << 28  # with a sender whose request was refused half-way, in seconds and bytes


@contextmanager
def pages(
    port: int | None, worklist: Worklist, counts: Counts, folder: Path, stow: StowReceiver | None = None
) -> Iterator[None]:
    """Serve the pages while the block runs; nothing where no port is given.

    Args:
        port: On loopback.
        worklist: What the page shows.
        counts: For health and metrics.
        folder: Of the server.
        stow: Takes images in; None if none are taken here.

    Raises:
        ConfigurationError: PE-SRV-009 if the port cannot be listened on.
    """
    if port is None:
        yield
        return

    class Handler(_Handler):
        shown, happened, state, receiver = worklist, counts, folder, stow

    try:
        server = _Server((LOOPBACK, port), Handler)
    except OSError as error:
        text = f"{LOOPBACK}:{port} cannot be listened on: {error.strerror}"
        raise ConfigurationError("PE-SRV-009", text, "choose another --page-port") from error
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    say(f"worklist on http://{LOOPBACK}:{port}/")
    if stow is not None:
        say(f"images by STOW on http://{LOOPBACK}:{port}{STUDIES}")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - whoever asked
        """A browser that has gone away is no error; else one line."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            say(f"PE-ENV-006: a page failed: {type(error).__name__}: {error}")


class _Handler(BaseHTTPRequestHandler):
    shown: Worklist
    happened: Counts
    state: Path
    receiver: StowReceiver | None
    timeout = SILENCE_S

    def do_GET(self) -> None:
        """Answer with a page or with numbers."""
        path = unquote(urlsplit(self.path).path)
        if not self._is_ours():
            return
        if path == "/":
            self._answer(HTTPStatus.OK, self.shown.page(), HTML)
        elif path == "/studies.json":
            self._answer(HTTPStatus.OK, json.dumps(self.shown.rows()), JSON)
        elif path == "/health":
            troubles = self.happened.troubles
            status = HTTPStatus.SERVICE_UNAVAILABLE if troubles else HTTPStatus.OK
            self._answer(status, json.dumps({"status": "failing" if troubles else "ok", "troubles": troubles}), JSON)
        elif path == "/metrics":
            self._answer(HTTPStatus.OK, metrics(self.shown.queue, self.happened, self.state), CONTENT_TYPE)
        elif path.startswith("/report/") and (report := self.shown.report(path.removeprefix("/report/"))) is not None:
            self._answer(HTTPStatus.OK, report.read_text(encoding="utf-8"), HTML)
        else:
            self._answer(HTTPStatus.NOT_FOUND, "not found\n")

    def do_POST(self) -> None:
        """Put a study into the queue again, or take images in."""
        path = unquote(urlsplit(self.path).path)
        if not self._is_ours():
            return
        if self.receiver is not None and (path == STUDIES or path.startswith(f"{STUDIES}/")):
            self._answer(*self.receiver.answer(path, self.headers, self.rfile))
            self._hear_out()
        elif not path.startswith("/retry/"):
            self._answer(HTTPStatus.NOT_FOUND, "not found\n")
        elif self.headers.get(ASKS) is None:
            self._answer(HTTPStatus.FORBIDDEN, f"the header {ASKS} is missing\n")
        else:
            try:
                self.shown.queue.again(path.removeprefix("/retry/"))
            except PEError as error:
                self._answer(HTTPStatus.CONFLICT, f"{error}\n")
            else:
                self._answer(HTTPStatus.OK, "it waits again\n")

    def _is_ours(self) -> bool:
        host = (self.headers.get("Host") or "").rpartition(":")[0] or self.headers.get("Host")
        if host in NAMES:
            return True
        self._answer(HTTPStatus.FORBIDDEN, "this name is none of this machine\n")
        return False

    def _hear_out(self) -> None:
        """Read on for a while: a sender whose request was refused half-way hears why only when all of it is sent."""
        with suppress(OSError):
            self.connection.shutdown(SHUT_WR)
            self.connection.settimeout(PATIENCE_S)
            for _ in range(MOST_UNHEARD // PIECE):
                if not self.rfile.read1(PIECE):
                    return

    def _answer(self, status: HTTPStatus, text: str, kind: str = "text/plain; charset=utf-8") -> None:
        content = text.encode()
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(content))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "no-referrer"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """No line a request."""

    def version_string(self) -> str:
        """No version to strangers."""
        return "pe-nnunet"
