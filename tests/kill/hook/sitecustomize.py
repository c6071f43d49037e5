"""Loaded by every Python of a command that may be killed: counts its steps in the file system, and kills at one.

A step is a call that makes, renames or removes something below KILL_BELOW. All processes of the command count in one
file, KILL_COUNTER, a byte a step. Before step KILL_AT the command's first process dies, or all of them if KILL_WHOM is
`all`; without KILL_AT they are counted alone.
"""

import os
import signal
import sys

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_STEPS = frozenset({"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"})


def _install() -> None:
    below, at = os.environ["KILL_BELOW"], int(os.environ.get("KILL_AT", "0"))
    kill = os.killpg if os.environ.get("KILL_WHOM") == "all" else os.kill
    counter = os.open(os.environ["KILL_COUNTER"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def count(event: str, arguments: tuple) -> None:
        if event == "open":
            if not arguments[2] & _WRITES:
                return
        elif event not in _STEPS:
            return
        if not os.path.abspath(os.fsdecode(arguments[0])).startswith(below):  # noqa: PTH100 - pathlib is not yet there
            return
        os.write(counter, b".")
        if at and os.lseek(counter, 0, os.SEEK_CUR) == at:
            kill(os.getpgrp(), signal.SIGKILL)

    def safely(event: str, arguments: tuple) -> None:
        if event == "open" or event in _STEPS:
            try:
                count(event, arguments)
            except (OSError, TypeError, ValueError):  # a file by its handle, or a closed counter
                return

    sys.addaudithook(safely)


if "KILL_COUNTER" in os.environ:
    _install()
