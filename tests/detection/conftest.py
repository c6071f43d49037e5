"""A small converted dataset, and a scan with known lungs and emboli."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk

from pe_nnunet.dataset.raw import case_file, write_cases
from pe_nnunet.dataset.records import CaseRecord, Geometry
from pe_nnunet.volumes import write_image
from pe_nnunet.voxels import Box

SHAPE, SPACING_XYZ = (12, 40, 48), (2.0, 2.0, 3.0)
Volumes = tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16], npt.NDArray[np.uint8]]


def scene(emboli: bool, seed: int = 0) -> Volumes:
    """HU, embolus ids and lungs: a chest of two boxes of lung, a bright vessel between, dark clots in it."""
    rng = np.random.default_rng(seed)
    hu = rng.normal(40, 10, SHAPE)
    lungs = np.zeros(SHAPE, np.uint8)
    lungs[1:11, 8:32, 4:18] = 1
    lungs[1:11, 8:32, 30:44] = 1
    hu[lungs > 0] = -850
    hu[:, 16:26, 19:29] = 400
    ids = np.zeros(SHAPE, np.uint16)
    if emboli:
        ids[3:9, 18:23, 21:26] = 3
        ids[5, 17:19, 27:29] = 7
    hu[ids > 0] = 60
    return hu.round().astype(np.int16), ids, lungs


def image_of(array: npt.NDArray[np.generic]) -> sitk.Image:
    """On the scene's grid."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING_XYZ)
    return image


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset as `pe-nnunet convert` writes it: p and q with emboli, n without, t in the test set."""
    folder = tmp_path_factory.mktemp("raw") / "Dataset007_Boxes"
    records = {}
    for seed, (case, emboli) in enumerate({"p": True, "q": True, "n": False, "t": True}.items()):
        for role, array in zip(("image", "instances", "lungs"), scene(emboli, seed), strict=True):
            write_image(image_of(array), case_file(folder, role, case, test=case == "t"))
        blank = image_of(np.zeros(SHAPE, np.uint8))
        records[case] = CaseRecord(
            case=case, kind="nifti", source=case, sha256={}, digest=case, patient=case, geometry=Geometry.of(blank),
            box=Box.whole(SHAPE), margin_mm=10.0, lungs_found=True, ids_from="source", embolus_mm3={},
            embolus_voxels=0, target_ratio_before=0.0, target_ratio_after=0.0, target_ratio_factor=1.0, notes=(),
            test=case == "t",
        )  # fmt: skip
    write_cases(folder, records, {})
    splits = [{"train": ["n", "p"], "val": ["q"]}, {"train": ["q"], "val": ["n", "p"]}]
    (folder / "splits_final.json").write_text(json.dumps(splits))
    return folder


# Everything that ultralytics does happens in this process: no socket, no program, no file in HOME.
_TRAIN = """
import os, sys
from pathlib import Path

broken = []
home = os.path.realpath(os.environ["HOME"])

def watch(event, args):
    if event == "subprocess.Popen" and os.path.basename(args[0]) in ("ldconfig", "gcc", "cc", "ld", "fc-list"):
        return  # torch looks for its libraries, and matplotlib, of our pictures, for fonts
    if event == "subprocess.Popen" and args[1] == ["/bin/sh", "-c", "hostname"]:
        return  # nnU-Net, on import
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "subprocess.Popen", "os.system"):
        broken.append(f"{event} {args!r}")
        raise OSError("not in this test")
    if event == "open" and isinstance(args[0], str) and os.path.realpath(args[0]).startswith(home):
        if isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            broken.append(f"{event} {args!r}")
            raise PermissionError("not in this test")

sys.addaudithook(watch)
from pe_nnunet.cli import main
import pe_nnunet.cli.train_detector, pe_nnunet.detection.scans
import pe_nnunet.detection.training_slices, pe_nnunet.detection.train
early = "ultralytics" in sys.modules
code = main(["train-detector", "-d", "7", "-f", "0", "--model", "yolo11n", "--image-size", "64", "--epochs", "2",
             "--batch", "8", "-device", "cpu", "--set", "fliplr=0.25", "--extra-boxes", "8"])
again = main(["train-detector", "-d", "7", "-f", "0", "--image-size", "64", "-device", "cpu"])

import numpy as np, torch
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.nms import non_max_suppression
from pe_nnunet.detection.architectures import find_architecture
from pe_nnunet.detection.yolo import build_network
fold = Path(os.environ["nnUNet_results"]) / "Dataset007_Boxes" / "PEDetector__yolo11n__64px" / "fold_0"
network = build_network(*find_architecture("yolo11n"))
network.load_state_dict(torch.load(fold / "detector.pt", weights_only=True)["state_dict"])
pictures = np.load(os.environ["PICTURES"])
with torch.no_grad():
    network_says = network.eval()(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255)[0].numpy()

from ultralytics.utils.ops import xywh2xyxy
from ultralytics.utils.tal import TaskAlignedAssigner
def credit(detector):  # what the box of a small embolus counts for, on every point of a grid of places
    with torch.no_grad():
        says = detector.eval()(torch.from_numpy(pictures[:1]).permute(0, 3, 1, 2).float() / 255)[0].mT
    head = detector.model[-1]
    centres = torch.cartesian_prod(torch.arange(12.0, 52, 5), torch.arange(12.0, 84, 5))[:, None]
    counts = []
    for centre in centres:  # alone on its picture
        embolus = torch.cat([centre - 4, centre + 4], dim=1)[None]
        points = (head.anchors * head.strides).mT
        assign = TaskAlignedAssigner(topk=10, num_classes=2, alpha=0.5, beta=6.0, stride=head.stride.tolist())
        one = torch.ones(1, 1, 1)
        counts.append(float(assign(says[..., 4:], xywh2xyxy(says[..., :4]), points, one, embolus, one)[2].sum()))
    return counts
credits = {}
for name in ("yolo11n", "yolo26n", "yolov8n-p2"):
    fresh = build_network(*find_architecture(name))
    fresh.model[-1].end2end = False
    credits[name] = [credit(fresh)]
    fresh.model[-1].bias_init()
    credits[name].append(credit(fresh))

crowd = np.load(os.environ["CROWD"])
theirs = non_max_suppression(torch.from_numpy(crowd), conf_thres=0.25, iou_thres=0.5, max_det=300)
np.savez(os.environ["ORACLE"], network_says=network_says, **{f"kept_{n}": b.numpy() for n, b in enumerate(theirs)})
answer = {"code": code, "again": again, "broken": broken, "early": early, "settings": os.environ["YOLO_CONFIG_DIR"],
          "credits": credits}
"""


@dataclass(frozen=True)
class Training:
    """What `pe-nnunet train-detector` did in a process of its own.

    Attributes:
        answer: Exit codes, what it did that it must not, where ultralytics' settings lay, and what a small embolus
            counts for in a fresh network.
        fold: The detector.
        home: The home folder, read-only.
        raw: The dataset.
        pictures: Eight random pictures (n, y, x, 3).
        network_says: The network's raw output for them, as torch computes it.
        crowd: Raw output with many boxes that overlap, (n, 4 + classes, points).
        kept: What ultralytics' suppression leaves of each: x0, y0, x1, y1, confidence, class.
        output: What it printed.
    """

    answer: dict[str, Any]
    fold: Path
    home: Path
    raw: Path
    pictures: npt.NDArray[np.uint8]
    network_says: npt.NDArray[np.float32]
    crowd: npt.NDArray[np.float32]
    kept: list[npt.NDArray[np.float32]]
    output: str


@pytest.fixture(scope="session")
def training(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """A tiny detector, trained for two epochs."""
    root = tmp_path_factory.mktemp("training")
    for name in ("home", "preprocessed", "results", "elsewhere"):
        (root / name).mkdir()
    (root / "home").chmod(0o500)
    shutil.copytree(raw, root / "raw" / raw.name)
    shutil.copytree(raw, root / "raw" / "Dataset008_Further")  # of the same patients
    pictures = np.random.default_rng(0).integers(0, 256, (8, 96, 64, 3), dtype=np.uint8)
    np.save(root / "pictures.npy", pictures)
    crowd = random_crowd(np.random.default_rng(1))
    np.save(root / "crowd.npy", crowd)
    dropped = ("YOLO_", "XDG_", "PE_NNUNET_", "MPLCONFIGDIR", "PYTEST_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(dropped)} | {
        "HOME": str(root / "home"),
        "MPLCONFIGDIR": str(root / "matplotlib"),
        "OMP_NUM_THREADS": "1",
        "nnUNet_raw": str(root / "raw"),
        "nnUNet_preprocessed": str(root / "preprocessed"),
        "nnUNet_results": str(root / "results"),
        "PICTURES": str(root / "pictures.npy"),
        "CROWD": str(root / "crowd.npy"),
        "ORACLE": str(root / "oracle.npz"),
    }
    done = subprocess.run(
        [sys.executable, "-c", f"{_TRAIN}\nimport json; print(json.dumps(answer))"],
        capture_output=True, text=True, cwd=root / "elsewhere", env=environment, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not list((root / "elsewhere").iterdir()), "it left files where it was started"
    with np.load(root / "oracle.npz") as file:
        network_says, *kept = (file[name] for name in file.files)
    fold = root / "results" / "Dataset007_Boxes" / "PEDetector__yolo11n__64px" / "fold_0"
    answer = json.loads(done.stdout.splitlines()[-1])
    output = done.stdout + done.stderr
    return Training(answer, fold, root / "home", raw, pictures, network_says, crowd, list(kept), output)


def random_crowd(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Three pictures' worth of 400 points: forty things seen ten times each, a little shifted, by either class."""
    things = np.concatenate([rng.uniform(20, 180, (3, 2, 40)), rng.uniform(10, 50, (3, 2, 40))], axis=1)
    boxes = np.repeat(things, 10, axis=2) + rng.normal(0, 2, (3, 4, 400))
    return np.concatenate([boxes, rng.uniform(0, 1, (3, 2, 400))], axis=1).astype(np.float32)
