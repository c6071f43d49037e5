"""The file of the queue: its tables, transactions, the instances that are stored, and what sources remember."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pe_nnunet.errors import OutputError

BUSY_S = 30.0  # that another process may hold the file, as one that sends a study again does

_SCHEMA = """
CREATE TABLE IF NOT EXISTS studies (
  uid TEXT PRIMARY KEY, state TEXT NOT NULL, received REAL NOT NULL, changed REAL NOT NULL, since REAL NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0, not_before REAL NOT NULL DEFAULT 0, code TEXT NOT NULL DEFAULT '',
  message TEXT NOT NULL DEFAULT '', hint TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
  pe_score REAL, emboli INTEGER, volume_mm3 REAL, seconds REAL, answers INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS instances (
  study TEXT NOT NULL, instance TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL,
  PRIMARY KEY (study, instance)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sent (study TEXT, destination TEXT, PRIMARY KEY (study, destination)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class QueueFile:
    """An SQLite file, for any number of threads, and for other processes beside this one.

    Args:
        path: The file; made if missing.

    Raises:
        OutputError: PE-SRV-001 if it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            self._base = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False, isolation_level=None)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=FULL")  # what is said to be stored is on the disk
            self._base.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise OutputError("PE-SRV-001", f"{path} is no queue that can be used: {error}") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; none of it happens if the block fails.

        Raises:
            OutputError: PE-SRV-001 where SQLite cannot write, as on a full disk.
        """
        with self._lock:
            try:
                self._base.execute("BEGIN IMMEDIATE")
                try:
                    yield self._base
                except BaseException:
                    self._base.execute("ROLLBACK")
                    raise
                self._base.execute("COMMIT")
            except sqlite3.Error as error:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise OutputError("PE-SRV-001", f"the queue cannot be written: {error}", "check free space") from error

    def _rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        with self._lock:
            return self._base.execute(query, values).fetchall()

    def known(self, study: str, instance: str) -> str:
        """The hash of an instance that is stored; empty where there is none, or its file was removed."""
        query = "SELECT sha256 FROM instances WHERE study = ? AND instance = ? AND path <> ''"
        rows = self._rows(query, study, instance)
        return str(rows[0][0]) if rows else ""

    def paths(self) -> set[str]:
        """Of all instances that are stored, below the folder of studies."""
        return {str(row[0]) for row in self._rows("SELECT path FROM instances")}

    def stored_bytes(self) -> int:
        """Of all instances."""
        return int(str(self._rows("SELECT COALESCE(SUM(bytes), 0) FROM instances")[0][0]))

    def instances_of(self, uid: str) -> int:
        """How many instances of a study are stored."""
        return int(str(self._rows("SELECT COUNT(*) FROM instances WHERE study = ? AND path <> ''", uid)[0][0]))

    def mark(self, name: str) -> str:
        """What a source remembers under a name; empty if nothing."""
        rows = self._rows("SELECT value FROM marks WHERE name = ?", name)
        return str(rows[0][0]) if rows else ""

    def remember(self, name: str, value: str) -> None:
        """Keep what a source has to remember."""
        with self._changing() as base:
            base.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (name, value))
