"""Labelled scans that belong to no dataset of nnU-Net's: what their labels mean, and whether a model has seen them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pe_nnunet.calibration.held_out import require_unseen
from pe_nnunet.calibration.trained_on import Trained
from pe_nnunet.dataset.label_values import dataset_json_beside, holds_ids, read_label_values
from pe_nnunet.errors import InputError
from pe_nnunet.inference.channels import further_channels, without_further_channels
from pe_nnunet.metrics.instances import AUTO, LabelKind, ignored_voxels, require_known_values, to_instances
from pe_nnunet.volumes import Scan, ScanRef, find_scans, laid_on, read_label, read_scan, to_lps
from pe_nnunet.volumes.files.volume_file import scan_sha256

FurtherScan = tuple[str, sitk.Image, NDArray[Any], NDArray[np.bool_] | None, list[sitk.Image]]
"""Name, CT in LPS axes, ids of its emboli, which voxels are ignored, if any, (z, y, x), and channels beside the CT."""


def kind_of_labels(labels: Path, dataset_json: Path | None) -> LabelKind:
    """What the labels in a folder mean: as the `dataset.json` beside them says; without one, ids or masks.

    Args:
        labels: The folder.
        dataset_json: The file, if it lies elsewhere.

    Raises:
        ConfigurationError: PE-EVAL-014 if it does not say what is an embolus.
    """
    if holds_ids(labels):
        return LabelKind("instances")
    path = dataset_json or dataset_json_beside(labels)
    return AUTO if path is None else LabelKind("class", *read_label_values(path).for_classes)


def hashes_of(scan: Scan) -> tuple[str, ...]:
    """By which a scan is known again, see `scan_hashes`."""
    return scan_sha256(scan.ref.path) if scan.ref.kind == "file" else (scan.sha256,)


def truth_in_lps(scan: Scan, label: Path, kind: LabelKind) -> tuple[sitk.Image, NDArray[Any], NDArray[np.bool_] | None]:
    """A scan in LPS axes, the ids of its emboli and its ignored voxels, if any, (z, y, x).

    Args:
        scan: As it was read.
        label: Its label.
        kind: What the label's values mean.

    Raises:
        PEError: If the label cannot be read, lies on another grid (PE-GEO-001 or -002) or holds other values than it
            should (PE-EVAL-016).
    """
    what = f"the label of case {scan.case_id}"
    file = scan.ref.path if scan.ref.kind == "file" else None
    values = sitk.GetArrayFromImage(to_lps(laid_on(scan.image, file, read_label(label), label, what)[0]))
    require_known_values(values, kind, what)
    return to_lps(scan.image), to_instances(values, kind), ignored_voxels(values, kind)


def read_further_scans(
    scans: Path, labels: Path, dataset_json: Path | None, trained: Trained, channels: int = 1
) -> list[FurtherScan]:
    """Scans with their labels, `<case>.nii.gz`.

    Args:
        scans: Folder of the scans.
        labels: Folder of their labels.
        dataset_json: See `kind_of_labels`.
        trained: What the models were trained on.
        channels: That the models need.

    Raises:
        PEError: If one of them cannot be read, lacks a channel (PE-MODEL-005), or was seen in a training (PE-EVAL-012).
    """
    kind = kind_of_labels(labels, dataset_json)
    further: list[FurtherScan] = []
    hashes: dict[str, tuple[str, ...]] = {}
    for ref in without_further_channels(find_scans(scans), channels):
        scan = read_scan(ref)
        beside = [to_lps(channel) for channel in further_channels(ref, scan.image, channels)]
        hashes[ref.case_id] = hashes_of(scan)
        further.append((ref.case_id, *truth_in_lps(scan, label_of(ref, labels), kind), beside))
    require_unseen(trained, hashes)
    return further


def label_of(ref: ScanRef, labels: Path | Mapping[str, Sequence[Path]]) -> Path:
    """The label of a scan.

    Args:
        ref: The scan.
        labels: Folder of `<case>.nii.gz`; or files by case.

    Raises:
        InputError: PE-LBL-001 if there is none; PE-EVAL-004 if there are several.
    """
    if isinstance(labels, Path):
        name = f"{ref.mask_id}.nii.gz"
        files, where = [path for path in [labels / name] if path.is_file()], f" {name} in {labels}"
    else:
        files, where = list(labels.get(ref.mask_id, ())), f" of case {ref.mask_id}"
    if not files:
        raise InputError("PE-LBL-001", f"no label{where}", "name labels like the cases")
    if len(files) > 1:
        names = " and ".join(map(str, files))
        raise InputError("PE-EVAL-004", f"{names} are both labels of this case", "remove one of them")
    return files[0]
