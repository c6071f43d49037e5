"""The lungs by the lungmask package, where a user has it and its weights: it finds consolidated lung and effusions too.

Nothing is downloaded: lungmask would fetch its weights itself, so it is only ever given a file.
"""

from __future__ import annotations

import pickle
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pe_nnunet.errors import ConfigurationError, InputError, MissingExtraError, Note
from pe_nnunet.roi.lungs import MIN_LUNGS_MM3, MISSING_SIDE_SHARE, ONE_SIDED, Lungs, truncation_notes
from pe_nnunet.volumes.geometry import image_like

WEIGHTS = "unet_r231-*.pth"  # as torch.hub keeps them; of its models the one made for dense lungs
RIGHT, LEFT = 1, 2


def find_lungs_by_lungmask(image: sitk.Image, weights: Path | None = None) -> Lungs:
    """Find the lungs with lungmask's U-Net R231.

    Args:
        image: HU, axes in LPS order.
        weights: Its weights; None takes them from torch.hub's cache if a program has put them there before.

    Returns:
        The mask, of aerated and dense lung, with the notes of `find_lungs` that apply.

    Raises:
        MissingExtraError: PE-ROI-006 without the package.
        ConfigurationError: PE-ROI-007 without weights, or with a file that holds none.
        InputError: PE-ROI-001 if it finds no lungs.

    Source:
        Hofmanninger et al., European Radiology Experimental 4, 50 (2020).
    """
    found = np.asarray(_network(weights or cached_weights()).apply(image))
    sides = [found == value for value in (RIGHT, LEFT)]
    volumes_mm3 = [float(np.count_nonzero(side)) * float(np.prod(image.GetSpacing())) for side in sides]
    if sum(volumes_mm3) < MIN_LUNGS_MM3:
        raise InputError(
            "PE-ROI-001",
            f"lungmask finds {sum(volumes_mm3) / 1000:.0f} ml of lung, expected {MIN_LUNGS_MM3 / 1000:.0f} or more",
            "check that it is a chest CT in HU, or pass --on-no-lungs full-volume",
        )
    both: npt.NDArray[np.bool_] = sides[0] | sides[1]
    notes = truncation_notes(both)
    if min(volumes_mm3) < MISSING_SIDE_SHARE * max(volumes_mm3):
        notes = (Note("PE-ROI-002", "warning", ONE_SIDED), *notes)
    return Lungs(image_like(both, image), notes)


def cached_weights() -> Path:
    """The weights in torch.hub's cache.

    Raises:
        ConfigurationError: PE-ROI-007 if there are none.
    """
    import torch

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    found = sorted(folder.glob(WEIGHTS))
    if not found:
        raise ConfigurationError(
            "PE-ROI-007",
            f"no weights of lungmask: no {WEIGHTS} in {folder}, and nothing is downloaded",
            "fetch them from lungmask's releases and name the file with --lungmask-weights",
        )
    return found[0]


@lru_cache(maxsize=1)
def _network(weights: Path) -> Any:
    """The package's inferer with these weights, kept for the next scan."""
    import torch

    try:
        from lungmask import LMInferer  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise MissingExtraError(
            "PE-ROI-006", f"lungmask cannot be imported: {error}", "pip install 'pe-nnunet[lungmask]'"
        ) from error
    try:
        torch.load(weights, map_location="cpu", weights_only=True)  # lungmask itself may unpickle whatever there is
        return LMInferer(modelpath=str(weights), tqdm_disable=True)
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigurationError(
            "PE-ROI-007", f"{weights} holds no weights of lungmask: {reason}", "fetch unet_r231-d5d2fc3d.pth again"
        ) from error
