"""Where the card of a model lies, and whether one is there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pe_nnunet.volumes.files.volume_file import file_sha256

MODEL_CARD = "README.md"
KEY = "pe_nnunet_card"
"""Of our facts in the metadata; a README.md without it is somebody's own."""
MOST_BYTES = 1 << 18


def is_card(path: Path) -> bool:
    """Whether a file is a model card of this package, whole or not."""
    try:
        with path.open("rb") as file:
            start = file.read(MOST_BYTES)
    except OSError:
        return False
    return start.startswith(b"---") and f"\n{KEY}:".encode() in start


def model_cards(folders: Iterable[Path]) -> dict[str, dict[str, str]]:
    """What a result says of the cards of its models: file and hash, by the name of the model's folder.

    Args:
        folders: Of the models; those without a card are left out.
    """
    paths = {folder.resolve().name: folder / MODEL_CARD for folder in folders}
    return {
        name: {"file": MODEL_CARD, "sha256": file_sha256(path)} for name, path in sorted(paths.items()) if is_card(path)
    }
