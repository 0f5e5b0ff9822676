"""What tables of ordinary arrays do not hold: no elements, half precision, NaN, and Python's numbers and lists."""

from __future__ import annotations

import math

import numpy as np
import pytest
from backends import EAGER, TRAINING
from catalogue_oracle import IDS, ROWS, made, weights
from sampling import one_of

import kfunc as kf
from kfunc import nn, ops

NONE, HALF = np.zeros((0, 2), np.float32), np.float16([60000, 60000])
X, INTS = np.float32([[1, -2, 3], [4, 5, -6]]), np.int8([[1, -2, 3], [4, 5, -6]])
NO_FEATURES, VALUES = np.zeros((1, 2, 1, 0), np.float32), np.ones((1, 2, 1, 3), np.float32)
LABELS = np.int32([[0, 1, 1], [1, 0, 1]])
LOGITS = np.float32(np.arange(12).reshape(2, 2, 3) ** 2 % 7)
NAN = [math.nan] * 2
HOLES = np.float32([[1, math.nan, 2], [math.nan, 3, 1], [3, 1, 2]])
PAIRS = np.ones((2, 2, 3), np.float32), np.ones((2, 3, 2), np.float32)

# A call of an op, and what comes out.
CALLS = [
    (lambda x: ops.logsumexp(x, axis=0), (NONE,), [-math.inf] * 2),
    (lambda x: ops.softmax(x, axis=0), (NONE,), NONE),
    (lambda x: ops.log_softmax(x, axis=[0, 1]), (NONE,), NONE),
    (lambda x: ops.sparsemax(x, axis=0), (NONE,), NONE),
    (lambda x: ops.median(x, axis=0), (NONE,), NAN),
    (lambda x: ops.max(x, axis=0, initial=3), (NONE,), [3, 3]),
    (lambda x: ops.min(x > 0, initial=False), (X,), False),
    *((op, (HALF,), 60000) for op in (ops.mean, ops.nanmean, ops.median)),
    *((op, (HALF,), 0) for op in (ops.var, ops.std, ops.nanvar, ops.nanstd)),
    (lambda x: ops.norm(x / 2), (HALF,), 42432),  # 30000 times the root of 2, to a half
    (lambda x: ops.median(ops.reshape(x, (-1,))), (np.ones((70000,), np.float16),), 1),
    (ops.erfc, (np.float16([1, 3]),), np.float16([0.15729921, 2.209e-5])),
    (ops.sparsemax, (np.float32([1, math.nan]),), NAN),
    (lambda x: ops.quantile(x, [-1.0, 2.0]), (X,), NAN),
    (lambda x: ops.ldexp(x, 2), (X,), 4 * X),
    (lambda x: ops.subtract(x, True), (INTS,), INTS - 1),
    (lambda x: ops.logical_and(x, 2), (INTS,), INTS != 0),
    (lambda x: ops.logical_or(x, [True, False, False]), (INTS > 0,), (INTS > 0) | np.array([True, False, False])),
    (lambda x: ops.prod(x, axis=[0, 1]), (X,), 720),
    (lambda x: ops.count_nonzero(x, axis=()), (INTS,), INTS != 0),
    (lambda x: ops.logsumexp(x, axis=()), (X,), X),
    (lambda x: ops.logsumexp(x, axis=(), keepdims=True), (X,), X),
    (lambda x: ops.count_nonzero(x, axis=[0]), (X,), [2, 2, 2]),
    (lambda x: ops.roll(x, 1, axis=(0, 1)), (X,), np.roll(X, (1, 1), (0, 1))),
    (lambda x: ops.full_like(x, [1, 2, 3]), (X,), [[1, 2, 3]] * 2),
    (lambda x: ops.sort(x), (X > 0,), np.sort(X > 0)),
    (ops.hard_tanh, (np.uint8([0, 1, 7]),), np.uint8([0, 1, 1])),
    (lambda x: ops.one_hot(x, 2), (X > 0,), np.eye(2)[(X > 0).astype(int)]),
    (lambda x: ops.one_hot(x, 2, dtype="bool"), (np.int32([0, 1]),), np.eye(2, dtype=bool)),
    (lambda x: ops.one_hot(x, 300), (np.uint8([44, 3]),), np.eye(300)[[44, 3]]),
    (lambda x: ops.multi_hot(x, 300), (np.int8([[44, 3]]),), np.eye(300)[[44]] + np.eye(300)[[3]]),
    (lambda x: ops.multi_hot(x, 4, dtype="bool"), (np.int32([0, 2]),), np.array([True, False, True, False])),
    (lambda x: ops.multi_hot(x, 3), (np.int32([[0, 2], [1, 1]]),), np.float32([[1, 0, 1], [0, 1, 0]])),
    (lambda x: ops.view(x, "int32"), (np.float32(1),), 0x3F800000),
    (lambda x: ops.argmax(x, axis=1), (HOLES,), [1, 0, 0]),
    (lambda x: ops.argmin(x, axis=1), (HOLES,), [1, 0, 1]),
    (ops.argmax, (HOLES,), 1),
    (lambda x: ops.round(8 * x, 1), (np.float32([0.03125, -0.15625]),), np.float32([0.2, -1.2])),
    (lambda x, y: ops.add(x > 0, y > 0), (X, X[:1]), (X > 0) | (X[:1] > 0)),
    (lambda x: ops.add(x > 0, True), (X,), X == X),
    (lambda x: ops.absolute(x > 0), (X,), X > 0),
    (lambda x, y: ops.einsum("...ij,...jk", x, y), PAIRS, np.full((2, 2, 2), 3)),
    (lambda x: ops.stft(x, 1, 1, 1, center=False)[0], (X[0],), X[:1].T),
    (
        lambda x: ops.istft(ops.stft(x, 4, 1, 4, window=None), 4, 1, 4, window=None),
        (np.float32([1, 2, 3, 4, 5]),),
        [4, 8, 12, 16, 20],
    ),
    (
        lambda x: ops.istft(ops.stft(x, 2, 1, 2, None, False), 2, 1, 2, 5, None, False),
        (np.float32([1, 2, 3]),),
        [2, 4, 6, 0, 0],
    ),
    (lambda x: ops.moments(x, 0), (np.float16([-1000, 1000]),), (np.float16(0), np.finfo(np.float16).max)),
    (lambda x: ops.moments(x, 0)[0], (np.float16([np.inf, 1]),), np.inf),
    (lambda x: ops.scatter_update(x, np.zeros((0, 1), np.int32), np.zeros((0, 3), np.float32)), (X,), X),
    (lambda x: ops.einsum("...i,...i->...i", x, x[:1, :]), (X,), X * X[:1]),
    (lambda x: ops.bitwise_invert(ops.trunc(x)), (X > 0,), X <= 0),  # booleans stay so
    (lambda k: ops.hanning(k), (np.int32(3),), [0, 1, 0]),
    (
        lambda x: ops.lu_factor(x)[0],  # of rank 2
        (np.float32([[1, 2, 3], [2, 4, 6], [1, 0, 1]]),),
        [[2, 4, 6], [0.5, -2, -2], [0.5, 0, 0]],
    ),
    (
        lambda x, k, n, t: ops.ctc_loss(k, x, n, t),
        (np.zeros((1, 4, 3), np.float16), np.int32([[1, 2]]), np.int32([2]), np.int32([4])),
        [4 * math.log(3) - math.log(15)],  # in float32: half precision has no room for such sums
    ),
    (
        lambda x, k: ops.dot_product_attention(x, x, k),
        (NO_FEATURES, np.ones((1, 2, 1, 3), np.float32)),
        np.ones((1, 2, 1, 3)),
    ),
    (lambda x, k: ops.in_top_k(k, x, 1), (X, np.int32([2, 3])), [True, False]),
    (
        lambda x: ops.image.gaussian_blur(x, np.array([1, 1]), np.array([2.0, 2.0])),
        (np.ones((2, 3, 1), np.float32),),
        np.ones((2, 3, 1)),
    ),
    (lambda x: ops.image.resize(x, (1, 1)), (np.uint8([[[1], [2]], [[3], [5]]]),), np.uint8([[[3]]])),
    (
        lambda x, k: ops.sparse_categorical_crossentropy(k, x, from_logits=True, axis=0),
        (LOGITS, LABELS),
        np.logaddexp(*LOGITS) - np.where(LABELS == 0, *LOGITS),
    ),
    (
        lambda x, k: ops.sparse_categorical_crossentropy(k, x, from_logits=True, axis=1),
        (LOGITS, LABELS),
        np.logaddexp(LOGITS[:, 0], LOGITS[:, 1]) - np.where(LABELS == 0, LOGITS[:, 0], LOGITS[:, 1]),
    ),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of infinities
@pytest.mark.parametrize("i", range(len(CALLS)))
@pytest.mark.parametrize("name", EAGER)
def test_edges(name, i):
    fun, args, wanted = CALLS[i]
    if name == "array_api_strict" and any(a.dtype == np.float16 for a in args):
        return  # the standard has no such dtype
    got = kf.to_numpy(fun(*[kf.asarray(a, backend=name) for a in args]))
    wanted = np.asarray(wanted)
    assert got.shape == wanted.shape
    if got.dtype.kind == "f":
        scale = np.abs(wanted)[np.isfinite(wanted)].max(initial=0)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=8 * float(np.finfo(got.dtype).eps) * scale)
    else:
        np.testing.assert_array_equal(got, wanted)


# A call of an op that looks for the largest or the smallest, and what comes out where one number is NaN.
WITH_NAN = {
    "softmax": (lambda x: ops.softmax(x), [NAN * 2, [0.25] * 4]),
    "log_softmax": (lambda x: ops.log_softmax(x), [NAN * 2, [-math.log(4)] * 4]),
    "logsumexp": (lambda x: ops.logsumexp(x, axis=1), [math.nan, math.log(4)]),
    "max": (lambda x: ops.max(x, axis=1), [math.nan, 0]),
    "maximum": (lambda x: ops.maximum(x, 0.5), [[1, math.nan, 3, 2], [0.5] * 4]),
    "relu": (ops.relu, [[1, math.nan, 3, 2], [0] * 4]),
    "max_pool": (lambda x: ops.max_pool(x[..., None], 2)[..., 0], [[math.nan, 3], [0, 0]]),
    "top_k": (lambda x: ops.top_k(x, 2)[0], [[math.nan, 3], [0, 0]]),
    "top_k, where": (lambda x: ops.top_k(x, 2)[1][:1, :], [[1, 2]]),
    "segment_max": (lambda x: ops.segment_max(x[0, :], ops.cast(x[1, :], "int32"), 1), [math.nan]),
}
# Kernels that take any number for larger than NaN, as the docstrings of the ops say.
BY_KERNEL = {
    ("tensorflow", "softmax"): [[0, math.nan, 0, 0], [0.25] * 4],
    ("tensorflow", "max_pool"): [[1, 3], [0, 0]],
    ("tensorflow", "segment_max"): [3],
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of NaN
@pytest.mark.parametrize("case", WITH_NAN)
@pytest.mark.parametrize("name", EAGER)
def test_nan_is_the_largest_and_the_smallest(name, case):
    fun, wanted = WITH_NAN[case]
    x = kf.asarray(np.float32([[1, math.nan, 3, 2], [0, 0, 0, 0]]), backend=name)
    wanted = BY_KERNEL.get((name, case), wanted)
    np.testing.assert_allclose(kf.to_numpy(fun(x)), wanted, rtol=4e-7)  # 4 roundings to float32


@pytest.mark.parametrize(
    ("values", "dtype", "wanted"),
    [(2**40, None, "int64"), (2**40, "float32", "float32"), ([1, 2], None, "int32"), (1.5, None, "float32")],
)
def test_python_numbers(values, dtype, wanted):
    x = ops.convert_to_tensor(values, dtype)
    assert str(x.dtype) == wanted
    np.testing.assert_array_equal(x, values)


CONVOLUTIONS = [nn.Conv2D(2, 3), nn.Conv2D(4, 2, groups=2), nn.Conv2DTranspose(2, 3), nn.SeparableConv2D(2, 3)]


@pytest.mark.parametrize("layer", CONVOLUTIONS, ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("name", TRAINING)
def test_convolutions_of_no_images(name, layer):
    """What is left of a batch may be nothing; no gradient comes from it, and the parameters keep theirs."""
    x = kf.asarray(np.zeros((0, 5, 5, 2), np.float32), backend=name)
    params, _ = layer.init(0, x)

    @kf.arrays.native
    def loss(params):
        y, _ = layer.apply(params, x)
        return kf.namespace(y).sum(y)

    assert tuple(layer.apply(params, x)[0].shape) == layer.trace(x).outputs[-1][2].shape
    gradients = kf.grad(loss)(params)
    for g, p in zip(kf.tree.leaves(gradients), kf.tree.leaves(params), strict=True):
        np.testing.assert_array_equal(kf.to_numpy(g), np.zeros(p.shape))


def shrunk(x):
    """`x - tanh(x)`, by the series of `x * cosh(x) - sinh(x)`."""
    return sum(2 * k / math.factorial(2 * k + 1) * x ** (2 * k + 1) for k in range(1, 20)) / np.cosh(x)


def gelu_by_tanh(x):
    return x / (1 + np.exp(-math.sqrt(8 / math.pi) * (x + 0.044715 * x**3)))


def gelu_by_erf(x):
    return x * np.vectorize(lambda v: math.erfc(-v * math.sqrt(0.5)) / 2)(x)


def mixed(rows):
    return np.log(np.exp(rows[0]) + np.exp(rows[1]))


TIMES = np.linspace(1e-3, 1 - 1e-3, 99)
TENTHS = np.float32(np.linspace(-9, 9, 181))

# A function, numbers, its result in float64, and the error that is allowed, in units of eps, with its reason.
ACCURATE = {
    # Results that are small keep their digits: a few roundings, and no difference of numbers that are much larger.
    "tanh_shrink": (
        ops.tanh_shrink,
        np.float32([1e-12, 1e-3, -0.1, 0.5, 0.9]),
        shrunk,
        lambda x, y: 4 * np.abs(y),
    ),
    "sinc": (
        ops.sinc,
        np.float32([0.999, 1.0001, 7.01, 1000.01]),
        lambda x: np.sin(np.pi * (x - np.round(x))) * np.where(np.round(x) % 2, -1, 1) / (np.pi * x),
        lambda x, y: 4 * np.abs(y),
    ),
    "expm1": (ops.expm1, np.float32([1e-12, -1e-5, 0.01]), np.expm1, lambda x, y: 4 * np.abs(y)),
    "softplus": (ops.softplus, np.float32([-20, -5, 0, 5]), lambda x: np.log1p(np.exp(x)), lambda x, y: 8 * np.abs(y)),
    # `x` times a probability. Kernels take this as 1 plus a number that may be near -1: it has an error of eps.
    "gelu": (ops.gelu, TENTHS, gelu_by_tanh, lambda x, y: 2 * np.abs(x)),
    "gelu near 0": (ops.gelu, np.float32([-1e-3, 1e-6, 1e-20]), gelu_by_tanh, lambda x, y: 4 * np.abs(y)),
    "gelu by erf": (lambda x: ops.gelu(x, approximate=False), TENTHS, gelu_by_erf, lambda x, y: 2 * np.abs(x)),
    "gelu by erf near 0": (
        lambda x: ops.gelu(x, approximate=False),
        np.float32([-1e-3, 1e-6, 1e-20]),
        gelu_by_erf,
        lambda x, y: 4 * np.abs(y),
    ),
    # TensorFlow's kernel takes the exponential less 1.
    "elu": (ops.elu, np.float32([-1e-12, -1e-3, -1, 2]), lambda x: np.where(x > 0, x, np.expm1(x)), lambda x, y: 4),
    # The larger argument may cancel the rest; rounding that argument would change the result as much.
    "logaddexp near 0": (
        lambda x: ops.logaddexp(x[0, ...], x[1, ...]),
        np.float32([np.log(TIMES), np.log1p(-TIMES)]),
        mixed,
        lambda x, y: 4 * (np.abs(x).min(0) + np.abs(y)),
    ),
    # Numbers of at most 1, weighed and added: 2, 4, 6 or 10 weights, each with the roundings of its distance and
    # of its formula. Negative weights make the sum of their sizes up to 1.3.
    **{
        f"{method} to {size}": (
            lambda x, method=method, size=size: ops.image.resize(x, (1, size), method, antialias=size < 224),
            np.random.default_rng(0).uniform(0.5, 1, (1, 1, 224, 1)).astype(np.float32),
            lambda x, method=method, size=size: resized(x, size, method),
            lambda x, y, method=method: (4 + 2 * RADIUS[method]) * 1.3,
        )
        for method in ("bilinear", "bicubic", "lanczos3", "lanczos5")
        for size in (100, 256)
    },
}
RADIUS = {"bilinear": 1, "bicubic": 2, "lanczos3": 3, "lanczos5": 5}


def resized(x, size, method):
    """By the definition: each output is a weighed mean of the inputs around it, in float64."""
    radius, n = RADIUS[method], x.shape[2]

    def kernel(d):
        d = np.abs(d)
        if method == "bilinear":
            return np.maximum(1 - d, 0)
        if method == "bicubic":
            near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
            return np.where(d < 1, near, np.where(d < 2, far, 0))
        return np.where(d < radius, np.sinc(d) * np.sinc(d / radius), 0)

    at = (np.arange(size)[:, None] + 0.5) * n / size - 0.5
    weights = kernel((at - np.arange(n)) / max(n / size, 1))
    return np.moveaxis(np.moveaxis(x, 2, -1) @ (weights / weights.sum(1, keepdims=True)).T, -1, 2)


@pytest.mark.parametrize("case", ACCURATE)
@pytest.mark.parametrize("name", EAGER)
def test_accuracy(name, case):
    fun, x, exact, allowed = ACCURATE[case]
    got, want = kf.to_numpy(fun(kf.asarray(x, backend=name))), exact(x.astype(np.float64))
    allowance = allowed(x.astype(np.float64), want) * float(np.finfo(np.float32).eps)
    errors = np.abs(got - want) / (allowance + float(np.finfo(np.float32).tiny))
    assert got.dtype == np.float32
    assert errors.max() <= 1, f"{errors.max():.2f} of what is allowed, at {errors.argmax()}"


EMPTY = {
    # The function of arrays, and the shapes of these: 0 features, channels, keys, or nothing to map over.
    **{
        f"matmul {a} {b}": (ops.matmul, a, b)
        for a, b in (
            ((2, 3, 0), (0, 4)),
            ((2, 3, 4), (4, 0)),
            ((2, 3, 0), (0,)),
            ((0,), (2, 0, 3)),
            ((2, 0, 4), (4, 3)),
        )
    },
    "attention": (
        lambda q, k: ops.dot_product_attention(q, k, k, mask=ops.ones((2, 1, 4, 0), dtype="bool")),
        (2, 4, 2, 3),
        (2, 0, 2, 3),
    ),
    "take of none": (lambda x: ops.take(x, np.zeros(0, np.int32), axis=0), (3, 2)),
    "scatter_update of none": (
        lambda x: ops.scatter_update(np.zeros((3, 2), np.float32), np.zeros((0, 1), np.int32), x),
        (0, 2),
    ),
    "max_pool": (lambda x: ops.max_pool(x, 2), (2, 6, 6, 0)),
    "average_pool": (lambda x: ops.average_pool(x, 2), (2, 6, 0)),
    "adaptive_max_pool": (lambda x: ops.adaptive_max_pool(x, 2), (2, 6, 0)),
    "adaptive_average_pool": (lambda x: ops.adaptive_average_pool(x, 2), (2, 6, 6, 0)),
    "batch_normalization": (lambda x, m: ops.batch_normalization(x, m, m, -1), (2, 3, 0), (0,)),
    "resize": (lambda x: ops.image.resize(x, (3, 3)), (2, 5, 5, 0)),
    "fft": (lambda x: ops.fft((x, x))[0], (0, 4)),
    "fft2": (lambda x: ops.ifft2(ops.fft2((x, x)))[1], (2, 0, 3, 4)),
    "rfft": (lambda x: ops.irfft(ops.rfft(x)), (2, 0, 6)),
    "stft": (lambda x: ops.stft(x, 4, 2, 4)[0], (0, 8)),
    "vectorize": (ops.vectorize(lambda x: x * x), (0, 3)),
    "vectorize of vectors": (ops.vectorize(lambda x: ops.sum(x * x), signature="(n)->()"), (2, 3, 0)),
    "vmap": (lambda x: kf.vmap(lambda x: x * x)(x), (0, 3)),
    **{
        f"norm {ord} {axis}": (lambda x, ord=ord, axis=axis: ops.norm(x, ord=ord, axis=axis), (2, 0, 3))
        for ord, axis in ((math.inf, 1), (1, 1), (2, 1), ("nuc", (1, 2)), (2, (1, 2)), (math.inf, (1, 2)), (1, (2, 1)))
    },
    "matrix_rank": (lambda x: ops.multiply(ops.sum(x), ops.matrix_rank(x)), (0, 3)),
}


@pytest.mark.parametrize("case", EMPTY)
@pytest.mark.parametrize("name", TRAINING)
def test_empty_axes(name, case):
    """Results have the shape that is found without values; gradients have the shapes of the arguments."""
    fun, *shapes = EMPTY[case]
    wanted = fun(*[kf.Spec(shape) for shape in shapes]) if case != "attention" else kf.Spec((2, 4, 2, 3))
    xs = [kf.asarray(np.ones(shape, np.float32), backend=name) for shape in shapes]

    def objective(xs):
        out = fun(*xs)
        return ops.sum(out), out

    gradients, out = kf.grad(objective, has_aux=True)(xs)
    assert tuple(out.shape) == tuple(wanted.shape)
    for g, shape in zip(gradients, shapes, strict=True):
        np.testing.assert_array_equal(kf.to_numpy(g), np.zeros(shape))
    np.testing.assert_array_equal(kf.to_numpy(out), np.zeros(wanted.shape))


@pytest.mark.parametrize("name", TRAINING)
@pytest.mark.parametrize(
    "call",
    [
        ops.max,
        lambda x: ops.adaptive_max_pool(x, 2),
        lambda x: ops.norm(x, ord=-math.inf, axis=1),
        lambda x: ops.norm(x, ord=-2, axis=(1, 2)),
    ],
)
def test_the_extreme_of_nothing_is_refused(name, call):
    with pytest.raises(kf.errors.ShapeError):
        call(kf.asarray(np.ones((2, 0, 3), np.float32), backend=name))


PLACES = np.zeros((2, 1), np.int32)
MISFITS = {  # calls of ops with arrays that do not fit, the error, and the shapes of the arrays
    "take": (lambda x: ops.take(x, PLACES, axis=0), kf.errors.IndexingError, (0, 4)),
    "take of all": (lambda x: ops.take(x, PLACES), kf.errors.IndexingError, (0, 4)),
    "take_along_axis": (lambda x: ops.take_along_axis(x, PLACES, axis=1), kf.errors.IndexingError, (2, 0)),
    "einsum of none": (lambda x: ops.einsum("ii", x), kf.errors.ShapeError, (0, 4)),
    "einsum of one": (lambda x, y: ops.einsum("ij,jk->ik", x, y), kf.errors.ShapeError, (3, 5), (1, 4)),
    "attention of one key": (
        lambda q, k, v: ops.dot_product_attention(q, k, v),
        kf.errors.ShapeError,
        (2, 5, 4, 3),
        (2, 1, 4, 3),
        (2, 6, 4, 3),
    ),
    "vdot": (ops.vdot, kf.errors.ShapeError, (1,), (4,)),
    "dot": (ops.dot, kf.errors.ShapeError, (2, 3, 1), (5, 4, 2)),
    "inner": (ops.inner, kf.errors.ShapeError, (3, 1), (3, 4)),
    "tensordot": (lambda x, y: ops.tensordot(x, y, axes=2), kf.errors.ShapeError, (3, 1, 5), (4, 5, 2)),
    "tensordot of lists": (
        lambda x, y: ops.tensordot(x, y, axes=([0], [1])),
        kf.errors.ShapeError,
        (1, 3),
        (2, 4),
    ),
    "einsum of one diagonal": (lambda x: ops.einsum("ii->i", x), kf.errors.ShapeError, (1, 4)),
    **{
        f"no classes {logits}": (
            lambda x, logits=logits: ops.sparse_categorical_crossentropy(PLACES, x, logits),
            kf.errors.ShapeError,
            (2, 0),
        )
        for logits in (True, False)
    },
}


@pytest.mark.parametrize("case", MISFITS)
@pytest.mark.parametrize("name", EAGER)
def test_arrays_that_do_not_fit(name, case):
    call, error, *shapes = MISFITS[case]
    with pytest.raises(error):
        call(*[kf.asarray(np.ones(shape, np.float32), backend=name) for shape in shapes])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("call", [ops.cholesky, ops.inv, lambda x: ops.solve(x, x)])
@pytest.mark.parametrize("name", EAGER)
def test_singular_matrices(name, call):
    """A typed error, or no finite number that could be taken for a result; and the other half of a factor is 0."""
    x = kf.asarray(np.ones((3, 3), np.float32), backend=name)
    try:
        got = kf.to_numpy(call(x))
    except kf.errors.ArgumentError as error:
        assert "singular" in error.problem
        return
    assert name in ("jax", "tensorflow") and not np.isfinite(np.diag(got)).all()
    if call is ops.cholesky:
        np.testing.assert_array_equal(np.triu(got, 1), 0)


LAYERS = [i for i, row in enumerate(ROWS) if row.kind == "layer"]
NOTHING = ("tensorflow", "torch", "numpy", "array_api_strict")


@pytest.mark.parametrize("name", [p for p in TRAINING if p.values[0] in NOTHING])
@pytest.mark.parametrize("i", LAYERS, ids=lambda i: IDS[i])
def test_every_layer_takes_a_batch_of_nothing(i, name):
    """Its shapes and dtypes are those that are found without values; each row runs on one backend in four."""
    if name not in one_of(NOTHING, IDS[i]) and not (name == "tensorflow" and "conv" in IDS[i]):
        return
    row, empty = ROWS[i], kf.tree.map(lambda x: x[:0] if getattr(x, "ndim", 0) else x, (ROWS[i].args, ROWS[i].options))
    try:
        wanted = made(row).trace(*empty[0], **empty[1]).outputs[-1][2]
    except kf.errors.ShapeError:
        return  # such as a mask that has one axis only, which is not the batch
    params, state, args, options = kf.to_backend((*weights(row), *empty), name)
    got, new = made(row).apply(params, *args, state=state, train=row.train, **options)
    for x, spec in zip(kf.tree.leaves(got), kf.tree.leaves(wanted), strict=True):
        assert (tuple(x.shape), kf.arrays.dtype_name(x.dtype)) == (spec.shape, kf.arrays.dtype_name(spec.dtype))
    assert all(np.isfinite(kf.to_numpy(x)).all() for x in kf.tree.leaves(new) if "float" in str(x.dtype))


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda x: ops.stft(x, 4, 0, 4), "sequence_stride"),
        (lambda x: ops.istft((x[None], x[None]), 4, 0, 4), "sequence_stride"),
        (lambda x: ops.istft((x[None], x[None]), 4, 2, 4, -1), "length"),
        (lambda x: ops.istft((x, x), 4, 2, 4), "2 axes"),
        (lambda x: ops.stft(x[0], 4, 2, 4), "1 axis"),
        (lambda x: ops.extract_sequences(x, 0, 1), "sequence_length"),
        (lambda x: ops.extract_sequences(x[0], 1, 1), "1 axis"),
        (lambda x: ops.fft((x[:0], x[:0])), "last axis"),
        (lambda x: ops.fft2((x[None, :0], x[None, :0])), "two last axes"),
        (lambda x: ops.rfft(x[:0]), "last axis"),
        (lambda x: ops.irfft((x[:1], x[:1])), "last axis"),
        (lambda x: ops.conv(x[None, :, None][..., :0], np.ones((2, 0, 3), np.float32)), "channels"),
        (lambda x: ops.conv_transpose(x[None, :0, None], np.ones((2, 3, 1), np.float32)), "spatial"),
        (lambda x: ops.dot_product_attention(*[x[None, :, None, None][:, :, :0]] * 3), "heads"),
        (lambda x: ops.conv(x[None, :, None], np.ones((0, 1, 3), np.float32)), "kernel"),
        (lambda x: ops.conv(x[None, :, None], np.ones((2, 1, 0), np.float32)), "kernel"),
        (lambda x: ops.conv_transpose(x[None, :, None], np.ones((2, 0, 1), np.float32)), "kernel"),
        (lambda x: ops.depthwise_conv(x[None, :, None], np.ones((2, 1, 0), np.float32)), "kernel"),
        (lambda x: ops.image.resize(x[None, :0, None, None], (2, 2)), "images"),
        (lambda x: ops.vectorize(lambda a, b: a + b)(x[:0], x[:2]), "broadcast"),
    ],
)
def test_what_is_refused(call, argument):
    with pytest.raises((kf.errors.ShapeError, kf.errors.ArgumentError), match=argument):
        call(np.ones(8, np.float32))


def test_a_dense_layer_of_no_features():
    params, _ = nn.Dense(3).init(0, np.zeros((2, 0), np.float32))
    np.testing.assert_array_equal(nn.Dense(3).apply(params, np.zeros((2, 0), np.float32))[0], np.zeros((2, 3)))


def wide(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape)


def single(*shape):
    return np.float32(wide(*shape))


MIXED = {
    "conv": (lambda x, k, b: ops.conv(x, k, bias=b), wide(2, 8, 3), single(2, 3, 4), single(4)),
    "conv, bias": (lambda x, k, b: ops.conv(x, k, bias=b), wide(2, 8, 3), wide(2, 3, 4), single(4)),
    "conv_transpose, bias": (lambda x, k, b: ops.conv_transpose(x, k, bias=b), wide(2, 8, 3), wide(2, 4, 3), single(4)),
    "depthwise_conv": (lambda x, k, b: ops.depthwise_conv(x, k, bias=b), wide(2, 8, 3), single(3, 3, 1), single(3)),
    "linear": (ops.linear, wide(2, 8, 3), single(3, 4), single(4)),
    "linear, bias": (ops.linear, wide(2, 8, 3), wide(3, 4), single(4)),
    "lstm": (lambda *xs: ops.lstm(*xs)[0], wide(2, 8, 3), single(3, 8), single(2, 8), single(8)),
    "lstm, bias": (lambda *xs: ops.lstm(*xs)[0], wide(2, 8, 3), wide(3, 8), wide(2, 8), single(8)),
    "gru": (lambda *xs: ops.gru(*xs)[0], wide(2, 8, 3), single(3, 6), single(2, 6), single(2, 6)),
    "simple_rnn": (lambda *xs: ops.simple_rnn(*xs)[0], wide(2, 8, 3), single(3, 2), single(2, 2), single(2)),
    "layer_normalization": (ops.layer_normalization, wide(2, 8, 3), single(3), single(3)),
    "group_normalization": (lambda x, *w: ops.group_normalization(x, 3, *w), wide(2, 8, 3), single(3), single(3)),
    "rms_normalization": (ops.rms_normalization, wide(2, 8, 3), single(3)),
    "batch_normalization": (
        lambda x, v, *w: ops.batch_normalization(x, v, v * v, -1, *w),
        wide(2, 8, 3),
        single(3),
        single(3),
        single(3),
    ),
    "normalize_batch": (lambda *xs: ops.normalize_batch(*xs)[0], wide(2, 8, 3), single(3), single(3)),
    "attention": (ops.dot_product_attention, wide(2, 4, 2, 3), single(2, 4, 2, 3), single(2, 4, 2, 3)),
    "attention, bias": (ops.dot_product_attention, *[wide(2, 4, 2, 3)] * 3, single(2, 2, 4, 4)),
    "attention, flag": (lambda x: ops.dot_product_attention(x, x, x, is_causal=1), wide(2, 4, 2, 3)),
    "matmul": (ops.matmul, wide(2, 3), single(3, 2)),
    "einsum": (lambda a, b: ops.einsum("ab,bc->ac", a, b), wide(2, 3), single(3, 2)),
}
"""Arrays in float64 beside arrays in float32, such as NumPy's data beside parameters: no kernel may refuse them."""


@pytest.mark.parametrize("name", EAGER)
@pytest.mark.parametrize("case", MIXED)
def test_two_precisions_meet(case, name):
    fun, *args = MIXED[case]
    want = fun(*[np.float64(x) for x in args])
    got = kf.to_numpy(fun(*kf.to_backend(args, name)))
    # JAX has float32 alone: some ten roundings of sums of ten products, in eight steps, of numbers near 1.
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
