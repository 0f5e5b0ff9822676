"""What each rule of the tape is tried on: a function of arrays, and what makes the arrays.

`CASES` has at least one row for each differentiable function of the standard, `CONSTANT` names the others.
"""

from __future__ import annotations

import functools
import math
import operator

import numpy as np

from kfunc import ops
from kfunc.ops.segment import segment_sum
from kfunc.transforms import stop_gradient

__all__ = ["CASES", "CONSTANT", "NO_DIFFERENCES", "NO_JAX", "between", "normal", "tried"]


def normal(*shape):
    return lambda rng: rng.normal(size=shape)


def between(low, high, *shape):
    return lambda rng: rng.uniform(low, high, shape)


def distinct(*shape):
    """Numbers at least 0.5 apart, in random order: no ties, and none arises from a small step."""
    return lambda rng: rng.permutation(math.prod(shape)).reshape(shape) * 0.5 - 1.1


def complexes(*shape):
    return lambda rng: rng.normal(size=shape) + 1j * rng.normal(size=shape)


def away(*shape):
    """Complex numbers of size 0.5 to 0.9, not near the axes: on no branch cut of any function."""
    return lambda rng: (
        rng.uniform(0.5, 0.9, shape)
        * np.exp(1j * (rng.uniform(0.2, np.pi / 2 - 0.2, shape) + rng.integers(0, 4, shape) * np.pi / 2))
    )


def call(name, *args, **kwargs):
    """The namespace's function `name` of the arrays, with further arguments."""
    return lambda xp, *arrays: operator.attrgetter(name)(xp)(*arrays, *args, **kwargs)


def of(change, name, *args, **kwargs):
    """The same of `change(xp, array)`."""
    return lambda xp, x: call(name, *args, **kwargs)(xp, change(xp, x))


def positive(xp, x):
    """Positive definite, with eigenvalues that differ."""
    n = x.shape[-1]
    ramp = xp.astype(xp.arange(1, n + 1), x.dtype)
    adjoint = xp.matrix_transpose(xp.conj(x) if "complex" in str(x.dtype) else x)
    return xp.matmul(x, adjoint) + ramp * xp.eye(n, dtype=x.dtype)


def safe(xp, x):
    """Well away from singular."""
    return x + 3 * xp.eye(x.shape[-2], x.shape[-1], dtype=x.dtype)


def joined(fun):
    """The results of a function that has several, times `fun` of them, as one vector."""

    def flat(xp, *arrays):
        return xp.concat([xp.reshape(r, (-1,)) for r in fun(xp, *arrays)])

    return flat


def absolute(xp, x):
    return xp.real(x * xp.conj(x)) if "complex" in str(x.dtype) else x


def eigh_parts(xp, x):
    """Of the vectors, what does not depend on their phases."""
    values, vectors = xp.linalg.eigh(positive(xp, x))
    return values, absolute(xp, vectors)


def svd_parts(full):
    def parts(xp, x):
        u, s, vh = xp.linalg.svd(x, full_matrices=full)
        if "complex" not in str(x.dtype):
            return u, s, vh
        # The product of both does not depend on the phases.
        both = xp.expand_dims(xp.matrix_transpose(u), axis=-1) * xp.expand_dims(vh, axis=-2)
        return absolute(xp, u), s, absolute(xp, vh), xp.real(both), xp.imag(both)

    return parts


def listed(name, **kwargs):
    return lambda xp, *arrays: getattr(xp, name)(list(arrays), **kwargs)


A = (3, 4)
UNARY = {
    **dict.fromkeys(
        ["abs", "atan", "asinh", "cos", "cosh", "exp", "expm1", "negative", "positive", "sin", "sinh", "square"],
        normal(*A),
    ),
    **dict.fromkeys(["tan", "tanh"], between(-1, 1, *A)),
    **dict.fromkeys(["acos", "asin", "atanh"], between(-0.9, 0.9, *A)),
    **dict.fromkeys(["log", "log1p", "log2", "log10", "sqrt", "reciprocal"], between(0.5, 3, *A)),
    "acosh": between(1.5, 3, *A),
    **dict.fromkeys(["ceil", "floor", "round", "sign", "trunc"], between(0.1, 0.4, *A)),
}
BINARY = {
    **dict.fromkeys(["add", "subtract", "multiply", "maximum", "minimum", "logaddexp", "copysign"], normal),
    **dict.fromkeys(["atan2", "divide", "hypot", "pow"], functools.partial(between, 0.5, 2)),
}


def key(*indices):
    """Indexing; lists stand for arrays of integers or booleans."""

    def fun(xp, x):
        made = tuple(xp.asarray(i) if isinstance(i, list) else i for i in indices)
        return x[made if len(made) > 1 else made[0]]

    return fun


def integers(name, indices, **kwargs):
    return lambda xp, x: getattr(xp, name)(x, xp.asarray(indices), **kwargs)


def set_parts(xp, x, y):
    z = x * 2
    z[0, ...] = y
    z[:, 1] = z[:, 2]
    z[1, 1] = 3.0
    return z * z


CASES = {
    **{name: (call(name), [make]) for name, make in UNARY.items()},
    **{name: (call(name), [make(*A), make(*A)]) for name, make in BINARY.items()},
    **{f"{name} broadcast": (call(name), [make(4), make(2, 1, 4)]) for name, make in BINARY.items()},
    **{f"{name} scalar": (call(name), [make(1), make()]) for name, make in BINARY.items()},
    "operators": (
        lambda xp, x, y: (2 - x) * y / 3 + (-x) ** 2 + 1 / y - abs(x) @ y.T,
        [normal(3, 3), between(1, 2, 3, 3)],
    ),
    "pow number": (lambda xp, x: x**3 + x**2 + x**0.5 + 2.0**x + x**0, [between(0.5, 2, *A)]),
    "remainder": (lambda xp, x, y: xp.remainder(x, y), [between(1.1, 1.9, *A), between(0.6, 0.9, *A)]),
    "where": (lambda xp, x, y: xp.where(x > y, x * y, y), [normal(*A), normal(4)]),
    "clip": (lambda xp, x: xp.clip(x, -0.5, 0.5) + xp.clip(x, max=0.25), [normal(*A)]),
    "clip arrays": (lambda xp, x, a, b: xp.clip(x, a, b), [normal(*A), between(-1, -0.5, 4), between(0.5, 1, 3, 1)]),
    "astype": (lambda xp, x: xp.astype(xp.astype(x, xp.float64) * x, xp.float64), [normal(*A)]),
    **{
        f"{name} {axis} {keepdims}": (call(name, axis=axis, keepdims=keepdims), [make(2, 3, 4)])
        for name, make in {"sum": normal, "mean": normal, "prod": normal, "max": distinct, "min": distinct}.items()
        for axis, keepdims in ((None, False), (1, False), ((0, -1), True))
    },
    **{
        f"{name} {axis}": (call(name, axis=axis, correction=correction, keepdims=keepdims), [normal(2, 3, 4)])
        for name in ("var", "std")
        for axis, correction, keepdims in ((None, 0, False), (1, 1, False), ((0, 2), 0, True))
    },
    "prod zeros": (call("prod", axis=0), [lambda rng: np.array([[0.0, 2, 3], [4, 0, 5], [6, 0, 7]])]),
    "cumulative_sum": (call("cumulative_sum", axis=1), [normal(2, 5)]),
    "cumulative_sum initial": (call("cumulative_sum", include_initial=True), [normal(5)]),
    "cumulative_prod": (call("cumulative_prod", axis=0), [lambda rng: np.array([[2.0, 1], [0, 3], [4, 0], [5, 0]])]),
    **{
        f"matmul {a} {b}": (call("matmul"), [normal(*a), normal(*b)])
        for a, b in (
            *(((3, 4), (4, 2)), ((4,), (4,)), ((4,), (4, 2)), ((3, 4), (4,)), ((2, 3, 4), (4, 2)), ((4,), (2, 4, 3))),
            *(((2, 3, 4), (4,)), ((2, 1, 3, 4), (5, 4, 2)), ((3, 4), (2, 4, 2))),
        )
    },
    "tensordot 1": (call("tensordot", axes=1), [normal(2, 3), normal(3, 4)]),
    "tensordot 2": (call("tensordot"), [normal(2, 3, 4), normal(3, 4, 2)]),
    "tensordot axes": (call("tensordot", axes=((0, 2), (1, 0))), [normal(2, 3, 4), normal(4, 2, 5)]),
    "vecdot": (call("vecdot", axis=-1), [normal(2, 3, 4), normal(3, 4)]),
    "matrix_transpose": (call("matrix_transpose"), [normal(2, 3, 4)]),
    "properties": (lambda xp, x: x.mT[0, ...] @ x[0, ...] + x[0, ...].T @ x[1, ...], [normal(2, 3, 4)]),
    "concat": (listed("concat", axis=1), [normal(2, 3), normal(2, 1), normal(2, 2)]),
    "concat none": (listed("concat", axis=None), [normal(2, 3), normal(4)]),
    "stack": (listed("stack", axis=-1), [normal(2, 3), normal(2, 3)]),
    "unstack": (lambda xp, x: xp.unstack(x, axis=1)[1] * xp.unstack(x, axis=1)[0], [normal(2, 3)]),
    "reshape": (call("reshape", (4, -1)), [normal(2, 6)]),
    "permute_dims": (call("permute_dims", (2, 0, 1)), [normal(2, 3, 4)]),
    "moveaxis": (call("moveaxis", (0, 1), (2, 0)), [normal(2, 3, 4)]),
    "expand_dims": (call("expand_dims", axis=1), [normal(2, 3)]),
    "squeeze": (call("squeeze", axis=(0, 2)), [normal(1, 3, 1)]),
    "broadcast_to": (call("broadcast_to", (2, 3, 4)), [normal(3, 1)]),
    "broadcast_arrays": (
        lambda xp, *a: functools.reduce(lambda p, q: p * q, xp.broadcast_arrays(*a)),
        [normal(3, 1), normal(4)],
    ),
    "meshgrid": (lambda xp, *a: functools.reduce(lambda p, q: p * q, xp.meshgrid(*a)), [normal(3), normal(4)]),
    "flip": (call("flip", axis=1), [normal(2, 3)]),
    "flip all": (call("flip"), [normal(2, 3)]),
    "roll": (call("roll", (1, -2), axis=(0, 1)), [normal(2, 5)]),
    "roll flat": (call("roll", 2), [normal(2, 3)]),
    "repeat": (call("repeat", 3, axis=1), [normal(2, 3)]),
    "repeat flat": (call("repeat", 2), [normal(2, 3)]),
    "repeat counts": (integers("repeat", [2, 0, 1], axis=1), [normal(2, 3)]),
    "tile": (call("tile", (2, 1, 3)), [normal(2, 3)]),
    "tril": (call("tril", k=1), [normal(3, 4)]),
    "triu": (call("triu"), [normal(3, 4)]),
    "diff": (call("diff", axis=0, n=2), [normal(5, 2)]),
    "sort": (call("sort", axis=0, descending=True), [distinct(5, 2)]),
    "take": (integers("take", [2, 0, 2, 2], axis=1), [normal(2, 3, 2)]),
    "take flat": (integers("take", [1, 1, 0]), [normal(4)]),
    "take_along_axis": (integers("take_along_axis", [[0, 0], [2, 1], [2, 0]], axis=0), [normal(3, 2)]),
    "index slices": (key(slice(None, None, 2), 1, slice(1, None)), [normal(4, 3, 4)]),
    "index new": (key(Ellipsis, None, -1), [normal(2, 3)]),
    "index integers": (key([2, 0, 2, 2]), [normal(3)]),
    "index pairs": (key([0, 1, 0], [1, 2, 1]), [normal(2, 3)]),
    "index mask": (key([[True, False, True], [False, True, True]]), [normal(2, 3)]),
    "index overlap": (lambda xp, x: x[1:] * x[:-1] + x[0] + x[2], [normal(5)]),
    "full_like": (lambda xp, x: xp.full_like(x, xp.sum(x)) * x, [normal(2)]),
    "cut": (lambda xp, x: x * stop_gradient(xp.exp(x)), [normal(3)]),
    "segment_sum": (lambda xp, x: segment_sum(x, xp.asarray([3, 0, 3, 3, 1]), 5), [normal(5, 2)]),
    "erf": (lambda xp, x: ops.erf(x), [between(-5, 5, 9)]),
    "erfinv": (lambda xp, x: ops.erfinv(x), [between(-0.95, 0.95, 9)]),
    "relu": (lambda xp, x: ops.relu(x), [normal(*A)]),
    "sigmoid": (lambda xp, x: ops.sigmoid(x), [normal(*A)]),
    "tanh op": (lambda xp, x: ops.tanh(x), [normal(*A)]),
    "softmax": (lambda xp, x: ops.softmax(x, axis=0), [normal(*A)]),
    "log_softmax": (lambda xp, x: ops.log_softmax(x), [normal(*A)]),
    "logsumexp": (lambda xp, x: ops.logsumexp(x, axis=0), [normal(*A)]),
    "logsumexp kept": (lambda xp, x: x - ops.logsumexp(x, keepdims=True), [normal(*A)]),
}
CASES |= {
    "imag conj real": (lambda xp, z: xp.imag(z) * xp.real(xp.conj(z)) + xp.real(z), [complexes(*A)]),
    "conj real": (lambda xp, x: x * xp.astype(xp.real(x), x.dtype), [complexes(4)]),
    **{
        f"{name} complex": (call(name), [away(*A)])
        for name in (
            *("abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "conj", "cos", "cosh", "exp", "expm1", "log"),
            *("log10", "log1p", "log2", "negative", "positive", "reciprocal", "sign", "sin", "sinh", "sqrt", "square"),
            *("tan", "tanh"),
        )
    },
    **{f"{name} complex": (call(name), [away(*A), away(4)]) for name in ("add", "subtract", "multiply", "divide")},
    "pow complex": (lambda xp, x, y: (1 + 0.3 * x) ** y + 2.5**y + (1 + x) ** (1 + 2j), [away(*A), away(4)]),
    "mixed": (lambda xp, x, z: x * z + z / x, [between(1, 2, 3), complexes(2, 3)]),
    **{f"{name} complex": (call(name, axis=1), [away(2, 3)]) for name in ("sum", "mean", "prod", "cumulative_prod")},
    "matmul complex": (call("matmul"), [complexes(2, 3, 4), complexes(4, 2)]),
    "vecdot complex": (call("vecdot"), [complexes(2, 3), complexes(3)]),
    "where complex": (lambda xp, x, z: xp.where(x > 0, z, z * z), [normal(*A), complexes(*A)]),
    "index complex": (key([2, 0, 2, 2]), [complexes(3)]),
    "astype complex": (lambda xp, x: xp.astype(x, xp.complex128) * (1 + 2j), [normal(3)]),
    "floor_divide": (lambda xp, x, y: x // y + xp.floor_divide(x, y), [between(1.1, 1.9, *A), between(0.6, 0.9, *A)]),
    "setitem": (set_parts, [normal(4, 3), normal(3)]),
    # linear algebra
    "cholesky": (of(positive, "linalg.cholesky"), [normal(2, 3, 3)]),
    "cholesky upper": (of(positive, "linalg.cholesky", upper=True), [normal(3, 3)]),
    "cholesky complex": (of(positive, "linalg.cholesky"), [complexes(3, 3)]),
    "cross": (call("linalg.cross"), [normal(2, 3), normal(4, 1, 3)]),
    "cross axis": (call("linalg.cross", axis=-2), [normal(3, 2), normal(3, 2)]),
    "det": (call("linalg.det"), [normal(2, 3, 3)]),
    "det singular": (
        call("linalg.det"),
        [lambda rng: np.array([[[2.0, 1, 3], [1, 2, 1], [0, 0, 0]], [[1, 2, 3]] * 3])],
    ),
    "det complex": (call("linalg.det"), [complexes(3, 3)]),
    **{
        f"{name} {offset} {shape}": (call(f"linalg.{name}", offset=offset), [normal(*shape)])
        for name in ("diagonal", "trace")
        for offset, shape in ((0, (2, 3, 3)), (1, (3, 5)), (-2, (4, 3)), (7, (3, 3)))
    },
    "trace dtype": (lambda xp, x: xp.linalg.trace(x, dtype=xp.float64), [normal(3, 3)]),
    "eigh": (joined(eigh_parts), [normal(2, 3, 3)]),
    "eigh complex": (joined(eigh_parts), [complexes(3, 3)]),
    "eigvalsh": (of(positive, "linalg.eigvalsh"), [normal(2, 3, 3)]),
    "inv": (of(safe, "linalg.inv"), [normal(2, 3, 3)]),
    "inv complex": (of(safe, "linalg.inv"), [complexes(3, 3)]),
    "linalg.matmul": (call("linalg.matmul"), [normal(3, 4), normal(4, 2)]),
    "linalg.matrix_transpose": (call("linalg.matrix_transpose"), [normal(3, 4)]),
    "linalg.tensordot": (call("linalg.tensordot", axes=1), [normal(3, 4), normal(4, 2)]),
    "linalg.vecdot": (call("linalg.vecdot"), [normal(3, 4), normal(4)]),
    **{
        f"matrix_norm {ord} {keepdims}": (call("linalg.matrix_norm", ord=ord, keepdims=keepdims), [normal(2, 3, 4)])
        for ord, keepdims in (
            *(("fro", False), ("fro", True), ("nuc", True), (1, False), (-1, True), (2, False), (2, True)),
            *((-2, False), (math.inf, False), (-math.inf, True)),
        )
    },
    "matrix_norm complex": (call("linalg.matrix_norm"), [complexes(3, 2)]),
    **{
        f"vector_norm {ord} {axis}": (
            call("linalg.vector_norm", ord=ord, axis=axis, keepdims=keepdims),
            [distinct(2, 3, 4)],
        )
        for ord, axis, keepdims in (
            *((2, None, False), (2, 1, True), (2, (0, -1), False), (1, -1, False), (math.inf, 0, True)),
            *((-math.inf, None, False), (3, 1, False), (0, 1, False), (-1.5, (0, 1), False)),
        )
    },
    "vector_norm complex": (call("linalg.vector_norm", axis=0), [complexes(3, 2)]),
    **{
        f"matrix_power {n}": (of(safe, "linalg.matrix_power", n), [between(-0.5, 0.5, 2, 3, 3)])
        for n in (-3, -1, 0, 1, 2, 3)
    },
    "outer": (call("linalg.outer"), [normal(3), normal(4)]),
    **{
        f"pinv {shape}": (of(safe, "linalg.pinv"), [make(*shape)])
        for make, shape in ((normal, (2, 3, 3)), (normal, (4, 2)), (normal, (2, 4)), (complexes, (3, 2)))
    },
    **{
        f"qr {mode} {shape}": (joined(call("linalg.qr", mode=mode)), [normal(*shape)])
        for mode, shape in (
            *(("reduced", (2, 4, 3)), ("reduced", (3, 3)), ("reduced", (2, 2, 4)), ("complete", (3, 3))),
            *(("complete", (2, 4)),),
        )
    },
    "qr complex": (joined(call("linalg.qr")), [complexes(4, 3)]),
    "slogdet": (joined(call("linalg.slogdet")), [normal(2, 3, 3)]),
    "slogdet complex": (
        lambda xp, x: xp.linalg.slogdet(x)[0] * xp.astype(xp.linalg.slogdet(x)[1], xp.complex128),
        [complexes(2, 3, 3)],
    ),
    **{
        f"solve {a} {b}": (lambda xp, x, y: xp.linalg.solve(safe(xp, x), y), [normal(*a), normal(*b)])
        for a, b in (((3, 3), (3,)), ((2, 3, 3), (3, 2)), ((3, 3), (2, 3, 2)), ((2, 3, 3), (3,)))
    },
    "solve complex": (lambda xp, x, y: xp.linalg.solve(safe(xp, x), y), [complexes(3, 3), complexes(3, 2)]),
    **{
        f"svd {full} {shape}": (joined(svd_parts(full)), [make(*shape)])
        for make, full, shape in (
            *((normal, False, (2, 4, 3)), (normal, False, (2, 4)), (normal, True, (3, 3)), (complexes, False, (3, 2))),
            *((complexes, True, (2, 2)), (complexes, False, (2, 3))),
        )
    },
    "svdvals": (call("linalg.svdvals"), [normal(2, 3, 4)]),
    # Fourier transforms
    **{
        f"{name} {shape} {options}": (call(f"fft.{name}", **options), [make(*shape)])
        for names, make in (
            (("fft", "ifft", "irfft", "hfft"), complexes),
            (("rfft", "ihfft"), normal),
        )
        for name in names
        for shape, options in (
            *(((6,), {}), ((2, 5), {"norm": "ortho"}), ((2, 4), {"n": 3, "norm": "forward"})),
            *(((3, 2), {"n": 6, "axis": 0}), ((2, 5, 2), {"n": 7, "axis": 1})),
        )
    },
    **{
        f"{name} {shape} {options}": (call(f"fft.{name}", **options), [make(*shape)])
        for name, make in (("fftn", complexes), ("ifftn", complexes), ("rfftn", normal), ("irfftn", complexes))
        for shape, options in (
            ((3, 4), {}),
            ((2, 3, 4), {"axes": (0, 2), "norm": "ortho"}),
            ((3, 4), {"s": (4, 3), "axes": (1, 0), "norm": "forward"}),
        )
    },
    "fftshift": (call("fft.fftshift"), [normal(3, 4)]),
    "ifftshift": (call("fft.ifftshift", axes=1), [complexes(3, 5)]),
}
# The derivative of an integral of these is not what finite differences see.
NO_DIFFERENCES = {"cut"}
# Shapes, or the number of rounds, depend on values there, and JAX compiles.
NO_JAX = {"index mask", "repeat counts", "segment_sum", "setitem"}
# JAX takes a complex sign for a constant, has no gradient of a wide qr, and takes another branch for that of acosh.
NO_JAX |= {
    "sign complex",
    "acosh complex",
    *(name for name in CASES if name.startswith("qr ") and name.endswith("(2, 2, 4)")),
}

CONSTANT = {
    "": {
        *("all", "any", "argmax", "argmin", "argsort", "bitwise_and", "bitwise_invert", "bitwise_left_shift"),
        *("bitwise_or", "bitwise_right_shift", "bitwise_xor", "count_nonzero", "equal", "greater", "greater_equal"),
        *("isfinite", "isin", "isinf", "isnan", "less", "less_equal", "logical_and", "logical_not", "logical_or"),
        *("logical_xor", "nextafter", "nonzero", "not_equal", "searchsorted", "signbit", "unique_all"),
        *("unique_counts", "unique_inverse", "unique_values"),
        # what makes arrays of no others, and what is about shapes and dtypes
        *("arange", "empty", "empty_like", "eye", "from_dlpack", "full", "linspace", "ones", "ones_like", "zeros"),
        *(
            "zeros_like",
            "broadcast_shapes",
            "can_cast",
            "finfo",
            "iinfo",
            "isdtype",
            "result_type",
            "__array_namespace_info__",
        ),
    },
    "linalg.": {"matrix_rank"},
    "fft.": {"fftfreq", "rfftfreq"},
}
"""The functions without a gradient, by where they are."""


class _Recorder:
    """A namespace that notes the functions that are asked of it."""

    def __init__(self, xp, names, prefix=""):
        self._xp, self._names, self._prefix = xp, names, prefix

    def __getattr__(self, name):
        found = getattr(self._xp, name)
        if name in ("linalg", "fft") and not self._prefix:
            return _Recorder(found, self._names, f"{name}.")
        self._names.add(self._prefix + name)
        return found


def tried(xp):
    """The functions of the namespace `xp` that the cases use."""
    names: set[str] = set()
    for fun, makers in CASES.values():
        rng = np.random.default_rng(0)
        fun(_Recorder(xp, names), *(xp.asarray(make(rng)) for make in makers))
    return names
