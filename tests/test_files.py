"""`kf.files`: what comes back, what other readers see, and what a bad file or a failing disk does."""

from __future__ import annotations

import collections
import copy
import errno
import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
import safetensors.numpy
from backends import BACKENDS, params

import kfunc as kf
from kfunc import files, nn
from kfunc.errors import ArgumentError, FileError

Moments = collections.namedtuple("Moments", "mu nu count")

NUMPY_DTYPES = (
    *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float16", "float32", "float64", "complex64"),
)
EXTRA_DTYPES = ("bfloat16", "float8_e4m3fn", "float8_e5m2")


def values(dtype, shape=(2, 3), seed=0):
    """Random bytes, so that every bit of the dtype is tried; bools and floats are made of small integers."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind in "ui":
        return rng.integers(0, 256, (*shape, dtype.itemsize), np.uint8).view(dtype)[..., 0]
    return rng.integers(0, 2, shape).astype(dtype)


def same(a, b):
    """Whether two trees have the same containers, dtypes, shapes and bytes."""
    if isinstance(a, np.ndarray):
        return type(b) is np.ndarray and (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, dict):
        return type(b) is dict and sorted(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(b) is type(a) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tree.safetensors"


def file_of(header, data=b""):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


TREE = {"dense": {"kernel": values("float32"), "bias": values("float32", (3,), 1)}, "embed": values("int32", (4,))}


# -- round trips -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tree",
    [
        TREE,
        {},
        {"a": {}},
        [],
        (),
        None,
        values("float32"),
        {"array": values("float32")},
        [values("int8"), (values("bool"), None), {"z": [], "b": values("float16")}],
        {"a": np.zeros((0, 3), np.float32), "b": np.array(7, np.int64), "c": np.zeros((1, 0), bool)},
        {"text": "naïve \ud800", "int": 2**63 - 1, "true": True, "float": 0.1, "inf": float("inf"), "x": [1.0, 1]},
        {"naïve / 鍵": values("float32"), "0": values("uint8"), '"': values("uint8"), " ": values("int8")},
        {f"odd{i}": values("uint8", (i,)) for i in range(9)} | {"wide": values("float64")},
    ],
    ids=lambda tree: type(tree).__name__,
)
def test_round_trip(tree, path):
    kf.files.save(tree, path)
    assert same(tree, files.load(path))


@pytest.mark.parametrize("dtype", NUMPY_DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3, 4)])
def test_dtypes(dtype, shape, path):
    files.save({"x": values(dtype, shape)}, path)
    assert same({"x": values(dtype, shape)}, files.load(path))


@pytest.mark.parametrize("dtype", EXTRA_DTYPES)
def test_ml_dtypes(dtype, path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    tree = {"x": values(getattr(ml_dtypes, dtype))}
    files.save(tree, path)
    assert same(tree, files.load(path))


def test_without_ml_dtypes(path, monkeypatch):
    path.write_bytes(file_of({"x": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}, b"ab"))
    monkeypatch.setattr(files, "_DTYPES", {"BF16": "bfloat16_that_numpy_has_not"})
    monkeypatch.setattr(files, "_ml_dtypes", lambda: None)
    with pytest.raises(FileError, match="pip install ml-dtypes"):
        files.load(path)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3).T,
        np.arange(12)[::-2],
        np.asfortranarray(values("int16")),
        values("int32").astype(">i4"),
    ],
    ids=["transposed", "reversed", "fortran", "big-endian"],
)
def test_layout_in_memory_does_not_matter(array, path):
    files.save({"x": array}, path)
    back = files.load(path)["x"]
    assert back.dtype == array.dtype.newbyteorder("=") and back.shape == array.shape and (back == array).all()


def test_what_is_loaded_is_writable_and_its_own(path):
    files.save(TREE, path)
    loaded = files.load(path)["dense"]["kernel"]
    loaded += 1
    assert loaded.flags.owndata and loaded.flags.aligned and same(TREE, files.load(path))


def test_named_tuples_and_other_mappings(path):
    mu, nu = values("float32"), values("float32", seed=1)
    tree = {"opt": (Moments(mu, {"a": nu}, 3), collections.OrderedDict(z=mu, a=nu)), "m": collections.defaultdict(list)}
    files.save(tree, path)
    assert same({"opt": ((mu, {"a": nu}, 3), {"z": mu, "a": nu}), "m": {}}, files.load(path))
    assert set(files.read(path)[0]) == {"opt.0.mu", "opt.0.nu.a", "opt.1.z", "opt.1.a"}


def test_numpy_scalars(path):
    files.save({"x": np.float64(2.5), "y": np.bool_(True)}, path)
    assert same({"x": np.array(2.5), "y": np.array(True)}, files.load(path))


def test_metadata(path):
    texts = {"licence": "CC BY 4.0", "": "empty key", "unicode": "naïve 鍵"}
    files.save([values("int8")], path, texts)
    stored = files.read(path)[1]
    assert stored.pop("kfunc.tree") == '["list",["array"]]' and stored == texts


def test_plain_trees_need_no_description(path):
    files.save(TREE, path)
    assert files.read(path)[1] == {}


def test_parts():
    arrays = files.flatten({"b": [TREE, None], "a": Moments(1, 2.0, values("int8"))})
    assert list(arrays) == ["a.count", "b.0.dense.bias", "b.0.dense.kernel", "b.0.embed"]
    assert same(TREE, files.unflatten(files.flatten(TREE)))
    mixed = {"a": [TREE, None, "x"]}
    assert same(mixed, files.unflatten(files.flatten(mixed), files.structure(mixed)))
    for names, form in [(["b"], '["list",["array"]]'), (["0", "1"], '["list",["array"]]'), ([], '["set"]'), ([], "{")]:
        with pytest.raises(FileError, match="not those of the tree"):
            files.unflatten(dict.fromkeys(names), form)


@pytest.mark.parametrize("name", BACKENDS)
def test_backends(name, path):
    tree = kf.to_backend({"dense": TREE["dense"], "more": [values("bool"), values("int32"), None]}, name)
    files.save(tree, path)
    numpy = {"dense": TREE["dense"], "more": [values("bool"), values("int32"), None]}
    assert same(numpy, files.load(path))
    back = files.load(path, backend=name)
    assert kf.backend_of(back) is kf.backends.get(name) and type(back["more"][0]) is type(tree["more"][0])
    assert same(numpy, kf.tree.map(kf.to_numpy, back))


@pytest.mark.parametrize("name", params(("jax", "torch", "tensorflow")))
def test_bfloat16_on_backends(name, path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    tree = {"x": values(ml_dtypes.bfloat16), "y": np.array(2.5, ml_dtypes.bfloat16)}
    files.save(kf.to_backend(tree, name), path)
    assert same(tree, files.load(path))
    assert same(tree, kf.tree.map(kf.to_numpy, files.load(path, name)))


@pytest.mark.torch
def test_torch_exchange(path):
    torch = pytest.importorskip("torch")
    st = pytest.importorskip("safetensors.torch")
    files.save(TREE, path)
    theirs = st.load_file(path)
    assert set(theirs) == {"dense.kernel", "dense.bias", "embed"}
    assert all(same(array, theirs[name].numpy()) for name, array in files.flatten(TREE).items())

    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    st.save_file(net.state_dict(), path, metadata={"format": "pt"})
    ours = files.load(path)
    assert set(ours["1"]) == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    assert same(ours["0"]["weight"], net[0].weight.detach().numpy()) and files.read(path)[1] == {"format": "pt"}
    assert (files.load(path, "torch")["0"]["weight"] == net[0].weight).all()


@pytest.mark.torch
def test_a_parameter_that_requires_a_gradient(path):
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.ones(2, 3))
    files.save({"w": parameter, "t": parameter.T}, path)
    assert same({"w": np.ones((2, 3), np.float32), "t": np.ones((3, 2), np.float32)}, files.load(path))


def test_the_format_is_the_standard_one(path):
    """The library that defines the format reads what we write, and we read what it writes."""
    tree = {f"{dtype}": values(dtype, (n,)) for n, dtype in enumerate(NUMPY_DTYPES)}
    files.save(tree, path)
    assert same(tree, dict(sorted(safetensors.numpy.load_file(path).items())))
    safetensors.numpy.save_file(tree, path)
    assert same(tree, files.load(path))
    data = path.read_bytes()
    with safetensors.safe_open(path, "np") as file:
        assert set(file.keys()) == set(tree)
    assert len(data) == os.path.getsize(path)


def test_tensors_are_aligned(path):
    files.save({"a": values("uint8", (3,)), "b": values("float64"), "c": values("float16", (1,))}, path)
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    assert length % 8 == 0
    for name, entry in json.loads(raw[8 : 8 + length]).items():
        if name != "__metadata__":
            assert entry["data_offsets"][0] % {"U8": 1, "F64": 8, "F16": 2}[entry["dtype"]] == 0


# -- what cannot be stored ---------------------------------------------------------------------------------------------

loop: list = []
loop.append(loop)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"a.b": 1}, "has no dot"),
        ({"a": {"": 1}}, "not empty"),
        ({1: 2}, "a string"),
        ({"x": 1, 2: 3}, "a string"),
        ({"__metadata__": 1}, "__metadata__"),
        ({"a": {"b": object()}}, "a/b.*object"),
        ({"a": {1, 2}}, "set"),
        ({"a": 2**70}, "int"),
        ({"a": b"bytes"}, "bytes"),
        ({"a": np.array(["x"])}, "dtype"),
        ({"a": np.array([None])}, "dtype"),
        ({"a": np.zeros(2, "complex128")}, "complex128"),
        ({"a": np.zeros(2, "datetime64[s]")}, "dtype"),
        ({"\ud800": np.zeros(2)}, "Unicode"),
        (loop, "contains itself"),
    ],
)
def test_what_cannot_be_stored(tree, words, path):
    path.write_bytes(b"old")
    with pytest.raises(ArgumentError, match=f"(?s){words}"):
        files.save(tree, path)
    assert path.read_bytes() == b"old" and os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("texts", [{"kfunc.sha256": "x"}, {"kfunc.tree": "{}"}, {"a": 1}, {1: "a"}])
def test_metadata_that_cannot_be_stored(texts, path):
    with pytest.raises(ArgumentError):
        files.save(TREE, path, texts)
    assert not path.exists()


# -- bad files ---------------------------------------------------------------------------------------------------------

ONE = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not complete"),
        (b"\x01\x00", "is not complete"),
        (b"\xff" * 8 + b"{}", "not a safetensors file"),
        (struct.pack("<Q", 3) + b"{}", "is not complete"),
        (b"PK\x03\x04" + b"\x00" * 50, "is not complete"),
        (file_of(b""), "not valid JSON"),
        (file_of(b"[1]"), "not a JSON object"),
        (file_of(b"3"), "not a JSON object"),
        (file_of(b"\xff\xfe{}"), "not valid JSON"),
        (file_of(b"[" * 200_000), "not valid JSON"),
        (file_of(b'{"a":' * 100_000), "not valid JSON"),
        (file_of(b"1" * 10_000), "not valid JSON"),
        (file_of({"a": ONE}), "do not fill it"),
        (file_of({"a": ONE}, b"ab"), "do not fill it"),
        (file_of({}, b"a"), "do not fill it"),
        (file_of(b'{"a":%b,"a":%b}' % ((json.dumps(ONE).encode(),) * 2), b"a"), "twice"),
        (file_of(b'{"__metadata__":{"x":"1","x":"2"}}'), "twice"),
        (file_of(b'{"a":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}}', b"a"), "twice"),
        (file_of({"__metadata__": {"x": 1}}), "not all texts"),
        (file_of({"__metadata__": "x"}), "not all texts"),
        (file_of({"a": ONE, "b": ONE}, b"a"), "overlap"),
        (file_of({"a": {**ONE, "data_offsets": [1, 2]}}, b"ab"), "gap"),
        (file_of({"a": {**ONE, "data_offsets": [1, 0]}}, b"a"), "shape or offset"),
        (file_of({"a": {**ONE, "data_offsets": [0, 1, 2]}}, b"a"), "not natural numbers"),
        (file_of({"a": {**ONE, "data_offsets": [0, 1.0]}}, b"a"), "not natural numbers"),
        (file_of({"a": {**ONE, "shape": [-1]}}, b"a"), "not natural numbers"),
        (file_of({"a": {**ONE, "shape": [True]}}, b"a"), "not natural numbers"),
        (file_of({"a": {**ONE, "shape": ["1"]}}, b"a"), "not natural numbers"),
        (file_of({"a": {**ONE, "shape": [1] * 65}}, b"a"), "for NumPy"),
        (file_of({"a": {**ONE, "shape": [2]}}, b"a"), "invalid shape"),
        (file_of({"a": {**ONE, "shape": [2**62, 2**62]}}, b"a"), "for NumPy"),
        (file_of({"a": {**ONE, "shape": [2**62, 2**62, 0], "data_offsets": [0, 0]}}), "for NumPy"),
        (file_of({"a": {**ONE, "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}}), "for NumPy"),
        (file_of({"a": {**ONE, "shape": [10**30], "data_offsets": [0, 10**30]}}, b"a"), "not natural numbers"),
        (file_of({"a": {**ONE, "shape": 1}}, b"a"), "not natural numbers"),
        (file_of({"a": {**ONE, "extra": 1}}, b"a"), "not have exactly"),
        (file_of({"a": {"dtype": "U8"}}, b"a"), "not have exactly"),
        (file_of({"a": None}, b"a"), "not have exactly"),
        (file_of({"a": {**ONE, "dtype": "U9"}}, b"a"), "U9"),
        (file_of({"a": {**ONE, "dtype": "F8_E8M0"}}, b"a"), "F8_E8M0"),
        (file_of({"a": {**ONE, "dtype": ["U8"]}}, b"a"), "does not know"),
        (file_of({"a": {**ONE, "dtype": "BOOL"}}, b"\x02"), "neither 0 nor 1"),
        (file_of({"a": ONE, "a.b": {**ONE, "data_offsets": [1, 2]}}, b"ab"), "beginning of another"),
        (file_of({"a.b": ONE, "a": {**ONE, "data_offsets": [1, 2]}}, b"ab"), "beginning of another"),
        (file_of({"__metadata__": {"kfunc.tree": '["list",["array"]]'}}), "not those"),
        (file_of({"__metadata__": {"kfunc.format": "9"}}), "newer kfunc"),
        (file_of({"__metadata__": {"kfunc.format": "1", "kfunc.sha256": "\ud800"}}), "corrupt"),
        (file_of({"__metadata__": {"kfunc.format": "1", "kfunc.sha256": "0"}}), "not those that were written"),
    ],
)
def test_bad_files(content, words, path):
    path.write_bytes(content)
    with pytest.raises(FileError, match=words) as caught:
        files.load(path)
    assert str(path) in str(caught.value)


def test_a_file_cut_anywhere(path):
    files.save(TREE, path)
    whole = path.read_bytes()
    for n in range(len(whole)):
        path.write_bytes(whole[:n])
        with pytest.raises(FileError):
            files.load(path)
    path.write_bytes(whole + b"\x00")
    with pytest.raises(FileError, match="do not fill it"):
        files.load(path)


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_anywhere(bit, path):
    files.save([TREE, None], path, {"text": "x"})
    whole = path.read_bytes()
    for n in range(len(whole)):
        path.write_bytes(whole[:n] + bytes([whole[n] ^ 1 << bit]) + whole[n + 1 :])
        with pytest.raises(FileError):
            files.load(path)


def test_the_digest_is_of_what_the_file_says(path):
    """Another tool may order tensors and texts anew; values, names, shapes and dtypes stay as they were written."""
    files.save({"a": values("int8", (2, 3)), "b": values("int8", (2, 3), 1)}, path, {"text": "x"})
    with safetensors.safe_open(path, "np") as file:
        texts = file.metadata()
    arrays = safetensors.numpy.load_file(path)
    a, b = arrays["a"], arrays["b"]
    safetensors.numpy.save_file(dict(reversed(arrays.items())), path, dict(reversed(texts.items())))
    assert same({"a": a, "b": b}, files.load(path))
    changes = ({"a": b, "b": a}, {"a": a, "c": b}, {"a": a.reshape(3, 2), "b": b}, {"a": a.view("uint8"), "b": b})
    for other, words in [*((change, texts) for change in changes), (arrays, {**texts, "text": "y"}), ({"a": a}, texts)]:
        safetensors.numpy.save_file(other, path, words)
        with pytest.raises(FileError, match="not those that were written"):
            files.load(path)


def test_a_header_that_no_reader_takes_is_not_written(path, monkeypatch):
    monkeypatch.setattr(files, "_HEADER_LIMIT", 500)
    files.save(TREE, path)
    with pytest.raises(ArgumentError, match="too long"):
        files.save(TREE, path, {"text": "x" * 500})
    assert same(TREE, files.load(path))


@pytest.mark.parametrize("make", [os.mkdir, pytest.param(getattr(os, "mkfifo", None), id="mkfifo")])
def test_only_regular_files(make, path):
    make(path)
    with pytest.raises(FileError, match="regular file"):
        files.load(path)
    with pytest.raises(FileError, match="regular file"):
        files.save(TREE, path)
    assert os.listdir(path.parent) == [path.name]


def test_a_file_that_is_not_there(path):
    with pytest.raises(FileError, match="No such file"):
        files.load(path)
    with pytest.raises(FileError, match="No such file"):
        files.save(TREE, path / "below")


def test_the_backend_is_checked_before_the_file(path):
    with pytest.raises(kf.errors.UnknownBackendError):
        files.load(path, backend="no such backend")


# -- failing disks -----------------------------------------------------------------------------------------------------


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("step", "old"),
    # A new file takes no one's permissions, so chmod cannot fail there.
    [(step, old) for step in ("fsync", "replace", "chmod", "open") for old in (b"old", None) if old or step != "chmod"],
)
def test_a_failing_disk_leaves_what_was_there(step, old, path, monkeypatch):
    if old is not None:
        path.write_bytes(old)
    monkeypatch.setattr(files.os, step, full)
    with pytest.raises(FileError, match="could not be written: No space left") as caught:
        files.save(TREE, path)
    monkeypatch.undo()
    assert isinstance(caught.value.__cause__, OSError)
    assert os.listdir(path.parent) == ([] if old is None else [path.name])
    assert old is None or path.read_bytes() == old


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_disk_that_fills_up_while_writing(path, monkeypatch):
    path.write_bytes(b"old")
    there = os.open

    def full_device(name, *_):
        open(name, "x").close()
        return there("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(files.os, "open", full_device)
    with pytest.raises(FileError, match="No space left"):
        files.save({"x": np.zeros(100_000)}, path)
    assert path.read_bytes() == b"old"


def test_an_interrupt_leaves_no_litter(path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    for owner, name in ((files.os, "replace"), (files.os, "fsync"), (files, "_lock"), (files.os, "dup")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, interrupt)
            with pytest.raises(KeyboardInterrupt):
                files.save(TREE, path)
        assert os.listdir(path.parent) == [], name


def test_content_reaches_the_disk_before_the_name(path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(files.os, name, lambda *args, name=name, real=real: (calls.append(name), real(*args)))
    files.save(TREE, path)
    assert calls == (["fsync", "replace", "fsync"] if os.name != "nt" else ["fsync", "replace"])


def test_a_directory_that_cannot_be_flushed_is_no_failure(path, monkeypatch):
    real = os.fsync

    def fsync(handle):
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(errno.EINVAL, "no")
        real(handle)

    monkeypatch.setattr(files.os, "fsync", fsync)
    files.save(TREE, path)
    assert same(TREE, files.load(path))


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions and links")
@pytest.mark.parametrize("kind", [os.fsencode, os.fspath, lambda path: path])
def test_a_path_is_bytes_or_a_text_or_a_path(kind, path):
    kf.save({"a": 1}, kind(path))
    assert kf.load(kind(path)) == {"a": 1}


def test_permissions_and_links(path):
    umask = os.umask(0o027)
    try:
        files.save(TREE, path)
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o640
    path.chmod(0o604)
    link = path.with_name("link")
    link.symlink_to(path.name)
    files.save([None], link)
    assert link.is_symlink() and files.load(path) == [None] and path.stat().st_mode & 0o777 == 0o604


def test_many_writers_at_once(path):
    """Whoever is last wins, whole; nobody sees half a file."""
    trees = [{"x": np.full(1000, i, np.float32)} for i in range(4)]
    errors = []

    def work(tree):
        try:
            for _ in range(5):
                files.save(tree, path)
                files.load(path)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(tree,)) for tree in trees]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and os.listdir(path.parent) == [path.name]
    assert any(same(tree, files.load(path)) for tree in trees)


# -- many tensors ------------------------------------------------------------------------------------------------------


def test_forty_thousand_tensors(path):
    """A checkpoint of the largest networks; the bound on headers grows with the file."""
    tree = {
        f"block_{i}": {f"part_{n}": {"kernel": np.full(3, i + n, np.float32)} for n in range(4)} for i in range(10_000)
    }
    start = time.process_time()
    files.save(tree, path)
    back = files.load(path)
    assert time.process_time() - start < 24
    assert len(kf.tree.leaves(back)) == 40_000 and same(tree, back)


@pytest.mark.parametrize(
    "tree", [{str(i): {"w": np.ones(1)} for i in range(30_000)}, [np.ones(1, np.int8)] * 40_000], ids=["dict", "list"]
)
def test_short_names(tree, path):
    """Where names take little of the file, the bounds in proportion to it are at their tightest."""
    files.save(tree, path)
    assert same(tree, files.load(path))


def test_a_network_of_many_layers(path):
    model = kf.Model(kf.nn.Sequential([kf.nn.Dense(2) for _ in range(1600)])).build(kf.Spec((None, 2)))
    for save, load in ((model.save, kf.Model.load), (model.save_weights, lambda p: (model.load_weights(p), model)[1])):
        save(path)
        want, got = (kf.tree.leaves(m.train_state.params) for m in (model, load(path)))
        assert len(got) == 3200 and same(want, got)


# -- suffixes of other formats -----------------------------------------------------------------------------------------

OTHERS = {
    "m.keras": "Keras",
    "m.weights.h5": "Keras",
    "m.HDF5": "Keras",
    "m.pt": "PyTorch",
    "pytorch_model.bin": "PyTorch",
    "m.npz": "NumPy",
    "m.onnx": "ONNX",
    "m.pkl": "pickle",
}
MODEL = kf.Model(kf.nn.Dense(2)).build(kf.Spec((None, 3)))
SAVING = {"save": lambda path: files.save(TREE, path), "Model.save": MODEL.save, "save_weights": MODEL.save_weights}
LOADING = {"load": files.load, "read": files.read, "Model.load": kf.Model.load, "load_weights": MODEL.load_weights}


def cases(ways):
    """Each way with each name, without models in Keras's files, which `test_keras_writing` is about."""
    return [(n, how) for n in OTHERS for how in ways if OTHERS[n] != "Keras" or how in ("save", "load", "read")]


@pytest.mark.parametrize(("name", "how"), cases(SAVING))
def test_suffixes_of_other_formats_are_not_written(name, how, tmp_path):
    argument = "path" if how == "save" else "filepath"
    with pytest.raises(ArgumentError, match=rf"`{argument}` must be a path that ends in \.safetensors") as caught:
        SAVING[how](tmp_path / name)
    assert caught.value.fix == f"write {tmp_path / name.partition('.')[0]}.safetensors"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("name", "how"), cases(LOADING))
def test_files_of_other_formats_say_what_to_do(name, how, tmp_path):
    (tmp_path / name).write_bytes(b"PK\x03\x04" + bytes(200))
    where = "which is read by kf.interop.keras" if OTHERS[name] == "Keras" else "which kfunc does not read"
    with pytest.raises(FileError, match=f"the format of {OTHERS[name]}, {where}") as caught:
        LOADING[how](tmp_path / name)
    assert "load it with" in caught.value.fix


@pytest.mark.parametrize("name", ["m", "m.safetensors", "m.v2", "step-1", ".safetensors"])
def test_other_names_are_free(name, tmp_path):
    files.save(TREE, tmp_path / name)
    assert same(TREE, files.load(tmp_path / name))


def test_a_safetensors_file_with_another_suffix_is_read(path):
    """What is in a file decides; the suffix only explains a failure."""
    files.save(TREE, path)
    assert same(TREE, files.load(path.rename(path.with_suffix(".bin"))))


# -- what writers leave behind ---------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
import numpy as np
import kfunc as kf
kf.files.os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)  # all is written, and nothing renamed
kf.save({"a": np.zeros(3)}, sys.argv[1])
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such locks")
def test_what_killed_writers_left_is_swept_beside_those_that_live(tmp_path):
    names = ["m.safetensors", "other.safetensors", "\u540d" * 70 + ".safetensors"]
    for name in (*names, names[0]):
        assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name)], check=False).returncode < 0
    assert len(os.listdir(tmp_path)) == 3  # the second write of "m" has swept what the first one left
    with files._temporary(str(tmp_path), names[0]) as (alive, handle):
        os.close(handle)  # the lock holds on, as in another process
        kf.save({"a": np.ones(3)}, tmp_path / names[0])
        assert os.path.exists(alive) and len(os.listdir(tmp_path)) == 4  # the new file, it, and two others' files
    os.unlink(alive)
    for name in names:
        kf.save({"a": np.ones(3)}, tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == sorted(names)


def test_the_same_contents_give_the_same_bytes(path, tmp_path):
    tree = {"b": np.arange(3.0), "a": np.zeros((2, 0), "int8"), "c": {"d": np.float32(2)}, "e": True}
    words = {str(i): "x" * i for i in range(20)}
    code = f"import kfunc as kf; kf.save(kf.load({str(path)!r}), {str(tmp_path / 'other')!r}, {words!r})"
    kf.save(tree, path, words)
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # with other hashes of texts
    assert path.read_bytes() == (tmp_path / "other").read_bytes()
    kf.save(dict(reversed(tree.items())), path, dict(reversed(words.items())))
    assert path.read_bytes() == (tmp_path / "other").read_bytes()


@pytest.mark.parametrize("blank", [b" ", b"\n", b"\t "])
def test_blanks_before_the_header_are_refused_and_behind_it_taken(blank, path):
    for header, taken in ((blank + b"{}", False), (b"{}" + b" " * 6, True)):
        path.write_bytes(struct.pack("<Q", len(header)) + header)
        if taken:
            assert files.read(path) == ({}, {})
        else:
            with pytest.raises(FileError, match="blanks stand before"):
                files.read(path)


@pytest.mark.parametrize(
    "version, newer", [("2", True), ("17", True), ("0", False), ("-3", False), ("x", False), ("\u0662", False)]
)
def test_only_a_newer_format_is_called_newer(version, newer, path):
    words = {"kfunc.format": version}
    header = json.dumps({"__metadata__": words | {"kfunc.sha256": files._digest({}, words)}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(FileError, match="newer" if newer else "is corrupt"):
        files.read(path)


def test_a_text_that_no_header_can_hold(path):
    with pytest.raises(ArgumentError, match="too long"):
        kf.save({"a": np.zeros(1), "text": "x" * 100_000_001}, path)
    assert not path.exists()


def test_a_load_names_all_arrays_that_do_not_fit(path):
    m, other = (
        kf.Model(nn.Sequential([nn.Dense(n, name="a"), nn.Dense(2, name=name)])) for n, name in ((3, "b"), (4, "c"))
    )
    m.build(kf.Spec((None, 2)))
    other.build(kf.Spec((None, 2)))
    m.save_weights(path)
    with pytest.raises(FileError, match="; 5 more are not") as caught:
        other.load_weights(path)
    for name in ("a.kernel", "a.bias", "b.kernel", "b.bias", "c.kernel", "c.bias"):
        assert f"params.{name}: " in caught.value.expected


def calls(make: Callable[[], object]) -> int:
    count = 0

    def profile(frame, event, arg):
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        make()
    finally:
        sys.setprofile(None)
    return count


def test_the_work_is_in_proportion_to_the_layers(path):
    """By calls of Python's functions, of which a machine that is busy makes no more."""

    def counts(n):
        m = kf.Model(nn.Sequential([layer for _ in range(n) for layer in (nn.Dense(2), nn.BatchNormalization())]))
        m.compile("adam", "mse")
        return [
            calls(lambda: m.build(kf.Spec((None, 2)))),
            calls(lambda: m.save(path)),
            calls(lambda: kf.Model.load(path)),
            calls(lambda: copy.deepcopy(m)),
            calls(lambda: m.summary(print_fn=lambda line: None)),
        ]

    counts(2)  # what is done once
    for few, many in zip(counts(20), counts(60), strict=True):
        assert many < 3.3 * few


@pytest.mark.parametrize("more", [0, 1])
def test_the_longest_header(more, path, monkeypatch):
    files.save({"a": np.ones(3)}, path)
    length = int.from_bytes(path.read_bytes()[:8], "little")
    monkeypatch.setattr(files, "_HEADER_LIMIT", length - more)
    if more:
        with pytest.raises(FileError):
            files.load(path)
    else:
        assert same(files.load(path), {"a": np.ones(3)})
