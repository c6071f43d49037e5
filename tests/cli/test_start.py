"""Imports and the interpreter's end without the garbage collector."""

import gc
import subprocess
import sys

import pytest

from pe_nnunet.cli.start import without_garbage_collection


def test_collection_is_off_within_and_on_again_afterwards_errors_or_not():
    before = gc.get_freeze_count()
    try:
        with without_garbage_collection():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
        with pytest.raises(KeyError), without_garbage_collection():
            raise KeyError
        assert gc.isenabled()
    finally:
        gc.unfreeze()


def test_who_has_switched_it_off_finds_it_off():
    gc.disable()
    try:
        with without_garbage_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()


def test_a_command_ends_with_nothing_left_to_search():
    program = (
        "import atexit, gc\n"
        "atexit.register(lambda: print('left', len(gc.get_objects())))\n"  # called after what is registered later
        "from pe_nnunet.cli import main\n"
        "main(['doctor', '--json'])\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(result.stdout.split("left")[1]) < 1000  # torch alone makes some 200 000
