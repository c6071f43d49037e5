"""Temporary names beside a target; what a process that was killed left under one is removed by the next that writes."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_NAME = re.compile(r"\.(writing|replaced|lock)-[0-9a-f]{16}(\.|$)")
_seen: set[Path] = set()  # folders in which this process has looked for what others left


@contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """A new, empty file beside a path, under a random name with the path's ending; removed in the end if still there.

    Raises:
        OSError: If it cannot be made.
    """

    def make(name: Path) -> None:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))

    with _held(path, "writing", make) as temporary:
        try:
            yield temporary
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """The same as a folder.

    Raises:
        OSError: If it cannot be made.
    """
    with _held(path, "writing", Path.mkdir) as temporary:
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def put_in_place(made: Path, target: Path) -> None:
    """Put a file or folder in the place of another of its kind.

    No system renames a folder over one that holds files. The old one is put aside first: if the process dies before the
    new one is in its place, the next that writes beside it puts the old one back.

    Raises:
        OSError: If it cannot be done; the old one is in its place then.
    """
    if not target.is_dir() or target.is_symlink():
        made.replace(target)
        return
    with _held(target, "replaced", Path.mkdir) as aside:
        old = aside / target.name
        try:
            target.rename(old)
            made.rename(target)
        finally:
            _put_back(aside)


def remove_abandoned(folder: Path) -> None:
    """Remove what processes that have died left in a folder, once in the life of this process.

    A process holds a lock on what it writes, which ends with it. Where the file system has no such locks, nothing is
    removed: it might be what a process on another machine is writing.
    """
    if sys.platform == "win32" or any(map(_NAME.match, folder.parts)) or folder in _seen:
        return
    _seen.add(folder)
    with suppress(OSError), os.scandir(folder) as entries:
        for name in [entry.name for entry in entries if _NAME.match(entry.name)]:
            _remove_if_abandoned(folder / name)


def _remove_if_abandoned(path: Path) -> None:
    with suppress(OSError):
        handle = _locked_handle(path)
        if handle is None:
            return
        try:
            if not path.is_dir():
                path.unlink()
            elif path.name.startswith(".replaced-"):
                _put_back(path)
            else:
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(handle)


def _put_back(aside: Path) -> None:
    """Give a folder that was put aside its name again if no new one has it; else remove it."""
    for old in aside.iterdir():
        if not os.path.lexists(aside.parent / old.name):
            old.rename(aside.parent / old.name)
    shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _held(path: Path, why: str, make: Callable[[Path], None]) -> Iterator[Path]:
    """Make something under a hidden name that nobody can guess, and lock it."""
    remove_abandoned(path.parent)
    ending = "".join(path.suffixes[-2:]) if why == "writing" else ""
    while True:
        temporary = path.with_name(f".{why}-{secrets.token_hex(8)}{ending}")
        make(temporary)
        if sys.platform == "win32":
            yield temporary
            return
        handle = None
        with suppress(OSError):
            handle = _locked_handle(temporary)
            if handle is None:  # taken for abandoned in this very moment
                continue
        try:
            yield temporary
        finally:
            if handle is not None:
                os.close(handle)
        return


def _locked_handle(path: Path) -> int | None:
    """A handle that locks a file or folder until it is closed; None if another one does, or it has just gone.

    Raises:
        OSError: If the file system has no locks.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(path.lstat(), os.fstat(handle)):
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(handle)
        raise
    os.close(handle)
    return None


def flush_names(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can: a rename may else be lost in a crash."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def flush_all(folder: Path) -> None:
    """Bring all that is in a folder to the disk, names included."""
    for path in (*folder.rglob("*"), folder):
        (flush_names if path.is_dir() else flush)(path)


def flush(path: Path) -> None:
    """Bring the bytes to the disk before the rename, so that a crash leaves no empty file under the final name."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
