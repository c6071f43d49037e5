"""What the server says: a line with the time, which holds UIDs, codes and numbers, and no name."""

from __future__ import annotations

import time

from pe_nnunet.errors.shown import shown


def say(text: str) -> None:
    """Print a line to standard output."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {shown(text)}", flush=True)
