"""Studies from a real Orthanc by its feed, results to it by STOW; and what is kept of them."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicomweb_client import DICOMwebClient

from pe_nnunet.burden import Burden, Place, Score
from pe_nnunet.burden.sites import Obstruction
from pe_nnunet.burden.ventricles import Ventricles
from pe_nnunet.errors import ConfigurationError, InputError, OutputError
from pe_nnunet.fusion import FusionSettings, find_emboli
from pe_nnunet.outputs import CaseResult, write_case
from pe_nnunet.serving.counts import Counts
from pe_nnunet.serving.destinations import result_files
from pe_nnunet.serving.dicomweb import OrthancFeed, StowDestination
from pe_nnunet.serving.intake import Intake
from pe_nnunet.serving.retention import Retention
from pe_nnunet.serving.settings import ServeSettings
from pe_nnunet.volumes import find_scans, read_scan, spacing_zyx
from tests.serving.conftest import DICOM, write_study
from tests.serving.pacs import free_port, wait_for


def states(queue) -> dict[str, str]:
    return {study.uid: study.state for study in queue.studies()}


def test_studies_from_orthanc_are_answered_into_it_once(queue, intake, serve, orthanc, tmp_path) -> None:
    earlier = write_study(tmp_path / "before", 31)
    for file in (tmp_path / "before").iterdir():
        orthanc.store(file)

    def stable(uid: str) -> bool:
        found = orthanc.get("/studies?expand")
        return any(s["IsStable"] for s in found if s["MainDicomTags"]["StudyInstanceUID"] == uid)

    wait_for(lambda: stable(earlier))
    feed, stow = OrthancFeed(orthanc.url, intake, queue), StowDestination(f"{orthanc.url}/dicom-web")
    feed.look()  # the first look: from here on
    uid = write_study(tmp_path / "new", 32)
    for file in (tmp_path / "new").iterdir():
        orthanc.store(file)
    wait_for(lambda: stable(uid))
    feed.look()
    serve(lambda: states(queue) == {uid: "sent"}, destinations=[stow], outputs=DICOM | {"key_image_1"})
    assert orthanc.modalities(uid) == ["CT"] * 8 + ["OT", "SEG", "SR"]
    assert orthanc.modalities(earlier) == ["CT"] * 8
    before = queue.mark(f"changes of {orthanc.url}")
    wait_for(lambda: stable(uid))
    feed.look()  # what we sent makes the study stable once more
    assert int(queue.mark(f"changes of {orthanc.url}")) > int(before)
    assert (states(queue), queue.study(uid).answers) == ({uid: "sent"}, 1)


def test_a_report_with_all_that_anatomy_tells_comes_back_from_orthanc_as_it_was(orthanc, tmp_path) -> None:
    write_study(tmp_path / "in", 34)
    (ref,) = find_scans(tmp_path / "in")
    scan = read_scan(ref, assume_hu=True)
    probability = np.zeros((8, 16, 20), np.float32)
    probability[2:5, 6:9, 10:13] = 0.9
    emboli = find_emboli(probability, spacing_zyx(scan.image), FusionSettings(min_volume_mm3=0))
    place = Place("lobar", 2, "left", "left lower", Obstruction(0.5, 0.4, 0.6))
    points, heart = (Score(5, 3, 7, 40), Score(9, 6, 14, 155)), Ventricles(120.0, 80.0, None, None, ())
    case = CaseResult(
        "case", scan.image, emboli, dicom=scan.dicom, burden=Burden(("artery",), {1: place}, *points, heart)
    )
    write_case(case, tmp_path / "out", {"dicom_seg", "dicom_sr"})
    files = {kind: tmp_path / "out" / f"case_{kind}.dcm" for kind in ("seg", "sr")}
    StowDestination(f"{orthanc.url}/dicom-web").send("1.2.3.34", files)
    for kind, path in files.items():
        sent = pydicom.dcmread(path)
        (found,) = DICOMwebClient(f"{orthanc.url}/dicom-web").retrieve_series("1.2.3.34", sent.SeriesInstanceUID)
        assert found == sent, kind
    groups = hd.sr.srread(files["sr"]).content
    assert len(groups.get_volumetric_roi_measurement_groups()) == 1
    assert len(groups.get_image_measurement_groups()) == 2  # totals and ventricles


def test_nobody_there(queue, intake, serve, tmp_path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(InputError, match="PE-SRV-010"):
        OrthancFeed(url, intake, queue).look()
    uid = write_study(tmp_path / "in", 33)
    for path in (tmp_path / "in").iterdir():
        intake.take(path.read_bytes())
    server = serve(lambda: states(queue) == {uid: "done"})
    with pytest.raises(OutputError, match="PE-SRV-006"):
        StowDestination(url).send(uid, result_files(uid, server.folder / "results" / uid))
    for bad in ("127.0.0.1:8042", "http://me:secret@127.0.0.1", "ftp://host"):
        with pytest.raises(ConfigurationError, match="PE-SRV-007") as refused:
            StowDestination(bad)
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize("settings", [{"keep_days": 0.0}, {"quota_gb": 15e-6}], ids=str)
def test_finished_studies_make_room_and_others_do_not(queue, tmp_path, settings) -> None:
    settings = ServeSettings(**settings)
    intake = Intake(tmp_path / "state" / "studies", queue, settings.quota_bytes)
    counts, results = Counts(), tmp_path / "results"
    for number in (1, 2):
        write_study(tmp_path / str(number), number)
    first, second = "1.2.3.1", "1.2.3.2"
    for path in (tmp_path / "1").iterdir():
        intake.take(path.read_bytes())
    queue.settle(0)
    queue.claim()
    retention = Retention(queue, intake, results, settings, "done", counts)
    retention.tidy()
    assert queue.instances_of(first) == 8  # it runs
    queue.done(first, "", 0.1, 0, 0.0, 0.1)
    (results / first).mkdir(parents=True)
    retention.tidy()
    assert queue.instances_of(first) == 0
    assert not (intake.folder / first).exists()
    assert (results / first).exists() == (settings.keep_days is None)
    assert states(queue) == {first: "done"}
    assert counts.events["removed"] == 1
    with pytest.raises(InputError, match="PE-SRV-003"):
        queue.again(first)
    for path in (tmp_path / "2").iterdir():
        intake.take(path.read_bytes())  # there is room again
    assert queue.instances_of(second) == 8
