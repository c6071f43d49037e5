"""nnU-Net's fingerprint, after a look at what it is taken of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
from nnunetv2.paths import nnUNet_preprocessed

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.planners.check_dataset import check_dataset


class PEFingerprintExtractor(DatasetFingerprintExtractor):  # type: ignore[misc]  # nnU-Net publishes no types
    """Looks at the dataset before its images are read, which takes long; the fingerprint is nnU-Net's.

    `nnUNetv2_plan_and_preprocess` takes it instead of nnU-Net's own where `-pl` names one of our planners.
    """

    def run(self, overwrite_existing: bool = False) -> dict[str, Any]:
        """As nnU-Net.

        Args:
            overwrite_existing: Whether to take the fingerprint anew where there is one.

        Raises:
            ConfigurationError: What `check_dataset` raises; PE-PLN-007 where an image holds NaN.
        """
        raw, preprocessed = Path(self.input_folder), Path(nnUNet_preprocessed) / self.dataset_name
        check_dataset(raw, preprocessed, self.dataset_json, self.dataset)  # the planner prints its notes
        try:
            fingerprint: dict[str, Any] = super().run(overwrite_existing)
        except AssertionError as error:  # it does not say of which image
            self._refuse_nan(error)
            raise
        return fingerprint

    def _refuse_nan(self, error: AssertionError) -> None:
        for files in self.dataset.values():
            for path in files["images"]:
                count = int(np.isnan(sitk.GetArrayFromImage(sitk.ReadImage(path))).sum())
                if count:
                    raise ConfigurationError(
                        "PE-PLN-007", f"{path} holds {count} NaN voxels", "correct the image, or take the case out"
                    ) from error
