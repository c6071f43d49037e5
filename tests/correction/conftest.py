"""A converted dataset of three drawn scans, a further DICOM series, and what predict-fused writes of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.dataset_conversion import ConvertOptions, convert
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.outputs import CaseResult, ModelRecord, write_case
from pe_nnunet.volumes import Scan, find_scans, image_like, read_scan, write_dicom_series, write_image
from tests.dataset_conversion.conftest import draw_thorax

NAME = "Dataset501_PE"
FILES = ("emboli", "table", "agreement", "dicom_seg")
NETWORKS = tuple(ModelRecord("T__P__3d_fullres", "Dataset500_X", str(k), "checkpoint_final.pth", "") for k in range(4))
Predict = Callable[..., Scan]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`raw` with the dataset, `scans` with what it was converted from and a DICOM series `new`, `arteries`."""
    root = tmp_path_factory.mktemp("correction")
    for k, case in enumerate(("a", "b", "c", "new")):
        drawn = draw_thorax(2 if case != "c" else 0, seed=k)
        write_image(drawn.artery, root / "arteries" / f"{case}.nii.gz")
        if case == "new":
            write_dicom_series(drawn.ct, root / "scans" / case, patient_id="Q17")
            continue
        write_image(drawn.ct, root / "scans" / f"{case}.nii.gz")
        write_image(drawn.emboli, root / "labels" / f"{case}.nii.gz")
    shutil.copytree(root / "scans", root / "converted", ignore=shutil.ignore_patterns("new"))
    with pytest.MonkeyPatch.context() as patch:
        (root / "raw").mkdir()
        patch.setenv("nnUNet_raw", str(root / "raw"))
        masks = {"labels": str(root / "labels"), "artery": str(root / "arteries")}
        options = ConvertOptions(**masks, scheme="artery-pe", folds=3)
        convert("nifti", root / "converted", 501, "PE", options)
    return root


@pytest.fixture
def dataset(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the dataset, in nnU-Net's folders."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    return Path(shutil.copytree(made / "raw" / NAME, tmp_path / "nnUNet_raw" / NAME))


@pytest.fixture
def predict(made: Path, tmp_path: Path) -> Predict:
    """Write into `out` what predict-fused writes of a scan, for boxes of these probabilities and agreements."""

    def write(case: str, *boxes: tuple[tuple[slice, ...], float, float], networks: int = 4) -> Scan:
        (ref,) = (ref for ref in find_scans(made / "scans") if ref.case_id == case)
        scan = read_scan(ref)
        probability, agreement = (np.zeros(scan.image.GetSize()[::-1], np.float32) for _ in range(2))
        for where, value, share in boxes:
            probability[where], agreement[where] = value, share
        result = CaseResult(
            case,
            scan.image,
            find_emboli(probability, scan.image.GetSpacing()[::-1], FusionSettings()),
            agreement=image_like(agreement, scan.image),
            source=ref.shown_name,
            source_sha256=scan.sha256,
            models=NETWORKS[:networks],
            dicom=scan.dicom,
        )
        write_case(result, tmp_path / "out", FILES)
        return scan

    return write


def ids_of(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def write_slicer(
    path: Path, scan: sitk.Image, layers: Sequence[np.ndarray], segments: Sequence[tuple[str, int, int]]
) -> Path:
    """A `.seg.nrrd` as 3D Slicer 5 saves it: cropped to what is drawn, segments by name, layer and value in the header.

    Args:
        path: The file.
        scan: What was drawn on.
        layers: (z, y, x) each.
        segments: Name, layer and value.
    """
    drawn = np.argwhere(np.any(layers, axis=0))
    low, high = drawn.min(axis=0) - 1, drawn.max(axis=0) + 2
    inside = tuple(slice(*ends) for ends in zip(low, high, strict=True))
    start = scan.TransformIndexToPhysicalPoint([int(n) for n in low[::-1]])
    x_mm, y_mm, z_mm = scan.GetSpacing()
    voxels = np.stack([layer[inside] for layer in layers], axis=-1).astype(np.uint8)
    depth, rows, columns = voxels.shape[:3]
    several = len(layers) > 1
    extent = f"0 {columns - 1} 0 {rows - 1} 0 {depth - 1}"
    lines = [
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        "type: unsigned char",
        f"dimension: {4 if several else 3}",
        "space: left-posterior-superior",
        f"sizes: {f'{len(layers)} ' if several else ''}{columns} {rows} {depth}",
        f"space directions: {'none ' if several else ''}({x_mm},0,0) (0,{y_mm},0) (0,0,{z_mm})",
        f"kinds: {'list ' if several else ''}domain domain domain",
        "encoding: raw",
        f"space origin: ({','.join(map(repr, start))})",
    ]
    for k, (name, layer, value) in enumerate(segments):
        lines += [
            f"Segment{k}_Color:=0.564706 0.933333 0.564706",
            f"Segment{k}_ColorAutoGenerated:=1",
            f"Segment{k}_Extent:={extent}",
            f"Segment{k}_ID:=Segment_{k + 1}",
            f"Segment{k}_LabelValue:={value}",
            f"Segment{k}_Layer:={layer}",
            f"Segment{k}_Name:={name}",
            f"Segment{k}_NameAutoGenerated:={int(name.startswith('Segment'))}",
            f"Segment{k}_Tags:=Segmentation.Status:inprogress|TerminologyEntry:Segmentation category and type|",
        ]
    lines += [
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|Closed surface|",
        "Segmentation_ConversionParameters:=",
        "Segmentation_MasterRepresentation:=Binary labelmap",
        f"Segmentation_ReferenceImageExtentOffset:={' '.join(str(int(n)) for n in low[::-1])}",
    ]
    path.write_bytes("\n".join([*lines, "", ""]).encode() + voxels.tobytes())
    return path
