"""Worker processes that end with the process that started them, however that one ended."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time


def end_with_parent(poll_seconds: float = 0.5) -> None:
    """Watch, in a thread, for the death of the process that started this one, and end this one then.

    A process killed by SIGKILL cannot stop its workers, and a worker that waits to hand over a batch would wait for
    ever. In a process that was not started by multiprocessing nothing is done.

    Args:
        poll_seconds: Between two looks.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        # an orphan gets another parent; Windows keeps the number, but knows whether it is alive
        while parent.is_alive() if os.name == "nt" else os.getppid() == parent.pid:
            time.sleep(poll_seconds)
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
