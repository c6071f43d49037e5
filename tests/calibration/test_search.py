"""Calibration on constructed cohorts with known best settings."""

from dataclasses import replace

import numpy as np
import pytest

from pe_nnunet.calibration.counts import Grid, LabelledScan, box_labels, count_boxes, count_findings
from pe_nnunet.calibration.ensemble_calibration import EnsembleCalibration
from pe_nnunet.calibration.results import calibration_text
from pe_nnunet.calibration.search import calibrate
from pe_nnunet.detection import SliceBox, Tube
from pe_nnunet.errors import InputError
from pe_nnunet.fusion import FusionSettings, find_emboli, fuse
from pe_nnunet.metrics.case_scores import evaluate_case
from pe_nnunet.metrics.cohort_scores import summarise
from pe_nnunet.voxels import Box

MM = (2.0, 2.0, 2.0)
SMALL = Grid(
    thresholds=(0.3, 0.5, 0.7), seeds=(0.0, 0.7), volumes_mm3=(0, 20, 100), box_weights=(0.0, 1.0), penalties=(0.0, 2.0)
)
CONFIDENT = np.linspace(0.05, 0.95, 18).tolist()
PLACES = [(z, y, x) for z in (1, 8) for y in (1, 8, 15) for x in (1, 8, 15)]


def box_at(place, confidence=0.9):
    z, y, x = place
    slices = tuple(SliceBox(k, y - 0.5, x - 0.5, y + 3.5, x + 3.5, confidence) for k in range(z, z + 3))
    return Tube(Box((z, max(0, y - 1), max(0, x - 1)), (z + 3, y + 4, x + 4)), confidence, slices)


def cohort(detector, cases=20, seed=0):
    """Each scan with four emboli and four false findings; to segmentation they look alike."""
    draw = np.random.default_rng(seed)
    scans = []
    for number in range(cases):
        probability, truth = np.zeros((12, 20, 20), np.float32), np.zeros((12, 20, 20), np.uint8)
        places = [PLACES[k] for k in draw.permutation(len(PLACES))[:8]]
        for order, (z, y, x) in enumerate(places):
            probability[z : z + 3, y : y + 3, x : x + 3] = draw.uniform(0.35, 0.65)
            if order < 4:
                truth[z : z + 3, y : y + 3, x : x + 3] = order + 1
        boxed = {
            "informative": places[:4],
            "random": [place for place in places if draw.random() < 0.5],
            "none": None,
        }[detector]
        tubes = None if boxed is None else [box_at(place) for place in boxed]
        scans.append(LabelledScan(f"case_{number}", probability, truth, MM, tubes))
    return scans


def alone(found):
    return EnsembleCalibration(("A",), (1.0,), found, None)


def scored(scans, settings):
    return summarise(
        [
            evaluate_case(
                find_emboli(fuse(scan.probability, scan.tubes, settings), MM, settings).labels, scan.truth, MM
            )
            for scan in scans
        ]
    )


def test_an_informative_detector_gets_weight_and_gains_what_is_to_be_gained():
    """With boxes all emboli and nothing else; without, half of the findings are false at any threshold."""
    found = calibrate(cohort("informative"), None, SMALL)
    assert found.best.chosen.settings.uses_detection
    assert found.best.chosen.f1 == 1
    assert found.detection.helps
    alone = calibrate(cohort("none"), None, SMALL)
    assert alone.detection is None
    assert (alone.fusion, alone.boxes) == (None, None)
    assert alone.segmentation.chosen == found.segmentation.chosen
    assert (found.boxes.f1, found.boxes.found, found.boxes.false_positives_per_scan) == (1, 80, 0)
    assert alone.best.chosen.f1 == pytest.approx(2 / 3, abs=0.02)  # everything found, half of it false
    assert found.detection.gain == pytest.approx(1 - 2 / 3, abs=0.03)
    unseen = cohort("informative", seed=1)
    assert scored(unseen, found.best.chosen.settings).f1 == 1


def test_boxes_overrule_a_network_that_is_sure_of_everything_it_finds():
    """All findings at 0.99999, so that no threshold parts them; true boxes of 0.3 and, on the others, of 0.15."""
    scans = [
        replace(
            scan,
            probability=np.where(scan.probability > 0, np.float32(0.99999), np.float32(0)),
            tubes=[box_at(tuple(np.argwhere(scan.truth == k)[0]), 0.3) for k in (1, 2, 3, 4)]
            + [box_at(place, 0.15) for place in PLACES if not scan.truth[place]],
        )
        for scan in cohort("none")
    ]
    found = calibrate(scans)
    assert found.detection.helps
    assert found.segmentation.chosen.f1 == pytest.approx(2 / 3)
    assert found.fusion.chosen.f1 == 1
    settings = found.fusion.chosen.settings
    assert (settings.no_box_penalty, settings.box_confidence) == (16, 0.25)
    assert scored(scans, settings).f1 == 1


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("max_fp_per_scan", [None, 3.0])
def test_a_random_detector_gets_weight_zero(seed, max_fp_per_scan):
    found = calibrate(cohort("random", seed=seed), max_fp_per_scan, SMALL)
    assert not found.detection.helps
    assert found.fusion == found.segmentation
    assert not found.best.chosen.settings.uses_detection
    assert all(not choice.settings.uses_detection for choice in found.best.budgets.values())


def test_on_fewer_than_five_scans_no_detector_gets_weight():
    assert not calibrate(cohort("informative", cases=4), None, SMALL).detection.helps
    assert calibrate(cohort("informative", cases=5), None, SMALL).detection.helps


def test_boxes_alone_are_counted_as_they_are_evaluated():
    scans = [
        LabelledScan(
            s.case_id, s.probability, s.truth, MM, [box_at(p, c) for p, c in zip(PLACES, CONFIDENT, strict=True)]
        )
        for s in cohort("none", cases=3)
    ]
    counts = count_boxes(scans, (0.05, 0.5, 0.9))
    for confidence, rows in zip((0.05, 0.5, 0.9), counts, strict=True):
        scores = summarise(
            [evaluate_case(box_labels(scan.tubes, scan.truth.shape, confidence), scan.truth, MM) for scan in scans]
        )
        of = rows.sum(axis=0).tolist()
        assert of == [scores.found, scores.emboli, scores.findings - scores.false_positives, scores.findings]
    assert counts[0, 0, 3] == len(PLACES)
    assert counts[1, 0, 3] == sum(c >= 0.5 for c in CONFIDENT)


def test_of_boxes_that_overlap_the_surer_is_seen():
    labels = box_labels([box_at((1, 1, 1), 0.3), box_at((1, 1, 3), 0.8)], (12, 20, 20), 0.1)
    assert labels[1, 1, 1] == 2
    assert labels[1, 1, 3] == 1
    assert box_labels([], (2, 2, 2), 0.1).max() == 0


def test_counts_are_those_of_the_emboli_that_are_found_and_evaluated():
    scans = cohort("random", cases=3)
    settings = SMALL.settings(FusionSettings(), True)[::7]
    counts = count_findings(scans, settings)
    assert len({tuple(row) for row in counts[..., :4].sum(axis=1).tolist()}) > 3
    for choice, row, of_scans in zip(settings, counts.sum(axis=1).tolist(), counts, strict=True):
        scores = scored(scans, choice)
        true = scores.findings - scores.false_positives
        assert row[:4] == [scores.found, scores.emboli, true, scores.findings]
        common, voxels, true_voxels = of_scans[:, 4:].T
        assert np.mean(2 * common / (voxels + true_voxels)) == pytest.approx(scores.dice)


@pytest.mark.parametrize(
    ("specks", "voxels", "expected"), [(3, 1, 50.0), (4, 1, 200.0), (4, 3, 400.0), (4, 12, 1000.0)]
)
def test_masks_alone_the_smallest_volume_within_the_budget(specks, voxels, expected):
    """Of masks the lowest volume that leaves 3 false positives a scan or fewer; the highest if none does."""
    truth = np.zeros((20, 20, 20), np.uint8)
    truth[2:5, 2:5, 2:5] = 1
    mask = truth.astype(np.float32)
    for number in range(specks):
        mask[10, 2 + 4 * number, 2 : 2 + voxels] = 1
    grid = Grid((0.5,), (0.0,), (50, 100, 200, 300, 400, 500, 600, 800, 1000))
    found = calibrate([LabelledScan("a", mask, truth, (5.0, 5.0, 5.0))], 3.0, grid)
    assert found.best.chosen.settings.min_volume_mm3 == expected
    assert (found.best.chosen.found, found.best.chosen.emboli) == (1, 1)


def test_a_threshold_that_joins_all_emboli_into_one_finding_finds_one_of_them():
    """Arteries at 0.2 join three emboli of 0.6; a finding beside them is false at either threshold."""
    probability, truth = np.zeros((12, 20, 20), np.float32), np.zeros((12, 20, 20), np.uint8)
    probability[1, 1] = 0.2
    for number, x in enumerate((1, 8, 15), 1):
        probability[1:4, 1:4, x : x + 3] = 0.6
        truth[1:4, 1:4, x : x + 3] = number
    probability[8:11, 8:11, 8:11] = 0.6
    scan = LabelledScan("a", probability, truth, MM)
    joined, apart = count_findings([scan], [FusionSettings(0.1), FusionSettings(0.5)])[:, 0, :4].tolist()
    assert joined == [1, 3, 1, 2]
    assert apart == [3, 3, 3, 4]
    assert calibrate([scan], 2.0, Grid((0.1, 0.5), (0.0,), (0,))).best.chosen.settings.threshold == 0.5


def test_more_false_positives_allowed_never_find_less():
    found = calibrate(cohort("none"), 2.0, SMALL)
    sensitivities = [choice.sensitivity for choice in found.best.budgets.values()]
    assert sensitivities == sorted(sensitivities)
    assert sensitivities[-1] == 1
    assert found.best.budgets[2.0].settings == found.best.chosen.settings
    assert found.best.budgets[2.0].false_positives_per_scan <= 2


def test_nothing_to_calibrate_on():
    empty = LabelledScan("a", np.zeros((4, 4, 4), np.float32), np.zeros((4, 4, 4), np.uint8), MM)
    with pytest.raises(InputError, match="PE-FUS-006"):
        calibrate([empty])


@pytest.mark.parametrize("max_fp_per_scan", [None, 3.0])
def test_boxes_that_find_nothing_get_no_confidence(max_fp_per_scan):
    scans = [
        replace(scan, tubes=[box_at(place) for place in PLACES if not scan.truth[place]]) for scan in cohort("none")
    ]
    found = calibrate(scans, max_fp_per_scan, SMALL)
    assert found.boxes is None
    assert found.segmentation.chosen.found > 0
    assert "PE-FUS-011" in calibration_text(alone(found), len(scans), None)
    assert "PE-FUS-011" in calibration_text(
        alone(calibrate([replace(s, tubes=[]) for s in scans], None, SMALL)), 20, None
    )


def test_budgets_that_only_nothing_keeps_to_are_no_choice():
    """What finds an embolus finds something false in each scan as well."""
    scans = [replace(scan, probability=np.where(scan.probability > 0, np.float32(0.6), 0)) for scan in cohort("none")]
    found = calibrate(scans, 4.0, SMALL)
    assert set(found.segmentation.budgets) == {4.0, 8.0}
    with pytest.raises(InputError, match=r"PE-FUS-010.*no setting that finds an embolus keeps to 0.5 false positives"):
        calibrate(scans, 0.5, SMALL)


def test_what_lies_in_ignored_voxels_is_not_counted():
    """One finding wholly in ignored voxels, one of 27 voxels with nine outside, and an embolus."""
    probability, truth = np.zeros((12, 20, 20), np.float32), np.zeros((12, 20, 20), np.uint8)
    ignored = np.zeros(truth.shape, bool)
    for z, y, x in PLACES[:3]:
        probability[z : z + 3, y : y + 3, x : x + 3] = 0.9
    truth[1:4, 1:4, 1:4] = 1
    ignored[:, :, 8:11] = True
    ignored[:, :, 15:17] = True
    boxes = [box_at(place) for place in PLACES[:2]]
    scan = LabelledScan("a", probability, truth, MM, boxes, ignored)
    settings = [FusionSettings(0.5, min_volume_mm3=volume) for volume in (0.0, 27 * 8.0, 28 * 8.0)]
    counts = count_findings([scan], settings)[:, 0].tolist()
    assert counts == [[1, 1, 1, 2, 27, 36, 27], [1, 1, 1, 2, 27, 36, 27], [0, 1, 0, 0, 0, 0, 27]]
    inside = replace(scan, ignored=ignored | (truth == 0))
    assert count_boxes([inside], (0.5,))[0, 0].tolist() == [1, 1, 1, 1]
    assert count_boxes([replace(scan, ignored=None)], (0.5,))[0, 0].tolist() == [1, 1, 1, 2]
