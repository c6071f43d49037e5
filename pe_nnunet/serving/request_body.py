"""The body of an HTTP request, piece by piece, and its parts as files: one of any length takes little memory.

Source: RFC 9112, 7.1 (chunked coding); RFC 2046, 5.1 (multipart), read by python-multipart.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from email.message import Message
from io import BufferedIOBase
from pathlib import Path
from typing import BinaryIO

from pe_nnunet.errors import InputError, MissingExtraError

PIECE = 1 << 20
MAX_BODY_BYTES = 4_000_000_000
MAX_PARTS = 20_000
_MAX_LINE = 1000  # of the chunked coding
_MAX_LENGTH_DIGITS = 18


class BodyTooLargeError(Exception):
    """A body is longer than what is taken."""


def malformed(what: str) -> InputError:
    """The error of a body that is not what its header says."""
    return InputError("PE-SRV-013", what, "look at what sends it")


def require_multipart() -> None:
    """Check that python-multipart is installed, and keep its log to itself: that prints what bodies hold.

    Raises:
        MissingExtraError: PE-SRV-008 without it.
    """
    try:
        import python_multipart  # noqa: F401
    except ImportError as error:
        text = "python-multipart, which --stow-in needs, is not installed"
        raise MissingExtraError("PE-SRV-008", text, "pip install 'pe-nnunet[serve]'") from error
    logger = logging.getLogger("python_multipart")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False


def pieces_of(stream: BufferedIOBase, headers: Message) -> Iterator[bytes]:
    """The body, whole: one that breaks off is an error.

    Args:
        stream: Behind the header.
        headers: With `Content-Length`, or chunked as `Transfer-Encoding`.

    Raises:
        InputError: PE-SRV-013 if it breaks off or is malformed.
        BodyTooLargeError: Beyond `MAX_BODY_BYTES`.
    """
    left = MAX_BODY_BYTES
    for size in _sizes(stream, headers):
        left -= size
        if left < 0:
            raise BodyTooLargeError
        while size:
            piece = stream.read(min(size, PIECE))
            if not piece:
                raise malformed("it breaks off")
            size -= len(piece)
            yield piece


def _sizes(stream: BufferedIOBase, headers: Message) -> Iterator[int]:
    """Lengths of the stretches of the body that lie in the stream; between two of them it stands before the next."""
    if headers.get("Transfer-Encoding", "").lower() != "chunked":
        yield _number(headers.get("Content-Length", ""), 10)
        return
    while size := _number(stream.readline(_MAX_LINE).split(b";")[0].strip().decode("latin-1"), 16):
        yield size
        if stream.readline(_MAX_LINE).strip():
            raise malformed("a chunk is longer than it says")


def _number(text: str, base: int) -> int:
    if not text.isalnum() or not text.isascii() or len(text) > _MAX_LENGTH_DIGITS:
        raise malformed("its length is no number")
    try:
        return int(text, base)
    except ValueError as error:
        raise malformed("its length is no number") from error


def parts_of(pieces: Iterable[bytes], boundary: str, folder: Path) -> list[Path]:
    """Write each part of a multipart body to a file.

    Args:
        pieces: Of the body.
        boundary: As its header gives it.
        folder: Of the files, which stays the caller's to remove.

    Raises:
        InputError: PE-SRV-013 if the body is malformed, has no parts or more than `MAX_PARTS`, or lacks its end.
        OSError: If a file cannot be written.
    """
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser

    files = _PartFiles(folder)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": files.begin,
                "on_part_data": files.write,
                "on_part_end": files.close,
                "on_end": files.finish,
            },
        )
        for piece in pieces:
            parser.write(piece)
    except FormParserError as error:
        raise malformed("it is no multipart body with the boundary that its header names") from error
    finally:
        files.close()
    if not files.finished or not files.paths:
        raise malformed("its parts do not end" if files.paths else "it has no parts")
    return files.paths


class _PartFiles:
    def __init__(self, folder: Path) -> None:
        self.paths: list[Path] = []
        self.finished = False
        self._folder = folder
        self._open: BinaryIO | None = None

    def begin(self) -> None:
        if len(self.paths) == MAX_PARTS:
            raise malformed(f"it has more than {MAX_PARTS} parts")
        self.paths.append(self._folder / f"{len(self.paths)}.part")
        self._open = self.paths[-1].open("wb")

    def write(self, data: bytes, start: int, end: int) -> None:
        if self._open is not None:
            self._open.write(memoryview(data)[start:end])

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def finish(self) -> None:
        self.finished = True
