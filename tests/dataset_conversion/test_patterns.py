from __future__ import annotations

from pathlib import Path

import pytest

from pe_nnunet.dataset_conversion.patterns import MaskLookup, case_texts, match_cases
from pe_nnunet.errors import ConfigurationError, InputError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("files", "case", "found"),
    [
        (["a.nii.gz", "b.nii.gz"], "a", "a.nii.gz"),
        (["a.nrrd"], "a", "a.nrrd"),
        (["A B.mha"], "A-B", "A B.mha"),  # the case id is the cleaned name
        (["a/whatever.nii.gz"], "a", "a/whatever.nii.gz"),
        (["a/b.nii"], "a_b", "a/b.nii"),  # the path below the folder, as find_scans names cases
        (["a.nii.gz", "a/other.nii.gz"], "a", "a.nii.gz"),  # the file itself before the folder
        (["a.txt", "a.csv"], "a", None),
        (["aa.nii.gz"], "a", None),
    ],
)
def test_masks_in_a_folder(tmp_path: Path, files: list[str], case: str, found: str | None) -> None:
    lookup = MaskLookup(str(touch(tmp_path, *files)), "embolus label")
    assert lookup.find(case) == (None if found is None else tmp_path / found)


@pytest.mark.parametrize(
    ("pattern", "files", "case", "found"),
    [
        ("{case}RefStd.nrrd", ["001RefStd.nrrd", "0001RefStd.nrrd"], "001", "001RefStd.nrrd"),
        ("*{case}RefStd.nrrd", ["0001RefStd.nrrd"], "001", "0001RefStd.nrrd"),
        ("{case}/label/{case}.*", ["P1/label/P1.nii.gz", "P2/label/P2.nii.gz"], "P1", "P1/label/P1.nii.gz"),
        ("**/{case}.mha", ["x/y/c.mha"], "c", "x/y/c.mha"),
        ("{case}.nii.gz", ["c.nii.gz"], "d", None),
        ("set [1]/{case}.nii.gz", ["set [1]/c.nii.gz"], "c", "set [1]/c.nii.gz"),
    ],
)
def test_masks_by_pattern(tmp_path: Path, pattern: str, files: list[str], case: str, found: str | None) -> None:
    touch(tmp_path, *files)
    lookup = MaskLookup(f"{tmp_path}/{pattern}", "embolus label")
    assert lookup.find(case) == (None if found is None else tmp_path / found)


def test_masks_by_pattern_have_the_text_of_the_scan_and_not_the_case_id(tmp_path: Path) -> None:
    touch(tmp_path, "patient 7/ct.nrrd", "patient 7/clot.nrrd", "patient-7/clot.nrrd", "[x]/ct.nrrd", "x/clot.nrrd")
    scans = f"{tmp_path}/{{case}}/ct.nrrd"
    texts = case_texts(scans, match_cases(scans))
    assert texts == {"patient-7": "patient 7", "x": "[x]"}
    lookup = MaskLookup(f"{tmp_path}/{{case}}/clot.nrrd", "embolus label", texts=texts)
    assert [lookup.find(case) for case in texts] == [None, tmp_path / "patient 7/clot.nrrd"]


@pytest.mark.parametrize("where", ["", "/**/{case}.n*"])
def test_all_masks_are_listed_once(tmp_path: Path, where: str) -> None:
    touch(tmp_path, "a.nii.gz", "b/c.nrrd", "notes.txt")
    lookup = MaskLookup(f"{tmp_path}{where}", "embolus label")
    assert lookup.files() == {tmp_path / "a.nii.gz", tmp_path / "b/c.nrrd"}


@pytest.mark.parametrize("where", ["", "/{case}*"])
def test_two_candidates_are_refused(tmp_path: Path, where: str) -> None:
    touch(tmp_path, "a.nii.gz", "a.nrrd")
    with pytest.raises(InputError, match=r"PE-CONV-006: 2 files .* a\.nii\.gz, a\.nrrd"):
        MaskLookup(f"{tmp_path}{where}", "embolus label").find("a")


def test_two_masks_in_the_folder_of_a_case_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a/emboli.nii.gz", "a/lungs.nii.gz")
    with pytest.raises(InputError, match="PE-CONV-006"):
        MaskLookup(str(tmp_path), "embolus label").find("a")


def test_a_missing_folder_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"PE-IN-002.*\{case\}"):
        MaskLookup(str(tmp_path / "nowhere"), "embolus label")


def test_cases_by_pattern(tmp_path: Path) -> None:
    touch(tmp_path, "P 1/image/P 1.nii.gz", "P2/image/P2.nii.gz", "P3/image/other.nii.gz", "P2/label/P2.nii.gz")
    found = match_cases(f"{tmp_path}/{{case}}/image/{{case}}.nii.gz")
    assert {case: path.name for case, path in found.items()} == {"P-1": "P 1.nii.gz", "P2": "P2.nii.gz"}


def test_nnunet_names_lose_their_channel(tmp_path: Path) -> None:
    touch(tmp_path, "x_0000.nii.gz", "y_0000.nii.gz")
    assert set(match_cases(f"{tmp_path}/{{case}}.nii.gz")) == {"x", "y"}


def test_a_pattern_that_names_one_case_twice_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.nii.gz", "a/2.nii.gz")
    with pytest.raises(InputError, match="PE-IN-004"):
        match_cases(f"{tmp_path}/{{case}}/*.nii.gz")


def test_a_pattern_that_matches_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="PE-IN-001"):
        match_cases(f"{tmp_path}/{{case}}.nii.gz")
