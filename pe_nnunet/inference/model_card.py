"""Where the card of a model lies, and whether one is there."""

from __future__ import annotations

from pathlib import Path

MODEL_CARD = "README.md"
KEY = "pe_nnunet_card"
"""Of our facts in the metadata; a README.md without it is somebody's own."""
MOST_BYTES = 1 << 20


def is_card(path: Path) -> bool:
    """Whether a file is a model card of this package, whole or not."""
    try:
        with path.open("rb") as file:
            start = file.read(MOST_BYTES)
    except OSError:
        return False
    return start.startswith(b"---") and f"\n{KEY}:".encode() in start
