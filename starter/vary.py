"""Random appearances of rendered scans, written as a source that `pe-nnunet convert nifti` takes."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pe_nnunet.volumes import image_like, spacing_zyx, to_lps, write_image
from starter.anatomies import RenderedCase, role_of
from starter.appearance import Appearance, draw_appearance
from starter.emboli import add_emboli
from starter.scanner import add_streaks, apply_kernel, noise, through_slices
from starter.tissues import Volume, repaint, smooth_field

VARIED, HELD_OUT = "varied", "held_out"
WRITTEN = ("ct", "emboli", "artery")
HELD_OUT_VARIANTS = 2
RANGE_HU = (-1024, 3071)
PATIENTS = "patients.csv"


def vary_scan(
    hu: npt.NDArray[np.integer],
    masks: Mapping[str, npt.NDArray[np.integer]],
    spacing_mm: Sequence[float],
    look: Appearance,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int16], dict[str, npt.NDArray[np.integer]]]:
    """A rendered scan in another appearance, with further emboli.

    Args:
        hu: (z, y, x), in LPS axes.
        masks: `emboli` (ids), `artery` (emboli included), `vein`, `lung`; on the same grid.
        spacing_mm: (z, y, x).
        look: The appearance.
        rng: Draws what varies within the scan.

    Returns:
        HU, and the masks as they lie in it.
    """
    masks = {**masks, "emboli": add_emboli(masks, spacing_mm, look.emboli, rng)}
    scan: Volume = repaint(hu.astype(np.float32), masks, look, rng)
    scan += look.bias_hu * smooth_field(scan.shape, 4, rng)
    scan = add_streaks(scan, look.streak_hu, spacing_mm, rng)
    scan = apply_kernel(scan, look.kernel_mm, spacing_mm)
    scan += look.noise_hu * noise(scan.shape, look.noise_texture, rng)
    scan = through_slices(scan, look.slice_mm, spacing_mm[0], rng)
    varied = np.clip(np.rint(scan), *RANGE_HU).astype(np.int16)
    kept = dict(masks)
    if look.mirrored:
        varied, kept = varied[..., ::-1], {name: mask[..., ::-1] for name, mask in kept.items()}
    return varied, kept


def write_variants(
    cases: Sequence[RenderedCase], work: Path, variants: int, seed: int = 0, processes: int = 1
) -> list[str]:
    """Write the variants of rendered scans: the first is the scan as it was rendered.

    Those of training anatomies go below `varied`, two of each held-out anatomy below `held_out`, each as
    `ct/<name>.nii.gz`, `emboli` and `artery` beside them; `patients.csv` says the anatomy of each. What is there
    already is kept, and listed.

    Args:
        cases: The scans.
        work: Folder to write below.
        variants: Of each scan to train on.
        seed: Of all that is drawn; a scan's variants do not depend on what other scans there are.
        processes: That share the scans.

    Returns:
        The names of all variants.
    """
    one = partial(_write_case, work=work, variants=variants, seed=seed)
    if processes > 1:
        with ProcessPoolExecutor(processes) as pool:
            names = [name for written in pool.map(one, cases) for name in written]
    else:
        names = [name for case in cases for name in one(case)]
    for part in (VARIED, HELD_OUT):
        there = sorted((work / part / "ct").glob("[!.]*.nii.gz"))  # of earlier calls too: all of them are converted
        rows = [(name, name.rsplit("_r", 1)[0]) for name in (path.name.removesuffix(".nii.gz") for path in there)]
        if rows:
            with (work / part / PATIENTS).open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("case", "patient"), *rows])
    return names


def _write_case(case: RenderedCase, work: Path, variants: int, seed: int) -> list[str]:
    held_out = role_of(case.anatomy) == "held-out"
    folder = work / (HELD_OUT if held_out else VARIED)
    names = [f"{case.name}v{k:02d}" for k in range(min(variants, HELD_OUT_VARIANTS) if held_out else variants)]
    if all((folder / kind / f"{name}.nii.gz").is_file() for name in names for kind in WRITTEN):
        return names
    image = to_lps(sitk.ReadImage(str(case.ct)))
    masks = {name: sitk.GetArrayFromImage(to_lps(sitk.ReadImage(str(path)))) for name, path in case.masks.items()}
    hu, key = sitk.GetArrayFromImage(image), int.from_bytes(hashlib.sha256(case.name.encode()).digest()[:4], "big")
    for k, name in enumerate(names):
        rng = np.random.default_rng([seed, key, k])
        varied, kept = (hu, masks) if k == 0 else vary_scan(hu, masks, spacing_zyx(image), draw_appearance(rng), rng)
        for kind, array in {"emboli": kept["emboli"], "artery": kept["artery"], "ct": varied}.items():  # ct last
            path = folder / kind / f"{name}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(image_like(np.ascontiguousarray(array), image), path)
    return names
