"""Where results go: what every destination does, the files that it gets, and a folder as the simplest one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from pe_nnunet.errors import InputError
from pe_nnunet.files import atomic_folder
from pe_nnunet.files.json_reader import MALFORMED, read_object, why
from pe_nnunet.outputs.writers import WRITERS
from pe_nnunet.serving.answer import case_name

DICOM_ENDING = ".dcm"


class Destination(Protocol):
    """A place that results are sent to.

    Attributes:
        name: It is remembered by it which studies it has.
    """

    name: str

    def send(self, study: str, files: Mapping[str, Path]) -> None:
        """Send the files of a study; a second time changes nothing.

        Args:
            study: Its UID.
            files: By kind, as in the manifest, with the manifest itself as `manifest`.

        Raises:
            PEError: If they did not all arrive.
        """


class FolderDestination:
    """A folder that gets one folder a study, which appears whole.

    Args:
        folder: Made if missing.
    """

    def __init__(self, folder: Path) -> None:
        self.name = f"folder {folder}"
        self._folder = folder

    def send(self, study: str, files: Mapping[str, Path]) -> None:
        """See `Destination`."""
        with atomic_folder(self._folder / case_name(study)) as staged:
            for path in files.values():
                shutil.copyfile(path, staged / path.name)


def result_files(study: str, results: Path) -> dict[str, Path]:
    """The files of a study's results, by kind, with the manifest last.

    Args:
        study: Its UID.
        results: Folder of its results.

    Raises:
        InputError: PE-OUT-012 if there is no manifest that can be read.
    """
    manifest = results / f"{case_name(study)}.json"
    try:
        files = {kind: results / str(name) for kind, name in read_object(manifest)["files"].items() if kind in WRITERS}
    except MALFORMED as error:
        raise InputError("PE-OUT-012", f"no manifest of study {study}: {why(error)}", "retry the study") from error
    return {**files, "manifest": manifest}


def dicom_files(files: Mapping[str, Path]) -> list[Path]:
    """Those that a PACS takes: segmentation, report and key images."""
    return [path for path in files.values() if path.suffix == DICOM_ENDING]
