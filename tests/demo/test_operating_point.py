"""The smallest finding is chosen on the validation scans."""

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.demo.operating_point import choose_operating_point
from pe_nnunet.volumes import write_image


def write(path, array):
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.SetSpacing((5.0, 5.0, 5.0))  # 125 mm3 a voxel
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(image, path)


@pytest.mark.parametrize(("specks", "voxels", "expected"), [(3, 1, 50), (4, 1, 200), (4, 3, 400), (4, 12, 1000)])
def test_the_lowest_that_leaves_three_false_positives_a_scan(tmp_path, specks, voxels, expected):
    truth = np.zeros((20, 20, 20), np.uint8)
    truth[2:5, 2:5, 2:5] = 1
    found = truth.copy()
    for number in range(specks):
        found[10, 2 + 4 * number, 2 : 2 + voxels] = 1
    write(tmp_path / "validation" / "a.nii.gz", found)
    write(tmp_path / "instances" / "a.nii.gz", truth)
    point = choose_operating_point(tmp_path / "validation", tmp_path / "instances")
    assert point.min_embolus_mm3 == expected
    assert (point.scores.found, point.scores.emboli) == (1, 1)
