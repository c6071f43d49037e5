"""Options of what hands out cases: this machine alone, or Ray."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from pe_nnunet.cluster.settings import EngineSettings
from pe_nnunet.options import add_options, chosen

if TYPE_CHECKING:
    from pe_nnunet.cases.engine import Engine


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add them; `engine` takes them from the arguments."""
    group = parser.add_argument_group("several machines", "docs/cohorts.md says how to start them")
    add_options(group, EngineSettings)


def engine(
    args: argparse.Namespace, folder: Path | None, *, networks: bool = False
) -> AbstractContextManager[Engine | None]:
    """What hands out cases, for a `with` block; see `engine_of`."""
    from pe_nnunet.cluster import engine_of

    return engine_of(settings(args), folder, networks=networks)


def settings(args: argparse.Namespace) -> EngineSettings:
    """What is asked for.

    Raises:
        ConfigurationError: PE-CLU-006 if it contradicts itself.
    """
    return EngineSettings(**chosen(args, EngineSettings))
