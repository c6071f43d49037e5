"""Threads beside the one that computes."""

from __future__ import annotations

import threading

import torch

from pe_nnunet.processes import one_core_for_other_threads


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
