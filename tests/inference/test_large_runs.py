"""Runs of many scans, with subfolders and an index, here and in object storage, served by a real server on loopback."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from pe_nnunet.cases import output_folder
from pe_nnunet.cli import main
from pe_nnunet.cli.scan_options import scans_of
from pe_nnunet.errors import InputError
from pe_nnunet.evaluation.prediction_pairing import find_pairs
from pe_nnunet.files.objects import ObjectStore
from pe_nnunet.inference import resume
from pe_nnunet.inference.batch import predict_batch
from pe_nnunet.outputs.results_index import ResultsIndex
from pe_nnunet.outputs.writers import kinds_for
from pe_nnunet.verification.verify import verify
from pe_nnunet.volumes import Scan, find_scans, write_dicom_series
from pe_nnunet.volumes.stored import stored_scans
from pe_nnunet.volumes.study_list import listed_scans
from tests.kill.compare import contents
from tests.outputs import test_batch_files

KINDS = kinds_for(())


class Predictor(test_batch_files.Predictor):
    """Counts what it predicts."""

    ensemble = SimpleNamespace(terms=(), records=())

    def __init__(self) -> None:
        self.predicted: list[str] = []

    def settings(self) -> dict[str, Any]:
        return {"device": "cpu"}

    def predict(self, scan: Scan, **_: Any) -> Any:
        self.predicted.append(scan.case_id)
        return super().predict(scan)


def run(refs: Any, folder: Path, **more: Any) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    """The cases that were predicted, those that are there, and those that failed, with their codes."""
    predictor = Predictor()
    more = {"outputs": KINDS - {"picture", "report"}} | more
    written, failed = predict_batch(predictor, refs, folder, **more)  # type: ignore[arg-type]
    return predictor.predicted, [one.case_id for one in written], [(one.case_id, one.code) for one in failed]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Two volumes, one DICOM series, and a file that is none."""
    folder = tmp_path / "scans"
    hu = np.random.default_rng(0).integers(-900, 300, (6, 14, 16)).astype(np.int16)
    write_dicom_series(sitk.GetImageFromArray(hu), folder / "series", patient_id="A")
    for name in "ab":
        sitk.WriteImage(sitk.GetImageFromArray(hu + ord(name)), str(folder / f"{name}.nii.gz"))
    (folder / "bad.nii.gz").write_bytes(b"broken")
    return folder


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_folder, "FLAT_UP_TO", 2)


@pytest.mark.usefixtures("many")
def test_many_cases_lie_in_subfolders_with_an_index(scans: Path, tmp_path: Path, monkeypatch) -> None:
    out, refs = tmp_path / "out", find_scans(scans)
    failed = [("bad", "PE-IN-003")]
    run(refs, out, outputs=KINDS - {"picture"})
    subfolders = {"ca": "a", "3e": "b", "9c": "series"}
    assert {path.name for path in out.iterdir()} == {*subfolders, "index", "layout.json", "errors.json", "report.html"}
    for below, case in subfolders.items():
        assert (out / below / f"{case}_emboli.csv").is_file()
        assert f'href="{below}/{case}_report.html"' in (out / "report.html").read_text(encoding="utf-8")
    assert not [finding for checked in verify(out) for finding in checked.findings]
    (tmp_path / "labels").mkdir()
    for case in "ab":
        (tmp_path / "labels" / f"{case}.nii.gz").write_bytes((scans / f"{case}.nii.gz").read_bytes())
    pairs, missing, without_label = find_pairs(out, tmp_path / "labels")
    assert {case: files.table for case, files in pairs.items()} == {
        case: out / below / f"{case}_emboli.csv" for below, case in subfolders.items() if len(case) == 1
    }
    assert (missing, without_label) == ([], ["series"])

    with monkeypatch.context() as patch:  # the index says it: no manifest is opened
        patch.setattr(resume, "read_object", None)
        assert run(refs, out, resume=True) == ([], ["a", "b", "series"], failed)
    # killed after a manifest and before its line in the index; a manifest removed by hand; a scan written anew
    index = ResultsIndex(output_folder.output_folder(out))
    index.compact(without={"a"})
    (out / "3e" / "b.json").unlink()
    assert run(refs, out, resume=True) == (["b"], ["a", "b", "series"], failed)
    assert set(index.rows()) == {"a", "b", "series"}
    sitk.WriteImage(sitk.ReadImage(str(scans / "a.nii.gz")) + 1, str(scans / "a.nii.gz"))
    assert run(refs, out, resume=True)[0] == ["a"]
    (scans / "a.nii.gz").write_bytes(b"broken too")
    assert run(refs, out, resume=True)[2] == [("a", "PE-IN-003"), *failed]


@pytest.mark.usefixtures("many")
def test_parts_share_the_layout_and_the_index(scans: Path, tmp_path: Path) -> None:
    refs = find_scans(scans)
    for part in (0, 1):
        run(refs, tmp_path / "parts", part=part, parts=2)
    assert set(ResultsIndex(output_folder.output_folder(tmp_path / "parts")).rows()) == {"a", "b", "series"}
    run(refs, tmp_path / "one")
    one, parts = contents(tmp_path / "one"), contents(tmp_path / "parts")
    same = {name for name in one if not name.startswith(("index/", "errors.json"))}
    assert {name: parts[name] for name in same} == {name: one[name] for name in same}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server of S3 on loopback, with a bucket; its address."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "never-to-be-printed")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield f"{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(server: str, tmp_path: Path, scans: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A file system with `scans` in a bucket of its own; temporary folders lie in one that is looked through."""
    import s3fs

    system = s3fs.S3FileSystem()
    system.mkdir("cohort")
    system.put(str(scans), "cohort/scans", recursive=True)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    yield system
    system.rm("cohort", recursive=True)
    assert not list((tmp_path / "temporary").glob("pe-nnunet-*"))


def stored(bucket: Any, tmp_path: Path) -> dict[str, str]:
    """Hashes of what lies at `cohort/out`, timings left out."""
    copy = tmp_path / f"copy{len(list(tmp_path.glob('copy*')))}"
    bucket.invalidate_cache()
    bucket.get("cohort/out", str(copy), recursive=True)
    return {name: digest for name, digest in contents(copy).items() if not name.startswith("index/")}


def test_object_storage_gets_the_same_files_and_what_is_done_stays(bucket, scans, tmp_path, capfd) -> None:
    here = tmp_path / "here"
    run(find_scans(scans), here)
    expected = {name: digest for name, digest in contents(here).items() if name not in {"summary.csv", "errors.json"}}
    refs, _ = stored_scans("s3://cohort/scans", {})
    folders = iter(range(9))

    def again(**more: Any) -> Any:
        folder = tmp_path / f"tables{next(folders)}"
        return run(refs, folder, stored_at="s3://cohort/out", **more)

    assert again() == (["a", "b", "series"], ["a", "b", "series"], [("bad", "PE-IN-003")])
    found = stored(bucket, tmp_path)
    errors = json.loads(bucket.cat("cohort/out/errors.json"))
    assert {name: digest for name, digest in found.items() if name != "errors.json"} == expected
    assert "s3://cohort/scans/bad.nii.gz" in errors[0]["message"]
    assert again(resume=True)[:2] == ([], ["a", "b", "series"])

    # an index that was lost, a manifest that was, an object that was replaced, and one that has gone
    bucket.rm("cohort/out/index", recursive=True)
    bucket.rm("cohort/out/b.json")
    assert again(resume=True)[:2] == (["b"], ["a", "b", "series"])
    bucket.put(str(scans / "b.nii.gz"), "cohort/scans/a.nii.gz")
    refs, _ = stored_scans("s3://cohort/scans", {})
    bucket.rm("cohort/scans/b.nii.gz")
    assert again(resume=True)[0] == ["a"]
    assert again()[2] == [("b", "PE-IN-024"), ("bad", "PE-IN-003")]
    assert "never-to-be-printed" not in "".join(capfd.readouterr())


@pytest.mark.usefixtures("many")
def test_a_list_of_addresses_and_hashed_names(bucket, tmp_path) -> None:
    names = ("series", "a.nii.gz", "none")
    rows = [f"s3://cohort/scans/{name},{case}\n" for name, case in zip(names, ("x", "y", "z"), strict=True)]
    (tmp_path / "list.csv").write_text("path,case\n" + "".join(rows))
    refs, _ = listed_scans(tmp_path / "list.csv", {}, stored=True)
    _, written, failed = run(refs, tmp_path / "tables", stored_at="s3://cohort/out")
    assert (written, failed) == (["x", "y"], [("z", "PE-IN-024")])
    assert bucket.exists("cohort/out/2d/x_seg.dcm")  # the slices were there when it was written
    wanted = partial(SimpleNamespace, series_uid=None, pick=None, join_series=False, only=(), studies=None)
    hashed = scans_of(wanted(input="s3://cohort/scans", hash_names=True), stored=True)
    assert {ref.case_id[:5] for ref in hashed} == {"case_"}
    _, _, failed = run([ref for ref in hashed if ref.plain_id == "bad"], tmp_path / "more", stored_at="s3://cohort/out")
    errors = bucket.cat("cohort/out/errors.json").decode()
    assert len(failed) == 1
    assert "bad" not in errors


def test_the_command_reads_and_writes_storage(bucket, tmp_path, thorax, model_folder, monkeypatch) -> None:
    # a reader beside this process may be of an earlier test, and not know the server
    monkeypatch.setattr("pe_nnunet.cli.predict_fused.limits", lambda _: None)
    sitk.WriteImage(thorax, str(tmp_path / "one.nii.gz"))
    bucket.put(str(tmp_path / "one.nii.gz"), "cohort/one.nii.gz")
    model = model_folder(log_odds=(2.0,), patch=(32, 32, 32))
    command = ["predict-fused", "-i", "s3://cohort/one.nii.gz", "-o", "s3://cohort/out", "-m", str(model)]
    command += ["-device", "cpu", "--fast", "--no-report"]
    assert main(command) == 0
    assert {"one.json", "one.nii.gz", "one_emboli.csv", "errors.json"} <= stored(bucket, tmp_path).keys()


@pytest.mark.parametrize("name", ["../outside.dcm", "/etc/outside.dcm", "a\\..\\outside.dcm"])
def test_no_name_of_an_object_leads_out_of_its_folder(name: str, tmp_path: Path) -> None:
    pytest.importorskip("s3fs")
    with pytest.raises(InputError, match="PE-IN-024"):
        ObjectStore("s3://cohort/scans").get([name], tmp_path)


@pytest.mark.usefixtures("server")
def test_what_storage_is_refused_for(tmp_path, capsys) -> None:
    def said(*arguments: str) -> str:
        assert main([*arguments]) == 2
        return capsys.readouterr().err

    assert "PE-CLU-021" in said("evaluate", "-i", "s3://bucket/out", "-g", str(tmp_path), "-o", "scores")
    (tmp_path / "list.csv").write_text("path\ns3://bucket/scans\n")
    assert "PE-CLU-021" in said("detect", "--studies", str(tmp_path / "list.csv"), "-o", "out", "--detector", "none")
    (tmp_path / "list.csv").write_text("path\ns3://bucket/scans\na.nii.gz\n")
    predict = ("predict-fused", "-o", str(tmp_path / "out"), "-m", str(tmp_path))
    assert "1 of 2 studies lie in object storage" in said(*predict, "--studies", str(tmp_path / "list.csv"))
    assert "PE-CLU-022" in said(*predict, "-i", "s3://no-such-bucket/scans")
    assert "PE-CLU-020" in said(*predict, "-i", "nowhere://bucket/scans")
    told = said(*predict, "-i", "s3://name:password@bucket/scans")
    assert "PE-CLU-024" in told
    assert "password@" not in told
    assert not (tmp_path / "s3:").exists()
