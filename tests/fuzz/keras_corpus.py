"""Hostile files of Keras's formats: a table of them, each a function that makes it, and what the error says."""

from __future__ import annotations

import io
import json
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

import kfunc as kf
from kfunc import nn
from kfunc.interop import keras

CONFIG = {
    "module": "keras",
    "class_name": "Sequential",
    "config": {
        "name": "net",
        "layers": [
            {"module": "keras.layers", "class_name": "InputLayer", "config": {"batch_shape": [None, 3], "name": "x"}},
            {"module": "keras.layers", "class_name": "Dense", "config": {"name": "a", "units": 3}},
            {"module": "keras.layers", "class_name": "Dense", "config": {"name": "b", "units": 3}},
        ],
    },
}
NET = nn.Sequential([nn.Input((3,)), nn.Dense(3, name="a"), nn.Dense(3, name="b")])
FORBIDDEN = "forbidden"
"""A pipe beside the file: a program that opens it waits for ever."""

Edit = Callable[[h5py.File], object]


def hdf5(edit: Edit | None = None, **options) -> bytes:
    """The weights of `NET`, as Keras writes them, and then changed."""
    out = io.BytesIO()
    with h5py.File(out, "w", **options) as file:
        for name, given in (("dense", "a"), ("dense_1", "b")):
            group = file.create_group(f"layers/{name}/vars")
            group.attrs["name"] = given
            group["0"], group["1"] = np.ones((3, 3), "f4"), np.ones(3, "f4")
        if edit is not None:
            edit(file)
    return out.getvalue()


def legacy(edit: Edit | None = None) -> bytes:
    """The same in the old format."""
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file.attrs["model_config"] = json.dumps(CONFIG)
        top = file.create_group("model_weights")
        top.attrs["layer_names"] = ["a", "b"]
        for name in "ab":
            group = top.create_group(name)
            group.attrs["weight_names"] = [f"{name}/kernel:0", f"{name}/bias:0"]
            group[f"{name}/kernel:0"], group[f"{name}/bias:0"] = np.ones((3, 3), "f4"), np.ones(3, "f4")
        if edit is not None:
            edit(file)
    return out.getvalue()


def archive(parts: dict[str, bytes | str] | list[tuple[str, bytes | str]], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in parts.items() if isinstance(parts, dict) else parts:
            file.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


GOOD = {"metadata.json": "{}", "config.json": json.dumps(CONFIG), "model.weights.h5": hdf5()}


def replaced(kernel: Callable[[h5py.Group, str], object]) -> bytes:
    """Weights whose first kernel is something else."""

    def edit(file):
        del file["layers/dense/vars/0"]
        kernel(file["layers/dense/vars"], "0")

    return hdf5(edit)


def _chunked(group, name, chunks=(1, 3)):
    group.create_dataset(name, data=np.ones((3, 3), "f4"), chunks=chunks, maxshape=(None, None))


def _half(group, name):
    group.create_dataset(name, (3, 3), "f4", chunks=(1, 3))[0] = 1


def _zeros(group, name):
    """As much as a file may become, and more, of zeros."""
    group.create_dataset(name, data=np.zeros((3, 2**22), "f4"), compression="gzip", chunks=(1, 2**18))


def _piece(data: bytes):
    def kernel(group, name):
        array = group.create_dataset(name, (3, 3), "f4", chunks=(512, 512), maxshape=(None, None), compression="gzip")
        array.id.write_direct_chunk((0, 0), data)

    return kernel


def _bomb(group, name):
    """A few bytes that become 64 megabytes, in a piece that says to have one."""
    packed = zlib.compressobj(9)
    _piece(b"".join([packed.compress(bytes(2**20)) for _ in range(64)] + [packed.flush()]))(group, name)


def _external(group, name):
    group.create_dataset(name, (3, 3), "f4", external=[(FORBIDDEN, 0, 36)])


def _virtual(group, name):
    layout = h5py.VirtualLayout((3, 3), "f4")
    layout[:] = h5py.VirtualSource(FORBIDDEN, "x", (3, 3))
    group.create_virtual_dataset(name, layout)


def _of_type(dtype, shape=(3, 3)):
    def kernel(group, name):
        array = group.create_dataset(name, shape, dtype)
        if array.dtype.kind in "fiV" and array.dtype.names is None:
            array[...] = np.zeros(array.shape, array.dtype)

    return kernel


def _nowhere(group, name, shape=(3, 3)):
    """An array that has a shape, and no bytes in the file."""
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
    h5py.h5d.create(group.id, name.encode(), h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple(shape), made)


def _empty(group, name):
    group.create_dataset(name, data=h5py.Empty("f4"))


def _linked(link):
    def edit(file):
        file["layers/extra"] = link

    return edit


def _deep(file):
    for _ in range(100):
        file = file.create_group("g")


def _swap(file):
    file["layers/dense/vars"].attrs["name"], file["layers/dense_1/vars"].attrs["name"] = "b", "a"


def _swap_legacy(file):
    top = file["model_weights"]
    for name, other in ("ab", "ba"):
        del top[name]
        group = top.create_group(name)
        group.attrs["weight_names"] = [f"{other}/kernel:0", f"{other}/bias:0"]
        group[f"{other}/kernel:0"], group[f"{other}/bias:0"] = np.ones((3, 3), "f4"), np.ones(3, "f4")


def _attribute(name, value):
    def edit(file):
        file["layers/dense/vars"].attrs[name] = value

    return edit


def _legacy_attribute(where, name, value):
    def edit(file):
        file[where].attrs[name] = value

    return edit


def _overlapping() -> bytes:
    """Ten arrays of half a megabyte that lie at one place."""
    place = []

    def edit(file):
        group = file["layers/dense/vars"]
        first = group.create_dataset("2", data=np.ones((128, 1024), "f4"))
        place.extend((first.id.get_offset(), first.id.get_storage_size()))
        for i in range(3, 12):
            _nowhere(group, str(i), first.shape)

    return hdf5(edit).replace(struct.pack("<QQ", 2**64 - 1, 2**19), struct.pack("<QQ", *place), 9)


def _long(data: bytes) -> bytes:
    """A text that says to be 4 GB long: libhdf5 would allocate them."""
    at = data.index(struct.pack("<IQ", 1, data.index(b"GCOL")))  # the name of a layer: 1 byte in the heap
    return data[:at] + struct.pack("<I", 2**32 - 1) + data[at + 4 :]


def _repeated() -> bytes:
    """Names that are all one text of a megabyte: as many as an attribute holds are 3 GB."""
    count, long = 3000, "x" * 2**20

    def edit(file):
        file.attrs["long"] = long
        file["model_weights"].attrs["layer_names"] = [f"{i:04}" for i in range(count)]

    data = legacy(edit)
    names = re.search(rb"(?s:\x04\0\0\0.{12}){%d}" % count, data)
    assert names is not None
    references = re.findall(struct.pack("<I", len(long)) + b"(?s:.{12})", data)
    reference = next(r for r in references if data[(at := int.from_bytes(r[4:12], "little")) : at + 4] == b"GCOL")
    return data[: names.start()] + reference * count + data[names.end() :]


def _large(units: int):
    config = json.loads(json.dumps(CONFIG))
    config["config"]["layers"][1]["config"]["units"] = units
    return config


def _with(**parts) -> bytes:
    return archive({**GOOD, **{name.replace("__", "."): data for name, data in parts.items()}})


def _spoilt(method: int) -> bytes:
    """An archive whose parts are compressed, with wrong bytes in the weights."""
    data = bytearray(archive(GOOD, method))
    at = data.index(b"model.weights.h5") + 60
    data[at : at + 200] = b"\xff" * 200
    return bytes(data)


def _flagged(data: bytes, name: str) -> bytes:
    """An archive that says that a part is encrypted."""
    out = bytearray(data)
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.index(name.encode(), data.index(signature))
        at = data.rindex(signature, 0, at)
        out[at + offset] |= 1
    return bytes(out)


def _longer() -> bytes:
    """An archive that says of the weights, which are not compressed, that they have eight bytes more."""
    out = bytearray(archive(GOOD))
    at = out.rindex(b"PK\1\2", 0, out.rindex(b"model.weights.h5")) + 24
    out[at : at + 4] = struct.pack("<I", struct.unpack_from("<I", out, at)[0] + 8)
    return bytes(out)


WEIGHTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "an external link": (lambda: hdf5(_linked(h5py.ExternalLink(FORBIDDEN, "/x"))), "link to another place"),
    "a soft link": (lambda: hdf5(_linked(h5py.SoftLink("/layers/dense"))), "link to another place"),
    "a soft link in place of an array": (
        lambda: replaced(lambda g, n: g.__setitem__(n, h5py.SoftLink("/layers/dense_1/vars/0"))),
        "link to another place",
    ),
    "an external link in place of an array": (
        lambda: replaced(lambda g, n: g.__setitem__(n, h5py.ExternalLink(FORBIDDEN, "/x"))),
        "link to another place",
    ),
    "a cycle": (lambda: hdf5(lambda f: f.__setitem__("layers/extra", f["layers"])), "at two places"),
    "an array at two places": (
        lambda: replaced(lambda g, n: g.__setitem__(n, g.file["layers/dense_1/vars/0"])),
        "at two places",
    ),
    "external storage": (lambda: replaced(_external), "lies in other files"),
    "a virtual dataset": (lambda: replaced(_virtual), "lies in other files"),
    "a gzip bomb": (lambda: replaced(_bomb), "more bytes than"),
    "a piece that is no gzip": (lambda: replaced(_piece(b"x" * 20)), "piece of an array"),
    "a piece that is too short": (lambda: replaced(_piece(zlib.compress(bytes(20)))), "piece of an array"),
    "half of a piece": (lambda: replaced(_piece(zlib.compress(bytes(2**20))[:-20])), "piece of an array"),
    "a large piece": (lambda: replaced(lambda g, n: _chunked(g, n, (2048, 2048))), "pieces"),
    "a piece that is missing": (lambda: replaced(_half), "not complete"),
    "zeros in pieces": (lambda: hdf5(lambda f: _zeros(f["layers/dense/vars"], "2")), "more than twice"),
    "lzf": (lambda: replaced(lambda g, n: g.create_dataset(n, data=np.ones((3, 3)), compression="lzf")), "lzf"),
    "scale and offset": (
        lambda: replaced(lambda g, n: g.create_dataset(n, data=np.ones((3, 3), "f4"), scaleoffset=2)),
        "scaleoffset",
    ),
    "references": (lambda: replaced(_of_type(h5py.ref_dtype)), "dtype that Keras does not write"),
    "regions": (lambda: replaced(_of_type(h5py.regionref_dtype)), "dtype that Keras does not write"),
    "lists": (lambda: replaced(_of_type(h5py.vlen_dtype("f4"))), "dtype that Keras does not write"),
    "texts": (lambda: replaced(_of_type(h5py.string_dtype())), "dtype that Keras does not write"),
    "short texts": (lambda: replaced(_of_type("S4")), "dtype that Keras does not write"),
    "records": (lambda: replaced(_of_type([("a", "f4"), ("b", "i4")])), "dtype that Keras does not"),
    "arrays in arrays": (lambda: replaced(_of_type("(3,)f4", (3,))), "dtype that Keras does not write"),
    "an enumeration": (lambda: replaced(_of_type(h5py.enum_dtype({"a": 1}))), "dtype that Keras does not write"),
    "a named dtype": (
        lambda: hdf5(lambda f: f.__setitem__("layers/t", np.dtype("f4"))),
        "neither a group nor an array",
    ),
    "opaque bytes": (lambda: replaced(_of_type("V2")), "is float32"),
    "many opaque bytes": (lambda: replaced(_of_type("V64")), "dtype that Keras does not write"),
    "integers": (lambda: replaced(_of_type("i4")), "is float32"),
    "complex numbers": (lambda: replaced(_of_type("c8")), "dtype that Keras does not write"),
    "no shape": (lambda: replaced(_empty), "no shape"),
    "no bytes": (lambda: replaced(_nowhere), "not complete"),
    "terabytes that are not there": (lambda: replaced(lambda g, n: _nowhere(g, n, (2**20, 2**20))), "not complete"),
    "arrays that overlap": (_overlapping, "overlap"),
    "another shape": (lambda: replaced(_of_type("f4", (3, 4))), r"has shape \(3, 3\)"),
    "a scalar": (lambda: replaced(_of_type("f4", ())), r"has shape \(3, 3\)"),
    "a group in place of an array": (lambda: replaced(lambda g, n: g.create_group(n)), "no array for a/kernel"),
    "no array": (lambda: replaced(lambda g, n: None), "no array for a/kernel"),
    "one array more": (lambda: hdf5(lambda f: f.__setitem__("layers/dense/vars/2", np.ones(3, "f4"))), "vars/2"),
    "a layer more": (lambda: hdf5(lambda f: f.__setitem__("layers/conv/vars/0", np.ones(3, "f4"))), "conv/vars/0"),
    "names that are swapped": (lambda: hdf5(_swap), "the name of another layer"),
    "a name that is a number": (lambda: hdf5(_attribute("name", 5)), "not a text"),
    "a name that is a list": (lambda: hdf5(_attribute("name", ["a", "b"])), "not a text"),
    "a name of 4 GB": (lambda: _long(hdf5()), "not where it should be"),
    "too deep": (lambda: hdf5(_deep), "too many groups"),
    "a long name": (lambda: hdf5(lambda f: f.create_group("g" * 2000)), "too long"),
    "a user block": (lambda: hdf5(userblock_size=512), "form of HDF5"),
    "a newer form": (lambda: hdf5(libver="latest"), ""),
    "nothing": (lambda: b"", ""),
    "zeros": (lambda: bytes(1000), ""),
    "its signature alone": (lambda: b"\x89HDF\r\n\x1a\n", ""),
    "a pickle": (lambda: b"cos\nsystem\n(S'touch forbidden'\ntR.", ""),
    "half of it": (lambda: hdf5()[: len(hdf5()) // 2], ""),
}
LEGACY = {
    "names that are swapped": (lambda: legacy(_swap_legacy), "at the place of"),
    "no config": (lambda: legacy(lambda f: f.attrs.__delitem__("model_config")), "without the network"),
    "a config that is a number": (lambda: legacy(_legacy_attribute("/", "model_config", 5)), "not a text"),
    "a config that is no JSON": (lambda: legacy(_legacy_attribute("/", "model_config", "{")), "not valid JSON"),
    "a training_config that is no JSON": (lambda: legacy(_legacy_attribute("/", "training_config", "{")), "not valid"),
    "a layer that is not there": (
        lambda: legacy(_legacy_attribute("model_weights", "layer_names", ["a", "c"])),
        "no array for b/kernel",
    ),
    "a layer in another file": (
        lambda: legacy(lambda f: f["model_weights"].__setitem__("c", h5py.ExternalLink(FORBIDDEN, "/"))),
        "link to another place",
    ),
    "a name that leads elsewhere": (
        lambda: legacy(_legacy_attribute("model_weights/a", "weight_names", ["../b/b/kernel:0", "a/bias:0"])),
        "no array for a/kernel",
    ),
    "one name too many": (
        lambda: legacy(_legacy_attribute("model_weights/a", "weight_names", ["a/kernel:0", "a/bias:0", "a/bias:0"])),
        "3 arrays for a",
    ),
    "names of no list": (lambda: legacy(_legacy_attribute("model_weights/a", "weight_names", "a")), "no list of texts"),
    "one long name often": (_repeated, "not where it should be"),
    "terabytes": (
        lambda: legacy(_legacy_attribute("/", "model_config", json.dumps(_large(2**40)))),
        r"has shape \(3, 1099511627776\)",
    ),
}
ARCHIVES = {
    "a path that leads out": (lambda: _with(**{"../evil": "x"}), "leads out of it"),
    "an absolute path": (lambda: _with(**{"/etc/evil": "x"}), "leads out of it"),
    "a path of Windows": (lambda: _with(**{"..\\evil": "x"}), "leads out of it"),
    "a drive of Windows": (lambda: _with(**{"c:evil": "x"}), "leads out of it"),
    "two configs": (lambda: archive([*GOOD.items(), ("config.json", "{}")]), "two parts of one name"),
    "no config": (lambda: archive({k: v for k, v in GOOD.items() if k != "config.json"}), "no config"),
    "no weights": (lambda: archive({k: v for k, v in GOOD.items() if "weights" not in k}), "no weights"),
    "pickled weights": (lambda: archive({"config.json": GOOD["config.json"], "model.weights.npz": b""}), "pickled"),
    "a bomb": (lambda: archive({**GOOD, "config.json": bytes(2**26)}, zipfile.ZIP_DEFLATED), "twice as large"),
    "a bomb beside it": (lambda: archive({**GOOD, "assets/x": bytes(2**26)}, zipfile.ZIP_DEFLATED), "twice as large"),
    "a bomb of weights": (lambda: _with(model__weights__h5=replaced(_bomb)), "more bytes than"),
    "a part that is encrypted": (lambda: _flagged(archive(GOOD), "config.json"), "truncated or corrupt"),
    "a number that was changed": (
        lambda: archive(GOOD).replace(struct.pack("<f", 1), struct.pack("<f", 2), 1),
        "not a .keras file",
    ),
    "a part that says to be longer": (_longer, "another size than it says"),
    "a deflated part that is spoilt": (lambda: _spoilt(zipfile.ZIP_DEFLATED), "truncated or corrupt"),
    "an LZMA part that is spoilt": (lambda: _spoilt(zipfile.ZIP_LZMA), ""),
    "a BZ2 part that is spoilt": (lambda: _spoilt(zipfile.ZIP_BZIP2), ""),
    "a config that is no JSON": (lambda: _with(config__json="{"), "not valid JSON"),
    "a config with a name twice": (lambda: _with(config__json='{"a": 1, "a": 2}'), "name twice"),
    "a config that is nested": (lambda: _with(config__json="[" * 10**5 + "]" * 10**5), "not valid JSON"),
    "a config that is a list": (lambda: _with(config__json="[]"), "config"),
    "a Lambda": (
        lambda: _with(config__json=json.dumps(CONFIG).replace('"Dense"', '"Lambda"')),
        "is never executed",
    ),
    "an unknown class": (lambda: _with(config__json=json.dumps(CONFIG).replace('"Dense"', '"os.system"')), "class"),
    "terabytes": (lambda: _with(config__json=json.dumps(_large(2**40))), "has shape"),
    "a negative size": (lambda: _with(config__json=json.dumps(_large(-1))), "units"),
    "half of it": (lambda: archive(GOOD)[: len(archive(GOOD)) // 2], ""),
    "the end alone": (lambda: archive({}), "no weights"),
}


def index(where) -> str:
    return json.dumps({"metadata": {"total_size": 1}, "weight_map": where})


def _shards(where, **files):
    def made(folder: Path):
        for name, data in {"x_00000.weights.h5": hdf5(), **files}.items():
            (folder / name).write_bytes(data)
        return index(where).encode()

    return made


SHARDS = {
    "a shard outside": (_shards({"/layers/dense/vars": "../x_00000.weights.h5"}), "outside the folder"),
    "an absolute path": (_shards({"/layers/dense/vars": "/tmp/x.weights.h5"}), "outside the folder"),
    "a number": (_shards({"/layers/dense/vars": 5}), "outside the folder"),
    "another ending": (_shards({"/layers/dense/vars": FORBIDDEN}), "outside the folder"),
    "a shard that is not there": (_shards({"/a": "x_00001.weights.h5", "/b": "x_00000.weights.h5"}), "x_00001"),
    "an array in two shards": (
        _shards({"/a": ["x_00001.weights.h5", "x_00000.weights.h5"]}, **{"x_00001.weights.h5": hdf5()}),
        "same array",
    ),
    "no map": (lambda folder: b"{}", "no weight_map"),
    "a list": (lambda folder: b"[]", "no weight_map"),
    "no JSON": (lambda folder: b"{", "not valid JSON"),
}


def attempt(kind: str, path: str) -> None:
    """Read a file of one of the tables: by `load` what has a config, else into `NET`."""
    if kind in ("LEGACY", "ARCHIVES"):
        keras.load(path)
    else:
        keras.load_weights(kf.Model(NET), path)


ROWS = {
    **{f"weights: {name}": ("WEIGHTS", *row) for name, row in WEIGHTS.items()},
    **{f"old weights: {name}": ("LEGACY", *row) for name, row in LEGACY.items()},
    **{f"archive: {name}": ("ARCHIVES", *row) for name, row in ARCHIVES.items()},
    **{f"shards: {name}": ("SHARDS", *row) for name, row in SHARDS.items()},
}
ENDINGS = {"WEIGHTS": "x.weights.h5", "LEGACY": "x.h5", "ARCHIVES": "x.keras", "SHARDS": "x.weights.json"}


def put(name: str, folder: Path) -> str:
    """Make the file of a row, and a pipe that nobody should open, in an empty folder."""
    kind, made, _ = ROWS[name]
    data = made(folder) if kind == "SHARDS" else made()
    os.mkfifo(folder / FORBIDDEN)
    (folder / ENDINGS[kind]).write_bytes(data)
    return str(folder / ENDINGS[kind])
