"""Every lowering against its reference: values and gradients, on every backend.

The references run in float64 on array-api-strict, which has no lowerings; what they mean is tested with the layers,
against oracles written another way. A new lowering is tested by existing: an op without a case fails.
"""

from __future__ import annotations

import functools
import inspect
import math

import keras_oracle
import numpy as np
import pytest
from backends import BACKENDS, TRAINING, missing

import kfunc as kf
from kfunc import ops
from kfunc.ops._op import OPS

pytestmark = pytest.mark.usefixtures("quickly_compiled")

EPS = float(np.finfo(np.float32).eps)
RNG = np.random.default_rng(5)


def normal(*shape, scale=1.0):
    return (scale * RNG.normal(size=shape)).astype(np.float32)


def away(*shape):
    """Normal numbers with a gap around 0, where some functions have a kink."""
    x = normal(*shape)
    return x + np.copysign(np.float32(0.05), x)


def distinct(*shape):
    """Numbers of which no two are near each other, so that a maximum is one element's."""
    n = math.prod(shape)
    return (RNG.permutation(n).reshape(shape) / np.float32(n / 4) - 2).astype(np.float32)


MASK = RNG.random((2, 1, 5, 6)) > 0.4
MASK[0, 0, 0] = False
IDS = RNG.integers(0, 7, (3, 4)).astype(np.int32)
X = normal(2, 7, 6, 4)
WIDE = np.concatenate([normal(4, 5), 30 * away(2, 5)])


def adam_arguments():
    sizes = ((3, 4), (5,), ())
    gradients, means, roots = ([normal(*s) for s in sizes] for _ in range(3))
    arrays = (*gradients, *means, *(r * r + 0.1 for r in roots))
    return np.asarray(3, np.int32), -0.3, 0.9, 0.99, 1e-3, *(np.asarray(a, np.float32) for a in arrays)


def _cached():
    """A token at a time, prompts, groups of heads, beyond the end, masks that hide all, and what no kernel does."""
    one, cache, values = normal(2, 1, 4, 3), normal(2, 6, 2, 3), normal(2, 6, 2, 5)
    seen = np.array([[1, 0, 1, 1, 1, 1], [0, 0, 1, 0, 0, 1]], bool)[:, None, None]
    bias = normal(1, 4, 1, 6)
    cases = [
        (one, 3),
        (one, 3, None, seen),
        (one, 1, None, seen),
        (one, 6),
        (one, 4, None, seen, 0.3, 3),
        (one, 4, bias, None, None, None, 0.7),
        (normal(2, 3, 4, 3), 0),
        (normal(2, 3, 4, 3), 2, None, seen),
    ]
    cases = [(q, cache, values, i, *more) for q, i, *more in cases]
    batch = [x.repeat(2, 0) for x in (one, cache, values)]
    cases += [
        (*batch, 4, None, np.eye(4, 6, 1, dtype=bool)[:, None]),  # of heads, as many as there are rows
        (*batch, 4, None, np.array([1, 0, 1, 1, 1, 1], bool)),
        (*[x[:0] for x in batch], 3),
        (one, cache, values, -1),
    ]
    return [("cached_attention", (*x[:3], np.asarray(x[3], np.int32), *x[4:]), {}, 18) for x in cases]


def _recurrences():
    """With masks that begin, end and are wholly False, and with what no kernel does."""
    x, h, c = normal(4, 5, 2), normal(4, 4), normal(4, 4)
    lstm, gru, simple = ((x, normal(2, 4 * n), normal(4, 4 * n)) for n in (4, 3, 1))
    mask = np.array([[1, 0, 1, 1, 0], [0, 0, 1, 0, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)
    usual, zeros = (ops.tanh, ops.sigmoid), {"zero_output_for_mask": True}
    return [
        ("lstm", (*lstm, normal(16), h, c, False, *usual, mask), {}, 30),
        ("lstm", (*lstm, normal(16), None, None, True, *usual, mask), zeros, 30),
        ("lstm", (*lstm, None, h, None, True, ops.relu, ops.sigmoid, None, normal(4, 4, 4)), {"unroll": True}, 30),
        ("gru", (*gru, normal(2, 12), h, False, True, *usual, mask), {}, 30),
        ("gru", (*gru, normal(12), None, True, False, *usual, mask), zeros, 30),
        ("gru", (*gru, normal(12), h, False, False, *usual, mask, normal(3, 4, 4)), {"unroll": True}, 30),
        ("gru", (*gru, None, None, False, True, *usual, None, normal(3, 4, 4)), {}, 30),
        ("simple_rnn", (*simple, normal(4), h), {}, 20),
        ("simple_rnn", (*simple, None, None, True, ops.relu), {}, 20),
        ("simple_rnn", (*simple, normal(4), None, True, ops.tanh, mask), {}, 20),
        ("simple_rnn", (*simple, normal(4), h, False, ops.tanh, mask, normal(1, 4, 4)), zeros, 20),
    ]


SEEN = np.array([[1, 0, 1], [0, 1, 1]], bool)[..., None]
large = normal(20, 10, 100)  # where one looks at products first

# Name of the op, positional arguments, keyword arguments, longest reduction.
CASES = [
    ("adam", adam_arguments(), {}, 1),
    ("adam", adam_arguments(), {"corrected": False}, 1),
    ("adaptive_average_pool", (X, (3, 4)), {}, 24),
    ("adaptive_average_pool", (normal(2, 3, 7), 2), {"data_format": "channels_first"}, 7),
    ("adaptive_max_pool", (distinct(2, 7, 6, 3), (3, 4)), {}, 4),
    ("all_finite", (X, np.float32([1, np.nan]), np.float32([np.inf]), np.ones((), np.float32)), {}, 1),
    ("all_finite", (large, X), {}, 1),
    ("all_finite", (large, np.where(large == large.max(), np.nan, large), np.full((200, 100), 1e38, "f"), X), {}, 1),
    ("all_finite", (large, np.where(large == large.min(), -np.inf, large), large.reshape(-1), np.float32([1])), {}, 1),
    ("attention_scores", (normal(2, 5, 2, 3), normal(2, 6, 2, 3), None, MASK), {}, 9),
    ("average_pool", (X, 2), {}, 4),
    ("average_pool", (X, (3, 2), 2, "same"), {}, 6),
    ("average_pool", (normal(2, 4, 7), 3), {"padding": "same", "data_format": "channels_first"}, 3),
    ("batch_normalization", (X, normal(4), normal(4) ** 2 + 0.1, -1, normal(4), normal(4)), {}, 84),
    ("batch_normalization", (X, normal(7), normal(7) ** 2 + 0.1, 1), {}, 84),
    *_cached(),
    ("conv", (X, normal(3, 3, 4, 6)), {"padding": "same"}, 84),
    ("conv", (X, normal(3, 3, 4, 6), 1, "same", "channels_last", 1, normal(6)), {}, 84),
    ("conv", (X, normal(3, 3, 7, 6), 1, "same", "channels_first", 1, normal(6)), {}, 84),
    ("conv", (X, normal(3, 2, 4, 6)), {"strides": (2, 1)}, 84),
    ("conv", (X, normal(2, 2, 2, 6)), {"padding": "same", "strides": 2}, 84),
    ("conv", (X, normal(3, 3, 1, 8)), {"dilation_rate": 2, "padding": "same"}, 84),
    ("conv", (X, normal(2, 2, 4, 6)), {"strides": 2, "dilation_rate": (2, 3), "padding": "same"}, 84),
    ("conv", (X, normal(2, 2, 1, 8)), {"strides": 2, "dilation_rate": 2}, 84),
    ("conv", (normal(2, 9, 4), normal(3, 4, 5)), {"strides": 2, "dilation_rate": 2, "padding": "causal"}, 28),
    ("conv", (normal(2, 3, 8), normal(3, 3, 5)), {"data_format": "channels_first", "padding": "same"}, 16),
    ("conv", (normal(1, 4, 5, 4, 2), normal(2, 3, 2, 2, 3)), {"strides": 2}, 24),
    ("conv", (normal(2, 7, 4), normal(3, 4, 5)), {"padding": "causal", "dilation_rate": 2}, 28),
    ("conv", (X, normal(2, 3, 4, 5)), {"padding": "causal", "strides": 2}, 84),
    ("conv", (normal(1, 4, 5, 2), normal(2, 2, 2, 1)), {"padding": "same"}, 20),
    ("conv", (normal(1, 4, 5, 1), normal(2, 2, 1, 3)), {}, 20),
    ("conv_transpose", (normal(1, 4, 5, 1), normal(2, 2, 3, 1)), {}, 20),
    ("conv_transpose", (normal(1, 4, 5, 2), normal(2, 2, 1, 2)), {}, 20),
    ("conv_transpose", (X, normal(3, 3, 5, 4)), {"strides": 2, "padding": "same"}, 84),
    ("conv_transpose", (X, normal(2, 3, 5, 4)), {"strides": 2, "dilation_rate": 2}, 84),
    ("conv_transpose", (X, normal(2, 2, 5, 4)), {"strides": 3}, 84),
    ("conv_transpose", (X, normal(3, 2, 5, 4), 2, "same", None, None, 1, normal(5)), {}, 84),
    ("conv_transpose", (X, normal(3, 2, 5, 7)), {"data_format": "channels_first", "dilation_rate": 2}, 84),
    ("conv_transpose", (normal(2, 5, 3), normal(3, 4, 3)), {"strides": 2, "output_padding": 1}, 15),
    ("dot_product_attention", (normal(2, 5, 2, 3), normal(2, 6, 2, 3), normal(2, 6, 2, 4), None, MASK), {}, 18),
    ("dot_product_attention", (normal(2, 5, 2, 3), normal(2, 5, 2, 3), normal(2, 5, 2, 3)), {"is_causal": True}, 15),
    ("dot_product_attention", (normal(2, 5, 2, 3), normal(2, 6, 2, 3), normal(2, 6, 2, 3)), {"scale": 0.3}, 18),
    (
        "dot_product_attention",
        (normal(2, 5, 4, 3), normal(2, 5, 2, 3), normal(2, 5, 2, 3), None, MASK[..., :5]),
        {},
        18,
    ),
    ("dot_product_attention", (*(normal(2, 5, 2, 3) for _ in range(3)), normal(2, 1, 5, 5)), {"is_causal": True}, 15),
    (
        "dot_product_attention",
        (*(normal(2, 5, 2, 3) for _ in range(3)), normal(1, 2, 5, 5), MASK[1:, :, :, 1:]),
        {"is_causal": True},
        15,
    ),
    ("dot_product_attention", tuple(normal(2, 5, 2, 3) for _ in range(3)), {"attn_logits_soft_cap": 0.7}, 15),
    ("elu", (WIDE,), {}, 1),
    ("embedding", (IDS, normal(7, 5)), {}, 12),
    ("erf", (WIDE,), {}, 1),
    # Its derivative grows like exp(y**2), which magnifies the rounding of y by 2 * y**2, here up to 7.
    ("erfinv", (np.linspace(-0.99, 0.99, 23, dtype=np.float32),), {}, 49),
    ("fold", (normal(2, 12, 6), (6, 5), 2), {"stride": 2}, 4),
    ("gelu", (WIDE,), {}, 4),
    ("gelu", (WIDE,), {"approximate": False}, 4),
    ("gru", (normal(3, 5, 2), normal(2, 12), normal(4, 12), normal(2, 12)), {}, 30),
    ("gru", (normal(3, 5, 2), normal(2, 12), normal(4, 12)), {"reverse": True}, 30),
    ("gru", (normal(3, 5, 2), normal(2, 12), normal(4, 12), normal(12), normal(3, 4)), {"reset_after": False}, 30),
    ("group_normalization", (X, 2, normal(4), normal(4)), {}, 84),
    ("group_normalization", (normal(3, 4, 5, 1), 1, normal(1), normal(1)), {}, 20),
    ("group_normalization", (normal(3, 1, 1, 4), 2, normal(4), normal(4)), {}, 20),
    ("group_normalization", (normal(3, 6, 4) + 3, 3), {"axis": 1, "epsilon": 1e-3}, 24),
    ("hard_sigmoid", (WIDE,), {}, 1),
    ("hard_silu", (WIDE,), {}, 1),
    ("join_last", (X,), {}, 1),
    ("label_crossentropy", (WIDE, IDS[0, :].repeat(2)[:6] % 5), {}, 5),
    ("label_crossentropy", (X, RNG.integers(0, 7, (2, 6, 4))), {"axis": 1}, 7),
    ("layer_normalization", (X, normal(4), normal(4)), {}, 84),
    ("layer_normalization", (X, normal(7, 6, 4)), {"axis": (1, 2, 3)}, 168),
    ("leaky_relu", (WIDE,), {}, 1),
    ("linear", (X, normal(4, 5), normal(5)), {}, 84),
    ("linear", (normal(3, 4), normal(4, 5)), {}, 4),
    ("log_softmax", (WIDE,), {}, 5),
    ("log_softmax", (X,), {"axis": 1}, 7),
    ("logsumexp", (WIDE,), {"axis": -1}, 5),
    ("logsumexp", (X,), {"axis": 1, "keepdims": True}, 7),
    ("lstm", (normal(3, 5, 2), normal(2, 16), normal(4, 16), normal(16)), {}, 30),
    ("lstm", (normal(3, 5, 2), normal(2, 16), normal(4, 16)), {"reverse": True}, 30),
    ("lstm", (normal(3, 5, 2), normal(2, 16), normal(4, 16), normal(16), normal(3, 4), normal(3, 4)), {}, 30),
    ("max_pool", (distinct(2, 6, 4, 3), 2), {}, 1),
    ("max_pool", (distinct(2, 6, 5, 3), 3, 2, "same"), {}, 4),
    ("max_pool", (distinct(2, 3, 9), 2), {"data_format": "channels_first"}, 1),
    ("moments", (X, (0, 1, 2)), {}, 84),
    ("moments", (X, (-1,)), {"keepdims": True}, 4),
    ("normalize_batch", (X, normal(4), normal(4)), {}, 84),
    ("normalize_batch", (X,), {"axis": 1}, 84),
    ("normalize_batch", (normal(9, 3), normal(3), normal(3)), {}, 9),
    ("one_hot", (IDS, 7), {}, 1),
    ("pad", (X, ((0, 0), (1, 2), (0, 0), (3, 0))), {"constant_values": 1.5}, 1),
    ("pad", (normal(2, 3), ((0, 70), (150, 0))), {"constant_values": 1.5}, 1),
    ("relu", (away(4, 5),), {}, 1),
    ("rms_normalization", (X, normal(4)), {}, 84),
    ("rms_normalization", (X,), {"axis": (1, 2), "epsilon": 1e-3}, 168),
    ("sigmoid", (WIDE,), {}, 1),
    ("counts_below", ((np.arange(54, dtype=np.int32) * 7 % 6).reshape(2, 9, 3), 6), {}, 1),
    ("silu", (WIDE,), {}, 1),
    ("softmax", (WIDE,), {}, 5),
    ("softmax", (X,), {"axis": 1}, 7),
    ("softplus", (WIDE,), {}, 1),
    ("split", (X, 3), {"axis": 2}, 1),
    ("split", (normal(3, 8), 4), {"axis": -1}, 1),
    ("split_first", (np.arange(84, dtype=np.float32).reshape(14, 6), np.ones((2, 7, 1), np.float32)), {}, 1),
    ("split_last", (X, (2, 2)), {}, 1),
    ("tanh", (WIDE,), {}, 1),
    *_recurrences(),
    ("without_nans", (normal(2, 3, 4), SEEN, 0.0), {}, 1),
    ("without_nans", (np.where(SEEN, normal(2, 3, 4), np.float32(np.nan)), SEEN, 1.0), {}, 1),
    ("without_nans", (np.where(SEEN, normal(2, 3, 4), np.float32([1, np.inf, 2, -np.inf])), SEEN, 0.0), {}, 1),
]
# Their bits are compared with JAX's, exactly, in test_random.py.
ELSEWHERE = {
    *("binomial_variates", "dropout", "fold_bits", "foreign", "gamma_variates", "normal_quantile", "random_bits"),
    *("random_integers", "random_mask"),
}

cases = pytest.mark.parametrize("i", range(len(CASES)), ids=[f"{i}-{case[0]}" for i, case in enumerate(CASES)])


def test_every_op_has_a_case():
    """Here, or in the table of `keras.ops`, which drives lowerings and references against Keras."""
    assert {case[0] for case in CASES} | ELSEWHERE | {row.name for row in keras_oracle.ROWS} >= set(OPS)
    assert {case[0] for case in CASES} | ELSEWHERE <= set(OPS)
    assert not kf.backends.get("array_api_strict").lowerings


def is_float(x):
    return isinstance(x, np.ndarray) and x.dtype == np.float32


def wide(x):
    return x.astype(np.float64) if is_float(x) else x


def flat(out):
    return [np.asarray(kf.to_numpy(x)) for x in kf.tree.leaves(out)]


def on(name, args):
    return [kf.asarray(a, backend=name) if isinstance(a, np.ndarray) else a for a in args]


@functools.cache
def reference(i):
    """The case's values, and the gradient of their weighted sum, by the reference in float64."""
    name, args, kwargs, _ = CASES[i]
    return run("array_api_strict", OPS[name].reference, [wide(a) for a in args], kwargs, gradient=True)


def run(name, fun, args, kwargs, gradient, first=0):
    """The values, and the gradients of their weighted sum for the arguments from number `first` on."""
    values = fun(*on(name, args), **kwargs)
    weights = [np.random.default_rng(9).normal(size=v.shape).astype(v.dtype) for v in flat(values)]
    moving = [i for i, a in enumerate(args) if isinstance(a, np.ndarray) and a.dtype.kind == "f" and i >= first]
    if not gradient or not moving or flat(values)[0].dtype.kind != "f":
        return flat(values), None

    @kf.arrays.native
    def weighted(outs, weights):
        xp = kf.namespace(*outs)
        return functools.reduce(lambda a, b: a + b, [xp.sum(o * w) for o, w in zip(outs, weights, strict=True)])

    def objective(given, weights):
        filled = on(name, args)
        for i, x in zip(moving, given, strict=True):
            filled[i] = x
        return weighted(kf.tree.leaves(fun(*filled, **kwargs)), weights)

    gradient = kf.grad(objective)
    # Alone, JAX compiles each function that it meets, which takes minutes.
    gradient = kf.jit(gradient) if name == "jax" else gradient
    gradients = gradient([on(name, args)[i] for i in moving], on(name, weights))
    return flat(values), flat(gradients)


def close(got, want, n, factor):
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape
        if a.dtype.kind != "f":
            np.testing.assert_array_equal(a, b)
            continue
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=0, atol=factor * EPS * math.sqrt(n) * max(1, np.abs(b).max(initial=0)))


@cases
@pytest.mark.parametrize("name", BACKENDS)
def test_values(name, i):
    op, args, kwargs, n = CASES[i]
    got, _ = run(name, OPS[op], args, kwargs, gradient=False)
    close(got, reference(i)[0], n, 8)


@cases
@pytest.mark.parametrize("name", TRAINING)
def test_gradients(name, i):
    op, args, kwargs, n = CASES[i]
    got = run(name, OPS[op], args, kwargs, gradient=True)[1]
    want = reference(i)[1]
    assert (got is None) == (want is None)
    if got is not None:
        close(got, want, n, 8)


PARAMETRIC = [
    i for i, (op, *_) in enumerate(CASES) if op in ("conv", "conv_transpose", "linear") or "normalization" in op
]


@pytest.mark.parametrize("i", PARAMETRIC, ids=[f"{i}-{CASES[i][0]}" for i in PARAMETRIC])
@pytest.mark.parametrize("name", TRAINING)
def test_gradients_of_parameters_alone(name, i):
    """For which frameworks have other kernels, and other faults."""
    op, args, kwargs, n = CASES[i]
    got, want = run(name, OPS[op], args, kwargs, gradient=True, first=1)[1], reference(i)[1]
    if got is not None:
        close(got, want[1:], n, 8)


@pytest.mark.parametrize("name", TRAINING)
def test_ties_in_max_pool_go_to_the_first(name):
    x = kf.asarray(np.zeros((1, 4, 4, 1), np.float32), backend=name)
    total = kf.arrays.native(lambda y: kf.namespace(y).sum(y))
    for size, strides in ((2, 2), (3, 1)):
        g = kf.to_numpy(kf.grad(lambda x, a=size, b=strides: total(ops.max_pool(x, a, b)))(x))
        want = np.zeros((4, 4))
        for i in range(0, 4 - size + 1, strides):
            for j in range(0, 4 - size + 1, strides):
                want[i, j] += 1
        np.testing.assert_array_equal(g[0, :, :, 0], want)


@pytest.mark.parametrize("name", [p for p in BACKENDS if p.values[0] not in ("openvino", "tensorflow")])
@pytest.mark.parametrize("op", ["relu", "max_pool"])
def test_nan_survives(name, op):
    """On OpenVINO and TensorFlow the kernels may take NaN for a small number; training there looks at gradients too."""
    x = np.zeros((1, 2, 2, 1), np.float32)
    for i in range(4):
        given = x.copy()
        given[0, i // 2, i % 2] = np.nan
        given = kf.asarray(given, backend=name)
        out = kf.to_numpy(ops.relu(given) if op == "relu" else ops.max_pool(given, 2))
        assert np.isnan(out).sum() == 1


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ops.conv(X, normal(3, 3, 3, 6)), kf.errors.ShapeError, "channels"),
        (lambda: ops.conv(X, normal(9, 3, 4, 6)), kf.errors.ShapeError, "window"),
        (lambda: ops.conv(X, normal(3, 3, 4, 6), padding="sane"), kf.errors.ArgumentError, "'sane'"),
        (lambda: ops.conv(X, normal(3, 3, 4, 6), strides=(1, 1, 1)), kf.errors.ArgumentError, "strides"),
        (lambda: ops.conv(X[0], normal(3, 3, 4, 6)), kf.errors.ShapeError, "axis"),
        (lambda: ops.max_pool(X, 0), kf.errors.ArgumentError, "pool_size"),
        (lambda: ops.image.crop_images(X, -1, 0, target_height=2, target_width=2), kf.errors.ArgumentError, "top_cr"),
        (lambda: ops.image.crop_images(X, 0, 0, target_height=-1, target_width=2), kf.errors.ArgumentError, "target_h"),
        (lambda: ops.image.rgb_to_hsv(np.ones((2, 2, 3), np.uint8)), kf.errors.ArgumentError, "float"),
        (lambda: ops.image.hsv_to_rgb(np.ones((2, 2, 3), np.uint8)), kf.errors.ArgumentError, "float"),
        (lambda: ops.image.affine_transform(X, np.ones((2, 3, 2))), kf.errors.ShapeError, "transform"),
        (lambda: ops.argpartition(X, (1, 3)), kf.errors.ArgumentError, "kth"),
        (lambda: ops.histogram(X[0, 0, 0], range=(1,)), kf.errors.ArgumentError, "range"),
        (lambda: ops.reshape(X, (-2, 5)), kf.errors.ArgumentError, "newshape"),
        (lambda: ops.eig(kf.Spec((2, 3))), kf.errors.ShapeError, "square"),
        (lambda: ops.linspace(X, X, 3, dtype="bfloat16"), kf.errors.ArgumentError, "bfloat16"),
        (lambda: ops.max_pool(X, 2, data_format="last"), kf.errors.ArgumentError, "data_format"),
    ],
)
def test_bad_arguments(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_backends_have_lowerings():
    """The numbers are not the point; that the table above compares lowerings and not references with themselves is."""
    for name in ("numpy", "jax", "torch", "tensorflow", "openvino"):
        if not missing(name):
            assert {"conv", "max_pool", "relu"} <= set(kf.backends.get(name).lowerings)


@pytest.mark.parametrize("name", BACKENDS)
def test_arguments_have_the_same_defaults_everywhere(name):
    """Those of a lowering, or of a pullback that has any, and of shape rules, are the reference's."""
    backend = kf.backends.get(name)
    rules = {("shape rule", op): OPS[op].on_specs for op in OPS if OPS[op].on_specs and name == "numpy"}
    found = {("lowering", op): fun for op, fun in backend.lowerings.items()} | rules
    found |= {("pullback", op): fun for op, fun in backend.pullbacks.items()}
    for (kind, op), fun in found.items():
        fun = getattr(fun, "fun", fun)
        if inspect.isbuiltin(fun):
            continue
        wanted = {p.name: p.default for p in inspect.signature(OPS[op].reference).parameters.values()}
        for p in inspect.signature(fun).parameters.values():
            if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and not (kind == "pullback" and p.default is p.empty):
                assert p.default == wanted[p.name], (kind, op, p.name)
