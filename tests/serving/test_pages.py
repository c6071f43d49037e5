"""The worklist in a browser, and what the server says to programs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import requests

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.serving.counts import Counts
from pe_nnunet.serving.prevalence import MIN_STUDIES, estimated, recalibrated
from pe_nnunet.serving.settings import ServeSettings
from pe_nnunet.serving.web import pages
from pe_nnunet.serving.worklist import Worklist
from tests.outputs.conftest import browser  # noqa: F401 - a fixture
from tests.serving.conftest import write_study
from tests.serving.pacs import free_port


@pytest.fixture
def site(queue, tmp_path: Path):
    """The address of the pages, and their counts."""
    port, counts = free_port(), Counts()
    worklist = Worklist(queue, tmp_path / "state" / "results", prevalence=0.1, score_prevalence=0.5)
    with pages(port, worklist, counts, tmp_path / "state"):
        yield f"http://127.0.0.1:{port}", counts


def take_study(intake, folder: Path, number: int, **more) -> str:
    uid = write_study(folder / str(number), number, **more)
    for path in sorted((folder / str(number)).iterdir()):
        intake.take(path.read_bytes())
    return uid


def add_scores(queue, scores: list[float]) -> None:
    """Studies that were predicted earlier."""
    values = "uid, state, received, changed, since, pe_score, emboli"
    with queue._changing() as base:
        base.executemany(
            f"INSERT INTO studies ({values}) VALUES (?, 'sent', 0, 0, 0, ?, 0)",  # noqa: S608 - our own names
            [(f"1.2.4.{n}", score) for n, score in enumerate(scores)],
        )


def test_the_worklist_lives_and_opens_a_report(site, queue, intake, serve, browser, tmp_path) -> None:  # noqa: F811
    address, _ = site
    uids = [take_study(intake, tmp_path, 1), take_study(intake, tmp_path, 2, clot=False)]
    queue.settle(0)
    (tmp_path / "state" / "studies" / uids[1]).rename(tmp_path / "gone")
    browser.open(address + "/")
    rows = "[...document.querySelectorAll('tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    assert [(row[0], row[6]) for row in browser.value(rows)] == [("waiting", uids[1]), ("waiting", uids[0])]
    serve(lambda: not queue.counts()["waiting"] + queue.counts()["running"], outputs=frozenset({"report"}))
    browser.wait("document.querySelectorAll('tr[data-state=done]').length === 1")  # without being loaded anew
    failed, done = browser.value(rows)
    assert done[0] == "done"
    assert done[2:6] == ["0.90", "0.50", "1", "122"]  # 27 voxels of 4.5 mm3
    assert failed[0] == "failed"
    assert failed[7].startswith("PE-SRV-011: none of 0 CT series")
    assert "probability at the former prevalence" in browser.value("document.querySelector('caption').textContent")
    add_scores(queue, [0.95 if n < 10 else 0.05 for n in range(39)])  # results of further studies arrive
    browser.wait(
        "document.getElementById('assumption').textContent.includes('newest 40 studies tell a prevalence of 0.25')"
    )
    with queue._changing() as base:
        base.execute("DELETE FROM studies WHERE uid LIKE '1.2.4.%'")
    browser.wait("document.querySelectorAll('tbody tr').length === 2")
    browser.mouse("thead button[data-key=score]")
    assert [row[6] for row in browser.value(rows)] == uids
    browser.picture(tmp_path / "worklist.png")
    assert {re.match(r"[a-z]+://[^/]+", url)[0] for url in browser.asked} == {address}
    assert browser.complaints == []

    browser.mouse("tr[data-state=failed] button")
    browser.wait("document.querySelectorAll('tr[data-state=waiting]').length === 1")
    assert queue.study(uids[1]).state == "waiting"
    browser.mouse("tr[data-state=done] a")
    browser.wait("document.title.includes('study_1-2-3-1') && document.documentElement.dataset.ready === 'yes'")
    assert browser.complaints == []


def test_health_and_metrics(site) -> None:
    address, counts = site
    assert requests.get(f"{address}/health", timeout=60).json() == {"status": "ok", "troubles": {}}
    counts.trouble("sending", "PE-SRV-006: nobody there")
    answer = requests.get(f"{address}/health", timeout=60)
    assert (answer.status_code, answer.json()["status"]) == (503, "failing")
    counts.add("stored")
    text = requests.get(f"{address}/metrics", timeout=60).text
    assert 'pe_nnunet_studies{state="waiting"} 0\n' in text
    assert 'pe_nnunet_events_total{event="stored"} 1\n' in text
    assert "pe_nnunet_troubles 1\n" in text
    line = re.compile(r"# (HELP|TYPE) \w+ .+|\w+(\{\w+=\"[\w.+]+\"\})? [0-9.e+]+")
    assert all(line.fullmatch(part) for part in text.splitlines())


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {"Host": "evil.example"}, 403),
        ("POST", "/retry/1.2.3.1", {}, 403),
        ("POST", "/retry/1.2.3.1", {"X-PE-nnUNet": "retry"}, 409),
        ("POST", "/", {"X-PE-nnUNet": "retry"}, 404),
        ("GET", "/report/../../queue.sqlite", {}, 404),
        ("GET", "/report/%2e%2e%2fqueue.sqlite", {}, 404),
        ("GET", "/queue.sqlite", {}, 404),
        ("DELETE", "/", {}, 501),
    ],
)
def test_what_the_pages_refuse(site, method, path, headers, status) -> None:
    assert requests.request(method, site[0] + path, headers=headers, timeout=60).status_code == status


def test_the_prevalence_that_calibrated_scores_tell() -> None:
    draw = np.random.default_rng(3)
    for true, at in ((0.1, 0.5), (0.5, 0.3), (0.3, 0.3)):
        value = draw.normal(np.where(draw.random(2000) < true, 1.0, -1.0), 1.5)
        odds = np.exp(2 * value / 1.5**2) * at / (1 - at)  # the likelihood ratio of the two normals
        found = estimated((odds / (1 + odds)).tolist(), at)
        assert found.low <= true <= found.high
        assert found.high - found.low < 0.15
    assert estimated([0.9] * (MIN_STUDIES - 1), 0.5) is None
    ends = estimated([0.0] * 15 + [1.0] * 15, 0.2)
    assert (ends.prevalence, ends.studies) == (0.5, 30)


def test_without_a_given_prevalence_the_estimate_is_used(queue, tmp_path) -> None:
    worklist = Worklist(queue, tmp_path, score_prevalence=0.5)
    add_scores(queue, [float(n < 3) for n in range(MIN_STUDIES)])
    told = worklist.rows()
    assert "to one of 0.1, estimated" in told["assumption"]
    assert "0.10 (95 % interval" in told["assumption"]
    assert {row["probability"] for row in told["studies"]} == {0.0, 1.0}
    with queue._changing() as base:
        base.execute("DELETE FROM studies WHERE uid = '1.2.4.0'")
    told = worklist.rows()
    assert "not shown yet" in told["assumption"]
    assert {row["probability"] for row in told["studies"]} == {None}


def test_recalibration_keeps_ends_and_order() -> None:
    scores = [0, 0.2, 0.5, 0.9, 1]
    moved = [recalibrated(score, 0.4, 0.1) for score in scores]
    assert moved == sorted(moved)
    assert (moved[0], moved[-1]) == (0, 1)
    assert [recalibrated(score, 0.1, 0.4) for score in moved] == pytest.approx(scores, abs=1e-6)
    with pytest.raises(ConfigurationError, match="PE-SRV-007"):
        ServeSettings(prevalence=0.2)
