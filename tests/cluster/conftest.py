"""One cluster of two raylets on this machine, for all tests of the package."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """Address of two machines of one processor each, which are two raylets here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")  # Ray reads it once in a process, and another test may import Ray
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]))
        pytest.importorskip("ray", reason="Ray (the extra `cluster`) is not installed")
        from ray.cluster_utils import Cluster

        lean = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_log_monitor": False}
        both = Cluster(initialize_head=True, head_node_args=lean | {"no_monitor": True, "include_dashboard": False})
        both.add_node(**lean)
        yield both.address
        both.shutdown()


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers find the jobs of these tests as this process does."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
