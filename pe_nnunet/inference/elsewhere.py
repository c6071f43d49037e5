"""A predictor for other processes: what travels is how it is made, and each process makes it once."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from pe_nnunet.inference.predictor import PEPredictor


class PredictorElsewhere:
    """Becomes a `PEPredictor` where it is unpickled; models, which are large, are read there from their folders.

    Args:
        arguments: Of `PEPredictor`, by name, and picklable: a detector as its folder.
    """

    def __init__(self, **arguments: Any) -> None:
        self._arguments = pickle.dumps(arguments)

    def __reduce__(self) -> tuple[Callable[[bytes], PEPredictor], tuple[bytes]]:
        """How pickle makes it again."""
        return _loaded, (self._arguments,)


@lru_cache(maxsize=1)
def _loaded(arguments: bytes) -> PEPredictor:
    """The predictor of this process."""
    return PEPredictor(**pickle.loads(arguments))  # noqa: S301 - from the process that hands out cases
