"""What models say of a scan: kept as a part in half precision, it counts as the whole does."""

import numpy as np
import pytest

from pe_nnunet.calibration.counts import Grid, LabelledScan, count_boxes, count_findings
from pe_nnunet.calibration.cross_validation import compare, elsewhere, estimate, numbered_patients
from pe_nnunet.calibration.member_maps import MemberMaps, MixedScans
from pe_nnunet.detection import SliceBox, Tube
from pe_nnunet.errors import GeometryError, InputError
from pe_nnunet.fusion import FusionSettings
from pe_nnunet.voxels import Box


def labelled(maps, **more):
    truth = np.zeros((12, 20, 30), np.uint8)
    truth[4:6, 8:10, 10:13] = 1
    truth[4:6, 8:10, 20:22] = 2
    return LabelledScan("a", np.zeros((0, 0, 0), np.float32), truth, (2.0, 1.0, 1.0), **more), maps


def random_maps(count):
    """Findings in the middle of the scan, and next to nothing elsewhere."""
    rng = np.random.default_rng(0)
    maps = [np.full((12, 20, 30), 0.01, np.float32) for _ in range(count)]
    for probability in maps:
        probability[3:8, 6:14, 8:26] = rng.random((5, 8, 18)) ** 4
    return maps


TUBE = Tube(
    Box((1, 2, 3), (4, 6, 7)), 0.8, tuple(SliceBox(z, 2.5, 3.0, 5.5, 6.5, 0.8) for z in range(1, 4))
)  # where no model suspects anything


@pytest.mark.parametrize("tubes", [None, [TUBE]])
def test_the_part_in_half_precision_counts_as_the_whole(tubes):
    scan, maps = labelled(random_maps(2), tubes=tubes)
    member = MemberMaps.of(scan, maps)
    suspected = np.maximum(*maps) >= 0.05
    kept = suspected | (scan.truth > 0)
    if tubes is not None:
        kept[TUBE.box.slices] = True
    assert np.prod(member.shape) < scan.truth.size / 2
    whole = LabelledScan(scan.case_id, 0.3 * maps[0] + 0.7 * maps[1], scan.truth, scan.spacing_mm, tubes)
    (part,) = MixedScans([member], (0.3, 0.7))
    settings = Grid((0.1, 0.3, 0.5), (0.0, 0.7), (0, 10), (0.0, 2.0)).settings(FusionSettings(), tubes is not None)
    assert np.array_equal(count_findings([part], settings), count_findings([whole], settings))
    assert np.array_equal(count_boxes([part]), count_boxes([whole]))
    box = Box.around(kept).slices
    np.testing.assert_allclose(part.probability, np.where(kept, whole.probability, 0)[box], atol=2e-4)
    held = (member.places, member.ids, *member.maps)
    assert [one.nbytes for one in held] == [kept.sum() * size for size in (4, 1, 2, 2)]


def test_certainty_is_kept_where_it_is_near_one_and_at_its_ends():
    scan, _ = labelled([])
    one, other = (np.zeros((12, 20, 30), np.float32) for _ in range(2))
    one[4, 8, 10:13] = (1.0, 0.99999, 0.5)
    other[4, 8, 10:13] = (1.0, 0.99999, 0.0)
    member = MemberMaps.of(scan, [one, other])
    mixed = member.mixed((0.5, 0.5)).probability
    assert mixed[0, 0, [0, 2]].tolist() == [1.0, 0.25]
    assert np.log(mixed[0, 0, 1] / (1 - mixed[0, 0, 1])) == pytest.approx(np.log(0.99999 / 0.00001), abs=0.01)
    assert mixed[0, 0, 3] == 0


def test_one_model_is_kept_as_it_is_and_weight_zero_counts_nothing():
    scan, (one, other) = labelled(random_maps(2))
    alone = MemberMaps.of(scan, [one]).mixed((1.0,))
    kept = (one >= 0.05) | (scan.truth > 0)
    assert np.array_equal(alone.probability, np.where(kept, one, 0)[Box.around(kept).slices])
    both = MemberMaps.of(scan, [one, other]).mixed((1.0, 0.0))
    kept |= other >= 0.05
    np.testing.assert_allclose(both.probability, np.where(kept, one, 0)[Box.around(kept).slices], atol=2e-4)


def test_what_is_no_probability_or_has_another_shape():
    scan, (one,) = labelled(random_maps(1))
    with pytest.raises(GeometryError, match="PE-GEO-001"):
        MemberMaps.of(scan, [one, one[1:]])
    for value in (np.nan, 1.5):
        wrong = one.copy()
        wrong[0, 0, 0] = value
        with pytest.raises(InputError, match="PE-FUS-002"):
            MemberMaps.of(scan, [one, wrong])


def counts_of(rows):
    """Counts (candidates, scans, 4) of found, emboli, true and findings, one embolus a scan."""
    return np.array([[[f, 1, f, f] for f in row] for row in rows], np.int64)


def first_most(of):
    return int(of[:, :, 0].sum(axis=1).argmax())


def test_no_scan_of_a_patient_takes_part_in_the_choice_for_it():
    """Candidate 0 finds the embolus in scans 0 and 1 of one patient, candidate 1 in the other two."""
    counts = counts_of([(1, 1, 0, 0), (0, 0, 1, 1)])
    one_patient = numbered_patients(["a", "b", "c", "d"], {"a": "p", "b": "p", "c": "q", "d": "q"})
    assert elsewhere(counts, one_patient, first_most)[:, 0].tolist() == [0, 0, 0, 0]
    held = estimate(elsewhere(counts, one_patient, first_most), one_patient)
    assert (held.patients, held.sensitivity, held.found, held.emboli) == (2, 0, 0, 4)
    # each for itself: without a, b has candidate 1 in the lead for a; without c, candidate 0 for c
    single = numbered_patients(["a", "b", "c", "d"])
    assert elsewhere(counts, single, first_most)[:, 0].tolist() == [0, 0, 0, 0]
    assert estimate(elsewhere(counts, single * 0, first_most), single * 0) is None


def test_a_comparison_asks_for_more_than_each_of_the_others():
    always, never, half = (np.array([[f, 1, f, f] for f in row]) for row in ((1,) * 6, (0,) * 6, (1, 0) * 3))
    patients = np.arange(6)
    found = compare(always, [never, half], patients, None)
    assert found.gain == pytest.approx(1 - 2 / 3)  # three of six, nothing false: F1 2/3
    assert found.holds
    assert found.certainty == pytest.approx(1 - 0.5**6, abs=0.02)  # unless all drawn have what half finds
    assert not compare(half, [always], patients, None).holds
    assert not compare(always, [always], patients, None).holds
    assert not compare(always, [never], np.arange(6) % 4, None).holds  # four patients
