"""Take in models that `pe-nnunet export-model` packed.

pe-nnunet install-model model.zip

Everything is checked before anything is written: names, sizes, hashes, that checkpoints hold weights and nothing that
would run, and that plans name known networks alone. The models lie under nnUNet_results
then, as if they had been trained here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pe_nnunet.cli.model_options import add_trust, trust


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet install-model`."""
    parser.add_argument("archive", type=Path, help="zip file")
    parser.add_argument("--overwrite", action="store_true", help="replace models of the same name")
    add_trust(parser, checkpoints=False)


def run(args: argparse.Namespace) -> int:
    """Install; see `configure` for the arguments."""
    from pe_nnunet.cli import DONE
    from pe_nnunet.dataset.folders import RESULTS, nnunet_folder
    from pe_nnunet.inference.archive_install import install_models

    trust(args)
    folders, files, notes = install_models(args.archive, nnunet_folder(RESULTS), overwrite=args.overwrite)
    for note in notes:
        print(note, flush=True)
    for folder in folders:
        print(folder)
    print(f"{files} files, hashes as they should be", flush=True)
    return DONE
