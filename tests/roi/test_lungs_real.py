"""The lung finder on real scans, on rendered real anatomy and on the phantom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.errors import InputError
from pe_nnunet.phantom import coarse_settings, make_phantom
from pe_nnunet.roi import Roi, find_roi
from pe_nnunet.volumes import image_like, spacing_zyx
from pe_nnunet.voxels import Box

MARGIN_MM = 10.0


def voxels(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def read(path: Path) -> sitk.Image:
    return sitk.ReadImage(str(path))


def dice(roi: Roi, lung: np.ndarray) -> float:
    assert roi.lungs is not None
    found = voxels(roi.lungs.mask) > 0
    return float(2 * np.count_nonzero(found & lung) / (np.count_nonzero(found) + np.count_nonzero(lung)))


def against_tight_box(roi: Roi, lung: np.ndarray, image: sitk.Image) -> float:
    """Volume of the box against that of the tight lung box with the same margin; the box must hold every lung voxel."""
    tight = Box.around(lung)
    assert tight is not None
    assert roi.box.union(tight) == roi.box
    return roi.box.voxels / tight.grown(MARGIN_MM, spacing_zyx(image), lung.shape).voxels


def test_a_whole_thorax(real_data: Path) -> None:
    image = read(real_data / "chest_ct64" / "ct-64.nrrd")
    lung = voxels(read(real_data / "chest_ct64" / "wholeLung-64.nrrd")) > 0
    roi = find_roi(image, margin_mm=MARGIN_MM)
    assert roi.notes == ()
    assert dice(roi, lung) >= 0.95
    assert against_tight_box(roi, lung, image) <= 1.1


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_thorax_with_one_white_lung(real_data: Path, side: str) -> None:
    image = read(real_data / "chest_ct64" / "ct-64.nrrd")
    lung = voxels(read(real_data / "chest_ct64" / "wholeLung-64.nrrd")) > 0
    hu = voxels(image)
    white = (slice(None), slice(None), slice(0, 32) if side == "right" else slice(32, 64))
    hu[white][hu[white] < -200] = 30
    roi = find_roi(image_like(hu, image), margin_mm=MARGIN_MM)
    assert [note.code for note in roi.notes] == ["PE-ROI-002"]
    z, _, x = Box.around(lung).slices
    assert roi.box.start[2] <= x.start
    assert roi.box.stop[2] >= x.stop
    assert roi.box.shape[0] < 1.3 * (z.stop - z.start) + 6


def test_half_a_thorax(real_data: Path) -> None:
    image = read(real_data / "one_lung" / "3DCT_lung.mha")
    lung = voxels(read(real_data / "one_lung" / "3DCT_lung_baseline_mask.mha")) > 0
    roi = find_roi(image, margin_mm=MARGIN_MM)
    assert [note.code for note in roi.notes] == ["PE-ROI-002"]
    assert dice(roi, lung) >= 0.95
    against_tight_box(roi, lung, image)
    assert (roi.box.start[2], roi.box.stop[2]) == (0, image.GetSize()[0]), "the body fills the image's width"


def test_the_abdomen_of_a_real_scan_has_no_lungs(real_data: Path) -> None:
    image = read(real_data / "chest_ct64" / "ct-64.nrrd")
    lung = voxels(read(real_data / "chest_ct64" / "wholeLung-64.nrrd")) > 0
    below = int(np.flatnonzero(lung.any(axis=(1, 2)))[0])
    with pytest.raises(InputError, match="PE-ROI-001"):
        find_roi(image[:, :, :below])


@pytest.mark.parametrize("index", [0, 1, 2])
def test_phantoms(index: int) -> None:
    phantom = make_phantom(coarse_settings(), seed=3, index=index)
    roi = find_roi(phantom.ct, margin_mm=MARGIN_MM)
    lung, emboli = voxels(phantom.lung) > 0, voxels(phantom.emboli) > 0
    assert roi.notes == ()
    assert dice(roi, lung) >= 0.95
    assert against_tight_box(roi, lung, phantom.ct) <= 1.25
    assert np.count_nonzero(emboli[roi.box.slices]) == np.count_nonzero(emboli)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A case of real anatomy with stomach gas, trachea, bronchi and emboli, rendered at 3 mm.

    Its upper third is left out, for rendering takes its time; benchmarks/lung_finder.py takes whole cases at 1 mm.
    """
    script = Path(__file__).parents[2] / ".." / "shared" / "realistic_ctpa" / "make_ctpa.py"
    if not script.is_file():
        pytest.skip(f"no renderer in {script.parent}")
    folder = tmp_path_factory.mktemp("rendered")
    (folder / "labels").mkdir()
    whole = read(script.parent / "labels" / "cadpe_029.nii.gz")
    sitk.WriteImage(whole[:, :, 10:150], str(folder / "labels" / "cadpe_029.nii.gz"))
    command = [sys.executable, str(script), str(folder), "--spacing", "3", "--labels", str(folder / "labels")]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return folder / "cadpe_029"


def test_rendered_anatomy(rendered: Path) -> None:
    image = read(rendered / "ct.nii.gz")
    lung, emboli = voxels(read(rendered / "lung.nii.gz")) > 0, voxels(read(rendered / "emboli.nii.gz")) > 0
    roi = find_roi(image, margin_mm=MARGIN_MM)
    # the scan that it was rendered from ends within the bases, and above it is cut here
    assert sorted(note.code for note in roi.notes) == ["PE-ROI-005", "PE-ROI-008"]
    assert dice(roi, lung) >= 0.95
    assert against_tight_box(roi, lung, image) <= 1.4
    assert emboli.any()
    assert np.count_nonzero(emboli[roi.box.slices]) == np.count_nonzero(emboli)
