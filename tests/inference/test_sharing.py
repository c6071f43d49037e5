"""Models as zip files: round trip, and what is refused."""

import json
import stat
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from pe_nnunet.cli import main
from pe_nnunet.errors import ConfigurationError
from pe_nnunet.inference.locate import locate_folder
from pe_nnunet.inference.sharing import INDEX, export_models, install_models

NAME = "Dataset501_PE/nnUNetTrainer__nnUNetPlans__3d_fullres"


def network(weights_at=None):
    """A network of ONNX that adds a constant, which may lie in another file."""
    constant = onnx.numpy_helper.from_array(np.arange(4, dtype=np.float32), "w")
    if weights_at is not None:
        onnx.external_data_helper.set_external_data(constant, weights_at)
        constant.ClearField("raw_data")
    one = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "w"], ["y"])], "g", [one("x", 1, [4])], [one("y", 1, [4])], [constant]
    )
    return onnx.helper.make_model(graph).SerializeToString()


@pytest.fixture
def archive(model_folder, tmp_path):
    folder = model_folder(folds=(0, 1))
    (folder / "fusion.json").write_text("{}")
    detector = folder.parent / "PEDetector__x" / "fold_0"
    detector.mkdir(parents=True)
    (detector / "detector.onnx").write_bytes(network())
    (detector / "detector.json").write_text(json.dumps({"sha256": {"detector.onnx": "whatever"}}))
    (detector / "history.csv").write_text("not for others")
    path = tmp_path / "shared" / "model.zip"
    export_models([locate_folder(folder, None)], path, [detector])
    return path


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_round_trip_by_the_commands(archive, tmp_path, monkeypatch, capsys):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("nnUNet_results", str(elsewhere))
    assert main(["install-model", str(archive)]) == 0
    before, after = content(tmp_path / "results"), content(elsewhere)
    assert after == {name: data for name, data in before.items() if not name.endswith("history.csv")}
    assert f"{NAME}/fusion.json" in after
    assert f"{NAME}/fold_1/checkpoint_final.pth" in after
    locate_folder(elsewhere / NAME, ["0", "1"])
    assert main(["install-model", str(archive)]) == 2
    assert "PE-MODEL-009" in capsys.readouterr().err
    assert main(["install-model", str(archive), "--overwrite"]) == 0
    again = tmp_path / "again.zip"
    assert main(["export-model", "-o", str(again), "-m", str(elsewhere / NAME), "-f", "1"]) == 0
    names = zipfile.ZipFile(again).namelist()
    assert f"{NAME}/fold_1/checkpoint_final.pth" in names
    assert f"{NAME}/fold_0/checkpoint_final.pth" not in names


def test_stock_nnunet_installs_it_too(archive, tmp_path, monkeypatch):
    from nnunetv2.model_sharing import model_import

    (tmp_path / "stock").mkdir()
    monkeypatch.setattr(model_import, "nnUNet_results", str(tmp_path / "stock"))
    model_import.install_model_from_zip_file(str(archive))
    locate_folder(tmp_path / "stock" / NAME, ["0", "1"])


def rewritten(archive, change):
    """The archive with members changed by `change(dict)`; the index follows unless it was changed itself."""
    with zipfile.ZipFile(archive) as source:
        members = {name: source.read(name) for name in source.namelist()}
    before = members[INDEX]
    change(members)
    if members.get(INDEX) == before:
        index = json.loads(before)
        index["files"] = {
            name: {"sha256": sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in members.items()
            if name != INDEX
        }
        members[INDEX] = json.dumps(index).encode()
    path = archive.with_name("changed.zip")
    with zipfile.ZipFile(path, "w") as target:
        for name, data in members.items():
            target.writestr(name, data)
    return path


class Hostile:
    def __reduce__(self):
        return Path.touch, (Path("hacked"),)


def hostile_checkpoint(tmp_path):
    torch.save({"network_weights": {}, "trainer_name": "T", "init_args": {}, "x": Hostile()}, tmp_path / "bad.pth")
    return (tmp_path / "bad.pth").read_bytes()


BAD = {
    "zip-slip": lambda m, _: m.update({f"{NAME}/../../../evil.json": b"{}"}),
    "absolute": lambda m, _: m.update({"/etc/evil/x.json": b"{}"}),
    "windows": lambda m, _: m.update({"Dataset1\\..\\..\\evil\\x.json": b"{}"}),
    "outside a dataset": lambda m, _: m.update({"other/folder/x.json": b"{}"}),
    "a program": lambda m, _: m.update({f"{NAME}/setup.py": b"print()"}),
    "no index": lambda m, _: m.pop(INDEX),
    "index of nothing": lambda m, _: m.update({INDEX: b"[]"}),
    "newer": lambda m, _: m.update({INDEX: b'{"format": 9, "files": {}}'}),
    "changed": lambda m, _: m.update({INDEX: m[INDEX] + b" ", f"{NAME}/fusion.json": b"[]"}),
    "unlisted": lambda m, _: m.update({INDEX: m[INDEX] + b" ", f"{NAME}/more.json": b"{}"}),
    "no json": lambda m, _: m.update({f"{NAME}/plans.json": b"<html>"}),
    "weights that run": lambda m, t: m.update({f"{NAME}/fold_0/checkpoint_final.pth": hostile_checkpoint(t)}),
    "detector that reads elsewhere": lambda m, _: m.update(
        {f"{NAME}/fold_0/detector.onnx": network("../../../secret.bin")}
    ),
    "detector that is none": lambda m, _: m.update({f"{NAME}/fold_0/detector.onnx": b"\x08\x99<html>"}),
    "detector that runs": lambda m, t: m.update({f"{NAME}/fold_0/detector.pt": hostile_checkpoint(t)}),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_archive_is_refused_and_leaves_nothing(archive, tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    path = rewritten(archive, lambda members: BAD[what](members, tmp_path))
    target = tmp_path / "target"
    target.mkdir()
    before = set(tmp_path.rglob("*"))
    with pytest.raises(ConfigurationError, match=r"PE-MODEL-0(12|03)|PE-DET-006"):
        install_models(path, target)
    assert set(tmp_path.rglob("*")) == before


def test_links_are_refused(archive, tmp_path):
    path = rewritten(archive, lambda members: None)
    link = zipfile.ZipInfo(f"{NAME}/plans.json")
    with zipfile.ZipFile(path) as source:
        members = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w") as target:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            if name == link.filename:
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            target.writestr(info, data)
    with pytest.raises(ConfigurationError, match="link"):
        install_models(path, tmp_path)


@pytest.mark.parametrize("data", [None, b"", b"PK\x03\x04 damaged"])
def test_what_is_no_archive(tmp_path, data):
    if data is not None:
        (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(ConfigurationError, match="PE-MODEL-012"):
        install_models(tmp_path / "x.zip", tmp_path)


def test_what_nobody_could_install_is_not_exported(model_folder, tmp_path):
    folder = model_folder()
    torch.save({"x": Hostile()}, folder / "fold_0" / "checkpoint_final.pth")
    with pytest.raises(ConfigurationError, match="PE-MODEL-003"):
        export_models([locate_folder(folder, None)], tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()
