"""Random real numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..arrays import device, dtype_name, namespace
from ..errors import ArgumentError, ShapeError
from ..ops.activation import sigmoid
from ..ops.bits import fold_bits, random_bits, sizes
from ..ops.normal import normal_quantile
from ..ops.rejection import GAMMA_PROPOSALS, gamma_variates
from ..tracing.spec.shapes import broadcast
from ..transforms import stop_gradient
from ..typing import Array, DType
from .keys import check_key, drawing, split

__all__ = [
    "beta",
    "exponential",
    "float_name",
    "gamma",
    "gumbel",
    "laplace",
    "normal",
    "open_unit",
    "parameters",
    "truncated_normal",
    "uniform",
    "unit",
    "working",
]

# For each dtype, which of the 32 bits make the number: the lowest one used, and how many. As in jax.random, they are
# the upper bits of as many bits as the dtype has, or of 8 where its mantissa has fewer.
_FIELDS = {"float32": (9, 23), "float16": (6, 10), "bfloat16": (1, 7)}
_EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
_TINY = {"float16": 2.0**-14, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}


def float_name(dtype: DType, key: Array) -> str:
    """The name of a floating-point dtype of the key's backend; raises an ArgumentError for other dtypes."""
    name = dtype_name(dtype)
    known = [d for d in _EPS if hasattr(namespace(key), d)]
    if name not in known:
        raise ArgumentError.must_be("dtype", f"one of {', '.join(known)}", name)
    return name


def unit(key: Array, shape: tuple[int, ...], dtype: str) -> Any:
    """Uniform in [0, 1), in steps of the dtype's epsilon."""
    xp = namespace(key)
    if None in shape:  # of a Spec alone
        return xp.empty(shape, dtype=getattr(xp, dtype))
    if dtype == "float64":
        # 52 bits: all of the first word, and the upper 20 of the second.
        counters = xp.reshape(xp.arange(math.prod(shape), dtype=xp.int32, device=device(key)), shape)
        words = xp.astype(fold_bits(key, counters), xp.float64)
        return words[..., 0] * 2.0**-32 + xp.floor(words[..., 1] * 2.0**-12) * 2.0**-52
    lowest, width = _FIELDS[dtype]
    # The shift of a signed integer copies the sign, so the mask comes after it.
    mantissa = xp.bitwise_right_shift(random_bits(key, shape, "int32"), lowest) & (2**width - 1)
    return xp.astype(mantissa, getattr(xp, dtype)) * 2.0**-width


def open_unit(key: Array, shape: tuple[int, ...], dtype: str) -> Any:
    """Uniform in (0, 1), exactly in the middle of the steps of `unit`."""
    return unit(key, shape, dtype) + _EPS[dtype] / 2


def _scaled(u: Any, minval: Array, maxval: Array, dtype: str) -> Any:
    """`u` in [0, 1) taken to [minval, maxval), all in `dtype`."""
    xp = namespace(u, minval, maxval)
    if not (hasattr(minval, "shape") or hasattr(maxval, "shape")):
        if not minval <= maxval:
            raise ArgumentError(
                f"`maxval` must not be less than minval, {minval}, got {maxval}.",
                argument="maxval",
                expected=f">= {minval}",
                got=maxval,
            )
        if (minval, maxval) == (0, 1):
            return u
    t = getattr(xp, dtype)
    low, high = (
        xp.astype(v, t) if hasattr(v, "shape") else xp.asarray(v, dtype=t, device=device(u)) for v in (minval, maxval)
    )
    return (high - low) * u + low


def working(dtype: str) -> str:
    """The dtype to compute in where the result shall be of `dtype`."""
    return dtype if dtype == "float64" else "float32"


@drawing
def uniform(
    key: Array, shape: int | Sequence[int] = (), dtype: DType = "float32", minval: Array = 0.0, maxval: Array = 1.0
) -> Array:
    """Uniform random numbers in `[minval, maxval)`, as `jax.random.uniform` draws them.

    Args:
        key: uint32 (2,).
        shape: Shape of the result.
        dtype: "float32", "float64", "float16" or "bfloat16".
        minval, maxval: Numbers, or arrays that broadcast to `shape`.
    """
    key = check_key(key)
    name = float_name(dtype, key)
    return _scaled(unit(key, sizes(shape, key), name), minval, maxval, name)


@drawing
def normal(
    key: Array, shape: int | Sequence[int] = (), dtype: DType = "float32", mean: Array = 0.0, stddev: Array = 1.0
) -> Array:
    """Normal random numbers, by the inverse of the distribution function.

    Args:
        key: uint32 (2,).
        shape: Shape of the result.
        dtype: "float32", "float64", "float16" or "bfloat16".
        mean, stddev: Numbers, or arrays that broadcast to `shape`.
    """
    key = check_key(key)
    name = float_name(dtype, key)
    # Uniform in (-1, 1); the sum is exact, and -1 itself does not come out of it.
    u = unit(key, sizes(shape, key), name) * 2.0 + (_EPS[name] / 2 - 1.0)
    if name in ("float32", "float64"):
        x = normal_quantile(u)
    else:
        xp = namespace(key)
        x = xp.astype(normal_quantile(xp.astype(u, xp.float32)), u.dtype)
    return _moved(x, mean, stddev)


def _moved(x: Array, mean: Array, stddev: Array) -> Any:
    xp = namespace(x, mean, stddev)
    stddev, mean = (xp.astype(v, x.dtype) if hasattr(v, "shape") else float(v) for v in (stddev, mean))
    x = x if isinstance(stddev, float) and stddev == 1 else stddev * x
    return x if isinstance(mean, float) and mean == 0 else mean + x


@drawing
def truncated_normal(
    key: Array,
    lower: float = -2.0,
    upper: float = 2.0,
    shape: int | Sequence[int] = (),
    dtype: DType = "float32",
    mean: Array = 0.0,
    stddev: Array = 1.0,
) -> Array:
    """Normal random numbers, given that they lie between `lower` and `upper` standard deviations from the mean.

    Args:
        key: uint32 (2,).
        lower, upper: Numbers; the bounds themselves are not drawn.
        shape: Shape of the result.
        dtype: "float32", "float64", "float16" or "bfloat16"; the short ones are rounded from float32, to a bound too.
        mean, stddev: Numbers, or arrays that broadcast to `shape`.
    """
    key = check_key(key)
    name = float_name(dtype, key)
    if not lower < upper:
        raise ArgumentError(
            f"`lower` must be less than `upper`, got {lower} and {upper}.",
            argument="upper",
            expected="lower < upper",
            got=f"({lower}, {upper})",
        )
    import numpy as np

    xp, at = namespace(key), working(name)
    cast = np.dtype(at).type
    a, b = (float(cast(math.erf(v / math.sqrt(2)))) for v in (lower, upper))
    edge = 1.0 - _EPS[at] / 2
    x = normal_quantile(xp.clip(_scaled(unit(key, sizes(shape, key), at), a, b, at), -edge, edge))
    least = float(np.nextafter(cast(lower), cast(math.inf)))
    most = float(np.nextafter(cast(upper), cast(-math.inf)))
    x = _moved(xp.clip(x, least, most), mean, stddev)
    return namespace(x).astype(x, getattr(xp, name))


@drawing
def exponential(key: Array, shape: int | Sequence[int] = (), dtype: DType = "float32") -> Array:
    """Exponentially distributed random numbers with mean 1, as `jax.random.exponential` draws them.

    Args:
        key: uint32 (2,).
        shape: Shape of the result.
        dtype: "float32", "float64", "float16" or "bfloat16".
    """
    key = check_key(key)
    return -namespace(key).log1p(-unit(key, sizes(shape, key), float_name(dtype, key)))


@drawing
def gumbel(key: Array, shape: int | Sequence[int] = (), dtype: DType = "float32") -> Array:
    """Gumbel distributed random numbers, `-log(-log(u))`, as `jax.random.gumbel` draws them.

    Args:
        key: uint32 (2,).
        shape: Shape of the result.
        dtype: "float32", "float64", "float16" or "bfloat16".
    """
    key = check_key(key)
    xp, name = namespace(key), float_name(dtype, key)
    # The least normal number stands for 0; larger numbers are the same with it added.
    return -xp.log(-xp.log(unit(key, sizes(shape, key), name) * (1.0 - _TINY[name]) + _TINY[name]))


@drawing
def laplace(key: Array, shape: int | Sequence[int] = (), dtype: DType = "float32") -> Array:
    """Laplace distributed random numbers with mean 0 and variance 2, as `jax.random.laplace` draws them.

    Args:
        key: uint32 (2,).
        shape: Shape of the result.
        dtype: "float32", "float64", "float16" or "bfloat16".
    """
    key = check_key(key)
    xp, name = namespace(key), float_name(dtype, key)
    u = _scaled(unit(key, sizes(shape, key), name), -1.0 + _EPS[name] / 2, 1.0, name)
    return xp.sign(u) * xp.log1p(-xp.abs(u))


def parameters(key: Array, shape: Any, dtype: str, *values: Any) -> list[Any]:
    """The shape of the result, and the values as arrays of `dtype`, which broadcast to it."""
    import numpy as np

    own = [tuple(v.shape) if hasattr(v, "shape") else np.shape(v) for v in values]
    own = own if shape is None else [sizes(shape, key), *own]
    try:
        unknown = any(None in sizes for sizes in own)
        common = broadcast("random", *own) if unknown else tuple(np.broadcast_shapes(*own))  # a torch.Size under Dynamo
    except (TypeError, ValueError):
        common = None
    if common is None or (shape is not None and common != own[0]):
        given = ", ".join(map(str, own if shape is None else own[1:]))
        raise ShapeError(
            f"The parameters have shapes {given}, which do not broadcast{'' if shape is None else f' to {own[0]}'}.",
            argument="shape",
            expected=f"parameters that broadcast to {own[0]}" if shape is not None else "parameters that broadcast",
            got=given,
        )
    values = tuple(stop_gradient(v) if hasattr(v, "shape") else v for v in values)
    xp = namespace(key, *values)
    t = getattr(xp, dtype)
    arrays = [xp.astype(v, t) if hasattr(v, "dtype") else xp.asarray(v, dtype=t, device=device(key)) for v in values]
    return [common, *arrays]


def _gamma(key: Array, alpha: Array, shape: tuple[int, ...], dtype: str) -> tuple[Any, Any]:
    """Gamma distributed numbers, but for a factor, and the logarithm of that factor."""
    xp, keys = namespace(key, alpha), split(key, 3)
    many = (GAMMA_PROPOSALS, *shape)
    alpha = xp.broadcast_to(alpha, shape)
    x, u = normal(keys[0, :], many, dtype), open_unit(keys[1, :], many, dtype)
    positive = alpha > 0
    given = xp.where(positive, alpha, xp.ones_like(alpha))
    value, log_factor = gamma_variates(given, x, u, open_unit(keys[2, :], shape, dtype))
    return xp.where(positive, value, xp.full_like(value, math.nan)), log_factor


@drawing
def gamma(key: Array, alpha: Array, shape: int | Sequence[int] | None = None, dtype: DType = "float32") -> Array:
    """Gamma distributed random numbers with shape `alpha` and scale 1.

    Marsaglia and Tsang, ACM TOMS 26, 2000. Numbers below the least of the dtype, which small `alpha` makes, are 0. No
    gradient flows to `alpha`.

    Args:
        key: uint32 (2,).
        alpha: Positive, a number or an array; other values give NaN.
        shape: Shape of the result, which `alpha` broadcasts to; that of `alpha` by default.
        dtype: "float32", "float64", "float16" or "bfloat16".
    """
    key = check_key(key)
    name = float_name(dtype, key)
    common, alpha = parameters(key, shape, working(name), alpha)
    value, log_factor = _gamma(key, alpha, common, working(name))
    xp = namespace(value)
    return xp.astype(value * xp.exp(log_factor), getattr(xp, name))


@drawing
def beta(
    key: Array, alpha: Array, beta: Array, shape: int | Sequence[int] | None = None, dtype: DType = "float32"
) -> Array:
    """Beta distributed random numbers: `a / (a + b)` for gamma distributed numbers a and b.

    Args:
        key: uint32 (2,).
        alpha, beta: Positive, numbers or arrays; other values give NaN. No gradient flows to them.
        shape: Shape of the result, which both broadcast to; their common one by default.
        dtype: "float32", "float64", "float16" or "bfloat16".
    """
    key = check_key(key)
    name = float_name(dtype, key)
    common, *both = parameters(key, shape, working(name), alpha, beta)
    keys = split(key)
    # By logarithms, since both numbers would underflow where the parameters are small.
    a, b = (_gamma(keys[i, :], p, common, working(name)) for i, p in enumerate(both))
    xp = namespace(a[0])
    log_ratio = xp.log(a[0]) - xp.log(b[0]) + (a[1] - b[1])
    return xp.astype(sigmoid(log_ratio), getattr(xp, name))
