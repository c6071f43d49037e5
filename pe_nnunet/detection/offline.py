"""ultralytics without network, home folder or telemetry.

The library makes up its mind when it is first imported: it looks for the network, writes settings into the home folder,
and from then on may install packages, fetch fonts and weights and send usage statistics. All of that is switched off by
its own variables before that first import. What those do not reach, `yolo.SliceTrainer` leaves out.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from pe_nnunet.errors import MissingExtraError

_SWITCHES = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}


def ultralytics_folder() -> Path:
    """Where ultralytics is installed; it is not imported.

    Raises:
        MissingExtraError: PE-DET-001 if it is not.
    """
    try:
        spec = find_spec("ultralytics")
    except ValueError:  # it stands in sys.modules as None, or without a spec
        spec = None
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            "PE-DET-001",
            "ultralytics, which trains the detector, is not installed",
            "pip install ultralytics (AGPL-3.0); a detector that is trained already runs without it",
        )
    return Path(spec.origin).parent


def switch_off() -> None:
    """Set ultralytics' variables for this process and its workers, before its first import.

    Its settings go to a temporary folder, which is removed when this process ends.

    Raises:
        MissingExtraError: PE-DET-001 if ultralytics is not installed.
    """
    ultralytics_folder()
    if os.environ.get("PE_NNUNET_YOLO_CONFIG") == os.environ.get("YOLO_CONFIG_DIR", ""):
        return  # ours already
    folder = tempfile.mkdtemp(prefix="pe_nnunet_yolo_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ.update(_SWITCHES, YOLO_CONFIG_DIR=folder, PE_NNUNET_YOLO_CONFIG=folder)
