from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from pe_nnunet.serving.answer import Answerer
from pe_nnunet.serving.intake import Intake
from pe_nnunet.serving.server import Server
from pe_nnunet.serving.start import STUDIES, held, opened_queue
from pe_nnunet.serving.study_queue import StudyQueue
from pe_nnunet.volumes import write_dicom_series
from tests.serving.pacs import Orthanc, start_orthanc

STAND_IN = Path(__file__).with_name("stand_in.py")
CLOT_HU = 77
PATIENT = "Muster^Erika"
DICOM = frozenset({"emboli", "table", "dicom_seg", "dicom_sr"})


def write_study(folder: Path, number: int, *, clot: bool = True, slices: int = 8, **headers: Any) -> str:
    """Write the CT series of a study of a named patient; its UID."""
    hu = np.full((slices, 16, 20), -1000, np.int16)
    hu[:, 3:13, 3:17] = 40
    hu[:, 5:11, 5:9] = -850
    hu[0, 0, 0] = number - 1000
    if clot:
        hu[2:5, 6:9, 10:13] = CLOT_HU
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((1.5, 1.5, 2.0))
    write_dicom_series(image, folder, patient_id=f"P{number}", entropy=str(headers))
    for file in sorted(folder.iterdir()):
        dataset = pydicom.dcmread(file)
        for keyword, value in {"PatientName": PATIENT, "StudyInstanceUID": f"1.2.3.{number}", **headers}.items():
            setattr(dataset, keyword, value)
        dataset.save_as(file)
    return f"1.2.3.{number}"


@pytest.fixture(scope="session")
def stand_in() -> Any:
    """The module of the stand-in predictor."""
    spec = spec_from_file_location("stand_in", STAND_IN)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[StudyQueue]:
    with opened_queue(tmp_path / "state") as opened:
        yield opened


@pytest.fixture
def intake(queue: StudyQueue, tmp_path: Path) -> Intake:
    return Intake(tmp_path / "state" / STUDIES, queue)


@pytest.fixture
def serve(queue: StudyQueue, intake: Intake, tmp_path: Path, stand_in: Any) -> Callable[..., Server]:
    """Make a server with the stand-in and work until the queue is as it should be."""

    def run(until: Callable[[], bool], seconds: float = 300, **settings: Any) -> Server:
        answerer = Answerer(stand_in.StandIn(), settings.pop("outputs", DICOM), None)
        server = Server(tmp_path / "state", queue, intake, answerer, quiet_s=settings.pop("quiet_s", 0.2), **settings)
        end = time.monotonic() + seconds

        def watch() -> None:
            if until() or time.monotonic() > end:
                server.stop()

        server.every(0.02, "the test", watch)
        with held(tmp_path / "state", queue, intake):
            server.run()
        assert until(), [(study.uid, study.state, study.code, study.message) for study in queue.studies()]
        return server

    return run


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    started = start_orthanc(tmp_path_factory.mktemp("orthanc"))
    yield started
    started.close()
