"""The whole chain on one command: scans to dataset, plans, trained model, predictions, scores and a picture."""

from __future__ import annotations

from pe_nnunet.demo.chain import run_demo
from pe_nnunet.demo.settings import DemoSettings

__all__ = ["DemoSettings", "run_demo"]
