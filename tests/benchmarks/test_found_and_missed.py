"""Which emboli count as found, what is measured of them, and that both kinds are drawn."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from tests.benchmarks.scripts import FOLDER, load_script

SPACING_MM = (2.0, 2.0, 2.0)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return load_script("found_and_missed.py")


def write(array: np.ndarray, path: Path) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING_MM)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


@pytest.fixture
def cohort(tmp_path: Path) -> tuple[Path, Path]:
    """A scan with an artery of 10 mm, a large embolus that is found, a small one that is not, and a false finding."""
    shape = (20, 40, 40)
    ct, emboli, artery = np.full(shape, -800, np.int16), np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    artery[2:18, 10:15, 10:15] = 1
    ct[artery > 0] = 300
    emboli[4:8, 10:15, 10:15] = 1
    emboli[14:16, 12, 12] = 2
    ct[emboli > 0] = 60
    probability = np.where(emboli == 1, 0.9, 0.1).astype(np.float32)
    probability[10:14, 30:34, 30:34] = 0.7
    write(ct, tmp_path / "studies" / "a" / "ct.nii.gz")
    write(emboli, tmp_path / "studies" / "a" / "emboli.nii.gz")
    write(artery, tmp_path / "studies" / "a" / "artery.nii.gz")
    write(probability, tmp_path / "predictions" / "a_probability.nii.gz")
    return tmp_path / "predictions", tmp_path / "studies"


def test_found_and_missed_are_told_apart_measured_and_drawn(
    script: ModuleType, cohort: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, studies = cohort
    picture = predictions / "picture.png"
    given = ["--predictions", str(predictions), "--studies", str(studies), "--point", "0.5", "50"]
    monkeypatch.setattr("sys.argv", ["found_and_missed.py", *given, "--plot", str(picture)])
    script.main()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["median of", "found (1)", "missed (1)", "found, under 1 ml (1)", "missed, under 1 ml (1)"]
    numbers = {row[0]: row[1:3] for row in rows[2:]}
    assert numbers["volume, ml"] == ["0.8", "0.016"]
    assert numbers["mean HU"] == ["60", "60"]
    assert numbers["darker than that by, HU"] == ["240", "240"]
    assert numbers["width of the artery, mm"] == ["12", "12"]  # of the middle of five voxels to the nearest outside
    assert numbers["highest probability"] == ["0.9", "0.1"]
    assert Image.open(picture).size[0] > 1000


def test_a_score_that_more_than_two_false_findings_a_scan_reach_finds_nothing(script: ModuleType) -> None:
    def embolus(score: float | None) -> object:
        return script.Embolus("a", score, 1.0, 0.0, None, 2.0, 0.5, ())

    from pe_nnunet.metrics.froc import ScanHits

    emboli = [embolus(0.9), embolus(0.6), embolus(0.5), embolus(None)]
    hits = [ScanHits("a", (0.9, 0.6, 0.5, None), (0.8, 0.7, 0.6))]
    found, missed = script.parted(emboli, hits)
    assert ([e.score for e in found], [e.score for e in missed]) == ([0.9], [0.6, 0.5, None])
    assert script.parted(emboli, [ScanHits("a", (), (0.8, 0.7))])[1] == [emboli[3]]
