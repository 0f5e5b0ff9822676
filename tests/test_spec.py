"""Shape-only arrays: every function's shape and dtype against NumPy's, and unknown sizes."""

from __future__ import annotations

import operator

import array_api_compat.numpy as np_xp
import numpy as np
import pytest
from backends import EAGER

import kfunc as kf
from kfunc import Spec, ops, tree
from kfunc.tracing.spec import backend
from kfunc.tracing.spec import namespace as xp

F32, F64, I32, I64, U8, BOOL, C64 = "float32", "float64", "int32", "int64", "uint8", "bool", "complex64"


def A(*shape, dtype=F32):
    """A stand-in for an array: NumPy's on one side of the comparison, a Spec on the other."""
    return ("array", shape, dtype)


def is_stand_in(x):
    return isinstance(x, tuple) and len(x) == 3 and isinstance(x[0], str) and x[0] == "array"


def build(args, make):
    if is_stand_in(args):
        return make(args[1], args[2])
    if isinstance(args, (tuple, list)):
        return type(args)(build(a, make) for a in args)
    if isinstance(args, dict):
        return {k: build(v, make) for k, v in args.items()}
    return args


def shapes(out):
    return [(tuple(x.shape), kf.arrays.dtype_name(x.dtype)) for x in tree.leaves(out)]


def row(name, *args, **kwargs):
    return pytest.param(name, args, kwargs, id=f"{name}{args}{kwargs or ''}".replace("'array', ", ""))


def rows(names, *args, **kwargs):
    return [row(name, *args, **kwargs) for name in names.split()]


X, Y, Z = A(5, 3, 4), A(3, 1), A(4)
INT = A(5, 3, dtype=I32)
FLOAT_UNARY = (
    "acos acosh asin asinh atan atanh cos cosh exp expm1 log log1p log2 log10 reciprocal sin sinh sqrt tan tanh"
)
REAL_BINARY = "add subtract multiply divide pow maximum minimum atan2 copysign hypot logaddexp nextafter remainder"
TABLE = [
    *rows(FLOAT_UNARY + " negative positive sign square round ceil floor trunc abs", X),
    *rows("isfinite isinf isnan signbit", X),
    *rows("abs real imag conj", A(5, 3, dtype=C64)),
    *rows("negative abs sign square round ceil floor trunc bitwise_invert isfinite", INT),
    row("logical_not", A(2, dtype=BOOL)),
    *rows(REAL_BINARY + " floor_divide equal not_equal less less_equal greater greater_equal", X, Y),
    *rows("add bitwise_and bitwise_or bitwise_xor floor_divide remainder", INT, A(3, dtype=U8)),
    *rows("add pow bitwise_left_shift bitwise_right_shift less", INT, 2),
    *rows("logical_and logical_or logical_xor bitwise_and", A(2, dtype=BOOL), A(3, 1, dtype=BOOL)),
    row("add", A(2, dtype="int8"), A(2, dtype=U8)),
    row("add", A(2, dtype="uint32"), A(2, dtype=I32)),
    row("multiply", A(2, dtype=F32), A(2, dtype=F64)),
    row("multiply", A(2, dtype="float16"), A(2, dtype=F32)),
    row("add", A(2, dtype=F32), A(2, dtype=C64)),
    row("add", A(2, dtype=F64), A(2, dtype=C64)),
    row("add", X, 1j),
    row("maximum", X, 0),
    row("minimum", 1.5, X),
    row("clip", X, 0, 1),
    row("clip", X, A(4), None),
    row("where", A(5, 1, 1, dtype=BOOL), Y, 0.0),
    row("where", A(3, dtype=BOOL), A(3, dtype=I32), A(2, 1, dtype=I64)),
    *rows("sum prod mean std var max min argmax argmin count_nonzero all any", X),
    *rows("sum mean var max argmax all count_nonzero", X, axis=1),
    *rows("sum mean std min any", X, axis=(0, -1), keepdims=True),
    row("var", X, axis=-1, correction=1.0),
    *(row("sum", A(3, dtype=d)) for d in (I32, U8, I64, F32)),
    row("sum", A(3, dtype=I32), dtype=np.float32),
    row("argmax", X, axis=-1, keepdims=True),
    row("cumulative_sum", X, axis=1),
    row("cumulative_sum", INT, axis=0, include_initial=True),
    row("cumulative_prod", Z),
    *rows("sort argsort flip", X, axis=-1),
    row("flip", X),
    row("roll", X, 1, axis=0),
    row("roll", X, (1, 2), axis=(0, 1)),
    row("tril", X),
    row("triu", X, k=1),
    row("reshape", X, (-1,)),
    row("reshape", X, (15, -1)),
    row("reshape", X, (2, 2, 15)),
    row("reshape", A(), (1, 1)),
    row("reshape", A(0, 3), (3, 0)),
    row("permute_dims", X, (2, 0, 1)),
    row("moveaxis", X, 0, -1),
    row("moveaxis", A(2, 3, 4, 5), (0, 1), (-1, 0)),
    row("matrix_transpose", X),
    row("expand_dims", X, axis=-1),
    row("expand_dims", X, axis=1),
    row("squeeze", A(1, 3, 1), axis=0),
    row("squeeze", A(1, 3, 1), axis=(0, -1)),
    row("broadcast_to", Y, (5, 3, 4)),
    row("broadcast_arrays", X, Y, A(4, dtype=I32)),
    row("concat", [X, A(2, 3, 4)], axis=0),
    row("concat", [X, Y], axis=None),
    row("concat", [A(2, dtype=I32), A(3, dtype=I64)], axis=-1),
    row("stack", [X, X, X], axis=-1),
    row("stack", [Z, Z]),
    row("unstack", X, axis=1),
    row("tile", X, (2, 1, 3)),
    row("tile", Z, (2, 3)),
    row("repeat", X, 3, axis=1),
    row("repeat", X, 2),
    row("diff", X, axis=1),
    row("diff", X, n=2),
    row("take", X, A(7, dtype=I32), axis=1),
    row("take", Z, A(2, dtype=I64)),
    row("take_along_axis", X, A(5, 3, 2, dtype=I64), axis=-1),
    row("take_along_axis", X, A(1, 1, 4, dtype=I64), axis=1),
    row("searchsorted", Z, A(2, 3)),
    row("matmul", A(5, 3), A(3, 2)),
    row("matmul", A(7, 1, 5, 3), A(2, 3, 4)),
    row("matmul", A(3), A(2, 3, 4)),
    row("matmul", A(2, 5, 3), A(3)),
    row("matmul", A(3), A(3)),
    row("tensordot", X, A(3, 4, 6)),
    row("tensordot", X, A(4, 6), axes=1),
    row("tensordot", X, A(5, 2, 4), axes=((0, -1), (0, 2))),
    row("tensordot", Z, Z, axes=0),
    row("vecdot", X, Z),
    row("vecdot", X, A(5, 3, 1), axis=1),
    row("zeros", (2, 3), dtype=np.int32),
    row("ones", 4, dtype=np.float32),
    row("empty", (), dtype=np.bool_),
    row("full", (2,), 3),
    row("full", (2,), True),
    *rows("zeros_like ones_like empty_like", INT),
    row("full_like", X, 2.0),
    row("zeros_like", X, dtype=np.int32),
    row("arange", 5),
    row("arange", 2, 9, 3),
    row("arange", 5, 0, -2),
    row("arange", 0, 1, 0.3, dtype=np.float32),
    row("arange", 3, 1),
    row("linspace", 0.0, 1.0, 7, dtype=np.float32),
    row("eye", 3, dtype=np.float32),
    row("eye", 3, 4, dtype=np.float32),
    row("asarray", [[1, 2], [3, 4]]),
    row("asarray", 1),
    row("asarray", X),
    row("meshgrid", Z, A(2), A(3)),
    row("meshgrid", Z, A(2), indexing="ij"),
    row("astype", X, np.int32),
    *rows("linalg.qr linalg.svd linalg.svdvals linalg.pinv", A(2, 5, 3)),
    *rows("linalg.matrix_rank linalg.matrix_norm linalg.diagonal linalg.trace", A(2, 5, 3)),
    row("linalg.qr", A(2, 5, 3), mode="complete"),
    row("linalg.svd", A(2, 5, 3), full_matrices=False),
    *rows("linalg.inv linalg.det linalg.slogdet linalg.eigh linalg.eigvalsh linalg.cholesky", A(2, 3, 3)),
    row("linalg.matrix_power", A(2, 3, 3), 2),
    row("linalg.solve", A(3, 3), A(3, 2)),
    row("linalg.outer", Z, A(2)),
    row("linalg.cross", A(5, 3), A(5, 3)),
    row("linalg.vector_norm", X, axis=(0, 1)),
    row("linalg.vector_norm", A(5, 3, dtype=C64), axis=-1, keepdims=True),
    *rows("linalg.matrix_norm linalg.svdvals", A(2, 5, 3, dtype=C64)),
    row("linalg.matrix_norm", A(2, 5, 3), keepdims=True, ord=1),
    *(row("linalg.diagonal", A(2, 5, 3), offset=k) for k in (1, -1, 3, -4, 7)),
    row("linalg.trace", A(2, 5, 3, dtype=U8), offset=1),
    row("linalg.trace", A(2, 5, 3), dtype=np.float64),
    row("linalg.solve", A(2, 3, 3), A(3)),
    row("linalg.solve", A(2, 1, 3, 3), A(4, 3, 2)),
    *rows("linalg.det linalg.slogdet linalg.eigvalsh linalg.cholesky", A(2, 3, 3, dtype=C64)),
    *rows("fft.fft fft.ifft fft.fftn fft.ifftn fft.irfft fft.hfft", A(5, 3, 4, dtype=C64)),
    *rows("fft.rfft fft.ihfft fft.rfftn", X),
    *rows("fft.fft fft.ifft fft.rfft fft.irfft fft.hfft fft.ihfft", A(5, 3, 4, dtype=F64), n=7, axis=1, norm="ortho"),
    *rows("fft.fftn fft.ifftn fft.rfftn fft.irfftn", X, axes=(0, 2)),
    *rows("fft.fftn fft.ifftn fft.rfftn fft.irfftn", X, s=(6, 5), axes=(2, 0)),
    *rows("fft.fftshift fft.ifftshift", X, axes=(0, -1)),
    row("fft.fftfreq", 5, dtype=np.float32),
    row("fft.rfftfreq", 6, d=0.5, dtype=np.float64),
    row("repeat", X, A(3, dtype=I64), axis=1),
    row("sort", X, axis=0, descending=True, stable=False),
]


def concrete(shape, dtype):
    # Ones, and a unit matrix where a decomposition wants one.
    out = np.ones(shape, dtype)
    return out + 3 * np.eye(*shape[-2:], dtype=dtype) if shape[-2:] == (3, 3) else out


@pytest.mark.parametrize(("name", "args", "kwargs"), TABLE)
def test_shape_and_dtype_are_numpys(name, args, kwargs):
    find = operator.attrgetter(name)
    with np.errstate(all="ignore"):
        expected = find(np_xp)(*build(args, concrete), **build(kwargs, concrete))
    out = find(xp)(*build(args, Spec), **build(kwargs, Spec))
    if name == "repeat" and is_stand_in(args[1]):
        out = xp.reshape(out, expected.shape)  # how often is a matter of values
    assert shapes(out) == shapes(expected)
    assert all(type(x) is Spec for x in tree.leaves(out))


@pytest.mark.parametrize(("name", "args", "kwargs"), TABLE)
def test_unknown_sizes_pass_through(name, args, kwargs):
    """With unknown first sizes, what is found is unknown or right; a known size is never wrong."""
    find = operator.attrgetter(name)
    known = find(xp)(*build(args, Spec), **build(kwargs, Spec))
    if name == "unstack":
        kwargs = {"axis": -1}
        known = xp.unstack(Spec((5, 3, 4)), axis=-1)
    out = find(xp)(*build(args, blurred), **build(kwargs, blurred))
    for a, b in zip(tree.leaves(out), tree.leaves(known), strict=True):
        assert a.ndim == b.ndim and a.dtype == b.dtype
        assert all(m in (None, n) for m, n in zip(a.shape, b.shape, strict=True))


def blurred(shape, dtype):
    return Spec((None, *shape[1:]) if shape else (), dtype)


def S(*shape, dtype=F32):
    return Spec(shape, dtype)


UNKNOWN = {
    "elementwise": (lambda: S(None, 3) + S(3), (None, 3)),
    "stretches to a known size": (lambda: S(None, 3) * S(5, 1), (5, 3)),
    "stays unknown beside 1": (lambda: S(None, 3) * S(1, 1), (None, 3)),
    "flatten": (lambda: xp.reshape(S(None, 4, 5), (-1, 20)), (None, 20)),
    "flatten by size": (lambda: xp.reshape(S(None, 4, 5), (None, -1)), (None, 20)),
    "two unknown": (lambda: xp.reshape(S(None, None, 8), (None, None, 2, -1)), (None, None, 2, 4)),
    "merge unknown": (lambda: xp.reshape(S(None, None, 8), (-1, 8)), (None, 8)),
    "None finds itself": (lambda: xp.reshape(S(6, 4), (None, 8)), (3, 8)),
    "concat along": (lambda: xp.concat([S(None, 3), S(2, 3)]), (None, 3)),
    "concat across": (lambda: xp.concat([S(None, 3), S(5, 4)], axis=1), (5, 7)),
    "stack": (lambda: xp.stack([S(None, 3), S(5, None)]), (2, 5, 3)),
    "matmul": (lambda: S(None, None, 3) @ S(3, 4), (None, None, 4)),
    "slice": (lambda: S(None, 5)[:, 1:4:2], (None, 2)),
    "slice of unknown": (lambda: S(None, 5)[1:3], (None, 5)),
    "ends": (lambda: S(None, None, 5)[..., 0, -1], (None,)),
    "new axis": (lambda: S(None, 5)[:, None], (None, 1, 5)),
    "sum": (lambda: xp.sum(S(None, 5), axis=1), (None,)),
    "arange": (lambda: xp.arange(None), (None,)),
    "zeros": (lambda: xp.zeros((None, 3)), (None, 3)),
    "squeeze": (lambda: xp.squeeze(S(None, 3), axis=0), (3,)),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_unknown_sizes(case):
    fun, shape = UNKNOWN[case]
    assert fun().shape == shape


INDICES = [
    0,
    -1,
    (0, 1, 2),
    slice(None),
    slice(1, None, 2),
    slice(None, None, -1),
    (slice(-2, None), ..., 0),
    ...,
    (),
    None,
    (None, 0, None, ..., None),
    (..., slice(0, 0)),
    [0, 2],
    ([0, 1], [1, 2]),
    ([0, 1], slice(None), [1, 2]),
    (slice(None), [0, 1], [1, 2]),
    (slice(None), 1, [1, 2]),
    (0, slice(None), [1, 2]),
    (0, ..., [[1], [2]]),
    (None, [0, 1]),
]


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_indexing_is_numpys(index):
    assert S(5, 3, 4)[index].shape == np.empty((5, 3, 4))[index].shape


def test_indexing_by_arrays():
    x, mask = S(5, 3, 4), S(5, 3, dtype=BOOL)
    assert x[S(7, 2, dtype=I32)].shape == (7, 2, 3, 4)
    assert x[S(dtype=I32)].shape == (3, 4)
    assert x[mask].shape == (None, 4)
    assert x[np.ones(5, bool)].shape == (None, 3, 4)
    assert x[:, np.array([0, 1]), 0].shape == (5, 2)


@pytest.mark.parametrize("name", EAGER)
def test_meets_arrays_of_every_backend(name):
    x = kf.backends.get(name).lift(kf.asarray(np.ones((3, 1), np.float32), backend=name))
    assert Spec(x.shape, x.dtype).dtype == "float32"
    for fun in (operator.add, operator.mul, operator.sub, operator.truediv, operator.lt):
        assert fun(S(None, 4), x).shape == (3, 4)
        assert xp.matmul(S(None, 3), x).shape == (None, 1)
    assert kf.namespace(x, S(3)) is kf.namespace(S(3), x) is xp
    assert ops.linear(S(None, 3), x).shape == (None, 1)


@pytest.mark.parametrize("name", ["numpy", "jax", "torch"])
def test_array_on_the_left(name):
    x = kf.asarray(np.ones((3, 1), np.float32), backend=name)
    for fun in (operator.add, operator.mul, operator.sub, operator.truediv, operator.matmul):
        assert fun(x, S(1, 4)).shape == (3, 4)


def test_attributes():
    x = S(2, 3, None)
    assert (x.ndim, x.size, x.device, S(2, 3).size, len(x)) == (3, None, None, 6, 2)
    assert (x.mT.shape, S(2, 3).T.shape, [r.shape for r in x]) == ((2, None, 3), (3, 2), [(3, None)] * 2)
    assert x.__array_namespace__() is xp and kf.backend_of(x) is backend
    assert repr(Spec((None, 2), "int32")) == "Spec((None, 2), 'int32')"
    for operand in (2, 2.0, S(3, 1)):
        assert (operand - x).shape == x.shape
    assert (-x).shape == abs(x).shape == (~(x > 0)).shape == x.shape
    assert (x == 1).dtype == "bool" and (x == None) is False  # noqa: E711


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_finfo(dtype):
    ours, theirs = xp.finfo(dtype), np.finfo(dtype)
    for field in ("bits", "eps", "max", "min", "smallest_normal"):
        assert float(getattr(ours, field)) == float(getattr(theirs, field)), field
    assert xp.finfo(S(2, dtype="complex64")).dtype == "float32"
    assert float(xp.finfo("bfloat16").max) == 3.3895313892515355e38


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint64"])
def test_iinfo(dtype):
    assert xp.iinfo(dtype)[:3] == (np.iinfo(dtype).bits, np.iinfo(dtype).max, np.iinfo(dtype).min)


def test_dtype_queries():
    names = ["bool", "int8", "uint16", "int64", "float32", "float64", "complex64"]
    kinds = ["bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating", "numeric"]
    for a in names:
        for kind in kinds:
            assert xp.isdtype(a, kind) == np_xp.isdtype(np.dtype(a), kind)
        for b in names:
            try:
                expected = xp.result_type(a, b)
            except kf.errors.ArgumentError:
                assert np.dtype(a).kind != np.dtype(b).kind
            else:
                assert np.result_type(a, b) == expected
    assert xp.isdtype("float32", ("bool", "float32")) and xp.can_cast("int8", "int16") and not xp.can_cast(F64, F32)
    assert xp.result_type(S(2), 1, 2.0) == "float32"
    assert xp.result_type("float16", "bfloat16") == "float32"


OPS = {
    "conv same": (lambda x: ops.conv(x, S(3, 3, 2, 4), 2, "same"), (5, 9, 8, 2)),
    "conv valid": (lambda x: ops.conv(x, S(3, 2, 1, 4), dilation_rate=2), (5, 9, 8, 2)),
    "conv first": (lambda x: ops.conv(x, S(3, 3, 9, 4), 1, "same", "channels_first"), (5, 9, 8, 7)),
    "max_pool": (lambda x: ops.max_pool(x, 2), (5, 9, 8, 2)),
    "average_pool": (lambda x: ops.average_pool(x, 3, 2, "same"), (5, 9, 8, 2)),
    "pad": (lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 3), (0, 0))), (5, 9, 8, 2)),
    "embedding": (lambda x: ops.embedding(x, S(11, 3)), (5, 9, I32)),
    "one_hot": (lambda x: ops.one_hot(x, 7), (5, 9, I32)),
    "split_last": (lambda x: ops.split_last(x, (2, 4)), (5, 9, 8)),
    "join_last": (lambda x: ops.join_last(x), (5, 9, 2, 4)),
    "moments": (lambda x: ops.moments(x, (0, 1)), (5, 9, 2)),
    "softmax": (lambda x: ops.softmax(x), (5, 9, 2)),
    "logsumexp": (lambda x: ops.logsumexp(x, axis=-1), (5, 9, 2)),
    "gelu": (lambda x: ops.gelu(x, approximate=False), (5, 9, 2)),
    "layer_normalization": (lambda x: ops.layer_normalization(x, S(2), S(2)), (5, 9, 2)),
    "batch_normalization": (lambda x: ops.batch_normalization(x, S(2), S(2), -1, S(2), S(2)), (5, 9, 2)),
    "lstm": (lambda x: ops.lstm(x, S(2, 12), S(3, 12), S(12)), (5, 9, 2)),
    "gru": (lambda x: ops.gru(x, S(2, 9), S(3, 9), S(2, 9)), (5, 9, 2)),
    "attention": (lambda x: ops.dot_product_attention(x, x, x, is_causal=True), (5, 9, 2, 4)),
    "attention mask": (lambda x: ops.dot_product_attention(x, x, x, S(1, 1, 9, 9, dtype=BOOL)), (5, 9, 2, 4)),
    "attention_scores": (lambda x: ops.attention_scores(x, x), (5, 9, 2, 4)),
}


@pytest.mark.parametrize("case", OPS)
def test_ops_with_unknown_sizes(case):
    """Shapes with all sizes known are those of the reference on NumPy; unknown ones only blur them."""
    fun, (*sizes, last) = OPS[case]
    shape, dtype = ((*sizes,), last) if isinstance(last, str) else ((*sizes, last), F32)
    known = fun(Spec(shape, dtype))
    unknown = fun(Spec((None, *shape[1:]), dtype))
    assert shapes(unknown) == [((None if s[:1] == (5,) else s[0], *s[1:]), d) for s, d in shapes(known)]
    if shape[-1] != 7:
        more = fun(Spec((None, None, *shape[2:]), dtype))
        for a, b in zip(tree.leaves(more), tree.leaves(known), strict=True):
            assert all(m in (None, n) for m, n in zip(a.shape, b.shape, strict=True)) and a.ndim == b.ndim


@pytest.mark.parametrize(
    ("op", "specs", "options"),
    [
        (ops.conv, (S(5, 9, 8, 2), S(3, 3, 2, 4)), {"strides": 2, "padding": "same"}),
        (ops.conv, (S(5, 9, 8, 2), S(3, 2, 1, 4)), {"dilation_rate": 2}),
        (ops.conv, (S(5, 2, 9), S(3, 2, 4)), {"data_format": "channels_first"}),
        (ops.max_pool, (S(5, 9, 8, 2),), {"pool_size": 2}),
        (ops.average_pool, (S(5, 2, 9),), {"pool_size": 3, "strides": 2, "data_format": "channels_first"}),
        (ops.pad, (S(5, 9),), {"pad_width": ((1, 0), (2, 3))}),
        (ops.embedding, (S(5, 9, dtype=I32), S(11, 3)), {}),
        (ops.split_last, (S(5, 9, 8),), {"sizes": (2, 4)}),
        (ops.join_last, (S(5, 9, 2, 4),), {}),
        (ops.attention_scores, (S(5, 9, 2, 4), S(5, 7, 2, 4)), {}),
        (ops.dot_product_attention, (S(5, 9, 2, 4), S(5, 7, 2, 4), S(5, 7, 2, 3)), {}),
    ],
)
def test_lowerings_are_what_the_references_give(op, specs, options):
    assert op.on_specs is not None
    expected = op.reference(*(np.ones(s.shape, s.dtype) for s in specs), **options)
    assert shapes(op(*specs, **options)) == shapes(expected)


def test_transforms():
    x = S(None, 3)
    carry, ys = kf.scan(lambda c, t: (c + t, c[:1]), S(3), x)
    assert (carry.shape, ys.shape) == ((3,), (None, 1))
    assert kf.scan(lambda c, _: (c, c), S(3), length=4)[1].shape == (4, 3)
    assert kf.cond(S(dtype=BOOL), lambda v: v, lambda v: -v, x).shape == (None, 3)
    assert kf.jit(lambda v: v * 2)(x).shape == kf.stop_gradient(x).shape == (None, 3)
    value, grads = kf.value_and_grad(lambda p, v: xp.sum(v @ p["w"]))({"w": S(3, 2)}, x)
    assert (value.shape, grads["w"].shape) == ((), (3, 2))
    assert kf.vmap(lambda a, b: a @ b, in_axes=(1, None), out_axes=-1)(S(3, None, 7), S(7)).shape == (3, None)
