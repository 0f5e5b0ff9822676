"""Keras's files under attack: those of `fuzz/keras_corpus.py`, and damaged ones, end in a `FileError`, cost next to
nothing, and open nothing."""

from __future__ import annotations

import os
import random
import re

import pytest
from fuzz import keras_corpus as corpus
from fuzz.watching import watched

from kfunc.errors import FileError

HERE = os.path.dirname(__file__)

# Each file in a child of one process: what it raises, opens and takes. HDF5's library opens files without Python's
# knowledge; for these a pipe stands there, at which it would wait for ever.
_WATCH = r"""
import os, signal, sys, tempfile
from pathlib import Path
from fuzz import keras_corpus as corpus
from fuzz.watching import in_a_child, peak

watching, events = False, []
LOUD = ("os.", "subprocess", "socket", "shutil", "import", "exec", "compile", "ctypes")

def hook(event, args):
    if watching and (event.startswith(LOUD) or (event == "open" and not isinstance(args[0], int))):
        events.append([event, repr(args)[:200]])

def child(name):
    global watching
    os.chdir(folder := Path(tempfile.mkdtemp()))
    path = corpus.put(name, folder)
    before = peak()
    signal.alarm(60)
    watching, error = True, None
    try:
        corpus.attempt(corpus.ROWS[name][0], path)
    except BaseException as caught:
        watching = False
        error = [type(caught).__name__, str(caught)]
    watching = False
    seen = [e for e in events if not e[1].startswith(f"('{folder}/x") or e[0] != "open"]
    return {"name": name, "error": error, "events": seen, "grown": peak() - before, "size": os.path.getsize(path)}

for kind, data in (("WEIGHTS", corpus.hdf5()), ("LEGACY", corpus.legacy()), ("ARCHIVES", corpus.archive(corpus.GOOD))):
    path = os.path.join(tempfile.mkdtemp(), corpus.ENDINGS[kind])
    Path(path).write_bytes(data)
    corpus.attempt(kind, path)  # so that all is imported
sys.addaudithook(hook)
for name in corpus.ROWS:
    in_a_child(child, name)
"""


@pytest.fixture(scope="module", name="watched")
def _watched():
    return watched(_WATCH)


@pytest.mark.parametrize("name", corpus.ROWS)
def test_hostile_files(name, watched):
    row = watched[name]
    assert "died" not in row
    kind, text = row["error"] or ("nothing", "")
    assert kind == "FileError", row["error"]
    assert re.search(corpus.ROWS[name][2], text), text
    assert not row["events"]
    assert row["grown"] <= 2 * row["size"] + 32 * 2**20


# -- any file ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["WEIGHTS", "LEGACY", "ARCHIVES"])
def test_cut_anywhere(kind, tmp_path):
    data = {"WEIGHTS": corpus.hdf5, "LEGACY": corpus.legacy, "ARCHIVES": lambda: corpus.archive(corpus.GOOD)}[kind]()
    path = tmp_path / corpus.ENDINGS[kind]
    path.write_bytes(data)
    corpus.attempt(kind, str(path))
    for n in [len(data) - 1, *range(0, len(data) - 1, 97)]:
        path.write_bytes(data[:n])
        with pytest.raises(FileError):
            corpus.attempt(kind, str(path))


@pytest.mark.parametrize("kind", ["WEIGHTS", "ARCHIVES"])
def test_any_edit(kind, tmp_path):
    """The numbers themselves may change without a trace, but for those in archives, which have a checksum."""
    good = {"WEIGHTS": corpus.hdf5, "ARCHIVES": lambda: corpus.archive(corpus.GOOD)}[kind]()
    path, rng, failed = tmp_path / corpus.ENDINGS[kind], random.Random(0), 0
    for _ in range(200):
        data = bytearray(good)
        for _ in range(rng.choice([1, 1, 2, 8])):
            data[rng.randrange(len(data))] = rng.choice([0, 255, rng.randrange(256)])
        path.write_bytes(data)
        try:
            corpus.attempt(kind, str(path))
        except FileError:
            failed += 1
    assert failed > 20


PLACES = {
    "a directory": os.mkdir,
    "a pipe": lambda path: os.mkfifo(path),
    "nothing": lambda path: None,
    "a link to nothing": lambda path: os.symlink("nothing", path),
    "a link to itself": lambda path: os.symlink(path, path),
    "a link to a device": lambda path: os.symlink("/dev/zero", path),
}


@pytest.mark.skipif(os.name == "nt", reason="POSIX files")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", corpus.ENDINGS)
def test_what_is_no_regular_file(kind, place, tmp_path):
    path = str(tmp_path / corpus.ENDINGS[kind])
    PLACES[place](path)
    with pytest.raises(FileError):
        corpus.attempt(kind, path)
