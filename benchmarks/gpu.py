"""A scan and a training step on a GPU: ours, stage by stage, against nnU-Net's on the same card and weights.

    python benchmarks/gpu.py --out RESULTS.json [--minutes 10] [--only PART ...] [--device cuda|cpu] [--tiny]

One chest phantom of 1 mm is predicted from its file to its outputs, by a light TAR-UNet and by nnU-Net's plain U-Net,
of sizes as planned for a large card, with random weights and without mirroring. The parts, in this order:

- stages: in this process, a first scan, which warms up, later ones, and one by stages; nnU-Net's prediction likewise.
- commands: `pe-nnunet predict-fused` and `nnUNetv2_predict` from start to end. FastSegmentator, and KonfAI, which takes
  the model only in its own form (`--konfai APP`), where they are installed.
- training: a step of PETARUNetTrainer and of nnU-Net's trainer, with the same network and with its own.
- windows: by how many there are at once, memory layout, and cuDNN's search for the fastest kernels.
- resampling: the scan to the network's grid, and how far that is from nnU-Net's.
- compiled: windows and training steps with `torch.compile`, whose first call is told apart.

Before and after all that is timed the GPU is waited for. Results are written after each part; a part for which no time
is left, or that fails, is named in their notes. `--tiny` is for seeing that it runs, on a CPU too.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from gpu_parts.network import compiled, forward, training, windows
from gpu_parts.scan import PROGRAMS, commands, resampling, stages
from gpu_parts.task import Rows, Task
from inference import phantom
from random_model import PLAIN_UNET, TAR_UNET, Size, random_model
from run import machine
from torch import nn

from pe_nnunet.registration import register

PATCH = (96, 128, 128)
LARGE = {
    TAR_UNET: Size((16, 64, 128, 256, 320), PATCH, 0.8),
    PLAIN_UNET: Size((32, 64, 128, 256, 320, 320), PATCH, 0.8),
}
TINY = dict.fromkeys(LARGE, Size((4, 8, 8), (32, 32, 32), 6.0))
PARTS: dict[str, Callable[[Task], Rows]] = {
    part.__name__: part for part in (stages, commands, training, windows, resampling, compiled)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON")
    parser.add_argument("--minutes", type=float, default=10.0, help="default %(default)g")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--konfai", type=Path, metavar="APP", help="the plain U-Net as an app of KonfAI")
    parser.add_argument("--tiny", action="store_true", help="small phantom and networks")
    args = parser.parse_args()
    until = time.monotonic() + 60 * args.minutes
    register()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = TINY if args.tiny else LARGE
        models = {network: random_model(folder / "Dataset501_PE", size, network) for network, size in sizes.items()}
        scan = phantom(folder / "phantom", 4.0 if args.tiny else 1.0)
        task = Task(folder, torch.device(args.device), sizes, models, scan, until, args.konfai, args.tiny)
        small = torch.zeros(1, 1, 8, 8, 8, device=task.device)
        forward(nn.Conv3d(1, 1, 3).to(task.device), small)  # CUDA and cuDNN start, for both
        run_parts(task, args.only, args.out)


def run_parts(task: Task, chosen: list[str], out: Path) -> None:
    """Run parts in their order, and write what they find after each."""
    notes = [f"{program} is not installed" for program, command in PROGRAMS.items() if not shutil.which(command)]
    results: dict[str, Any] = {"machine": machine(), "device": str(task.device), "tiny": task.tiny}
    results |= {"seconds": {}, "notes": notes, "rows": []}
    for name in [name for name in PARTS if name in chosen]:
        began = time.monotonic()
        try:
            for found in PARTS[name](task) if task.left_s > 0 else ():
                results["rows"].append({"part": name, **found})
                print(line(found), flush=True)
        except Exception as error:  # noqa: BLE001 - the other parts go on: a card may be lent for minutes only
            said = str(getattr(error, "stderr", None) or "").strip()
            notes.append(f"{name}: {type(error).__name__}: {error} {said[-1000:]}".strip())
        if task.left_s <= 0:
            notes.append(f"{name}: no time was left at its end")
        results["seconds"][name] = round(time.monotonic() - began, 1)
        out.write_text(json.dumps(results, indent=1) + "\n")
    print("\n".join(notes))


def line(found: dict[str, Any]) -> str:
    """A row as a line."""
    theirs = "" if found["theirs"] is None else f"{found['theirs']:10.4g}  {found['peer']}"
    return f"{found['what']:<64}{found['ours']:10.4g} {found['unit']:<3}{theirs}"


if __name__ == "__main__":
    main()
