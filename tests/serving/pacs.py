"""A real Orthanc and DCMTK's tools on loopback, where they are installed."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import requests

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(reached: Any, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.05)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def dcmtk(tool: str, *arguments: Any, title: str = "SCANNER", to: str = "PENNUNET", port: int = 0) -> int:
    """Run echoscu, storescu or findscu; its exit code."""
    program = shutil.which(tool)
    if program is None:
        pytest.skip(f"no {tool} here (Debian's package dcmtk)")
    command = [program, "-aet", title, "-aec", to, "127.0.0.1", str(port), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=120, check=False).returncode


class Orthanc:
    """An Orthanc that nobody but this machine can reach, and that forgets all when it ends."""

    def __init__(self, program: str, folder: Path, stable_s: int = 1) -> None:
        self.dicom_port, self.http_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        settings = {
            "StorageDirectory": str(folder / "storage"), "IndexDirectory": str(folder / "storage"),
            "HttpPort": self.http_port, "DicomPort": self.dicom_port, "DicomAet": "ORTHANC", "StableAge": stable_s,
            "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowFind": True,
            "Plugins": [str(PLUGIN)] if PLUGIN.exists() else [], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }  # fmt: skip
        (folder / "orthanc.json").write_text(json.dumps(settings))
        self.log = folder / "orthanc.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen([program, folder / "orthanc.json"], stdout=log, stderr=log, cwd=folder)
        wait_for(lambda: listens(self.http_port) and listens(self.dicom_port))

    def get(self, path: str) -> Any:
        return requests.get(self.url + path, timeout=30).json()

    def modalities(self, study: str) -> list[str]:
        """Of all instances of a study."""
        found = requests.post(
            f"{self.url}/tools/find",
            json={"Level": "Series", "Query": {"StudyInstanceUID": study}, "Expand": True},
            timeout=30,
        ).json()
        return sorted(s["MainDicomTags"]["Modality"] for s in found for _ in s["Instances"])

    def store(self, path: Path) -> None:
        requests.post(f"{self.url}/instances", data=path.read_bytes(), timeout=30).raise_for_status()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)


def start_orthanc(folder: Path) -> Orthanc:
    program = shutil.which("Orthanc")
    if program is None:
        pytest.skip("no Orthanc here (Debian's packages orthanc, orthanc-dicomweb)")
    return Orthanc(program, folder)
