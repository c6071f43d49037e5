"""What an arm has of the machine: where its network runs, and its part of the processors."""

from __future__ import annotations

from dataclasses import dataclass

from pe_nnunet.processes import usable_processors


@dataclass(frozen=True)
class Share:
    """One part of the machine, as large as every other arm's.

    Attributes:
        device: `cpu` or `cuda`; a GPU is shared by all that train at a time.
        jobs: How many arms are at work at a time.
    """

    device: str = "cpu"
    jobs: int = 1

    @property
    def threads(self) -> int:
        """Of each process."""
        return max(1, usable_processors() // self.jobs)

    def environment(self) -> dict[str, str]:
        """Variables that keep an arm's processes to their part, where others are at work beside it."""
        if self.jobs == 1:
            return {}
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "NUMEXPR_NUM_THREADS")
        return dict.fromkeys(names, str(self.threads))

    def __str__(self) -> str:
        """Behind the name of a cohort; empty for one arm after another on a CPU."""
        return (", on a GPU" if self.device == "cuda" else "") + (f", {self.jobs} arms at a time" * (self.jobs > 1))
