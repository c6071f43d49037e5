"""A folder as a source: CT images that appear below it are taken in, whoever puts them there and in whatever order."""

from __future__ import annotations

import os
from pathlib import Path

from pe_nnunet.errors import InputError
from pe_nnunet.files import text_sha256
from pe_nnunet.serving.intake import Intake
from pe_nnunet.serving.log import say
from pe_nnunet.serving.study_queue import StudyQueue
from pe_nnunet.volumes.dicom.headers import looks_like_dicom


class WatchedFolder:
    """A folder that is looked through again and again; nothing in it is changed.

    A file counts once two looks in a row have seen the same size and time. One that grows later is taken in anew.

    Args:
        folder: That is watched, with its subfolders; hidden files and folders are left out.
        intake: Where its files go.
        queue: Which remembers what was taken, by a hash of the path: names of folders may be those of patients.
    """

    def __init__(self, folder: Path, intake: Intake, queue: StudyQueue) -> None:
        self._folder, self._intake, self._queue = folder, intake, queue
        self._seen: dict[Path, str] = {}
        self._taken: dict[Path, str] = {}

    def look(self) -> None:
        """Take in what is there and has not been taken.

        Raises:
            InputError: PE-IN-002 if the folder is not there.
            OutputError: If an instance cannot be stored; the next look tries again.
        """
        if not self._folder.is_dir():
            raise InputError("PE-IN-002", "the watched folder does not exist", "make it, or check --watch")
        before, self._seen = self._seen, self._states()
        for path, state in self._seen.items():
            if before.get(path) == state:
                self._take(path, state)

    def _states(self) -> dict[Path, str]:
        """Size and time of every file that is there."""
        found: dict[Path, str] = {}
        for name, folders, files in os.walk(self._folder):
            folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
            for file in sorted(file for file in files if not file.startswith(".")):
                path = Path(name, file)
                try:
                    facts = path.stat()
                except OSError:  # it has gone
                    continue
                found[path] = f"{facts.st_size} {facts.st_mtime_ns}"
        return found

    def _take(self, path: Path, state: str) -> None:
        mark = f"file {text_sha256(str(path))}"
        if self._taken.get(path) == state or self._queue.mark(mark) == state:
            self._taken[path] = state
            return
        if not os.access(path, os.R_OK):  # it has gone, or is not ours to read yet
            return
        try:
            # a large file of another kind is not read whole
            self._intake.take(path.read_bytes() if looks_like_dicom(path) else b"")
        except InputError as error:
            say(f"{error.code}: a file in the watched folder is left out: {error.message}")
        except OSError:  # it has gone
            return
        self._queue.remember(mark, state)
