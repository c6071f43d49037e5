"""Make AANet's published weights an nnU-Net model that finds emboli here and in stock nnU-Net.

pe-nnunet import-aanet aanet.pth -d 900
pe-nnunet-predict-fused -i STUDY -o OUT -d 900 -tr PEAANetTrainer -p PEAANetPlans -step_size 0.75 --nms-mm 10

CHECKPOINT is the file that AANet's authors published; you fetch it yourself, nothing is downloaded here.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet import-aanet`."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="AANet's weights, aanet.pth")
    parser.add_argument("-d", dest="dataset_id", type=int, required=True, help="dataset id under nnUNet_results")
    parser.add_argument("--name", help="name of the dataset; default: that of the id, or AANet where it is new")


def run(args: argparse.Namespace) -> int:
    """Import; see `configure` for the arguments."""
    from pe_nnunet.cli import DONE
    from pe_nnunet.model_import.model_folder import import_checkpoint

    folder, parameters = import_checkpoint(args.checkpoint, args.dataset_id, args.name)
    print(f"AANet, {parameters / 1e6:.1f} million parameters -> {folder}")
    return DONE
