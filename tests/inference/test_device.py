"""What is computed on a device goes to the CPU for want of memory, and for no other reason."""

import pytest
import torch

from pe_nnunet.inference.device import CPU, where_memory_allows

DEVICE = torch.device("meta")  # any but the CPU


def test_the_cpu_takes_over_for_want_of_memory():
    tried = []

    def compute(device):
        tried.append(device)
        if device != CPU:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return "done"

    assert where_memory_allows(compute, DEVICE) == "done"
    assert tried == [DEVICE, CPU]


@pytest.mark.parametrize(
    ("device", "error"),
    [(DEVICE, RuntimeError("wrong shape")), (CPU, MemoryError()), (CPU, RuntimeError("can't allocate memory"))],
)
def test_other_errors_and_those_of_the_cpu_are_raised(device, error):
    tried = []

    def compute(place):
        tried.append(place)
        raise error

    with pytest.raises(type(error)):
        where_memory_allows(compute, device)
    assert tried == [device]
