"""One cluster of two raylets on this machine, for all tests of the package."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = str(Path(__file__).parents[2])
LEAN = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_log_monitor": False}


@pytest.fixture(scope="session")
def machines() -> Iterator[Any]:
    """Two machines of one processor each, which are two raylets here; more can be added as `LEAN` says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")  # Ray reads it once in a process, and another test may import Ray
        pytest.importorskip("ray", reason="Ray (the extra `cluster`) is not installed")
        from ray.cluster_utils import Cluster

        with pytest.MonkeyPatch.context() as start:  # not for longer: pip in other tests would see this folder
            start.setenv("PYTHONPATH", with_this_folder())
            head = LEAN | {"no_monitor": True, "include_dashboard": False}
            with _sigterm_as_it_was():
                both = Cluster(initialize_head=True, head_node_args=head)
                both.add_node(**LEAN)
        yield both
        both.shutdown()


@pytest.fixture(scope="session")
def cluster(machines: Any) -> str:
    """Their address."""
    return str(machines.address)


@contextmanager
def _sigterm_as_it_was() -> Iterator[None]:
    """Ray's handler of SIGTERM goes: later forks would inherit it, and a pool could not end them."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture(autouse=True)
def sigterm() -> Iterator[None]:
    """Each test leaves the handler of SIGTERM that it found."""
    with _sigterm_as_it_was():
        yield


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers find the jobs of these tests as this process does."""
    monkeypatch.syspath_prepend(REPOSITORY)
    monkeypatch.setenv("PYTHONPATH", with_this_folder())


def with_this_folder() -> str:
    """PYTHONPATH with which processes find the modules of these tests."""
    return os.pathsep.join([REPOSITORY, os.environ.get("PYTHONPATH", "")])
