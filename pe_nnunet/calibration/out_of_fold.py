"""What each model predicts for the scans that its folds were not trained on: predicted anew, or as training left it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.calibration.counts import LabelledScan
from pe_nnunet.calibration.member_maps import MemberMaps
from pe_nnunet.calibration.validation_cases import ValidationCase, how_to_validate
from pe_nnunet.dataset.dataset_json import read_dataset_json
from pe_nnunet.dataset.label_values import read_label_values
from pe_nnunet.dataset.probabilities import read_pe_probability, reader_of
from pe_nnunet.detection import Tube
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.metrics.instances import LabelKind, require_known_values
from pe_nnunet.volumes import find_scans, image_like, read_label, read_scan, require_same_grid, spacing_zyx, to_lps


def stored_probability(case: ValidationCase, models: Sequence[str], like: sitk.Image) -> NDArray[np.float32]:
    """The mean PE probability of several models, as training left it, (z, y, x) on the grid of the label.

    Args:
        case: From `cases_with_probabilities`.
        models: Names of their folders.
        like: On the grid of the label.

    Raises:
        InputError: PE-EVAL-011 if a file cannot be read, or does not hold what the model's labels say.
        GeometryError: PE-GEO-001 if one is not on the label's grid.
    """
    total = np.zeros(like.GetSize()[::-1], np.float32)
    for model in models:
        path = case.outputs[model]
        folder = path.parents[2]
        read = read_pe_probability(path, read_dataset_json(folder), reader_of(folder), like, "PE-EVAL-011")
        total += read / len(models)
    return total


def require_outputs(cases: Sequence[ValidationCase]) -> None:
    """Check that training left what is to be used of every case.

    Raises:
        ConfigurationError: PE-EVAL-011 if a file is not there.
    """
    for case in cases:
        for model, path in case.outputs.items():
            if not path.is_file():
                raise ConfigurationError(
                    "PE-EVAL-011",
                    f"the validation of fold {case.fold} of {model} has no prediction of {case.case_id}: "
                    f"{path} does not exist",
                    how_to_validate(path.parents[2], case.fold),
                )


def masks_as_probability(case: ValidationCase, image: sitk.Image) -> NDArray[np.float32]:
    """Share of models whose validation mask, as nnU-Net wrote it, says PE, in LPS axes.

    Args:
        case: From `cases_of_splits`; what a mask's values mean, the `dataset.json` of its model says.
        image: The scan, in LPS axes.

    Raises:
        PEError: If a mask is absent, unreadable or on another grid than the scan (PE-GEO-001 or -002), holds values
            that its `dataset.json` does not name (PE-EVAL-016), or that file names no emboli (PE-EVAL-014).
    """
    votes = np.zeros(image.GetSize()[::-1], np.float32)
    for model, path in case.outputs.items():
        what = f"the validation mask of case {case.case_id} by {model}"
        mask = to_lps(read_label(path))
        require_same_grid(image, mask, what)
        values, kind = sitk.GetArrayViewFromImage(mask), LabelKind("class", *mask_values(path.parents[2]))
        require_known_values(values, kind, what)
        votes += np.isin(values, kind.embolus_values)
    return np.asarray(votes / len(case.outputs), np.float32)


def mask_values(model: Path) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """What the masks of a model hold, see `LabelValues.for_classes`.

    Raises:
        ConfigurationError: PE-EVAL-014 if its `dataset.json` does not say it.
    """
    return read_label_values(model).for_classes


def stored_in_lps(case: ValidationCase) -> list[NDArray[np.float32]]:
    """The PE probability of each model of a case, as training left it (`--npz`), in LPS axes.

    Args:
        case: From `cases_of_splits`, with the outputs of that ending.

    Raises:
        PEError: As `stored_probability`.
    """
    grid = case.truth()
    maps = (image_like(stored_probability(case, [model], grid), grid) for model in case.outputs)
    return [np.asarray(sitk.GetArrayFromImage(to_lps(stored))) for stored in maps]


def member_maps(
    case: ValidationCase,
    probabilities: Callable[[ValidationCase, sitk.Image], Sequence[NDArray[np.float32]]],
    tubes: Callable[[ValidationCase, sitk.Image], Sequence[Tube]] | None = None,
) -> MemberMaps:
    """A scan with its truth and what each model predicted for it.

    Args:
        case: The scan.
        probabilities: Of a case and its image in LPS axes, (z, y, x), one a model.
        tubes: Detected emboli of a case and its image; None without a detector.

    Raises:
        PEError: If the scan or its label cannot be read, or they do not fit together.
    """
    image = to_lps(read_scan(find_scans(case.image)[0]).image)
    emboli, ignored = case.truth_and_ignored()
    truth = to_lps(emboli)
    require_same_grid(image, truth, f"the label of case {case.case_id}")
    labelled = LabelledScan(
        case.case_id,
        np.zeros((1, 1, 1), np.float32),
        np.asarray(sitk.GetArrayFromImage(truth)),
        spacing_zyx(image),
        None if tubes is None else tubes(case, image),
        None if ignored is None else np.asarray(sitk.GetArrayFromImage(to_lps(ignored)) > 0),
    )
    return MemberMaps.of(labelled, probabilities(case, image))
