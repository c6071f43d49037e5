"""What commands print, without the control characters that file names, headers and texts of others may hold."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from pe_nnunet.errors.shown import shown_lines


class ShownText:
    """A text stream that escapes control characters, and what its encoding lacks; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, escaped."""
        encoding = self._stream.encoding or "utf-8"
        self._stream.write(shown_lines(text).encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write texts, escaped."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def shown_output() -> Iterator[None]:
    """Escape what is printed to stdout.

    On stderr, where progress bars move the cursor, go texts of errors and notes, which are escaped already.
    """
    stream = sys.stdout
    sys.stdout = ShownText(stream)
    try:
        yield
    finally:
        sys.stdout = stream


def print_traceback() -> None:
    """The traceback of the exception that is handled, escaped."""
    print(shown_lines(traceback.format_exc()), end="", file=sys.stderr)
