"""The queue of studies, in SQLite: what arrived and what became of it, as it was before a kill.

A study is `received` while its instances arrive, `waiting` once none came for a while, `running` while it is predicted,
`done` when its results are written, `sent` when every destination has them, or `failed` with a code. A row is committed
before anybody is told that it is so. The names of patients are not here.
"""

from __future__ import annotations

import time
from dataclasses import fields

from pe_nnunet.cases.outcome import CaseFailure
from pe_nnunet.errors import InputError
from pe_nnunet.serving.queue_file import QueueFile
from pe_nnunet.serving.study import STATES, Study

MAX_DEATHS = 5  # of the server while it works on a study: then the study is the cause

_COLUMNS = ", ".join(item.name for item in fields(Study))
# Of a study whose images were removed: not all of them are back, and nothing else came.
_LACKS = "EXISTS (SELECT 1 FROM instances WHERE study = uid AND path = '' AND sha256 <> '')"


class StudyQueue(QueueFile):
    """The queue; see `QueueFile` for who may use it at a time."""

    def stored(self, study: str, instance: str, path: str, sha256: str, size: int) -> None:
        """An instance was stored: its study is received, also where it was answered before, for it has changed.

        Of a study whose images were removed the old result is kept until there is a new one.

        Args:
            study: StudyInstanceUID.
            instance: SOPInstanceUID.
            path: Of its file, below the folder of studies.
            sha256: Of its data set.
            size: In bytes.
        """
        now = time.time()
        with self._changing() as base:
            gone = base.execute("SELECT 1 FROM instances WHERE study = ? AND path = ''", (study,)).fetchone()
            had = "SELECT 1 FROM instances WHERE study = ? AND path = '' AND instance = ? AND sha256 = ?"
            if not base.execute(had, (study, instance, sha256)).fetchone():  # the others are waited for no more
                base.execute("UPDATE instances SET sha256 = '' WHERE study = ? AND path = ''", (study,))
            base.execute(
                "INSERT OR REPLACE INTO instances VALUES (?, ?, ?, ?, ?)", (study, instance, path, sha256, size)
            )
            base.execute(
                "INSERT INTO studies (uid, state, received, changed, since) VALUES (?, 'received', ?, ?, ?) "
                "ON CONFLICT (uid) DO UPDATE SET state = 'received', changed = excluded.changed, tries = 0, "
                "since = CASE state WHEN 'received' THEN since ELSE excluded.since END, code = '', message = '', "
                "hint = ''",
                (study, now, now, now),
            )
            if not gone:
                base.execute(
                    "UPDATE studies SET reason = '', pe_score = NULL, emboli = NULL, volume_mm3 = NULL, seconds = NULL "
                    "WHERE uid = ?",
                    (study,),
                )

    def recover(self) -> None:
        """After a start: what was running waits again, and what was arriving gets its quiet time anew."""
        now = time.time()
        hint = "see the log for what ended it; --retry tries it once more"
        with self._changing() as base:
            base.execute(
                "UPDATE studies SET state = 'failed', since = ?, code = 'PE-SRV-002', message = ?, hint = ? "
                "WHERE state = 'running' AND tries >= ?",
                (now, f"the server ended {MAX_DEATHS} times while it worked on the study", hint, MAX_DEATHS),
            )
            base.execute("UPDATE studies SET state = 'waiting', since = ? WHERE state = 'running'", (now,))
            base.execute("UPDATE studies SET changed = ? WHERE state = 'received'", (now,))

    def settle(self, quiet_s: float) -> None:
        """Studies of which nothing came for so many seconds are complete, and wait.

        One whose images were removed, of which some came again and nothing else, is done as it was.
        """
        now = time.time()
        quiet = "state = 'received' AND changed <= ?"
        with self._changing() as base:
            done = f"UPDATE studies SET state = 'done', since = ? WHERE {quiet} AND {_LACKS}"  # noqa: S608 - our own
            base.execute(done, (now, now - quiet_s))
            sent = f"DELETE FROM sent WHERE study IN (SELECT uid FROM studies WHERE {quiet})"  # noqa: S608 - our own
            base.execute(sent, (now - quiet_s,))
            waiting = f"UPDATE studies SET state = 'waiting', since = ? WHERE {quiet}"  # noqa: S608 - our own
            base.execute(waiting, (now, now - quiet_s))

    def claim(self) -> Study | None:
        """The study that has waited longest, which runs from now on; None if none waits.

        One that runs already is taken as well: there is one worker, and it could not write what came of it.
        """
        oldest = "SELECT uid FROM studies WHERE state IN ('waiting', 'running') ORDER BY since, uid LIMIT 1"
        with self._changing() as base:
            row = base.execute(oldest).fetchone()
            if row is None:
                return None
            base.execute(
                "UPDATE studies SET state = 'running', since = ?, tries = tries + 1 WHERE uid = ?",
                (time.time(), row[0]),
            )
        return self.study(str(row[0]))

    def done(self, uid: str, reason: str, pe_score: float, emboli: int, volume_mm3: float, seconds: float) -> bool:
        """A study that runs has its results; False if it has changed meanwhile, and will be predicted again."""
        with self._changing() as base:
            changed = base.execute(
                "UPDATE studies SET state = 'done', since = ?, tries = 0, not_before = 0, code = '', message = '', "
                "hint = '', reason = ?, pe_score = ?, emboli = ?, volume_mm3 = ?, seconds = ?, answers = answers + 1 "
                "WHERE uid = ? AND state = 'running'",
                (time.time(), reason, pe_score, emboli, volume_mm3, seconds, uid),
            )
            if changed.rowcount:
                base.execute("DELETE FROM instances WHERE study = ? AND path = ''", (uid,))
        return changed.rowcount == 1

    def failed(self, failure: CaseFailure, state: str, *, reason: str = "", again_in_s: float | None = None) -> None:
        """A step failed.

        Args:
            failure: Of the study with this UID.
            state: In which it is; if it is in another one by now, nothing happens.
            reason: Why which of its series was taken, where that is known.
            again_in_s: Seconds until the step is tried again; None for never, unless somebody asks.
        """
        now = time.time()
        told = (failure.code, failure.message, failure.hint, reason)
        ends = again_in_s is None
        with self._changing() as base:
            base.execute(
                "UPDATE studies SET code = ?, message = ?, hint = ?, reason = CASE ? WHEN '' THEN reason ELSE ? END, "
                "tries = tries + ?, not_before = ?, state = ?, since = CASE ? WHEN 1 THEN ? ELSE since END "
                "WHERE uid = ? AND state = ?",
                (*told, reason, not ends, now + (again_in_s or 0), "failed" if ends else state, ends, now,
                 failure.case_id, state),
            )  # fmt: skip

    def again(self, uid: str) -> Study:
        """Put a study that is failed, done or sent back among those that wait; what was sent is sent again.

        Raises:
            InputError: PE-SRV-003 if there is none of that UID, its files are gone, or it is on its way anyhow.
        """
        with self._changing() as base:
            study = self.study(uid)
            lacks = self._rows(f"SELECT 1 FROM studies WHERE uid = ? AND {_LACKS}", uid)  # noqa: S608 - our own
            if study is None or lacks or self.instances_of(uid) == 0:
                what = "is not in the queue" if study is None else "has not all its files here any more"
                raise InputError("PE-SRV-003", f"study {uid} {what}", "send it from where it came")
            if study.state not in {"failed", "done", "sent"}:
                raise InputError("PE-SRV-003", f"study {uid} is {study.state}", "wait: it is on its way")
            if study.state != "failed":
                base.execute("DELETE FROM sent WHERE study = ?", (uid,))
            base.execute(
                "UPDATE studies SET state = 'waiting', since = ?, tries = 0, not_before = 0, code = '', message = '', "
                "hint = '' WHERE uid = ?",
                (time.time(), uid),
            )
        return study

    def study(self, uid: str) -> Study | None:
        """A study; None if there is none of that UID."""
        rows = self._rows(f"SELECT {_COLUMNS} FROM studies WHERE uid = ?", uid)  # noqa: S608 - our own names
        return Study(*rows[0]) if rows else None  # type: ignore[arg-type]

    def studies(self, limit: int = -1) -> list[Study]:
        """Studies, the last received first.

        Args:
            limit: How many at most; all if negative.
        """
        query = f"SELECT {_COLUMNS} FROM studies ORDER BY received DESC, uid LIMIT ?"  # noqa: S608 - our own names
        return [Study(*row) for row in self._rows(query, limit)]  # type: ignore[arg-type]

    def newest_scores(self, limit: int) -> list[float]:
        """PE scores of the newest studies that have one."""
        query = "SELECT pe_score FROM studies WHERE pe_score IS NOT NULL ORDER BY received DESC, uid LIMIT ?"
        return [float(str(row[0])) for row in self._rows(query, limit)]

    def counts(self) -> dict[str, int]:
        """How many studies are in each state."""
        rows = self._rows("SELECT state, COUNT(*) FROM studies GROUP BY state")
        found = {str(state): int(str(number)) for state, number in rows}
        return {state: found.get(state, 0) for state in STATES}

    def oldest(self, state: str) -> float | None:
        """Since when the first study of those in a state has been in it; None if there are none."""
        rows = self._rows("SELECT MIN(since) FROM studies WHERE state = ?", state)
        return None if rows[0][0] is None else float(str(rows[0][0]))

    def outgoing(self) -> list[Study]:
        """Studies with results that are to be sent now, the oldest first."""
        query = f"SELECT {_COLUMNS} FROM studies WHERE state = 'done' AND not_before <= ? ORDER BY since"  # noqa: S608
        return [Study(*row) for row in self._rows(query, time.time())]  # type: ignore[arg-type]

    def has(self, uid: str, destination: str) -> bool:
        """Whether a destination has the results of a study."""
        return bool(self._rows("SELECT 1 FROM sent WHERE study = ? AND destination = ?", uid, destination))

    def sent(self, study: Study, destination: str) -> None:
        """A destination has these results of a study, unless there are others by now."""
        with self._changing() as base:
            base.execute(
                "INSERT OR IGNORE INTO sent SELECT uid, ? FROM studies "
                "WHERE uid = ? AND state = 'done' AND answers = ?",
                (destination, study.uid, study.answers),
            )

    def all_sent(self, study: Study) -> None:
        """Every destination has these results of a study, unless there are others by now."""
        with self._changing() as base:
            base.execute(
                "UPDATE studies SET state = 'sent', since = ?, code = '', message = '', hint = '' "
                "WHERE uid = ? AND state = 'done' AND answers = ?",
                (time.time(), study.uid, study.answers),
            )

    def with_images(self, state: str) -> list[str]:
        """UIDs of studies in a state of which images are stored, the oldest first."""
        kept = "EXISTS (SELECT 1 FROM instances WHERE study = uid AND path <> '')"
        query = f"SELECT uid FROM studies WHERE state = ? AND {kept} ORDER BY since"  # noqa: S608 - ours
        return [str(row[0]) for row in self._rows(query, state)]

    def forget_files(self, uid: str, state: str) -> bool:
        """Forget the files of a study in this state, which go next, and not their hashes; False if it is in another."""
        with self._changing() as base:
            if base.execute("SELECT 1 FROM studies WHERE uid = ? AND state = ?", (uid, state)).fetchone() is None:
                return False
            base.execute("UPDATE instances SET path = '', bytes = 0 WHERE study = ?", (uid,))
        return True
