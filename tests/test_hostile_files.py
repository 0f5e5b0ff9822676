"""Files under attack: those of `fuzz/corpus.py`, and any others, end in a `FileError` and cost next to nothing."""

from __future__ import annotations

import ast
import contextlib
import errno
import os
import socket
import threading

import numpy as np
import pytest
from fuzz import corpus
from fuzz.corpus import CONFIGS, EXPECTED, GOOD, HEADERS, LARGEST, LOADERS, attack, outcomes, same
from fuzz.watching import watched
from hypothesis import given, settings
from hypothesis import strategies as st

import kfunc as kf
from kfunc import files, nn
from kfunc.errors import ArgumentError, FileError, UnknownBackendError

HERE = os.path.dirname(__file__)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


# -- the corpus, in processes of their own -----------------------------------------------------------------------------

# Each file in a child of one process that has loaded a good file by every loader: what it loads, runs, opens and takes.
_WATCH = r"""
import os, signal, sys, tempfile, warnings
warnings.simplefilter("error")
from fuzz import corpus
from fuzz.watching import in_a_child, peak

watching, events = False, []
QUIET = ("object.__getattr__", "sys._getframe", "builtins.id")

def hook(event, args):
    if watching and not event.startswith(QUIET):
        events.append([event, repr(args)[:200]])

sys.addaudithook(hook)
path = os.path.join(tempfile.mkdtemp(), "hostile")

def attempt(load):
    global watching
    watching = True
    try:
        load(path)
        return "loaded"
    except BaseException as error:
        watching = False
        name = type(error).__name__
        return name if name == "FileError" else f"{name}: {error}"[:500]
    finally:
        watching = False

def put(data):
    if os.path.exists(path):
        os.unlink(path)  # some file systems wait for the disk when a file is written anew
    with open(path, "wb") as file:
        file.write(data)

def child(name, data):
    put(data)
    size, header = len(data), int.from_bytes(data[:8], "little")
    header = header if header <= size else 0  # nobody decodes what is not there
    del data
    before = peak()
    signal.alarm(300)
    result = {loader: attempt(load) for loader, load in corpus.LOADERS.items()}
    seen = [e for e in events if not (e[0] == "open" and (e[1].startswith(repr((path,))[:-2]) or e[1][1].isdigit()))]
    return {"name": name, "result": result, "events": seen, "grown": peak() - before, "size": size,
            "header": header}

big = {"x": __import__("numpy").ones(2**24, "float32")}
many = {f"layer_{i}.kernel": big["x"][:1] for i in range(30_000)}
model = corpus.kf.Model(corpus.nn.Dense(2048)).build(corpus.kf.Spec((None, 8192)))
__import__("kfunc.models")  # where unknown classes are looked up
put(corpus.GOOD)
for load in corpus.LOADERS.values():
    load(path)
for name, data in {**corpus.HEADERS, **corpus.CONFIGS, **corpus.LARGEST, "good": corpus.GOOD}.items():
    in_a_child(child, name, data)
for name, write in {"big": lambda: corpus.kf.save(big, path), "a big model": lambda: model.save(path),
                    "many": lambda: corpus.kf.files.write(path, many)}.items():
    write()
    with open(path, "rb") as file:
        data = file.read()
    in_a_child(child, name, data)
"""


@pytest.fixture(scope="module", name="watched")
def _watched():
    return watched(_WATCH)


SOUND = {"read": "loaded", "load": "loaded", "load_weights": "loaded"}
WRONG_ARRAYS = (
    "the arrays of another",
    "without ",
    "key as ",
    "step as ",
    "params.dense",
    "more as ",
    "a key of",
    "steps of",
)


@pytest.mark.parametrize("name", [*HEADERS, *CONFIGS, *LARGEST, "good", "big", "a big model", "many"])
def test_hostile_files(name, watched):
    row = watched[name]
    assert "died" not in row
    result = row["result"]
    if name in HEADERS:
        assert result == dict.fromkeys(LOADERS, "FileError")
    elif name in CONFIGS:
        # The arrays are sound, unless they are what is wrong.
        assert result["Model.load"] == "FileError" and {result["read"], result["load"]} <= {"loaded", "FileError"}
        if not name.startswith(WRONG_ARRAYS):
            assert result == {**SOUND, "Model.load": "FileError"}
    elif name in LARGEST:
        assert result["read"] == "loaded"
    elif name == "good":
        assert set(result.values()) == {"loaded"}
    assert not row["events"]
    # The arrays twice, what `read` says of headers, and again as much where `load` makes dicts of names.
    assert row["grown"] <= 2 * row["size"] + 64 * row["header"] + 32 * 2**20


# -- any file ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loader", LOADERS)
def test_cut_anywhere(loader, path):
    path.write_bytes(GOOD)
    for n in reversed(range(len(GOOD))):
        os.truncate(path, n)
        with pytest.raises(FileError):
            LOADERS[loader](str(path))


@pytest.mark.parametrize("kind", [1, 2, 3], ids=["splices", "headers", "models"])
def test_any_edit(kind):
    seen = set()

    @settings(max_examples=250)
    @given(st.randoms(use_true_random=False, note_method_calls=False))
    def run(random):
        seen.update(attack(kind, lambda n: random.randrange(n)).values())

    run()
    assert "error" in seen


@given(st.binary(max_size=200))
def test_any_bytes(raw):
    assert set(attack(0, lambda n: 0, raw).values()) == {"error"}


def test_the_good_file_is_taken_for_what_it_is():
    assert set(outcomes(GOOD).values()) == {"equal"}
    assert set(outcomes(corpus.forged(corpus.CONFIG), forges=True).values()) == {"equal"}


def test_the_fuzzer_runs_this_entry():
    """Atheris itself is no dependency of the tests."""
    with open(os.path.join(HERE, "fuzz", "fuzz_files.py"), encoding="utf-8") as file:
        source = ast.parse(file.read())
    calls = {node.func.attr for node in ast.walk(source) if isinstance(node, ast.Call) and hasattr(node.func, "attr")}
    assert {"attack", "Setup", "Fuzz"} <= calls


# -- what stands where the file should ---------------------------------------------------------------------------------


def _socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        directory = os.getcwd()
        os.chdir(os.path.dirname(path))  # such paths are short
        try:
            server.bind(os.path.basename(path))
        finally:
            os.chdir(directory)


PLACES = {
    "a directory": os.mkdir,
    "a pipe": lambda path: os.mkfifo(path),
    "a socket": _socket,
    "nothing": lambda path: None,
    "a link to nothing": lambda path: os.symlink("nothing", path),
    "a link to itself": lambda path: os.symlink(path, path),
    "a link to a directory": lambda path: os.symlink(os.path.dirname(path), path),
    "a link to a device": lambda path: os.symlink("/dev/zero", path),
    "a link to a terminal": lambda path: os.symlink("/dev/tty", path),
}


@pytest.mark.skipif(os.name == "nt", reason="POSIX files")
@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_regular_file(place, loader, path):
    PLACES[place](str(path))
    with pytest.raises(FileError):
        LOADERS[loader](str(path))


@pytest.mark.skipif(os.name == "nt", reason="POSIX files")
def test_a_link_to_a_file_is_followed(path):
    path.with_name("file").write_bytes(GOOD)
    path.symlink_to("file")
    assert same(kf.Model.load(path).train_state, EXPECTED["Model.load"])


@pytest.mark.skipif(os.name == "nt", reason="POSIX files")
def test_a_pipe_in_place_of_a_file_does_not_block(path, monkeypatch):
    """Put there between the look and the opening."""
    regular, stat = os.stat(__file__), os.stat
    os.mkfifo(path)
    monkeypatch.setattr(files.os, "stat", lambda of, **options: regular if of == path else stat(of, **options))
    with pytest.raises(FileError, match="not to a regular file"):
        files.read(path)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("bad", [None, 5, 1.5, [], "a\0b", b"a\0b", {}], ids=repr)
def test_what_is_no_path(bad, loader):
    with pytest.raises(ArgumentError, match="must be a path"):
        LOADERS[loader](bad)


@pytest.mark.parametrize("load", [kf.load, kf.Model.load])
def test_the_backend_comes_before_the_file(load, path):
    with pytest.raises(UnknownBackendError):
        load(path, "os.system")


# -- a file that changes while it is read ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.truncate(len(GOOD) - 1),
        lambda file: file.truncate(8),
        lambda file: file.truncate(0),
        lambda file: (file.seek(0, 2), file.write(b"\0" * 99)),
        lambda file: (file.seek(20), file.write(b"\0")),
        lambda file: (file.seek(-1, 2), file.write(b"\7")),
        lambda file: (file.seek(0), file.write(b"\xff" * 8)),
    ],
    ids=["shorter", "to a length", "empty", "longer", "its header", "its tensors", "its header's length"],
)
def test_a_file_that_changes(change, path):
    path.write_bytes(GOOD)

    def check(forms, texts):
        with open(path, "r+b") as file:
            change(file)

    with pytest.raises(FileError):
        files.read(path, check)


def test_a_file_that_others_write_to(path):
    """At every moment one of two whole files, or an error."""
    other = corpus.forged({**corpus.CONFIG, "seed": 8})
    stop = threading.Event()

    def write():
        while not stop.is_set():
            for data in (GOOD, other, GOOD[:100]):
                path.write_bytes(data)

    thread = threading.Thread(target=write)
    path.write_bytes(GOOD)
    thread.start()
    try:
        for _ in range(100):
            with contextlib.suppress(FileError):
                assert same(files.read(path)[0], corpus.ARRAYS)
    finally:
        stop.set()
        thread.join()


def test_a_disk_that_fails_while_reading(path, monkeypatch):
    path.write_bytes(GOOD)

    def failing(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(files, "_header", failing)
    for load in LOADERS.values():
        with pytest.raises(FileError, match="could not be read"):
            load(str(path))


# -- bounds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_another_precision_is_no_attack(dtype, path):
    arrays = {n: x.astype(dtype) if x.dtype == np.float32 else x for n, x in corpus.ARRAYS.items()}
    path.write_bytes(corpus.forged(corpus.CONFIG, arrays))
    assert {x.dtype.name for x in kf.tree.leaves(kf.Model.load(path).train_state.params)} == {dtype}


def test_names_with_dots_come_back(path):
    model = kf.Model(nn.Branch({"a.b": nn.Dense(2), "c": nn.Dense(3)})).build(kf.Spec((None, 4)))
    model.save(path)
    assert same(kf.Model.load(path).train_state, model.train_state)


@pytest.mark.parametrize(
    "arrays",
    [
        {"a" * 1025: np.zeros(1, np.int8)},
        {"a." * 64 + "a": np.zeros(1, np.int8)},
        {"a": np.zeros([1] * 33, np.int8)},
    ],
    ids=["a name", "a path", "axes"],
)
def test_what_could_not_be_read_is_not_written(arrays, path):
    with pytest.raises(ArgumentError, match="too long"):
        files.write(path, arrays)
    assert not path.exists()


def test_a_tree_deeper_than_can_be_read_is_not_written(path):
    tree = np.zeros(1, np.int8)
    for _ in range(64):
        tree = [tree]
    kf.save(tree, path)
    assert same(kf.load(path), tree)
    with pytest.raises(ArgumentError, match="too deeply"):
        kf.save([tree], path)
