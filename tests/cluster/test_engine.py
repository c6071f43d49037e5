"""Cases on two raylets: nothing is lost, nothing is there twice, whatever dies."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from pe_nnunet.cases import CaseFailure, CaseLimits, run_cases, work_through
from pe_nnunet.cluster import EngineSettings, engine_of
from tests.cluster import jobs
from tests.cluster.conftest import LEAN


@pytest.fixture(scope="module")
def engine(cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2]))  # workers find the jobs as this process does
        with engine_of(EngineSettings(engine="ray", address=cluster), folder) as found:
            yield found
    assert not list(folder.iterdir())


def test_cases_are_shared_and_come_back_in_their_order(engine, tmp_path) -> None:
    items = {str(k): k for k in range(40)} | {"bad": -1}
    found, failed = work_through(partial(jobs.double, str(tmp_path), 2), items, engine=engine, quiet=True)
    assert list(found) == [str(k) for k in range(40)]
    assert [value for value, *_ in found.values()] == [2 * k for k in range(40)]
    assert len({worker for _, worker, *_ in found.values()}) == 2
    assert [(one.case_id, one.code) for one in failed] == [("bad", "PE-IN-003")]


def test_what_dies_is_done_elsewhere_and_what_kills_is_given_up(engine, tmp_path, capsys) -> None:
    items = {str(k): k for k in range(6)}
    found = list(run_cases(partial(jobs.kill_once, str(tmp_path / "mark")), items, engine=engine))
    assert sorted(found) == [(str(k), k) for k in range(6)]
    assert "a worker was lost at 3, which is done again elsewhere" in capsys.readouterr().out
    found = dict(run_cases(jobs.poison, items, engine=engine))
    poisoned = found.pop("2")
    assert found == {str(k): k for k in range(6) if k != 2}
    assert isinstance(poisoned, CaseFailure)
    assert poisoned.code == "PE-CLU-005"


def test_the_next_case_is_read_while_one_is_worked_on(engine) -> None:
    items = {str(k): k for k in range(12)}
    found = run_cases(jobs.work, items, read=jobs.read, limits=CaseLimits(), engine=engine)
    of_workers: dict[int, list[tuple[float, float]]] = {}
    for _, (reader, worker, began, ended) in found:
        assert reader != worker
        of_workers.setdefault(worker, []).append((began, ended))
    pairs = [pair for times in of_workers.values() for pair in pairwise(sorted(times))]
    assert any(began < ended for (_, ended), (began, _) in pairs)


def test_a_machine_that_goes_takes_nothing_with_it(machines, engine, tmp_path, capsys) -> None:
    third = machines.add_node(**LEAN)
    outcomes = run_cases(partial(jobs.double, str(tmp_path), 3), {str(k): k for k in range(45)}, engine=engine)
    found, workers = [], set()
    for case, (value, worker, *_) in outcomes:
        found.append((case, value))
        workers.add(worker)
        if third is not None and len(workers) == 3:
            machines.remove_node(third, allow_graceful=False)
            third = None
    assert third is None
    assert sorted(found) == sorted((str(k), 2 * k) for k in range(45))
    assert "a worker was lost" in capsys.readouterr().out
