"""AANet under the recipe."""

from __future__ import annotations

from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.networks.aanet import AANet
from pe_nnunet.planners.aanet import check_labels
from pe_nnunet.trainers.base import PETrainer


class PEAANetTrainer(PETrainer):
    """Trains AANet on a dataset with the regions artery and PE, from `PEAANetPlans` or other plans in 3D."""

    network_class = AANet

    @classmethod
    def check(cls, plans: dict[str, Any], configuration: str, dataset_json: dict[str, Any]) -> None:
        """Refuse what AANet cannot be trained on.

        Args:
            plans: nnU-Net's, as read.
            configuration: The name of one in them.
            dataset_json: The dataset's `dataset.json`.

        Raises:
            ConfigurationError: PE-PLN-003 if the labels are not the regions artery and PE, PE-TRAIN-004 if the
                configuration is not 3D.
        """
        check_labels(dataset_json)
        if len(PlansManager(plans).get_configuration(configuration).patch_size) != 3:
            raise ConfigurationError(
                "PE-TRAIN-004", f"AANet exists in 3D alone, the configuration is {configuration}", "train 3d_fullres"
            )
