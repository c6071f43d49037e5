"""Which series of a study is taken, and what is said of it."""

from __future__ import annotations

import pytest

from pe_nnunet.errors import InputError
from pe_nnunet.serving.choose_ctpa import choose_ctpa
from tests.serving.conftest import write_study

CTPA = {"ContrastBolusAgent": "Ultravist 370", "ConvolutionKernel": "B30f", "SliceThickness": "1"}


def chosen(tmp_path, *series):
    for number, headers in enumerate(series):
        write_study(tmp_path / str(number), 1, SeriesInstanceUID=f"1.2.{number}", **headers)
    return choose_ctpa(sorted(tmp_path.rglob("*.dcm")))


@pytest.mark.parametrize(
    "worse",
    [
        {"ContrastBolusAgent": ""},
        {"ContrastBolusAgent": "without contrast"},
        {"ContrastBolusAgent": "nativ"},
        {"ConvolutionKernel": "B70f"},
        {"SliceThickness": "5"},
        {"slices": 7},
        {"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "MIP"]},
        {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    ],
    ids=str,
)
def test_the_better_of_two_is_taken_whichever_comes_first(tmp_path, worse) -> None:
    assert chosen(tmp_path / "a", CTPA, CTPA | worse)[0] == "1.2.0"
    assert chosen(tmp_path / "b", CTPA | worse, CTPA)[0] == "1.2.1"


def test_the_description_tells_the_pulmonary_arteries_from_others_and_is_not_repeated(tmp_path) -> None:
    uid, reason = chosen(
        tmp_path, {**CTPA, "SeriesDescription": "Aorta Erika"}, {**CTPA, "SeriesDescription": "Pulm. Angio Erika"}
    )
    assert uid == "1.2.1"
    assert reason == (
        "of 2 axial series the one with contrast, soft kernel, 1 mm, 8 slices, description names pulmonary arteries; "
        "next: contrast, soft kernel, 1 mm, 8 slices"
    )


def test_nothing_that_could_be_one(tmp_path) -> None:
    with pytest.raises(InputError, match="PE-SRV-011: none of 1 CT series"):
        chosen(tmp_path, CTPA | {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]})
