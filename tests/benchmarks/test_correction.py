"""The scans of the simulation of corrections: apart by what they are for, the same for the same seed."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.scripts import load_script

correction = load_script("correction.py")


def test_scans_are_kept_apart(tmp_path: Path) -> None:
    for k in range(12):
        folder = tmp_path / "rendered" / f"cadpe_{k:03d}"
        folder.mkdir(parents=True)
        for role in correction.FOLDERS:
            (folder / f"{role}.nii.gz").write_bytes(b"")
    found = [correction.link_scans([tmp_path / "rendered"], ["01?", "000"], tmp_path / w, 5, 2, 0) for w in "ab"]
    assert found[0] == found[1]
    labelled, pool, test = (found[0][part] for part in ("labelled", "pool", "test"))
    assert (len(labelled), len(pool), test) == (2, 5, ["cadpe_000", "cadpe_010"])
    assert not {"cadpe_000", "cadpe_010", "cadpe_011"} & {*labelled, *pool}
    assert sorted(path.name[:-7] for path in (tmp_path / "a" / "pool" / "arteries").iterdir()) == sorted(pool)


def test_the_table() -> None:
    row = {"way": "next", "corrected": 4, "emboli": 9, "found": 3, "false_positives_per_scan": 1.5, "dice": 0.5}
    assert correction.table([{**row, "froc": 0.25}])[-1] == "| 4 | next | 3 of 9 | 1.50 | 0.50 | 0.25 |"
