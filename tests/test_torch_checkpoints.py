"""Checkpoints of other libraries: read one tensor at a time, written for their own readers, hostile ones refused."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
from backends import params
from interruptions import interrupting

import kfunc as kf
from kfunc.backends import get
from kfunc.interop import Checkpoint, KeyMap, save_checkpoint
from kfunc.interop.placing import placed

torch = pytest.importorskip("torch")
load_file = pytest.importorskip("safetensors.torch").load_file
save_file = pytest.importorskip("safetensors.torch").save_file

NAMES = ("numpy", "jax", "torch", "tensorflow")


def tensors():
    torch.manual_seed(0)
    return {
        "model.a.weight": torch.randn(4, 6),
        "model.b.weight": torch.randn(5, 3).to(torch.bfloat16),
        "model.c.weight": torch.randn(7).to(torch.float16),
        "model.d.position_ids": torch.arange(9, dtype=torch.int32),
        "model.empty": torch.zeros(0, 3),
    }


def same(found, want):
    assert set(found) == set(want)
    for name in want:
        value = kf.to_numpy(found[name])
        np.testing.assert_array_equal(value.astype("float64"), want[name].double().numpy(), err_msg=name)
        assert str(value.dtype) == str(want[name].dtype).removeprefix("torch.")


def written(folder, kind):
    """Tensors in a checkpoint of each kind: its path."""
    if kind == "safetensors":
        save_file(tensors(), folder / "x.safetensors")
        return folder / "x.safetensors"
    if kind == "one":
        save_file(tensors(), folder / "model.safetensors")
        return folder
    if kind == "shards":
        names = list(tensors())
        for i, part in enumerate((names[:2], names[2:])):
            save_file({n: tensors()[n] for n in part}, folder / f"model-0000{i + 1}-of-00002.safetensors")
        where = {n: f"model-0000{1 + (i > 1)}-of-00002.safetensors" for i, n in enumerate(names)}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
        return folder
    inside = {"state_dict": tensors(), "epoch": 3} if kind == "nested" else tensors()
    torch.save(inside, folder / "x.pt")
    return folder / "x.pt"


@pytest.mark.parametrize("kind", ["safetensors", "one", "shards", "torch", "nested"])
@pytest.mark.parametrize("backend", params(NAMES))
def test_tensors_are_read(kind, backend, tmp_path):
    found = Checkpoint(written(tmp_path, kind), backend)
    assert len(found) == 5 and "Checkpoint(" in repr(found)
    assert kf.backend_of(found["model.a.weight"]).name == backend
    same(found, tensors())


@pytest.mark.parametrize("size, files", [("5GB", 1), (150, 2), (1, 5), ("0.1KB", 2)])
@pytest.mark.parametrize("backend", params(NAMES))
def test_what_is_written_is_read_by_their_reader(size, files, backend, tmp_path):
    given = {name: kf.asarray(x, backend=backend) for name, x in tensors().items()}
    # Of another save, which must not be read any more.
    for name in ("model.safetensors", "model-00009-of-00009.safetensors"):
        save_file({"old": torch.zeros(1)}, tmp_path / name)
    paths = save_checkpoint(given, tmp_path, shard_size=size)
    shards = [p for p in paths if p.endswith(".safetensors")]
    assert len(shards) == files and sorted(os.listdir(tmp_path)) == sorted(os.path.basename(p) for p in paths)
    read: dict = {}
    for path in shards:
        read |= load_file(path)
    same(read, tensors())
    if files > 1:
        index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
        assert {name: str(tmp_path / shard) for name, shard in index["weight_map"].items()} == {
            name: path for path in shards for name in load_file(path)
        }
        assert index["metadata"]["total_size"] == sum(x.numel() * x.itemsize for x in read.values())
    same(Checkpoint(tmp_path), tensors())


def test_one_tensor_is_read_at_a_time(tmp_path):
    """Memory for one: the others are not touched. A file of which one tensor is cut off still has the others."""
    many = {f"t{i}": np.full((64, 1024), i, "float32") for i in range(40)}  # 10 MB
    save_checkpoint(many, tmp_path / "x.safetensors")
    tracemalloc.start()
    found = Checkpoint(tmp_path / "x.safetensors")
    for i in range(40):
        assert found[f"t{i}"][0, 0] == i
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 64 * 1024 * 4


@pytest.mark.parametrize("backend", params(NAMES))
def test_large_tensors_are_views_of_the_file(backend, tmp_path):
    """What is written into an array stays out of the file, and a file that replaces another one changes no array."""
    given = {"a": torch.randn(300, 200), "b": torch.randn(300, 200).to(torch.bfloat16)}
    save_checkpoint(given, tmp_path / "x.safetensors")
    before = (tmp_path / "x.safetensors").read_bytes()
    found = dict(Checkpoint(tmp_path / "x.safetensors", backend))
    same(found, given)
    if backend in ("numpy", "torch"):
        found["a"][0] = 7.0
        found["b"][0] = 7.0
    assert (tmp_path / "x.safetensors").read_bytes() == before
    save_checkpoint({n: torch.zeros_like(x) for n, x in given.items()}, tmp_path / "x.safetensors")
    for name in "ab":
        np.testing.assert_array_equal(
            kf.to_numpy(found[name])[1:].astype("float64"), given[name][1:].double().numpy(), err_msg=name
        )


def test_a_file_that_became_shorter(tmp_path):
    save_checkpoint({"a": torch.zeros(300, 200), "b": torch.ones(300, 200)}, tmp_path / "x.safetensors")
    found = Checkpoint(tmp_path / "x.safetensors")
    os.truncate(tmp_path / "x.safetensors", 300_000)
    assert not found["a"].any()
    with pytest.raises(kf.errors.FileError, match="The file changed while it was read"):
        found["b"]


def test_tensors_of_another_dtype_take_no_memory_twice(tmp_path):
    """A network in float32 from a checkpoint in bfloat16: its own size, and that of the largest tensor."""
    given = {f"{i}.weight": torch.randn(256, 256).to(torch.bfloat16) for i in range(20)}
    save_checkpoint(given, tmp_path, shard_size=400_000)
    net = kf.nn.Sequential([kf.nn.Dense(256, use_bias=False, name=str(i)) for i in range(20)])
    keys = KeyMap([("{i}.weight", "{i}/kernel", "o i -> i o")])
    found = Checkpoint(tmp_path)
    keys.load(found, net, kf.Spec((None, 256)))  # imports, and names in caches
    tracemalloc.start()
    keys.load(found, net, kf.Spec((None, 256)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 256 * 256 * 4 + 3 * 256 * 256 * 4


@pytest.mark.parametrize("before, after", [(1, 1), (2, 2), (1, 2), (2, 1), (2, 3)])
def test_an_interrupted_save_mixes_nothing(before, after, tmp_path, monkeypatch):
    """Whenever a save is interrupted, the folder has the old tensors, the new ones, or no checkpoint."""
    interrupt = interrupting(monkeypatch)

    def save(folder, fill, shards):
        save_checkpoint({n: np.full(2, fill, "float32") for n in "abcdef"}, folder, shard_size=48 // shards)

    seen = []
    for at in itertools.count(1):
        folder = tmp_path / str(at)
        interrupt(None)
        save(folder, 0, before)
        (folder / "config.json").write_text("{}")
        interrupt(at)
        try:
            save(folder, 1, after)
        except KeyboardInterrupt:
            pass
        else:
            break
        listing = folder / "model.safetensors.index.json"
        if listing.exists():
            assert set(json.loads(listing.read_text())["weight_map"].values()) <= set(os.listdir(folder))
        try:
            found = {float(x[0]) for x in Checkpoint(folder).values()}
        except kf.errors.FileError:
            found = set()
        assert len(found) < 2 and (found or before == after > 1)
        seen.append(found)
    assert len(seen) > 3 and seen[0] == {0.0}
    shards = [f"model-0000{i + 1}-of-0000{after}.safetensors" for i in range(after)] if after > 1 else []
    files = [*shards, "model.safetensors.index.json"] if shards else ["model.safetensors"]
    assert sorted(os.listdir(folder)) == sorted([*files, "config.json"])


@pytest.mark.skipif(os.name == "nt", reason="Windows has no locks of directories")
def test_what_killed_writers_left_is_removed(tmp_path):
    """Not what a writer has that is alive, and nothing that is no file of such a folder."""
    folders = {name: tmp_path / f".kfunc-{name}" for name in ("0123456789abcdef", "ab_c1234", "fedcba9876543210")}
    for folder in folders.values():
        folder.mkdir()
        (folder / "model-00001-of-00002.safetensors").write_bytes(b"part")
    (tmp_path / ".kfunc-ab_c1234" / "more").mkdir()  # not one of ours
    (tmp_path / ".kfunc-aaaaaaaaaaaaaaaa").symlink_to(tmp_path / ".kfunc-ab_c1234")
    with kf.files._held(str(folders["fedcba9876543210"])):
        save_checkpoint({"a": np.zeros(2, "float32")}, tmp_path)
        assert not folders["0123456789abcdef"].exists()
        assert (folders["fedcba9876543210"] / "model-00001-of-00002.safetensors").exists()
    assert (folders["ab_c1234"] / "more").exists() and (tmp_path / ".kfunc-aaaaaaaaaaaaaaaa").is_symlink()
    save_checkpoint({"a": np.zeros(2, "float32")}, tmp_path)
    assert not folders["fedcba9876543210"].exists() and (tmp_path / "model.safetensors").exists()


def test_a_folder_that_another_writer_removes(tmp_path, monkeypatch):
    """A writer that begins at the same time may take the new hidden folder for one of a killed writer."""
    held, removed = kf.files._held, []

    def late(path, wait=True):
        if wait and not removed:
            removed.append(path)
            os.rmdir(path)
        return held(path, wait)

    monkeypatch.setattr(kf.files, "_held", late)
    save_checkpoint({"a": np.zeros(2, "float32")}, tmp_path)
    assert removed and os.listdir(tmp_path) == ["model.safetensors"]


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "float8_e4m3fn", "float8_e5m2", "complex64"])
@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("shape", [(), (3,), (0, 2)])
def test_rare_dtypes_and_shapes(dtype, backend, shape, tmp_path):
    given = {"a": torch.ones(shape).to(getattr(torch, dtype))}
    save_checkpoint(given, tmp_path)
    found = Checkpoint(tmp_path, backend)["a"]
    assert kf.to_numpy(found).dtype.name == dtype and tuple(found.shape) == shape
    assert torch.equal(
        load_file(tmp_path / "model.safetensors")["a"].to(torch.complex64), given["a"].to(torch.complex64)
    )
    np.testing.assert_array_equal(kf.to_numpy(found).astype("complex64"), 1)


UNREADABLE = {  # what a file of PyTorch's has in it, and what the error says
    "two": ({"optimizer": {"w": torch.zeros(1)}, "model": {"w": torch.ones(1)}}, "more than one dict of tensors"),
    "numbers": ({1: torch.zeros(1), "1": torch.ones(1)}, "no tensors by name"),
    "sparse": ({"w": torch.eye(3).to_sparse()}, "A tensor is sparse"),
    "meta": ({"w": torch.zeros(3, device="meta")}, "A tensor is sparse"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_files_of_torch_that_have_no_arrays(name, tmp_path):
    inside, words = UNREADABLE[name]
    torch.save(inside, tmp_path / "x.pt")
    with pytest.raises(kf.errors.FileError, match=words) as error:
        Checkpoint(tmp_path / "x.pt")
    assert error.value.problem.count("x.pt") == 1


@pytest.mark.parametrize("path", [None, 3, "a\0b"])
def test_paths_that_are_none(path):
    for use in (Checkpoint, lambda path: save_checkpoint({}, path)):
        with pytest.raises(kf.errors.ArgumentError, match="`path` must be a path"):
            use(path)


@pytest.mark.parametrize("tensors", [{"a": [1.0]}, [np.zeros(1)]])
def test_tensors_that_are_none(tensors, tmp_path):
    with pytest.raises(kf.errors.ArgumentError, match="`tensors` must be a mapping from names to arrays"):
        save_checkpoint(tensors, tmp_path)


@pytest.mark.parametrize("name", ["x.pt", "x.bin", "x.h5"])
def test_a_folder_is_not_called_as_files_of_others(name, tmp_path):
    with pytest.raises(kf.errors.ArgumentError, match=r"`path` must be a path that ends in \.safetensors"):
        save_checkpoint({"a": np.zeros(1)}, tmp_path / name)
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="Windows forks no processes")
def test_forked_processes_read_what_they_ask_for(tmp_path):
    """They share the place in the file that an open handle has; here it is moved as another process would."""
    given = {f"t{i}": np.full(n, i, "float32") for i, n in enumerate((100, 100_000))}
    save_checkpoint(given, tmp_path / "x.safetensors")
    found = kf.files.Tensors(tmp_path / "x.safetensors")
    for name in ("t0", "t1", "t0"):
        np.testing.assert_array_equal(found[name], given[name])
        os.lseek(found._file.fileno(), 0, os.SEEK_SET)


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


class Bytes:
    def __reduce__(self):
        return (bytearray, (1_000_000_000,))


def index(folder, where):
    (folder / "model.safetensors.index.json").write_text(where if isinstance(where, str) else json.dumps(where))
    return folder


def spoiled(kind, folder):
    """A checkpoint that is not sound."""
    path = written(folder, "shards" if kind in SHARDS else "safetensors")
    good = json.loads((folder / "model.safetensors.index.json").read_text()) if kind in SHARDS else {}
    where = good.get("weight_map", {})
    first = next(iter(where), "")
    match kind:
        case "nothing":
            os.remove(path)
            return folder
        case "missing":
            return folder / "absent.safetensors"
        case "missing, PyTorch's":
            return folder / "absent.pt"
        case "pickle":
            (folder / "x.bin").write_bytes(pickle.dumps({"w": Evil()}))
            return folder / "x.bin"
        case "torch pickle":
            torch.save({"w": Evil()}, folder / "x.pt")
            return folder / "x.pt"
        case "bytes" | "old bytes":
            torch.save(
                {"w": torch.zeros(3), "b": Bytes()}, folder / "x.pt", _use_new_zipfile_serialization=kind == "bytes"
            )
            return folder / "x.pt"
        case "bomb":
            torch.save({"w": torch.zeros(2_000_000)}, folder / "y.pt")
            with (
                zipfile.ZipFile(folder / "y.pt") as a,
                zipfile.ZipFile(folder / "x.pt", "w", zipfile.ZIP_DEFLATED) as b,
            ):
                for entry in a.infolist():
                    b.writestr(entry.filename, a.read(entry))
            return folder / "x.pt"
        case "repeated":
            torch.save({"w": torch.zeros(1).expand(10**9)}, folder / "x.pt")
            return folder / "x.pt"
        case "cut archive":
            torch.save({"w": torch.zeros(1000)}, folder / "x.pt")
            (folder / "x.pt").write_bytes((folder / "x.pt").read_bytes()[:-500])
            return folder / "x.pt"
        case "names twice":
            first = '"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
            header = ("{" + first + "," + first.replace("[1]", "[0]").replace("0,1", "1,1") + "}").encode()
            path.write_bytes(len(header).to_bytes(8, "little") + header + b"1")
            return path
        case "unknown dtype":
            header = b'{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}'
            path.write_bytes(len(header).to_bytes(8, "little") + header + b"1")
            return path
        case "in two shards":
            save_file({n: tensors()[n] for n in where}, folder / "model-00001-of-00002.safetensors")
            index(folder, {"weight_map": where})
        case "no tensors":
            torch.save({"epoch": 3}, folder / "x.pt")
            return folder / "x.pt"
        case "truncated":
            path.write_bytes(path.read_bytes()[:-5])
            return path
        case "half of the shards":
            os.remove(folder / "model-00002-of-00002.safetensors")
        case "truncated shard":
            shard = folder / "model-00002-of-00002.safetensors"
            shard.write_bytes(shard.read_bytes()[:-5])
        case "outside":
            index(folder, {"weight_map": where | {first: "../other.safetensors"}})
        case "absolute":
            index(folder, {"weight_map": where | {first: str(folder / "x.safetensors")}})
        case "surrogate":
            index(folder, {"weight_map": where | {first: "\ud800.safetensors"}})
        case "another file":
            index(folder, {"weight_map": where | {first: "x.bin"}})
        case "too few":
            index(folder, {"weight_map": {n: f for n, f in where.items() if n != first}})
        case "too many":
            index(folder, {"weight_map": where | {"more": where[first]}})
        case "wrong shard":
            index(folder, {"weight_map": where | {first: "model-00002-of-00002.safetensors"}})
        case "twice":
            index(folder, '{"weight_map": {"a": "b.safetensors", "a": "c.safetensors"}}')
        case "no map":
            index(folder, {"weights": {}})
        case "no json":
            index(folder, "{")
        case "a list":
            index(folder, [1])
    return folder


SHARDS = ("half of the shards", "truncated shard", "outside", "absolute", "another file", "too few", "too many")
SHARDS += ("in two shards", "surrogate", "wrong shard", "twice", "no map", "no json", "a list")
ALONE = ("nothing", "missing", "missing, PyTorch's", "pickle", "torch pickle", "no tensors", "truncated")
ALONE += ("bytes", "old bytes", "bomb", "repeated", "cut archive", "names twice", "unknown dtype")


@pytest.mark.parametrize("kind", [*ALONE, *SHARDS])
def test_bad_checkpoints_are_refused(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = spoiled(kind, tmp_path)
    tracemalloc.start()
    with pytest.raises(kf.errors.FileError, match="could not be read: No such" if "missing" in kind else "."):
        Checkpoint(path)
    assert tracemalloc.get_traced_memory()[1] < 32e6
    tracemalloc.stop()
    assert not pathlib.Path("executed").exists()


@pytest.mark.parametrize("kind", ["one", "shards"])
def test_links_to_files_elsewhere(kind, tmp_path):
    """Hugging Face's cache has folders of links to files with other names."""
    folder, blobs = tmp_path / "snapshot", tmp_path / "blobs"
    folder.mkdir(), blobs.mkdir()
    written(folder, kind)
    for i, name in enumerate(sorted(os.listdir(folder))):
        os.rename(folder / name, blobs / f"{i:064x}")
        os.symlink(f"../blobs/{i:064x}", folder / name)
    same(Checkpoint(folder), tensors())
    linked = sorted(os.listdir(folder))
    os.remove(blobs / f"{0:064x}")
    with pytest.raises(kf.errors.FileError, match=r"could not be read: No such|has no checkpoint"):
        Checkpoint(folder)
    assert sorted(os.listdir(folder)) == linked


@pytest.mark.parametrize("size", [0, -1, True, "5 apples", "GB", "\u0663GB", 1.5, None])
def test_sizes_of_shards(size, tmp_path):
    with pytest.raises(kf.errors.ArgumentError, match="`shard_size` must be a positive number of bytes"):
        save_checkpoint({}, tmp_path, shard_size=size)


FORMS = {
    "as it is": lambda x: x,
    "turned": lambda x: x.T,
    "heads": lambda x: x.reshape(4, 16, 96).transpose(2, 0, 1),
    "a part": lambda x: x[8:24, ::2],
    "no axes": lambda x: x[0, 0],
    "nothing": lambda x: x[:0].T,
    "backwards": lambda x: x[::-1],
}


@pytest.mark.parametrize("backend", params(NAMES))
@pytest.mark.parametrize("dtypes", ["float32 float32", "bfloat16 float32", "float32 bfloat16", "float16 float32"])
def test_arrays_are_placed_as_asarray_does(dtypes, backend):
    """In one pass, which the dtypes, the order of axes and the backend's own reader may each go around."""
    import ml_dtypes  # noqa: F401

    stored, wanted = dtypes.split()
    if backend == "numpy" and wanted == "bfloat16":
        stored, wanted = "float64", "float16"
    whole = np.random.default_rng(0).normal(size=(64, 96)).astype(stored)
    for name, form in FORMS.items():
        x = form(whole.copy())
        found = placed(x, wanted, backend)
        want = kf.asarray(np.ascontiguousarray(x).astype("float32"), wanted, backend=backend)
        assert kf.namespace(found) is kf.namespace(want) and found.dtype == want.dtype, name
        assert tuple(found.shape) == x.shape, name
        np.testing.assert_array_equal(kf.to_numpy(found), kf.to_numpy(want), err_msg=name)


@pytest.mark.parametrize("backend", params(NAMES))
def test_arrays_take_the_memory_that_was_made_for_them(backend, monkeypatch):
    """JAX and TensorFlow copy what does not begin at a multiple of 64 bytes, or has its axes in another order."""
    made = []
    memory = kf.files.memory
    monkeypatch.setattr(kf.files, "memory", lambda n: made.append(memory(n)) or made[-1])
    found = placed(np.ones((512, 64), "float16").T, "float32", backend)
    np.frombuffer(made[0], "float32")[:] = 7
    assert len(made) == 1 and (kf.to_numpy(found) == 7).all()


@pytest.mark.parametrize("kind", ["safetensors", "torch", "old torch"])
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_no_two_arrays_of_a_file_share_memory(kind, backend, tmp_path):
    """An optimizer of PyTorch's writes into the arrays. Other networks of the file must not change."""
    given = {"w": torch.randn(256, 128), "b": torch.zeros(256)}
    path = tmp_path / ("x.safetensors" if kind == "safetensors" else "x.pt")
    if kind == "safetensors":
        save_file(given, path)
    else:
        torch.save(given | {"tied": given["w"]}, path, _use_new_zipfile_serialization=kind == "torch")
    keys = KeyMap([("w", "kernel", "o i -> i o"), ("b", "bias")], ignore=["tied"])
    net, file = kf.nn.Dense(256), Checkpoint(path, backend)
    first = file["tied"] if "tied" in file else file["w"]
    (one, _), (other, _) = (keys.load(file, net, kf.Spec((None, 128))) for _ in range(2))
    for x in (first, *one.values()):
        x[:] = 7.0
    assert np.array_equal(kf.to_numpy(other["kernel"]).T, given["w"].numpy()) and not kf.to_numpy(other["bias"]).any()
    for name in file:
        assert np.array_equal(kf.to_numpy(file[name]), (given | {"tied": given["w"]})[name].numpy())


@pytest.mark.parametrize("backend", params(NAMES))
def test_training_writes_into_no_other_network_of_the_same_file(backend, tmp_path, monkeypatch):
    """Arrays may be views of the file, or memory that their library took over; large ones are updated in place."""
    if get(backend).large is not None:
        monkeypatch.setattr(get(backend), "large", 1)
    rng = np.random.default_rng(0)
    save_checkpoint({"w": rng.normal(size=(256, 128)).astype("f4"), "b": np.zeros(256, "f4")}, tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    keys = KeyMap([("w", "kernel", "o i -> i o"), ("b", "bias")])
    net, file = kf.nn.Dense(256), Checkpoint(tmp_path, backend)
    (one, _), (other, _) = (keys.load(file, net, kf.Spec((None, 128))) for _ in range(2))
    kept = kf.to_numpy(other["kernel"]).copy()
    model = kf.Model(net, params=one)
    model.compile("adam", "mse")
    model.fit(np.ones((8, 128), "f4"), np.ones((8, 256), "f4"), batch_size=4, epochs=2, verbose=0)
    assert (kf.to_numpy(model.train_state.params["kernel"]) != kept).any()
    np.testing.assert_array_equal(kf.to_numpy(other["kernel"]), kept)
    np.testing.assert_array_equal(kf.to_numpy(file["w"]).T, kept)
    assert (tmp_path / "model.safetensors").read_bytes() == before
