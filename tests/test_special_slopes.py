"""Derivatives at zeros, ties, equal and infinite arguments, repeated eigenvalues, singular matrices, empty axes.

Each has one value on all backends: the limit in float64 where there is one. At a kink it is agreed: equal arguments and
equal extremes share the cotangent; norms, roots of variances and absolute values have 0 at 0; at a bound, the argument
gets the cotangent; the slope of `x ** 0` is 0.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from backends import TRAINING

import kfunc as kf
from kfunc import losses, ops

EPS = float(np.finfo(np.float32).eps)
inf, half = math.inf, 0.5
EYE, ZERO, ONES = np.eye(3), np.zeros((3, 3)), np.ones((3, 3))
RANK_2 = np.array([[1.0, 2, 3], [2, 4, 6], [1, 0, 1]])
NONE = np.zeros((0, 3)), np.zeros((2, 0))
TIED, SYMMETRIC = np.diag([2.0, 2, 5]), np.array([[2.0, 1, 0], [1, 3, 1], [0, 1, 4]])
UPPER = np.array([[1.0, 1, 0], [0, 2, 1], [0, 0, 4]])
TURN = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 2]])
WEIGHTS = np.arange(9.0).reshape(3, 3)
NO_SLOPE = np.full((3, 3), math.nan)


def beside(x, values):
    return kf.asarray(np.float32(values), backend=kf.backend_of(x).name)


def weighed(y):
    """Its sum has the cotangent `WEIGHTS`, or the first rows and columns of it."""
    return ops.multiply(y, beside(y, WEIGHTS[: y.shape[-2], : y.shape[-1]]))


def plane(x):
    """The projection onto the plane of the two least eigenvalues."""
    vectors = ops.eigh(x)[1][..., :2]
    return weighed(ops.matmul(vectors, ops.swapaxes(vectors, -1, -2)))


def polar(x):
    """The nearest orthogonal matrix."""
    u, _, vh = ops.svd(x, full_matrices=False)
    return weighed(ops.matmul(u, vh))


def squared(x):
    """The square of a matrix, by its eigenvalues and eigenvectors, whatever their order and lengths are."""
    values, vectors = ops.eig(x)
    scaled = ops.multiply(vectors, ops.expand_dims(ops.square(values), -2))
    return weighed(ops.real(ops.matmul(scaled, ops.inv(vectors))))


# The function of arrays, the arrays, and the gradients of the sum of its results.
SLOPES = {
    # one argument
    "abs": (ops.abs, [[0.0, -0.0, 2, -2]], [[0, 0, 1, -1]]),
    "clip": (lambda x: ops.clip(x, -1, 2), [[-2.0, -1, 0, 2, 3]], [[0, 1, 1, 1, 0]]),
    "elu": (ops.elu, [[0.0, inf, -inf]], [[1, 1, 0]]),
    "erfinv": (ops.erfinv, [[-1.0, 0, 1]], [[inf, math.sqrt(math.pi) / 2, inf]]),
    "exp": (ops.exp, [[-inf, 0, inf]], [[0, 1, inf]]),
    "hard_sigmoid": (ops.hard_sigmoid, [[-3.0, 0, 3]], [[0, 1 / 6, 0]]),
    "hard_tanh": (ops.hard_tanh, [[-1.0, 0, 1]], [[0, 1, 0]]),
    "leaky_relu": (ops.leaky_relu, [[-1.0, 0, 1]], [[0.2, 0.2, 1]]),
    "log1p": (ops.log1p, [[-1.0, 0, inf]], [[inf, 1, 0]]),
    "log_sigmoid": (ops.log_sigmoid, [[-inf, 0, inf]], [[1, half, 0]]),
    "relu": (ops.relu, [[-1.0, 0, -0.0, 1, inf]], [[0, 0, 0, 1, 1]]),
    "relu6": (ops.relu6, [[0.0, 3, 6]], [[0, 1, 0]]),
    "selu": (ops.selu, [[0.0, 1]], [[1.0507009873554805 * 1.6732632423543772, 1.0507009873554805]]),
    "sigmoid": (ops.sigmoid, [[-inf, 0, inf]], [[0, 0.25, 0]]),
    "sign": (ops.sign, [[-1.0, 0, 1]], [[0, 0, 0]]),
    "sinc": (ops.sinc, [[0.0, 1]], [[0, -1]]),
    "soft_shrink": (ops.soft_shrink, [[-1.0, -0.5, 0, 0.5, 1]], [[1, 0, 0, 0, 1]]),
    "softplus": (ops.softplus, [[-inf, 0, inf]], [[0, half, 1]]),
    "softsign": (ops.softsign, [[0.0, 1]], [[1, 0.25]]),
    "sqrt": (ops.sqrt, [[0.0, 4, inf]], [[inf, 0.25, 0]]),
    "square": (ops.square, [[0.0, -3]], [[0, -6]]),
    "tanh": (ops.tanh, [[-inf, 0, inf]], [[0, 1, 0]]),
    # two arguments
    "divide": (ops.divide, [[0.0, 1], [2.0, inf]], [[half, 0], [0, 0]]),
    "divide_no_nan": (ops.divide_no_nan, [[3.0, 0], [0.0, 0]], [[0, 0], [0, 0]]),
    "hypot": (
        ops.hypot,
        [[0.0, 3, 1, -2, inf, 1, 0], [0.0, 4, 1, 2, 1, -inf, 5]],
        [[0, 0.6, half**half, -(half**half), 1, 0, 0], [0, 0.8, half**half, half**half, 0, -1, 1]],
    ),
    "logaddexp": (
        ops.logaddexp,
        [[0.0, 7, 1, inf, 2, -inf, -inf, inf], [0.0, 7, inf, 2, -inf, 3, -inf, inf]],
        [[half, half, 0, 1, 1, 0, half, half], [half, half, 1, 0, 0, 1, half, half]],
    ),
    "maximum": (ops.maximum, [[0.0, 1, inf, 2], [0.0, 2, inf, -inf]], [[half, 0, half, 1], [half, 1, half, 0]]),
    "minimum": (ops.minimum, [[0.0, 1, inf, 2], [0.0, 2, inf, -inf]], [[half, 1, half, 0], [half, 0, half, 1]]),
    "fmax": (ops.fmax, [[1.0, 2], [1.0, math.nan]], [[half, 1], [half, 0]]),
    "power": (ops.power, [[0.0, 0, 0, 3], [0.0, 1, 2, 0]], [[0, 1, 0, 0], [0, 0, 0, math.log(3)]]),
    # reductions
    "max": (lambda x: ops.max(x, axis=1), [[[1.0, 3, 3], [2, 2, 2]]], [[[0, half, half], [1 / 3] * 3]]),
    "prod": (lambda x: ops.prod(x, axis=1), [[[0.0, 2, 3], [0, 0, 4]]], [[[6, 0, 0], [0, 0, 0]]]),
    "cumprod": (
        lambda x: ops.cumprod(x, axis=1),
        [[[0.0, 2, 3], [0, 0, 4], [2, 0, 5]]],
        [[[9, 0, 0], [1, 0, 0], [1, 12, 0]]],
    ),
    "std": (lambda x: ops.std(x, axis=1), [[[2.0, 2], [1, 3]]], [[[0, 0], [-half, half]]]),
    "nanstd": (lambda x: ops.nanstd(x, axis=1), [[[2.0, 2], [1, 3]]], [[[0, 0], [-half, half]]]),
    "var": (lambda x: ops.var(x, axis=1), [[[2.0, 2], [1, 3]]], [[[0, 0], [-1, 1]]]),
    "norm": (lambda x: ops.norm(x, axis=1), [[[0.0, 0], [3, 4]]], [[[0, 0], [0.6, 0.8]]]),
    "norm of all": (ops.norm, [[[0.0, 0]]], [[[0, 0]]]),
    "norm of order 1": (lambda x: ops.norm(x, ord=1, axis=1), [[[0.0, 0], [3, -4]]], [[[0, 0], [1, -1]]]),
    "norm of order 3": (lambda x: ops.norm(x, ord=3, axis=1), [[[0.0, 0], [0, -4]]], [[[0, 0], [0, -1]]]),
    "norm of order inf": (lambda x: ops.norm(x, ord=inf, axis=1), [[[0.0, 0], [4, -4]]], [[[0, 0], [half, -half]]]),
    "logsumexp": (lambda x: ops.logsumexp(x, axis=1), [[[-inf, 0.0], [1, 1]]], [[[0, 1], [half, half]]]),
    "softmax": (lambda x: ops.softmax(x)[..., 0], [[[-inf, 0.0], [1, 1]]], [[[0, 0], [0.25, -0.25]]]),
    "cdist": (lambda x: ops.cdist(x, x), [[[1.0, 2], [1, 2]]], [[[0, 0], [0, 0]]]),
    "sum of nothing": (lambda x: ops.sum(x, axis=1), [NONE[1]], [NONE[1]]),
    **{
        f"{name} of nothing": (lambda x, name=name: getattr(ops, name)(x, axis=1), [NONE[1]], [NONE[1]])
        for name in ("mean", "var", "std", "prod", "cumprod", "logsumexp", "norm")
    },
    **{
        f"{name} of no rows": (lambda x, name=name: getattr(ops, name)(x, axis=1), [NONE[0]], [NONE[0]])
        for name in ("max", "mean", "var", "std", "prod", "cumsum", "sort", "median", "softmax", "normalize")
    },
    # losses
    "mean_absolute_error": (lambda x: losses.mean_absolute_error(beside(x, [[0, 1]]), x), [[[0.0, 3]]], [[[0, half]]]),
    "kl_divergence": (lambda x: losses.kl_divergence(beside(x, [[1, half]]), x), [[[1.0, half]]], [[[-1, -1]]]),
    # matrices
    "det": (ops.det, [EYE], [EYE]),
    "det of rank n - 1": (ops.det, [RANK_2], [[[4, 4, -4], [-2, -2, 2], [0, 0, 0]]]),
    "det of rank 1": (ops.det, [ONES], [ZERO]),
    "det of zeros": (ops.det, [ZERO], [ZERO]),
    "dets": (ops.det, [np.stack([RANK_2, EYE])], [np.stack([[[4, 4, -4], [-2, -2, 2], [0, 0, 0]], EYE])]),
    "det of nothing": (ops.det, [np.zeros((0, 0))], [np.zeros((0, 0))]),
    "singular values": (lambda x: ops.svd(x, compute_uv=False), [EYE], [EYE]),
    "singular values of svd": (lambda x: ops.svd(x)[1], [np.diag([2.0, 2, 1])], [EYE]),
    "eigenvalues": (lambda x: ops.eigh(x)[0], [EYE], [EYE]),
    "nuclear norm": (lambda x: ops.norm(x, ord="nuc", axis=(0, 1)), [EYE], [EYE]),
    "spectral norm": (lambda x: ops.norm(x, ord=2, axis=(0, 1)), [EYE], [EYE / 3]),
    "frobenius norm": (lambda x: ops.norm(x, ord="fro", axis=(0, 1)), [ZERO], [ZERO]),
    "inv": (ops.inv, [EYE], [-ONES]),
    "slogdet": (lambda x: ops.slogdet(x)[1], [-EYE], [-EYE]),
    "slogdet of rank n - 1": (lambda x: ops.slogdet(x)[1], [RANK_2], [NO_SLOPE]),
    "slogdets": (lambda x: ops.slogdet(x)[1], [np.stack([ZERO, EYE])], [np.stack([NO_SLOPE, EYE])]),
    "slogdet of nothing": (lambda x: ops.slogdet(x)[1], [np.zeros((0, 0))], [np.zeros((0, 0))]),
    # Each element of the upper triangle has half of the slope of both: (w v v.T), by the eigenvalues' weights w.
    "eigenvalues apart": (
        lambda x: ops.eigh(x)[0] * beside(x, [1, 2, 3]),
        [SYMMETRIC],
        [np.linalg.eigh(SYMMETRIC)[1] * [1, 2, 3] @ np.linalg.eigh(SYMMETRIC)[1].T],
    ),
    # Between a vector of the plane and the other one: the mean of both weights, over the difference of the eigenvalues.
    "plane of equal eigenvalues": (plane, [TIED], [[[0, 0, -4 / 3], [0, 0, -2], [-4 / 3, -2, 0]]]),
    "eigenvector beside equal ones": (
        lambda x: weighed(ops.eigh(x)[1][:, 2:] * ops.eigh(x)[1][:, 2]),
        [TIED],
        [[[0, 0, 4 / 3], [0, 0, 2], [4 / 3, 2, 0]]],
    ),
    # The differences of the weights across the diagonal, over the sums of the singular values.
    "polar factor": (polar, [EYE], [(WEIGHTS - WEIGHTS.T) / 2]),
    "polar factor of two equal": (polar, [TIED], [(WEIGHTS - WEIGHTS.T) / [[4, 4, 7], [4, 4, 7], [7, 7, 10]]]),
    "polar factor, tall": (polar, [np.eye(3, 2)], [[[0, -1], [1, 0], [6, 7]]]),
    "polar factor, wide": (polar, [np.eye(2, 3)], [[[0, -1, 2], [1, 0, 5]]]),
    "singular vectors of rank 1": (
        lambda x: weighed(ops.svd(x)[0][:, :1] * ops.svd(x)[2][0, :]),
        [ONES],
        [WEIGHTS / 3 - np.full((3, 3), 4 / 3)],
    ),
    "values of eig": (lambda x: ops.real(ops.square(ops.eig(x)[0])), [RANK_2], [2 * RANK_2.T]),
    "values and vectors of eig": (squared, [UPPER], [WEIGHTS @ UPPER.T + UPPER.T @ WEIGHTS]),
    "complex values and vectors of eig": (squared, [TURN], [WEIGHTS @ TURN.T + TURN.T @ WEIGHTS]),
    "pinv": (lambda x: weighed(ops.pinv(x)), [EYE], [-WEIGHTS]),
    "lstsq": (lambda x: ops.lstsq(x, beside(x, [1, 2, 3])), [EYE], [[[-1, -2, -3]] * 3]),
}


pytestmark = pytest.mark.usefixtures("quickly_compiled")


@kf.arrays.native
def total(y):
    return kf.namespace(y).sum(y)


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")  # of infinities, and of no elements
@pytest.mark.parametrize("case", SLOPES)
@pytest.mark.parametrize("name", TRAINING)
def test_slopes(name, case):
    fun, args, wanted = SLOPES[case]
    xs = [kf.asarray(np.asarray(a, np.float32), backend=name) for a in args]
    gradient = kf.grad(lambda xs: total(fun(*xs)))
    # Alone, JAX compiles each function that it meets.
    gradients = (kf.jit(gradient) if name == "jax" else gradient)(xs)
    for g, want in zip(gradients, wanted, strict=True):
        g = kf.to_numpy(g)
        assert g.shape == np.shape(want)
        # Products of two numbers of this size, through decompositions of three rows at most.
        size = max(np.abs(a[np.isfinite(a)]).max(initial=1) for a in map(np.asarray, args))
        np.testing.assert_allclose(g, want, rtol=0, atol=16 * EPS * size * size)


@pytest.mark.parametrize("approximate", [True, False])
@pytest.mark.parametrize("name", [p for p in TRAINING if p.values[0] != "array_api_strict"])
def test_slopes_of_gelu_in_half_precision(name, approximate):
    """The square of the argument is infinite in float16."""
    x = kf.asarray(np.float16([-60000, -300, 300, 60000]), backend=name)
    slopes = kf.grad(lambda x: total(ops.gelu(x, approximate)))(x)
    np.testing.assert_array_equal(kf.to_numpy(slopes), np.float16([0, 0, 1, 1]))


@kf.custom_gradient
def tripled(x):
    return x * x, lambda upstream: 3 * x * upstream


def half_square(x):
    y = tripled(x)
    return y * y / 2


# A function of each number, the numbers, and its first and second derivatives there.
TWICE = {
    "abs": (ops.abs, [-1.0, 2], [-1, 1], [0, 0]),
    # The result has the gradient that was given wherever it is used: (3 x)**2 + 3 x**2.
    "custom_gradient": (kf.arrays.native(half_square), [2.0, -1], [24, -3], [48, 12]),
    "gelu": (ops.gelu, [-1e15, 1e15], [0, 1], None),
    "hard_sigmoid": (ops.hard_sigmoid, [-4.0, 0, 1, 4], [0, 1 / 6, 1 / 6, 0], [0, 0, 0, 0]),
    "hypot": (
        lambda x: ops.hypot(x, beside(x, [100, 100, 4, 0, 1e30])),
        [100.0, -100, 3, 2, 1e30],
        [half**half, -(half**half), 0.6, 1, half**half],
        [half**1.5 / 100, half**1.5 / 100, 16 / 125, 0, 0],
    ),
    # The exponential overflows from 88.7 on, and the function from 91.9 on: SciPy's i1, and (i0 + iv(2)) / 2.
    "i0": (
        ops.i0,
        [0.0, 88, 91, -91, 200, -inf],
        [0, 6.9939388e36, 1.3816168e38, -1.3816168e38, inf, -inf],
        [half, 6.9545431e36, 1.3740888e38, 1.3740888e38, inf, inf],
    ),
    "logaddexp": (
        lambda x: ops.logaddexp(x, beside(x, [0, 200, -1e4, 1e30])),
        [0.0, 0, 1e4, -1e30],
        [half, 0, 1, 0],
        [0.25, 0, 0, 0],
    ),
    "sinc": (
        ops.sinc,
        [0.0, 1e-20, 1e-5, -1e-3, half],
        [-(math.pi**2) / 3 * x for x in (0, 1e-20, 1e-5, -1e-3)] + [-4 / math.pi],
        [-(math.pi**2) / 3] * 4 + [16 / math.pi - 2 * math.pi],
    ),
    "softsign": (ops.softsign, [-1.0, 3], [0.25, 1 / 16], [0.25, -1 / 32]),
    "squareplus": (ops.squareplus, [-inf, -1e20, 0, 1e20, inf], [0, 0, half, 1, 1], [0, 0, 0.25, 0, 0]),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("case", TWICE)
@pytest.mark.parametrize("name", TRAINING)
def test_first_and_second_slopes(name, case):
    """Where arguments are large, small or equal: a derivative that a kernel lacks, or has wrong, is ours."""
    fun, x, first, second = TWICE[case]
    x = kf.asarray(np.float32(x), backend=name)

    def once(x):
        return kf.grad(lambda x: total(fun(x)))(x)

    np.testing.assert_allclose(kf.to_numpy(once(x)), first, rtol=16 * EPS, atol=16 * EPS)
    if second is not None:  # quotients of four roundings each, of numbers below 10
        got = kf.grad(lambda x: total(once(x)))(x)
        np.testing.assert_allclose(kf.to_numpy(got), second, rtol=64 * EPS, atol=64 * EPS)


@pytest.mark.parametrize("name", TRAINING)
def test_second_slopes_of_a_power(name):
    """At exponents and bases of 0, also where both derivatives are taken of one function, and in transforms."""
    base, exponent = np.float32([2, 2, 0, 0, 0, 0, 0.5, 3]), np.float32([0, 1.5, 0, 1, 2, 3, -1, 0])
    safe, y = np.where(base == 0, 1, base).astype("f8"), exponent.astype("f8")
    log = np.log(safe)
    of_base = np.where(base == 0, 2.0 * (y == 2), y * (y - 1) * safe ** (y - 2))
    mixed = np.where(base == 0, y == 1, (1 + y * log) * safe ** (y - 1))
    of_exponent = safe**y * log**2  # 0 where the base is

    x, n = (kf.asarray(v, backend=name) for v in (base, exponent))
    by_base, by_exponent = (kf.grad(lambda x, n: total(ops.power(x, n)), argnums=i) for i in (0, 1))
    for once, argnum, want in ((by_base, 0, of_base), (by_base, 1, mixed), (by_exponent, 1, of_exponent)):

        def twice(x, n, once=once, argnum=argnum):
            return kf.grad(lambda x, n: total(once(x, n)), argnums=argnum)(x, n)

        for transformed in (twice, kf.jit(twice), lambda x, n, twice=twice: kf.vmap(twice)(x, n)):
            got = kf.to_numpy(transformed(x, n))
            np.testing.assert_allclose(got, want, rtol=64 * EPS, atol=64 * EPS)


OF_MATRICES = ("dets", "slogdets", "plane of equal eigenvalues", "polar factor of two equal", "pinv")
NOT_COMPILED = ("slogdets", "plane of equal eigenvalues", "polar factor of two equal", "pinv")  # the last takes 15 s


@pytest.mark.parametrize("case", OF_MATRICES)
@pytest.mark.parametrize("name", [p for p in TRAINING if p.values[0] not in ("numpy", "array_api_strict")])
def test_slopes_of_matrices_in_transforms(name, case):
    """Where a framework cannot look whether a matrix is special: it is compiled, or one of a batch."""
    fun, (x,), (wanted,) = SLOPES[case]
    x = x if x.ndim == 3 else np.stack([x, x])
    wanted = np.broadcast_to(wanted, x.shape)
    x = kf.asarray(np.float32(x), backend=name)

    def each(x):
        return total(fun(x))

    direction = kf.asarray(np.float32(np.linspace(-1, 1, 9).reshape(3, 3) ** 3 + 0.5), backend=name)
    along = np.sum(wanted[0] * kf.to_numpy(direction))
    # A function that torch.compile compiles has torch's derivative: NaN for vectors, an error for singular matrices.
    jit = (lambda f: f) if name == "torch" and case in NOT_COMPILED else kf.jit
    for got, want in (
        (jit(kf.grad(each))(x[0]), wanted[0]),
        (kf.vmap(kf.grad(each))(x), wanted),
        (kf.grad(lambda x: total(kf.vmap(each)(x)))(x), wanted),
        (kf.jvp(each, (x[0],), (direction,))[1], along),
    ):
        # As above, where the elements are at most 5, and sums of nine products.
        np.testing.assert_allclose(kf.to_numpy(got), want, rtol=0, atol=9 * 16 * EPS * 25)
