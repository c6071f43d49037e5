from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.errors import Note
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.outputs import CaseResult, ModelRecord
from pe_nnunet.volumes.geometry import spacing_zyx


def scan_image(shape: tuple[int, int, int] = (24, 60, 80)) -> sitk.Image:
    """A grey body with two dark lungs, on an oblique, anisotropic grid."""
    hu = np.full(shape, -1000, np.int16)
    z, y, x = np.indices(shape)
    hu[((y - 30) / 26) ** 2 + ((x - 40) / 36) ** 2 < 1] = 40
    for centre in (22, 58):
        hu[(((y - 30) / 18) ** 2 + ((x - centre) / 13) ** 2 < 1) & (z > 2)] = -850
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((1.5, 1.5, 2.0))
    image.SetOrigin((-60.0, -45.0, 100.0))
    angle = np.deg2rad(10)
    image.SetDirection((np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, 1))
    return image


def probability_map(shape: tuple[int, int, int] = (24, 60, 80)) -> np.ndarray:
    probability = np.zeros(shape, np.float32)
    probability[8:12, 28:34, 36:44] = 0.7
    probability[10, 30, 40] = 0.95  # 192 voxels of 4.5 mm3
    probability[16:18, 20:23, 20:23] = 0.6  # 18 voxels
    probability[4, 40, 60] = 0.2
    return probability


@pytest.fixture
def image() -> sitk.Image:
    return scan_image()


@pytest.fixture
def probability() -> np.ndarray:
    return probability_map()


@pytest.fixture
def case(image: sitk.Image, probability: np.ndarray) -> CaseResult:
    as_image = sitk.GetImageFromArray(probability)
    as_image.CopyInformation(image)
    return CaseResult(
        "case_1",
        image,
        find_emboli(probability, spacing_zyx(image), FusionSettings()),
        probability=as_image,
        source="scans/case 1",
        source_sha256="ab" * 32,
        roi={"box_zyx": [[0, 0, 0], [24, 60, 80]]},
        models=(
            ModelRecord(
                "PETARUNetTrainer__PETARUNetPlans__3d_fullres", "Dataset501_PE", "0", "checkpoint_final.pth", "cd" * 32
            ),
        ),
        arguments={"threshold": 0.5, "folds": ["0"]},
        timings_s={"read": 1.25, "predict": 2.5},
        notes=(Note("PE-IN-004", "warning", "a note, with a comma"),),
    )


class Browser:
    """Headless Chromium, driven over two pipes by its own protocol; every address that it asks for is kept.

    Source: https://chromedevtools.github.io/devtools-protocol/.
    """

    def __init__(self, program: str, profile: Path) -> None:
        to_browser, ours = os.pipe()
        theirs, from_browser = os.pipe()
        options = (
            "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --hide-scrollbars "
            f"--disable-background-networking --window-size=1280,900 --user-data-dir={profile} --remote-debugging-pipe"
        )
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$0" {options} about:blank 3<&{to_browser} 4>&{from_browser}', program],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._out, self._in = os.fdopen(ours, "wb", buffering=0), os.fdopen(theirs, "rb")
        self._number = 0
        self.asked: list[str] = []
        self.complaints: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")

    _session = ""

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        text = bytearray()
        while (byte := self._in.read(1)) != b"\0":
            assert byte, "Chromium has gone away"
            text += byte
        answer = json.loads(text)
        method, parameters = answer.get("method"), answer.get("params", {})
        if method == "Network.requestWillBeSent":
            self.asked.append(parameters["request"]["url"])
        if method == "Runtime.exceptionThrown" or parameters.get("entry", {}).get("level") == "error":
            self.complaints.append(json.dumps(parameters))
        return answer

    def open(self, page: Path | str) -> None:
        """Open a file from disk, or an address, and wait until the page says that it is ready."""
        self.asked.clear()
        self.complaints.clear()
        self._call("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        self.wait("document.readyState === 'complete' && document.documentElement.dataset.ready === 'yes'")

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = 60) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.value(expression):
            assert time.monotonic() < end, f"still not: {expression}; {self.complaints}"
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """Press and let go of a key, as a person does."""
        text = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key, **(text if kind == "keyDown" else {}))

    def mouse(self, selector: str, *, wheel: float = 0, at: tuple[float, float] = (0.5, 0.5)) -> None:
        """Click on an element, or turn the wheel over it."""
        element = f"document.querySelector({json.dumps(selector)})"
        self.value(f"{element}.scrollIntoView({{block: 'center'}})")
        box = self.value(f"(b => [b.left, b.top, b.width, b.height])({element}.getBoundingClientRect())")
        x, y = box[0] + at[0] * box[2], box[1] + at[1] * box[3]
        if wheel:
            self._call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=wheel)
            return
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, path: Path) -> None:
        """Save what a person sees."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        """End the program."""
        self.process.terminate()
        self.process.wait(30)
        self._out.close()
        self._in.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for the pages' tests; it must be installed, for none can be had from PyPI."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    program = os.environ.get("PE_NNUNET_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("no Chromium here (PE_NNUNET_CHROMIUM names one)")
    opened = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.close()
