"""Nodes of a graph compute; beside the rows in `layers_table.py` (`Graph/ops`) and `test_keras_ops.py` (every op)."""

from __future__ import annotations

import importlib
import json
import operator

import numpy as np
import pytest
from backends import COMPILING, EAGER

import kfunc as kf
from kfunc import nn, ops
from kfunc.registry import from_config, to_config

EPS = float(np.finfo(np.float32).eps)
RNG = np.random.default_rng(2)
X = RNG.normal(size=(5, 4)).astype(np.float32)
I = RNG.integers(1, 9, (5, 4)).astype(np.int32)  # noqa: E741
ROW = np.array([1.5, -2.0, 0.5, 3.0])

# -- layers of arrays that an op made ----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", EAGER)
def test_a_layer_of_an_array_that_an_op_made(backend, tmp_path):
    """As Keras's users embed positions. Its weights are those of the network, and are trained."""
    length = 1500 if backend in ("jax", "torch") else 4  # the longer array is a part of the state
    ids = nn.Input((length,), dtype="int32")
    scale = nn.Dense(3, use_bias=False, name="scale")(ops.ones((1, 2)))
    positions = nn.Embedding(length, 3, name="positions")(ops.arange(0, length, 1))
    model = kf.Model(ids, nn.Embedding(9, 3, name="tokens")(ids) + positions * scale)
    assert positions.shape == (length, 3)
    x = np.arange(2 * length, dtype=np.int32).reshape(2, length) % 9
    model.compile("sgd", "mse")
    model.fit(x, np.ones((2, length, 3), np.float32), batch_size=1, verbose=0, backend=backend)

    params = kf.tree.map(kf.to_numpy, model.train_state.params)
    tokens, table = params["tokens"]["embeddings"], params["positions"]["embeddings"]
    want = tokens[x] + table * (np.ones((1, 2), np.float32) @ params["scale"]["kernel"])
    np.testing.assert_allclose(kf.to_numpy(model.predict(x, verbose=0)), want, rtol=0, atol=8 * EPS)
    first = model.net.init(model.train_state.key, kf.Spec((None, length), "int32"))[0]
    assert (np.abs(kf.to_numpy(first["positions"]["embeddings"]) - table) > 0).any()
    if length == 4:
        model.save(tmp_path / "m.safetensors")
        same = kf.Model.load(tmp_path / "m.safetensors").predict(x, verbose=0)
        np.testing.assert_allclose(same, want, rtol=0, atol=8 * EPS)
        with pytest.raises(kf.errors.ArgumentError, match="positions is called on an array alone"):
            model.save(tmp_path / "m.keras")


# -- operators: a graph is what the function does to NumPy's arrays ----------------------------------------------------

OPERATORS = {
    "x + y": lambda x, i: x + x,
    "x - 1": lambda x, i: x - 1,
    "1 - x": lambda x, i: 1 - x,
    "2.5 * x": lambda x, i: 2.5 * x,
    "x / 3": lambda x, i: x / np.float32(3),
    "2 / x": lambda x, i: np.float32(2) / x,
    "i // 2": lambda x, i: i // 2,
    "i % 3": lambda x, i: i % 3,
    "x**2": lambda x, i: x**2,
    "x @ y": lambda x, i: x @ np.diag(ROW.astype(np.float32)),
    "y @ x": lambda x, i: np.ones((3, 5), np.float32) @ x,
    "array * x": lambda x, i: ROW.astype(np.float32) * x,
    "x * array": lambda x, i: x * ROW.astype(np.float32),
    "-x": lambda x, i: -x,
    "+x": lambda x, i: +x,
    "abs": lambda x, i: abs(x),
    "round": lambda x, i: x.round() if isinstance(x, np.ndarray) else round(x),
    "x > 0": lambda x, i: x > 0,
    "x < 0": lambda x, i: x < 0,
    "x >= y": lambda x, i: x >= x,
    "i == 3": lambda x, i: i == 3,
    "i != 3": lambda x, i: i != 3,
    "and": lambda x, i: (x > 0) & (x < 1),
    "or, not": lambda x, i: ~(x > 0) | (i > 3),
    "xor": lambda x, i: (x > 0) ^ (i > 3),
    "bits": lambda x, i: (i & 3) | (i << 2),
    "x[:, 0]": lambda x, i: x[:, 0],
    "x[..., -1]": lambda x, i: x[..., -1],
    "x[:, 1:3]": lambda x, i: x[:, 1 : np.int64(3)],
    "x[:, ::-1]": lambda x, i: x[:, ::-1],
    "x[:, None]": lambda x, i: x[:, None],
    "x[1]": lambda x, i: x[1],
    "reshape": lambda x, i: x.reshape(-1, 2, 2),
}


def graph_of(fun, batch=None):
    x, i = nn.Input((4,), batch), nn.Input((4,), batch, dtype="int32")
    return nn.Graph([x, i], fun(x, i))


COMPLEX = {
    "complex array": lambda x: ops.view_as_real(x * (ROW + 1j)),
    "complex64 array": lambda x: ops.real(x + (ROW - 2j).astype(np.complex64)),
    "complex number of NumPy": lambda x: ops.imag(x * np.complex64(1 + 2j)),
    "complex number": lambda x: ops.imag(x * 2j),
}


@pytest.mark.parametrize("fun", COMPLEX.values(), ids=COMPLEX)
def test_complex_numbers(fun, tmp_path):
    x = nn.Input((4,))
    model = kf.Model(x, fun(x)).build()
    model.save(tmp_path / "model.safetensors")
    for each in (model, kf.Model.load(tmp_path / "model.safetensors")):
        got = each.predict(X)
        assert got.dtype == np.float32  # an array beside nodes does not widen them
        np.testing.assert_allclose(got, fun(X), rtol=8 * EPS, atol=EPS)


@pytest.mark.parametrize("fun", OPERATORS.values(), ids=OPERATORS)
def test_operators(fun):
    got, _ = graph_of(fun, 5).apply({}, X, I)
    want = fun(X, I)
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_allclose(got, want, rtol=4 * EPS)


# -- arrays in between -------------------------------------------------------------------------------------------------

LARGE = RNG.normal(size=(4, 300))
CONSTANTS = {"float64": ROW, "int64": np.arange(4), "bool": ROW > 0, "0-d": ROW[0]}


@pytest.mark.parametrize("given", CONSTANTS.values(), ids=CONSTANTS)
def test_constants_do_not_widen(given):
    """As beside arrays: floats take the precision of the node; NumPy's integers are int32 where that holds them."""
    for x, dtype in (("float32", "float32"), ("float16", "float16")):
        node = nn.Input((4,), dtype=x)
        assert kf.arrays.dtype_name((node + given).dtype) == dtype
    assert "64" not in kf.arrays.dtype_name((nn.Input((4,), dtype="int32") + given).dtype)


@pytest.mark.parametrize("name", EAGER)
@pytest.mark.parametrize("of", ["numpy", "torch", "jax"])
def test_a_large_constant_is_in_the_state_and_in_the_file(name, of, tmp_path):
    importlib.import_module(of)
    x = nn.Input((4,))
    net = nn.Graph(x, nn.Dense(2)(x @ kf.asarray(LARGE.astype(np.float32), backend=of)))
    model = kf.Model(net).build(kf.Spec((None, 4)), backend=name)
    np.testing.assert_array_equal(kf.to_numpy(model.train_state.state["constant_array"]["values"]), LARGE.astype("f4"))
    assert "constant_array" not in model.train_state.params
    want = model.predict(X)
    model.save(tmp_path / "m.safetensors")
    assert len(json.dumps(to_config("layer", net))) < 5000
    np.testing.assert_array_equal(kf.Model.load(tmp_path / "m.safetensors", name).predict(X), want)


@pytest.mark.parametrize("name", ["numpy", "jax", "torch", "tensorflow"])
def test_arrays_of_others_on_the_left(name):
    array = kf.asarray(ROW.astype(np.float32), backend=name)
    for apply in (operator.mul, operator.sub):
        got, _ = graph_of(lambda x, i, apply=apply: apply(array, x)).apply({}, X, I)
        np.testing.assert_allclose(got, apply(ROW.astype(np.float32), X), rtol=4 * EPS)


@nn.layer
class SumOfTwo(nn.Layer):
    def forward(self, s, x, y):
        return x + y


def test_arrays_beside_the_nodes_of_layers():
    """Any layer's, and not only those of ops; a file holds them."""
    x = nn.Input((4,))
    net = nn.Graph(x, SumOfTwo()(x, y=ROW))
    again = from_config("layer", json.loads(json.dumps(to_config("layer", net))))
    for graph in (net, again):
        np.testing.assert_allclose(graph.apply({}, X)[0], X + ROW.astype(np.float32), rtol=4 * EPS)


# -- what a graph of ops is to the rest --------------------------------------------------------------------------------


def test_names_are_those_of_keras():
    x = nn.Input((4,))
    y = abs(-(x * 2 + x)[:, 1:] / 3) * 2
    net = nn.Graph(x, ops.concatenate([y, x], axis=-1))
    names = ["multiply", "add", "get_item", "negative", "true_divide", "absolute", "multiply_1", "concatenate"]
    assert [name for name, _ in net.children()] == names


def test_ops_compute_in_the_precision_of_their_inputs():
    x = nn.Input((4,))
    net = nn.Graph(x, [x * 2, nn.Dense(4)(x) * ROW], dtype={"dense|multiply": "mixed_float16"})
    params, state = net.init(0, X)
    a, b = net.apply(params, X, state=state)[0]
    assert (a.dtype, b.dtype) == (np.float32, np.float16)


def test_ops_hand_on_no_mask():
    x = nn.Input((4,), dtype="int32")
    e = nn.Embedding(9, 3, mask_zero=True)(x)
    for out, masked in ((e, True), (e + 1, False), (nn.Add()([e, e]), True)):
        net = nn.Graph(x, out)
        params, state = net.init(0, I)
        assert (net.apply(params, I, state=state, aux=True)[2].mask is not None) is masked


def test_a_config_asks_for_too_much():
    """A number in a file says how much there is to compute while the graph is made, so it has a limit."""
    x = nn.Input((40,))
    text = json.dumps(to_config("layer", nn.Graph(x, ops.diff(x, 17))))
    from_config("layer", json.loads(text))
    with pytest.raises(kf.errors.ArgumentError, match="asks diff for something too large to be safe"):
        from_config("layer", json.loads(text.replace("17", "200000")))


SEPARATE = {
    "elementwise": (True, lambda x: ops.exp(x) * 2 + x),
    "constant": (True, lambda x: x * ROW),
    "inner mean": (True, lambda x: x - ops.mean(x, axis=-1, keepdims=True)),
    "inner item": (True, lambda x: x[:, 1:]),
    "concatenate": (True, lambda x: ops.concatenate([x, x], axis=1)),
    "softmax": (True, lambda x: ops.softmax(x)),
    "mean": (False, lambda x: x - ops.mean(x)),
    "mean over samples": (False, lambda x: x - ops.mean(x, axis=0)),
    "concatenate samples": (False, lambda x: ops.concatenate([x, x])),
    "last item": (True, lambda x: x[..., 0]),
    "parts of samples": (False, lambda x: x[:, 0][..., :2]),
    "items in front": (False, lambda x: ops.reshape(x, (-1, 2, 2, 1))[:, [0], :, [0]]),
    "items in front of samples": (False, lambda x: x[:, None, :, None][:, [0, 0], :, [0, 0]]),
    "turned": (False, lambda x: x[::-1]),
    "all pairs": (False, lambda x: ops.matmul(x, ops.transpose(x))),
    "softmax over samples": (False, lambda x: ops.softmax(x, axis=0)),
    "flat": (False, lambda x: ops.reshape(x, (2, -1))),
    "chosen": (True, lambda x: ops.where(x > 0, x, -1.0)),
    "places": (False, lambda x: ops.where(x > 0)[1]),
    "places, in full": (False, lambda x: ops.where(x > 0, None, x2=None)[1]),
}


@pytest.mark.parametrize(("separate", "fun"), SEPARATE.values(), ids=SEPARATE)
def test_whether_samples_are_computed_apart(separate, fun):
    """If so, a short last batch is filled up, and what it is filled with must not matter."""
    x = nn.Input((4,))
    assert nn.Graph(x, fun(x)).separates_samples() is separate


@pytest.mark.parametrize("name", COMPILING)
def test_programs(name):
    h = nn.Input((4,))
    net = nn.Graph(h, ops.where(nn.Dense(4)(h)[:, :2] > 0, h[:, :2] * ROW[:2], ops.sum(h, axis=-1, keepdims=True)))
    params, state = net.init(0, X)
    want, _ = net.apply(params, X, state=state)
    p, x = kf.to_backend((params, X), name)
    got = kf.jit(lambda p, x: net.apply(p, x)[0])(p, x)
    np.testing.assert_allclose(kf.to_numpy(got), want, rtol=0, atol=16 * EPS)


# -- what a node is not ------------------------------------------------------------------------------------------------

REFUSED = {
    "if": (lambda x: 1 if x > 0 else 2, "kf.ops.where"),
    "and": (lambda x: x > 0 and x < 1, "kf.ops.where"),
    "chained": (lambda x: 0 < x < 1, "kf.ops.where"),
    "in": (lambda x: x in [1, 2], "kf.ops.where"),
    "len": (lambda x: len(x), "x.shape"),
    "iteration": (lambda x: [*x], "kf.ops.unstack"),
    "float": (lambda x: float(x), "compute with the node"),
    "range": (lambda x: range(x), "compute with the node"),
    "slice": (lambda x: x[:, : x[0, 0]], "compute with the node"),
    "NumPy": (lambda x: np.asarray(x), "kf.ops"),
    "values": (lambda x: kf.to_numpy(x), "nn.Lambda"),
    "losses": (lambda x: kf.losses.mean_squared_error(x, x), "nn.Lambda"),
    "map": (lambda x: ops.vectorized_map(lambda row: row, x), "forward of a layer"),
}


@pytest.mark.parametrize(("use", "fix"), REFUSED.values(), ids=REFUSED)
def test_a_node_has_no_value(use, fix):
    with pytest.raises(kf.errors.GraphError, match="A node of a graph has no value yet") as caught:
        use(nn.Input((4,)))
    assert fix in caught.value.fix


def test_errors_name_the_op():
    with pytest.raises(kf.errors.ShapeError) as caught:
        nn.Input((4,)) + nn.Input((3,))
    assert (caught.value.op, caught.value.path) == ("add", None)


FORGED = {
    "no op": {"function": "eval"},
    "none": {"function": None},
}


@pytest.mark.parametrize("config", FORGED.values(), ids=FORGED)
def test_forged_functions(config):
    with pytest.raises(kf.errors.ArgumentError, match="`function` must be the name of a function"):
        from_config("layer", {"class": "Operation", "config": config})


@pytest.mark.parametrize(("function", "args"), [("unstack", [2**40]), ("split", [2**30]), ("extract_patches", [2**20])])
def test_a_file_asks_for_no_endless_graph(function, args):
    size = 2**31 if function == "unstack" else 8
    node = [{"class": "Operation", "category": "layer", "config": {"function": function}}, [{"node": 0}, *args], {}]
    config = {"inputs": [[None, 8, size], "float32"], "nodes": [node], "outputs": {"node": 1}}
    config = {k: {"category": "dict", "config": v} if isinstance(v, dict) else v for k, v in config.items()}
    with pytest.raises(kf.errors.ArgumentError):
        from_config("layer", {"class": "Graph", "config": config})
