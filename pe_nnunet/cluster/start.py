"""Ray is started, or joined, for one run; nothing is sent anywhere, and what was started ends with the run."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from pe_nnunet import __version__
from pe_nnunet.cases.engine import Engine
from pe_nnunet.cluster.settings import EngineSettings
from pe_nnunet.cluster.worker import Setup
from pe_nnunet.errors import ConfigurationError, MissingExtraError, OutputError

LOOPBACK = "127.0.0.1"
NO_TASK_HISTORY = {"task_events_report_interval_ms": 0}
"""The head keeps the last 100,000 tasks for its dashboard, which a Ray that we start does not have."""
GOES_ALONG = ("nnUNet_", "PE_NNUNET_")


@contextmanager
def engine_of(settings: EngineSettings, folder: Path | None, *, networks: bool = False) -> Iterator[Engine | None]:
    """What hands out the cases of one run.

    Args:
        settings: What is asked for.
        folder: Where results go, or above it: all machines must share it; None where they go into object storage.
        networks: Whether workers run networks, and need GPUs where there are any.

    Yields:
        The engine; None where cases are worked on here.

    Raises:
        MissingExtraError: PE-CLU-001 if Ray is asked for and not installed.
        ConfigurationError: PE-CLU-002 if no cluster answers at the address.
        OutputError: PE-OUT-001 if nothing can be written into the folder.
    """
    if settings.engine == "local":
        yield None
        return
    from pe_nnunet.cluster.engine import RayEngine
    from pe_nnunet.cluster.head import Head

    with nullcontext() if folder is None else _sign(folder) as sign, _ray(settings.address) as ray:
        environment = {name: value for name, value in os.environ.items() if name.startswith(GOES_ALONG)}
        setup = Setup(Path.cwd(), tuple(sys.path), environment, __version__, sign)
        head = Head(ray.get_runtime_context().gcs_address)
        with RayEngine(ray, settings, setup, head, networks=networks) as engine:
            yield engine


@contextmanager
def _ray(address: str | None) -> Iterator[Any]:
    """Ray, connected: to a cluster, or to one of this machine alone that ends with the block."""
    alone: dict[str, Any] = {}
    variables = {"RAY_USAGE_STATS_ENABLED": "0"}  # or it would report to its makers
    if address is None:
        alone = {"include_dashboard": False, "_node_ip_address": LOOPBACK, "_system_config": NO_TASK_HISTORY}
        variables["RAY_AUTH_TOKEN"] = _token()  # or Ray would leave one in the home folder
        if "ray" not in sys.modules:  # it reads this when it is imported, and asks for a token by itself since 2.60
            variables["RAY_AUTH_MODE"] = "token"
    with _variables(variables):
        try:
            ray = import_module("ray")
            import_module("ray.util.metrics")
            with nullcontext() if address else _kept_here():
                ray.init(address=address or "local", log_to_driver=False, logging_level="error", **alone)
        except ImportError as error:
            raise MissingExtraError(
                "PE-CLU-001", "Ray, which --engine ray needs, is not installed", "pip install 'pe-nnunet[cluster]'"
            ) from error
        except Exception as error:
            where = "Ray cannot be started" if address is None else f"no Ray cluster answers at {address}"
            text = " ".join(str(error).split())[:300]
            raise ConfigurationError(
                "PE-CLU-002", f"{where}: {text}", "check the address, the token (`ray get-auth-token`) and the versions"
            ) from error
        try:
            yield ray
        finally:
            ray.shutdown()


@contextmanager
def _kept_here() -> Iterator[None]:
    """Let a Ray that starts listen on loopback alone, and ask nobody anything; it has no options for either.

    It takes 127.0.0.1 for the machine's outer address, but on Windows and macOS (`ENABLE_RAY_CLUSTER`). And it starts
    the process of its dashboard and usage reports also without them; where these are off, that asks the metadata
    services of clouds, 169.254.169.254, where it runs. Seen in Ray 2.60; tests/cluster/test_nothing_is_sent.py looks.
    """
    services: Any = import_module("ray._private.services")
    before = services.start_api_server, services.ray_constants.ENABLE_RAY_CLUSTER
    services.start_api_server, services.ray_constants.ENABLE_RAY_CLUSTER = lambda *_, **__: ("", None), False
    try:
        yield
    finally:
        services.start_api_server, services.ray_constants.ENABLE_RAY_CLUSTER = before


@cache
def _token() -> str:
    """Of every Ray that this process starts: a process of Ray's keeps the first that it has read."""
    return secrets.token_hex(32)


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set them for the time of the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({} if value is None else {name: value})


@contextmanager
def _sign(folder: Path) -> Iterator[Path]:
    """A file by which workers tell that they see the same folder, in it or in what of its path is there."""
    folder = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    sign = folder / f".pe-nnunet-{secrets.token_hex(8)}"
    try:
        sign.touch()
    except OSError as error:
        raise OutputError("PE-OUT-001", f"{folder} cannot be written: {error.strerror}", "check the path") from error
    try:
        yield sign
    finally:
        sign.unlink(missing_ok=True)
