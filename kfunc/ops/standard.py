"""What the standard has, under Keras's names: dispatched to the arrays' namespace, in the dtype that Keras computes in.

Semantics, special values included, are those of the Array API standard 2024.12:
https://data-apis.org/array-api/2024.12/API_specification/. Arguments are arrays of one backend, Python numbers or
nested lists of these; kinds of dtype mix as said in `_promotion`.
"""

from __future__ import annotations

from collections.abc import Callable

from ..arrays import namespace
from ..errors import ShapeError
from ._axes import normal_axes
from ._op import Op, op
from ._promotion import cast, dtype_of, floating, in_single, kind, lift, numeric, promote, together

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


def _named(name: str, standard: str, what: str, fun: Callable) -> Op:
    fun.__name__ = fun.__qualname__ = name
    fun.__doc__ = f"The standard's `{standard}`{what}."
    return op(fun)


# -- elementwise -----------------------------------------------------------------------------------------------------


def _unary(name: str, standard: str = "", prepare: Callable = lift) -> Op:
    standard = standard or name

    def fun(x):
        x = prepare(x)
        return getattr(namespace(x), standard)(x)

    what = {floating: "; integers are taken as float32", numeric: "; booleans are taken as int32"}.get(prepare, "")
    return _named(name, standard, f", of each element of `x`{what}", fun)


def _logical(x):
    """`x`, or whether its elements are other than 0."""
    x = lift(x)
    return x if kind(x) == "b" else x != 0


abs = _unary("abs", prepare=numeric)
absolute = _unary("absolute", "abs", numeric)
arccos = _unary("arccos", "acos", floating)
arccosh = _unary("arccosh", "acosh", floating)
arcsin = _unary("arcsin", "asin", floating)
arcsinh = _unary("arcsinh", "asinh", floating)
arctan = _unary("arctan", "atan", floating)
arctanh = _unary("arctanh", "atanh", floating)
bitwise_invert = _unary("bitwise_invert")
bitwise_not = _unary("bitwise_not", "bitwise_invert")
ceil = _unary("ceil", prepare=floating)
conj = _unary("conj", prepare=numeric)
conjugate = _unary("conjugate", "conj", numeric)
cos = _unary("cos", prepare=floating)
cosh = _unary("cosh", prepare=floating)
exp = _unary("exp", prepare=floating)
expm1 = _unary("expm1", prepare=floating)
fabs = _unary("fabs", "abs", floating)
floor = _unary("floor", prepare=floating)
isfinite = _unary("isfinite", prepare=numeric)
isinf = _unary("isinf", prepare=numeric)
isnan = _unary("isnan", prepare=numeric)
log = _unary("log", prepare=floating)
log10 = _unary("log10", prepare=floating)
log1p = _unary("log1p", prepare=floating)
log2 = _unary("log2", prepare=floating)
logical_not = _unary("logical_not", prepare=_logical)
negative = _unary("negative", prepare=numeric)
real = _unary("real", prepare=numeric)
reciprocal = _unary("reciprocal", prepare=floating)
sign = _unary("sign", prepare=numeric)
signbit = _unary("signbit", prepare=floating)
sin = _unary("sin", prepare=floating)
sinh = _unary("sinh", prepare=floating)
sqrt = _unary("sqrt", prepare=floating)
square = _unary("square", prepare=numeric)
tan = _unary("tan", prepare=floating)
tanh = _unary("tanh", prepare=floating)
trunc = _unary("trunc", prepare=numeric)


@op
def imag(x):
    """The imaginary part of each element of `x`: 0 where that is real."""
    x = numeric(x)
    xp = namespace(x)
    return xp.imag(x) if kind(x) == "c" else xp.zeros_like(x)


def _binary(name: str, standard: str = "", least: str = "b", names: tuple[str, str] = ("x1", "x2")) -> Op:
    standard = standard or name

    def fun(x1, x2):
        x1, x2 = promote(x1, x2, least=least)
        return getattr(namespace(x1, x2), standard)(x1, x2)

    def bits(x, y):
        return fun(x, y)

    what = {"f": ", in float32 at least", "i": "; booleans are taken as int32"}.get(least, "")
    return _named(name, standard, f" of arrays that broadcast{what}", fun if names == ("x1", "x2") else bits)


def _bits(name: str, standard: str = "", least: str = "b") -> Op:
    return _binary(name, standard, least, names=("x", "y"))


def _logic(name: str) -> Op:
    def fun(x1, x2):
        x1, x2 = map(_logical, lift(x1, x2))
        return getattr(namespace(x1, x2), name)(x1, x2)

    return _named(name, name, " of arrays that broadcast; a number other than 0 is True", fun)


add = _binary("add")
arctan2 = _binary("arctan2", "atan2", "f")
bitwise_and = _bits("bitwise_and")
bitwise_left_shift = _bits("bitwise_left_shift", least="i")
bitwise_or = _bits("bitwise_or")
bitwise_right_shift = _bits("bitwise_right_shift", least="i")
bitwise_xor = _bits("bitwise_xor")
divide = _binary("divide", least="f")
equal = _binary("equal")
floor_divide = _binary("floor_divide", least="i")
greater = _binary("greater", least="i")
greater_equal = _binary("greater_equal", least="i")
hypot = _binary("hypot", least="f")
left_shift = _bits("left_shift", "bitwise_left_shift", "i")
less = _binary("less", least="i")
less_equal = _binary("less_equal", least="i")
logaddexp = _binary("logaddexp", least="f")
logical_and = _logic("logical_and")
logical_or = _logic("logical_or")
logical_xor = _logic("logical_xor")
maximum = _binary("maximum", least="i")
minimum = _binary("minimum", least="i")
mod = _binary("mod", "remainder", "i")
multiply = _binary("multiply", least="i")
nextafter = _binary("nextafter", least="f")
not_equal = _binary("not_equal")
power = _binary("power", "pow", "i")
right_shift = _bits("right_shift", "bitwise_right_shift", "i")
subtract = _binary("subtract", least="i")
true_divide = _binary("true_divide", "divide", "f")


# -- reductions ------------------------------------------------------------------------------------------------------


def _total(x):
    """`x` in the dtype that sums of it are taken in: Keras's, 32 bits at least."""
    x = lift(x)
    name = dtype_of(x)
    return cast(
        x, {"bool": "int32", "int8": "int32", "int16": "int32", "uint8": "uint32", "uint16": "uint32"}.get(name, name)
    )


def _several(axis):
    """`axis`, an integer, several or None, as the standard takes it."""
    return tuple(axis) if isinstance(axis, list) else axis


def _some(x, axis):
    """`axis` as the standard takes it, where there is an element along it to choose."""
    axis = _several(axis)
    if 0 in x.shape and 0 in [x.shape[n] for n in normal_axes(axis, x.ndim)]:
        raise ShapeError(
            "There are no elements to choose from.",
            argument="x",
            expected="one or more along the axis",
            got=tuple(x.shape),
            fix="leave empty arrays out, or give max and min an initial value",
        )
    return axis


def _reduction(name: str, prepare: Callable = numeric, own_dtype: bool = False) -> Op:
    def fun(x, axis=None, keepdims=False):
        x = prepare(x)
        options = {"dtype": x.dtype} if own_dtype else {}
        return getattr(namespace(x), name)(x, axis=_several(axis), keepdims=keepdims, **options)

    fun = in_single(fun) if prepare is floating else fun
    return _named(name, name, " along `axis`, an integer, several, or all by default", fun)


all = _reduction("all", prepare=_logical)
any = _reduction("any", prepare=_logical)
mean = _reduction("mean", prepare=floating)
std = _reduction("std", prepare=floating)
sum = _reduction("sum", prepare=_total, own_dtype=True)
var = _reduction("var", prepare=floating)


@op
def prod(x, axis=None, keepdims=False, dtype=None):
    """The standard's `prod` along `axis`, an integer, several, or all by default, in `dtype` if given."""
    x = _total(x) if dtype is None else cast(lift(x), dtype)
    return namespace(x).prod(x, axis=_several(axis), keepdims=keepdims, dtype=x.dtype)


def _extreme(name: str, pick: Op, any_or_all: Op) -> Op:
    def fun(x, axis=None, keepdims=False, initial=None):
        x = lift(x)
        axis = _several(axis)
        xp = namespace(x)
        if kind(x) == "b":  # the standard orders numbers only
            out = any_or_all(x, axis=axis, keepdims=keepdims)
        elif initial is not None and 0 in x.shape:  # of no elements there is a sum, and no extreme
            out = xp.full_like(xp.sum(x, axis=axis, keepdims=keepdims, dtype=x.dtype), initial)
        else:
            out = getattr(xp, name)(x, axis=_some(x, axis), keepdims=keepdims)
        return out if initial is None else cast(pick(out, initial), dtype_of(out))

    return _named(name, name, " along `axis`, an integer, several, or all by default, and `initial` if given", fun)


def _of_elements(name: str, extreme: Op) -> Op:
    def fun(x, axis=None, keepdims=False):
        return extreme(x, axis=axis, keepdims=keepdims)

    return _named(name, extreme.name, " along `axis`, an integer, several, or all by default", fun)


def _place(name: str) -> Op:
    def fun(x, axis=None, keepdims=False):
        x = numeric(x)
        return getattr(namespace(x), name)(x, axis=_some(x, axis), keepdims=keepdims)

    return _named(name, name, " along `axis`, an integer, or of all elements in order by default: int64", fun)


argmax = _place("argmax")
argmin = _place("argmin")
max = _extreme("max", maximum, any)
min = _extreme("min", minimum, all)
amax = _of_elements("amax", max)
amin = _of_elements("amin", min)


def _cumulative(name: str, standard: str) -> Op:
    def fun(x, axis=None, dtype=None):
        x = numeric(x) if dtype is None else cast(lift(x), dtype)
        xp = namespace(x)
        if axis is None:
            x, axis = xp.reshape(x, (-1,)), 0
        return getattr(xp, standard)(x, axis=axis, dtype=x.dtype)

    return _named(name, standard, " along `axis`; of all elements in order by default", fun)


cumsum = _cumulative("cumsum", "cumulative_sum")
cumprod = _cumulative("cumprod", "cumulative_prod")


@op
def count_nonzero(x, axis=None):
    """The standard's `count_nonzero` along `axis`, an integer, several, or all by default."""
    x = lift(x)
    return namespace(x).count_nonzero(x, axis=_several(axis))


# -- products --------------------------------------------------------------------------------------------------------


@op
def matmul(x1, x2):
    """The standard's `matmul`: (..., n, k) and (..., k, m) to (..., n, m); of int8 in int32, which holds the sums."""
    x1, x2 = (cast(x, "int32") if dtype_of(x) == "int8" else x for x in together(x1, x2, least="i"))
    return namespace(x1, x2).matmul(x1, x2)
