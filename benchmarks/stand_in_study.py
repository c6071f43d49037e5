"""What a worker of `cohorts.py` does with a study; a module of its own, as workers import it."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from pe_nnunet.files import atomic_json
from pe_nnunet.inference.inputs import inputs_stamp
from pe_nnunet.inference.resume import Key, Look, index_key
from pe_nnunet.outputs import CaseSummary
from pe_nnunet.volumes import ScanRef

MANIFEST = {"emboli": [], "text": "." * 6000}  # as large as that of a scan with some emboli


class StandIn:
    """In the place of a predictor: no models, no settings."""

    ensemble = SimpleNamespace(records=())

    def settings(self) -> dict[str, Any]:
        """None."""
        return {}


def stand_in(ref: ScanRef, *, look: Look, seconds: float) -> tuple[CaseSummary, Key | None]:
    """Wait, and write a manifest of the usual size."""
    stamp = inputs_stamp(ref)
    time.sleep(seconds)
    with look.output.writing(ref.case_id) as folder:
        atomic_json(folder / f"{ref.case_id}.json", {"case": ref.case_id, **MANIFEST})
    return CaseSummary(ref.case_id, 0.5, 0, 0.0, seconds), index_key(look, StandIn(), stamp)  # type: ignore[arg-type]
