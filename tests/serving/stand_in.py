"""A predictor of milliseconds, and the real command with it: `python tests/serving/stand_in.py ARGUMENTS OF SERVE`.

Voxels of exactly 77 HU are clot. `PE_NNUNET_SLOW=SECONDS` makes it slower, so that it can be killed half-way.
"""

from __future__ import annotations

import os
import sys
import time
from types import SimpleNamespace

import numpy as np
import SimpleITK as sitk

from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.outputs import CaseResult
from pe_nnunet.volumes.geometry import spacing_zyx

CLOT_HU = 77


class StandIn:
    """What `predict_batch` asks of a predictor."""

    models = ()
    notes = ()
    detector = None
    device = inference = None
    n_channels = 1
    repairs: dict[str, bool] = {}  # noqa: RUF012
    ensemble = SimpleNamespace(records=(), terms=())

    def settings(self) -> dict[str, str]:
        return {"predictor": "stand-in"}

    def predict(self, scan, *, artery=None, anatomy=None, further=None, progress=None):
        time.sleep(float(os.environ.get("PE_NNUNET_SLOW", 0)))
        probability = np.where(sitk.GetArrayViewFromImage(scan.image) == CLOT_HU, 0.9, 0).astype(np.float32)
        emboli = find_emboli(probability, spacing_zyx(scan.image), FusionSettings(min_volume_mm3=0))
        return CaseResult(
            scan.case_id, scan.image, emboli, dicom=scan.dicom, source=scan.ref.shown_name, arguments=self.settings()
        )


if __name__ == "__main__":
    from pe_nnunet import cli, inference
    from pe_nnunet.cli import serve

    serve.kinds_for = lambda switches: frozenset({"emboli", "table", "dicom_seg", "dicom_sr"})
    serve.say_predictor = lambda predictor, notes: None
    serve.predictor_arguments = lambda args, outputs: {}
    inference.PEPredictor = StandIn
    sys.exit(cli.main(["serve", "--case-timeout", "0", *sys.argv[1:]]))
