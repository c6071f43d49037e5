"""Reading ahead gives every file once, in order, and its errors in their turn."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pe_nnunet.volumes.dicom.series import read_ahead


def written(folder: Path, count: int) -> list[Path]:
    files = [folder / str(k) for k in range(count)]
    for k, file in enumerate(files):
        file.write_bytes(bytes([k]) * 10)
    return files


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_contents_in_order(tmp_path: Path, count: int) -> None:
    noted: list[bytes] = []
    contents = list(read_ahead(written(tmp_path, count), noted.append))
    assert contents == noted == [bytes([k]) * 10 for k in range(count)]


def test_at_most_one_file_ahead_and_no_thread_left(tmp_path: Path) -> None:
    noted: list[bytes] = []
    for k, _ in enumerate(read_ahead(written(tmp_path, 6), noted.append)):
        assert len(noted) <= k + 2
    reading = read_ahead(written(tmp_path, 6), noted.append)
    next(reading)
    reading.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_an_error_comes_when_its_file_does(tmp_path: Path) -> None:
    files = written(tmp_path, 4)
    files[2].unlink()
    reading = read_ahead(files, lambda content: None)
    assert [next(reading)[0], next(reading)[0]] == [0, 1]
    with pytest.raises(FileNotFoundError):
        next(reading)
