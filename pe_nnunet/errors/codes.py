"""Every error and note code with its meaning; codes are stable, a retired one is not used again.

The number of a code is arbitrary; its middle part is the room that it comes from.
"""

from __future__ import annotations

CODES: dict[str, str] = {
    # command line and environment
    "PE-ENV-001": "an nnU-Net path variable (nnUNet_raw, nnUNet_preprocessed, nnUNet_results) is not set",
    "PE-ENV-002": "the dataset id or name is unknown to nnU-Net",
    "PE-ENV-003": "the dataset id is taken by another dataset",
    "PE-ENV-004": "the requested device is not available",
    "PE-ENV-005": "the nnU-Net command is unknown",
    "PE-ENV-006": "an internal error; --debug shows the traceback",
    # input in general
    "PE-IN-001": "the folder is empty or holds nothing that can be read as an image",
    "PE-IN-002": "the path does not exist",
    "PE-IN-003": "the file is not what its name says, or is truncated",
    "PE-IN-004": "two cases would get the same id",
}
