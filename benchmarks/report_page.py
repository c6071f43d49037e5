"""Size of a case's report page, and the time to write it: a full-size scan stays under 15 MB.

A phantom of 1 mm (2.5 mm under --quick) is drawn on a grid of 512 x 512 x 500 voxels (256 x 256 x 120), with new noise
of 20 HU in every voxel, since interpolation smooths the phantom's own and noise is what takes space. The region is the
box of the lungs, as in prediction; the true emboli stand for the findings.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from pe_nnunet.fusion import find_emboli
from pe_nnunet.outputs import CaseResult, write_report
from pe_nnunet.phantom import PhantomSettings, coarse_settings, make_phantom
from pe_nnunet.volumes import spacing_zyx
from pe_nnunet.voxels import Box

MARGIN_MM = 10.0
NOISE_HU = 20.0


def bench(*, quick: bool) -> list[dict[str, object]]:
    """One page."""
    phantom = make_phantom(coarse_settings() if quick else PhantomSettings(), seed=0, index=1)
    size = (256, 256, 120) if quick else (512, 512, 500)
    case = _case(phantom.ct, phantom.emboli, phantom.lung, size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        started = time.perf_counter()
        write_report(case, path)
        seconds = time.perf_counter() - started
        megabytes = path.stat().st_size / 1e6
    data = f"phantom, {' x '.join(map(str, size))} voxels, {len(case.emboli.kept)} emboli"
    return [
        {"what": "size of the page", "data": data, "unit": "MB", "ours": megabytes, "limit": 15.0},
        {"what": "time to write it", "data": data, "unit": "s", "ours": seconds},
    ]


def _case(ct: sitk.Image, emboli: sitk.Image, lung: sitk.Image, size: tuple[int, int, int]) -> CaseResult:
    spacing = [s * n / m for s, n, m in zip(ct.GetSpacing(), ct.GetSize(), size, strict=True)]

    def drawn(image: sitk.Image, interpolator: int) -> sitk.Image:
        return sitk.Resample(image, size, sitk.Transform(), interpolator, ct.GetOrigin(), spacing, ct.GetDirection())

    image = sitk.AdditiveGaussianNoise(drawn(ct, sitk.sitkLinear), NOISE_HU, 0.0, 0)
    box = Box.around(sitk.GetArrayViewFromImage(drawn(lung, sitk.sitkNearestNeighbor)))
    assert box is not None
    box = box.grown(MARGIN_MM, spacing_zyx(image), image.GetSize()[::-1])
    probability = sitk.GetArrayFromImage(drawn(emboli, sitk.sitkNearestNeighbor) > 0).astype(np.float32)
    found = find_emboli(probability, spacing_zyx(image))
    return CaseResult("phantom", image, found, roi={"box_zyx_lps": box.to_list()})


if __name__ == "__main__":
    for row in bench(quick=False):
        print(row)
