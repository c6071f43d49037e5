"""Models and archives that are damaged, or made to be: a line with a code, and no weights from nowhere."""

import json
import struct
import zipfile

import numpy as np
import pytest
import torch

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.inference.archive_export import export_models
from pe_nnunet.inference.archive_install import install_models
from pe_nnunet.inference.checkpoint_file import read_checkpoint
from pe_nnunet.inference.locate import locate_folder
from pe_nnunet.inference.model import load_model

CHECKPOINT = "fold_0/checkpoint_final.pth"


def load(folder):
    return load_model(locate_folder(folder, ["0"]), torch.device("cpu"))


def rewritten(folder, change):
    content = torch.load(folder / CHECKPOINT, weights_only=True)
    torch.save(change(content) or content, folder / CHECKPOINT)


def test_a_member_that_is_marked_as_a_folder_gives_no_weights_of_what_lies_in_memory(model_folder):
    folder = model_folder()
    path = folder / CHECKPOINT
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
        names = archive.namelist()
    at = content.index(names[-3].encode(), start)  # a storage, in the central directory
    content[at - 46 + 38] |= 0x10  # its attributes
    path.write_bytes(bytes(content))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    with pytest.raises(ConfigurationError, match=r"PE-MODEL-003.*marked as a folder"):
        load(folder)


def first_weight(content):
    return next(iter(content["network_weights"]))


def not_a_number(content):
    content["network_weights"][first_weight(content)].view(-1)[0] = float("nan")


def a_number_for_a_tensor(content):
    content["network_weights"][first_weight(content)] = 3


def one_weight_less(content):
    del content["network_weights"][first_weight(content)]


def huge_by_its_strides(content):
    content["network_weights"][first_weight(content)] = torch.zeros(1).expand(10**6, 10**6)


CHANGES = [
    (not_a_number, "NaN or infinite"),
    (a_number_for_a_tensor, "no table of tensors"),
    (one_weight_less, "does not fit the plans"),
    (huge_by_its_strides, "more than it stores"),
    (lambda content: content | {"network_weights": b"x"}, "no table of tensors"),
    (lambda content: content | {"init_args": {}}, "the configuration None"),
    (lambda content: content | {"init_args": ("a",)}, "the configuration None"),
    (lambda content: content | {"init_args": {"configuration": "2d"}}, "make no network"),
    (lambda content: content | {"trainer_name": "../x"}, "the trainer '../x'"),
    (lambda content: content | {"trainer_name": 3}, "the trainer 3"),
    (lambda content: content | {"inference_allowed_mirroring_axes": 7}, "axes 7"),
    (lambda content: content | {"inference_allowed_mirroring_axes": torch.zeros(3)}, "the axes tensor"),
    (lambda content: content | {"inference_allowed_mirroring_axes": (5,)}, "mirrors over axes"),
]


@pytest.mark.parametrize(("change", "error"), CHANGES)
def test_checkpoints(model_folder, change, error):
    folder = model_folder()
    load(folder)
    rewritten(folder, change)
    with pytest.raises(ConfigurationError, match=rf"PE-MODEL-003.*{error}"):
        load(folder)


def test_the_format_of_before_torch_1_6_which_has_no_checksums_is_read_only_if_trusted(model_folder):
    path = model_folder() / CHECKPOINT
    content = read_checkpoint(path)
    torch.save(content, path, _use_new_zipfile_serialization=False)
    with pytest.raises(ConfigurationError, match=r"PE-MODEL-003.*no checksums"):
        read_checkpoint(path)
    assert read_checkpoint(path, trust=True).keys() == content.keys()


def in_architecture(key, value):
    def change(plans):
        plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"][key] = value

    return change


def unhashable_name(plans):
    plans["configurations"]["3d_fullres"]["architecture"]["_kw_requires_import"][0] = ["conv_op"]


JSON = [
    ("plans.json", unhashable_name, "PE-MODEL-020"),
    ("plans.json", in_architecture("n_stages", None), "PE-MODEL-003.*make no network"),
    ("plans.json", in_architecture("kernel_sizes", [[3, 3, 3]]), "PE-MODEL-003.*make no network"),
    (
        "plans.json",
        in_architecture("features_per_stage", [4, 8_000]),
        "PE-MODEL-003.*does not fit",
    ),  # 40 GB if it were built
    ("plans.json", in_architecture("features_per_stage", [4, 80_000]), "PE-MODEL-003.*features_per_stage"),
    ("plans.json", in_architecture("n_conv_per_stage_decoder", 2**31), "PE-MODEL-003.*n_conv.* at most 64"),
    ("dataset.json", lambda content: content.update(channel_names=3), "PE-MODEL-001.*channel_names"),
    ("dataset.json", lambda content: content["labels"].update(PE={}), "PE-MODEL-001"),
    ("dataset.json", lambda content: content["labels"].update(PE="one"), "PE-MODEL-001"),
    ("dataset.json", lambda content: content["labels"].pop("background"), "PE-MODEL-003.*make no network"),
]


@pytest.mark.parametrize(("name", "change", "error"), JSON)
def test_what_lies_beside_them(model_folder, name, change, error):
    folder = model_folder()
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match=error):
        load(folder)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_streams_of_archives_that_cannot_be_unpacked(model_folder, tmp_path, method):
    folder = model_folder()
    export_models([locate_folder(folder, None)], tmp_path / "whole.zip")
    path = tmp_path / "damaged.zip"
    with zipfile.ZipFile(tmp_path / "whole.zip") as whole, zipfile.ZipFile(path, "w", method) as packed:
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))
    content = path.read_bytes()
    for member in zipfile.ZipFile(path).infolist():
        length, extra = struct.unpack_from("<HH", content, member.header_offset + 26)
        start = member.header_offset + 30 + length + extra
        noise = np.random.default_rng(0).integers(0, 256, member.compress_size, dtype="u1").tobytes()
        path.write_bytes(content[:start] + noise + content[start + member.compress_size :])
        (tmp_path / "installed").mkdir(exist_ok=True)
        with pytest.raises(ConfigurationError, match="PE-MODEL-012"):
            install_models(path, tmp_path / "installed")
        assert list((tmp_path / "installed").iterdir()) == []
