"""A planner that sizes patch, batch and width for the network that will be trained.

It keeps what nnU-Net decides well from the fingerprint (target spacing, axis order, normalisation, resampling) and
replaces the search for patch and batch, which there is tied to nnU-Net's own U-Net.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile
from typing import Any, ClassVar

import numpy as np
import torch
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape
from nnunetv2.preprocessing.resampling.resample_torch import resample_torch_fornnunet
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from numpy.typing import NDArray

from pe_nnunet.dataset.channels import channel_names
from pe_nnunet.dataset.folders import SPLITS
from pe_nnunet.errors import ConfigurationError, Note
from pe_nnunet.networks import SegmentationNetwork
from pe_nnunet.planners.asked import ENVIRONMENT_VARIABLE, NETWORK_CODE, SIZES_CODE, AskedPlan
from pe_nnunet.planners.check_dataset import check_dataset
from pe_nnunet.planners.memory import GIB, largest_patch_and_batch, training_bytes, usable_bytes, width_for
from pe_nnunet.planners.settings import by, check_settings, describe
from pe_nnunet.planners.sizes import require_possible
from pe_nnunet.planners.topology import (
    ISOTROPY_FACTOR,
    MIN_EDGE,
    NAMED_CLASSES,
    Topology,
    plan_topology,
    u_shaped_kwargs,
)

FloatArray = NDArray[np.float64]
SHARED_DATA = "PEPlans"


class PEPlanner(ExperimentPlanner):  # type: ignore[misc]  # nnU-Net publishes no types
    """Plans `3d_fullres` and `2d` for one of our networks; subclasses name the network and its plans.

    Args:
        dataset_name_or_id: Dataset with a fingerprint.
        gpu_memory_target_in_gb: Peak memory of a training step, in GiB.
        preprocessor_name: nnU-Net's preprocessor class.
        plans_name: Name of the plans; None for the planner's own.
        overwrite_target_spacing: Target spacing in mm per axis of the image as read, instead of the median.
        suppress_transpose: Whether axes stay in their order.

    Raises:
        ConfigurationError: If a setting makes no sense, or the dataset cannot be trained on (`check_dataset`).
    """

    network_class: ClassVar[type[SegmentationNetwork]]
    default_plans_name: ClassVar[str]
    shares_data: ClassVar[bool] = True

    def __init__(
        self,
        dataset_name_or_id: str | int,
        gpu_memory_target_in_gb: float = 8,
        preprocessor_name: str = "DefaultPreprocessor",
        plans_name: str | None = None,
        overwrite_target_spacing: Sequence[float] | None = None,
        suppress_transpose: bool = False,
    ) -> None:
        name = self.default_plans_name if plans_name is None else plans_name
        check_settings(name, gpu_memory_target_in_gb, overwrite_target_spacing)
        try:
            super().__init__(
                dataset_name_or_id,
                gpu_memory_target_in_gb,
                preprocessor_name,
                name,
                overwrite_target_spacing,
                suppress_transpose,
            )
        except (AssertionError, LookupError, TypeError, ValueError) as error:
            if "plans" not in vars(self):
                raise
            self._check_dataset()  # nnU-Net compares the splits, and looks at nothing in them before
            raise ConfigurationError(
                "PE-TRAIN-012",
                f"{SPLITS} of {self.dataset_name} in nnUNet_preprocessed is another one than in nnUNet_raw",
                "delete the former before planning",
            ) from error
        self._check_dataset()
        self.memory_target_gib = float(gpu_memory_target_in_gb)
        self.asked = AskedPlan.from_environment()
        self.own_data = not self.shares_data or bool(
            name != self.default_plans_name
            or overwrite_target_spacing is not None
            or preprocessor_name != "DefaultPreprocessor"
            or suppress_transpose
        )

    def _check_dataset(self) -> None:
        preprocessed = Path(nnUNet_preprocessed) / self.dataset_name
        for note in check_dataset(Path(self.raw_dataset_folder), preprocessed, self.dataset_json, self.dataset):
            print(note)

    def plan_experiment(self) -> dict[str, Any]:
        """Plan all configurations and save them as nnU-Net's plans file.

        Returns:
            The plans, as saved.
        """
        forward, backward = self.determine_transpose()
        spacing = self.determine_fullres_target_spacing()
        shapes, spacings = self.dataset_fingerprint["shapes_after_crop"], self.dataset_fingerprint["spacings"]
        resampled = [compute_new_shape(shape, old, spacing) for shape, old in zip(shapes, spacings, strict=True)]
        median_shape = np.median(resampled, 0)[forward]
        spacing = np.asarray(spacing, dtype=float)[forward]
        n_voxels = float(np.prod(median_shape) * self.dataset_json["numTraining"])
        configurations: dict[str, Any] = {}
        if 2 in self.network_class.dimensions:
            configurations["2d"] = self.get_plans_for_configuration(
                spacing[1:], median_shape[1:], self.generate_data_identifier("2d"), n_voxels, {}
            )
        if 3 in self.network_class.dimensions and median_shape[0] > 1:
            configurations["3d_fullres"] = self.get_plans_for_configuration(
                spacing, median_shape, self.generate_data_identifier("3d_fullres"), n_voxels, {}
            )
        for dimensions, name in ((2, "2d"), (3, "3d_fullres")):
            if name not in configurations and self.asked.sizes(dimensions) != (None, None):
                raise ConfigurationError(
                    SIZES_CODE,
                    f"a size of {name} is asked for, but {type(self).__name__} plans {', '.join(configurations)} here",
                    f"take it out of {ENVIRONMENT_VARIABLE}",
                )
        self.plans = {
            "dataset_name": self.dataset_name,
            "plans_name": self.plans_identifier,
            "original_median_spacing_after_transp": [float(s) for s in np.median(spacings, 0)[forward]],
            "original_median_shape_after_transp": [round(float(n)) for n in np.median(shapes, 0)[forward]],
            "image_reader_writer": self.determine_reader_writer().__name__,
            "transpose_forward": [int(axis) for axis in forward],
            "transpose_backward": [int(axis) for axis in backward],
            "configurations": configurations,
            "experiment_planner_used": type(self).__name__,
            "label_manager": "LabelManager",
            "foreground_intensity_properties_per_channel": self.intensity_properties(),
        }
        preprocessed = Path(nnUNet_preprocessed) / self.dataset_name
        copyfile(Path(self.raw_dataset_folder) / "dataset.json", preprocessed / "dataset.json")
        if self.asked.given():
            self.plans["pe_nnunet_asked"] = self.asked.given()
        for name, plan in configurations.items():
            print(describe(name, plan))
        self.save_plans(self.plans)
        return self.plans

    def determine_transpose(self) -> tuple[list[int], list[int]]:
        """Keep the image's axes, slices axial, unless another axis is much coarser.

        nnU-Net puts the coarsest axis first however small the difference: at 0.7 x 0.7 x 0.6 mm its 2D slices would
        be coronal.
        """
        spacing = self.determine_fullres_target_spacing()
        if max(spacing) < ISOTROPY_FACTOR * spacing[0]:
            return [0, 1, 2], [0, 1, 2]
        forward, backward = super().determine_transpose()
        return [int(axis) for axis in forward], [int(axis) for axis in backward]

    def get_plans_for_configuration(
        self,
        spacing: Sequence[float] | FloatArray,
        median_shape: Sequence[float] | FloatArray,
        data_identifier: str,
        approximate_n_voxels_dataset: float,
        _cache: dict[str, Any],
    ) -> dict[str, Any]:
        """One configuration; 2D or 3D by the number of values in `spacing`.

        Args:
            spacing: Target spacing in mm, axes in the plans' order.
            median_shape: Median size of the resampled images in voxels.
            data_identifier: Name of the folder of preprocessed data.
            approximate_n_voxels_dataset: Voxels of all training images.
            _cache: Not used; nnU-Net's own search needs it.

        Raises:
            ConfigurationError: If the memory target allows no patch, or one that is asked for is impossible, or
                the images are too small for the network.
        """
        spacing_mm = [float(s) for s in spacing]
        size = [max(1, round(float(n))) for n in median_shape]
        topology = plan_topology(spacing_mm, size, self.asked.poolings or self.network_class.n_poolings)
        if len(topology.strides) < 2:
            raise ConfigurationError(
                "PE-PLN-006",
                f"at a spacing of {by(spacing_mm)} mm half of the images have at most {by(size)} voxels: too few for "
                f"{self.network_class.__name__}, which halves them at least once",
                f"{2 * MIN_EDGE} voxels are needed along an axis; convert the scans, not parts of them",
            )
        architecture = self.asked_architecture(topology, size)
        with torch.device("meta"):  # only sizes are asked for
            network = self._network_of(architecture)
        asked_patch, asked_batch = self.asked.sizes(len(size))
        if asked_patch is not None:
            require_possible(asked_patch, network.divisor, size)
        patch, batch = largest_patch_and_batch(
            network, spacing_mm, size, approximate_n_voxels_dataset, self.memory_target_gib, asked_patch, asked_batch
        )
        if (asked_patch or asked_batch) is not None:
            for note in self._doubts(network, patch, batch, size):
                print(note)
        resampling_data, data_kwargs, resampling_seg, seg_kwargs = self.determine_resampling()
        resampling_probabilities, probabilities_kwargs = self.determine_segmentation_softmax_export_fn()
        schemes, use_mask = self.determine_normalization_scheme_and_whether_mask_is_used_for_norm()
        return {
            "data_identifier": data_identifier,
            "preprocessor_name": self.preprocessor_name,
            "batch_size": batch,
            "patch_size": list(patch),
            "median_image_size_in_voxels": [float(n) for n in median_shape],
            "spacing": spacing_mm,
            "normalization_schemes": schemes,
            "use_mask_for_norm": use_mask,
            "resampling_fn_data": resampling_data.__name__,
            "resampling_fn_seg": resampling_seg.__name__,
            "resampling_fn_data_kwargs": data_kwargs,
            "resampling_fn_seg_kwargs": seg_kwargs,
            "resampling_fn_probabilities": resampling_probabilities.__name__,
            "resampling_fn_probabilities_kwargs": probabilities_kwargs,
            "architecture": architecture,
            # most patches hold few embolus voxels or none: per-patch Dice would be all noise
            "batch_dice": True,
            "estimated_training_memory_gib": round(training_bytes(network, patch, batch) / GIB, 2),
        }

    def _doubts(
        self, network: SegmentationNetwork, patch: Sequence[int], batch: int, image_size: Sequence[int]
    ) -> list[Note]:
        """What a person should know of sizes that were asked for."""
        needed = training_bytes(network, patch, batch)
        limit, what = usable_bytes(self.memory_target_gib), f"{batch} patches of {by(patch)}"
        doubts = []
        if needed > limit:
            doubts.append(
                f"{what} need about {needed / GIB:.2f} GiB, {limit / GIB:.2f} of the {self.memory_target_gib:g} GiB "
                "target can be used"
            )
        if any(side - n >= d for side, n, d in zip(patch, image_size, network.divisor, strict=True)):
            doubts.append(f"{what} reach beyond the median image of {by(image_size)}: the rest is padding")
        return [Note(SIZES_CODE, "warning", doubt) for doubt in doubts]

    def asked_architecture(self, topology: Topology, size: Sequence[int]) -> dict[str, Any]:
        """The plans' description of the network, with what is asked for in place of what would be planned."""
        name, n_stages = self.network_class.__name__, len(topology.strides)
        kwargs = self.asked.network_kwargs(self.asked_keys(), n_stages, name)
        if self.asked.poolings is not None and self.asked.poolings != n_stages - 1:
            raise ConfigurationError(
                NETWORK_CODE,
                f"poolings={self.asked.poolings} in {ENVIRONMENT_VARIABLE}, but images of {by(size)} voxels allow "
                f"{n_stages - 1}",
                f"{MIN_EDGE} voxels have to remain along an axis",
            )
        width = self.asked.width or width_for(self.memory_target_gib, self.network_class.max_width)
        architecture = self.architecture(topology, width)
        architecture["arch_kwargs"].update(kwargs)
        if self.asked.first_width is not None:
            architecture["arch_kwargs"]["features_per_stage"][0] = self.asked.first_width
        return architecture

    def _network_of(self, architecture: dict[str, Any]) -> SegmentationNetwork:
        """The network, or an error that says that what is asked of it does not go together."""
        try:
            return self.build_network(architecture)
        except ValueError as error:
            if not self.asked.given():
                raise
            raise ConfigurationError(
                NETWORK_CODE,
                f"{self.network_class.__name__} cannot be as {ENVIRONMENT_VARIABLE} asks: {error}",
                "change or leave out what does not go together",
            ) from error

    def asked_keys(self) -> tuple[str, ...]:
        """What `PE_NNUNET_PLAN` may ask of the network."""
        return ("poolings", "width", *self.network_class.plan_options)

    def architecture(self, topology: Topology, width: int) -> dict[str, Any]:
        """The plans' description of the network.

        Args:
            topology: Strides and kernels.
            width: Channels at full resolution; they double with each stage up to a limit.
        """
        return {
            "network_class_name": f"{self.network_class.__module__}.{self.network_class.__name__}",
            "arch_kwargs": u_shaped_kwargs(topology, width),
            "_kw_requires_import": list(NAMED_CLASSES),
        }

    def build_network(self, architecture: dict[str, Any]) -> SegmentationNetwork:
        """The network as it is trained on this dataset."""
        heads = LabelManager(self.dataset_json["labels"], self.dataset_json.get("regions_class_order"))
        network: SegmentationNetwork = get_network_from_plans(
            architecture["network_class_name"],
            architecture["arch_kwargs"],
            architecture["_kw_requires_import"],
            len(channel_names(self.dataset_json)),
            heads.num_segmentation_heads,
            allow_init=False,
            deep_supervision=True,
        )
        return network

    def determine_segmentation_softmax_export_fn(self, *_: Any, **__: Any) -> tuple[Any, dict[str, Any]]:
        """Logits go back to the scan's grid by torch's interpolation.

        Both functions interpolate linearly (nearest along a coarse axis) and agree to 1e-4; torch's took an eighth of
        the time. Images and labels keep nnU-Net's own: of images, linear interpolation loses detail that cubic keeps.
        """
        return resample_torch_fornnunet, {
            "is_seg": False,
            "force_separate_z": None,
            "memefficient_seg_resampling": False,
        }

    def intensity_properties(self) -> dict[str, Any]:
        """Per channel the intensities that normalisation works with; those of the fingerprint."""
        properties: dict[str, Any] = self.dataset_fingerprint["foreground_intensity_properties_per_channel"]
        return properties

    def generate_data_identifier(self, configuration_name: str) -> str:
        """The folder of preprocessed data: common to all planners that preprocess alike, else the plans' own.

        Memory target, network and patch do not enter preprocessing; a spacing, plans name or preprocessor given by
        the user does.
        """
        owner = self.plans_identifier if self.own_data else SHARED_DATA
        return f"{owner}_{configuration_name}"
