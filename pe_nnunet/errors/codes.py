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
    # training
    "PE-TRAIN-001": "an unknown key in the training recipe",
    "PE-TRAIN-002": "a bad value in the training recipe",
    "PE-TRAIN-003": "the training recipe cannot be read",
    # models and prediction
    "PE-MODEL-001": "no trained model at that place",
    "PE-MODEL-002": "a fold or checkpoint is missing",
    "PE-MODEL-003": "a checkpoint cannot be read or does not fit the model folder",
    "PE-MODEL-004": "the models do not fit together",
    "PE-MODEL-005": "the scan does not fit the model",
    "PE-MODEL-006": "no detector given: segmentation alone",
}
