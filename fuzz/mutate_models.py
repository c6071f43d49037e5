"""Changes of zip archives, checkpoints and ONNX files: of their contents, and of how they are packed."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import warnings
import zipfile
from typing import Any

import numpy as np

from fuzz.mutate_bytes import change_bytes
from fuzz.mutate_json import change_json
from fuzz.sample import Files, Mutated, Rng, pick
from fuzz.seeds_models import CHECKPOINT, indexed

INDEX = "pe_nnunet_model.json"
NAMES = (
    "../evil.json", "/tmp/evil.json", "Dataset1/../../x.json", "Dataset1\\x\\y.json", "C:/x/y/z.json",
    "Dataset1/a/b.exe", "Dataset1/a/b.json/", "Dataset1/a", "Dataset1//a/b.json", "./Dataset1/a/b.json",
    "Dataset1/a/\x00.json", "Dataset1/a/é.json", "Dataset1/" + "a" * 300 + "/b.json", "dataset1/a/b.json",
    "Dataset1/a/con.json", "Dataset501_PE/x/fold_0/checkpoint_final.pth", "Dataset1/a/b.json/c.json",
)  # fmt: skip


def change_archive(rng: Rng, files: Files) -> Mutated:
    """One change of a model archive."""
    content = files["model.zip"]
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:  # noqa: BLE001 - changed before
        members = []
    kind = rng.random()
    if not members or kind < 0.15:
        changed, what = change_bytes(rng, content)
        return {"model.zip": changed}, f"zip: {what}"
    if kind < 0.3:
        return {"model.zip": (made := _odd_headers(rng, content))[0]}, made[1]
    if kind < 0.55:  # a content that the index agrees with: an attacker writes hashes, too
        at = int(rng.integers(len(members)))
        name = members[at][0]
        changed, what = _change_member(rng, name, members[at][1])
        members[at] = (name, changed)
        if name != INDEX:
            members = [(n, c) for n, c in members if n != INDEX]
            members.insert(0, (INDEX, indexed(dict(members))))
        return {"model.zip": _pack(rng, members)}, f"{name}: {what}"
    if kind < 0.65:
        at = int(rng.integers(len(members)))
        changed, what = change_bytes(rng, members[at][1])
        members[at] = (members[at][0], changed)
        return {"model.zip": _pack(rng, members)}, f"{members[at][0]}: {what}, the index as it was"
    if kind < 0.9:
        at, new = int(rng.integers(len(members))), pick(rng, NAMES)
        old = members[at]
        members[at] = (new, old[1])
        if rng.random() < 0.8:
            left = [(n, c) for n, c in members if n != INDEX]
            members = [(INDEX, indexed(dict(left))), *left]
        return {"model.zip": _pack(rng, members)}, f"{old[0]} is called {new[:40]!r}"
    if kind < 0.95:
        members.append(members[int(rng.integers(len(members)))])
        return {"model.zip": _pack(rng, members)}, f"{members[-1][0]} twice"
    del members[int(rng.integers(len(members)))]
    return {"model.zip": _pack(rng, members)}, "a member less"


def _change_member(rng: Rng, name: str, content: bytes) -> tuple[bytes, str]:
    if name.endswith(".json"):
        return change_json(rng, content)
    if name.endswith(".onnx"):
        return change_onnx_bytes(rng, content)
    return change_checkpoint_bytes(rng, content)


def _pack(rng: Rng, members: list[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    method = pick(rng, (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", method) as archive:
        warnings.simplefilter("ignore")
        for name, content in members:
            info = zipfile.ZipInfo("x", (2020, 1, 1, 0, 0, 0))
            info.filename = name  # as it is, not cleaned
            info.compress_type = method
            if rng.random() < 0.03:
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, content)
    return stream.getvalue()


def _odd_headers(rng: Rng, content: bytes) -> tuple[bytes, str]:
    """A field of a local or central header changed: method, flags, checksum, sizes, or where it lies."""
    signature = pick(rng, (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"))
    places = [k for k in range(len(content) - 46) if content[k : k + 4] == signature][:40]
    if not places:
        return change_bytes(rng, content)
    at = pick(rng, places)
    offset = int(rng.integers(4, 22 if signature == b"PK\x05\x06" else 46))
    value = (
        rng.integers(0, 256, 1, dtype="u1").tobytes()
        if rng.random() < 0.6
        else pick(rng, (b"\xff\xff", b"\xff\xff\xff\xff", b"\0\0"))
    )
    place = at + offset
    return content[:place] + value + content[
        place + len(value) :
    ], f"{signature!r} at {at}, byte {offset}: {value.hex()}"


def change_checkpoint(rng: Rng, files: Files) -> Mutated:
    """One change of a model folder: of its checkpoint, or of plans.json or dataset.json."""
    kind = rng.random()
    name = f"fold_0/{CHECKPOINT}" if kind < 0.75 else ("plans.json" if kind < 0.9 else "dataset.json")
    changed, what = (change_json if name.endswith("json") else change_checkpoint_bytes)(rng, files[name])
    return {**files, name: changed}, f"{name}: {what}"


def change_checkpoint_bytes(rng: Rng, content: bytes) -> tuple[bytes, str]:
    """One change of what torch.save wrote."""
    kind = rng.random()
    if kind < 0.25:
        return change_bytes(rng, content)
    if kind < 0.55:
        return _change_values(rng, content)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:  # noqa: BLE001 - of the older format, or changed before
        return change_bytes(rng, content)
    if kind < 0.65:
        return _odd_headers(rng, content)
    at = int(rng.integers(len(members))) if kind < 0.85 else 0  # the first is the pickle
    name, old = members[at]
    choice = rng.random()
    what = name
    if choice < 0.7:
        members[at] = (name, (made := change_bytes(rng, old))[0])
        what = f"{name}: {made[1]}"
    elif choice < 0.8:
        del members[at]
        what = f"without {name}"
    elif choice < 0.9:
        members.append((name, old[::-1]))
        what = f"{name} twice"
    else:
        members[at] = (name.replace("data", "dat\u00e1"), old)
        what = f"{name} renamed"
    return _pack_plain(rng, members), what


def _pack_plain(rng: Rng, members: list[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    method = zipfile.ZIP_STORED if rng.random() < 0.8 else zipfile.ZIP_DEFLATED
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", method) as archive:
        warnings.simplefilter("ignore")
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content, method)
    return stream.getvalue()


def _change_values(rng: Rng, content: bytes) -> tuple[bytes, str]:
    """A checkpoint with other values, written by torch."""
    import torch

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:  # else bytes that were changed name sizes of gigabytes
            if archive.testzip() is not None:
                return change_bytes(rng, content)
        values = torch.load(io.BytesIO(content), weights_only=True)
        weights = values["network_weights"]
        name = pick(rng, list(weights))
    except Exception:  # noqa: BLE001 - changed before
        return change_bytes(rng, content)
    odd: Any = pick(rng, (None, 3, "x", [], {}, float("nan"), torch.zeros(3), ("a",), b"x", True))
    kind = int(rng.integers(9))
    what = name
    if kind == 0:
        weights[name] = odd
    elif kind == 1:
        del weights[name]
    elif kind == 2:
        weights[name] = weights[name].double() if isinstance(weights[name], torch.Tensor) else odd
    elif kind == 3 and isinstance(weights[name], torch.Tensor) and weights[name].numel():
        weights[name] = weights[name].clone()
        weights[name].view(-1)[0] = pick(rng, (float("nan"), float("inf"), 1e38, -float("inf")))
        what = f"{name} not finite"
    elif kind == 4:
        weights[name] = torch.zeros(1).expand(10**6, 10**6)
        what = f"{name} is huge by its strides"
    elif kind == 5:
        key = pick(rng, ("trainer_name", "init_args", "inference_allowed_mirroring_axes", "network_weights"))
        values[key], what = odd, f"{key} is {odd!r}"
    elif kind == 6:
        values["init_args"], what = {"configuration": odd}, f"configuration is {odd!r}"
    elif kind == 7:
        values["trainer_name"] = pick(
            rng, ("os.system", "x y", "", "nnUNetTrainer.__init__", "PETARUNetTrainer", "../x")
        )
        what = f"trainer_name is {values['trainer_name'][:20]!r}"
    else:
        values["inference_allowed_mirroring_axes"] = pick(rng, ((5,), (-1,), ("x",), 7, (0, 0), (1e9,)))
        what = f"mirroring axes {values['inference_allowed_mirroring_axes']!r}"
    stream = io.BytesIO()
    torch.save(values, stream)
    return stream.getvalue(), f"values: {what}"[:150]


def change_detector(rng: Rng, files: Files) -> Mutated:
    """One change of a detector's folder; the record's hash follows the network, as an attacker's would."""
    if rng.random() < 0.2:
        changed, what = change_json(rng, files["detector.json"])
        return {**files, "detector.json": changed}, f"detector.json: {what}"
    changed, what = change_onnx_bytes(rng, files["detector.onnx"])
    record = files["detector.json"]
    if rng.random() < 0.95:
        try:
            values = json.loads(record)
            values["sha256"]["detector.onnx"] = hashlib.sha256(changed).hexdigest()
            record = json.dumps(values).encode()
        except (ValueError, LookupError, TypeError, RecursionError):
            pass
    return {"detector.onnx": changed, "detector.json": record}, what


def change_onnx_bytes(rng: Rng, content: bytes) -> tuple[bytes, str]:
    """One change of an ONNX file: of its protobuf's fields, or of its bytes."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    try:
        model = onnx.load_from_string(content)
        graph = model.graph
        node, constant = pick(rng, list(graph.node)), pick(rng, list(graph.initializer))
    except Exception:  # noqa: BLE001 - changed before
        return change_bytes(rng, content)
    kind = int(rng.integers(14))
    what = node.op_type
    if kind == 0:
        node.op_type = pick(
            rng, ("Add", "Identity", "If", "Loop", "Nothing", "Softmax", "MatMul", "Tile", "Expand", "Resize", "Pad")
        )
        what += f" -> {node.op_type}"
    elif kind == 1:
        del constant.dims[:]
        constant.dims.extend(pick(rng, ([0], [-1], [6, 3, 8], [2**31], [10**6, 10**6], [6, 3, 64], [])))
        what = f"{constant.name} has dims {list(constant.dims)}"
    elif kind == 2:
        constant.data_type = pick(rng, (0, 1, 2, 6, 7, 8, 9, 10, 11, 16, 99, -1))
        what = f"{constant.name} of type {constant.data_type}"
    elif kind == 3:
        constant.raw_data = change_bytes(rng, constant.raw_data)[0]
        what = f"{constant.name} changed"
    elif kind == 4:
        numbers = np.frombuffer(constant.raw_data, "u1").copy()
        values = numpy_helper.to_array(constant).copy().reshape(-1) if numbers.size else np.zeros(0)
        if values.size:
            values[int(rng.integers(values.size))] = (
                pick(rng, (-1, 0, 2**31 - 1, 7)) if values.dtype.kind == "i" else pick(rng, (np.nan, np.inf, 1e38, 0))
            )
            constant.raw_data = values.tobytes()
        what = f"a value of {constant.name}"
    elif kind == 5:
        constant.external_data.add(key="location", value=pick(rng, ("/etc/passwd", "../x", "w.bin")))
        constant.data_location = TensorProto.EXTERNAL
        what = f"{constant.name} lies elsewhere"
    elif kind == 6 and node.attribute:
        attribute = pick(rng, list(node.attribute))
        attribute.i = int(pick(rng, (0, -1, 2**62, 3)))
        if attribute.ints:
            attribute.ints[int(rng.integers(len(attribute.ints)))] = int(pick(rng, (0, -1, 2**62, 3, 10**6)))
        attribute.type = int(pick(rng, (attribute.type, 1, 2, 3, 7)))
        what += f".{attribute.name}"
    elif kind == 7:
        graph.node.remove(node)
        what = f"without {what}"
    elif kind == 8 and node.input:
        node.input[0] = pick(rng, (node.output[0], "nothing", "pictures", "w", ""))
        what += f" from {node.input[0]}"
    elif kind == 9:
        graph.output[0].name = pick(rng, ("act", "nothing", "pictures", "w"))
        what = f"output {graph.output[0].name}"
    elif kind == 10:
        graph.input[0].type.tensor_type.elem_type = int(pick(rng, (1, 7, 8, 9, 99)))
        what = "input of another type"
    elif kind == 11:
        graph.output.append(helper.make_tensor_value_info("conv", 1, None))
        what = "a second output"
    elif kind == 12:
        graph.input[0].name = pick(rng, ("x", "", "boxes"))
        what = "input of another name"
    else:
        return change_bytes(rng, content)
    return bytes(model.SerializeToString()), f"onnx: {what}"
