"""Images and record of a case with its corrected emboli: on the crop that it has, or as a conversion makes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from pe_nnunet.correction.edited_file import Places
from pe_nnunet.dataset.raw import case_file
from pe_nnunet.dataset.records import CaseRecord
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions, Scheme
from pe_nnunet.dataset_conversion.labels import embolus_volumes_mm3, make_label
from pe_nnunet.dataset_conversion.patterns import MaskLookup
from pe_nnunet.dataset_conversion.prepare import prepare, restore
from pe_nnunet.dataset_conversion.sources import CaseSource, CaseVolumes, artery_alone, read_mask_file
from pe_nnunet.errors import InputError, Note
from pe_nnunet.roi import crop
from pe_nnunet.volumes import Scan, image_like, read_label, to_lps
from pe_nnunet.volumes.case_names import HASHED
from pe_nnunet.volumes.files.volume_file import file_sha256
from pe_nnunet.voxels import Box

KIND = "correction"
_BY_CONTRAST = "PE-CONV-037"


def corrected_case(
    dataset_folder: Path,
    record: CaseRecord,
    places: Places,
    emboli: sitk.Image,
    edited: Path,
    scheme: Scheme,
    note: Note,
) -> tuple[dict[str, sitk.Image], CaseRecord]:
    """A case of the dataset with other emboli; its crop grows where they lie beyond it.

    Args:
        dataset_folder: The dataset.
        record: Of the case.
        places: With its image, and with its scan where the crop has to grow.
        emboli: Ids on the grid of the scan.
        edited: The file that they come from.
        scheme: Of the dataset's labels.
        note: That says who corrected it.

    Raises:
        InputError: PE-COR-003 if emboli lie outside the crop, and the scan is not given or is another.
    """
    mask = to_lps(emboli)
    around = Box.around(sitk.GetArrayViewFromImage(mask) > 0)
    box = record.box if around is None else record.box.union(around)
    if box != record.box and not _is_scan_of(places):
        text = f"emboli in {edited.name} lie outside the crop of {record.case}, which needs the scan to grow"
        raise InputError("PE-COR-003", text, "give the scan that the dataset was converted from with -i")
    images: dict[str, sitk.Image] = {}
    for role in ("image", "lungs", "artery"):
        path = case_file(dataset_folder, role, record.case, test=record.test)
        if box == record.box:
            if role == "image" and places.crop is not None:
                images[role] = places.crop
            elif path.is_file():
                images[role] = read_label(path)
        elif role == "image" and places.scan is not None:
            images[role] = crop(to_lps(places.scan.image), box)
        elif path.is_file():
            images[role] = crop(to_lps(restore(read_label(path), record)), box)
    ids = sitk.GetArrayFromImage(crop(mask, box))
    artery = sitk.GetArrayViewFromImage(images["artery"]) if "artery" in images else None
    images["instances"] = image_like(ids, images["image"])
    images["label"] = image_like(make_label(scheme, ids, artery), images["image"])
    voxels, whole, inside = int(np.count_nonzero(ids)), int(np.prod(record.geometry.size_xyz)), int(np.prod(box.shape))
    volumes_mm3 = embolus_volumes_mm3(ids, float(np.prod(emboli.GetSpacing())))
    grown = (Note("PE-CONV-014", "warning", f"the crop was grown from {record.box.shape} to {box.shape} (z, y, x)"),)
    after = replace(
        record,
        box=box,
        sha256=record.sha256 | {"label": file_sha256(edited)},
        ids_from="source",
        embolus_mm3={k: round(mm3, 3) for k, mm3 in volumes_mm3.items()},
        embolus_voxels=voxels,
        target_ratio_before=voxels / whole,
        target_ratio_after=voxels / inside,
        target_ratio_factor=whole / inside,
        notes=(*record.notes, *(grown if box != record.box else ()), note),
    )
    return images, after


def _is_scan_of(places: Places) -> bool:
    """Whether a scan was given, and has the voxels of the dataset's crop."""
    if places.scan is None or places.record is None or places.crop is None:
        return False
    there = crop(to_lps(places.scan.image), places.record.box)
    return np.array_equal(sitk.GetArrayViewFromImage(there), sitk.GetArrayViewFromImage(places.crop))


def new_case(
    scan: Scan,
    case: str,
    emboli: sitk.Image,
    edited: Path,
    records: Mapping[str, CaseRecord],
    options: ConvertOptions,
    names: str,
    note: Note,
) -> tuple[dict[str, sitk.Image], CaseRecord]:
    """A case that is new to the dataset, as a conversion with the settings of the others makes it.

    Args:
        scan: The scan.
        case: Case id.
        emboli: Ids on its grid.
        edited: The file that they come from.
        records: Of the other cases: the margin, and whether arteries come by contrast, are theirs.
        options: The rest.
        names: How the dataset names its cases.
        note: That says who labelled it.

    Raises:
        PEError: PE-CONV-008 if the scheme needs an artery mask and there is none; what `prepare` raises.
    """
    margin_mm = Counter(record.margin_mm for record in records.values()).most_common(1)[0][0]
    by_contrast = all(any(n.code == _BY_CONTRAST for n in record.notes) for record in records.values())
    where = options.artery or ("contrast" if options.scheme == "artery-pe" and by_contrast else None)
    options = replace(options, lung_margin_mm=margin_mm, artery=where)
    path = None
    if options.scheme != "pe" and not options.arteries_by_contrast:
        path = None if where is None else MaskLookup(where, "artery mask").find(case)
        if path is None:
            text = f"no artery mask of {case}, which the labels of the dataset need"
            raise InputError("PE-CONV-008", text, "give --artery: masks, or `contrast`")
    source = CaseSource(
        case, scan.ref, case if names == HASHED else scan.ref.shown_name, edited, path, "instances", own_label=True
    )
    sha256 = {"image": scan.sha256, "label": file_sha256(edited)} | ({"artery": file_sha256(path)} if path else {})
    artery, notes = None, list(scan.notes)
    if path is not None:
        vessels, found = read_mask_file(path, scan, "artery", options)
        artery, notes = artery_alone(vessels, path.name), [*notes, *found]
    volumes = CaseVolumes(
        scan.image,
        emboli,
        artery,
        scan.dicom.patient_key if scan.dicom is not None else case,
        sha256,
        (*notes, note),
    )
    images, record = prepare(KIND, source, volumes, options)
    return images, replace(record, notes=tuple(n.without(source.hidden) for n in record.notes))
