"""From an image to what a network sees, and from its output back onto the image's grid.

On a GPU all of it happens there, where memory suffices: the image goes there in its own number format, and slabs of
probabilities come back while the next ones are computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage as ndi
from torch import Tensor

from pe_nnunet.errors import InputError
from pe_nnunet.inference.device import CPU, SHARE_OF_FREE_MEMORY, free_memory
from pe_nnunet.inference.model import TrainedModel
from pe_nnunet.inference.resampling import Resampling, resampled_shape
from pe_nnunet.inference.transfer import arriving, volume_on
from pe_nnunet.inference.windows import as_tensor
from pe_nnunet.processes import free_bytes
from pe_nnunet.voxels import Box, Slices


@dataclass(frozen=True)
class NetworkGrid:
    """Where a network sees an image.

    Attributes:
        inside: Which part of the image, its axes in the plans' order, it covers.
        shape: Of that part.
        spacing_mm: Of that part.
        new_shape: Of what the network sees.
        new_spacing_mm: Likewise.
    """

    inside: Slices
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, ...]
    new_shape: tuple[int, ...]
    new_spacing_mm: tuple[float, ...]


def network_grid(
    model: TrainedModel,
    image: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    further: Sequence[NDArray[Any]] = (),
) -> NetworkGrid:
    """Where a network sees an image: without the zeros at its edge, at the spacing of the plans.

    Args:
        model: Whose plans count.
        image: HU, (z, y, x), with axes as in training (LPS).
        spacing_mm: (z, y, x).
        further: Further channels on the same grid, as many as the model has beside the first.

    Raises:
        InputError: PE-MODEL-010 if memory does not take it.
    """
    forward = list(model.plans.transpose_forward)
    turned = image.transpose(forward)
    spacing = tuple(float(spacing_mm[axis]) for axis in forward)
    target = tuple(float(s) for s in model.configuration.spacing)
    target = target if len(target) == 3 else (spacing[0], *target)
    not_zero = turned != 0
    for channel in further:
        not_zero |= channel.transpose(forward) != 0
    inside = (Box.around(not_zero) or Box.whole(turned.shape)).slices
    shape = turned[inside].shape
    new_shape = resampled_shape(shape, spacing, target)
    require_network_memory(new_shape, model.name)
    return NetworkGrid(inside, (shape[0], shape[1], shape[2]), spacing, new_shape, target)


def prepare(
    model: TrainedModel,
    image: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    grid: NetworkGrid,
    further: Sequence[NDArray[Any]] = (),
    device: torch.device = CPU,
) -> Tensor:
    """Do what nnU-Net's preprocessing does to one CT: transpose, crop zeros at the edge, normalise, resample.

    Args:
        model: Whose plans count.
        image: HU, (z, y, x), with axes as in training (LPS).
        spacing_mm: (z, y, x).
        grid: Of `network_grid`.
        further: Further channels on the same grid, as many as the model has beside the first.
        device: Where it is done, and where the result lies; what is left to nnU-Net is done on the CPU.

    Returns:
        (channels, z, y, x), normalised, on the plans' spacing and order of axes.
    """
    part = image.transpose(list(model.plans.transpose_forward))[grid.inside]
    settings = model.configuration.configuration
    resampling = Resampling.of_plans(
        settings["resampling_fn_data"],
        settings["resampling_fn_data_kwargs"],
        grid.shape,
        grid.new_shape,
        grid.spacing_mm,
        grid.new_spacing_mm,
    )
    if resampling is None or not _is_plain(model):
        return _by_nnunet(model, np.stack([image, *further]), spacing_mm).to(device)
    properties = model.plans.foreground_intensity_properties_per_channel["0"]
    hu = part if device.type == "cpu" else volume_on(part, device)

    def planes(low: int, high: int) -> Tensor:
        return _normalised(_float32_copy(hu[low:high]), properties)

    low, high = _normalised(torch.tensor([float(hu.min()), float(hu.max())]), properties).tolist()
    return resampling.whole(planes, (low, high), device)[None]


def _float32_copy(values: NDArray[Any] | Tensor) -> Tensor:
    if isinstance(values, Tensor):
        return values.to(torch.float32, copy=True)
    return torch.from_numpy(values.astype(np.float32))


def _normalised(hu: Tensor, properties: Mapping[str, float]) -> Tensor:
    """nnU-Net's normalisation of CT (`CTNormalization`), in place, on any device."""
    hu.clamp_(properties["percentile_00_5"], properties["percentile_99_5"])
    return hu.sub_(properties["mean"]).div_(max(properties["std"], 1e-8))


NETWORK_BYTES = 16
"""A voxel of the network's grid, measured: image, sum and weights of windows in float32, and masks."""


def place_of_scan(
    grid: NetworkGrid, channels: Sequence[NDArray[Any]], device: torch.device, window_bytes: float = 0
) -> torch.device:
    """Where a scan lies, on its own grid and a network's, with the sums of windows: a GPU with memory, else the CPU.

    Args:
        grid: Of the network.
        channels: Of the scan.
        device: Where the network runs.
        window_bytes: That a window takes beside the scan.
    """
    free = free_memory(device) if device.type == "cuda" else None
    each = NETWORK_BYTES + 4 * (len(channels) - 1)  # of a further channel its image alone, in float32
    needed = prod(grid.new_shape) * each + prod(grid.shape) * max(4, channels[0].itemsize) + window_bytes
    return CPU if free is None or needed > SHARE_OF_FREE_MEMORY * free else device


def require_network_memory(shape: Sequence[int], name: str) -> None:
    """Check that memory takes a scan on the grid of a network, which a fine or damaged spacing makes large.

    Args:
        shape: Of that grid.
        name: Of the model.

    Raises:
        InputError: PE-MODEL-010 if not; where the system does not say what is free, nothing is refused.
    """
    free, needed = free_bytes(), prod(shape) * NETWORK_BYTES
    if free is not None and needed > free:
        size = "x".join(map(str, shape))
        raise InputError(
            "PE-MODEL-010",
            f"{name} sees the scan as {size} voxels (z, y, x): that takes {needed / 2**30:.1f} GiB of memory, and "
            f"{free / 2**30:.1f} GiB are free",
            "check the scan's spacing; free memory, or use a model of coarser spacing",
        )


def mask_on_network_grid(grid: NetworkGrid, mask: NDArray[np.bool_], forward: tuple[int, ...]) -> NDArray[np.bool_]:
    """A mask of the image as one of the network's grid, a voxel wider so that no voxel at its edge is lost.

    Args:
        grid: Of the network.
        mask: (z, y, x) on the image's grid.
        forward: The plans' order of axes.
    """
    part = mask.transpose(forward)[grid.inside]
    for axis, count in enumerate(grid.new_shape):
        if count < part.shape[axis]:  # several voxels fall into one: none of them may be lost
            part = ndi.maximum_filter1d(part, int(np.ceil(part.shape[axis] / count)), axis=axis)
        index = np.floor((np.arange(count) + 0.5) * (part.shape[axis] / count)).astype(int)
        part = np.take(part, np.minimum(index, part.shape[axis] - 1), axis=axis)
    return _a_voxel_wider(part)


def _a_voxel_wider(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask with the voxels that share a face, an edge or a corner with it: along one axis after the other."""
    for axis in range(mask.ndim):
        narrow = np.moveaxis(mask, axis, 0)
        wide = narrow.copy(order="K")
        wide[1:] |= narrow[:-1]
        wide[:-1] |= narrow[1:]
        mask = np.moveaxis(wide, 0, axis)
    return mask


def probability_slabs(
    model: TrainedModel, grid: NetworkGrid, log_odds: Tensor
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Bring log-odds to the image's grid, as nnU-Net does with logits, and make them probabilities there.

    Args:
        model: Whose plans count.
        grid: Of the network.
        log_odds: On that grid, (z, y, x), on any device.

    Yields:
        The first slice within `grid.inside`, and probabilities (slices, y, x) from there on.
    """
    settings = model.configuration.configuration
    resampling = Resampling.of_plans(
        settings["resampling_fn_probabilities"],
        settings["resampling_fn_probabilities_kwargs"],
        log_odds.shape,
        grid.shape,
        grid.new_spacing_mm,
        grid.spacing_mm,
    )
    if resampling is None:
        whole = model.configuration.resampling_fn_probabilities(
            log_odds.cpu().numpy()[None], grid.shape, grid.new_spacing_mm, grid.spacing_mm
        )
        yield 0, torch.sigmoid(torch.as_tensor(np.asarray(whole)[0]).float()).numpy()
        return
    slabs = resampling.slabs(lambda low, high: log_odds[low:high], device=log_odds.device)
    for first, slab in arriving(((first, torch.sigmoid(slab)) for first, slab in slabs), CPU):
        yield first, slab.numpy()


def _is_plain(model: TrainedModel) -> bool:
    """Whether the plans ask for nnU-Net's own preprocessing and its normalisation of CT."""
    configuration = model.configuration
    schemes = list(configuration.normalization_schemes)
    return bool(configuration.preprocessor_name == "DefaultPreprocessor" and schemes == ["CTNormalization"])


def _by_nnunet(model: TrainedModel, channels: NDArray[Any], spacing_mm: tuple[float, float, float]) -> Tensor:
    preprocessor = model.configuration.preprocessor_class(verbose=False)
    data, _, _ = preprocessor.run_case_npy(
        channels, None, {"spacing": list(spacing_mm)}, model.plans, model.configuration, model.dataset_json
    )
    return as_tensor(data)
