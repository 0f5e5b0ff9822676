"""Functions of the standard under Keras's names: dispatched to the arrays' namespace, in the dtypes of Keras.

Semantics, special values included, are those of the Array API standard 2024.12:
https://data-apis.org/array-api/2024.12/API_specification/. Arguments are arrays of one backend, Python numbers or
nested lists of these; kinds of dtype mix as said in `_promotion`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..arrays import namespace
from ..errors import ShapeError
from ..typing import Array, DType
from ._axes import normal_axes
from ._op import op
from ._promotion import cast, dtype_of, floating, kind, lift, numeric, promote, together

__all__ = [
    "abs",
    "absolute",
    "add",
    "all",
    "amax",
    "amin",
    "any",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "argmax",
    "argmin",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "ceil",
    "conj",
    "conjugate",
    "cos",
    "cosh",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "divide",
    "equal",
    "exp",
    "expm1",
    "fabs",
    "floor",
    "floor_divide",
    "greater",
    "greater_equal",
    "hypot",
    "imag",
    "isfinite",
    "isinf",
    "isnan",
    "left_shift",
    "less",
    "less_equal",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mod",
    "multiply",
    "negative",
    "nextafter",
    "not_equal",
    "power",
    "prod",
    "real",
    "reciprocal",
    "right_shift",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "std",
    "subtract",
    "sum",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
    "var",
]


# -- of each element -------------------------------------------------------------------------------------------------


def _logical(x):
    """`x` if it holds booleans, else whether each element differs from 0."""
    x = lift(x)
    return x if kind(x) == "b" else x != 0


@op(elementwise=True)
def abs(x: Array) -> Array:
    """The absolute value of each element of `x`; booleans stay as they are."""
    x = lift(x)
    return x if kind(x) == "b" else namespace(x).abs(x)


@op(elementwise=True)
def absolute(x: Array) -> Array:
    """The absolute value of each element of `x`; booleans stay as they are; `abs` under NumPy's name."""
    return abs(x)


@op(elementwise=True)
def arccos(x: Array) -> Array:
    """The angle in [0, π], in radians, whose cosine is `x`, for each element; integers are taken as float32."""
    x = floating(x)
    return namespace(x).acos(x)


@op(elementwise=True)
def arccosh(x: Array) -> Array:
    """The number from 0 whose hyperbolic cosine is `x`, for each element; integers are taken as float32."""
    x = floating(x)
    return namespace(x).acosh(x)


@op(elementwise=True)
def arcsin(x: Array) -> Array:
    """The angle in [-π/2, π/2], in radians, whose sine is `x`, for each element; integers are taken as float32."""
    x = floating(x)
    return namespace(x).asin(x)


@op(elementwise=True)
def arcsinh(x: Array) -> Array:
    """The number whose hyperbolic sine is `x`, for each element; integers are taken as float32."""
    x = floating(x)
    return namespace(x).asinh(x)


@op(elementwise=True)
def arctan(x: Array) -> Array:
    """The angle in [-π/2, π/2], in radians, whose tangent is `x`, for each element; integers are taken as float32."""
    x = floating(x)
    return namespace(x).atan(x)


@op(elementwise=True)
def arctanh(x: Array) -> Array:
    """The number whose hyperbolic tangent is `x`, for each element; integers are taken as float32."""
    x = floating(x)
    return namespace(x).atanh(x)


@op(elementwise=True)
def bitwise_invert(x: Array) -> Array:
    """Each bit of the integers `x` inverted; of booleans, `not`."""
    x = lift(x)
    return namespace(x).bitwise_invert(x)


@op(elementwise=True)
def bitwise_not(x: Array) -> Array:
    """Each bit of the integers `x` inverted; of booleans, `not`."""
    x = lift(x)
    return namespace(x).bitwise_invert(x)


@op(elementwise=True)
def ceil(x: Array) -> Array:
    """Each element of `x` rounded up to an integer, as a float; integers are taken as float32."""
    x = floating(x)
    return namespace(x).ceil(x)


@op(elementwise=True)
def conj(x: Array) -> Array:
    """The complex conjugate of each element of `x`; booleans are taken as int32."""
    x = numeric(x)
    return namespace(x).conj(x)


@op(elementwise=True)
def conjugate(x: Array) -> Array:
    """The complex conjugate of each element of `x`; booleans are taken as int32."""
    x = numeric(x)
    return namespace(x).conj(x)


@op(elementwise=True)
def cos(x: Array) -> Array:
    """The cosine of each element of `x`, in radians; integers are taken as float32."""
    x = floating(x)
    return namespace(x).cos(x)


@op(elementwise=True)
def cosh(x: Array) -> Array:
    """The hyperbolic cosine of each element of `x`; integers are taken as float32."""
    x = floating(x)
    return namespace(x).cosh(x)


@op(elementwise=True)
def exp(x: Array) -> Array:
    """e to the power of each element of `x`; integers are taken as float32."""
    x = floating(x)
    return namespace(x).exp(x)


@op(elementwise=True)
def expm1(x: Array) -> Array:
    """`exp(x) - 1` of each element of `x`, exact near 0; integers are taken as float32."""
    x = floating(x)
    return namespace(x).expm1(x)


@op(elementwise=True)
def fabs(x: Array) -> Array:
    """The absolute value of each element of `x`, as a float; integers are taken as float32."""
    x = floating(x)
    return namespace(x).abs(x)


@op(elementwise=True)
def floor(x: Array) -> Array:
    """Each element of `x` rounded down to an integer, as a float; integers are taken as float32."""
    x = floating(x)
    return namespace(x).floor(x)


@op(elementwise=True)
def isfinite(x: Array) -> Array:
    """Whether each element of `x` is neither NaN nor infinite."""
    x = numeric(x)
    return namespace(x).isfinite(x)


@op(elementwise=True)
def isinf(x: Array) -> Array:
    """Whether each element of `x` is infinite."""
    x = numeric(x)
    return namespace(x).isinf(x)


@op(elementwise=True)
def isnan(x: Array) -> Array:
    """Whether each element of `x` is NaN."""
    x = numeric(x)
    return namespace(x).isnan(x)


@op(elementwise=True)
def log(x: Array) -> Array:
    """The natural logarithm of each element of `x`; integers are taken as float32."""
    x = floating(x)
    return namespace(x).log(x)


@op(elementwise=True)
def log10(x: Array) -> Array:
    """The logarithm to base 10 of each element of `x`; integers are taken as float32."""
    x = floating(x)
    return namespace(x).log10(x)


@op(elementwise=True)
def log1p(x: Array) -> Array:
    """`log(1 + x)` of each element of `x`, exact near 0; integers are taken as float32."""
    x = floating(x)
    return namespace(x).log1p(x)


@op(elementwise=True)
def log2(x: Array) -> Array:
    """The logarithm to base 2 of each element of `x`; integers are taken as float32."""
    x = floating(x)
    return namespace(x).log2(x)


@op(elementwise=True)
def logical_not(x: Array) -> Array:
    """Whether each element of `x` is False, or 0."""
    x = _logical(x)
    return namespace(x).logical_not(x)


@op(elementwise=True)
def negative(x: Array) -> Array:
    """`-x` of each element of `x`; booleans are taken as int32."""
    x = numeric(x)
    return namespace(x).negative(x)


@op(elementwise=True)
def real(x: Array) -> Array:
    """The real part of each element of `x`; booleans are taken as int32."""
    x = numeric(x)
    return namespace(x).real(x)


@op(elementwise=True)
def reciprocal(x: Array) -> Array:
    """`1 / x` of each element of `x`; integers are taken as float32."""
    x = floating(x)
    return namespace(x).reciprocal(x)


@op(elementwise=True)
def sign(x: Array) -> Array:
    """The sign of each element of `x`: -1, 0 or 1, and `x / abs(x)` of complex numbers; booleans are taken as int32."""
    x = numeric(x)
    return namespace(x).sign(x)


@op(elementwise=True)
def signbit(x: Array) -> Array:
    """Whether each element of `x` has a minus sign, -0.0 too; integers are taken as float32."""
    x = floating(x)
    return namespace(x).signbit(x)


@op(elementwise=True)
def sin(x: Array) -> Array:
    """The sine of each element of `x`, in radians; integers are taken as float32."""
    x = floating(x)
    return namespace(x).sin(x)


@op(elementwise=True)
def sinh(x: Array) -> Array:
    """The hyperbolic sine of each element of `x`; integers are taken as float32."""
    x = floating(x)
    return namespace(x).sinh(x)


@op(elementwise=True)
def sqrt(x: Array) -> Array:
    """The square root of each element of `x`; integers are taken as float32."""
    x = floating(x)
    return namespace(x).sqrt(x)


@op(elementwise=True)
def square(x: Array) -> Array:
    """`x * x` of each element of `x`; booleans are taken as int32."""
    x = numeric(x)
    return namespace(x).square(x)


@op(elementwise=True)
def tan(x: Array) -> Array:
    """The tangent of each element of `x`, in radians; integers are taken as float32."""
    x = floating(x)
    return namespace(x).tan(x)


@op(elementwise=True)
def tanh(x: Array) -> Array:
    """The hyperbolic tangent of each element of `x`; integers are taken as float32."""
    x = floating(x)
    return namespace(x).tanh(x)


@tanh.tape_rule
def _tanh_share(xp, g, out, x):
    return g * (1 - out * out)


@op(elementwise=True)
def trunc(x: Array) -> Array:
    """Each element of `x` rounded towards 0, in the dtype of `x`."""
    x = lift(x)
    return x if kind(x) == "b" else namespace(x).trunc(x)


@op(elementwise=True)
def imag(x: Array) -> Array:
    """The imaginary part of each element of `x`: 0 where `x` is real."""
    x = numeric(x)
    xp = namespace(x)
    return xp.imag(x) if kind(x) == "c" else xp.zeros_like(x)


# -- of two arrays that broadcast ------------------------------------------------------------------------------------


@op(elementwise=True)
def add(x1: Array, x2: Array) -> Array:
    """`x1 + x2`, elementwise; of booleans, `or`."""
    x1, x2 = promote(x1, x2)
    if kind(x1) == kind(x2) == "b":
        return logical_or(x1, x2)
    return namespace(x1, x2).add(x1, x2)


@op(elementwise=True)
def arctan2(x1: Array, x2: Array) -> Array:
    """The angle of the point (x2, x1) with the positive x axis, in radians, in [-π, π], in float32 at least."""
    x1, x2 = promote(x1, x2, least="f")
    return namespace(x1, x2).atan2(x1, x2)


@op(elementwise=True)
def bitwise_and(x: Array, y: Array) -> Array:
    """The bitwise `and` of integers or booleans, elementwise."""
    x, y = promote(x, y)
    return namespace(x, y).bitwise_and(x, y)


@op(elementwise=True)
def bitwise_left_shift(x: Array, y: Array) -> Array:
    """The bits of `x` shifted to the left by `y` places, elementwise; booleans are taken as int32."""
    x, y = promote(x, y, least="i")
    return namespace(x, y).bitwise_left_shift(x, y)


@op(elementwise=True)
def bitwise_or(x: Array, y: Array) -> Array:
    """The bitwise `or` of integers or booleans, elementwise."""
    x, y = promote(x, y)
    return namespace(x, y).bitwise_or(x, y)


@op(elementwise=True)
def bitwise_right_shift(x: Array, y: Array) -> Array:
    """The bits of `x` shifted to the right by `y` places, elementwise; the sign stays; booleans are taken as int32."""
    x, y = promote(x, y, least="i")
    return namespace(x, y).bitwise_right_shift(x, y)


@op(elementwise=True)
def bitwise_xor(x: Array, y: Array) -> Array:
    """The bitwise exclusive `or` of integers or booleans, elementwise."""
    x, y = promote(x, y)
    return namespace(x, y).bitwise_xor(x, y)


@op(elementwise=True)
def divide(x1: Array, x2: Array) -> Array:
    """`x1 / x2`, elementwise, in float32 at least."""
    x1, x2 = promote(x1, x2, least="f")
    return namespace(x1, x2).divide(x1, x2)


@op(elementwise=True)
def equal(x1: Array, x2: Array) -> Array:
    """`x1 == x2`, elementwise."""
    x1, x2 = promote(x1, x2)
    return namespace(x1, x2).equal(x1, x2)


@op(elementwise=True)
def floor_divide(x1: Array, x2: Array) -> Array:
    """`x1 // x2`, the quotient rounded down, elementwise; booleans are taken as int32."""
    x1, x2 = promote(x1, x2, least="i")
    return namespace(x1, x2).floor_divide(x1, x2)


@op(elementwise=True)
def greater(x1: Array, x2: Array) -> Array:
    """`x1 > x2`, elementwise; booleans are taken as int32."""
    x1, x2 = promote(x1, x2, least="i")
    return namespace(x1, x2).greater(x1, x2)


@op(elementwise=True)
def greater_equal(x1: Array, x2: Array) -> Array:
    """`x1 >= x2`, elementwise; booleans are taken as int32."""
    x1, x2 = promote(x1, x2, least="i")
    return namespace(x1, x2).greater_equal(x1, x2)


@op(elementwise=True)
def hypot(x1: Array, x2: Array) -> Array:
    """`sqrt(x1**2 + x2**2)`, elementwise, without overflow, in float32 at least."""
    x1, x2 = promote(x1, x2, least="f")
    return namespace(x1, x2).hypot(x1, x2)


@op(elementwise=True)
def left_shift(x: Array, y: Array) -> Array:
    """The bits of `x` shifted to the left by `y` places, elementwise; booleans are taken as int32."""
    x, y = promote(x, y, least="i")
    return namespace(x, y).bitwise_left_shift(x, y)


@op(elementwise=True)
def less(x1: Array, x2: Array) -> Array:
    """`x1 < x2`, elementwise; booleans are taken as int32."""
    x1, x2 = promote(x1, x2, least="i")
    return namespace(x1, x2).less(x1, x2)


@op(elementwise=True)
def less_equal(x1: Array, x2: Array) -> Array:
    """`x1 <= x2`, elementwise; booleans are taken as int32."""
    x1, x2 = promote(x1, x2, least="i")
    return namespace(x1, x2).less_equal(x1, x2)


@op(elementwise=True)
def logaddexp(x1: Array, x2: Array) -> Array:
    """`log(exp(x1) + exp(x2))`, elementwise, without overflow, in float32 at least."""
    x1, x2 = promote(x1, x2, least="f")
    return namespace(x1, x2).logaddexp(x1, x2)


@op(elementwise=True)
def logical_and(x1: Array, x2: Array) -> Array:
    """Whether both `x1` and `x2` are True, or other than 0, elementwise."""
    x1, x2 = map(_logical, lift(x1, x2))
    return namespace(x1, x2).logical_and(x1, x2)


@op(elementwise=True)
def logical_or(x1: Array, x2: Array) -> Array:
    """Whether `x1` or `x2` is True, or other than 0, elementwise."""
    x1, x2 = map(_logical, lift(x1, x2))
    return namespace(x1, x2).logical_or(x1, x2)


@op(elementwise=True)
def logical_xor(x1: Array, x2: Array) -> Array:
    """Whether just one of `x1` and `x2` is True, or other than 0, elementwise."""
    x1, x2 = map(_logical, lift(x1, x2))
    return namespace(x1, x2).logical_xor(x1, x2)


@op(elementwise=True)
def maximum(x1: Array, x2: Array) -> Array:
    """The larger one of `x1` and `x2`, elementwise; booleans are taken as int32."""
    x1, x2 = promote(x1, x2, least="i")
    return namespace(x1, x2).maximum(x1, x2)


@op(elementwise=True)
def minimum(x1: Array, x2: Array) -> Array:
    """The smaller one of `x1` and `x2`, elementwise; booleans are taken as int32."""
    x1, x2 = promote(x1, x2, least="i")
    return namespace(x1, x2).minimum(x1, x2)


@op(elementwise=True)
def mod(x1: Array, x2: Array) -> Array:
    """The remainder of `x1 // x2`, with the sign of `x2`, elementwise; booleans are taken as int32."""
    x1, x2 = promote(x1, x2, least="i")
    return namespace(x1, x2).remainder(x1, x2)


@op(elementwise=True)
def multiply(x1: Array, x2: Array) -> Array:
    """`x1 * x2`, elementwise; booleans are taken as int32."""
    x1, x2 = promote(x1, x2, least="i")
    return namespace(x1, x2).multiply(x1, x2)


@op(elementwise=True)
def nextafter(x1: Array, x2: Array) -> Array:
    """The number next to `x1` in the direction of `x2`, elementwise, in float32 at least."""
    x1, x2 = promote(x1, x2, least="f")
    return namespace(x1, x2).nextafter(x1, x2)


@op(elementwise=True)
def not_equal(x1: Array, x2: Array) -> Array:
    """`x1 != x2`, elementwise."""
    x1, x2 = promote(x1, x2)
    return namespace(x1, x2).not_equal(x1, x2)


@op(elementwise=True)
def power(x1: Array, x2: Array) -> Array:
    """`x1 ** x2`, elementwise; booleans are taken as int32."""
    x1, x2 = promote(x1, x2, least="i")
    return namespace(x1, x2).pow(x1, x2)


@op(elementwise=True)
def right_shift(x: Array, y: Array) -> Array:
    """The bits of `x` shifted to the right by `y` places, elementwise; the sign stays; booleans are taken as int32."""
    x, y = promote(x, y, least="i")
    return namespace(x, y).bitwise_right_shift(x, y)


@op(elementwise=True)
def subtract(x1: Array, x2: Array) -> Array:
    """`x1 - x2`, elementwise; booleans are taken as int32."""
    x1, x2 = promote(x1, x2, least="i")
    return namespace(x1, x2).subtract(x1, x2)


@op(elementwise=True)
def true_divide(x1: Array, x2: Array) -> Array:
    """`x1 / x2`, elementwise, in float32 at least."""
    x1, x2 = promote(x1, x2, least="f")
    return namespace(x1, x2).divide(x1, x2)


# -- reductions ------------------------------------------------------------------------------------------------------


def _total(x):
    """`x` in the dtype in which Keras adds it up, of 32 bits at least."""
    x = lift(x)
    name = dtype_of(x)
    return cast(
        x, {"bool": "int32", "int8": "int32", "int16": "int32", "uint8": "uint32", "uint16": "uint32"}.get(name, name)
    )


def _folded(x, name, **options):
    """The standard's sum or product `name` in the dtype of `x`; one of half precision is computed in float32."""
    xp = namespace(x)
    own = dtype_of(x)
    wide = xp.float32 if own in ("float16", "bfloat16") else x.dtype
    return cast(getattr(xp, name)(x, dtype=wide, **options), own)


def _several(axis):
    """`axis`, an integer, several or None, as the standard's functions take it."""
    return tuple(axis) if isinstance(axis, list) else axis


def _some(x, axis):
    """`axis` as the standard's functions take it.

    Raises:
        ShapeError: `x` has no elements along it.
    """
    axis = _several(axis)
    if 0 in x.shape and 0 in [x.shape[n] for n in normal_axes(axis, x.ndim)]:
        raise ShapeError(
            "`x` has no elements along the axis, so that none of them is the largest or the smallest.",
            argument="x",
            expected="one element or more along the axis",
            got=tuple(x.shape),
            fix="leave empty arrays out, or give max and min an initial value",
        )
    return axis


@op
def all(x: Array, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """Whether all elements along `axis`, an integer, several, or all by default are True, or other than 0."""
    x = _logical(x)
    return namespace(x).all(x, axis=_several(axis), keepdims=keepdims)


@op
def any(x: Array, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """Whether an element along `axis`, an integer, several, or all by default is True, or other than 0."""
    x = _logical(x)
    return namespace(x).any(x, axis=_several(axis), keepdims=keepdims)


@op(single=True, along_axis=True)
def mean(x: Array, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """The mean along `axis`, an integer, several, or all by default; integers are taken as float32."""
    x = floating(x)
    return namespace(x).mean(x, axis=_several(axis), keepdims=keepdims)


@op(single=True, along_axis=True)
def std(x: Array, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """The standard deviation along `axis`, an integer, several, or all by default: the root of `var`."""
    x = floating(x)
    return namespace(x).std(x, axis=_several(axis), keepdims=keepdims)


@op(along_axis=True)
def sum(x: Array, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """The sum along `axis`, an integer, several, or all by default, in 32 bits at least."""
    return _folded(_total(x), "sum", axis=_several(axis), keepdims=keepdims)


@op(single=True, along_axis=True)
def var(x: Array, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """The mean square distance from the mean along `axis`, an integer, several, or all by default."""
    x = floating(x)
    return namespace(x).var(x, axis=_several(axis), keepdims=keepdims)


@op(along_axis=True)
def prod(
    x: Array, axis: int | Sequence[int] | None = None, keepdims: bool = False, dtype: DType | None = None
) -> Array:
    """The product along `axis`, an integer, several, or all by default, in `dtype`, or in 32 bits at least."""
    x = _total(x) if dtype is None else cast(lift(x), dtype)
    return _folded(x, "prod", axis=_several(axis), keepdims=keepdims)


def _extreme(x, axis, keepdims, initial, name, pick, any_or_all):
    """The extreme of `x` by the standard's function `name`; `pick` chooses one of two numbers."""
    x = lift(x)
    axis = _several(axis)
    xp = namespace(x)
    if kind(x) == "b":  # the standard orders numbers only
        out = any_or_all(x, axis=axis, keepdims=keepdims)
    elif initial is not None and 0 in x.shape:
        # Without elements there is no extreme; but there is a sum, which has the shape of the result.
        out = xp.full_like(xp.sum(x, axis=axis, keepdims=keepdims, dtype=x.dtype), initial)
    else:
        out = getattr(xp, name)(x, axis=_some(x, axis), keepdims=keepdims)
    return out if initial is None else cast(pick(out, initial), dtype_of(out))


@op(along_axis=True)
def max(
    x: Array,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    initial: Array | None = None,
) -> Array:
    """The largest element along `axis`, an integer, several, or all by default; `initial` counts as one more."""
    return _extreme(x, axis, keepdims, initial, "max", maximum, any)


@op(along_axis=True)
def min(
    x: Array,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    initial: Array | None = None,
) -> Array:
    """The smallest element along `axis`, an integer, several, or all by default; `initial` counts as one more."""
    return _extreme(x, axis, keepdims, initial, "min", minimum, all)


@op
def amax(x: Array, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """The largest element along `axis`, an integer, several, or all by default; see `max`."""
    return max(x, axis=axis, keepdims=keepdims)


@op
def amin(x: Array, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """The smallest element along `axis`, an integer, several, or all by default; see `min`."""
    return min(x, axis=axis, keepdims=keepdims)


@op(along_axis=True)
def argmax(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """The place of the first largest element along `axis`, or among all elements in order by default: int64."""
    x = numeric(x)
    return namespace(x).argmax(x, axis=_some(x, axis), keepdims=keepdims)


@op(along_axis=True)
def argmin(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """The place of the first smallest element along `axis`, or among all elements in order by default: int64."""
    x = numeric(x)
    return namespace(x).argmin(x, axis=_some(x, axis), keepdims=keepdims)


def _cumulative(x, axis, dtype, name):
    """The standard's function `name` of `x` along `axis`, or along all elements in order where that is None."""
    x = numeric(x) if dtype is None else cast(lift(x), dtype)
    xp = namespace(x)
    if axis is None:
        x, axis = xp.reshape(x, (-1,)), 0
    return _folded(x, name, axis=axis)


@op
def cumsum(x: Array, axis: int | None = None, dtype: DType | None = None) -> Array:
    """The sums of all elements so far along `axis`, or of all elements in order by default; in `dtype` if given."""
    return _cumulative(x, axis, dtype, "cumulative_sum")


@op
def cumprod(x: Array, axis: int | None = None, dtype: DType | None = None) -> Array:
    """The products of all elements so far along `axis`, or of all elements in order by default; in `dtype` if given."""
    return _cumulative(x, axis, dtype, "cumulative_prod")


@op
def count_nonzero(x: Array, axis: int | Sequence[int] | None = None) -> Array:
    """The number of elements other than 0 along `axis`, an integer, several, or all by default."""
    x = lift(x)
    return namespace(x).count_nonzero(x, axis=_several(axis))


# -- products --------------------------------------------------------------------------------------------------------


@op
def matmul(x1: Array, x2: Array) -> Array:
    """Matrix products: (..., n, k) and (..., k, m) to (..., n, m). Those of int8 come in int32, which holds the sums.

    A vector (k,) takes the place of a row or of a column, whose axis the result lacks.
    """
    x1, x2 = (cast(x, "int32") if dtype_of(x) == "int8" else x for x in together(x1, x2, least="i"))
    return namespace(x1, x2).matmul(x1, x2)
