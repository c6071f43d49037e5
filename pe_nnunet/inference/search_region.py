"""Where in a scan the networks look: the lungs' box and hull, or along an artery tree, given or found by a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import cc3d
import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from pe_nnunet.dataset.dataset_json import artery_channel
from pe_nnunet.errors import ConfigurationError, InputError, Note
from pe_nnunet.inference.ensemble import predict_ensemble
from pe_nnunet.inference.model import TrainedModel
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.inference.window_progress import Progress
from pe_nnunet.roi import crop, find_roi, lung_hull, paste, scan_notes
from pe_nnunet.roi.coarse import distance_mm
from pe_nnunet.volumes import image_like, require_same_grid, spacing_zyx, to_lps
from pe_nnunet.volumes.readers import MIN_SLICES_3D
from pe_nnunet.voxels import Box

ARTERY_MARGIN_MM = 5.0  # clots of an occluded branch lie where its contrast, and so its mask, ends


@dataclass(frozen=True)
class Region:
    """What the networks see of an image in LPS axes.

    Attributes:
        box: In array order (z, y, x); the image is cropped to it.
        within: (z, y, x) in the box; windows outside it are not computed and its outside holds no embolus. None: all.
        kind: What decided: `lungs`, `artery`, or `whole` scan.
        notes: What a user should know.
        artery: The mask that decided, on the image's grid.
    """

    box: Box
    within: NDArray[np.bool_] | None
    kind: Literal["lungs", "artery", "whole"]
    notes: tuple[Note, ...] = ()
    artery: sitk.Image | None = None

    def facts(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """For the record of a case.

        Args:
            shape: Of the whole image (z, y, x).
        """
        within = 1.0 if self.within is None else float(self.within.mean())
        return {
            "kind": self.kind,
            "box_zyx_lps": self.box.to_list(),
            "volume_fraction": float(np.prod(self.box.shape) / np.prod(shape)),
            "searched_fraction": float(np.prod(self.box.shape) / np.prod(shape)) * within,
        }


def lung_region(
    image_lps: sitk.Image, margin_mm: float, on_no_lungs: Literal["error", "full-volume"], also: Box | None = None
) -> Region:
    """The box around the lungs, and their convex hull where both show: no pulmonary artery lies in the chest wall.

    A few loose slices have no lungs that could be told by their shape: they are searched whole.

    Args:
        image_lps: HU, axes in LPS order.
        margin_mm: Around the lungs.
        on_no_lungs: What to do where there are none.
        also: Box of the lungs that a detector saw. Where it reaches beyond the lungs' box, as over a consolidated lobe,
            the box grows, and the hull with it.

    Raises:
        InputError: PE-ROI-001 if there are no lungs.
    """
    shape = image_lps.GetSize()[::-1]
    if shape[0] < MIN_SLICES_3D:
        return Region(Box.whole(shape), None, "whole")
    roi = find_roi(image_lps, margin_mm=margin_mm, on_no_lungs="full-volume" if also is not None else on_no_lungs)
    doubts = scan_notes(image_lps, None if roi.lungs is None else roi.lungs.mask)
    notes = (*roi.notes, *doubts)
    if roi.lungs is None:
        if also is None:
            return Region(Box.whole(shape), None, "whole", notes)
        note = Note("PE-ROI-003", "warning", "no lungs by their density: the box that a detector saw is searched")
        return Region(also.grown(margin_mm, spacing_zyx(image_lps), shape), None, "lungs", (note, *doubts))
    box, lungs = roi.box, roi.lungs.mask
    if also is not None and box.union(also) != box:
        array = sitk.GetArrayFromImage(lungs)
        beyond = np.zeros(array.shape, bool)
        beyond[also.slices] = True
        beyond[box.slices] = False
        array[beyond] = 1
        lungs = image_like(array, lungs)
        box = box.union(also.grown(margin_mm, spacing_zyx(image_lps), shape))
    if roi.lungs.one_sided:
        return Region(box, None, "lungs", notes)
    part = crop(lungs, box)
    if roi.lungs.missing_below_mm:  # their width there is not known either
        dense = _with_dense_bases(part, roi.lungs.missing_below_mm, margin_mm)
        return Region(box, lung_hull(dense, margin_mm), "lungs", notes)
    return Region(box, lung_hull(part), "lungs", notes)


def _with_dense_bases(lungs: sitk.Image, further_mm: float, margin_mm: float) -> sitk.Image:
    """The lungs, and the same again further down and at the back of their box, where fluid and dense lung lie."""
    mask = sitk.GetArrayFromImage(lungs) > 0
    spacing = spacing_zyx(lungs)
    held = Box.around(mask)
    if held is None:
        return lungs
    down = min(round(further_mm / spacing[0]), held.start[0])
    back = max(0, mask.shape[1] - round(margin_mm / spacing[1]) - held.stop[1])
    swept = mask.copy()
    for lower, further_back in ((down, 0), (0, back), (down, back)):
        z, y = held.start[0] - lower, held.start[1] + further_back
        moved = np.zeros_like(mask)
        moved[z : z + held.shape[0], y : y + held.shape[1], held.slices[2]] = mask[held.slices]
        swept |= moved
    return image_like(swept.astype(np.uint8), lungs)


def artery_region(image_lps: sitk.Image, artery: sitk.Image, context_mm: float) -> Region:
    """Everything within 5 mm of a mask of the pulmonary arteries.

    Args:
        image_lps: HU, axes in LPS order.
        artery: Of any axis order, not 0 in arteries, on the grid of the scan.
        context_mm: Around the box, so that networks see what lies beside the outermost arteries.

    Raises:
        GeometryError: PE-GEO-001 or -002 if the mask lies on another grid.
        InputError: PE-ROI-004 if it is empty.
    """
    mask = to_lps(artery)
    require_same_grid(image_lps, mask, "the artery mask")
    inside = sitk.GetArrayFromImage(mask) > 0
    spacing = spacing_zyx(image_lps)
    held = Box.around(inside)
    if held is None:
        raise InputError("PE-ROI-004", "the artery mask is empty", "leave --roi artery out for this scan")
    box = held.grown(max(context_mm, ARTERY_MARGIN_MM), spacing, inside.shape)
    near = distance_mm(np.ascontiguousarray(inside[box.slices]), spacing) >= -ARTERY_MARGIN_MM
    return Region(box, np.asarray(near), "artery", artery=mask)


MIN_PROBABILITY = 0.5
MIN_MM3 = 1000.0  # of a connected piece: a few centimetres of a segmental artery


def artery_model(models: Iterable[TrainedModel]) -> TrainedModel:
    """The first model that tells arteries, with its first fold, and arteries in the place of PE.

    Args:
        models: The ensemble.

    Raises:
        ConfigurationError: PE-MODEL-007 if there is none.
    """
    for model in models:
        channel = artery_channel(model.dataset_json["labels"], model.regions)
        if channel is not None:
            return replace(model, folds=model.folds[:1], pe_channel=channel)
    raise ConfigurationError(
        "PE-MODEL-007",
        "--roi artery without --artery: no model of the ensemble tells arteries",
        "give masks with --artery, or a model of the scheme artery-pe",
    )


def predict_arteries(
    models: Sequence[TrainedModel],
    image_lps: sitk.Image,
    lungs: Region,
    device: torch.device,
    settings: InferenceSettings,
    progress: Progress | None = None,
    further: Sequence[sitk.Image] = (),
) -> sitk.Image:
    """A mask of the arteries within the lungs' hull.

    Args:
        models: The ensemble.
        image_lps: HU, axes in LPS order.
        lungs: Where to look.
        device: Where the network runs.
        settings: Of the ensemble; mirroring is off here, and windows do not overlap.
        progress: See `predict_ensemble`.
        further: Channels beside the CT, on its grid.

    Returns:
        uint8, on the image's grid.

    Raises:
        ConfigurationError: PE-MODEL-007 if no model tells arteries.
    """
    part = crop(image_lps, lungs.box)
    quick = replace(settings, mirroring=False, step=1.0)
    probability, _ = predict_ensemble(
        [artery_model(models)],
        part,
        device,
        quick,
        within=lungs.within,
        progress=progress,
        further=[crop(channel, lungs.box) for channel in further],
    )
    min_voxels = max(1, round(MIN_MM3 / float(np.prod(spacing_zyx(image_lps)))))
    mask = cc3d.dust(probability >= MIN_PROBABILITY, threshold=min_voxels, connectivity=26)
    return paste(mask.astype(np.uint8), lungs.box, image_lps)
