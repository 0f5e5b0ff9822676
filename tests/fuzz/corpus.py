"""Hostile files: a table of them, what loaders may do with one, and an entry that turns any bytes into such a file.

A row is a name and the bytes of a file. `HEADERS` no loader takes; `CONFIGS` are sound files of arrays, with a digest,
whose model is none. `attack` is what the fuzzer (`fuzz_files.py`) and the tests run.
"""

from __future__ import annotations

import copy
import json
import math
import os
import struct
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import safetensors.numpy

import kfunc as kf
from kfunc import nn

__all__ = ["CONFIGS", "GOOD", "HEADERS", "LARGEST", "LOADERS", "attack", "edited", "forged", "same", "split"]


def _model(units: int = 3, compiled: bool = True) -> kf.Model:
    body = nn.Sequential([nn.Dense(units, activation="relu"), nn.BatchNormalization()])
    model = kf.Model(nn.Sequential([body, nn.Residual(nn.Dense(units)), nn.Dense(2)]), seed=7)
    if compiled:
        model.compile(kf.optim.adam(1e-3), "mse", metrics=["mae", kf.metrics.AUC(num_thresholds=5)])
    return model.build(kf.Spec((None, 4)))


def _saved(model: kf.Model) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "model")
        model.save(path)
        with open(path, "rb") as file:
            return file.read()


MODEL = _model()
GOOD = _saved(MODEL)
_SMALL = _saved(_model(1, compiled=False))


def split(data: bytes) -> tuple[dict, bytes]:
    """A file's header and what follows it."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def _read(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    return _at(data, kf.files.read)


def _at(data: bytes, load: Callable[[str], Any]) -> Any:
    handle, path = tempfile.mkstemp()
    try:
        with open(handle, "wb") as file:
            file.write(data)
        return load(path)
    finally:
        os.unlink(path)


ARRAYS, _TEXTS = _read(GOOD)
CONFIG = json.loads(_TEXTS["kfunc.model"])


def forged(config: Any, arrays: dict[str, np.ndarray] = ARRAYS) -> bytes:
    """A file of arrays with a digest that holds, and this for a model."""
    return _signed({"kfunc.model": config if isinstance(config, str) else json.dumps(config)}, arrays)


def _signed(texts: dict[str, str], arrays: dict[str, np.ndarray]) -> bytes:
    texts = {**texts, "kfunc.format": "1"}
    return safetensors.numpy.save(arrays, {**texts, "kfunc.sha256": kf.files._digest(arrays, texts)})


# -- loaders -----------------------------------------------------------------------------------------------------------


def _load_weights(path: str) -> Any:
    before = MODEL.train_state
    try:
        MODEL.load_weights(path)
        return MODEL.train_state.params, MODEL.train_state.state
    except BaseException:
        assert MODEL.train_state is before  # a failure leaves the model as it was
        raise
    finally:
        MODEL.train_state = before


LOADERS: dict[str, Callable[[str], Any]] = {
    "read": kf.files.read,
    "load": kf.load,
    "Model.load": lambda path: kf.Model.load(path).train_state,
    "load_weights": _load_weights,
}


def same(a: Any, b: Any) -> bool:
    """Whether two trees have the same containers, dtypes, shapes and bytes."""
    if kf.tree.structure(a) != kf.tree.structure(b):
        return False
    pairs = zip(map(np.asarray, kf.tree.leaves(a)), map(np.asarray, kf.tree.leaves(b)), strict=True)
    return all((x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes()) for x, y in pairs)


EXPECTED = {name: _at(GOOD, load) for name, load in LOADERS.items()}


# -- rows: files that nobody takes -------------------------------------------------------------------------------------

_HEADER, _BODY = split(GOOD)
_NAME = "params.dense.kernel"
_ONE = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}


def _entry(**changes: Any) -> bytes:
    """The good file with something else said of one tensor; None leaves it out."""
    header = copy.deepcopy(_HEADER)
    entry = {**header[_NAME], **changes}
    header[_NAME] = {k: v for k, v in entry.items() if v is not None}
    return joined(header, _BODY)


def _named(name: str) -> bytes:
    header = copy.deepcopy(_HEADER)
    header[name] = header.pop(_NAME)
    return joined(header, _BODY)


def _empty(n: int, name: str = "t{}") -> bytes:
    """A file of `n` tensors without elements."""
    entry = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    return joined(b"{%b}" % ",".join(f'"{name.format(i)}":{entry}' for i in range(n)).encode())


def _texts(**texts: Any) -> bytes:
    return joined({**_HEADER, "__metadata__": {**_HEADER["__metadata__"], **texts}}, _BODY)


_BEGIN, _END = _HEADER[_NAME]["data_offsets"]

HEADERS: dict[str, bytes] = {
    "empty": b"",
    "a length alone": b"\x02" + bytes(7),
    "length of 2**64-1": b"\xff" * 8 + GOOD[8:],
    "length of 99 MB": struct.pack("<Q", 99_000_000) + GOOD[8:],
    "length one too small": struct.pack("<Q", int.from_bytes(GOOD[:8], "little") - 1) + GOOD[8:],
    "length one too large": struct.pack("<Q", int.from_bytes(GOOD[:8], "little") + 1) + GOOD[8:],
    "length 0": bytes(8) + GOOD[8:],
    "a zip file": b"PK\x03\x04" + bytes(200),
    "a pickle": b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
    "one byte more": GOOD + b"\0",
    "one byte less": GOOD[:-1],
    "two files": GOOD + GOOD,
    "body alone": _BODY,
    "no UTF-8": joined(b'{"\xff":1}'),
    "UTF-16": joined(json.dumps(_HEADER).encode("utf-16"), _BODY),
    "a byte order mark": joined(b"\xef\xbb\xbf{}"),
    "NUL in the header": joined(b"{}\0"),
    "a comment": joined(b"{}//"),
    "two objects": joined(b"{}{}"),
    "a list": joined(b"[]"),
    "null": joined(b"null"),
    "NaN": joined(b'{"a":NaN}'),
    "an endless integer": joined(b"1" * 100_000),
    "an endless fraction": joined(b'{"a":1.%b}' % (b"1" * 100_000)),
    "an exponent": joined(b'{"a":1e%b}' % (b"9" * 1000)),
    **{f"{n} lists in each other": joined(b"[" * n + b"]" * n) for n in (500, 50_000, 100_000)},
    **{f"{n} objects in each other": joined(b'{"a":' * n + b"0" + b"}" * n) for n in (500, 50_000, 100_000)},
    "1e6 empty lists": joined(b'{"a":[%b]}' % (b"[]," * 999_999 + b"[]")),
    "1e6 empty objects": joined(b"[%b]" % (b"{}," * 999_999 + b"{}")),
    "a name of 1 MB": _empty(1, "a" * 2**20),
    "a path of 500 names": _empty(1, "." * 500),
    "1e5 names in paths": _empty(200, "a." * 500 + "{}"),
    "a name twice": joined(b'{"a":%b,"a":%b}' % ((json.dumps(_ONE).encode(),) * 2), b"a"),
    "a field twice": joined(b'{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"a"),
    "a text twice": joined(b'{"__metadata__":{"a":"1","a":"1"}}'),
    "metadata twice": joined(b'{"__metadata__":{},"__metadata__":{}}'),
    "metadata is a list": joined({"__metadata__": ["a"]}),
    "metadata holds a number": joined({"__metadata__": {"a": 1}}),
    "a field more": _entry(extra=1),
    "a URL for data": _entry(url="http://127.0.0.1:9/x", data_offsets=None),
    "a path for data": _entry(path="/etc/passwd", data_offsets=None),
    "no dtype": _entry(dtype=None),
    "no shape": _entry(shape=None),
    "no offsets": _entry(data_offsets=None),
    "an entry that is a text": joined({"a": "/etc/passwd"}),
    **{
        f"dtype {d!r}"[:40]: _entry(dtype=d)
        for d in ("O", "object", "V8", "os.system", "F32\0", "", "S" * 9999, 5, [], {})
    },
    "a wider dtype": _entry(dtype="F64"),
    "a dtype of four bits": _entry(dtype="F4"),
    "another dtype": _entry(dtype="I32"),
    **{
        f"shape {str(s)[:30]}": _entry(shape=s)
        for s in (
            [2**63],
            [2**64],
            [-4, -3],
            [4, 3.0],
            [4, "3"],
            [True, 12],
            [12],
            [4, 3, 2],
            "43",
            {"0": 4},
            12,
            [[4, 3]],
        )
    },
    "a shape of 1e5 axes": _entry(shape=[4, 3] + [1] * 100_000),
    "a shape of 33 axes": _entry(shape=[4, 3] + [1] * 31),
    "a shape that overflows": _entry(shape=[2**32, 2**32, 4, 3]),
    "an empty shape that overflows": joined(
        {"a": {"dtype": "F64", "shape": [0, 2**40, 2**40], "data_offsets": [0, 0]}}
    ),
    "a shape of 1 TB": _entry(shape=[2**38], data_offsets=[0, 2**40]),
    **{
        f"offsets {str(o)[:30]}": _entry(data_offsets=o)
        for o in (
            *([_END, _BEGIN], [_BEGIN, _END + 4], [_BEGIN + 4, _END + 4], [-4, 4], [0, 2**64], [_BEGIN], [], "ab"),
            *([_BEGIN, _END, 0], [float(_BEGIN), _END], [_BEGIN, None], {"0": _BEGIN}, [2**63 - 1, 2**63 - 1]),
        )
    },
    "an overlap": joined({"a": {**_ONE, "data_offsets": [0, 1]}, "b": _ONE}, b"a"),
    "a hole": joined({"a": _ONE, "b": {**_ONE, "data_offsets": [2, 3]}}, b"abc"),
    "a hole at the beginning": joined({"a": {**_ONE, "data_offsets": [1, 2]}}, b"ab"),
    "bytes that no tensor has": joined({"a": _ONE}, b"ab"),
    "a bool of 2": joined({"a": {**_ONE, "dtype": "BOOL"}}, b"\2"),
    "half a character in a name": joined(b'{"\\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"a"),
    **{
        f"the name {n!r}": _named(n)
        for n in (
            "",
            ".",
            "a",
            "params",
            "../../etc/passwd",
            "__class__",
            "params.dense.kernel\0",
            "os.system",
            "\x1b[2J",
        )
    },
    "1e6 children": _texts(
        **{"kfunc.model": '{"net":{"class":"Sequential","config":{"layers":[%s0]}}}' % ("0," * 999_999)}
    ),
    "another digest": _texts(**{"kfunc.sha256": "0" * 64}),
    "a digest of 10 MB": _texts(**{"kfunc.sha256": "0" * 10_000_000}),
    "no digest": joined({**_HEADER, "__metadata__": {"kfunc.format": "1"}}, _BODY),
    "another format": _texts(**{"kfunc.format": "2"}),
    "a text more": _texts(more="text"),
    "another model": _texts(**{"kfunc.model": _HEADER["__metadata__"]["kfunc.model"].replace("relu", "tanh")}),
    **{
        f"bit {b} of byte {n}": GOOD[:n] + bytes([GOOD[n] ^ 1 << b]) + GOOD[n + 1 :] for n in (3, 9, -9) for b in (0, 7)
    },
}


LARGEST: dict[str, bytes] = {
    "11,000 empty tensors": _empty(11_000),
    "30,000 empty tensors": _empty(30_000),
    "160 tensors with paths of 64": _empty(160, "{}" + ".a" * 63),
    "20,000 tensors with paths of 64, of which no tree is made": _empty(20_000, "{}" + ".a" * 63),
    "20,000 tensors with four dicts each": _empty(20_000, "{}" + ".a" * 4),
    "45,000 texts": joined({"__metadata__": {f"{i:x}": f"{i:x}" for i in range(45_000)}}),
    "200,000 texts": joined({"__metadata__": {f"{i:x}": f"{i:x}" for i in range(200_000)}}),
    "a text of 26 MB": joined({"__metadata__": {"a": "a" * 26_000_000}}),
    "a text of 99 MB": joined({"__metadata__": {"a": "a" * 99_000_000}}),
    "a text of 3 MB with a wide character": joined(b'{"__metadata__":{"a":"\xf0\x9f\x98\x80%b"}}' % (b"a" * 3_400_000)),
    "a text of 16 MB with one wide character": joined(b'{"__metadata__":{"a":"\xf0\x9f\x98\x80%b"}}' % (b"a" * 2**24)),
}
"""Large headers that loaders take, which say nothing wrong; the largest that they take are like these."""


# -- rows: sound files whose model is none -----------------------------------------------------------------------------


def _net(net: Any) -> bytes:
    return forged({**CONFIG, "net": net})


def _of(name: str, /, **config: Any) -> dict:
    return {"category": "layer", "class": name, "config": config}


def _around(n: int, name: str, inner: Any) -> Any:
    for _ in range(n):
        inner = _of(name, layer=inner)
    return inner


def _shared(levels: int) -> dict:
    """Each level runs the one below twice."""
    inner = _of("ReLU")
    for i in range(levels):
        inner = _of("Sequential", layers=[inner, {"category": "same", "index": i}])
    return inner


def _field(value: Any, *names: str) -> bytes:
    """The good model with another value in all fields of the last name below those before."""
    config = copy.deepcopy(CONFIG)
    done = 0

    def walk(x: Any, inside: bool) -> None:
        nonlocal done
        for k, v in x.items() if isinstance(x, dict) else enumerate(x) if isinstance(x, list) else ():
            if inside and k == names[-1]:
                x[k] = value
                done += 1
            else:
                walk(v, inside or k == names[0])

    walk(config, len(names) == 1)
    assert done, names
    return forged(config)


_BAD = (10**9, 2**62, 10**30, -1, 0, 1e9, math.nan, math.inf, None, "x", "/etc/passwd", [], [3], {}, True)

CONFIGS: dict[str, bytes] = {
    "no model": _signed({}, ARRAYS),
    **{f"the model {c[:20]!r}": forged(c) for c in ("", "{", "null", "[]", "5", '"x"', "{}", "[" * 5000, "1" * 5000)},
    "a key twice": forged(json.dumps(CONFIG).replace('"seed"', '"seed": 1, "seed"', 1)),
    **{
        f"no {key}": forged({k: v for k, v in CONFIG.items() if k != key})
        for key in ("net", "inputs", "seed", "optimizer")
    },
    **{f"units {v!r}": _field(v, "units") for v in _BAD},
    **{
        f"the class {n!r}"[:50]: _field(n, "net", "class")
        for n in ("os.system", "subprocess.Popen", "builtins.eval", "__import__", "custom:os.system", "Layer", "Lambda")
        + ("http://127.0.0.1:9/", "file:///etc/passwd", "/dev/tcp", "..", "", "Dense\0", "x" * 9_000, "x" * 100_000)
    },
    **{f"a class that is {v!r}": _field(v, "net", "class") for v in (None, 5, [], {}, ["Dense"], {"class": "Dense"})},
    **{f"the category {v!r}": _field(v, "net", "category") for v in ("os", "loss", None, 5, [], {}, "same", "dict")},
    **{
        f"a config that is {v!r}": _net({"class": "Dense", "config": v})
        for v in (None, 5, "units", [["units", 3]], {"u": 3})
    },
    "an argument of 1 MB": _net({"class": "Dense", "config": {"a" * 2**20: 1}}),
    **{
        f"{field} is {v[:30]!r}": _field(v, "net", field)
        for field in ("activation", "kernel_initializer", "kernel_regularizer", "kernel_constraint", "dtype")
        for v in ("os.system", "/etc/passwd", "http://127.0.0.1:9/", "\0", "x" * 10_001)
    },
    **{f"a layer's name {v!r}": _field(v, "net", "name") for v in ("/etc/passwd", "a/b", "..", "", 5)},
    **{
        f"the net {str(v)[:30]!r}": _net(v)
        for v in (None, 5, [], "Dense", "os.system", "ReLU", {"category": "same", "index": 0})
    },
    "itself": _net(_of("Sequential", layers=[{"category": "same", "index": 0}])),
    "Stack(length=1e9)": _net(_of("Stack", layer=_of("Dense", units=4), length=10**9)),
    "300 Wrappers in each other": _net(_around(300, "Wrapper", CONFIG["net"])),
    "5000 Wrappers in each other": forged(
        json.dumps({**CONFIG, "net": "?"}).replace(
            '"?"', '{"class":"Wrapper","config":{"layer":' * 5000 + "0" + "}}" * 5000
        )
    ),
    "40 Remats in each other": _net(_around(40, "Remat", _of("Dense", units=10**9))),
    "a layer 2**60 times": _net(_shared(60)),
    "a layer 2**12 times in ever more": _net(
        _of("Sequential", layers=[_shared(12), *[{"category": "same", "index": 9}] * 999])
    ),
    "20,000 children": _net(_of("Sequential", layers=[{"category": "layer", "class": "ReLU"}] * 20_000)),
    "a convolution of 1e9 filters": _net(_of("Conv2D", filters=10**9, kernel_size=3)),
    "a kernel of 1e9": _net(_of("Conv2D", filters=1, kernel_size=[10**9, 10**9])),
    "a kernel of 1e4 axes": _net(_of("Conv2D", filters=1, kernel_size=[1] * 10_000)),
    "a shape of 1e4 axes": _net(_of("Reshape", target_shape=[1] * 10_000)),
    "a shape of 2**60": _net(_of("Reshape", target_shape=[2**60])),
    "repeated 1e9 times": _net(_of("RepeatVector", n=10**9)),
    "an embedding of 2**60": _net(_of("Embedding", input_dim=2**30, output_dim=2**30)),
    "1e9 power iterations": _net(_of("SpectralNormalization", layer=_of("Dense", units=2), power_iterations=10**9)),
    "1e9 thresholds": _field(10**9, "metrics", "num_thresholds"),
    "an equation of 9 kB": _net(_of("EinsumDense", equation="ab,bc->" + "c" * 9000, output_shape=2)),
    **{
        f"inputs {str(v)[:40]}": forged({**CONFIG, "inputs": v})
        for v in (
            *(None, 5, "x", [], {}, [[]], [5], [{"shape": [None, 5], "dtype": "float32"}], [{"shape": [None, 4]}]),
            *(
                [{"shape": s, "dtype": "float32"}]
                for s in ([], [None], 4, "44", [None, -4], [None, 2**40], [None, 4.0])
            ),
            *([{"shape": [1] * n, "dtype": "float32"}] for n in (33, 10_000)),
            *([{"shape": [None, 4], "dtype": d}] for d in ("os.system", "object", "", None, 5, [], "x" * 10_000)),
            [{"shape": [None, 4], "dtype": "float32"}] * 500,
        )
    },
    **{f"seed {v!r}": forged({**CONFIG, "seed": v}) for v in (None, "7", 7.0, [7], True, {})},
    **{
        f"optimizer {str(v)[:50]}": forged({**CONFIG, "optimizer": v})
        for v in (
            *("os.system", 5, [], {}, {"class": "os.system"}, {"class": "adam", "config": {"learning_rate": "x"}}),
            *({"class": "adam", "config": {"beta_1": v}} for v in (2, -1, math.nan, 10**30, None, "/etc/passwd")),
        )
    },
    **{
        f"loss {str(v)[:30]}": forged({**CONFIG, "loss": v})
        for v in ("os.system", 5, {"class": "x"}, ["os.system"], {"a": "/"})
    },
    **{
        f"{field} {str(v)[:30]}": forged({**CONFIG, field: v})
        for field in ("metrics", "weighted_metrics")
        for v in (
            ["os.system"],
            {"class": "os.system"},
            {"a": ["http://127.0.0.1:9/"]},
            [{"class": "AUC", "config": {"a": 1}}],
        )
    },
    **{
        f"loss_weights {v!r}": forged({**CONFIG, "loss_weights": v})
        for v in ("x", math.nan, ["x"], {"a": "/"}, [math.nan], [10**400])
    },
    "the arrays of another": forged(CONFIG, _read(_SMALL)[0]),
    **{f"without {n}": forged(CONFIG, {k: v for k, v in ARRAYS.items() if k != n}) for n in ("key", "step", _NAME)},
    **{
        f"{n} as {v.dtype}{v.shape}": forged(CONFIG, {**ARRAYS, n: v})
        for n, v in {
            "key": np.zeros(3, np.uint32),
            "step": np.zeros(1, np.int32),
            "params.dense.bias": np.zeros(2, bool),
            "params.dense.more": np.zeros(2, np.float32),
            "params.dense.kernel.more": np.zeros(2, np.float32),
            "more": np.zeros(2, np.float32),
            next(k for k in ARRAYS if k.startswith("opt_state.") and ARRAYS[k].ndim == 2): np.zeros((1, 1), np.float32),
        }.items()
    },
    "a key of floats": forged(CONFIG, {**ARRAYS, "key": np.zeros(2, np.float32)}),
    "steps of floats": forged(CONFIG, {**ARRAYS, "step": np.zeros((), np.float32)}),
}


# -- what a fuzzer may do ----------------------------------------------------------------------------------------------

_VALUES = (
    *(
        None,
        True,
        False,
        0,
        1,
        2,
        3,
        4,
        7,
        -1,
        33,
        255,
        10**4,
        10**9,
        2**31,
        2**32,
        2**63,
        2**64,
        10**30,
        0.5,
        -1.5,
        1e9,
    ),
    *(
        math.nan,
        math.inf,
        "",
        "x",
        "relu",
        "Dense",
        "Sequential",
        "Residual",
        "Conv2D",
        "LSTM",
        "Stack",
        "Remat",
        "layer",
    ),
    *("same", "dict", "loss", "F32", "U8", "os.system", "/etc/passwd", "http://127.0.0.1:9/", "\0", "a.b", "float16"),
    *(
        "adam",
        "mse",
        "accuracy",
        "AUC",
        "mixed_float16",
        "glorot_uniform",
        [],
        {},
        [[]],
        [0, 0],
        [1] * 40,
        {"class": "ReLU"},
    ),
    *({"category": "same", "index": 0}, {"category": "layer", "class": "Dense", "config": {"units": 3}}),
)
_KEYS = (
    "class",
    "config",
    "category",
    "name",
    "index",
    "units",
    "dtype",
    "shape",
    "data_offsets",
    "layers",
    "layer",
    "x",
)


def edited(tree: Any, choose: Callable[[int], int]) -> Any:
    """`tree`, of JSON's types, with up to four edits; `choose(n)` gives a number below n."""
    tree = copy.deepcopy(tree)
    for _ in range(1 + choose(4)):
        places: list[tuple[Any, Any]] = []
        stack = [tree]
        while stack:
            x = stack.pop()
            if isinstance(x, dict | list):
                inner = list(x.items() if isinstance(x, dict) else enumerate(x))
                places += [(x, k) for k, _ in inner]
                stack += [v for _, v in inner]
        if not places:
            return tree
        at, key = places[choose(len(places))]
        other, k = places[choose(len(places))]
        match choose(6):
            case 0 | 1:
                at[key] = copy.deepcopy(_VALUES[choose(len(_VALUES))])
            case 2:
                at[key] = copy.deepcopy(other[k])  # which may hold `at` itself
            case 3:
                del at[key]
            case 4 if isinstance(at, dict):
                at[_KEYS[choose(len(_KEYS))]] = at.pop(key)
            case _ if isinstance(at, list):
                at[key : key + 1] = [copy.deepcopy(at[key]) for _ in range(choose(4))]
    return tree


def spliced(data: bytes, choose: Callable[[int], int]) -> bytes:
    """`data` with up to four runs of bytes changed, left out or copied elsewhere."""
    for _ in range(1 + choose(4)):
        # The header's length and the header above all.
        at = choose(9) if choose(4) == 0 else choose(len(data) + 1)
        n = choose(9)
        match choose(3):
            case 0:
                data = data[:at] + bytes(choose(256) for _ in range(n)) + data[at + n :]
            case 1:
                data = data[:at] + data[at + n :]
            case _:
                start = choose(len(data) + 1)
                data = data[:at] + data[start : start + n] + data[at:]
    return data


def attack(kind: int, choose: Callable[[int], int], raw: bytes = b"") -> dict[str, str]:
    """Make a hostile file, give it to every loader, and check what they do; what each did.

    Args:
        kind: 0 for `raw` as it is, 1 for splices of a good file, 2 for edits of its header, 3 for edits of its model.
    """
    if kind == 0:
        data = raw
    elif kind == 1:
        data = spliced(GOOD, choose)
    elif kind == 2:
        data = joined(edited(_HEADER, choose), _BODY)
    else:
        try:
            data = forged(edited(CONFIG, choose))
        except (UnicodeError, kf.errors.ArgumentError):
            return {}
    return outcomes(data, forges=kind == 3)


def outcomes(data: bytes, forges: bool = False) -> dict[str, str]:
    """What each loader makes of a file: "error", a `FileError`, or "equal"; anything else is an AssertionError.

    Args:
        data: The file.
        forges: Whether it has a digest that holds: then it may be another model, with the same arrays.
    """
    found = {}
    for name, load in LOADERS.items():
        try:
            got = _at(data, load)
        except kf.errors.FileError as error:
            assert len(str(error)) < 20_000
            found[name] = "error"
            continue
        if forges:
            good = name in ("read", "load") or same(got[:2], EXPECTED[name][:2])
        else:
            good = same(got, EXPECTED[name]) or (name != "Model.load" and not _claims(data))
        assert good, f"{name} took another file for the good one"
        found[name] = "equal"
    return found


def _claims(data: bytes) -> bool:
    """Whether a file says that kfunc wrote it; of others anything may be true."""
    return any(key.startswith("kfunc") for key in split(data)[0].get("__metadata__") or {})
