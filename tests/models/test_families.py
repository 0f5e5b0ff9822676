"""Families of networks against `transformers`: outputs, caches, folders that come back byte for byte, bad folders."""

from __future__ import annotations

import filecmp
import functools
import os

import numpy as np
import pytest
from families import FAMILIES, MASK, oracle
from sampling import one_of

import kfunc as kf

EPS = float(np.finfo(np.float32).eps)
RUNS = [
    pytest.param(name, backend, id=f"{name}-{backend}", marks=getattr(pytest.mark, backend))
    for name in FAMILIES
    for backend in ("numpy", *one_of(("torch", "jax", "tensorflow"), name))
]
TYPES = ("float32", "bfloat16", "shards")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """`written(name)`: the oracle of a row, made once for each way to save it."""
    pytest.importorskip("transformers")

    @functools.cache
    def make(name, kind="float32"):
        saving = {"max_shard_size": "8KB"} if kind == "shards" else {}
        dtype = kind if kind != "shards" else "float32"
        return oracle(name, tmp_path_factory.mktemp(name), dtype, **saving)

    return make


def compare(row, got, want, real=None):
    """A number goes through some dozen sums of up to 64 terms, each with an error of `sqrt(64) eps` at most."""
    got = {row.outputs[0]: got} if len(row.outputs) == 1 else got
    for name, w in want.items():
        g = kf.to_numpy(got[name])
        assert g.shape == w.shape
        if real is not None and w.shape[:2] == real.shape:
            g, w = g[real], w[real]
        np.testing.assert_allclose(g, w, rtol=0, atol=12 * 8 * EPS * max(1.0, np.abs(w).max()))


def inputs(row, backend):
    return {name: kf.asarray(x, backend=backend) for name, (_, x) in row.inputs.items()}


@pytest.mark.parametrize(("name", "backend"), RUNS)
def test_outputs_are_those_of_transformers(name, backend, written):
    row, made = FAMILIES[name], written(name)
    net, parameters, state = kf.models.load(made.folder, backend)
    out, _ = net.apply(parameters, state=state, **inputs(row, backend))
    compare(row, out, made.outputs, row.inputs["mask"][1] if "mask" in row.inputs else None)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", list(FAMILIES))
def test_folders_come_back_byte_for_byte(name, kind, written, tmp_path):
    folder = written(name, kind).folder
    for backend, dtype in (("numpy", None), ("torch", "auto")):
        net, parameters, state = kf.models.load(folder, backend, dtype=dtype)
        found = {str(x.dtype).removeprefix("torch.") for x in kf.tree.leaves(parameters)}
        assert found == {"bfloat16" if (kind, dtype) == ("bfloat16", "auto") else "float32"}
        paths = kf.models.save(tmp_path / backend, net, parameters, state)
        names = sorted(os.path.basename(path) for path in paths)
        assert names == sorted(set(os.listdir(folder)) - {"generation_config.json"})
        assert filecmp.cmpfiles(folder, tmp_path / backend, names, shallow=False) == (names, [], [])


@pytest.mark.parametrize(("name", "backend"), [run for run in RUNS if "inputs" in FAMILIES[run.values[0]].inputs])
def test_steps_with_a_memory_are_the_whole(name, backend, written):
    """The encoder runs in the first call alone: later calls have neither its inputs nor its parameters."""
    row, made = FAMILIES[name], written(name)
    net, parameters, state = kf.models.load(made.folder, backend)
    given = inputs(row, backend)
    ids = given.pop("ids")

    def run(parameters, state, given, ids, caches):
        return net.apply(parameters, ids=ids, caches=caches, state=state, **given)[0]

    run = kf.jit(run) if backend == "jax" else run  # which compiles each operation otherwise, and takes far longer
    out, caches = run(parameters, state, given, ids[:, :4], net.init_caches(3, 10, backend=backend))
    outs = [kf.to_numpy(out)]
    rest, given = {**parameters, "encoder": {}}, {"inputs": None}
    for i in range(4, ids.shape[1]):
        out, caches = run(rest, {}, given, ids[:, i : i + 1], caches)
        outs.append(kf.to_numpy(out))
    compare(row, np.concatenate(outs, axis=1), made.outputs)


@pytest.mark.parametrize(("name", "backend"), [run for run in RUNS if FAMILIES[run.values[0]].decoder])
def test_steps_with_caches_are_the_whole(name, backend, written):
    """A prompt that is filled up on the left, then token by token."""
    row, made = FAMILIES[name], written(name)
    net, parameters, _ = kf.models.load(made.folder, backend)
    given = inputs(row, backend)
    whole, _ = net.apply(parameters, **given)
    ids, mask = given["ids"], given.get("mask")
    length = ids.shape[1] + 2
    if mask is not None:
        more = np.concatenate([kf.to_numpy(mask), np.ones((3, 2), bool)], axis=1)
        mask = kf.asarray(more, backend=backend)
    caches, outs = net.init_caches(ids.shape[0], length, backend=backend), []
    for begin, end in ((0, 6), *((i, i + 1) for i in range(6, ids.shape[1]))):
        (out, caches), _ = net.apply(parameters, ids[:, begin:end], caches=caches, mask=mask)
        outs.append(kf.to_numpy(out))
    compare(row, np.concatenate(outs, axis=1), {row.outputs[0]: kf.to_numpy(whole)}, MASK if mask is not None else None)
