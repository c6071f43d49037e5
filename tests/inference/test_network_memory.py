"""The grid of a network, which a fine spacing makes large, is counted before it is computed."""

import pytest

from pe_nnunet.errors import InputError
from pe_nnunet.inference import preparation


def test_a_grid_that_memory_does_not_take_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "free_bytes", lambda: 16 * 1000)
    preparation.require_network_memory((10, 10, 10), "m")
    with pytest.raises(InputError, match=r"PE-MODEL-010: m sees the scan as 10x10x11 voxels"):
        preparation.require_network_memory((10, 10, 11), "m")
    monkeypatch.setattr(preparation, "free_bytes", lambda: None)
    preparation.require_network_memory((10**5, 10**5, 10**5), "m")
