"""Scans whose findings are in doubt come first, with the reason in words; labelled ones are left out."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from pe_nnunet.cli import main
from tests.correction.conftest import Predict

SURE, NEAR, SPLIT = (np.s_[23:26, 30:33, x : x + 3] for x in (18, 45, 30))


def test_near_the_threshold_and_disagreeing(
    dataset: Path, predict: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict("a", (NEAR, 0.5, 0.5))  # labelled
    predict("new", (SURE, 0.99, 1.0), (NEAR, 0.4, 0.0), (SPLIT, 0.95, 0.5))
    out = tmp_path / "out"
    for case, text in (("sure", "0.97"), ("near", "0.45")):  # the same with other findings: their tables alone count
        manifest = json.loads((out / "new.json").read_text())
        manifest |= {"case": case, "source": {"sha256": case}}
        (out / f"{case}.json").write_text(json.dumps(manifest))
        (out / f"{case}_emboli.csv").write_text(f"id,x,y,z,prob,kept\n1,0,0,0,{text},{int(case == 'sure')}\n")
    files = ("--csv", tmp_path / "next.csv", "--json", tmp_path / "next.json")
    assert main(["next", "-d", "501", "-i", str(out), "-n", "2", *map(str, files)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "new: 1.80: the networks disagree on 1 finding (embolus 2: 2 of 4); "
        "1 finding near the threshold of 0.5 (candidate 3 at 0.40)"
    )
    assert lines[1] == "near: 0.90: 1 finding near the threshold of 0.5 (candidate 1 at 0.45)"
    assert len(lines) == 3
    rows = json.loads((tmp_path / "next.json").read_text())
    assert [row["case"] for row in rows] == ["new", "near", "sure"]
    assert rows[2]["reason"] == "nothing in doubt: 1 emboli, highest probability 0.97"
    with (tmp_path / "next.csv").open() as file:
        assert [row["in_doubt"] for row in csv.DictReader(file)] == ["2", "1", "0"]


def test_nothing_to_list(dataset: Path, predict: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predict("b")
    for path in (tmp_path / "out").glob("b*"):  # the same scan under another name
        path.rename(path.with_name(path.name.replace("b", "other", 1)))
    manifest = tmp_path / "out" / "other.json"
    manifest.write_text(manifest.read_text().replace('"case": "b"', '"case": "other"'))
    for folder in (tmp_path / "out", dataset):
        assert main(["next", "-d", "501", "-i", str(folder)]) == 2
        assert "PE-COR-007" in capsys.readouterr().err


@pytest.mark.parametrize("x", ["9999", "-9999"])
def test_a_place_outside_the_scan_stops_no_other(
    dataset: Path, predict: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str], x: str
) -> None:
    predict("new", (NEAR, 0.5, 0.5))
    out = tmp_path / "out"
    (out / "other.json").write_text((out / "new.json").read_text().replace('"case": "new"', '"case": "other"'))
    (out / "other_emboli.csv").write_text("id,x,y,z,prob\n")
    (out / "new_emboli.csv").write_text(f"id,x,y,z,prob\n1,{x},0,0,0.5\n")
    assert main(["next", "-d", "501", "-i", str(out)]) == 3
    said = capsys.readouterr()
    assert said.out.startswith("other: 0.00")
    assert said.err.startswith("new: PE-OUT-011: ")
    (out / "other.json").unlink()
    assert main(["next", "-d", "501", "-i", str(out), "--csv", str(tmp_path / "next.csv")]) == 2
