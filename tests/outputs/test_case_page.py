"""The pages: what they hold, and what they do in a browser."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from matplotlib.path import Path as Polygon
from PIL import Image

from pe_nnunet.cases import CaseFailure
from pe_nnunet.cases.output_folder import OutputFolder
from pe_nnunet.errors import Note
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.outputs import CaseResult, CaseSummary, report_slices, write_case, write_cohort_report
from pe_nnunet.outputs.case_page import report_html, write_report
from pe_nnunet.outputs.report_slices import MAX_CHARACTERS, chosen_slices, page_data
from pe_nnunet.outputs.writers import DEFAULT
from pe_nnunet.volumes.geometry import image_like, spacing_zyx

VOID = {"meta", "br", "img", "input", "link", "hr"}


class Page(HTMLParser):
    """Elements of a page, with every tag closed by its own."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, str] = {}
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        tag, attributes = self.elements[-1] if self.elements else ("", {})
        if self.open and self.open[-1] == tag:
            name = f"{tag} json" if attributes.get("type") == "application/json" else tag
            self.texts[name] = self.texts.get(name, "") + data

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]


@pytest.fixture
def labelled(case: CaseResult) -> CaseResult:
    roi = {"box_zyx_lps": [[0, 0, 0], [24, 60, 80]]}
    return replace(case, roi=roi, artery_mm={1: 11.8, 2: 4.2})


def hu_of(data: dict[str, Any], address: str) -> np.ndarray:
    pixels = Image.open(io.BytesIO(base64.b64decode(address.removeprefix("data:image/webp;base64,"))))
    return np.asarray(data["hu"])[np.asarray(pixels.convert("L"))]


def test_slices_are_those_of_the_region_in_hu(labelled: CaseResult) -> None:
    data = page_data(replace(labelled, roi={"box_zyx_lps": [[2, 5, 8], [20, 55, 72]]}))
    assert (data["width"], data["height"], len(data["slices"])) == (64, 50, 18)
    assert data["spacing_mm"] == pytest.approx([1.5, 1.5, 2.0])
    hu = sitk.GetArrayFromImage(labelled.image)
    for k, page_slice in enumerate(data["slices"]):
        expected = np.clip(hu[2 + k, 5:55, 8:72], -1350, 450)
        away = np.abs(hu_of(data, page_slice["image"]) - expected)
        assert np.median(away[expected > -250]) < 6
        assert np.median(away[expected < -250]) < 40  # coarser levels, and the edges of a lossy picture ring
        assert page_slice["z_mm"] == pytest.approx(100 + 2 * (k + 2))


def test_grey_levels_are_finest_where_clot_and_vessels_are(labelled: CaseResult) -> None:
    hu = np.array(page_data(labelled)["hu"])
    assert (len(hu), hu[0], hu[-1]) == (256, -1350, 450)
    assert (np.diff(hu) > 0).all()
    assert np.diff(hu[hu >= -250]).max() < 3.8


def test_outlines_run_round_the_voxels(labelled: CaseResult) -> None:
    data = page_data(labelled)
    found = np.zeros((24, 60, 80), np.uint16)
    for page_slice in data["slices"]:
        rows, columns = np.indices((data["height"], data["width"]))
        middles = np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], axis=1)
        for outline in page_slice["outlines"]:
            for line in outline["lines"]:
                inside = Polygon(np.array(line).reshape(-1, 2)).contains_points(middles, radius=1e-3)
                inside |= Polygon(np.array(line).reshape(-1, 2)).contains_points(middles, radius=-1e-3)
                found[page_slice["index"]].ravel()[inside] = outline["id"]
    np.testing.assert_array_equal(found, labelled.emboli.labels)  # the fixture's region is its whole grid


def test_findings_are_placed_in_their_slice(labelled: CaseResult) -> None:
    data = page_data(labelled)
    first, second, weak = data["findings"]
    assert (first["kept"], second["kept"], weak["kept"]) == (True, True, False)
    for finding in (first, second):
        assert finding["id"] in [o["id"] for o in data["slices"][finding["slice"]]["outlines"]]
    k, j, i = labelled.emboli.candidates[2].voxel_zyx
    assert (data["slices"][weak["slice"]]["index"], weak["row"], weak["column"]) == (k, j + 0.5, i + 0.5)


@pytest.mark.parametrize("code", ["RAS", "LPI", "PSR"])
def test_the_page_is_the_same_however_the_axes_are_stored(
    image: sitk.Image, probability: np.ndarray, code: str
) -> None:
    image.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, 1))
    turned = sitk.DICOMOrient(image, code)
    as_image = sitk.DICOMOrient(image_like(probability, image), code)
    here = CaseResult("c", image, find_emboli(probability, spacing_zyx(image)))
    there = CaseResult("c", turned, find_emboli(sitk.GetArrayFromImage(as_image), spacing_zyx(turned)))
    assert page_data(here) == page_data(there)


@pytest.mark.parametrize(("depth", "characters"), [(500, 20_000.0), (500, 90_000.0), (60, 10.0), (900, 400_000.0)])
def test_slices_are_left_out_evenly_where_the_page_would_be_too_large(depth: int, characters: float) -> None:
    chosen = chosen_slices(depth, characters, [7, depth - 2])
    assert {0, 7, depth - 2} <= set(chosen)
    even = chosen_slices(depth, characters, [])
    assert len(even) * characters <= MAX_CHARACTERS + characters
    assert len(even) * 2 >= min(depth, MAX_CHARACTERS // characters)
    assert len(set(np.diff(even))) == 1


def test_a_page_of_noise_stays_under_15_mb(monkeypatch: pytest.MonkeyPatch) -> None:
    """A region of 440 x 340 x 500 voxels by a few slices of noise of 40 HU and a limit as much smaller."""
    monkeypatch.setattr(report_slices, "MAX_CHARACTERS", MAX_CHARACTERS * 20 // 500)
    hu = np.random.default_rng(0).normal(60, 40, (20, 340, 440))
    image = sitk.GetImageFromArray(hu.astype(np.int16))
    empty = find_emboli(np.zeros(hu.shape, np.float32), (1, 1, 1))
    text = report_html(CaseResult("c", image, empty))
    assert len(text) < 15e6 * 20 / 500 + 60_000  # style, script and the projection are there once
    assert "10 of the region's 20 slices are shown" in unescape(text)


def test_the_page_is_whole_and_asks_for_nothing(labelled: CaseResult) -> None:
    text = report_html(labelled)
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    addresses = [value for _, a in page.elements for name, value in a.items() if name in {"src", "href"}]
    assert addresses == []
    assert not re.search(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text.replace("/*", ""))
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    for name in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(page.texts[name].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    pointed = [a[name] for _, a in page.elements for name in ("for", "aria-describedby") if name in a]
    assert set(pointed) <= set(page.ids)
    assert "Not a medical device; not for diagnosis" in text
    assert "geometry and no anatomy" in text
    assert json.loads(page.texts["script json"])["case"] == "case_1"


def test_what_is_in_a_name_is_shown_and_never_run(labelled: CaseResult) -> None:
    evil = "</script><script>alert(1)</script>"
    text = report_html(replace(labelled, case_id=evil, source=evil, notes=(Note("PE-IN-004", "warning", evil),)))
    Page(text)
    assert "<script>alert" not in text
    assert text.count("<script") == 2


def test_a_case_without_findings_and_one_with_thousands(image: sitk.Image) -> None:
    quiet = CaseResult("quiet", image, find_emboli(np.zeros(image.GetSize()[::-1], np.float32), (2, 1.5, 1.5)))
    assert "no embolus found" in report_html(quiet)
    noise = np.zeros(image.GetSize()[::-1], np.float32)
    noise[::2, ::2, ::2] = 0.9
    found = find_emboli(noise, (2, 1.5, 1.5), FusionSettings(min_volume_mm3=0))
    assert len(found.kept) == 14_400
    text = report_html(CaseResult("noise", image, found))
    assert "14100 weaker findings are in noise_emboli.csv alone" in text
    assert text.count("<tr data-finding") == 300


def test_the_page_lies_beside_the_other_files(labelled: CaseResult, tmp_path: Path) -> None:
    write_case(labelled, tmp_path, DEFAULT - {"picture"})
    assert json.loads((tmp_path / "case_1.json").read_text())["files"]["report"] == "case_1_report.html"
    Page((tmp_path / "case_1_report.html").read_text(encoding="utf-8"))
    write_case(labelled, tmp_path, DEFAULT - {"picture", "report"})
    assert not (tmp_path / "case_1_report.html").exists()


# In the browser.

Opened = Callable[[CaseResult], Any]


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Opened:
    def show(case: CaseResult) -> Any:
        path = tmp_path / "page with a space_report.html"
        write_report(case, path)
        browser.open(path)
        return browser

    return show


def position(browser: Any) -> int:
    return int(browser.value("Number(document.querySelector('#slider').value)"))


def drawn(browser: Any, slice_index: int, *, window: int = 0, overlay: bool = True, zoom: int = 1) -> None:
    wanted = f"{slice_index} {window} {str(overlay).lower()} {zoom}"
    browser.wait(f"document.querySelector('#slice').dataset.drawn === '{wanted}'")


def orange(browser: Any) -> int:
    """Pixels of the slice in the colour of outlines."""
    return int(
        browser.value(
            "(() => { const c = document.querySelector('#slice'); let n = 0;"
            "const p = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "for (let k = 0; k < p.length; k += 4) n += p[k] - p[k + 2] > 120; return n; })()"
        )
    )


def grey_at(browser: Any, column: float, row: float) -> int:
    """Brightness of the slice at a pixel of the region."""
    return int(
        browser.value(
            "(() => { const c = document.querySelector('#slice');"
            "const d = JSON.parse(document.querySelector('#data').text);"
            f"const x = {column} / d.width * c.width, y = {row} / d.height * c.height;"
            "return c.getContext('2d').getImageData(x, y, 1, 1).data[0]; })()"
        )
    )


def test_opens_from_disk_at_the_first_embolus(labelled: CaseResult, opened: Opened) -> None:
    browser = opened(labelled)
    assert browser.complaints == []
    assert {address.split(":")[0] for address in browser.asked} <= {"file", "data"}
    assert sum(address.startswith("file:") for address in browser.asked) == 1
    first = page_data(labelled)["findings"][0]
    drawn(browser, first["slice"])
    assert orange(browser) > 50
    assert browser.value("document.querySelector('tr[aria-current]').dataset.finding") == "1"


def test_scrolls_by_wheel_keys_and_slider(labelled: CaseResult, opened: Opened) -> None:
    browser = opened(labelled)
    start = position(browser)
    browser.press("ArrowUp")
    assert position(browser) == start + 1
    browser.press("PageDown")
    assert position(browser) == max(0, start - 9)
    browser.press("End")
    assert position(browser) == 23
    browser.press("ArrowUp")
    assert position(browser) == 23
    browser.press("Home")
    drawn(browser, 0)
    browser.mouse("#slice", wheel=-100)
    drawn(browser, 1)
    browser.mouse("#slice", wheel=100)
    drawn(browser, 0)
    browser.mouse("#slider", at=(0.5, 0.5))
    assert 10 <= position(browser) <= 13
    here = position(browser)
    browser.press("ArrowUp")  # the slider has the focus now and moves by itself, once
    assert position(browser) == here + 1
    drawn(browser, here + 1)
    assert browser.value("document.querySelector('#place').textContent").startswith(f"{here + 2} of 24")


def test_the_table_and_keys_lead_to_findings(labelled: CaseResult, opened: Opened) -> None:
    browser = opened(labelled)
    findings = page_data(labelled)["findings"]
    for finding in reversed(findings):
        browser.mouse(f"tr[data-finding='{finding['id']}'] button")
        drawn(browser, finding["slice"])
        assert browser.value("document.querySelector('tr[aria-current]').dataset.finding") == str(finding["id"])
        assert f"slice {finding['slice'] + 1} of 24" in browser.value("document.querySelector('#said').textContent")
    browser.press("n")
    drawn(browser, findings[1]["slice"])
    browser.press("p")
    browser.press("p")
    drawn(browser, findings[-1]["slice"])
    browser.mouse("#locator", at=(0.5, 0.02))
    assert position(browser) >= 22


def test_outlines_are_switched_off_and_on(labelled: CaseResult, opened: Opened) -> None:
    browser = opened(labelled)
    slice_index = position(browser)
    browser.press("o")
    drawn(browser, slice_index, overlay=False)
    assert orange(browser) == 0
    assert browser.value("document.querySelector('#overlay').getAttribute('aria-pressed')") == "false"
    browser.mouse("#overlay")
    drawn(browser, slice_index)
    assert orange(browser) > 50


def test_windows_show_hu_as_they_say(labelled: CaseResult, opened: Opened) -> None:
    browser = opened(labelled)
    browser.press("Home")
    browser.press("PageUp")
    lung, tissue = (22, 22), (40, 50)
    for key, (width, level) in enumerate(((700, 100), (350, 40), (1500, -600)), 1):
        browser.press(str(key))
        drawn(browser, 10, window=key - 1)
        for place, hu in ((lung, -850), (tissue, 40)):
            expected = np.clip(255 * (hu - level + width / 2) / width, 0, 255)
            assert grey_at(browser, *place) == pytest.approx(expected, abs=9)
        assert browser.value("document.querySelectorAll('[data-window][aria-pressed=true]').length") == 1


def test_zoom_keeps_the_finding_in_view(labelled: CaseResult, opened: Opened) -> None:
    browser = opened(labelled)
    slice_index, before = position(browser), orange(browser)
    browser.press("+")
    drawn(browser, slice_index, zoom=2)
    assert orange(browser) > 1.25 * before  # twice the length, lines as thin as before
    browser.press("-")
    browser.press("-")
    drawn(browser, slice_index)
    assert browser.complaints == []


CONTRAST = """
(() => {
  const channel = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (c) => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const ground = (e) => { for (; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0.9) return c; } return [0, 0, 0]; };
  const worst = [...document.querySelectorAll('body *')].filter((e) => e.checkVisibility() &&
    [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())).map((e) => {
      const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), e.tagName + ' ' + e.textContent.slice(0, 30)]; });
  return worst.sort((x, y) => x[0] - y[0])[0];
})()
"""


def test_texts_stand_out_and_controls_have_names(labelled: CaseResult, opened: Opened) -> None:
    browser = opened(labelled)
    ratio, where = browser.value(CONTRAST)
    assert ratio >= 4.5, where  # WCAG 2.1, 1.4.3
    unnamed = "[...document.querySelectorAll('button')].filter((b) => !b.textContent.trim()).length"
    assert browser.value(unnamed) == 0
    assert browser.value("document.querySelector('#slider').labels.length") == 1
    assert "emboli 1" in browser.value("document.querySelector('#slice').getAttribute('aria-label')")
    reached = set()
    for _ in range(20):  # once round: the page has 15 controls, and browsers also stop at what scrolls
        browser.press("Tab")
        reached.add(browser.value("document.activeElement.id || document.activeElement.className"))
    assert {"overlay", "slice", "slider"} <= reached


def test_a_page_without_findings_opens(image: sitk.Image, opened: Opened) -> None:
    empty = find_emboli(np.zeros(image.GetSize()[::-1], np.float32), (2, 1.5, 1.5))
    browser = opened(CaseResult("quiet", image, empty))
    browser.press("n")
    drawn(browser, 12)
    assert browser.complaints == []
    assert orange(browser) == 0


def cohort(folder: Path) -> Path:
    written = [
        CaseSummary("b", 0.4, 0, 0.0, 9.0, ("PE-IN-004 warning: <b>",)),
        CaseSummary("a", 0.97, 3, 1234.0, 41.0),
        CaseSummary("c_2", 0.6, 1, 80.0, 100.0),
    ]
    (folder / "a_report.html").write_text("<!doctype html><title>a</title>", encoding="utf-8")
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    return write_cohort_report(written, [CaseFailure("d", "PE-IN-003", "d.nii.gz is truncated")], OutputFolder(folder))


def test_the_cohorts_page_links_what_is_there(tmp_path: Path) -> None:
    page = Page(text := cohort(tmp_path).read_text(encoding="utf-8"))
    assert [a["href"] for tag, a in page.elements if tag == "a"] == ["a_report.html"]
    assert [a["src"] for tag, a in page.elements if tag == "img"] == ["a.png"]
    assert "3 scans, 2 with emboli, 1 failed" in text
    assert "d: PE-IN-003: d.nii.gz is truncated" in text
    assert "<b>" not in text
    assert text.index(">a</a>") < text.index("c_2") < text.index('data-value="0.4"')


def test_the_cohorts_table_is_sorted_by_its_headings(browser: Any, tmp_path: Path) -> None:
    browser.open(cohort(tmp_path))
    assert browser.complaints == []
    assert all(address.startswith(tmp_path.as_uri()) for address in browser.asked)

    def names() -> list[str]:
        return browser.value("[...document.querySelectorAll('tbody tr')].map((r) => r.cells[1].textContent)")

    assert names() == ["a", "c_2", "b"]
    browser.mouse("thead th:nth-child(6) button")
    assert names() == ["c_2", "a", "b"]
    browser.mouse("thead th:nth-child(6) button")
    assert names() == ["b", "a", "c_2"]
    assert browser.value("document.querySelector('[aria-sort]').getAttribute('aria-sort')") == "ascending"
    browser.mouse("thead th:nth-child(2) button")
    assert names() == ["c_2", "b", "a"]
    ratio, where = browser.value(CONTRAST)
    assert ratio >= 4.5, where
