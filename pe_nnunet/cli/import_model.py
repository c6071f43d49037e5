"""Make a published model, whose weights you have fetched, an nnU-Net model that finds emboli here and in stock nnU-Net.

pe-nnunet import-model PATH
pe-nnunet-predict-fused -i STUDY -o OUT -m MODEL_FOLDER

PATH is what the authors publish: AANet's aanet.pth; of Duke's model the folder with config.json and model.safetensors
or pytorch_model.bin, or its nnU-Net model folder. Nothing is downloaded here. Licence and citation are printed, kept in
the model's dataset.json, and shown in the results.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet import-model`."""
    parser.add_argument("path", metavar="PATH", type=Path, help="the published file or folder")
    parser.add_argument(
        "-d", dest="dataset_id", type=int, help="dataset id under nnUNet_results; default: 900 AANet, 256 Duke"
    )
    parser.add_argument("--name", help="name of the dataset; default: that of the id, or AANet or PE where it is new")


def run(args: argparse.Namespace) -> int:
    """Import; see `configure` for the arguments."""
    from pe_nnunet.cli import DONE
    from pe_nnunet.model_import import import_model

    found = import_model(args.path, args.dataset_id, args.name)
    print(f"{found.model.title}, {found.layout} layout, {found.parameters / 1e6:.1f} million parameters")
    print(f"licence of the weights: {found.model.licence or f'none stated, ask their authors: {found.model.origin}'}")
    print(f"please cite: {found.model.citation}")
    for name, sha256 in found.sha256.items():
        print(f"SHA-256 of {name}: {sha256}")
    for note in found.notes:
        print(note)
    print(f"-> {found.folder}\nnext: pe-nnunet-predict-fused -i STUDY -o OUT -m {found.folder}", flush=True)
    return DONE
