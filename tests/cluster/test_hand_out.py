"""How cases are handed out and what becomes of lost workers, with a stand-in for Ray that works in this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from pe_nnunet import __version__
from pe_nnunet.cases import CaseFailure, run_cases
from pe_nnunet.cluster import EngineSettings, engine_of, start
from pe_nnunet.cluster import engine as hand_out
from pe_nnunet.cluster.engine import RayEngine
from pe_nnunet.cluster.head import Head
from pe_nnunet.cluster.worker import Setup
from pe_nnunet.errors import ConfigurationError, MissingExtraError, OutputError, PEError


class RayError(Exception):
    """Ray's base."""


class ActorDiedError(RayError):
    """A worker was lost."""


class TaskError(RayError):
    """What a worker raised, wrapped as Ray does it."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Kill(BaseException):
    """Takes the worker."""


class Call:
    """What comes of a call: one answer, or many."""

    def __init__(self, answers) -> None:
        self.answers = answers

    def __iter__(self):
        return self

    def __next__(self):
        return self

    def take(self):
        try:
            return next(self.answers)
        except (Kill, MemoryError) as error:
            raise ActorDiedError("it is dead") from error
        except Exception as error:
            raise TaskError(error) from error


class Here(Head):
    """A head that answers until it does not."""

    def __init__(self, there: Callable[[], bool] = lambda: True) -> None:
        super().__init__("head:6379")
        self.there = there

    def answers(self) -> bool:
        if not self.there():
            self._silent_since = self._silent_since or 1e-9  # for long
        return self.there()


class Metrics:
    """Of Ray: what was set and counted, by name and labels."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def Counter(self, name, description, tag_keys):  # noqa: N802 - as Ray calls it
        labels: dict[str, str] = {}

        def key(tags=()):
            found = labels | dict(tags or {})
            assert set(found) == set(tag_keys)
            return " ".join([name, *found.values()])

        return SimpleNamespace(
            set_default_tags=labels.update,
            inc=lambda tags=(): self.values.update({key(tags): self.values.get(key(tags), 0) + 1}),
            set=lambda value: self.values.update({key(): value}),
        )

    Gauge = Counter


class Ray:
    """As much of Ray as is asked for: actors that are called in this process, one answer at a time, the last first."""

    exceptions = SimpleNamespace(RayError=RayError, RayActorError=ActorDiedError)

    def __init__(self, machines: int = 2) -> None:
        self.machines, self.started, self.alive = machines, 0, 0
        self.metrics = Metrics()
        self.util = SimpleNamespace(metrics=self.metrics)

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": 1.0}}] * self.machines

    def put(self, value):
        return value

    def remote(self, kind):
        def make(setup):
            self.started += 1
            self.alive += 1
            made: list = []

            def ready():
                made.append(kind(setup))
                yield made[0].process()

            first = ready()
            method = SimpleNamespace(remote=lambda *a: Call(made[0].run(*a)))
            return SimpleNamespace(process=SimpleNamespace(remote=lambda: Call(first)), run=method)

        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=make))

    def get(self, call):
        return call.take()

    def kill(self, _handle) -> None:
        self.alive -= 1

    def wait(self, calls, timeout, fetch_local):
        return [calls[-1]], calls[:-1]


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    (tmp_path / "sign").touch()
    import sys

    return Setup(Path.cwd(), tuple(sys.path), {}, __version__, tmp_path / "sign")


def handed_out(work, items, setup, ray=None, head=None, **options):
    ray = ray or Ray()
    settings = EngineSettings(engine="ray")
    with RayEngine(ray, settings, setup, head or Here(), networks=False) as engine:
        found = list(run_cases(work, items, engine=engine, **options))
    assert ray.alive == 0
    assert len(found) == len({case for case, _ in found})
    return dict(found), ray


ITEMS = {str(k): k for k in range(40)}
ALREADY: list[int] = []


def poison(numbers: tuple[int, ...], number: int) -> int:
    if number in numbers:
        raise Kill
    return number


def kill_twice(number: int) -> int:
    if number == 7 and len(ALREADY) < 2:
        ALREADY.append(number)
        raise Kill
    return number


def full(number: int) -> int:
    if number == 5:
        raise OutputError("PE-OUT-001", "no space left")
    return number


class NotLoaded:
    """Work that cannot be loaded by a worker."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __reduce__(self):
        return _fail, (self.error,)

    def __call__(self, number: int) -> int:
        return number


def _fail(error: type[BaseException]):
    raise ConfigurationError("PE-MODEL-001", "no model") if error is PEError else error()


def test_every_case_comes_once_although_workers_are_lost(setup, capsys) -> None:
    ALREADY.clear()
    found, ray = handed_out(kill_twice, ITEMS, setup)
    assert found == ITEMS
    assert ray.started == 3  # the second time nothing else was left for a new one
    assert capsys.readouterr().out.count("a worker was lost at 7, which is done again elsewhere") == 2


def test_cases_that_kill_their_workers_are_given_up_after_three(setup) -> None:
    found, ray = handed_out(partial(poison, (3, 39)), ITEMS, setup, bar="predict")
    assert ray.metrics.values.pop("pe_nnunet_workers predict") == 0
    assert ray.metrics.values == {
        "pe_nnunet_cases predict done": 38,
        "pe_nnunet_cases predict PE-CLU-005": 2,
        "pe_nnunet_cases_left predict": 0,
        "pe_nnunet_seconds_left predict": 0,
        "pe_nnunet_workers_lost predict": 6,
    }
    assert {case for case, value in found.items() if isinstance(value, CaseFailure)} == {"3", "39"}
    assert found["3"].code == found["39"].code == "PE-CLU-005"
    assert {case: value for case, value in found.items() if case not in {"3", "39"}} == {
        case: k for case, k in ITEMS.items() if k not in {3, 39}
    }
    assert 2 < ray.started <= 2 + 6


def test_some_errors_end_the_run(setup) -> None:
    with pytest.raises(OutputError, match="no space left"):
        handed_out(full, ITEMS, setup, ends=(OutputError,))
    found, _ = handed_out(full, ITEMS, setup)
    assert found["5"].code == "PE-OUT-001"


def test_what_cannot_be_loaded_blames_no_case(setup) -> None:
    with pytest.raises(ConfigurationError, match="PE-MODEL-001"):
        handed_out(NotLoaded(PEError), ITEMS, setup)
    with pytest.raises(ConfigurationError, match="PE-CLU-004: workers are lost before their first case"):
        handed_out(NotLoaded(MemoryError), ITEMS, setup)


def test_machines_that_do_not_fit_are_named(setup, monkeypatch) -> None:
    with pytest.raises(
        ConfigurationError, match=r"PE-CLU-004: no worker can be had.*1 processors and 0 GPUs, and 0 fit"
    ):
        handed_out(full, ITEMS, setup, Ray(machines=0))
    setup.sign.unlink()
    with pytest.raises(ConfigurationError, match=r"PE-CLU-003: .* does not see"):
        handed_out(full, ITEMS, setup)
    monkeypatch.setattr("pe_nnunet.cluster.worker.__version__", "0.0.1")
    with pytest.raises(ConfigurationError, match=r"PE-CLU-003: .* has pe-nnunet 0\.0\.1"):
        handed_out(full, ITEMS, setup)


def test_workers_that_are_started_on_a_machine_that_is_gone_end_no_run(setup, monkeypatch) -> None:
    ray, made = Ray(), []

    class Gone(hand_out.Worker):
        def __init__(self, setup: Setup) -> None:
            made.append(setup)
            if len(made) <= 5:
                raise Kill
            super().__init__(setup)

    monkeypatch.setattr(hand_out, "Worker", Gone)
    found, _ = handed_out(partial(poison, ()), ITEMS, setup, ray)
    assert found == ITEMS
    assert len(made) > 5


def test_without_its_head_a_run_ends_and_waits_for_nothing(setup, monkeypatch) -> None:
    monkeypatch.setattr(hand_out, "LOOK_S", -1.0)
    ray, seen = Ray(), iter([True] * 5)
    with pytest.raises(ConfigurationError, match="PE-CLU-010: Ray's head at head:6379 has not answered for 20 s"):
        handed_out(partial(poison, ()), ITEMS, setup, ray, Here(lambda: next(seen, False)))
    assert ray.alive == 2  # they are not asked to end: that would wait for the head; they end with it
    head = Head("127.0.0.1:9")  # where nobody listens
    assert not head.answers()
    head.require()  # for some time


def test_answers_that_are_lost_time_and_again_give_up_a_case(setup, monkeypatch) -> None:
    """Want of memory is no `RayActorError`: a case that takes all of it must not go round for ever."""
    monkeypatch.setattr(Ray, "exceptions", SimpleNamespace(RayError=RayError, RayActorError=KeyError))
    found, _ = handed_out(partial(poison, (3,)), ITEMS, setup)
    assert found["3"].code == "PE-CLU-005"


def test_machines_that_join_are_used(setup, monkeypatch) -> None:
    monkeypatch.setattr(hand_out, "LOOK_S", -1.0)
    ray = Ray(machines=1)

    def grow(number: int, ray: Ray = ray) -> int:
        ray.machines = 3
        return number

    monkeypatch.setattr(hand_out.pickle, "dumps", lambda job: job)
    monkeypatch.setattr("pe_nnunet.cluster.worker.pickle.loads", lambda job: job)
    found, _ = handed_out(grow, ITEMS, setup, ray)
    assert found == ITEMS
    assert ray.started == 3


def test_options_without_ray_and_ray_that_is_not_there(tmp_path, monkeypatch) -> None:
    with pytest.raises(ConfigurationError, match=r"PE-CLU-006: .*are for --engine ray"):
        EngineSettings(gpus_per_worker=0.5)
    with pytest.raises(ConfigurationError, match="PE-CLU-006: --gpus-per-worker is -1"):
        EngineSettings(engine="ray", gpus_per_worker=-1)
    for gpus in (1.5, 0.33333, 2.00001):
        with pytest.raises(ConfigurationError, match=r"PE-CLU-006: --gpus-per-worker is .*whole number"):
            EngineSettings(engine="ray", gpus_per_worker=gpus)
    for gpus in (0.3333, 1, 2.0):
        EngineSettings(engine="ray", gpus_per_worker=gpus)
    with engine_of(EngineSettings(), tmp_path) as engine:
        assert engine is None

    def missing(name: str):
        raise ImportError(name)

    monkeypatch.setattr(start, "import_module", missing)
    with pytest.raises(MissingExtraError, match="PE-CLU-001"), engine_of(EngineSettings(engine="ray"), tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_every_ray_that_a_process_starts_has_the_same_token(tmp_path, monkeypatch) -> None:
    """Ray's libraries keep the first one that they read: a second run of a process would be refused."""
    tokens = []
    ray = SimpleNamespace(
        init=lambda **_: tokens.append(os.environ["RAY_AUTH_TOKEN"]),
        shutdown=lambda: None,
        start_api_server=None,
        ray_constants=SimpleNamespace(ENABLE_RAY_CLUSTER=True),
        get_runtime_context=lambda: SimpleNamespace(gcs_address="127.0.0.1:9"),
    )
    monkeypatch.setattr(start, "import_module", lambda _: ray)
    for _ in range(2):
        with engine_of(EngineSettings(engine="ray"), tmp_path):
            pass
    assert len(tokens[0]) == 64
    assert tokens[0] == tokens[1]
    assert "RAY_AUTH_TOKEN" not in os.environ
