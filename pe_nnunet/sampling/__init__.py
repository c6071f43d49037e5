"""Which patches a training batch is made of: emboli by size, cases by target ratio."""

from __future__ import annotations

from pe_nnunet.sampling.batch_seeds import BatchSeeds, seeded
from pe_nnunet.sampling.build import make_loader
from pe_nnunet.sampling.draw import Draw, PatchSampler
from pe_nnunet.sampling.index import CaseEmboli, index_case, index_dataset
from pe_nnunet.sampling.loader import EmbolusDataLoader

__all__ = [
    "BatchSeeds",
    "CaseEmboli",
    "Draw",
    "EmbolusDataLoader",
    "PatchSampler",
    "index_case",
    "index_dataset",
    "make_loader",
    "seeded",
]
