"""Locks of files, which end with the process that holds them, however it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pe_nnunet.errors import OutputError, PEError

if sys.platform != "win32":
    import fcntl


@contextmanager
def locked(path: Path, busy: PEError, *, shared: bool = False, wait: bool = False) -> Iterator[int | None]:
    """Hold a lock that ends with the process, however it ends.

    Args:
        path: The file of the lock. A shared lock leaves it behind, for others may hold it too; who holds it alone next
            removes it.
        busy: Raised where another process holds the lock.
        shared: Whether others may hold it as well, who share it.
        wait: For its release instead of raising.

    Yields:
        The lock's file descriptor: a process that inherits it holds the lock too. None where there are no locks.

    Raises:
        PEError: `busy`; OutputError PE-OUT-001 where no file can be made, or the file system has no locks.
    """
    if sys.platform == "win32":  # it has no such locks: there two processes in one folder are the user's to avoid
        yield None
        return
    kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        try:
            file = path.open("w")
        except OSError as error:
            raise OutputError(
                "PE-OUT-001", f"{path.parent} cannot be written: {error.strerror}", "check its permissions"
            ) from error
        with file:
            held = False
            try:
                fcntl.flock(file, kind)
            except BlockingIOError:
                pass
            except OSError as error:  # no locks, as where Lustre is mounted without them: waiting would have no end
                path.unlink(missing_ok=True)
                raise OutputError(
                    "PE-OUT-001",
                    f"{path.parent} cannot be written: its file system has no locks ({error.strerror})",
                    "choose a folder on another file system, or have it mounted with them",
                ) from error
            else:
                with suppress(OSError):  # not one that its holder just removed, which NFS may call stale
                    held = os.path.samestat(path.stat(), os.fstat(file.fileno()))
            if not held and wait:
                continue
            if not held:
                raise busy
            try:
                yield file.fileno()
            finally:
                if not shared:
                    path.unlink(missing_ok=True)
            return


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock of this file, alone or shared; nothing is made or removed.

    Args:
        path: See `locked`; a file that is not there is no lock.
    """
    if sys.platform == "win32":
        return False
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
