"""Whether numbers are Hounsfield units, and the repair of those that are not: padding and NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pe_nnunet.errors import InputError

AIR_HU = -1024
PADDING_BELOW_HU = -1500  # no tissue, no noise and no interpolation reaches it; -2000 and -3024 are usual
NO_PADDING_BELOW_HU = -5000  # between here and -1500 lie padding and what resampling makes of its edges
MAX_PADDING_VALUES = 32  # further away: one or two values of padding, a few more where it was resampled
PADDING_ABOVE_HU = 32000  # beyond the extended CT scale (30,710): a negative number that was read without its sign
BLANKS_TISSUE_HU = (-1000, 3071)  # a padding value inside this range is tissue elsewhere in the image
AIR_BELOW_HU = -200
SOFT_TISSUE_HU = (-150, 500)
MIN_SHARE = 1e-3
LARGE_VOXELS = 10_000_000
MAX_NAN_SHARE = 1e-3

Values = npt.NDArray[Any]


def replace_padding(hu: Values, what: str, padding: float | None = None) -> int:
    """Set what lies outside the reconstructed field of view to air, in place.

    Args:
        hu: Any shape.
        what: Case or file, for the message.
        padding: The value that the header declares; ignored where it could be tissue.

    Returns:
        How many voxels were set.

    Raises:
        InputError: PE-HU-001 if so many values lie far outside that they are no padding.
    """
    declared = padding is not None and not BLANKS_TISSUE_HU[0] <= padding <= BLANKS_TISSUE_HU[1]
    if not declared and hu.size and hu.min() > PADDING_BELOW_HU and hu.max() <= PADDING_ABOVE_HU:
        return 0  # as of most scans, of which no masks are made
    outside = (hu <= PADDING_BELOW_HU) | (hu > PADDING_ABOVE_HU)
    far = hu[(hu < NO_PADDING_BELOW_HU) | (hu > PADDING_ABOVE_HU)]
    if far.size > MAX_PADDING_VALUES and len(np.unique(far)) > MAX_PADDING_VALUES:
        raise InputError(
            "PE-HU-001",
            f"{what}: {far.size} voxels have {len(np.unique(far))} different values between {far.min():g} and "
            f"{far.max():g}, which neither tissue nor padding has: the file is damaged, or holds no HU",
            "copy or export the scan again",
        )
    if declared:
        outside |= hu == padding
    count = int(np.count_nonzero(outside))
    if count:
        hu[outside] = AIR_HU
    return count


def replace_nan(hu: Values, what: str) -> int:
    """Set NaN and infinities to air, in place, if they are few.

    Args:
        hu: Floating point, any shape.
        what: Case or file, for the message.

    Returns:
        How many voxels were set.

    Raises:
        InputError: PE-NII-004 from 0.1 % of the voxels on.
    """
    broken = ~np.isfinite(hu)
    count = int(np.count_nonzero(broken))
    if count >= max(1.0, MAX_NAN_SHARE * hu.size):
        share = 100 * count / hu.size
        raise InputError(
            "PE-NII-004",
            f"{what}: {share:.2g} % of the voxels are NaN or infinite, expected under 0.1 %",
            "export the scan again",
        )
    if count:
        hu[broken] = AIR_HU
    return count


def require_hu(hu: Values, padded: int, what: str) -> None:
    """Check that an image can be a CT of a body: it holds air, and soft tissue.

    Args:
        hu: The whole image, (z, y, x), padding replaced.
        padded: How many voxels were padding, which are no evidence of air.
        what: Case or file, for the message.

    Raises:
        InputError: PE-HU-001.
    """
    if hu.size > LARGE_VOXELS:  # every other voxel along each axis says as much of a share, in a tenth of the time
        padded = round(padded * hu[::2, ::2, ::2].size / hu.size)
        hu = hu[::2, ::2, ::2].copy()
    low, high = float(hu.min()), float(hu.max())
    air = int(np.count_nonzero(hu < AIR_BELOW_HU)) - padded
    soft = int(np.count_nonzero((hu > SOFT_TISSUE_HU[0]) & (hu < SOFT_TISSUE_HU[1])))
    if low == high:
        guess = "they are all the same"
    elif min(air, soft) >= MIN_SHARE * hu.size:
        return
    elif low >= 0 and high <= 1:
        guess = "they look normalised to 0..1"
    elif low >= 0 and high <= 255:
        guess = "they look like 8-bit grey values"
    elif air < MIN_SHARE * hu.size and high > 500:
        guess = "they look like HU + 1024, for nothing is air"
    elif air < MIN_SHARE * hu.size:
        guess = "nothing is air (under -200 HU)"
    else:
        guess = "nothing is soft tissue (about 0 HU)"
    raise InputError(
        "PE-HU-001",
        f"{what}: values of {low:g} to {high:g} are not Hounsfield units: {guess}",
        "give the original CT, or pass --assume-hu if it is in HU",
    )
