from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from pe_nnunet.dataset.records import CaseRecord
from pe_nnunet.dataset_conversion import prepare as prepare_module
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions, LabelKind
from pe_nnunet.dataset_conversion.prepare import prepare, restore
from pe_nnunet.dataset_conversion.sources import CaseSource, CaseVolumes
from pe_nnunet.errors import InputError
from pe_nnunet.roi import Roi
from pe_nnunet.volumes import ScanRef, to_lps
from pe_nnunet.voxels import Box

Volumes = Callable[..., CaseVolumes]


class Prepared(NamedTuple):
    images: dict[str, sitk.Image]
    record: CaseRecord


def run(
    ct: sitk.Image,
    emboli: sitk.Image | None,
    artery: sitk.Image | None = None,
    *,
    label_kind: LabelKind = "instances",
    options: ConvertOptions | None = None,
) -> Prepared:
    source = CaseSource("a", ScanRef("a", "file", Path("a.nii"), ()), "a.nii", None, None, label_kind)
    volumes = CaseVolumes(ct, emboli, artery, "a", {"image": "0"}, ())
    return Prepared(*prepare("nifti", source, volumes, options or ConvertOptions()))


def codes(case: Prepared) -> list[str]:
    return [note.code for note in case.record.notes]


def array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def test_the_crop_holds_the_lungs_with_their_margin_and_little_else(thorax) -> None:
    case = run(thorax.ct, thorax.emboli)
    hu = array(thorax.ct)
    lungs = Box.around(np.abs(hu + 850) < 60)
    assert lungs is not None
    tight, box = lungs, case.record.box
    margin = [abs(a - b) for a, b in zip(tight.start + tight.stop, box.start + box.stop, strict=True)]
    assert all(2 <= voxels <= 4 for voxels in margin), (tight, box)  # 10 mm are 3 voxels of 4 mm
    assert np.array_equal(array(case.images["image"]), hu[box.slices])


def test_every_image_is_on_the_grid_of_the_crop(thorax) -> None:
    case = run(thorax.ct, thorax.emboli, thorax.artery)
    assert set(case.images) == {"image", "label", "instances", "lungs", "artery"}
    grids = {(i.GetSize(), i.GetOrigin(), i.GetSpacing(), i.GetDirection()) for i in case.images.values()}
    assert len(grids) == 1
    start = case.record.box.start[::-1]
    assert grids.pop()[1] == pytest.approx(thorax.ct.TransformIndexToPhysicalPoint([int(n) for n in start]))


def test_the_record_counts_what_was_drawn(thorax) -> None:
    record = run(thorax.ct, thorax.emboli).record
    whole, inside = thorax.ct.GetNumberOfPixels(), record.box.voxels
    assert record.embolus_mm3 == {1: 27 * 64.0, 2: 27 * 64.0}
    assert record.embolus_voxels == 54
    assert record.target_ratio_before == 54 / whole
    assert record.target_ratio_after == 54 / inside
    assert record.target_ratio_factor == pytest.approx(record.target_ratio_after / record.target_ratio_before)
    assert record.target_ratio_factor > 2
    assert record.embolus_target_ratio == {n: pytest.approx((27 / whole, 27 / inside)) for n in (1, 2)}
    assert record.to_json()["embolus_target_ratio"]["1"] == pytest.approx([27 / whole, 27 / inside])
    assert record.ids_from == "source"
    assert record.lungs_found
    assert record.geometry.orientation == "LPS"
    assert CaseRecord.from_json(record.to_json()) == record


def test_components_are_counted_where_the_label_is_binary(thorax) -> None:
    binary = thorax.emboli > 0
    for kind, expected in (("auto", 2), ("binary", 2), ("instances", 1)):
        assert run(thorax.ct, binary, label_kind=kind).record.embolus_count == expected  # type: ignore[arg-type]


def test_a_case_without_emboli(thorax) -> None:
    for emboli in (None, thorax.emboli * 0):
        case = run(thorax.ct, emboli)
        assert not array(case.images["label"]).any()
        assert case.record.embolus_mm3 == {}
        assert case.record.target_ratio_after == 0
        assert case.record.target_ratio_factor > 2


def test_artery_scheme(thorax) -> None:
    case = run(thorax.ct, thorax.emboli, thorax.artery, options=ConvertOptions(scheme="artery-pe"))
    label, box = array(case.images["label"]), case.record.box
    assert np.array_equal(label == 2, array(thorax.emboli)[box.slices] > 0)
    assert np.array_equal(label > 0, (array(thorax.artery) | (array(thorax.emboli) > 0))[box.slices] > 0)


def test_an_embolus_outside_the_box_grows_it(thorax) -> None:
    ids = array(thorax.emboli)
    ids[1:3, 2:4, 60:62] = 9
    far = sitk.GetImageFromArray(ids)
    far.CopyInformation(thorax.ct)
    case = run(thorax.ct, far)
    assert "PE-CONV-014" in codes(case)
    assert case.record.embolus_mm3[9] == 8 * 64
    assert case.record.embolus_voxels == 62


def test_arteries_outside_the_box_are_cut_and_said(thorax) -> None:
    mask = array(thorax.artery)
    mask[0, 0, 0] = 1
    artery = sitk.GetImageFromArray(mask)
    artery.CopyInformation(thorax.ct)
    case = run(thorax.ct, thorax.emboli, artery)
    assert "PE-CONV-015" in codes(case)
    assert case.record.box == run(thorax.ct, thorax.emboli).record.box


def test_a_label_that_lies_on_contrast_is_noted(thorax) -> None:
    assert "PE-CONV-016" not in codes(run(thorax.ct, thorax.emboli))
    assert "PE-CONV-016" in codes(run(thorax.ct, thorax.artery))


def test_small_emboli_are_kept_and_noted(thorax) -> None:
    case = run(thorax.ct, thorax.emboli, options=ConvertOptions(warn_below_mm3=2000))
    assert "PE-CONV-017" in codes(case)
    assert case.record.embolus_count == 2


def test_no_lungs(draw) -> None:
    abdomen = draw(1, lungs=False)
    with pytest.raises(InputError, match="PE-ROI-001"):
        run(abdomen.ct, abdomen.emboli)
    case = run(abdomen.ct, abdomen.emboli, options=ConvertOptions(on_no_lungs="full-volume"))
    assert case.record.box == Box.whole((48, 64, 64))
    assert not case.record.lungs_found
    assert "lungs" not in case.images


@pytest.mark.parametrize("code", ["RAS", "LPI", "PSL", "IRP", "ASR"])
def test_orientation_does_not_change_what_is_written(thorax, code: str) -> None:
    expected = run(thorax.ct, thorax.emboli)
    turned = thorax.moved(lambda image: sitk.DICOMOrient(image, code))
    case = run(turned.ct, turned.emboli)
    assert case.record.geometry.orientation == code
    assert case.record.box == expected.record.box
    for role in ("image", "instances"):
        assert np.array_equal(array(case.images[role]), array(expected.images[role]))
        assert case.images[role].GetOrigin() == pytest.approx(expected.images[role].GetOrigin())


ORDERS = list(itertools.permutations(range(3)))


@given(
    size=st.tuples(*[st.integers(3, 9)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 5.0)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    angles=st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    order=st.sampled_from(ORDERS),
    flips=st.tuples(*[st.booleans()] * 3),
    data=st.data(),
)
@settings(deadline=None, max_examples=60)
def test_converting_back_gives_the_source_grid_and_voxels(size, spacing, origin, angles, order, flips, data) -> None:
    image = sitk.GetImageFromArray(np.arange(np.prod(size), dtype=np.int16).reshape(size))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(sitk.Euler3DTransform((0, 0, 0), *angles).GetMatrix())
    image = sitk.Flip(sitk.PermuteAxes(image, order), flips)
    shape = to_lps(image).GetSize()[::-1]
    start = [data.draw(st.integers(0, n - 1)) for n in shape]
    stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True)]
    box = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare_module, "find_roi", lambda *_, **__: Roi(box, None, ()))
        case = run(image, None)
    record = CaseRecord.from_json(case.record.to_json())
    back = restore(case.images["image"], record, fill=-1)

    assert back.GetSize() == image.GetSize()
    assert (back.GetSpacing(), back.GetOrigin(), back.GetDirection()) == (
        image.GetSpacing(),
        image.GetOrigin(),
        image.GetDirection(),
    )
    kept = array(back) >= 0
    assert kept.sum() == box.voxels
    assert np.array_equal(array(back)[kept], array(image)[kept])
