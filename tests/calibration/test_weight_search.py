"""Weights of models: two of which one is noise, two that complete each other, and what is needed to take others."""

import numpy as np
import pytest

from pe_nnunet.calibration.counts import Grid, LabelledScan
from pe_nnunet.calibration.member_maps import MemberMaps
from pe_nnunet.calibration.weight_search import choose_weights, mixtures
from pe_nnunet.errors import InputError

SHAPE, MM = (4, 8, 24), (2.0, 2.0, 2.0)
PLACES = tuple((1, 1 + 4 * (k // 6), 1 + 4 * (k % 6)) for k in range(12))  # of findings of 8 voxels
EMBOLI, FALSE = PLACES[:4], PLACES[4:]
MEAN = (0.5, 0.5)


def at(values):
    """A map with a value in each of the places."""
    found = np.zeros(SHAPE, np.float32)
    for (z, y, x), value in values.items():
        found[z : z + 2, y : y + 2, x : x + 2] = value
    return found


def scan(name, *maps):
    truth = np.zeros(SHAPE, np.uint8)
    for number, (z, y, x) in enumerate(EMBOLI, 1):
        truth[z : z + 2, y : y + 2, x : x + 2] = number
    return MemberMaps.of(LabelledScan(name, np.zeros((0, 0, 0), np.float32), truth, MM), maps)


def every(places, value):
    return dict.fromkeys(places, value)


def test_a_model_that_is_noise_gets_weight_zero():
    """One has its emboli at 0.8; the other sees none, but three places that are none, others in each scan."""
    good = at(every(EMBOLI, 0.8))
    noise = [at(every([FALSE[(k + n) % 8] for n in (0, 1, 3)], 0.9)) for k in range(6)]
    members = [scan(f"s{k}", good, noise[k]) for k in range(6)]
    choice = choose_weights(members, MEAN, None, Grid((0.3, 0.5, 0.7), (0.0,), (0.0,)))
    assert (choice.taken, choice.weights) == ("alone", (1.0, 0.0))
    # the mean has emboli at 0.4 and noise at 0.45: at 0.3 four true and three false findings
    assert choice.ways["mean"].point.f1 == pytest.approx(8 / 11)
    assert [point.f1 for point in choice.alone] == [1, 0]
    # 0.7 * 0.8 = 0.56 and 0.3 * 0.9 = 0.27: as good as alone, no better, so it is not taken
    assert choice.ways["searched"].weights == (0.7, 0.3)
    assert (choice.comparison.gain, choice.comparison.certainty) == (0, 0)


def test_of_two_that_complete_each_other_the_mean_is_kept():
    """Each is sure of two emboli and half sure of three false places of its own; their mean has 0.6 and 0.3."""
    one = at(every(EMBOLI[:2], 0.9) | every(EMBOLI[2:], 0.3) | every(FALSE[:3], 0.6))
    other = at(every(EMBOLI[2:], 0.9) | every(EMBOLI[:2], 0.3) | every(FALSE[3:6], 0.6))
    members = [scan(f"s{k}", one, other) for k in range(6)]
    choice = choose_weights(members, MEAN, None, Grid((0.4, 0.5, 0.7), (0.0,), (0.0,)))
    assert (choice.taken, choice.weights) == ("mean", MEAN)
    assert choice.ways["mean"].point.f1 == 1
    assert [point.f1 for point in choice.alone] == [pytest.approx(2 / 3)] * 2  # two of four, nothing false, at 0.7
    assert choice.ways["searched"].weights == MEAN  # of equals
    assert choice.ways["mean"].cross_validated.f1 == 1


def unequal(scans):
    """Weights of 0.7 and 0.3 part all emboli from the rest at 0.44; the mean and each model alone do not.

    First model: 0.6 in three emboli, 0.45 in the fourth, 0.5 in a false place. Second: 0.9 in the fourth embolus and in
    another false place, 0.1 elsewhere.
    """
    one = at(every(EMBOLI[:3], 0.6) | {EMBOLI[3]: 0.45, FALSE[0]: 0.5, FALSE[1]: 0.1})
    other = at(every(EMBOLI[:3], 0.1) | {EMBOLI[3]: 0.9, FALSE[0]: 0.1, FALSE[1]: 0.9})
    return [scan(f"s{k}", one, other) for k in range(scans)]


UNEQUAL = Grid((0.2, 0.33, 0.44, 0.55), (0.0,), (0.0,))


def test_other_weights_are_taken_where_they_hold_on_other_patients():
    choice = choose_weights(unequal(6), MEAN, None, UNEQUAL)
    assert (choice.taken, choice.weights) == ("searched", (0.7, 0.3))
    assert choice.ways["searched"].point.settings.threshold == 0.44
    assert choice.ways["searched"].point.f1 == 1
    # both have all four and one false: 2 * 4 / (4 + 5); the second alone finds one, and one that is false
    assert choice.ways["mean"].point.f1 == pytest.approx(8 / 9)
    assert [point.f1 for point in choice.alone] == pytest.approx([8 / 9, 1 / 3])
    assert choice.comparison.gain == pytest.approx(1 / 9)
    assert (choice.comparison.certainty, choice.comparison.patients) == (1, 6)
    assert choice.ways["searched"].cross_validated.f1 == 1


@pytest.mark.parametrize("patients", [None, {f"s{k}": f"p{k % 4}" for k in range(8)}])
def test_on_fewer_than_five_patients_nothing_shows_that_they_hold(patients):
    choice = choose_weights(unequal(4 if patients is None else 8), MEAN, None, UNEQUAL, patients)
    assert (choice.taken, choice.weights) == ("mean", MEAN)  # as good as the better model alone
    assert choice.ways["searched"].weights == (0.7, 0.3)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("max_fp_per_scan", [None, 2.0])
def test_what_is_taken_is_never_below_the_better_member(seed, max_fp_per_scan):
    rng = np.random.default_rng(seed)
    members = [
        scan(f"s{k}", *(at(dict(zip(PLACES, rng.uniform(0.05, 1, 12), strict=True))) for _ in range(3)))
        for k in range(6)
    ]
    choice = choose_weights(members, (1 / 3,) * 3, max_fp_per_scan, Grid((0.3, 0.5, 0.7), (0.0,), (0.0,)))
    point = choice.ways[choice.taken].point
    for other in (*choice.alone, choice.ways["mean"].point):
        if max_fp_per_scan is None:
            assert point.f1 >= other.f1 - 1e-9
        elif other.false_positives_per_scan <= max_fp_per_scan:
            assert point.sensitivity >= other.sensitivity - 1e-9
            assert point.false_positives_per_scan <= max_fp_per_scan


def test_the_mean_counts_folds_where_models_have_different_numbers():
    tried = mixtures([5 / 6, 1 / 6])
    assert tried[:3] == [(5 / 6, 1 / 6), (1.0, 0.0), (0.0, 1.0)]
    assert (0.5, 0.5) in tried


def test_where_nothing_finds_an_embolus_nothing_is_chosen():
    with pytest.raises(InputError, match="PE-FUS-010"):
        choose_weights([scan("s", at({}), at({}))], MEAN, None, UNEQUAL)
