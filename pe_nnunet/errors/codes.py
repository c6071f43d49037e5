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
    "PE-ENV-007": "nnU-Net does not find a planner, trainer or network of this package",
    # input in general
    "PE-IN-001": "the folder is empty or holds nothing that can be read as an image",
    "PE-IN-002": "the path does not exist",
    "PE-IN-003": "the file is not what its name says, or is truncated",
    "PE-IN-004": "two cases would get the same id",
    # dataset conversion
    "PE-CONV-001": "the dataset id or name is not one that nnU-Net can hold",
    "PE-CONV-002": "a dataset, or an unfinished conversion, of this id is there already",
    "PE-CONV-003": "an nnU-Net path variable names no folder",
    "PE-CONV-004": "a conversion setting is out of range or contradicts another",
    "PE-CONV-005": "the case has no label file",
    "PE-CONV-006": "several files could be the mask of the case",
    "PE-CONV-007": "the values of a mask do not fit what it should hold",
    "PE-CONV-008": "the case has no artery mask, which the label scheme needs",
    "PE-CONV-009": "the study folder holds no CT scan, or several",
    "PE-CONV-010": "a case listed as negative does not exist, or its label holds emboli",
    "PE-CONV-011": "another process is converting into this dataset",
    "PE-CONV-012": "the worker process of the case died, most likely for want of memory",
    "PE-CONV-013": "the folder holds no record of a conversion",
    "PE-CONV-014": "emboli outside the lung box: the box was grown",
    "PE-CONV-015": "artery voxels outside the lung box were cut off",
    "PE-CONV-016": "the density under the label is not that of clot",
    "PE-CONV-017": "emboli of very small volume",
    "PE-CONV-018": "nnUNet_preprocessed holds other splits for this dataset",
    "PE-CONV-019": "nnUNet_preprocessed holds an older fingerprint of this dataset",
    "PE-CONV-020": "too few patients, or positive patients, for the folds asked for",
    "PE-CONV-021": "the conversion was stopped at its first failing case",
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
    "PE-MODEL-007": "a bad value in the options of prediction",
    "PE-IN-005": "one scan was expected, and there are none or several",
    # fusion
    "PE-FUS-001": "fusion settings that are out of range or contradict each other",
    "PE-FUS-002": "a probability map with values that are no probabilities",
    "PE-FUS-003": "a probability map whose shape or spacing does not fit",
    # outputs
    "PE-OUT-011": "a table of emboli that cannot be read",
    "PE-OUT-012": "a manifest of a case that cannot be read",
    # evaluation
    "PE-EVAL-001": "no prediction for a label",
    "PE-EVAL-002": "no label for a prediction",
    "PE-EVAL-003": "evaluation settings that are out of range or unknown",
    "PE-EVAL-004": "two label or prediction files for one case",
    "PE-EVAL-005": "no table of candidates beside the predictions, so no sensitivity at a false-positive budget",
    # networks and planners
    "PE-NET-001": "weights do not describe the network: entries are missing, unknown or of the wrong shape",
    "PE-PLN-001": "the memory target is too small for any patch of the network",
    "PE-PLN-002": "the planner's settings are not valid: spacing, memory target or name of the plans",
}
