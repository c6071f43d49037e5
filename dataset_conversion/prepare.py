"""From the volumes of one case to its cropped images and its record: no file is touched here."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pe_nnunet.dataset.records import CaseRecord, Geometry
from pe_nnunet.dataset_conversion.checks import flip_note, label_notes
from pe_nnunet.dataset_conversion.contrast_arteries import contrast_artery_mask
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.labels import embolus_ids, embolus_volumes_mm3, make_label
from pe_nnunet.dataset_conversion.sources import CaseSource, CaseVolumes
from pe_nnunet.errors import Note
from pe_nnunet.roi import crop, find_roi, paste, scan_notes
from pe_nnunet.volumes import image_like, spacing_zyx, to_lps
from pe_nnunet.voxels import Box


def prepare(
    kind: str, source: CaseSource, volumes: CaseVolumes, options: ConvertOptions
) -> tuple[dict[str, sitk.Image], CaseRecord]:
    """Bring a case to LPS axes, crop it to the lungs with every embolus in the box, and describe it.

    Args:
        kind: Kind of source, for the record.
        source: Its files.
        volumes: What they hold.
        options: How to convert.

    Returns:
        Its images by role in `raw.CASE_FILES`, all on the grid of the crop, and what is kept of it.

    Raises:
        InputError: If no lungs are found and the options do not allow that, or the masks do not fit.
    """
    image = to_lps(volumes.image)
    emboli = None if volumes.emboli is None else to_lps(volumes.emboli)
    roi = find_roi(
        image,
        margin_mm=options.lung_margin_mm,
        on_no_lungs=options.on_no_lungs,
        finder=options.lung_finder,
        lungmask_weights=options.lungmask_weights,
    )
    notes = [*volumes.notes, *roi.notes, *scan_notes(image, None if roi.lungs is None else roi.lungs.mask)]
    box = roi.box
    if emboli is not None:
        box, grown = _grown_to_hold(box, emboli)
        notes += grown
        hu, mask = sitk.GetArrayViewFromImage(image), sitk.GetArrayViewFromImage(emboli)
        notes += flip_note(hu, mask, spacing_zyx(image))
    images = {"image": crop(image, box)}
    unlabelled = emboli is None and options.scheme == "artery" and source.case_id not in options.negatives
    shape, ids_from = box.shape, "none" if unlabelled else "source"
    ids: npt.NDArray[np.uint16] = np.zeros(shape, np.uint16)
    if emboli is not None:
        ids, ids_from = embolus_ids(sitk.GetArrayFromImage(crop(emboli, box)), source.label_kind)
    images["instances"] = image_like(ids, images["image"])
    artery: npt.NDArray[np.uint8] | None = None
    if volumes.artery is not None:
        images["artery"] = crop(to_lps(volumes.artery), box)
        artery = sitk.GetArrayViewFromImage(images["artery"])
        notes += _arteries_cut(volumes.artery, artery)
    if roi.lungs is not None:
        images["lungs"] = crop(roi.lungs.mask, box)
    if options.arteries_by_contrast:
        artery = contrast_artery_mask(images["image"], images.get("lungs"), ids).astype(np.uint8)
        images["artery"] = image_like(artery, images["image"])
        notes.append(Note("PE-CONV-037", "warning", "arteries by contrast: parts of them, and perhaps of veins"))
    images["label"] = image_like(make_label(options.scheme, ids, artery), images["image"])

    volumes_mm3 = embolus_volumes_mm3(ids, float(np.prod(image.GetSpacing())))
    notes += label_notes(sitk.GetArrayViewFromImage(images["image"]), ids, volumes_mm3, options.warn_below_mm3)
    voxels, whole, inside = int(np.count_nonzero(ids)), image.GetNumberOfPixels(), int(np.prod(shape))
    record = CaseRecord(
        case=source.case_id,
        kind=kind,
        source=source.name,
        sha256=volumes.sha256,
        digest=source.digest(options),
        patient=volumes.patient,
        geometry=Geometry.of(volumes.image),
        box=box,
        margin_mm=options.lung_margin_mm,
        lungs_found=roi.lungs is not None,
        ids_from=ids_from,
        embolus_mm3={k: round(mm3, 3) for k, mm3 in volumes_mm3.items()},  # as JSON keeps it: resumed is as fresh
        embolus_voxels=voxels,
        target_ratio_before=voxels / whole,
        target_ratio_after=voxels / inside,
        target_ratio_factor=whole / inside,
        notes=tuple(notes),
        test=source.test,
    )
    return images, record


def restore(part: sitk.Image, record: CaseRecord, fill: float = 0) -> sitk.Image:
    """Put an image on the grid of the crop back onto the grid of the source.

    Args:
        part: An image of the converted case, or a prediction for it.
        record: The record of the case.
        fill: Value outside the crop.

    Returns:
        An image on the source's grid, every voxel of the crop unchanged.
    """
    source = record.geometry.blank()
    return paste(sitk.GetArrayViewFromImage(part), record.box, source, fill)


def _grown_to_hold(box: Box, emboli: sitk.Image) -> tuple[Box, list[Note]]:
    """The box and whatever of the emboli lies outside it."""
    mask = sitk.GetArrayViewFromImage(emboli)
    around = Box.around(mask)
    outside = int(np.count_nonzero(mask)) - int(np.count_nonzero(mask[box.slices]))
    if around is None or not outside:
        return box, []
    held = box.union(around)
    text = f"{outside} embolus voxels lay outside the lung box, grown from {box.shape} to {held.shape} (z, y, x)"
    return held, [Note("PE-CONV-014", "warning", text)]


def _arteries_cut(whole: sitk.Image, inside: npt.NDArray[np.uint8]) -> list[Note]:
    lost = int(np.count_nonzero(sitk.GetArrayViewFromImage(whole))) - int(np.count_nonzero(inside))
    text = f"{lost} artery voxels lie outside the lung box and were cut off"
    return [Note("PE-CONV-015", "warning", text)] if lost else []
