"""The threshold baseline is held to the same smallest finding as the network."""

import numpy as np

from pe_nnunet.demo.methods import found_in, score
from pe_nnunet.fusion import FusionSettings


def test_specks_of_the_baseline_count_only_above_the_smallest_finding():
    truth = np.zeros((12, 12, 12), np.uint16)
    truth[2:6, 2:6, 2:6] = 1
    look = (truth > 0).astype(np.float32)
    look[10, 10, 10] = 1  # a speck of 8 mm3
    spacing = (2.0, 2.0, 2.0)
    loose, strict = (
        score("a", found_in(look, spacing, FusionSettings(min_volume_mm3=smallest)), truth, spacing)
        for smallest in (5, 100)
    )
    assert (loose.found, loose.false_positives) == (1, 1)
    assert (strict.found, strict.false_positives) == (1, 0)
