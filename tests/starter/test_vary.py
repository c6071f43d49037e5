from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from starter.anatomies import find_rendered, role_of
from starter.appearance import TEXTURES, draw_appearance
from starter.scanner import add_streaks, apply_kernel, noise, through_slices
from starter.vary import vary_scan, write_variants
from tests.starter.conftest import SPACING_MM, chest

HU, MASKS = chest()
CLOT = MASKS["emboli"] > 0
BLOOD = (MASKS["artery"] > 0) & ~CLOT


def varied(seed, **changes):
    rng = np.random.default_rng(seed)
    look = replace(draw_appearance(rng), **changes)
    return look, *vary_scan(HU, MASKS, SPACING_MM, look, rng)


@pytest.mark.parametrize("seed", range(12))
def test_emboli_stay_darker_than_the_artery_around_them(seed):
    _, hu, masks = varied(seed)
    clot, artery = masks["emboli"] > 0, masks["artery"] > 0
    around = ndimage.binary_dilation(clot, iterations=2) & artery & ~clot
    assert clot.sum() >= CLOT.sum()
    assert np.median(hu[clot]) < np.median(hu[around])


def test_tissues_become_what_was_drawn():
    plain = {
        "noise_hu": 0,
        "bias_hu": 0,
        "streak_hu": 0,
        "kernel_mm": 0,
        "slice_mm": 0,
        "mixing": 0,
        "mirrored": False,
        "emboli": 0,
    }
    look, hu, _ = varied(3, **plain, artery_hu=500, vein_share=0.3, lung_hu=-800, embolus_hu=60)
    inner = {name: ndimage.binary_erosion(mask, iterations=1) for name, mask in {**MASKS, "blood": BLOOD}.items()}
    assert np.median(hu[inner["vein"]]) == pytest.approx(150, abs=10)
    assert np.median(hu[:6][inner["blood"][:6]]) == pytest.approx(500, abs=10)
    assert np.median(hu[inner["lung"]]) == pytest.approx(-800, abs=40)
    assert np.median(hu[CLOT]) < 120
    assert np.median(hu[:, :4]) == pytest.approx(look.fat_hu, abs=3)
    assert np.median(hu[:, 34:, :8]) == pytest.approx(look.soft_hu, abs=3)


def test_one_seed_gives_one_scan_and_another_another():
    assert np.array_equal(varied(5)[1], varied(5)[1])
    assert not np.array_equal(varied(5)[1], varied(6)[1])


def test_only_left_and_right_are_exchanged_and_masks_with_them():
    _, plain, _ = varied(7, mirrored=False, emboli=0)
    _, hu, masks = varied(7, mirrored=True, emboli=0)
    assert np.array_equal(hu, plain[..., ::-1])
    assert all(np.array_equal(masks[name], MASKS[name][..., ::-1]) for name in MASKS)


@pytest.mark.parametrize("texture", TEXTURES)
def test_noise_has_unit_strength(texture):
    values = noise((12, 24, 24), texture, np.random.default_rng(0))
    assert values.std() == pytest.approx(1, abs=1e-3)
    assert abs(values.mean()) < 0.2


def test_thick_slices_keep_the_mean_and_lose_detail():
    ramp = np.broadcast_to(np.arange(20, dtype=np.float32)[:, None, None], (20, 2, 2))
    rng = np.random.default_rng(0)
    assert through_slices(ramp, 5, 2.0, rng)[4:-4] == pytest.approx(ramp[4:-4], abs=0.6)
    spikes = np.zeros((20, 2, 2), np.float32)
    spikes[10] = 100
    assert through_slices(spikes, 5, 2.0, rng).max() <= 45
    assert through_slices(spikes, 2, 2.0, rng) is spikes


def test_streaks_begin_at_dense_contrast_alone():
    hu = HU.astype(np.float32)
    streaked = add_streaks(hu, 100, SPACING_MM, np.random.default_rng(1))
    near, far = np.s_[:, 8:20, 0:12], np.s_[:, 30:, 40:]
    assert np.abs(streaked - hu)[near].max() > 2 * np.abs(streaked - hu)[far].max() > 0
    assert np.array_equal(
        add_streaks(np.minimum(hu, 600), 100, SPACING_MM, np.random.default_rng(1)), np.minimum(hu, 600)
    )


def test_a_kernel_blurs_and_sharpens():
    hu = HU.astype(np.float32)
    edge = np.s_[:, 20, 20:32]
    flat = apply_kernel(hu, 1.5, SPACING_MM)[edge]
    steep = apply_kernel(hu, -1.5, SPACING_MM)[edge]
    assert np.ptp(flat) < np.ptp(hu[edge]) < np.ptp(steep)


def test_a_prefix_that_ends_in_e_does_not_hide_a_test_anatomy():
    names = ("021", "cadpe021", "case021", "case40", "e0736", "cadpee0736")
    assert {role_of(name) for name in names} == {"test"}
    assert "test" not in {role_of(name) for name in ("cadpe121", "case041", "cadpe_e0030", "e0692")}


def test_anatomies_for_tests_are_never_varied_and_held_out_ones_lie_apart(rendered, tmp_path):
    assert [role_of(name) for name in ("cadpe_001", "cadpe_008", "cadpe_021", "cadpe_e0736", "cadpe_e0692")] == [
        *("train", "held-out", "test", "test", "train")
    ]
    cases = find_rendered([rendered])
    assert [case.anatomy for case in cases] == ["cadpe_001", "cadpe_008"]
    work = tmp_path / "work"
    names = write_variants(cases, work, 3, seed=4)
    assert names == [*(f"cadpe_001_r0v0{k}" for k in range(3)), "cadpe_008_r0v00", "cadpe_008_r0v01"]
    first = sitk.ReadImage(str(work / "varied/ct/cadpe_001_r0v00.nii.gz"))
    assert np.array_equal(sitk.GetArrayFromImage(first), HU)
    assert first.GetSpacing() == SPACING_MM
    assert (work / "varied/patients.csv").read_text().splitlines()[1] == "cadpe_001_r0v00,cadpe_001"
    assert sorted(path.name for path in (work / "held_out/emboli").iterdir()) == [
        f"{name}.nii.gz" for name in names[3:]
    ]

    before = (work / "varied/ct/cadpe_001_r0v02.nii.gz").stat().st_mtime_ns
    assert write_variants(cases, work, 3, seed=4) == names
    assert (work / "varied/ct/cadpe_001_r0v02.nii.gz").stat().st_mtime_ns == before

    write_variants(cases, work, 1, seed=4)  # what was written before is converted too
    listed = [line.split(",")[0] for line in (work / "varied/patients.csv").read_text().splitlines()]
    assert listed == ["case", *names[:3]]
