"""Numbers for Prometheus, in its text format.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from pe_nnunet import __version__
from pe_nnunet.serving.counts import Counts
from pe_nnunet.serving.study_queue import StudyQueue

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics(queue: StudyQueue, counts: Counts, folder: Path) -> str:
    """The page.

    Args:
        queue: Of the server.
        counts: Since its start.
        folder: Whose disk is watched.
    """
    oldest = queue.oldest("waiting")
    waited_s = 0.0 if oldest is None else max(0.0, time.time() - oldest)
    studies = "".join(f'pe_nnunet_studies{{state="{state}"}} {number}\n' for state, number in queue.counts().items())
    events = "".join(f'pe_nnunet_events_total{{event="{name}"}} {n}\n' for name, n in sorted(counts.events.items()))
    return (
        "# HELP pe_nnunet_info The version that runs.\n# TYPE pe_nnunet_info gauge\n"
        f'pe_nnunet_info{{version="{__version__}"}} 1\n'
        "# HELP pe_nnunet_studies Studies by state.\n# TYPE pe_nnunet_studies gauge\n"
        f"{studies}"
        "# HELP pe_nnunet_events_total What happened since the start.\n# TYPE pe_nnunet_events_total counter\n"
        f"{events}"
        "# HELP pe_nnunet_troubles Jobs of the server that fail now.\n# TYPE pe_nnunet_troubles gauge\n"
        f"pe_nnunet_troubles {len(counts.troubles)}\n"
        "# HELP pe_nnunet_waiting_seconds How long the first study that waits has waited.\n"
        "# TYPE pe_nnunet_waiting_seconds gauge\n"
        f"pe_nnunet_waiting_seconds {waited_s:.1f}\n"
        "# HELP pe_nnunet_image_bytes What the stored images take.\n# TYPE pe_nnunet_image_bytes gauge\n"
        f"pe_nnunet_image_bytes {queue.stored_bytes()}\n"
        "# HELP pe_nnunet_free_bytes What is free on their disk.\n# TYPE pe_nnunet_free_bytes gauge\n"
        f"pe_nnunet_free_bytes {shutil.disk_usage(folder).free}\n"
    )
