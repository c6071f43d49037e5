"""The detector's training data: chosen slices of a converted dataset as pictures, with YOLO's label files beside them.

- `images/<case>_<slice>.png`: three windows as red, green and blue
- `labels/<case>_<slice>.txt`: boxes of lungs and emboli; empty where there is neither
- `slices.csv`: what each picture shows, and its target ratio
- `slices.json`: what it was made with, written last
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from tqdm import tqdm

from pe_nnunet.dataset.dataset_json import DATASET, ignored_values, read_dataset_json
from pe_nnunet.dataset.raw import case_file, load_cases
from pe_nnunet.detection.raster import MOST_PIXELS, STRIDE, WINDOWS_HU, Layout, Raster
from pe_nnunet.detection.settings import DetectorSettings
from pe_nnunet.detection.slice_labels import (
    EMBOLUS,
    LUNG,
    choose_slices,
    embolus_boxes,
    lung_boxes,
    widened,
    yolo_lines,
)
from pe_nnunet.errors import ConfigurationError, Note, OutputError
from pe_nnunet.files import atomic_csv, atomic_json, tree_sha256
from pe_nnunet.files.json_reader import MALFORMED, read_object
from pe_nnunet.metrics.ignored import without_ignored
from pe_nnunet.metrics.instances import LabelKind, ignored_voxels
from pe_nnunet.volumes import read_label, require_same_grid, spacing_zyx

RECORD, TABLE = "slices.json", "slices.csv"
_COLUMNS = ("picture", "case", "slice", "embolus_boxes", "lung_boxes", "target_ratio")


@dataclass(frozen=True)
class SliceSet:
    """Pictures to train a detector on.

    Attributes:
        folder: Holds `images/` and `labels/`.
        raster: Their pixels.
        pictures: Names without ending, by case.
        patients: Key of the patient, by case.
        notes: Cases that were left out.
    """

    folder: Path
    raster: Raster
    pictures: dict[str, tuple[str, ...]]
    patients: dict[str, str]
    notes: tuple[Note, ...] = ()

    def images(self, cases: Sequence[str]) -> list[Path]:
        """The pictures of these cases; cases that were left out have none."""
        return [self.folder / "images" / f"{name}.png" for case in cases for name in self.pictures.get(case, ())]


def export_slices(raw: Path, folder: Path, settings: DetectorSettings, pixel_mm: float | None = None) -> SliceSet:
    """Write the pictures of all training cases of a dataset; what an earlier run has written alike is used again.

    Args:
        raw: A dataset that `pe-nnunet convert` wrote: its images are cropped to the lungs.
        folder: Where to.
        settings: Say how large the pictures are and which slices are taken.
        pixel_mm: Side of a pixel; None chooses it so that the largest slice fits.

    Raises:
        ConfigurationError: PE-CONV-013 no dataset of ours; PE-DET-003 a side that no detector takes; PE-DET-004 no
            case with a lung mask.
        OutputError: If a file cannot be written.
    """
    side = settings.image_size
    if not 2 * STRIDE <= side <= MOST_PIXELS or side % STRIDE:
        text = f"the image size is {side}, expected a multiple of {STRIDE} from {2 * STRIDE} to {MOST_PIXELS}"
        raise ConfigurationError("PE-DET-003", text)
    patients, notes = _usable_cases(raw)
    raster = Raster(pixel_mm or _pixel_mm(raw, list(patients), side), side)
    record = {
        "slices": {name: getattr(settings, name) for name in ("slices_per_embolus", "negative_share", "min_negatives")},
        "raster": asdict(raster),
        "seed": settings.seed,
        "windows_hu": [list(window) for window in WINDOWS_HU],
        "files": {case: _state(raw, case) for case in patients},
    }
    known = _read(folder / RECORD)
    same = known is not None and {key: known.get(key) for key in record} == json.loads(json.dumps(record))
    if known is not None and same and known.get("written") == _written(folder):
        pictures = {case: tuple(names) for case, names in known["pictures"].items()}
        return SliceSet(folder, raster, pictures, patients, notes)
    (folder / RECORD).unlink(missing_ok=True)  # first: stopped half-way, what is left must not be taken for whole
    shutil.rmtree(folder, ignore_errors=True)
    pictures, rows = {}, []
    for case in tqdm(patients, desc="slices", unit="case", disable=None, leave=False):
        written = _export_case(raw, folder, case, raster, settings)
        pictures[case] = tuple(row[0] for row in written)
        rows += written
    atomic_csv(folder / TABLE, _COLUMNS, rows)
    atomic_json(folder / RECORD, record | {"pictures": pictures, "written": _written(folder)})
    return SliceSet(folder, raster, pictures, patients, notes)


def extra_images(sets: Sequence[SliceSet], unseen_patients: Collection[str]) -> list[Path]:
    """Pictures of further datasets, to train on only, without those of patients that the fold is validated on."""
    return [path for extra in sets for path in extra.images(extra_cases(extra, unseen_patients))]


def extra_cases(extra: SliceSet, unseen_patients: Collection[str]) -> list[str]:
    """The cases of a further dataset that have pictures, without those of patients that the fold is validated on."""
    return [case for case, names in extra.pictures.items() if names and extra.patients[case] not in unseen_patients]


def write_picture(folder: Path, name: str, picture: npt.NDArray[np.uint8], lines: Sequence[str]) -> None:
    """Write one picture and its label lines.

    Args:
        folder: Of the slice set.
        name: Without ending.
        picture: (y, x, 3).
        lines: As `yolo_lines` gives them.

    Raises:
        OutputError: PE-OUT-001 if they cannot be written.
    """
    try:
        for kind in ("images", "labels"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(sitk.GetImageFromArray(picture, isVector=True), str(folder / "images" / f"{name}.png"))
        (folder / "labels" / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except (OSError, RuntimeError) as error:  # SimpleITK raises RuntimeError
        reason = str(error).strip().splitlines()[-1]
        raise OutputError("PE-OUT-001", f"{name} cannot be written to {folder}: {reason}", "check the disk") from error


def slice_lines(
    lungs: npt.NDArray[np.integer], instances: npt.NDArray[np.integer], layout: Layout
) -> tuple[list[str], list[str]]:
    """Label lines of one slice: of the lungs, and of the emboli, which are widened to what the detector can see."""
    shape = layout.picture_shape
    lung = yolo_lines(layout.to_pixels(lung_boxes(lungs)), LUNG, shape)
    return lung, yolo_lines(widened(layout.to_pixels(embolus_boxes(instances))), EMBOLUS, shape)


def _export_case(
    raw: Path, folder: Path, case: str, raster: Raster, settings: DetectorSettings
) -> list[tuple[str, str, int, int, int, str]]:
    image, instances, lungs = (sitk.ReadImage(str(case_file(raw, r, case))) for r in ("image", "instances", "lungs"))
    for other, what in ((instances, "the embolus ids"), (lungs, "the lung mask")):
        require_same_grid(image, other, f"{what} of case {case}")
    hu, emboli, lung = (sitk.GetArrayViewFromImage(part) for part in (image, instances, lungs))
    ignored = _ignored(raw, case, image)
    emboli = without_ignored(emboli.astype(np.int32), ignored)
    doubtful = None if ignored is None else np.asarray(ignored.any(axis=(1, 2)))
    _, *spacing_yx = spacing_zyx(image)
    layout = Layout(raster, hu.shape[1:], spacing_yx)
    rng = np.random.default_rng([settings.seed, zlib.crc32(case.encode())])
    rows = []
    for z in sorted(index for some in choose_slices(emboli, settings, rng, doubtful) for index in some):
        of_lungs, of_emboli = slice_lines(lung[z], emboli[z], layout)
        name = f"{case}_{z:04d}"
        write_picture(folder, name, layout.pictures(hu[z : z + 1])[0], [*of_lungs, *of_emboli])
        rows.append((name, case, z, len(of_emboli), len(of_lungs), f"{np.mean(emboli[z] > 0):.3e}"))
    return rows


def _ignored(raw: Path, case: str, image: sitk.Image) -> npt.NDArray[np.bool_] | None:
    """The voxels that nnU-Net's label of a case ignores; None where there are none."""
    values = _ignored_values(raw)
    if not values:
        return None
    label = read_label(case_file(raw, "label", case))
    require_same_grid(image, label, f"the label of case {case}")
    return ignored_voxels(sitk.GetArrayViewFromImage(label), LabelKind(ignored=values))


def _ignored_values(raw: Path) -> tuple[int, ...]:
    return ignored_values(read_dataset_json(raw, "PE-CONV-013")["labels"]) if (raw / DATASET).is_file() else ()


def _usable_cases(raw: Path) -> tuple[dict[str, str], tuple[Note, ...]]:
    """Training cases with a lung mask, each with its patient, and a note for each without."""
    training = {case: record.patient for case, record in sorted(load_cases(raw).items()) if not record.test}
    usable = {case: patient for case, patient in training.items() if case_file(raw, "lungs", case).is_file()}
    if not usable:
        raise ConfigurationError(
            "PE-DET-004", f"no training case of {raw.name} has a lung mask", "convert the dataset with pe-nnunet"
        )
    return usable, tuple(
        Note("PE-DET-010", "warning", f"case {case} has no lung mask: the detector is not trained on it")
        for case in training
        if case not in usable
    )


def _pixel_mm(raw: Path, cases: Sequence[str], side: int) -> float:
    """The pixel size at which the largest slice just fits."""
    largest_mm = 0.0
    for case in cases:
        header = sitk.ImageFileReader()
        header.SetFileName(str(case_file(raw, "image", case)))
        header.ReadImageInformation()
        largest_mm = max(largest_mm, *(header.GetSize()[i] * header.GetSpacing()[i] for i in (0, 1)))
    return round(largest_mm / side + 5e-4, 3)


def _state(raw: Path, case: str) -> list[str]:
    """Hashes of the case's files."""
    roles = ("image", "instances", "lungs", *(["label"] if _ignored_values(raw) else []))
    return [tree_sha256(case_file(raw, role, case)) for role in roles]


def _written(folder: Path) -> list[str]:
    """Hashes of the pictures and their labels."""
    return [tree_sha256(folder / name) for name in ("images", "labels")]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        known = read_object(path)
    except MALFORMED:
        return None
    return known if "pictures" in known else None
