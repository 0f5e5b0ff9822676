"""What Spec says of calls that cannot be: one error, worded alike for every function."""

from __future__ import annotations

import inspect
import operator

import numpy as np
import pytest

import kfunc as kf
from kfunc import Spec, ops
from kfunc.tracing.spec import namespace as xp

F32, I32, BOOL, C64 = "float32", "int32", "bool", "complex64"
FLOAT_UNARY = (
    "acos acosh asin asinh atan atanh cos cosh exp expm1 log log1p log2 log10 reciprocal sin sinh sqrt tan tanh"
)
REAL_BINARY = "add subtract multiply divide pow maximum minimum atan2 copysign hypot logaddexp nextafter remainder"


def S(*shape, dtype=F32):
    return Spec(shape, dtype)


ERRORS = {
    "broadcast": (lambda: S(2, 3) + S(4), kf.errors.ShapeError, r"add.*\n.*\n.*\n.*\(2, 3\) and \(4,\)"),
    "reshape two -1": (lambda: xp.reshape(S(2, 3), (-1, -1)), kf.errors.ShapeError, "one -1"),
    "reshape unknown": (lambda: xp.reshape(S(None, 3), (None, 2, -1)), kf.errors.ShapeError, "reshape"),
    "not an array": (lambda: xp.exp("x"), kf.errors.ArgumentError, "an array is needed"),
    "size": (lambda: Spec((2, -1)), kf.errors.ArgumentError, "natural"),
    "size type": (lambda: Spec((2, 1.5)), kf.errors.ArgumentError, "natural"),
    "dtype": (lambda: Spec((2,), "float31"), kf.errors.ArgumentError, "no dtype 'float31'"),
    "bool": (lambda: bool(S() > 0), kf.errors.UnsupportedError, r"xp\.where"),
    "float": (lambda: float(S()), kf.errors.UnsupportedError, "shapes are found"),
    "index of range": (lambda: range(S(dtype=I32)), kf.errors.UnsupportedError, "shapes are found"),
    "numpy": (lambda: np.asarray(S(2)), kf.errors.UnsupportedError, "shapes are found"),
    "to_numpy": (lambda: kf.to_numpy(S(2)), kf.errors.UnsupportedError, "shapes are found"),
    "iterate": (lambda: list(S(None, 2)), kf.errors.UnsupportedError, "length"),
    "scan carry": (
        lambda: kf.scan(lambda c, x: (c[:1], x), S(3), S(4, 2)),
        kf.errors.ShapeError,
        "carry",
    ),
    "scan lengths": (lambda: kf.scan(lambda c, x: (c, x), S(3), (S(4), S(5))), kf.errors.ShapeError, "scan"),
    "scan without length": (lambda: kf.scan(lambda c, x: (c, x), S(3)), kf.errors.ShapeError, "length"),
    "cond": (lambda: kf.cond(S(dtype=BOOL), lambda x: x, lambda x: x[0], S(3)), kf.errors.ShapeError, "branch"),
    "pad": (lambda: ops.pad(S(2, 3), ((1, 1),) * 3), kf.errors.ArgumentError, "pair"),
    "split_last": (lambda: ops.split_last(S(None, 9), (2, 4)), kf.errors.ShapeError, "reshape"),
    "conv": (lambda: ops.conv(S(None, 9, 9, 3), S(3, 3, 2, 4)), kf.errors.ShapeError, "channels"),
    "pool": (lambda: ops.max_pool(S(None, 1, 9, 3), 2), kf.errors.ShapeError, "window"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    call, error, words = ERRORS[case]
    with pytest.raises(error, match=words):
        call()


SHAPE, ARGUMENT, INDEX = kf.errors.ShapeError, kf.errors.ArgumentError, kf.errors.IndexingError


def bad(name, error, argument, *args, **kwargs):
    return pytest.param(name, error, argument, args, kwargs, id=f"{name}{args}{kwargs or ''}")


M, V, B = S(2, 3), S(3), S(2, 3, dtype=BOOL)
BAD = [
    *(bad(n, SHAPE, "x1 and x2", M, S(4)) for n in (REAL_BINARY + " floor_divide equal less").split()),
    *(bad(n, ARGUMENT, "x1 and x2", M, S(2, 3, dtype=I32)) for n in REAL_BINARY.split()),
    *(bad(n, ARGUMENT, "x1 and x2", S(3, dtype=I32), 0.5) for n in "add maximum less pow".split()),
    *(bad(n, ARGUMENT, "x1 and x2", 1.0, 2.0) for n in "add maximum less".split()),
    *(bad(n, ARGUMENT, "x", B) for n in (FLOAT_UNARY + " negative sign floor mean sum var max argmax sort").split()),
    *(bad(n, ARGUMENT, "x", B, B) for n in REAL_BINARY.split()),
    *(bad(n, ARGUMENT, "x", M, M) for n in "bitwise_and bitwise_left_shift logical_or".split()),
    *(bad(n, SHAPE, "axis", M, axis=2) for n in "sum mean var max argmax any cumulative_sum sort flip diff".split()),
    *(bad(n, SHAPE, "axis", M, axis=(0, -2)) for n in "sum mean std min all flip count_nonzero".split()),
    *(bad(n, ARGUMENT, "axis", M, axis=0.5) for n in "sum argmin argsort expand_dims unstack".split()),
    bad("argmax", ARGUMENT, "axis", M, axis=(0, 1)),
    bad("cumulative_sum", SHAPE, "x", M),
    bad("sum", ARGUMENT, "dtype", M, dtype="float31"),
    bad("clip", SHAPE, "x1 and x2", M, S(4)),
    bad("where", ARGUMENT, "x", M, M, M),
    bad("where", SHAPE, "arrays", B, M, S(4)),
    bad("reshape", SHAPE, "shape", M, (4, 2)),
    bad("reshape", ARGUMENT, "shape", M, (1.5, 4)),
    bad("permute_dims", SHAPE, "x", M, (0,)),
    bad("permute_dims", SHAPE, "axis", M, (0, 2)),
    bad("moveaxis", ARGUMENT, "destination", M, (0, 1), 0),
    bad("squeeze", SHAPE, "x", M, 0),
    bad("matrix_transpose", SHAPE, "x", V),
    bad("broadcast_to", SHAPE, "x1 and x2", M, (2, 1)),
    bad("broadcast_arrays", SHAPE, "x1 and x2", M, S(4)),
    bad("concat", SHAPE, "x1 and x2", [M, S(2, 4)]),
    bad("concat", SHAPE, "arrays", [M, M, V]),
    bad("concat", ARGUMENT, "arrays", []),
    bad("concat", ARGUMENT, "x1 and x2", [M, B]),
    bad("stack", SHAPE, "x1 and x2", [M, V]),
    bad("stack", SHAPE, "axis", [M, M], axis=3),
    bad("tile", ARGUMENT, "repetitions", M, (-1,)),
    bad("repeat", ARGUMENT, "repeats", M, -1),
    bad("repeat", SHAPE, "x1 and x2", M, S(2, dtype=I32), axis=1),
    bad("roll", ARGUMENT, "shift", M, (1, 2), axis=0),
    bad("diff", ARGUMENT, "n", M, n=-1),
    bad("unstack", SHAPE, "x", S(None, 2)),
    bad("take", SHAPE, "x", M, S(2, dtype=I32)),
    bad("take", SHAPE, "axis", M, S(2, dtype=I32), axis=2),
    bad("take", ARGUMENT, "x", M, V, axis=0),
    bad("take_along_axis", SHAPE, "x1 and x2", M, S(2, dtype=I32)),
    bad("searchsorted", SHAPE, "x", M, V),
    bad("searchsorted", ARGUMENT, "side", V, V, side="middle"),
    bad("nonzero", SHAPE, "x", S()),
    bad("matmul", SHAPE, "x1 and x2", M, M),
    bad("matmul", SHAPE, "x1 and x2", S(), M),
    bad("matmul", ARGUMENT, "x1 and x2", M, S(3, 2, dtype=I32)),
    bad("tensordot", SHAPE, "x1 and x2", M, V),
    bad("tensordot", ARGUMENT, "axes", M, M, axes=-1),
    bad("vecdot", SHAPE, "x1 and x2", M, S(2)),
    bad("vecdot", SHAPE, "x1 and x2", M, S()),
    bad("full", ARGUMENT, "shape", (2, -1), 0),
    bad("arange", ARGUMENT, "step", 0, 5, 0),
    bad("linspace", ARGUMENT, "num", 0.0, 1.0, -1),
    bad("eye", ARGUMENT, "n_rows", 1.5),
    bad("asarray", ARGUMENT, "obj", "abc"),
    bad("meshgrid", ARGUMENT, "indexing", V, V, indexing="yx"),
    bad("tril", SHAPE, "x", V),
    bad("astype", ARGUMENT, "dtype", M, "float31"),
    bad("finfo", ARGUMENT, "type", "int32"),
    bad("iinfo", ARGUMENT, "x", "float32"),
    *(bad(f"linalg.{n}", SHAPE, "x", M) for n in "cholesky det eigh eigvalsh inv slogdet".split()),
    *(bad(f"linalg.{n}", SHAPE, "x", V) for n in "qr svd svdvals pinv matrix_rank matrix_norm diagonal trace".split()),
    *(bad(f"linalg.{n}", ARGUMENT, "x", S(3, 3, dtype=I32)) for n in "inv det qr svd eigh pinv".split()),
    bad("linalg.matrix_power", SHAPE, "x", M, 2),
    bad("linalg.matrix_norm", ARGUMENT, "ord", M, ord=3),
    bad("linalg.qr", ARGUMENT, "mode", M, mode="full"),
    bad("linalg.solve", SHAPE, "x1 and x2", S(3, 3), S(2, 3)),
    bad("linalg.solve", SHAPE, "x1 and x2", M, V),
    bad("linalg.outer", SHAPE, "x1 and x2", M, V),
    bad("linalg.cross", SHAPE, "x1 and x2", S(2), S(2)),
    bad("linalg.vector_norm", ARGUMENT, "x", S(3, dtype=I32)),
    *(bad(f"fft.{n}", ARGUMENT, "x", S(3, dtype=I32)) for n in "fft ifft rfft irfft hfft ihfft fftn fftshift".split()),
    bad("fft.rfft", ARGUMENT, "x", S(3, dtype=C64)),
    bad("fft.fft", ARGUMENT, "n", V, n=0),
    bad("fft.fft", ARGUMENT, "norm", V, norm="unitary"),
    bad("fft.fft", SHAPE, "axis", V, axis=1),
    bad("fft.rfftn", ARGUMENT, "s", M, s=(4,), axes=(0, 1)),
    bad("fft.fftfreq", ARGUMENT, "n", 0),
]


@pytest.mark.parametrize(("name", "error", "argument", "args", "kwargs"), BAD)
def test_bad_calls(name, error, argument, args, kwargs):
    """One wording: what is wrong in which function, the argument, what was expected, what came, and what to do."""
    with pytest.raises(error) as caught:
        operator.attrgetter(name)(xp)(*args, **kwargs)
    assert caught.value.argument == argument
    assert caught.value.problem.startswith((f"{name.rpartition('.')[2]}: ", "There is no dtype "))
    assert None not in (caught.value.expected, caught.value.got, caught.value.fix)


@pytest.mark.parametrize("name", [n for n in dir(xp) if callable(getattr(xp, n)) and not n.startswith("_")])
def test_what_is_no_array(name):
    """Every function that takes arrays names itself when it is given something else."""
    fun = getattr(xp, name)
    parameters = list(inspect.signature(fun).parameters.values())
    if not parameters or parameters[0].name not in ("x", "x1", "condition"):
        return
    count = sum(p.kind is p.POSITIONAL_ONLY and p.default is p.empty for p in parameters)
    others = [S(3)] * (count - 1) + [0] * (sum(p.default is p.empty for p in parameters) - count)
    with pytest.raises(ARGUMENT, match=f"^{name}: an array is needed"):
        fun("abc", *others)


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (2, INDEX),
        (-3, INDEX),
        ((0, 0, 0), INDEX),
        ((..., 0, ...), INDEX),
        (S(3, dtype=BOOL), INDEX),
        (S(2, 3, 1, dtype=BOOL), INDEX),
        (1.5, ARGUMENT),
        (True, ARGUMENT),
        (S(2), ARGUMENT),
        (slice(None, None, 0), ARGUMENT),
        (([0, 1], [0, 1, 2]), SHAPE),
    ],
    ids=repr,
)
def test_bad_indices(index, error):
    with pytest.raises(error, match=r"^indexing: ") as caught:
        M[index]
    assert None not in (caught.value.argument, caught.value.expected, caught.value.got, caught.value.fix)
