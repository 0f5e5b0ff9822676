"""`get_file`, its digests, resumed downloads and archives; and the data sets, from files of Keras's layout."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import io
import os
import pickle
import re
import tarfile
import threading
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

import kfunc as kf
from kfunc.errors import ArgumentError, FileError
from kfunc.utils import get_file

DATA = bytes(range(256)) * 40
SHA, MD5 = hashlib.sha256(DATA).hexdigest(), hashlib.md5(DATA).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Serves DATA; `/cut` ends early, `/ranges` knows ranges, `/none` is not there."""

    asked: list = []

    def do_GET(self):
        begun = int(re.search(r"\d+", self.headers.get("Range", "bytes=0-")).group())
        Server.asked.append((self.path, begun))
        if self.path == "/none":
            return self.send_error(404)
        known = self.path == "/ranges" and begun
        part = DATA[begun:] if known else DATA
        self.send_response(206 if known else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part[:1000] if self.path == "/cut" else part)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    Server.asked.clear()
    return tmp_path / "datasets"


@pytest.mark.parametrize("digest", [None, SHA, MD5, SHA.upper()], ids=["none", "sha256", "md5", "capitals"])
def test_a_file_is_downloaded_once(address, home, digest):
    for _ in range(2):
        path = get_file("a.bin", f"{address}/plain", file_hash=digest)
        assert path == str(home / "a.bin") and Path(path).read_bytes() == DATA
    assert len(Server.asked) == 1 and os.listdir(home) == ["a.bin"]
    get_file("a.bin", f"{address}/plain", file_hash=digest, force_download=True)
    assert len(Server.asked) == 2
    assert get_file(origin=f"{address}/plain", cache_subdir="other") == str(home.parent / "other" / "plain")


def test_another_file_of_that_name_is_replaced(address, home):
    home.mkdir()
    (home / "a.bin").write_bytes(b"old")
    assert Path(get_file("a.bin", f"{address}/plain")).read_bytes() == b"old"  # nobody says that it is wrong
    assert Path(get_file("a.bin", f"{address}/plain", md5_hash=MD5)).read_bytes() == DATA


@pytest.mark.parametrize("path", ["ranges", "plain"])
def test_an_interrupted_download_goes_on(address, home, path):
    with pytest.raises(FileError, match="1000 of 10240 bytes"):
        get_file("a.bin", f"{address}/cut", file_hash=SHA)
    assert os.listdir(home) == ["a.bin.part"]
    assert Path(get_file("a.bin", f"{address}/{path}", file_hash=SHA)).read_bytes() == DATA
    assert Server.asked[-1] == (f"/{path}", 1000) and os.listdir(home) == ["a.bin"]


def test_nothing_is_left_without_a_digest(address, home):
    with pytest.raises(FileError, match="1000 of 10240 bytes"):
        get_file("a.bin", f"{address}/cut")
    assert os.listdir(home) == []


BAD = {
    "not found": ({"origin": "/none"}, FileError, "Not Found"),
    "digest": ({"origin": "/plain", "file_hash": "0" * 64}, FileError, "another digest"),
    "no digest": ({"origin": "/plain", "file_hash": "abc"}, ArgumentError, "file_hash"),
    "algorithm": ({"origin": "/plain", "file_hash": SHA, "hash_algorithm": "md5"}, ArgumentError, "file_hash"),
    "folders": ({"origin": "/plain", "fname": "../x"}, ArgumentError, "fname"),
    "scheme": ({"origin": "ftp://x/y"}, ArgumentError, "origin"),
    "no origin": ({"origin": None}, ArgumentError, "origin"),
    "no archive": ({"origin": "/plain", "extract": True}, FileError, "no archive"),
    "format": ({"origin": "/plain", "extract": True, "archive_format": "rar"}, ArgumentError, "archive_format"),
}


@pytest.mark.parametrize("name", BAD)
def test_refusals(address, home, name):
    options, error, said = BAD[name]
    origin = options["origin"]
    options = options | {"origin": address + origin if origin and origin[0] == "/" else origin}
    with pytest.raises(error, match=re.escape(said)):
        get_file(**options)
    assert not home.exists() or not [n for n in os.listdir(home) if not n.endswith("_archive")]


def archive(kind, members):
    """Members are names and contents; a content that is a text is the target of a link."""
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
            for name, content in members:
                out.writestr(name, content)
    else:
        with tarfile.open(fileobj=file, mode="w:gz") as out:
            for name, content in members:
                member = tarfile.TarInfo(name)
                if isinstance(content, str):
                    member.type, member.linkname = tarfile.SYMTYPE, content
                    out.addfile(member)
                else:
                    member.size = len(content)
                    out.addfile(member, io.BytesIO(content))
    return file.getvalue()


@pytest.mark.parametrize("fname", ["things", "things.tgz", None], ids=str)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_archives_lie_where_keras_puts_them(tmp_path, kind, fname):
    source = tmp_path / "source.bin"
    source.write_bytes(archive(kind, [("a/b.txt", b"hello"), ("c.txt", b"")]))
    found = []
    for library, home in ((kf, tmp_path / "ours"), (keras, tmp_path / "theirs")):
        home.mkdir()
        path = library.utils.get_file(fname, source.as_uri(), extract=True, cache_dir=str(home))
        names = sorted(os.path.relpath(os.path.join(r, n), home) for r, _, ns in os.walk(home) for n in ns)
        found.append((os.path.relpath(path, home), names))
    assert found[0] == found[1]
    assert (tmp_path / "ours" / found[0][0] / "a" / "b.txt").read_text() == "hello"


ATTACKS = {
    "above": ("tar", [("ok", b"1"), ("../evil", b"2")]),
    "absolute": ("zip", [("/tmp/kfunc-evil/x", b"2")]),
    "a link out of it": ("tar", [("link", "../.."), ("link/evil", b"2")]),
    "above, zip": ("zip", [("ok", b"1"), ("../evil", b"2")]),
    "a zip with backslashes": ("zip", [("a\\..\\..\\evil", b"2")]),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_archives_write_nothing_outside(tmp_path, name):
    kind, members = ATTACKS[name]
    (tmp_path / "source").write_bytes(archive(kind, members))
    with pytest.raises(FileError, match="cannot be unpacked"):
        get_file("x", (tmp_path / "source").as_uri(), extract=True, cache_dir=tmp_path / "home")
    assert os.listdir(tmp_path / "home" / "datasets") == ["x_archive"]
    assert sorted(os.listdir(tmp_path)) == ["home", "source"] and not os.path.exists("/tmp/kfunc-evil")


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_archives_that_unpack_to_too_much(tmp_path, monkeypatch, kind):
    from kfunc.utils import downloads

    monkeypatch.setattr(downloads, "_FREE", 1 << 16)
    (tmp_path / "source").write_bytes(archive(kind, [("a", bytes(1 << 20))]))
    with pytest.raises(FileError, match="take more than"):
        get_file("x", (tmp_path / "source").as_uri(), extract=True, cache_dir=tmp_path / "home")
    assert os.listdir(tmp_path / "home" / "datasets") == ["x_archive"]


# -- the data sets -----------------------------------------------------------------------------------------------------

DRAW = np.random.default_rng(0)


def words(n):
    out = np.empty(n, object)
    out[:] = [DRAW.integers(1, 70000, DRAW.integers(1, 30)).tolist() for _ in range(n)]
    return out


def npz(path, **arrays):
    np.savez(path, **arrays)


def cifar_files(folder, names, labels):
    folder.mkdir()
    for name in names:
        n = 10000 if name.startswith("data_batch") else 7
        found = {
            b"data": DRAW.integers(0, 256, (n, 3072), dtype=np.uint8),
            labels.encode(): DRAW.integers(0, 9, n).tolist(),
        }
        (folder / name).write_bytes(pickle.dumps(found, protocol=3))


def made_mnist(folder):
    sizes = {"train": 60000, "test": 10000}  # Keras looks at them
    x = {
        f"x_{k}": np.broadcast_to(DRAW.integers(0, 256, (28, 28), dtype=np.uint8), (n, 28, 28))
        for k, n in sizes.items()
    }
    npz(folder / "mnist.npz", **x, **{f"y_{k}": np.arange(n, dtype=np.uint8) for k, n in sizes.items()})
    return folder / "mnist.npz"


def made_texts(folder, name):
    if name == "imdb":
        arrays = {
            f"{a}_{k}": f(9) for k in ("train", "test") for a, f in (("x", words), ("y", lambda n: np.arange(n) % 2))
        }
    else:
        arrays = {"x": words(20), "y": np.arange(20)}
    npz(folder / f"{name}.npz", **arrays)
    return folder / f"{name}.npz"


def made_table(folder, name):
    npz(folder / f"{name}.npz", x=DRAW.random((700, 8)), y=DRAW.random(700))
    return folder / f"{name}.npz"


def made_cifar(folder, name):
    inner = "cifar-10-batches-py" if name == "cifar10" else "cifar-100-python"
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"] if name == "cifar10" else ["train", "test"]
    cifar_files(folder / inner, names, "labels" if name == "cifar10" else "fine_labels")
    return folder


MADE = {
    "mnist": (made_mnist, {}),
    "imdb": (made_texts, {"num_words": 50000}),
    "imdb, all options": (
        made_texts,
        {"num_words": 60000, "skip_top": 500, "maxlen": 25, "start_char": None, "oov_char": None, "index_from": 7},
    ),
    "reuters": (made_texts, {"num_words": 50000, "test_split": 0.3}),
    "reuters, seed": (made_texts, {"num_words": 60000, "seed": 5, "oov_char": None, "maxlen": 20}),
    "boston_housing": (made_table, {"test_split": 0.1}),
    "california_housing": (made_table, {"version": "small", "seed": 3}),
    "cifar10": (made_cifar, {}),
    "cifar100": (made_cifar, {"label_mode": "fine"}),
}


@pytest.mark.parametrize("name", MADE)
def test_data_sets_are_those_of_keras(tmp_path, monkeypatch, name):
    make, options = MADE[name]
    name = name.partition(",")[0]
    path = str(make(tmp_path) if make is made_mnist else make(tmp_path, name))
    ours, theirs = getattr(kf.datasets, name), __import__(f"keras.src.datasets.{name}", fromlist="load_data")
    for module in (ours, theirs):
        monkeypatch.setattr(module, "get_file", lambda *args, **options: path)
    for found, wanted in zip(ours.load_data(**options), theirs.load_data(**options), strict=True):
        for a, b in zip(found, wanted, strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype
            assert a.tolist() == b.tolist() if a.dtype == object else np.array_equal(a, b)


def test_fashion_mnist(tmp_path, monkeypatch):
    pixels, labels = DRAW.integers(0, 256, (3, 28, 28), dtype=np.uint8), np.uint8([1, 2, 3])
    for name in ("train", "t10k"):
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(16) + pixels.tobytes()))
        (tmp_path / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes(8) + labels.tobytes()))
    monkeypatch.setattr(kf.datasets.fashion_mnist, "get_file", lambda name, *args, **options: str(tmp_path / name))
    (x, y), _ = kf.datasets.fashion_mnist.load_data()
    np.testing.assert_array_equal(x, pixels)
    assert y.tolist() == [1, 2, 3]
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(b"no gzip")
    with pytest.raises(FileError, match="damaged"):
        kf.datasets.fashion_mnist.load_data()


@pytest.mark.parametrize("protocol", range(5))  # NumPy writes files with 2 to 4
def test_pickles_of_lists_and_arrays(protocol):
    from kfunc.datasets._pickled import unpickled

    ints = [0, 1, 255, 256, 65535, 65536, -1, -70000, 2**31, 2**70]
    for value in (
        ints,
        [ints, [], [7] * 300],
        {"a": 1.5, "b": [True, None, "t"], 3: (1, 2, 3, 4)},
        {b"data": np.arange(600, dtype=np.uint8).reshape(2, 300), b"labels": [1, 2]},
        np.arange(6.0).reshape(2, 3).T,
        np.arange(3, dtype=">i4"),
    ):
        found = unpickled(pickle.dumps(value, protocol))
        for a, b in zip(kf.tree.leaves(found), kf.tree.leaves(value), strict=True):
            assert type(a) is type(b) and np.array_equal(a, b) and getattr(a, "dtype", 0) == getattr(b, "dtype", 0)


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


@pytest.mark.parametrize("protocol", range(5))  # NumPy writes files with 2 to 4
def test_pickles_run_nothing(protocol, tmp_path, monkeypatch):
    from kfunc.datasets._pickled import unpickled

    monkeypatch.chdir(tmp_path)
    for value in (Evil(), [Evil()], {"a": Evil()}, bytearray(b"1"), {1}, object(), np.zeros(2, "M8[s]")):
        with pytest.raises(ValueError):
            unpickled(pickle.dumps(value, protocol))
    assert os.listdir(tmp_path) == []
    whole = pickle.dumps({b"data": np.arange(9), b"labels": [1, 2, 300]}, protocol)
    for n in range(len(whole)):
        with pytest.raises(ValueError):
            unpickled(whole[:n])
    for i in range(len(whole)):  # damaged: something else, or an error of this type
        for bit in (1, 64):
            with contextlib.suppress(ValueError):
                unpickled(whole[:i] + bytes([whole[i] ^ bit]) + whole[i + 1 :])
