"""Hashes of training scans: of the image, of its source, kept by size and time."""

from __future__ import annotations

import gzip
import json
import os
from hashlib import sha256
from pathlib import Path

import pytest

from pe_nnunet.dataset import scan_hashes as module
from pe_nnunet.dataset.scan_hashes import CACHE, scan_hashes

NAME = "Dataset501_X"


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("raw", "preprocessed"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
        (tmp_path / name / NAME).mkdir(parents=True)
    folder = tmp_path / "raw" / NAME
    (folder / "imagesTr").mkdir()
    for case in ("a", "b"):
        (folder / "imagesTr" / f"{case}_0000.nii.gz").write_bytes(case.encode())
        (folder / "imagesTr" / f"{case}_0001.nii.gz").write_bytes(b"second channel")
    return folder


def test_of_images_and_their_sources(raw: Path) -> None:
    assert scan_hashes(NAME, ["b", "a", "gone"]) == {"a": (digest(b"a"),), "b": (digest(b"b"),), "gone": ()}
    (raw / "pe_nnunet").mkdir()
    sources = {"a": "1", "b": "2", "x": "2", "y": None}  # of the second come two cases
    cases = {case: {"sha256": {"image": source} if source else {}} for case, source in sources.items()}
    (raw / "pe_nnunet" / "cases.json").write_text(json.dumps({"cases": cases}))
    assert scan_hashes(NAME, ["a", "b", "y"]) == {"a": (digest(b"a"), "1"), "b": (digest(b"b"),), "y": ()}


def test_where_nnunet_looks_for_the_image(raw: Path) -> None:
    (raw / "imagesTr" / "c_0000.nrrd").write_bytes(b"c")
    (raw / "elsewhere.nrrd").write_bytes(b"d")
    listed = {"d": {"images": ["elsewhere.nrrd"], "label": "x"}}
    (raw / "dataset.json").write_text(json.dumps({"file_ending": ".nrrd", "labels": {}}))
    assert scan_hashes(NAME, ["c"]) == {"c": (digest(b"c"),)}
    (raw / "dataset.json").write_text(json.dumps({"file_ending": ".nrrd", "labels": {}, "dataset": listed}))
    assert scan_hashes(NAME, ["d"]) == {"d": (digest(b"d"),)}


def test_a_file_is_read_once_until_it_changes(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(module, "scan_sha256", lambda path: read.append(path.name) or (digest(path.read_bytes()),))
    image = raw / "imagesTr" / "a_0000.nii.gz"
    for _ in range(2):
        scan_hashes(NAME, ["a", "b"])
    assert sorted(read) == ["a_0000.nii.gz", "b_0000.nii.gz"]
    image.write_bytes(b"A")
    os.utime(image, ns=(1, 1))
    assert scan_hashes(NAME, ["a", "b"])["a"] == (digest(b"A"),)
    assert read[2:] == ["a_0000.nii.gz"]


def test_a_scan_that_is_compressed_again_is_known(raw: Path) -> None:
    images = [raw / "imagesTr" / f"{case}_0000.nii.gz" for case in "ab"]
    content = b"voxels" * 1000
    for image, level in zip(images, (1, 9), strict=True):
        image.write_bytes(gzip.compress(content, level))
    files = [digest(image.read_bytes()) for image in images]
    assert files[0] != files[1]
    for _ in range(2):  # the second is as it was kept
        assert scan_hashes(NAME, ["a", "b"]) == {
            "a": (files[0], digest(content)),
            "b": (files[1], digest(content)),
        }
    images[1].write_bytes(gzip.compress(content)[:-9])
    assert scan_hashes(NAME, ["b"])["b"] == (digest(images[1].read_bytes()),)
    images[1].write_bytes(b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 99)
    assert len(scan_hashes(NAME, ["b"])["b"]) == 1


def test_a_cache_of_files_alone_is_made_anew(raw: Path, tmp_path: Path) -> None:
    image = raw / "imagesTr" / "a_0000.nii.gz"
    image.write_bytes(gzip.compress(b"voxels"))
    stat = image.stat()
    cache = tmp_path / "preprocessed" / NAME / CACHE
    cache.write_text(json.dumps({"a": [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, "old"]}))
    assert scan_hashes(NAME, ["a"]) == {"a": (digest(image.read_bytes()), digest(b"voxels"))}


def test_files_that_change_places_are_noticed(raw: Path) -> None:
    """Of one size and one time, as they come from some archives."""
    first, second = (raw / "imagesTr" / f"{case}_0000.nii.gz" for case in "ab")
    for image in (first, second):
        os.utime(image, ns=(1, 1))
    before = scan_hashes(NAME, ["a", "b"])
    first.rename(raw / "x")
    second.rename(first)
    (raw / "x").rename(second)
    assert scan_hashes(NAME, ["a", "b"]) == {"a": before["b"], "b": before["a"]}


@pytest.mark.parametrize("text", ["", "[]", '{"a": 3, "b": null}', '{"a": [1], "b": {}}'])
def test_a_damaged_cache_is_written_anew(raw: Path, tmp_path: Path, text: str) -> None:
    cache = tmp_path / "preprocessed" / NAME / CACHE
    cache.write_text(text)
    for _ in range(2):
        assert scan_hashes(NAME, ["a", "b"]) == {"a": (digest(b"a"),), "b": (digest(b"b"),)}


def test_without_folders_nothing_is_known(monkeypatch: pytest.MonkeyPatch, raw: Path) -> None:
    monkeypatch.delenv("nnUNet_preprocessed")
    assert scan_hashes(NAME, ["a"]) == {"a": (digest(b"a"),)}
    monkeypatch.delenv("nnUNet_raw")
    assert scan_hashes(NAME, ["a"]) == {"a": ()}


@pytest.mark.parametrize("cases", [[], {"a": 3}, {"a": {"sha256": ["1"]}}, {"a": {"sha256": {"image": ["1"]}}}])
def test_records_of_another_layout_say_nothing_of_sources(raw: Path, cases: object) -> None:
    (raw / "pe_nnunet").mkdir()
    (raw / "pe_nnunet" / "cases.json").write_text(json.dumps({"cases": cases}))
    assert scan_hashes(NAME, ["a"]) == {"a": (digest(b"a"),)}


@pytest.mark.parametrize("listed", [7, ["a"], {"a": 3}, {"a": {"image": "x"}}, {"a": {"images": []}}])
def test_a_dataset_json_of_another_layout_says_nothing_of_images(raw: Path, listed: object) -> None:
    (raw / "dataset.json").write_text(json.dumps({"dataset": listed}))
    assert scan_hashes(NAME, ["a"]) == {"a": ()}
