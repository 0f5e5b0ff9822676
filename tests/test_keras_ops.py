"""Every function of `keras.ops`, on every backend: signatures, values and gradients against Keras 3 itself."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import json
import math
import zlib

import numpy as np
import pytest
from backends import EAGER, TRAINING
from keras_oracle import IDS, ROWS, call, compute, flat, floats, function, is_array, moving, oracle, stale, weights
from sampling import chosen

import kfunc as kf
from kfunc import nn, ops
from kfunc.nn.operations import separates
from kfunc.ops._op import OPS
from kfunc.registry import from_config, to_config

keras = pytest.importorskip("keras")

NAMES = sorted(name for name in dir(keras.ops) if not name.startswith("_"))
FUNCTIONS = [name for name in NAMES if callable(getattr(keras.ops, name))]
MODULES = [name for name in NAMES if name not in FUNCTIONS]
IMAGE = [name for name in dir(keras.ops.image) if not name.startswith("_")]

rows = pytest.mark.parametrize("i", range(len(ROWS)), ids=IDS)


# -- the list --------------------------------------------------------------------------------------------------------


def test_keras_has_the_names_that_this_was_written_for():
    assert len(NAMES) == 341


@pytest.mark.parametrize("name", MODULES)
def test_modules(name):
    assert {n for n in dir(getattr(keras.ops, name)) if not n.startswith("_")} <= set(dir(getattr(ops, name)))


# Arguments that mean something to Keras alone.
WITHOUT = {"sparse", "ragged", "synchronized", "unroll", "kwargs"}


@pytest.mark.parametrize("name", FUNCTIONS + IMAGE)
def test_arguments(name):
    """Keras's, in its order and with its defaults; more may follow."""
    theirs = inspect.signature(function(keras.ops, name)).parameters
    ours = list(inspect.signature(function(ops, name)).parameters.values())
    wanted = [p for p in theirs.values() if p.name not in WITHOUT]
    assert [p.name for p in ours[: len(wanted)]] == [p.name for p in wanted]
    for a, b in zip(ours, wanted, strict=False):
        assert a.default == b.default, a.name


def test_every_function_has_a_row():
    assert {row.name for row in ROWS} == set(FUNCTIONS + IMAGE)


def test_the_oracle_is_up_to_date():
    """`python tests/keras_oracle.py` brings it there."""
    assert not [name for i, name in enumerate(IDS) if stale(i)]


@pytest.mark.parametrize("i", range(0, len(ROWS), 97))
def test_keras_still_says_so(i):
    """A sample of what the file says, computed anew."""
    for kept, new in zip(oracle(i), compute(ROWS[i]), strict=True):
        for a, b in zip(kept or [], new or [], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


# -- values and gradients --------------------------------------------------------------------------------------------


def close(got, want, row, double=False):
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape
        assert a.dtype.kind == b.dtype.kind or {a.dtype.kind, b.dtype.kind} == {"i", "u"}
        if a.dtype.kind not in "fc":
            np.testing.assert_array_equal(a, b)
            continue
        assert double or a.dtype in (np.float32, np.complex64)
        finite = np.abs(b)[np.isfinite(b)]
        scale = max(1.0, finite.max(initial=0))
        eps = float(np.finfo(a.dtype).eps)
        np.testing.assert_allclose(a, b, rtol=0, atol=8 * eps * math.sqrt(row.n) * row.condition * scale)


def on(name, tree):
    return kf.tree.map(lambda x: kf.asarray(x, backend=name) if is_array(x) else x, tree)


def backends_of(tree):
    kinds = [kf.backends.kind_of(type(x)) for x in kf.tree.leaves(tree)]
    return {kind.backend.name for kind in kinds if kind is not None and kind.rank >= 0}


def filled(tree, arrays):
    """`tree` with its arrays replaced by the next of `arrays`, in plain steps that Dynamo can follow."""
    if isinstance(tree, dict):
        return {key: filled(tree[key], arrays) for key in sorted(tree)}
    if isinstance(tree, list | tuple):
        return type(tree)([filled(part, arrays) for part in tree])
    return next(arrays) if is_array(tree) else tree


def compiled_at_once(name, row):
    """Whether the row runs compiled from the start: alone, JAX compiles each of its functions, which takes minutes."""
    return name == "jax" and row.jit is True


@rows
@pytest.mark.usefixtures("quickly_compiled")
@pytest.mark.parametrize("name", EAGER)
def test_values(name, i):
    row = ROWS[i]
    compiled = compiled_at_once(name, row) and i % 20 != 0  # those run as they are
    if compiled and oracle(i)[1] is not None:
        return  # `test_gradients` compares them: one program is compiled for both
    given = (row.args, row.kwargs)
    arrays = on(name, [x for x in kf.tree.leaves(given) if is_array(x)])

    def fun(*arrays):
        return call(ops, row, *filled(given, iter(arrays)))

    check_values((kf.jit(fun) if compiled and arrays else fun)(*arrays), name, i, bool(arrays))


def check_values(out, name, i, any_arrays=True):
    # What is made of arrays stays in their backend; what is made of Python values alone is NumPy's.
    assert backends_of(out) <= ({name} if any_arrays else {"numpy"}) or ROWS[i].name == "convert_to_numpy"
    close(flat(out), oracle(i)[0], ROWS[i])


SINGLE = {
    "dot_product_attention": "Keras takes JAX's attention, whose softmax is in float32",
    "perspective_transform": "Keras solves for the transform in float32",
}
DOUBLE = [
    i
    for i, row in enumerate(ROWS)
    if row.name not in SINGLE
    and any(is_array(x) and x.dtype.kind in "fc" for x in kf.tree.leaves((row.args, row.kwargs)))
]


@pytest.mark.numpy
@pytest.mark.parametrize("i", DOUBLE, ids=[IDS[i] for i in DOUBLE])
def test_values_in_double(i):
    """In float64, where small constants and terms show that float32 rounds away."""
    wide = {"f": np.float64, "c": np.complex128}
    given = kf.tree.map(
        lambda x: x.astype(wide.get(x.dtype.kind, x.dtype)) if is_array(x) else x, (ROWS[i].args, ROWS[i].kwargs)
    )
    close(flat(call(ops, ROWS[i], *given)), oracle(i)[0], ROWS[i], double=True)


@pytest.mark.usefixtures("quickly_compiled")
@pytest.mark.parametrize(
    ("name", "i"),
    [
        pytest.param(backend.values[0], i, id=f"{backend.values[0]}-{IDS[i]}", marks=backend.marks)
        for backend in TRAINING
        for i in range(len(ROWS))
        if backend.values[0] == "numpy" or chosen(2, backend.values[0], IDS[i])
    ],
)
def test_gradients(name, i):
    row = ROWS[i]
    if oracle(i)[1] is None:
        return
    given = (row.args, row.kwargs)
    xs, fill = moving(given, on(name, given))

    @kf.arrays.native
    def weighted(outs, ws):
        xp = kf.namespace(*outs)
        return functools.reduce(lambda a, b: a + b, [xp.sum(o * w) for o, w in zip(outs, ws, strict=True)])

    def objective(xs, ws):
        out = call(ops, row, *fill(xs))
        return weighted(floats(kf.tree.leaves(out)), ws), out

    gradient = kf.grad(objective, has_aux=True)
    gradient = kf.jit(gradient) if compiled_at_once(name, row) else gradient
    gradients, out = gradient(xs, on(name, [w.astype(np.float32) for w in weights(oracle(i)[0])]))
    check_values(out, name, i)
    close(flat(gradients), oracle(i)[1], row)


# -- on the nodes of a graph -----------------------------------------------------------------------------------------

NOT_NODES = {
    **dict.fromkeys(
        ("associative_scan", "cond", "custom_gradient", "fori_loop", "jvp", "map", "scan"), "takes functions"
    ),
    **dict.fromkeys(("vectorize", "vectorized_map", "while_loop"), "takes functions"),
    **dict.fromkeys(("convert_to_numpy", "is_tensor", "bincount"), "needs the values"),
    **dict.fromkeys(("dtype", "empty_like", "ndim", "shape", "size"), "is known when the graph is made"),
}
"""What makes no node of nodes."""

ON_NODES = {
    row.name: i
    for i, row in reversed(list(enumerate(ROWS)))
    if any(map(is_array, kf.tree.leaves((row.args, row.kwargs)))) and row.name not in NOT_NODES
}


@pytest.mark.parametrize("op", ON_NODES)
def test_nodes(op):
    """As on arrays, bit for bit, also by a graph from a file; every other op has constants beside the first node."""
    row = ROWS[ON_NODES[op]]
    given = (row.args, row.kwargs)
    arrays = [np.asarray(x) for x in kf.tree.leaves(given) if is_array(x)]
    if zlib.crc32(op.encode()) % 2 and not any(x.dtype.kind == "c" for x in arrays):
        arrays, fixed = arrays[:1], arrays[1:]
    else:
        fixed = []
    nodes = [nn.Input(batch_shape=x.shape, dtype=x.dtype.name) for x in arrays]
    net = nn.Graph(nodes, call(ops, row, *filled(given, iter([*nodes, *fixed]))))
    params, state = net.init(0, *arrays)
    again = from_config("layer", json.loads(json.dumps(to_config("layer", net))))
    want = flat(call(ops, row, *filled(given, iter([*arrays, *fixed]))))
    for graph in (net, again):
        got = flat(graph.apply(params, *arrays, state=state)[0])
        assert [x.dtype for x in got] == [x.dtype for x in want]
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)


def alone(i):
    """Arguments of a row, its arrays as samples without a number of them, and those for the first sample; or None."""
    row = ROWS[i]
    given = (row.args, row.kwargs)
    arrays = [np.asarray(x) for x in kf.tree.leaves(given) if is_array(x)]
    rank = max((x.ndim for x in arrays), default=0)
    n = max((x.shape[0] for x in arrays if x.ndim == rank), default=1) if rank else 1
    if n == 1 or row.name not in OPS:
        return None
    batched = [x.ndim == rank and x.shape[0] == n for x in arrays]
    specs = [kf.Spec((None, *x.shape[1:]) if b else x.shape, x.dtype) for x, b in zip(arrays, batched, strict=True)]
    first = [x[:1] if b else x for x, b in zip(arrays, batched, strict=True)]
    return [filled(given, iter(xs)) for xs in (specs, arrays, first)]


def apart(i):
    """Whether a graph takes the function of a row for one of each sample by itself."""
    specs = (alone(i) or [None])[0]
    if specs is None or not separates(ROWS[i].name, *specs):
        return False
    try:
        call(ops, ROWS[i], *specs)
    except kf.KfuncError:  # `where` of one array is no function of shapes, so no graph has it
        return False
    return True


APART = list(filter(apart, range(len(ROWS))))


def test_many_ops_compute_samples_by_themselves():
    assert len({ROWS[i].name for i in APART}) > 100


@pytest.mark.parametrize("i", APART, ids=[IDS[i] for i in APART])
def test_samples_stand_alone(i):
    """So a batch may be filled up. Vectorised and scalar code of NumPy may differ in the last bit."""
    _, arrays, first = alone(i)
    whole, one = (flat(call(ops, ROWS[i], *xs)) for xs in (arrays, first))
    for a, b in zip(whole, one, strict=True):
        np.testing.assert_allclose(b, a[:1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("op", [op for op, why in NOT_NODES.items() if why == "takes functions"])
def test_functions_of_functions_refuse_nodes(op):
    row = next(row for row in ROWS if row.name == op)
    given = (row.args, row.kwargs)
    nodes = [nn.Input(batch_shape=np.shape(x)) for x in kf.tree.leaves(given) if is_array(x)]
    with pytest.raises(kf.errors.GraphError, match="node of a graph has no value"):
        call(ops, row, *filled(given, iter(nodes)))


# -- compiled --------------------------------------------------------------------------------------------------------

FIRST = {
    row.name: i
    for i, row in reversed(list(enumerate(ROWS)))
    if row.jit is True and any(map(is_array, kf.tree.leaves((row.args, row.kwargs))))
}
"""The row that is compiled, for each function."""

NOT_IN_OPENVINO = {
    "cholesky": "no factorisation of matrices",
    "det": "no factorisation of matrices",
    "eig": "no factorisation of matrices",
    "eigh": "no factorisation of matrices",
    "jvp": "no differentiation",
    "logdet": "no factorisation of matrices",
    "lstsq": "no factorisation of matrices",
    "matrix_rank": "no factorisation of matrices",
    "polar": "no complex numbers",
    "pinv": "no factorisation of matrices",
    "qr": "no factorisation of matrices",
    "slogdet": "no factorisation of matrices",
    "svd": "no factorisation of matrices",
    "vectorize": "no vmap",
    "vectorized_map": "no vmap",
    "view": "no bits of arrays",
    "view_as_complex": "no complex numbers",
    "while_loop": "no loop over what is not known yet",
}
"""What OpenVINO has no operation for; each raises an `UnsupportedError` that says so."""


@pytest.mark.parametrize(
    ("name", "op"),
    [
        pytest.param(name, op, marks=getattr(pytest.mark, name))
        for name, share in (("torch", 2), ("tensorflow", 1), ("openvino", 1))
        for op in FIRST
        if chosen(share, op)
    ],
)
def test_compiled(name, op):
    """JAX's are compiled above. PyTorch: as one graph, run as it is; what Inductor does is tested with the layers."""
    row = ROWS[FIRST[op]]
    given = (row.args, row.kwargs)

    def fun(*arrays):
        return call(ops, row, *filled(given, iter(arrays)))

    if name == "torch":
        torch = importlib.import_module("torch")
        torch.compiler.reset()
        compiled = torch.compile(fun, fullgraph=True, backend="eager")
    else:
        compiled = kf.jit(fun)
    arrays = on(name, [x for x in kf.tree.leaves(given) if is_array(x)])
    if name == "openvino" and op in NOT_IN_OPENVINO:
        with pytest.raises(kf.errors.UnsupportedError):
            compiled(*arrays)
    else:
        close(flat(compiled(*arrays)), oracle(FIRST[op])[0], row)


@pytest.mark.parametrize("i", [i for i in range(len(ROWS)) if chosen(6, "bfloat16", IDS[i])], ids=lambda i: IDS[i])
def test_bfloat16_on_numpy(i):
    """NumPy has no such dtype by itself, and files bring arrays of it: an op computes, or raises an error of ours."""
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    row = ROWS[i]
    args, kwargs = kf.tree.map(
        lambda x: x.astype(bfloat16) if getattr(x, "dtype", None) == np.float32 else x, (row.args, row.kwargs)
    )
    with contextlib.suppress(kf.errors.KfuncError), np.errstate(all="ignore"):
        call(ops, row, args, kwargs)
