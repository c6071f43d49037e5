"""One patient says nothing about others: numbers without intervals."""

from __future__ import annotations

import numpy as np
import pytest

from pe_nnunet.metrics.bootstrap import Resampling, estimates


@pytest.mark.parametrize(("patients", "known"), [("a", False), ("aa", False), ("ab", True)])
def test_intervals_need_two_patients(patients, known):
    values = np.arange(1.0, 1 + len(patients))
    found = estimates(lambda w: {"mean": float(w @ values / w.sum())}, patients, Resampling(50))["mean"]
    assert found.value == values.mean()
    assert (found.low is not None) == (found.high is not None) == known
    assert str(found) == (f"{values.mean():.3f} [1.000, 2.000]" if known else f"{values.mean():.3f}")
