"""One temporary folder for all processes and workers of a run, which goes with the run however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

VARIABLE = "PE_NNUNET_SCRATCH"  # processes and workers of a run inherit it


@contextmanager
def scratch() -> Iterator[Path]:
    """The folder of a run, for the time of the block."""
    with TemporaryDirectory(prefix="pe-nnunet-", ignore_cleanup_errors=True) as name:
        os.environ[VARIABLE] = name
        try:
            yield Path(name)
        finally:
            del os.environ[VARIABLE]


def scratch_above() -> str | None:
    """The folder of the run, in which temporary ones belong; None without one, for the usual place.

    On another machine than that of the command it is made by the first that asks.
    """
    above = os.environ.get(VARIABLE)
    if above is not None:
        Path(above).mkdir(parents=True, exist_ok=True)
    return above
