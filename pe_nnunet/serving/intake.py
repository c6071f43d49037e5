"""Instances that arrive from anywhere: checked, written whole, and only then entered in the queue.

A kill in between leaves a file that no row names: nobody was told that it is stored, so it goes at the next start,
and its source sends it again.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
from contextlib import suppress
from pathlib import Path

from pe_nnunet.errors import InputError, OutputError
from pe_nnunet.files import atomic_path
from pe_nnunet.serving.study_queue import StudyQueue
from pe_nnunet.volumes.dicom.headers import CT_CLASSES, header_of, quiet_pydicom, read_dataset

_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+", re.ASCII)  # PS3.5, 9.1; it becomes a file's name
_UID_LENGTH = 64
_META_LENGTH = slice(140, 144)  # value of (0002,0000), behind preamble, `DICM`, tag, VR and length (PS3.10, 7.1)


class Intake:
    """Where instances are stored.

    Args:
        folder: Of studies: `<study>/<series>/<instance>.dcm`, by their UIDs.
        queue: In which they are entered.
        quota_bytes: That all instances may take; None for no limit.
    """

    def __init__(self, folder: Path, queue: StudyQueue, quota_bytes: int | None = None) -> None:
        self.folder = folder
        self._queue = queue
        self._quota_bytes = quota_bytes
        self._writing = threading.Lock()  # a study is not removed while an instance of it comes

    def take(self, content: bytes) -> bool:
        """Store an instance; when this returns, it is on the disk and in the queue.

        Args:
            content: Of a DICOM file.

        Returns:
            Whether it is new: the same data set a second time changes nothing.

        Raises:
            InputError: PE-SRV-004 if it is no CT image, or lacks the UIDs that say whose it is.
            OutputError: PE-SRV-005 beyond the quota; PE-OUT-001 or PE-SRV-001 if it cannot be written.
        """
        with quiet_pydicom():
            dataset = read_dataset(content, grouping_only=True)
            header = None if dataset is None else header_of(dataset, self.folder)
        if header is None or header.sop_class_uid not in CT_CLASSES:
            raise InputError("PE-SRV-004", "an object that is no CT image is not taken in", "send CT images alone")
        uids = (header.study_uid, header.series_uid, header.sop_instance_uid)
        if not all(_UID.fullmatch(uid) and len(uid) <= _UID_LENGTH for uid in uids):
            raise InputError("PE-SRV-004", "a CT image without valid UIDs of study, series and instance", "mend it")
        study, series, instance = uids
        digest = hashlib.sha256(_data_set(content)).hexdigest()
        if self._queue.known(study, instance) == digest:
            return False
        path = self.folder / study / series / f"{instance}.dcm"
        with self._writing:
            self._require_room(len(content))
            with atomic_path(path) as temporary:
                temporary.write_bytes(content)
            self._queue.stored(study, instance, str(path.relative_to(self.folder)), digest, len(content))
        return True

    def _require_room(self, size: int) -> None:
        if self._quota_bytes is not None and self._queue.stored_bytes() + size > self._quota_bytes:
            raise OutputError(
                "PE-SRV-005",
                f"studies take the {self._quota_bytes / 1e9:g} GB that they may take",
                "raise --quota-gb, or wait until studies are done and removed",
            )

    def remove_unknown(self) -> None:
        """Remove files that no row of the queue names, which a kill left behind, and folders that hold nothing."""
        known = self._queue.paths()
        for name, _, files in os.walk(self.folder, topdown=False):
            for file in files:
                path = Path(name, file)
                if str(path.relative_to(self.folder)) not in known:
                    path.unlink(missing_ok=True)
            with suppress(OSError):  # there is something in it
                Path(name).rmdir()

    def remove(self, study: str, state: str) -> bool:
        """Remove the files of a study in this state; False if it is in another by now."""
        with self._writing:
            if not self._queue.forget_files(study, state):
                return False
            shutil.rmtree(self.folder / study, ignore_errors=True)
        return True


def _data_set(content: bytes) -> bytes:
    """What follows the meta header, which every program writes in its own way."""
    if content[128:132] != b"DICM":
        return content
    return content[_META_LENGTH.stop + int.from_bytes(content[_META_LENGTH], "little") :]
