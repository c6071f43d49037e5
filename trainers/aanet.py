"""AANet under the recipe."""

from __future__ import annotations

from typing import Any

import torch

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.networks import AANet
from pe_nnunet.planners.aanet import check_labels
from pe_nnunet.trainers.network import NetworkTrainer


class PEAANetTrainer(NetworkTrainer):
    """Trains AANet on a dataset with the regions artery and PE, from `PEAANetPlans` or other plans in 3D.

    Raises:
        ConfigurationError: PE-PLN-003 if the labels are other ones, PE-TRAIN-004 if the configuration is not 3D.
    """

    network_class = AANet

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 - nnU-Net reads this signature
    ) -> None:
        check_labels(dataset_json)  # first: nothing is written for a training that cannot be
        super().__init__(plans, configuration, fold, dataset_json, device)
        if self._dimensions() != 3:
            raise ConfigurationError(
                "PE-TRAIN-004",
                f"AANet exists in 3D alone, the configuration is {configuration}",
                "train 3d_fullres",
            )
