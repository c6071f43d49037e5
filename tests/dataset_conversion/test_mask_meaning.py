"""Masks of another nnU-Net dataset: its dataset.json says which values are emboli, and nothing else becomes one."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.cli import main
from pe_nnunet.dataset.raw import load_cases
from pe_nnunet.volumes import write_image

ARTERY_PE = {"background": 0, "artery": 1, "PE": 2}
WITH_IGNORE = {"background": 0, "PE": 1, "ignore": 2}
SEVERAL = {"background": 0, "artery": 1, "PE": [2, 3]}


@pytest.fixture
def convert(nnunet, tmp_path, draw, capsys):
    """Converts one scan whose mask has an artery of value 1 and emboli 1, 2 of other values, beside a dataset.json."""

    def run(labels, emboli, *more, artery=0, folder="labelsTr"):
        drawn, place = draw(2), tmp_path / "other" / folder
        ids, vessel = (sitk.GetArrayFromImage(image) for image in (drawn.emboli, drawn.artery))
        mask = np.where((vessel > 0) & (ids == 0), artery, np.array([0, *emboli])[ids]).astype(np.uint8)
        image = sitk.GetImageFromArray(mask)
        image.CopyInformation(drawn.ct)
        write_image(drawn.ct, tmp_path / "scans" / "a.nii.gz")
        write_image(image, place / "a.nii.gz")
        if labels is not None:
            (tmp_path / "other" / "dataset.json").write_text(json.dumps({"labels": labels}))
        code = main(["convert", "nifti", str(tmp_path / "scans"), "-d", "501", "--labels", str(place), *more])
        cases = load_cases(nnunet / "Dataset501_PE") if code == 0 else {}
        return code, cases.get("a"), capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("labels", "emboli", "artery"),
    [(ARTERY_PE, (2, 2), 1), (SEVERAL, (2, 3), 1), ({"background": 0, "artery": [1, 2], "PE": 2}, (2, 2), 1)],
)
def test_the_emboli_are_those_of_dataset_json(convert, labels, emboli, artery):
    code, record, _ = convert(labels, emboli, artery=artery)
    assert code == 0
    assert record.embolus_count == 2  # 27 voxels each, see conftest.py
    assert record.embolus_voxels == 54
    assert record.ids_from == "components"
    assert "PE-CONV-042" in [note.code for note in record.notes]


@pytest.mark.parametrize("kind", [(), ("--label-kind", "binary"), ("--label-kind", "instances")])
def test_an_ignored_value_is_refused(convert, kind):
    code, _, said = convert(WITH_IGNORE, (1, 2), *kind)
    assert code == 2
    assert "PE-CONV-041" in said
    assert "--label-map" in said


def test_the_label_map_says_what_becomes_of_it(convert):
    code, record, _ = convert(WITH_IGNORE, (1, 2), "--label-map", "1=1")
    assert (code, record.embolus_voxels) == (0, 27)


@pytest.mark.parametrize(
    ("labels", "emboli"),
    [
        ({"background": 0, "defect": 1, "vein": 2}, (1, 2)),  # which is an embolus?
        ({"background": 0, "PE": 1}, (1, 2)),  # ids, or another class?
        ({"background": 0, "PE": "one"}, (1, 1)),
    ],
)
def test_values_of_unknown_meaning_are_refused(convert, labels, emboli):
    code, _, said = convert(labels, emboli)
    assert (code, "PE-CONV-041" in said) == (2, True)


def test_ids_stay_ids(convert, tmp_path):
    code, record, _ = convert({"background": 0, "PE": 1}, (1, 2), folder="pe_nnunet/instances")
    assert (code, record.embolus_count, record.ids_from) == (0, 2, "source")


def test_without_dataset_json_values_are_ids_and_a_plain_one_is_not_warned_of(convert):
    assert convert(None, (1, 2))[1].ids_from == "source"
    record = convert({"background": 0, "PE": 1}, (1, 1), "--overwrite")[1]
    assert (record.embolus_count, record.ids_from) == (2, "components")
    assert "PE-CONV-042" not in [note.code for note in record.notes]


def test_another_meaning_is_another_conversion(convert):
    first = convert(SEVERAL, (2, 3))[1]
    again = convert({"background": 0, "PE": 2, "vein": 3}, (2, 3), "--resume")[1]
    assert (first.embolus_count, again.embolus_count) == (2, 1)
