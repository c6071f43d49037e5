"""Parts of `gpu.py`: a scan in this process, by stage; by commands; and its resampling."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np
import SimpleITK as sitk
import torch
from gpu_parts.task import Rows, Task, row
from inference import command
from random_model import PLAIN_UNET, TAR_UNET
from stage_limits import Stages, stages_of

from pe_nnunet.inference import PEPredictor
from pe_nnunet.inference.resampling import Resampling, resampled_shape
from pe_nnunet.inference.settings import InferenceSettings
from pe_nnunet.inference.transfer import volume_on
from pe_nnunet.outputs.case_files import write_case
from pe_nnunet.outputs.writers import DEFAULT

BEFORE, NETWORK, AFTER = "before the network", "network and sums of windows", "after the network"
GROUPS = {BEFORE: ("reading", "lungs", "resampling to the network's grid"), NETWORK: ("network", "sums of windows")}
PROGRAMS = {"FastSegmentator": "FastSegmentator", "KonfAI": "konfai-apps"}


def stages(task: Task) -> Rows:
    """A first scan, which warms up, later ones, and one whose stages are watched: nothing overlaps in that."""
    settings = {"inference": InferenceSettings(mirroring=False), "on_no_lungs": "full-volume", "outputs": DEFAULT}
    for name, model in task.models.items():
        memory: dict[str, float] = {}
        with task.peak(memory, "ours"):
            loading, finds = task.timed(PEPredictor, [model], device=task.device.type, **settings)
            first, *later = (task.timed(predict, finds, task)[0] for _ in range(1 + task.repeats))
            ours = stages_of(finds, task.scan, task.folder / "ours", task.wait).seconds
            del finds
        with task.peak(memory, "theirs"):
            load_theirs, first_theirs, theirs = stock_stages(task, model)
        ours |= {group: sum(ours[stage] for stage in within) for group, within in GROUPS.items()}
        ours[AFTER] = ours["all of it"] - ours[BEFORE] - ours[NETWORK]
        yield row(f"{name}: loading", loading, peer="nnU-Net", theirs=load_theirs)
        yield row(f"{name}: first scan", first, peer="nnU-Net", theirs=first_theirs)
        yield row(f"{name}: later scan", min(later), peer="nnU-Net", theirs=theirs["all of it"])
        for group in (BEFORE, NETWORK, AFTER):
            yield row(f"{name}: {group}", ours.pop(group), peer="nnU-Net", theirs=theirs[group])
        for stage in sorted(ours, key=ours.__getitem__, reverse=True):
            yield row(f"{name}: stage {stage}", ours[stage])
        if memory:
            yield row(f"{name}: peak memory", memory["ours"], unit="GB", peer="nnU-Net", theirs=memory["theirs"])


def predict(finds: PEPredictor, task: Task) -> None:
    """From the file to the outputs."""
    write_case(finds.predict(task.scan), task.folder / "ours")


def stock_stages(task: Task, model: Path) -> tuple[float, float, dict[str, float]]:
    """Seconds that nnU-Net takes to load a model, for a first scan, and for a later one by stage."""
    from nnunetv2.inference import predict_from_raw_data as stock
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor

    predictor = stock.nnUNetPredictor(use_mirroring=False, device=task.device, allow_tqdm=False)
    loading, _ = task.timed(predictor.initialize_from_trained_model_folder, str(model), (0,))
    out = task.folder / "theirs"
    out.mkdir(exist_ok=True)
    arguments = [[str(task.scan)]], [str(out / "scan")]
    first, _ = task.timed(predictor.predict_from_files_sequential, *arguments)
    watched = Stages(task.wait)
    with ExitStack() as stack:
        for place, name, stage in (
            (DefaultPreprocessor, "run_case", BEFORE),
            (stock, "export_prediction_from_logits", AFTER),
        ):
            stack.enter_context(patch.object(place, name, watched.timed(stage, getattr(place, name))))
        watched.timed("all of it", predictor.predict_from_files_sequential)(*arguments)
    seconds = dict(watched.seconds)
    torch.backends.cudnn.benchmark = False  # nnU-Net's predictor switched it on, for ours too
    return loading, first, seconds | {NETWORK: seconds["all of it"] - seconds[BEFORE] - seconds[AFTER]}


def commands(task: Task) -> Rows:
    """A scan from the start of a command to its end."""
    images = task.folder / "images"
    images.mkdir()
    (images / "scan_0000.nii.gz").symlink_to(task.scan)
    for name, model in task.models.items():
        kinds = {"nnUNetv2_predict": "stock", "ours": "half"}
        words = {
            who: command(kind, images, task.folder / kind / name, model, device=task.device.type)
            for who, kind in kinds.items()
        }
        if name == PLAIN_UNET:
            words |= others(task, images, model)
        ours = run_command(task, words.pop("ours"))
        for peer, command_of_peer in words.items():
            theirs = run_command(task, command_of_peer)
            yield row(f"{name}: command, time", ours[0], peer=peer, theirs=theirs[0])
            if theirs[1]:
                yield row(f"{name}: command, memory of the card", ours[1], unit="GB", peer=peer, theirs=theirs[1])


def others(task: Task, images: Path, model: Path) -> dict[str, list[str]]:
    """Commands of other programs that are installed; both take a model of nnU-Net's own trainer alone."""
    out, found = str(task.folder / "others"), {}
    if shutil.which(PROGRAMS["FastSegmentator"]):
        words = ["FastSegmentator", "nnunet", "-i", str(images), "-o", out, "--model_path", str(model), "--fold", "0"]
        found["FastSegmentator"] = [*words, "--device", task.device.type]
    if shutil.which(PROGRAMS["KonfAI"]) and task.konfai is not None:
        found["KonfAI"] = ["konfai-apps", "infer", str(task.konfai), "-i", str(task.scan), "-o", out, "--gpu", "0"]
    return found


def run_command(task: Task, words: list[str]) -> tuple[float, float]:
    """Seconds of a command, and GB of the card at its peak, beside what others hold of it."""
    used, over = [used_bytes(task.device)], threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            used.append(used_bytes(task.device))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    try:
        subprocess.run(words, check=True, capture_output=True, text=True, timeout=max(1.0, task.left_s))
    finally:
        seconds = time.perf_counter() - began
        over.set()
        watcher.join()
    return seconds, (max(used) - used[0]) / 1e9


def used_bytes(device: torch.device) -> int:
    """Of the card, by all programs; 0 for a CPU."""
    if device.type != "cuda":
        return 0
    free, whole = torch.cuda.mem_get_info()
    return whole - free


def resampling(task: Task) -> Rows:
    """The scan to the network's grid, and what its copy to the device takes."""
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape

    image = sitk.ReadImage(str(task.scan))
    hu, old_mm, new_mm = sitk.GetArrayFromImage(image), image.GetSpacing()[::-1], [task.sizes[TAR_UNET].spacing_mm] * 3
    new_shape = resampled_shape(hu.shape, old_mm, new_mm)
    settings = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    ours = Resampling.of_plans("resample_data_or_seg_to_shape", settings, hu.shape, new_shape, old_mm, new_mm)
    assert ours is not None
    held, limits = volume_on(hu, task.device), (float(hu.min()), float(hu.max()))

    def resample() -> torch.Tensor:
        return ours.whole(lambda low, high: held[low:high].float(), limits, task.device)

    pinned = min(task.timed(volume_on, hu, task.device)[0] for _ in range(task.repeats))
    pageable = min(task.timed(torch.from_numpy(hu).to, task.device)[0] for _ in range(task.repeats))
    seconds = min(task.timed(resample)[0] for _ in range(1 + task.repeats))
    given = hu[None].astype(np.float32)
    theirs, exact = task.timed(resample_data_or_seg_to_shape, given, new_shape, old_mm, new_mm, **settings)
    away = float(np.abs(resample().cpu().numpy() - exact[0]).max() / hu.std())
    yield row("copy of the scan to the device", pinned, peer="from memory that is not pinned", theirs=pageable)
    yield row("resampling", seconds, peer="nnU-Net, on the CPU", theirs=theirs)
    yield row("its largest difference from nnU-Net's", away, unit="SD of the scan") | {"limit": 1e-3}
