"""A small coarse cohort, made once for all tests of the room."""

from __future__ import annotations

import pytest

from pe_nnunet.phantom import Phantom, coarse_settings, make_phantom


@pytest.fixture(scope="session")
def coarse_cohort() -> list[Phantom]:
    return [make_phantom(coarse_settings(), seed=0, index=index) for index in range(12)]
