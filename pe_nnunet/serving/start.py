"""What the command needs around the server: its queue, a gentle end, and a look at what it would do."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pe_nnunet.errors import ConfigurationError, InputError, OutputError
from pe_nnunet.files.locks import locked
from pe_nnunet.serving.choose_ctpa import choose_ctpa
from pe_nnunet.serving.intake import Intake
from pe_nnunet.serving.study_queue import StudyQueue
from pe_nnunet.volumes.dicom.headers import read_headers

QUEUE, STUDIES = "queue.sqlite", "studies"


@contextmanager
def opened_queue(folder: Path, *, make: bool = True) -> Iterator[StudyQueue]:
    """The queue of a server's folder.

    Args:
        folder: Of the server.
        make: Whether it is made if missing.

    Raises:
        InputError: PE-IN-002 if there is none, and it is not to be made.
        OutputError: PE-OUT-001 if the folder cannot be made, PE-SRV-001 if the queue cannot be opened.
    """
    if not make and not (folder / QUEUE).is_file():
        raise InputError("PE-IN-002", f"{folder} holds no queue of a server", "check -o")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError("PE-OUT-001", f"{folder} cannot be made: {error.strerror}", "check the path") from error
    queue = StudyQueue(folder / QUEUE)
    try:
        yield queue
    finally:
        queue.close()


@contextmanager
def held(folder: Path, queue: StudyQueue, intake: Intake) -> Iterator[None]:
    """Be the only server of a folder, in which what another one left half done is begun again.

    Raises:
        ConfigurationError: PE-SRV-012 if another server works on the folder.
    """
    busy = ConfigurationError("PE-SRV-012", f"another server works on {folder}", "choose another -o, or end it")
    with locked(folder / ".serve.lock", busy):
        queue.recover()
        intake.remove_unknown()
        yield


@contextmanager
def ending_gently(stop: Callable[[], None]) -> Iterator[None]:
    """The first SIGTERM or Ctrl-C calls `stop`, the second Ctrl-C interrupts."""

    def first(*_: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop()

    before = {number: signal.signal(number, first) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def dry_run(watched: Path | None) -> None:
    """Print which studies lie in a folder, and which series of each would be taken and why; nothing is written.

    Args:
        watched: The folder.

    Raises:
        ConfigurationError: PE-SRV-007 without a folder.
        InputError: PE-IN-002 if it is not there.
    """
    if watched is None:
        raise ConfigurationError("PE-SRV-007", "--dry-run looks at the watched folder", "give --watch FOLDER")
    if not watched.is_dir():
        raise InputError("PE-IN-002", "the watched folder does not exist", "make it, or check --watch")
    headers, damaged = read_headers(sorted(path for path in watched.rglob("*") if path.is_file()))
    studies: dict[str, list[Path]] = {}
    for header in headers:
        if header.is_ct_slice:
            studies.setdefault(header.study_uid, []).append(header.path)
    for uid, files in sorted(studies.items()):
        try:
            series, reason = choose_ctpa(files)
            print(f"study {uid}: {len(files)} CT images; series {series}: {reason}", flush=True)
        except InputError as error:
            print(f"study {uid}: {len(files)} CT images; {error}", flush=True)
    print(f"{len(studies)} studies, {len(damaged)} files that cannot be read; nothing was stored, predicted or sent")
