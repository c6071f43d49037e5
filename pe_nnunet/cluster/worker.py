"""A worker on Ray: it does batches of cases just as a process on one machine does."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pe_nnunet import __version__
from pe_nnunet.cases import run_cases
from pe_nnunet.errors import ConfigurationError

LOADED = ""  # in the place of a case id: what the work needs is there, and the first case begins


@dataclass(frozen=True)
class Setup:
    """What a worker takes over from the process that hands out cases.

    Attributes:
        folder: The current one.
        sys_path: Where modules are found.
        environment: Variables.
        version: Of this package.
        sign: A file that every worker must see: where it does not, it would write results that nobody finds. None where
            results go into object storage.
    """

    folder: Path
    sys_path: Sequence[str]
    environment: Mapping[str, str]
    version: str
    sign: Path | None


class Worker:
    """An actor. It is made once and kept, and what its work loads stays loaded.

    Raises:
        ConfigurationError: PE-CLU-003 if its machine does not fit the one that hands out cases.
    """

    def __init__(self, setup: Setup) -> None:
        machine = os.uname().nodename if hasattr(os, "uname") else "a machine"
        if __version__ != setup.version:
            raise ConfigurationError(
                "PE-CLU-003",
                f"{machine} has pe-nnunet {__version__}, expected {setup.version}",
                "install the same version on all machines",
            )
        if setup.sign is not None and not setup.sign.is_file():
            raise ConfigurationError(
                "PE-CLU-003",
                f"{machine} does not see {setup.sign.parent}",
                "scans, models and results must lie in folders that all machines share, under the same paths",
            )
        os.environ.update(setup.environment)
        sys.path[:] = setup.sys_path
        if setup.folder.is_dir():
            os.chdir(setup.folder)

    def process(self) -> int:
        """Its number; the answer says that it is ready."""
        return os.getpid()

    def run(self, job: bytes, batch: Mapping[str, Any]) -> Generator[tuple[str, Any], None, None]:
        """Do a batch of cases.

        Args:
            job: A pickled `CaseJob`; what that loads is loaded here.
            batch: Items by case id.

        Yields:
            `LOADED` first, then each case with what became of it.
        """
        what = pickle.loads(job)  # noqa: S301 - from the process that started this one
        yield LOADED, os.getpid()
        yield from run_cases(
            what.work, batch, read=what.read, limits=what.limits, ends=what.ends, died=what.died, in_order=False
        )
