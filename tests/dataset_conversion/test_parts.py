"""Job arrays: parts convert side by side, and one run more makes the same dataset as a run alone would."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pe_nnunet.cli import main
from pe_nnunet.dataset_conversion import ConversionReport, ConvertOptions, convert
from pe_nnunet.dataset_conversion.convert_dataset import Outcome
from pe_nnunet.dataset_conversion.staging import staged
from pe_nnunet.errors import ConfigurationError

MAIN = "import sys; from pe_nnunet.cli import main; sys.exit(main(sys.argv[1:]))"


def converted(src: Path, **settings: Any) -> ConversionReport:
    return convert("studies", src, 501, "PE", ConvertOptions(**settings))


def bytes_of(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_parts_and_a_last_run_give_the_bytes_of_one_run(studies: Path, nnunet: Path) -> None:
    converted(studies)
    expected = bytes_of(nnunet / "Dataset501_PE")
    (nnunet / "Dataset501_PE").rename(nnunet / "aside")
    command = ["convert", "studies", str(studies), "-d", "501", "--num-parts", "2", "--part-id"]
    with subprocess.Popen([sys.executable, "-c", MAIN, *command, "0"], stdout=subprocess.PIPE, text=True) as other:
        assert main([*command, "1"]) == 0
        said, _ = other.communicate(timeout=300)
    assert other.returncode == 0
    assert "part 0 of 2: 3 cases done, 0 failed" in said
    assert not (nnunet / "Dataset501_PE").exists()
    assert converted(studies, resume=True).reused == {f"case_{k}" for k in range(6)}
    assert bytes_of(nnunet / "Dataset501_PE") == expected
    assert sorted(path.name for path in nnunet.iterdir()) == ["Dataset501_PE", "aside"]


def test_the_last_run_makes_up_for_a_part_that_is_missing(studies: Path, nnunet: Path) -> None:
    first = converted(studies, num_parts=2, part_id=0)
    assert list(first.cases) == ["case_0", "case_2", "case_4"]
    assert first.dataset_folder is None
    with pytest.raises(ConfigurationError, match=r"PE-CONV-002.*unfinished.*--resume"):
        converted(studies)
    assert converted(studies, resume=True).reused == {"case_0", "case_2", "case_4"}


def test_more_parts_than_cases_leave_some_idle(studies: Path, nnunet: Path) -> None:
    assert main(["convert", "studies", str(studies), "-d", "501", "--num-parts", "9", "--part-id", "8"]) == 0


def test_the_same_part_twice_or_a_whole_run_beside_parts_is_refused(studies: Path, nnunet: Path) -> None:
    met = []

    def progress(_outcome: Outcome, _done: int, _total: int) -> None:
        for settings in ({"num_parts": 9, "part_id": 1}, {"resume": True}):
            with pytest.raises(ConfigurationError, match="PE-CONV-011"):
                converted(studies, **settings)
        with staged(nnunet / "Dataset501_PE", resume=False, overwrite=False, part_id=0):
            met.append("another part")

    convert("studies", studies, 501, "PE", ConvertOptions(num_parts=9, part_id=1), progress=progress)
    assert met == ["another part"]


def test_parts_of_a_dataset_that_is_there_go_on_with_resume_alone(studies: Path, nnunet: Path) -> None:
    converted(studies)
    with pytest.raises(ConfigurationError, match="PE-CONV-002"):
        converted(studies, num_parts=2, part_id=0)
    assert len(converted(studies, num_parts=2, part_id=0, resume=True).reused) == 3
    assert len(converted(studies, resume=True).reused) == 6


@pytest.mark.parametrize(
    "settings",
    [
        {"num_parts": 0, "part_id": 0},
        {"num_parts": 3},
        {"num_parts": 3, "part_id": 3},
        {"num_parts": 3, "part_id": -1},
        {"num_parts": 2, "part_id": 0, "overwrite": True},
    ],
)
def test_parts_that_cannot_be(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="PE-CONV-004"):
        ConvertOptions(**settings)
