"""Which detectors ultralytics brings: its architecture files, which describe networks without weights."""

from __future__ import annotations

import atexit
import os
import re
import tempfile
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from pe_nnunet.errors import ConfigurationError, MissingExtraError
from pe_nnunet.errors.near import did_you_mean
from pe_nnunet.files.temporary import temporary_folder

# plain detection networks, and with -p2 those with a finer output too; -p6 wants larger pictures, -seg and -pose and
# the like are other tasks
_FILE = re.compile(r"(?P<family>yolov?\d+)(?P<size>[a-z]?)(?P<outputs>-p2)?")
_SIZE = re.compile(r"^  ([a-z]): \[", re.MULTILINE)


def architectures() -> dict[str, tuple[Path, str]]:
    """Every detector that can be trained: name to its file and size, `yolo11n` to `yolo11.yaml` and `n`.

    Raises:
        MissingExtraError: PE-DET-001 if ultralytics is not installed.
    """
    found = {}
    for path in sorted((ultralytics_folder() / "cfg" / "models").glob("*/yolo*.yaml")):
        match = _FILE.fullmatch(path.stem)
        if match is None:
            continue
        sizes = [] if match["size"] else _SIZE.findall(path.read_text(encoding="utf-8"))
        for size in sizes:
            found[f"{match['family']}{size}{match['outputs'] or ''}"] = (path, size)
        if not sizes:
            found[path.stem] = (path, match["size"])
    return found


def find_architecture(name: str) -> tuple[Path, str]:
    """The file and size of a detector.

    Args:
        name: Family and size: `yolo11n`, `yolo26s`, `yolov8m-p2`.

    Raises:
        ConfigurationError: PE-DET-002 if there is none of that name.
        MissingExtraError: PE-DET-001 if ultralytics is not installed.
    """
    known = architectures()
    if name not in known:
        hint = did_you_mean(name, known, f"it brings {', '.join(sorted(known))}")
        raise ConfigurationError("PE-DET-002", f"ultralytics brings no detector {name!r}", hint)
    return known[name]


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
    until_exit = ExitStack()
    folder = str(until_exit.enter_context(temporary_folder(Path(tempfile.gettempdir()) / "yolo")))
    atexit.register(until_exit.close)
    os.environ.update(_SWITCHES, YOLO_CONFIG_DIR=folder, PE_NNUNET_YOLO_CONFIG=folder)
