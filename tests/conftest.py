"""What the tests of several packages share: interpreters, a wheel in its own environment, model folders, a scan."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import sysconfig
import tracemalloc
import venv
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # networks here are so small that threads would only wait for each other

import numpy as np
import pytest
import SimpleITK as sitk

FreshPython = Callable[..., Any]
ModelFolder = Callable[..., Path]
REPOSITORY = Path(__file__).parents[1]
SOURCES = ("pe_nnunet", "planners", "trainers", "networks", "dataset_conversion")
FILES = ("pyproject.toml", "README.md", "LICENSE")
TOGETHER = ("tests/cluster", "tests/detection", "tests/phantom")  # their files share what takes long to make


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where tests run in several processes by `--dist loadfile`, give each whole files, and some whole folders."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            folder = file.rpartition("/")[0]
            return folder if folder in TOGETHER else file

    return Scheduling(config, log)


@pytest.fixture
def fresh_python(tmp_path: Path) -> FreshPython:
    """Run code in a fresh interpreter in an empty folder, without this shell's settings of nnU-Net and of ours.

    The code assigns to `answer`, which comes back by way of JSON; keyword arguments are environment variables.
    """
    folder = tmp_path / "empty"

    def run(code: str, *, python: str | Path = sys.executable, isolated: bool = False, **variables: str) -> Any:
        folder.mkdir(exist_ok=True)
        dropped = ("nnUNet_", "PE_NNUNET_", "TORCH_DEVICE_BACKEND_AUTOLOAD", "PYTHONPATH")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        environment |= {"OMP_NUM_THREADS": "1"} | variables
        done = subprocess.run(
            [python, *(["-I"] if isolated else []), "-c", f"{code}\nimport json; print(json.dumps(answer))"],
            capture_output=True,
            text=True,
            cwd=folder,
            env=environment,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def peak_bytes() -> Callable[[Callable[[], object]], int]:
    """The most that Python and NumPy hold at once while a function runs, beyond what they held before."""

    def traced(work: Callable[[], object]) -> int:
        tracemalloc.start()
        try:
            work()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    return traced


@pytest.fixture(scope="session")
def write_seg() -> Callable[..., Path]:
    """Write ids (z, y, x), or shares of voxels, as a DICOM SEG over the files of its slices, in their order."""

    def write(
        path: Path, files: Sequence[Path], ids: Any, names: Sequence[str], *, kind: str = "BINARY", syntax: str = ""
    ) -> Path:
        import highdicom
        import pydicom
        from pydicom.sr.codedict import codes
        from pydicom.uid import ExplicitVRLittleEndian, generate_uid

        descriptions = [
            highdicom.seg.SegmentDescription(
                segment_number=k,
                segment_label=name,
                segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
                segmented_property_type=codes.SCT.Embolus,
                algorithm_type="MANUAL",
            )
            for k, name in enumerate(names, 1)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the patients of tests have odd names
            seg = highdicom.seg.Segmentation(
                source_images=[pydicom.dcmread(file) for file in files],
                pixel_array=ids,
                segmentation_type=kind,
                segment_descriptions=descriptions,
                series_instance_uid=generate_uid(),
                series_number=2,
                sop_instance_uid=generate_uid(),
                instance_number=1,
                manufacturer="test",
                manufacturer_model_name="test",
                software_versions="1",
                device_serial_number="1",
                transfer_syntax_uid=syntax or ExplicitVRLittleEndian,
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        seg.save_as(path)
        return path

    return write


def _pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def source_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources in another folder: building writes beside them, and stale build folders leak into wheels."""
    folder = tmp_path_factory.mktemp("source") / "project"
    folder.mkdir()
    for name in SOURCES:
        shutil.copytree(REPOSITORY / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(REPOSITORY / name, folder)
    return folder


@pytest.fixture(scope="session")
def wheel(source_copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel."""
    return _build_wheel(source_copy, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def wheel_from_sdist(source_copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel by way of a source distribution."""
    folder = tmp_path_factory.mktemp("sdist")
    code = f"import setuptools.build_meta as backend; backend.build_sdist({str(folder)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=source_copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (sdist,) = folder.glob("*.tar.gz")
    return _build_wheel(sdist, tmp_path_factory.mktemp("wheel_from_sdist"))


def _build_wheel(source: Path, folder: Path) -> Path:
    _pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, source)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def wheel_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel and, by links, all third-party packages of this environment."""
    folder = tmp_path_factory.mktemp("environment")
    third_party = folder / "third_party"
    third_party.mkdir()
    for installed in sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}):
        for entry in Path(installed).iterdir():
            ours = entry.name.startswith(("pe_nnunet", "__editable__"))
            if not ours and entry.suffix != ".pth" and entry.name != "__pycache__":
                (third_party / entry.name).symlink_to(entry)
    venv.create(folder / "venv", symlinks=os.name != "nt", with_pip=False)
    python = folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    _pip("--python", python, "install", "--no-deps", "--no-index", "--no-compile", wheel)
    (site_packages,) = (folder / "venv").glob("**/site-packages")
    (site_packages / "third_party.pth").write_text(f"{third_party}\n")
    return python


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of third-party scans."""
    default = REPOSITORY / ".." / "shared" / "data"
    folder = Path(os.environ.get("PE_NNUNET_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; PE_NNUNET_TEST_DATA names another folder")
    return folder


class _Threads:
    """Stands in for multiprocessing's contexts."""

    Pool = ThreadPool


def run_nnunet_here(patch: pytest.MonkeyPatch) -> None:
    """Let nnU-Net's steps up to a training do with this process, and with a fraction of their time.

    Its workers each import torch, or are copies of this process, twelve at each look at a dataset's files; and its
    fingerprint draws a hundred million voxels, however few there are: seconds each, and GiB.
    """
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
    from nnunetv2.utilities import utils

    patch.setattr(multiprocessing, "get_context", lambda method=None: _Threads)
    patch.setattr(utils, "Pool", ThreadPool)
    few = property(lambda _: 10_000, lambda _, __: None)  # it is set for each dataset
    patch.setattr(DatasetFingerprintExtractor, "num_foreground_voxels_for_intensitystats", few, raising=False)


CT_PROPERTIES = {"max": 1000.0, "mean": 50.0, "median": 60.0, "min": -1000.0, "percentile_00_5": -900.0}
LUNG_HU, BLOOD_HU, CLOT_HU = -850, 350, 40


def plans_of(
    patch: Sequence[int], spacing: Sequence[float], forward: Sequence[int], resampling: str = "skimage"
) -> dict[str, Any]:
    """Plans with a small network of nnU-Net's own."""
    dims = len(patch)
    conv = f"torch.nn.modules.conv.Conv{dims}d"
    norm = f"torch.nn.modules.instancenorm.InstanceNorm{dims}d"
    data = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    probabilities: dict[str, Any] = {**data, "order": 1}
    function = "resample_data_or_seg_to_shape"
    if resampling == "torch":
        function, probabilities = "resample_torch_fornnunet", {"is_seg": False, "force_separate_z": None}
    name = f"{dims}d" if dims == 2 else "3d_fullres"
    configuration = {
        "data_identifier": f"nnUNetPlans_{name}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(patch),
        "median_image_size_in_voxels": [64, 64, 64],
        "spacing": list(spacing),
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": data,
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_seg_kwargs": {**data, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": function,
        "resampling_fn_probabilities_kwargs": probabilities,
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": {
                "n_stages": 2,
                "features_per_stage": [4, 8],
                "conv_op": conv,
                "kernel_sizes": [[3] * dims] * 2,
                "strides": [[1] * dims, [2] * dims],
                "n_conv_per_stage": [1, 1],
                "n_conv_per_stage_decoder": [1],
                "conv_bias": True,
                "norm_op": norm,
                "norm_op_kwargs": {"eps": 1e-5, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": False,
    }
    return {
        "dataset_name": "Dataset501_PE",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [float(s) for s in spacing],
        "original_median_shape_after_transp": [64, 64, 64],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": list(forward),
        "transpose_backward": [int(n) for n in np.argsort(forward)],
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {**CT_PROPERTIES, "percentile_99_5": 800.0, "std": 300.0}},
        "configurations": {name: configuration},
    }


def write_model_folder(
    dataset_folder: Path,
    name: str = "nnUNetTrainer__nnUNetPlans__3d_fullres",
    *,
    folds: Sequence[int] = (0,),
    patch: Sequence[int] = (16, 16, 16),
    spacing: Sequence[float] = (4.0, 4.0, 4.0),
    forward: Sequence[int] = (0, 1, 2),
    resampling: str = "skimage",
    regions: bool = False,
    log_odds: Sequence[float] | None = None,
    gain: float = 1.0,
    channels: Sequence[str] = ("CT",),
) -> Path:
    """Write a model folder as nnU-Net does: random weights, or a network whose output is the same everywhere."""
    import torch
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    folder = dataset_folder / name
    plans = plans_of(patch, spacing, forward, resampling)
    ((configuration, settings),) = plans["configurations"].items()
    settings["normalization_schemes"] += ["NoNormalization"] * (len(channels) - 1)
    settings["use_mask_for_norm"] += [False] * (len(channels) - 1)
    intensities = plans["foreground_intensity_properties_per_channel"]
    intensities |= {str(index): intensities["0"] for index in range(len(channels))}
    labels: dict[str, Any] = {"background": 0, "artery": [1, 2], "PE": [2]} if regions else {"background": 0, "PE": 1}
    named = {str(index): channel for index, channel in enumerate(channels)}
    dataset = {"channel_names": named, "labels": labels, "numTraining": 4, "file_ending": ".nii.gz"}
    if regions:
        dataset["regions_class_order"] = [1, 2]
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    for place, fold in enumerate(folds):
        torch.manual_seed(len(name) + fold)
        network = get_network_from_plans(
            settings["architecture"]["network_class_name"],
            settings["architecture"]["arch_kwargs"],
            settings["architecture"]["_kw_requires_import"],
            len(channels),
            2,
            deep_supervision=False,
        )
        head = network.decoder.seg_layers[-1]
        with torch.no_grad():
            head.weight *= gain
            if log_odds is not None:
                head.weight.zero_()
                head.bias.copy_(torch.tensor([0.0, log_odds[place]]))
        checkpoint = {
            "network_weights": network.state_dict(),
            "trainer_name": "nnUNetTrainer",
            "init_args": {"configuration": configuration},
            "inference_allowed_mirroring_axes": tuple(range(len(patch))),
        }
        (folder / f"fold_{fold}").mkdir()
        torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")
    return folder


@pytest.fixture
def model_folder(tmp_path: Path) -> ModelFolder:
    """`write_model_folder` in the results of a dataset."""

    def make(*args: Any, **kwargs: Any) -> Path:
        return write_model_folder(tmp_path / "results" / "Dataset501_PE", *args, **kwargs)

    return make


@pytest.fixture
def thorax() -> sitk.Image:
    """The image of `make_thorax`."""
    return make_thorax()


def make_thorax(clots_mm: Sequence[float] = (-60, 50)) -> sitk.Image:
    """Two lungs in a body with a bright artery between them and clots in it, at 4 mm, in LPS.

    Args:
        clots_mm: Where along the artery the clots lie, from right to left.
    """
    z, y, x = (np.mgrid[:56, :60, :80] + 0.5) * 4 - np.array([112, 120, 160])[:, None, None, None]
    hu = np.full(z.shape, -1000.0)
    hu[(y / 100) ** 2 + (x / 150) ** 2 < 1] = 40
    for side in (-1, 1):
        hu[((x - side * 72) / 52) ** 2 + (y / 75) ** 2 + (z / 100) ** 2 < 1] = LUNG_HU
    hu[(y**2 + z**2 < 14**2) & (np.abs(x) < 90)] = BLOOD_HU
    for centre in clots_mm:
        hu[(y**2 + z**2 + (x - centre) ** 2) < 9**2] = CLOT_HU
    image = sitk.GetImageFromArray((hu + np.random.default_rng(0).normal(0, 10, hu.shape)).astype(np.int16))
    image.SetSpacing((4.0, 4.0, 4.0))
    image.SetOrigin((-160.0, -120.0, -112.0))
    return image
