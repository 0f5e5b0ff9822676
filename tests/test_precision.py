"""Policies of precision: which dtypes there are where, how near the numbers stay, and what overflow does."""

from __future__ import annotations

import numpy as np
import pytest
from backends import BACKENDS, TRAINING
from catalogue import New
from catalogue_oracle import FILE, IDS, OURS, ROWS, moving, weights
from keras_rows import integers, normal

import kfunc as kf
from kfunc import nn
from kfunc.arrays import dtype_name

pytestmark = pytest.mark.usefixtures("quickly_compiled")

LARGEST = {"bfloat16": 3e38, "float16": 65504.0, "float32": 3e38, "float64": 1e308}
EPS = {"bfloat16": 2.0**-7, "float16": 2.0**-10, "float32": 2.0**-23, "float64": 2.0**-52}
LACKS = {
    "openvino": {"bfloat16"},
    "array_api_strict": {"bfloat16", "float16"},
}
"""Compute dtypes that a backend does not have."""

X = normal(6, 5)
POLICIES = ["mixed_bfloat16", "mixed_float16", "float16", "bfloat16", "float32"]


@nn.layer
class Watch(nn.Layer):
    """Hands on its input, and fails where that has another dtype."""

    wanted: str = "float32"

    def forward(self, s, x):
        assert dtype_name(x.dtype) == self.wanted
        return x


def network(policy, **options):
    half = policy.removeprefix("mixed_")
    return nn.Sequential(
        [
            nn.Dense(8, "tanh", name="first"),
            Watch(half),
            nn.LayerNormalization(),
            nn.BatchNormalization(),
            Watch(half),
            nn.Dense(3, dtype="float32", name="last"),
            Watch("float32", dtype="float32"),
        ],
        dtype=policy,
        **options,
    )


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", BACKENDS)
def test_dtypes_and_numbers(name, policy):
    net = network(policy)
    half = policy.removeprefix("mixed_")
    kept = "float32" if policy.startswith("mixed") else half
    params, state = net.init(0, kf.Spec((None, 5)), backend="jax")
    assert {dtype_name(x.dtype) for x in kf.tree.leaves(params["first"])} == {kept}
    assert {dtype_name(x.dtype) for x in kf.tree.leaves(params["last"])} == {"float32"}
    assert {dtype_name(x.dtype) for x in kf.tree.leaves(state)} <= {kept}
    if half in LACKS.get(name, ()):
        plain, _ = network("float32").init(0, kf.Spec((None, 5)), backend=name)
        with pytest.raises(kf.errors.UnsupportedError, match="policy"):
            net.apply(plain, kf.asarray(X, backend=name))
        return
    if policy == "bfloat16":
        return  # parameters of that dtype go through no NumPy array
    p, s, x = kf.to_backend((params, state, X), name)
    y, _ = net.apply(p, x, state=s)
    plain = kf.tree.map(lambda x: kf.to_numpy(x).astype(np.float32), (params, state))
    want, _ = network("float32").apply(plain[0], X, state=plain[1])
    # Each of five layers rounds; the sums of Dense are eight long.
    np.testing.assert_allclose(kf.to_numpy(y), want, rtol=0, atol=5 * 8**0.5 * EPS[half] * np.abs(want).max())


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", TRAINING)
def test_gradients_are_those_of_the_parameters_kept(name, policy):
    if policy.removeprefix("mixed_") in LACKS.get(name, ()):
        return
    net, plain = network(policy), network("float32")
    params, state = net.init(0, X)
    p, s, x = kf.to_backend((params, state, X), name)

    @kf.arrays.native
    def total(y):
        return kf.namespace(y).sum(y * y)

    def gradient(net, p, s, x):
        return kf.grad(lambda p: total(net.apply(p, x, state=s, train=True)[0]))(p)

    got, want = gradient(net, p, s, x), gradient(plain, params, state, X)
    eps = EPS[policy.removeprefix("mixed_")]
    for a, b in zip(kf.tree.leaves(got), kf.tree.leaves(want), strict=True):
        assert dtype_name(a.dtype) == "float32"
        np.testing.assert_allclose(kf.to_numpy(a), b, rtol=0, atol=64 * eps * max(1, np.abs(b).max()))


KEPT = {"core-ReversibleEmbedding-untied": "float32"}
"""Dtypes of outputs that a layer's own argument says."""


@pytest.mark.torch
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("i", [i for i, row in enumerate(ROWS) if row.kind == "layer"], ids=lambda i: IDS[i])
def test_every_layer_computes_in_half_precision(i, policy):
    """Its outputs have the policy's dtype and come near Keras's, its state and gradients those of what is kept."""
    row, half = ROWS[i], policy.removeprefix("mixed_")
    net = New(row.new.name, *row.new.args, **{**row.new.kwargs, "dtype": policy}).build(OURS)
    params, state, args, options = kf.to_backend((*weights(row), row.args, row.options), "torch")

    def total(params):
        out, new = net.apply(params, *args, state=state, train=row.train, **options)
        leaves = [y for y in kf.tree.leaves(out) if y.dtype.is_floating_point]
        return sum([y.float().sum() for y in leaves]), (out, new)

    gradients, (out, new) = kf.grad(total, has_aux=True)(params) if params else ({}, total(params)[1])
    for x, y in zip(moving((params, state))[0], moving((gradients, new))[0], strict=True):
        assert x.dtype == y.dtype
    for x, want in zip(kf.tree.leaves(out), FILE.answer(i)["value"], strict=True):
        if want.dtype.kind != "f":
            np.testing.assert_array_equal(kf.to_numpy(x), want)
            continue
        assert dtype_name(x.dtype) == KEPT.get(IDS[i], half)
        # Infinite is what the policy's dtype has no number for.
        fits = np.abs(want) < LARGEST[dtype_name(x.dtype)]
        want = np.where(fits, want, np.copysign(np.inf, want))
        atol = EPS[half] * np.sqrt(row.n) * row.condition * np.abs(want[fits]).max(initial=0)
        np.testing.assert_allclose(kf.to_numpy(x), want, rtol=0, atol=atol)


@pytest.mark.parametrize("which", ["weights", "all"])
@pytest.mark.parametrize("i", [i for i, row in enumerate(ROWS) if row.kind == "layer"], ids=lambda i: IDS[i])
def test_leaves_of_bfloat16_on_numpy(i, which):
    """NumPy has no such dtype by itself, and files and other frameworks bring arrays of it all the same."""
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    row = ROWS[i]
    net = New(row.new.name, *row.new.args, **row.new.kwargs).build(OURS)
    half = kf.tree.map(
        lambda x: x.astype(bfloat16) if getattr(x, "dtype", None) == np.float32 else x,
        (weights(row), row.args, row.options),
    )
    (params, state), args, options = half
    args, options = (row.args, row.options) if which == "weights" else (args, options)
    out, new = net.apply(params, *args, state=state, train=row.train, **options)
    assert [x.dtype for x in kf.tree.leaves(new)] == [x.dtype for x in kf.tree.leaves(state)]
    for x, want in zip(kf.tree.leaves(out), FILE.answer(i)["value"], strict=True):
        atol = EPS["bfloat16"] * np.sqrt(row.n) * row.condition * np.abs(want).max(initial=0)
        np.testing.assert_allclose(x.astype(np.float64), want, rtol=0, atol=atol)


LEARNING = {
    "Dense": nn.Dense(3, "gelu"),
    "RMSNormalization": nn.RMSNormalization(),
    "LayerNormalization": nn.LayerNormalization(),
    "Conv1D": nn.Conv1D(3, 2),
    "GRU": nn.GRU(3),
    "attention": nn.Sequential([nn.Dense(4), nn.RotaryEmbedding(), nn.Softmax()]),
}


@pytest.mark.parametrize("kind", LEARNING)
def test_gradients_of_bfloat16_on_numpy(kind):
    """Also where the step is recorded, and under a policy that casts such arrays."""
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    layer, x = LEARNING[kind], normal(2, 4, 6)
    params, state = layer.init(0, x)

    @kf.arrays.native
    def squares(y):
        return kf.namespace(y).sum(y * y)

    def slopes(params, x):
        return kf.grad(lambda p: squares(layer.apply(p, x, state=state)[0]))(params)

    want = slopes(params, x)
    half = kf.tree.map(lambda a: a.astype(bfloat16), params)
    for got in (slopes(half, x.astype(bfloat16)), kf.jit(slopes)(half, x.astype(bfloat16))):
        for a, b in zip(kf.tree.leaves(got), kf.tree.leaves(want), strict=True):
            assert dtype_name(a.dtype) == "bfloat16"
            # Weights, inputs, the output and its square are rounded, before sums of up to 48 numbers.
            np.testing.assert_allclose(a.astype(np.float32), b, rtol=0, atol=8 * 2.0**-8 * np.abs(b).max())
    net = kf.replace(layer, dtype="float32")
    out, _ = net.apply(half, x.astype(bfloat16), state=state)
    assert out.dtype == np.float32


FORMS = {
    "far": lambda x: (1000 + x).astype(np.float32),
    "large": lambda x: (x * (3e4 / max(np.abs(x).max(initial=0), 1e-9))).astype(np.float32),
}
"""Inputs whose differences half precision does not hold, and inputs whose sums and squares it does not hold."""

INSIDE = {
    "attention-Attention-masks": "scores of 1000 * 1000 differ by less than the rounding of the query",
    "attention-MultiHeadAttention": "the same",
    "attention-GroupQueryAttention": "the same",
    "recurrent-LSTM-backwards": "activations without a bound, whose numbers inside exceed those of float16",
    "recurrent-GRU-backwards": "the same",
    "recurrent-LSTMCell-functions": "the same",
    "recurrent-GRUCell-functions": "the same",
    "recurrent-ConvLSTM2D": "the same",
}
"""Layers whose products inside are as long as their inputs, so that rounded inputs change everything."""


def told(i, name, policy, form):
    """The outputs of row `i` in float64, of inputs in this form, and a function that gives those under the policy."""
    row = ROWS[i]
    args = kf.tree.map(lambda x: FORMS[form](x) if getattr(x, "dtype", None) == np.float32 else x, row.args)
    params, state = weights(row)

    def outputs(dtype, given):
        net = New(row.new.name, *row.new.args, **{**row.new.kwargs, "dtype": dtype}).build(OURS)
        params, state, args, options = given
        return kf.tree.leaves(net.apply(params, *args, state=state, train=row.train, **options)[0])

    def wide(x):
        return x.astype(np.float64) if getattr(x, "dtype", None) == np.float32 else x

    given = (params, state, args, row.options)
    return outputs("float64", kf.tree.map(wide, given)), lambda: outputs(policy, kf.to_backend(given, name))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [p for p in TRAINING if p.values[0] in ("numpy", "torch")])
@pytest.mark.parametrize("i", [i for i, row in enumerate(ROWS) if row.kind == "layer"], ids=lambda i: IDS[i])
def test_nothing_is_rounded_before_it_is_subtracted_or_summed(i, name, form):
    """Rounded are the inputs, or the outputs of a layer that subtracts; and the factors of products."""
    if any(IDS[i].startswith(name) for name in INSIDE):
        return
    half = "float16" if name == "numpy" or (i + len(form)) % 2 else "bfloat16"
    want, outputs = told(i, name, f"mixed_{half}", form)
    largest = [np.abs(y).max(initial=0) for y in want]
    if max(largest) > float(np.finfo(np.float16).max) / 2:
        return  # float16 does not hold them
    for x, y, size in zip(outputs(), want, largest, strict=True):
        # Each of n factors is rounded, and the result, which may be too small for float16.
        atol = 2 * EPS[half] * np.sqrt(ROWS[i].n) * size + 2.0**-24
        np.testing.assert_allclose(kf.to_numpy(x).astype(np.float64), y, rtol=0, atol=atol)


def test_a_policy_for_each_path():
    inner = nn.Sequential([nn.Dense(4, name="a"), Watch("float16"), nn.Dense(4, name="b")], name="encoder")
    net = nn.Sequential(
        [inner, Watch("float32"), nn.Dense(2, name="head"), Watch("float32")],
        dtype={"encoder/": "mixed_float16", "": "float32"},
    )
    params, _ = net.init(0, X)
    y, _ = net.apply(params, X)
    assert y.dtype == np.float32
    config = kf.registry.to_config("layer", net)
    again = kf.registry.from_config("layer", config)
    np.testing.assert_array_equal(again.apply(params, X)[0], y)


@pytest.mark.parametrize("bad", ["float33", "mixed_float64", "int8", 16])
def test_what_is_no_policy(bad):
    with pytest.raises(kf.errors.ArgumentError, match="policy"):
        nn.Dense(2, dtype=bad)


def overflowing(scale):
    """A network in float16 whose gradients overflow at loss scales of `65504 / scale` and more."""
    net = nn.Sequential([nn.Dense(4, name="a"), nn.Dense(1, use_bias=False, name="b")], dtype="mixed_float16")
    model = kf.Model(net)
    model.compile(kf.optim.LossScaleOptimizer(kf.optim.sgd(1e-3), initial_scale=scale), "mse")
    return model


@pytest.mark.parametrize("name", [p for p in TRAINING if p.values[0] != "array_api_strict"])
def test_overflow_skips_the_step_and_says_so(name):
    x, y = normal(64, 5), normal(64, 1)
    model = overflowing(2.0**24)  # more than float16's largest number
    model.build(kf.Spec((None, 5)), backend=name)
    before = kf.tree.map(kf.to_numpy, model.train_state.params)
    model.train_on_batch(x, y)
    for a, b in zip(kf.tree.leaves(before), kf.tree.leaves(model.train_state.params), strict=True):
        np.testing.assert_array_equal(a, kf.to_numpy(b))
    history = model.fit(x, y, batch_size=8, epochs=4, verbose=0).history
    assert history["skipped_steps"][0] > 0
    assert history["skipped_steps"][-1] == 0
    assert np.isfinite(history["loss"]).tolist() == [skipped < 8 for skipped in history["skipped_steps"]]
    assert history["loss"][-1] < history["loss"][1]


def test_a_loss_that_is_never_finite_stops_training():
    x, y = normal(8, 5), normal(8, 1)
    x[3, 2] = np.nan
    model = overflowing(8.0)
    with pytest.raises(kf.errors.NonFiniteError):
        model.fit(x, y, batch_size=8, epochs=8, verbose=0)
    assert all(np.isfinite(v).all() for v in kf.tree.leaves(model.train_state.params))


def test_the_loss_is_scaled_where_gradients_would_vanish():
    for policy, scaled in (("mixed_float16", True), ("mixed_bfloat16", False), (None, False)):
        model = kf.Model(nn.Sequential([nn.Dense(2, dtype=policy)]))
        model.compile("sgd", "mse")
        assert hasattr(model.optimizer, "loss_scale") == scaled
        model.compile("sgd", "mse", auto_scale_loss=False)
        assert not hasattr(model.optimizer, "loss_scale")


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_it_trains(name):
    x, y = normal(64, 5), integers(0, 3, 64)
    loss = {}
    for policy in ("mixed_bfloat16", None):
        model = kf.Model(nn.Sequential([nn.Dense(16, "relu"), nn.Dense(3)], dtype=policy))
        model.compile("adam", kf.losses.SparseCategoricalCrossentropy(from_logits=True))
        loss[policy] = model.fit(x, y, epochs=5, verbose=0, backend=name).history["loss"]
    np.testing.assert_allclose(loss["mixed_bfloat16"], loss[None], rtol=0.03)
