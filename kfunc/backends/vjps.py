"""The rules of the tape: for each differentiable function of the standard, how a cotangent goes back to its arguments.

A rule is `rule(xp, g, out, *args, **kwargs)`: `g` is the cotangent of `out = function(*args, **kwargs)`, `xp` a
namespace that knows all of them. The tape sums what a rule returns to the argument's shape and casts it to its dtype.
"""

from __future__ import annotations

import itertools
import math
import operator
from typing import Any

from ..arrays import device, namespace
from ..ops.scatter import scatter_add
from . import kind_of

__all__ = ["COMPOSITES", "CONSTANT", "OP_RULES", "PLAIN", "RULES"]

RULES: dict[str, Any] = {}
"""Function name to one rule for each positional argument, or to one rule that takes the position too."""


def defvjp(name: str, *rules: Any) -> None:
    RULES[name] = rules


# -- elementwise -----------------------------------------------------------------------------------------------------


def _zeros(xp, g, out, *args, **kwargs):
    return xp.zeros_like(g)


def _same(xp, g, out, *args, **kwargs):
    return g


def _minus(xp, g, out, *args, **kwargs):
    return -g


for _name, _rule in {
    "abs": lambda xp, g, out, x: g * xp.sign(x),
    "acos": lambda xp, g, out, x: -g / xp.sqrt((1 - x) * (1 + x)),
    "acosh": lambda xp, g, out, x: g / (xp.sqrt(x - 1) * xp.sqrt(x + 1)),
    "asin": lambda xp, g, out, x: g / xp.sqrt((1 - x) * (1 + x)),
    "asinh": lambda xp, g, out, x: g / xp.sqrt(x * x + 1),
    "atan": lambda xp, g, out, x: g / (x * x + 1),
    "atanh": lambda xp, g, out, x: g / ((1 - x) * (1 + x)),
    "ceil": _zeros,
    "conj": _same,
    "cos": lambda xp, g, out, x: -g * xp.sin(x),
    "cosh": lambda xp, g, out, x: g * xp.sinh(x),
    "exp": lambda xp, g, out, x: g * out,
    "expm1": lambda xp, g, out, x: g * (out + 1),
    "floor": _zeros,
    "log": lambda xp, g, out, x: g / x,
    "log10": lambda xp, g, out, x: g / (x * math.log(10)),
    "log1p": lambda xp, g, out, x: g / (x + 1),
    "log2": lambda xp, g, out, x: g / (x * math.log(2)),
    "negative": _minus,
    "positive": _same,
    "real": _same,
    "reciprocal": lambda xp, g, out, x: -g * out * out,
    "round": _zeros,
    "sign": _zeros,
    "sin": lambda xp, g, out, x: g * xp.cos(x),
    "sinh": lambda xp, g, out, x: g * xp.cosh(x),
    "sqrt": lambda xp, g, out, x: g / (out * 2),
    "square": lambda xp, g, out, x: g * (x * 2),
    "tan": lambda xp, g, out, x: g * (out * out + 1),
    "tanh": lambda xp, g, out, x: g * (1 - out * out),
    "trunc": _zeros,
}.items():
    defvjp(_name, _rule)


def _choose(xp, g, mask):
    return xp.where(mask, g, xp.zeros_like(g))


def _pow_base(xp, g, out, x, y):
    if isinstance(y, (int, float)):
        return _zeros(xp, g, out) if y == 0 else g * (x * 2 if y == 2 else y * x ** (y - 1))
    # x ** -1 may be infinite where y is 0 and the derivative with it.
    safe = xp.where(y == 0, xp.ones_like(y), y)
    return _choose(xp, g * (y * x ** (safe - 1)), y != 0)


def _pow_exponent(xp, g, out, x, y):
    if isinstance(x, (int, float)):
        return g * out * math.log(x) if x > 0 else _zeros(xp, g, out)
    # A power of 0 does not change with its exponent, where it is defined.
    return g * out * xp.log(xp.where(x == 0, xp.ones_like(x), x))


def _extremum(less):
    def rule(xp, g, out, a, b):
        # Two equal arguments share the cotangent.
        return _choose(xp, g, less(b, a)) + _choose(xp, g * 0.5, a == b)

    return rule, lambda xp, g, out, a, b: rule(xp, g, out, b, a)


defvjp("add", _same, _same)
defvjp("subtract", _same, _minus)
defvjp("multiply", lambda xp, g, out, x, y: g * y, lambda xp, g, out, x, y: g * x)
defvjp("divide", lambda xp, g, out, x, y: g / y, lambda xp, g, out, x, y: -g * out / y)
defvjp("pow", _pow_base, _pow_exponent)
defvjp("maximum", *_extremum(operator.lt))
defvjp("minimum", *_extremum(operator.gt))
defvjp(
    "atan2",
    lambda xp, g, out, y, x: g * x / (x * x + y * y),
    lambda xp, g, out, y, x: -g * y / (x * x + y * y),
)
defvjp("hypot", lambda xp, g, out, x, y: g * x / out, lambda xp, g, out, x, y: g * y / out)
defvjp("logaddexp", lambda xp, g, out, x, y: g * xp.exp(x - out), lambda xp, g, out, x, y: g * xp.exp(y - out))
defvjp("copysign", lambda xp, g, out, x, y: xp.where(xp.signbit(x) == xp.signbit(out), g, -g), _zeros)
defvjp("remainder", _same, lambda xp, g, out, x, y: -g * xp.floor(x / y))
defvjp("floor_divide", _zeros, _zeros)
defvjp(
    "where",
    None,
    lambda xp, g, out, mask, x, y: xp.where(mask, g, xp.zeros_like(g)),
    lambda xp, g, out, mask, x, y: xp.where(mask, xp.zeros_like(g), g),
)
# At a bound the argument takes the cotangent, as in PyTorch and TensorFlow.
defvjp(
    "_clip",
    lambda xp, g, out, x, low, high: _choose(xp, g, x == out),
    lambda xp, g, out, x, low, high: _choose(xp, g, (x < low) & (low == out)),
    lambda xp, g, out, x, low, high: _choose(xp, g, (x > high) & (high == out)),
)
defvjp("_astype", _same)


# -- reductions ------------------------------------------------------------------------------------------------------


def _axes(x, axis):
    if axis is None:
        return tuple(range(x.ndim))
    return tuple(a % x.ndim for a in ((axis,) if isinstance(axis, int) else axis))


def _kept(xp, y, x, axis):
    """`y`, reduced from `x` along `axis`, with these axes kept at size 1."""
    axes = _axes(x, axis)
    return xp.reshape(y, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


def _count(x, axis):
    return math.prod(x.shape[a] for a in _axes(x, axis))


def _sum(xp, g, out, x, *, axis=None, dtype=None, keepdims=False):
    return xp.broadcast_to(_kept(xp, g, x, axis), x.shape)


def _mean(xp, g, out, x, *, axis=None, keepdims=False):
    return xp.broadcast_to(_kept(xp, g / _count(x, axis), x, axis), x.shape)


def _max(xp, g, out, x, *, axis=None, keepdims=False):
    # Equal maxima share the cotangent.
    mask = x == _kept(xp, out, x, axis)
    count = xp.sum(xp.astype(mask, x.dtype), axis=_axes(x, axis), keepdims=True)
    return _choose(xp, _kept(xp, g, x, axis) / count + xp.zeros_like(x), mask)


def _var(xp, g, out, x, *, axis=None, correction=0.0, keepdims=False):
    centred = x - xp.mean(x, axis=axis, keepdims=True)
    return _kept(xp, g * (2 / (_count(x, axis) - correction)), x, axis) * centred


def _std(xp, g, out, x, *, axis=None, correction=0.0, keepdims=False):
    return _var(xp, g / (out * 2), out, x, axis=axis, correction=correction)


def _reverse_cumulative_sum(xp, g, out, x, *, axis=None, dtype=None, include_initial=False):
    axis = 0 if axis is None else axis % x.ndim
    if include_initial:
        g = g[(slice(None),) * axis + (slice(1, None), ...)]
    return xp.flip(xp.cumulative_sum(xp.flip(g, axis=axis), axis=axis), axis=axis)


defvjp("sum", _sum)
defvjp("mean", _mean)
defvjp("max", _max)
defvjp("min", _max)
defvjp("var", _var)
defvjp("std", _std)
defvjp("cumulative_sum", _reverse_cumulative_sum)


# -- linear algebra --------------------------------------------------------------------------------------------------


def _row(xp, x):
    return xp.expand_dims(x, axis=0)


def _column(xp, x):
    return xp.expand_dims(x, axis=-1)


def _matmul_left(xp, g, out, x, y):
    if x.ndim == 1 and y.ndim == 1:
        return g * y
    if x.ndim == 1:
        return xp.squeeze(xp.matmul(_row(xp, g) if g.ndim == 1 else xp.expand_dims(g, axis=-2), _mt(xp, y)), axis=-2)
    if y.ndim == 1:
        return _column(xp, g) * y
    return xp.matmul(g, _mt(xp, y))


def _matmul_right(xp, g, out, x, y):
    if x.ndim == 1 and y.ndim == 1:
        return g * x
    if x.ndim == 1:
        return _column(xp, x) * xp.expand_dims(g, axis=-2)
    if y.ndim == 1:
        return xp.sum(xp.reshape(_column(xp, g) * x, (-1, x.shape[-1])), axis=0)
    if y.ndim == 2 and x.ndim > 2:
        # One product for the whole batch, not a product for each and a sum.
        x, g = xp.reshape(x, (-1, x.shape[-1])), xp.reshape(g, (-1, g.shape[-1]))
    return xp.matmul(_mt(xp, x), g)


def _mt(xp, x):
    return xp.matrix_transpose(x)


def _matmul_left_squeezed(xp, g, out, x, y):
    share = _matmul_left(xp, g, out, x, y)
    # A vector on the left was broadcast over the batch of the matrix on the right.
    return xp.sum(xp.reshape(share, (-1, x.shape[0])), axis=0) if x.ndim == 1 and share.ndim > 1 else share


defvjp("matmul", _matmul_left_squeezed, _matmul_right)
defvjp("matrix_transpose", lambda xp, g, out, x: xp.matrix_transpose(g))


def tensordot(xp, x, y, /, *, axes=2):
    if isinstance(axes, int):
        axes = (tuple(range(x.ndim - axes, x.ndim)), tuple(range(axes)))
    over_x, over_y = (tuple(a % z.ndim for a in ax) for z, ax in zip((x, y), axes, strict=True))
    free_x = tuple(i for i in range(x.ndim) if i not in over_x)
    free_y = tuple(i for i in range(y.ndim) if i not in over_y)
    size = math.prod(x.shape[i] for i in over_x)
    left = math.prod(x.shape[i] for i in free_x)
    right = math.prod(y.shape[i] for i in free_y)
    a = xp.reshape(xp.permute_dims(x, (*free_x, *over_x)), (left, size))
    b = xp.reshape(xp.permute_dims(y, (*over_y, *free_y)), (size, right))
    shape = (*(x.shape[i] for i in free_x), *(y.shape[i] for i in free_y))
    return xp.reshape(xp.matmul(a, b), shape)


def vecdot(xp, x, y, /, *, axis=-1):
    return xp.sum(x * y, axis=axis)


# -- moving elements -------------------------------------------------------------------------------------------------


def _reshaped(xp, g, out, x, *args, **kwargs):
    return xp.reshape(g, x.shape)


def _unpermute(xp, g, out, x, axes):
    inverse = sorted(range(len(axes)), key=lambda i: axes[i] % len(axes))
    return xp.permute_dims(g, tuple(inverse))


def _unroll(xp, g, out, x, shift, *, axis=None):
    back = -shift if isinstance(shift, int) else tuple(-s for s in shift)
    return xp.roll(g, back, axis=axis)


def _concat(xp, i, g, out, *arrays, axis):
    axis = axis % g.ndim
    start = sum(a.shape[axis] for a in arrays[:i])
    return g[(slice(None),) * axis + (slice(start, start + arrays[i].shape[axis]), ...)]


def _unstack(xp, i, g, out, *arrays, axis):
    return g[(slice(None),) * (axis % g.ndim) + (i, ...)]


def _untile(xp, g, out, x, repetitions):
    n = max(x.ndim, len(repetitions))
    repetitions = (1,) * (n - len(repetitions)) + tuple(repetitions)
    shape = (1,) * (n - x.ndim) + tuple(x.shape)
    g = xp.reshape(g, tuple(itertools.chain(*zip(repetitions, shape, strict=True))))
    return xp.reshape(xp.sum(g, axis=tuple(range(0, 2 * n, 2))), x.shape)


def _unrepeat(xp, g, out, x, repeats, *, axis=None):
    flat = x if axis is not None else xp.reshape(x, (-1,))
    axis = 0 if axis is None else axis % x.ndim
    size = flat.shape[axis]
    index = xp.repeat(xp.arange(size, device=device(x)), repeats)
    return xp.reshape(_untake_axis(xp, g, index, axis, size), x.shape)


def _untake_axis(xp, g, index, axis, size):
    """Add the slices of `g` along `axis` into zeros, at `index`."""
    return xp.moveaxis(scatter_add(xp.moveaxis(g, axis, 0), index, size), 0, axis)


def _untake(xp, g, out, x, indices, *, axis=None):
    axis = 0 if axis is None else axis % x.ndim
    return _untake_axis(xp, g, indices, axis, x.shape[axis])


def _positions(xp, x):
    """The position of each element of `x` in memory order, in the shape of `x`."""
    return xp.reshape(xp.arange(x.size, device=device(x)), x.shape)


def _untake_along_axis(xp, g, out, x, indices, *, axis=-1):
    shape = tuple(n if i == axis % x.ndim else x.shape[i] for i, n in enumerate(indices.shape))
    where = xp.take_along_axis(_positions(xp, x), xp.broadcast_to(indices, shape), axis=axis)
    flat = scatter_add(xp.reshape(xp.broadcast_to(g, shape), (-1,)), xp.reshape(where, (-1,)), x.size)
    return xp.reshape(flat, x.shape)


def _plain_unindex(g, shape, key):
    """Zeros of `shape` with `g` added at `key`."""
    xp = namespace(g)
    backend = kind_of(type(g)).backend
    if backend.index_add is not None:
        out = xp.zeros(shape, dtype=g.dtype)
        backend.index_add(out, key, g)
        return out
    size = math.prod(shape)
    where = xp.reshape(xp.arange(size, device=device(g)), shape)[key]
    return xp.reshape(scatter_add(xp.reshape(g, (-1,)), xp.reshape(where, (-1,)), size), shape)


def _unindex(xp, g, out, x, key):
    return getattr(xp, "unindex", _plain_unindex)(g, tuple(x.shape), key)


defvjp("reshape", _reshaped)
defvjp("expand_dims", _reshaped)
defvjp("squeeze", _reshaped)
defvjp("broadcast_to", _same)
defvjp("permute_dims", _unpermute)
defvjp("moveaxis", lambda xp, g, out, x, source, destination: xp.moveaxis(g, destination, source))
defvjp("flip", lambda xp, g, out, x, **kwargs: xp.flip(g, **kwargs))
defvjp("roll", _unroll)
defvjp("tile", _untile)
defvjp("repeat", _unrepeat, None)
defvjp("tril", lambda xp, g, out, x, **kwargs: xp.tril(g, **kwargs))
defvjp("triu", lambda xp, g, out, x, **kwargs: xp.triu(g, **kwargs))
defvjp("take", _untake, None)
defvjp("take_along_axis", _untake_along_axis, None)
defvjp("getitem", _unindex, None)
defvjp("unindex", lambda xp, g, out, x, shape, key: g[key], None, None)
RULES["_concat"] = _concat
RULES["_stack"] = _unstack


# -- functions made of others ----------------------------------------------------------------------------------------


def concat(xp, arrays, /, *, axis=0):
    if axis is None:
        arrays, axis = [xp.reshape(a, (-1,)) for a in arrays], 0
    return xp._concat(*arrays, axis=axis)


def stack(xp, arrays, /, *, axis=0):
    return xp._stack(*arrays, axis=axis)


def unstack(xp, x, /, *, axis=0):
    before = (slice(None),) * (axis % x.ndim)
    return tuple(x[(*before, i, ...)] for i in range(x.shape[axis]))


def clip(xp, x, /, min=None, max=None):
    return xp._clip(x, min, max)


def astype(xp, x, dtype, /, **kwargs):
    if xp._backend.is_floating(dtype):
        return xp._astype(x, dtype, **kwargs)
    return xp._constant_astype(x, dtype, **kwargs)


def asarray(xp, x, /, *, dtype=None, device=None, copy=None):
    if not isinstance(x, xp._backend.cls):
        return xp._constant_asarray(x, dtype=dtype, device=device, copy=copy)
    return x if dtype is None or dtype == x.dtype else xp.astype(x, dtype)


def full_like(xp, x, /, fill_value, **kwargs):
    if isinstance(fill_value, xp._backend.cls):
        return xp.zeros_like(x, **kwargs) + fill_value
    return xp._constant_full_like(x, fill_value, **kwargs)


def broadcast_arrays(xp, *arrays):
    shape = xp._xp.broadcast_shapes(*(a.shape for a in arrays)) if hasattr(xp._xp, "broadcast_shapes") else None
    if shape is None:
        shape = xp.add(*arrays).shape if len(arrays) == 2 else sum(arrays[1:], arrays[0]).shape
    return [xp.broadcast_to(a, shape) for a in arrays]


def meshgrid(xp, *arrays, indexing="xy"):
    n = len(arrays)
    out = [xp.reshape(a, (1,) * i + (-1,) + (1,) * (n - 1 - i)) for i, a in enumerate(arrays)]
    out = broadcast_arrays(xp, *out)
    return [xp.moveaxis(a, 0, 1) for a in out] if indexing == "xy" and n > 1 else out


def sort(xp, x, /, *, axis=-1, **kwargs):
    return xp.take_along_axis(x, xp.argsort(x, axis=axis, **kwargs), axis=axis)


def diff(xp, x, /, *, axis=-1, n=1, prepend=None, append=None):
    parts = [p for p in (prepend, x, append) if p is not None]
    x = concat(xp, parts, axis=axis) if len(parts) > 1 else x
    before = (slice(None),) * (axis % x.ndim)
    for _ in range(n):
        x = x[(*before, slice(1, None), ...)] - x[(*before, slice(None, -1), ...)]
    return x


def prod(xp, x, /, *, axis=None, dtype=None, keepdims=False):
    # Products of halves: its derivative holds for zeros too, where out / x does not.
    if dtype is not None:
        x = astype(xp, x, dtype)
    axes, shape = _axes(x, axis), x.shape
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    y = xp.reshape(xp.permute_dims(x, (*axes, *rest)), (_count(x, axis), *(shape[i] for i in rest)))
    while y.shape[0] > 1:
        half = y.shape[0] // 2
        product = y[:half, ...] * y[half : 2 * half, ...]
        y = concat(xp, [product, y[2 * half :, ...]], axis=0) if y.shape[0] % 2 else product
    y = y[0, ...] if y.shape[0] else xp.ones(y.shape[1:], dtype=x.dtype, device=device(x))
    return _kept(xp, y, x, axis) if keepdims else y


def cumulative_prod(xp, x, /, *, axis=None, dtype=None, include_initial=False):
    # A doubling scan: its derivative holds for zeros too.
    if dtype is not None:
        x = astype(xp, x, dtype)
    axis = 0 if axis is None else axis
    y = xp.moveaxis(x, axis, 0)
    if include_initial:
        y = concat(xp, [xp.ones((1, *y.shape[1:]), dtype=x.dtype, device=device(x)), y], axis=0)
    distance = 1
    while distance < y.shape[0]:
        y = concat(xp, [y[:distance, ...], y[distance:, ...] * y[:-distance, ...]], axis=0)
        distance *= 2
    return xp.moveaxis(y, 0, axis)


COMPOSITES = {
    f.__name__: f
    for f in (
        *(asarray, astype, broadcast_arrays, clip, concat, cumulative_prod, diff, full_like, meshgrid, prod, sort),
        *(stack, tensordot, unstack, vecdot),
    )
}


# -- what the rules stand on -----------------------------------------------------------------------------------------

PLAIN = {
    "_astype": lambda xp: xp.astype,
    "_clip": lambda xp: xp.clip,
    "_concat": lambda xp: lambda *arrays, axis: xp.concat(arrays, axis=axis),
    "_constant_asarray": lambda xp: xp.asarray,
    "_constant_astype": lambda xp: xp.astype,
    "_constant_full_like": lambda xp: xp.full_like,
    "_stack": lambda xp: lambda *arrays, axis: xp.stack(arrays, axis=axis),
    "getitem": lambda xp: operator.getitem,
    "unindex": lambda xp: _plain_unindex,
    # Operators take Python scalars on either side in every version of the standard, and are the quickest way in.
    "abs": lambda xp: operator.abs,
    "add": lambda xp: operator.add,
    "divide": lambda xp: operator.truediv,
    "floor_divide": lambda xp: operator.floordiv,
    "matmul": lambda xp: operator.matmul,
    "multiply": lambda xp: operator.mul,
    "negative": lambda xp: operator.neg,
    "positive": lambda xp: operator.pos,
    "pow": lambda xp: operator.pow,
    "remainder": lambda xp: operator.mod,
    "subtract": lambda xp: operator.sub,
    "equal": lambda xp: operator.eq,
    "greater": lambda xp: operator.gt,
    "greater_equal": lambda xp: operator.ge,
    "less": lambda xp: operator.lt,
    "less_equal": lambda xp: operator.le,
    "not_equal": lambda xp: operator.ne,
}
"""Where the backend's function for a name is not the namespace's own: from its namespace to the function."""

CONSTANT = frozenset(
    [
        *("_constant_asarray", "_constant_astype", "_constant_full_like", "__array_namespace_info__", "all", "any"),
        *("arange", "argmax", "argmin", "argsort", "bitwise_and", "bitwise_invert", "bitwise_left_shift"),
        *("bitwise_or", "bitwise_right_shift", "bitwise_xor", "broadcast_shapes", "can_cast", "count_nonzero"),
        *("empty", "empty_like", "equal", "eye", "finfo", "from_dlpack", "full", "greater", "greater_equal"),
        *("iinfo", "isdtype", "isfinite", "isin", "isinf", "isnan", "less", "less_equal", "linspace"),
        *("logical_and", "logical_not", "logical_or", "logical_xor", "nextafter", "nonzero", "not_equal", "ones"),
        *("ones_like", "result_type", "searchsorted", "signbit", "unique_all", "unique_counts", "unique_inverse"),
        *("unique_values", "zeros", "zeros_like"),
    ]
)
"""Functions whose results do not depend smoothly on any argument: their gradient is zero, and they need no rule."""


# -- ops of ours -----------------------------------------------------------------------------------------------------


def _softmax(xp, g, out, x, axis):
    weighted = g * out
    return weighted - out * xp.sum(weighted, axis=axis, keepdims=True)


def _erf_inv(xp, g, out, x):
    return g * (xp.exp(out * out) * (math.sqrt(math.pi) / 2))


OP_RULES: dict[str, Any] = {
    "erf": (lambda xp, g, out, x: g * (xp.exp(-x * x) * (2 / math.sqrt(math.pi))),),
    "erf_inv": (_erf_inv,),
    "log_softmax": (
        lambda xp, g, out, x, axis: g - xp.exp(out) * xp.sum(g, axis=axis, keepdims=True),
        None,
    ),
    "logsumexp": (
        lambda xp, g, out, x, axis, keepdims: _kept(xp, g, x, axis) * xp.exp(x - _kept(xp, out, x, axis)),
        None,
        None,
    ),
    "relu": (lambda xp, g, out, x: xp.where(x <= 0, xp.zeros_like(g), g),),
    "scatter_add": (lambda xp, g, out, x, indices, size: xp.take(g, indices, axis=0), None, None),
    "sigmoid": (lambda xp, g, out, x: g * (out * (1 - out)),),
    "softmax": (_softmax, None),
    "tanh": (lambda xp, g, out, x: g * (1 - out * out),),
}
"""Op name to rules, for ops whose reference would be slow or inexact to differentiate; all arguments by position."""
