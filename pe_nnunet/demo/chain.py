"""The chain: a cohort, conversion, plans, training, calibration, prediction of held-out scans, scores, a picture."""

from __future__ import annotations

import shutil
from pathlib import Path

from pe_nnunet.demo.command import StepRunner
from pe_nnunet.demo.report import make_report
from pe_nnunet.demo.settings import DemoSettings
from pe_nnunet.demo.steps import Steps, link_scans
from pe_nnunet.fusion.stored import read_fusion


def run_demo(settings: DemoSettings) -> tuple[str, tuple[str, ...]]:
    """Run the chain; what an earlier run has done with the same settings is not done again.

    Args:
        settings: What it runs on.

    Returns:
        Scores of every method on the held-out scans, and where the picture is.

    Raises:
        PEError: If a step fails.
    """
    out = settings.out.resolve()
    steps = Steps(settings, out)
    for folder in (*steps.folders.values(), out / "steps"):
        folder.mkdir(parents=True, exist_ok=True)
    environment = {name: str(folder) for name, folder in steps.folders.items()} | {
        "nnUNet_n_proc_DA": "1",
        "nnUNet_def_n_proc": "2",
        "nnUNet_compile": "f",
        "PYTHONUNBUFFERED": "1",
    }
    learning, scoring = steps.learning(), steps.scoring()
    count = len(learning) + len(scoring) + 1
    runner = StepRunner(out / "steps", environment, count)
    for step in learning:
        runner.run(step)
    link_scans(steps.scans / "test", steps.scans / "to_predict")
    for step in scoring:
        runner.run(step)
    points = read_fusion(steps.fusion_file) if steps.fusion_file.is_file() else None
    print(f"[{count}/{count}] threshold baseline, table and picture", flush=True)
    return make_report(out, runner.seconds, points, settings.min_embolus_mm3, detector=settings.detector is not None)


def clean(out: Path) -> None:
    """Remove what the chain has written, so that it starts anew."""
    for name in ("scans", "nnUNet", "steps", "predictions", "scores"):
        shutil.rmtree(out / name, ignore_errors=True)
