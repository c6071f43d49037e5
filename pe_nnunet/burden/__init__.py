"""What a reader asks about emboli next: level by following the arteries, obstruction, published scores, ventricles."""

from __future__ import annotations

from pe_nnunet.burden.anatomy import ARTERY, MASKS, anatomy_files, read_anatomy
from pe_nnunet.burden.measure import ABSENT, Burden, Place, Score, measure_burden

__all__ = ["ABSENT", "ARTERY", "MASKS", "Burden", "Place", "Score", "anatomy_files", "measure_burden", "read_anatomy"]
