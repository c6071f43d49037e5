"""The pictures of a conversion: what they show, and the page that leads through them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from PIL import Image

from pe_nnunet.dataset_conversion import ConvertOptions, convert
from pe_nnunet.dataset_conversion.contact_sheet import EMBOLUS, LUNG, PAGE, TILE, draw_sheet, write_sheets_page
from pe_nnunet.errors import Note
from pe_nnunet.roi import find_lungs


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (picture == colour).all(axis=2)


def test_every_embolus_has_a_slice_and_lungs_an_outline(draw: Any) -> None:
    thorax = draw(4)
    picture = np.asarray(draw_sheet(thorax.ct, thorax.emboli, find_lungs(thorax.ct).mask))
    assert picture.shape == (3 * TILE, 4 * TILE, 3)
    tiles = [picture[y : y + TILE, x : x + TILE] for y in range(0, 3 * TILE, TILE) for x in range(0, 4 * TILE, TILE)]
    assert sum(has(tile, EMBOLUS).any() for tile in tiles) >= 2, "their slice, and the coronal one"
    assert has(tiles[-1], EMBOLUS).any()
    assert sum(has(tile, LUNG).any() for tile in tiles) >= 8


def test_a_scan_without_emboli_or_lungs(draw: Any) -> None:
    thorax = draw(0, lungs=False)
    picture = np.asarray(draw_sheet(thorax.ct, thorax.emboli, None))
    assert not has(picture, EMBOLUS).any()
    assert len(np.unique(picture)) > 50


def test_anisotropic_voxels_keep_their_proportions(draw: Any) -> None:
    thorax = draw(1)
    flat = sitk.Image(thorax.ct)
    flat.SetSpacing((4.0, 2.0, 4.0))
    ids = sitk.Image(thorax.emboli)
    ids.CopyInformation(flat)
    first = np.asarray(draw_sheet(flat, ids, None))[:TILE, TILE // 2 : TILE]  # beside the caption
    rows = np.flatnonzero((first != (16, 18, 20)).all(axis=2).any(axis=1))
    assert abs(np.ptp(rows) - TILE / 2) < 12


def test_a_conversion_makes_sheets_flagged_cases_first(studies: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    report = convert("studies", studies, 501, "PE", ConvertOptions())
    folder = report.dataset_folder
    assert folder is not None
    assert {path.stem for path in (folder / "pe_nnunet" / "sheets").iterdir()} == set(report.cases)
    for case in report.cases:
        assert Image.open(folder / "pe_nnunet" / "sheets" / f"{case}.png").size == (4 * TILE, 3 * TILE)
        assert f"sheets/{case}.png" in (folder / "pe_nnunet" / "report.csv").read_text()
    last = sorted(report.cases)[-1]
    warned = tuple(Note("PE-CONV-016", "warning", "<look> & see") for _ in range(9))
    records = {**report.cases, last: replace(report.cases[last], notes=warned)}
    write_sheets_page(folder, records, title="Dataset501_PE")
    page = (folder / PAGE).read_text()
    assert re.findall(r"<h2>(.*?)</h2>", page)[0] == last
    assert "&lt;look&gt; &amp; see" in page
    assert all(f'src="sheets/{case}.png"' in page for case in report.cases)
    assert 'href="report.csv"' in page
