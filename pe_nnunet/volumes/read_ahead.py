"""Files one after another, the next one read while the last one is worked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def read_ahead(files: Sequence[Path], note: Callable[[bytes], object]) -> Iterator[bytes]:
    """The contents of files, in their order; a second thread reads at most one file ahead.

    Args:
        files: Which to read.
        note: Called in that thread with each content, in the order of the files, before it is given out.

    Raises:
        OSError: If a file cannot be read, when its turn comes.
    """

    def load(file: Path) -> bytes:
        content = file.read_bytes()
        note(content)
        return content

    with ThreadPoolExecutor(1, "read-ahead") as thread:
        coming = [thread.submit(load, file) for file in files[:1]]
        for k in range(len(files)):
            content = coming.pop().result()
            coming += [thread.submit(load, file) for file in files[k + 1 : k + 2]]
            yield content
