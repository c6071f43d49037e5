"""Threads beside the one that computes, and processes that cannot be had."""

from __future__ import annotations

import errno
import multiprocessing
import os
import threading
from typing import Any

import pytest
import torch

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.processes import one_core_for_other_threads, worker_pool
from pe_nnunet.processes.case_process import CaseProcess


def test_threads_to_come_compute_with_one_core_and_this_one_as_before() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        one_core_for_other_threads()
        seen: list[int] = []
        other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        other.start()
        other.join()
        assert seen == [1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_pool_without_semaphores_has_a_code_and_names_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(multiprocessing.get_context("spawn"), "SimpleQueue", full)
    with pytest.raises(ConfigurationError, match=r"PE-CONV-032.*give --workers 1, or enlarge /dev/shm"):
        worker_pool(2, "--workers 1")


def test_a_process_that_the_system_does_not_allow_has_the_same_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(multiprocessing.get_context("spawn"), "Pipe", refused)
    with pytest.raises(ConfigurationError, match=r"PE-CONV-032: worker processes cannot be started.*ulimit -u"):
        CaseProcess()
