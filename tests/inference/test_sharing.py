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
from pe_nnunet.inference import archive_install
from pe_nnunet.inference.archive import INDEX
from pe_nnunet.inference.archive_export import export_models
from pe_nnunet.inference.archive_install import install_models
from pe_nnunet.inference.locate import locate_folder
from pe_nnunet.inference.model import load_model

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


CHECKPOINT = "checkpoint_final.pth"


def write_fusion(folder, folds="01", ensemble=(), detector=None, **others):
    """A calibration of the checkpoints that are there now."""
    models = [
        {"model": folder.name, "fold": fold, "checkpoint": CHECKPOINT}
        | {"sha256": sha256((folder / f"fold_{fold}" / CHECKPOINT).read_bytes()).hexdigest()}
        for fold in folds
    ]
    point = {"settings": {"threshold": 0.4}, "budgets": []}
    content = {"format": 2, "segmentation": point, "fusion": None, "boxes": None}
    content |= {"ensemble": [folder.name, *ensemble], "chosen_on": {"models": models, "detector": detector}}
    (folder / "fusion.json").write_text(json.dumps(content | others))


@pytest.fixture
def archive(model_folder, tmp_path):
    folder = model_folder(folds=(0, 1))
    write_fusion(folder)
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


def test_an_installation_that_was_interrupted_goes_on(archive, tmp_path, monkeypatch):
    def stopped(made, target):
        if "Detector" in target.name:
            return real(made, target)
        raise KeyboardInterrupt

    real = archive_install.put_in_place
    target = tmp_path / "target"
    target.mkdir()
    monkeypatch.setattr(archive_install, "put_in_place", stopped)
    with pytest.raises(KeyboardInterrupt):
        install_models(archive, target)
    assert len(list(target.iterdir())) == 1
    assert not list(target.glob(".*"))
    monkeypatch.setattr(archive_install, "put_in_place", real)
    install_models(archive, target)
    assert (target / NAME / "fusion.json").is_file()
    (target / NAME / "fold_0" / "checkpoint_final.pth").write_bytes(b"half")  # not as it was installed
    with pytest.raises(ConfigurationError, match="PE-MODEL-009"):
        install_models(archive, target)


def test_the_same_models_give_the_same_archive(archive, tmp_path):
    folders = sorted(path for path in (tmp_path / "results" / "Dataset501_PE").iterdir() if "Detector" not in path.name)
    for name in ("a.zip", "b.zip"):
        export_models([locate_folder(folder, None) for folder in folders], tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert {member.date_time[0] for member in zipfile.ZipFile(tmp_path / "a.zip").infolist()} == {1980}


def train_again(folder, fold):
    path = folder / f"fold_{fold}" / CHECKPOINT
    content = torch.load(path, weights_only=True)
    torch.save(content | {"current_epoch": 7}, path)


def other_weights(folder):
    train_again(folder, 1)


def chosen_on_one_fold(folder):
    write_fusion(folder, folds="1")


def chosen_for_two_models(folder):
    write_fusion(folder, ensemble=["Other__P__2d"])


def chosen_with_another_detector(folder):
    write_fusion(folder, detector=[{"fold": "0", "sha256": {"detector.onnx": "before"}}])


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        (other_weights, "PE-FUS-008", "fold 1 of nnUNetTrainer__nnUNetPlans__3d_fullres was trained again"),
        (chosen_on_one_fold, "PE-FUS-008", "fold 0 of nnUNetTrainer__nnUNetPlans__3d_fullres instead of 1"),
        (chosen_for_two_models, "PE-FUS-005", "was chosen for other models"),
        (chosen_with_another_detector, "PE-FUS-008", "another detector, fold_0 of PEDetector__x"),
    ],
)
def test_a_stale_calibration_is_not_exported_unasked(archive, tmp_path, monkeypatch, capsys, change, code, text):
    folder, again = tmp_path / "results" / NAME, tmp_path / "again.zip"
    change(folder)
    command = ["export-model", "-o", str(again), "-m", str(folder)]
    command += ["--detector", str(folder.parent / "PEDetector__x" / "fold_0")]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert f"{code} warning" in told
    assert text in told
    assert "it is left out" in told
    assert f"{NAME}/fusion.json" not in zipfile.ZipFile(again).namelist()
    assert main([*command, "--accept-calibration"]) == 0
    assert "it is exported nevertheless" in capsys.readouterr().out
    assert f"{NAME}/fusion.json" in zipfile.ZipFile(again).namelist()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "elsewhere"))
    assert main(["install-model", str(again)]) == 0
    told = capsys.readouterr().out
    assert f"{code} warning: {NAME}/fusion.json was chosen for other" in told
    assert text in told


@pytest.mark.parametrize(("text", "code"), [('{"format": 1}', "PE-FUS-004"), (None, "PE-FUS-009")])
def test_a_calibration_that_says_too_little_stops_nothing(archive, tmp_path, capsys, text, code):
    folder, again = tmp_path / "results" / NAME, tmp_path / "again.zip"
    if text is None:
        write_fusion(folder, chosen_on={"scans": []})
    else:
        (folder / "fusion.json").write_text(text)
    assert main(["export-model", "-o", str(again), "-m", str(folder)]) == 0
    assert code in capsys.readouterr().out
    assert (f"{NAME}/fusion.json" in zipfile.ZipFile(again).namelist()) == (text is None)


def test_what_fits_is_exported_and_installed_without_a_word(archive, tmp_path, monkeypatch, capsys):
    folder, again = tmp_path / "results" / NAME, tmp_path / "again.zip"
    assert main(["export-model", "-o", str(again), "-m", str(folder), "-f", "1"]) == 0  # one of the folds
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "elsewhere"))
    assert main(["install-model", str(again)]) == 0
    assert "PE-FUS" not in capsys.readouterr().out
    assert (tmp_path / "elsewhere" / NAME / "fusion.json").is_file()


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
    "a file and a folder": lambda m, _: m.update({f"{NAME}/plans.json/x.json": b"{}"}),
    "names that differ by case alone": lambda m, _: m.update({f"{NAME}/Plans.json": m[f"{NAME}/plans.json"]}),
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


def test_plans_that_describe_no_network_are_named(model_folder):
    folder = model_folder()
    plans = json.loads((folder / "plans.json").read_text())
    plans["configurations"] = {name: {"inherits_from": name} for name in plans["configurations"]}
    (folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(ConfigurationError, match=r"PE-MODEL-003.*make no network"):
        load_model(locate_folder(folder, None), torch.device("cpu"))
