"""Random numbers as pure functions of a key: the same bits on every backend, and those of `jax.random`.

A key is a uint32 array (2,) of any backend. Use a key once; make new ones with `split` and `fold_in`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

from .arrays import asarray, device, dtype_name, namespace, native
from .backends import Backend
from .errors import ArgumentError, ShapeError
from .ops.bits import WORD, fold_bits, random_bits, random_integers
from .ops.quantile import normal_quantile

__all__ = [
    "bernoulli",
    "bits",
    "categorical",
    "fold_in",
    "key",
    "normal",
    "permutation",
    "randint",
    "split",
    "truncated_normal",
    "uniform",
]

Shape = int | tuple[int, ...]

# For each dtype, which of the 32 bits make the number: the lowest one used, and how many. As in jax.random, those are
# the upper bits of as many as the dtype has, or of 8 where the mantissa has fewer.
_FIELDS = {"float32": (9, 23), "float16": (6, 10), "bfloat16": (1, 7)}
_EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
_TINY = {"float16": 2.0**-14, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}


def _check_key(key: Any) -> None:
    if tuple(key.shape) != (2,) or dtype_name(key.dtype) != "uint32":
        raise ArgumentError(
            "This is no random key.",
            argument="key",
            expected="a uint32 array of shape (2,)",
            got=f"{dtype_name(key.dtype)} of shape {tuple(key.shape)}",
            fix="make keys by kf.random.key(seed) and split; of a typed JAX key, pass jax.random.key_data(key)",
        )


def _shape(shape: Any) -> tuple[int, ...]:
    try:
        sizes = tuple(operator.index(n) for n in (shape if isinstance(shape, Iterable) else (shape,)))
    except TypeError:
        sizes = (-1,)
    if any(n < 0 for n in sizes):
        raise ShapeError(
            "Random numbers need a shape of known sizes.",
            argument="shape",
            expected="natural numbers",
            got=shape,
            fix="draw with sizes that are known when the network is built, and broadcast",
        )
    return sizes


def _float(dtype: Any, key: Any) -> str:
    name = dtype_name(dtype)
    known = [d for d in _EPS if hasattr(namespace(key), d)]
    if name not in known:
        raise ArgumentError("No such floating-point dtype here.", argument="dtype", expected=", ".join(known), got=name)
    return name


def key(seed: int, backend: str | Backend | None = None, device: Any = None) -> Any:
    """A key of 64 bits from an integer, as `jax.random.key` makes it (where that has 64-bit integers enabled).

    Args:
        seed: An integer in [-2**63, 2**64); distinct seeds modulo 2**64 give distinct keys.
        backend: Name of the backend that the key is for; NumPy by default.
        device: Where to put it.

    Returns:
        uint32 (2,): the upper and the lower half of the seed.

    Raises:
        ArgumentError: The seed is no integer, or out of range.
    """
    import numpy as np

    try:
        value = operator.index(seed)
    except TypeError:
        value = WORD * WORD
    if not -(2**63) <= value < 2**64:
        raise ArgumentError(
            "This is no seed.", argument="seed", expected="an integer in [-2**63, 2**64)", got=repr(seed)
        )
    words = np.array([(value // WORD) % WORD, value % WORD], dtype=np.uint32)
    return asarray(words, backend="numpy" if backend is None else backend, device=device)


@native
def split(key: Any, num: Shape = 2) -> Any:
    """New keys, independent of each other and of `key`.

    Args:
        key: uint32 (2,).
        num: How many, or a shape.

    Returns:
        uint32 (num, 2), or (*num, 2).
    """
    _check_key(key)
    shape = _shape(num)
    xp = namespace(key)
    out = fold_bits(key, xp.arange(math.prod(shape), dtype=xp.int32, device=device(key)))
    return out if len(shape) == 1 else xp.reshape(out, (*shape, 2))


@native
def fold_in(key: Any, data: Any) -> Any:
    """A new key from a key and an integer, such as the number of a step or a layer.

    Args:
        key: uint32 (2,).
        data: An integer, or an array of integers (...), which may be traced; taken modulo 2**32.

    Returns:
        uint32 (2,), or (..., 2).
    """
    _check_key(key)
    if not hasattr(data, "shape"):
        try:
            value = operator.index(data) % WORD
        except TypeError:
            raise ArgumentError(
                "Only integers can be folded in.", argument="data", expected="an integer", got=repr(data)
            ) from None
        xp = namespace(key)
        data = xp.asarray(value - WORD if value >= 2**31 else value, dtype=xp.int32, device=device(key))
    elif "int" not in dtype_name(data.dtype):
        raise ArgumentError(
            "Only integers can be folded in.", argument="data", expected="integers", got=dtype_name(data.dtype)
        )
    return fold_bits(key, data)


@native
def bits(key: Any, shape: Shape = (), dtype: Any = "uint32") -> Any:
    """Uniform random bits.

    Args:
        key: uint32 (2,).
        shape: Shape of the result.
        dtype: "uint32", "uint16" or "uint8".
    """
    _check_key(key)
    name = dtype_name(dtype)
    if name == "uint32":
        return random_bits(key, _shape(shape))
    if name not in ("uint16", "uint8"):
        raise ArgumentError("No such dtype of bits.", argument="dtype", expected="uint32, uint16 or uint8", got=name)
    xp = namespace(key)
    return xp.astype(
        random_bits(key, _shape(shape), "int32") & (0xFFFF if name == "uint16" else 0xFF), getattr(xp, name)
    )


def _unit(key: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """Uniform in [0, 1), in steps of the dtype's epsilon."""
    xp = namespace(key)
    if dtype == "float64":
        # 52 bits: all of the first word, and the upper 20 of the second.
        counters = xp.reshape(xp.arange(math.prod(shape), dtype=xp.int32, device=device(key)), shape)
        words = xp.astype(fold_bits(key, counters), xp.float64)
        return words[..., 0] * 2.0**-32 + xp.floor(words[..., 1] * 2.0**-12) * 2.0**-52
    lowest, width = _FIELDS[dtype]
    # The shift of a signed integer copies the sign, so the mask comes after it.
    mantissa = xp.bitwise_right_shift(random_bits(key, shape, "int32"), lowest) & (2**width - 1)
    return xp.astype(mantissa, getattr(xp, dtype)) * 2.0**-width


def _scaled(u: Any, minval: Any, maxval: Any, dtype: str) -> Any:
    """`u` in [0, 1) taken to [minval, maxval), all in `dtype`."""
    xp = namespace(u)
    if not (hasattr(minval, "shape") or hasattr(maxval, "shape")):
        if not minval <= maxval:
            raise ArgumentError("The interval is empty.", argument="maxval", expected=f">= {minval}", got=maxval)
        if (minval, maxval) == (0, 1):
            return u
    t = getattr(xp, dtype)
    low, high = (
        xp.astype(v, t) if hasattr(v, "shape") else xp.asarray(v, dtype=t, device=device(u)) for v in (minval, maxval)
    )
    return u * (high - low) + low


@native
def uniform(key: Any, shape: Shape = (), dtype: Any = "float32", minval: Any = 0.0, maxval: Any = 1.0) -> Any:
    """Uniform random numbers in `[minval, maxval)`, as `jax.random.uniform` draws them.

    Args:
        key: uint32 (2,).
        shape: Shape of the result.
        dtype: "float32", "float64", "float16" or "bfloat16".
        minval, maxval: Numbers, or arrays that broadcast to `shape`.
    """
    _check_key(key)
    name = _float(dtype, key)
    return _scaled(_unit(key, _shape(shape), name), minval, maxval, name)


@native
def normal(key: Any, shape: Shape = (), dtype: Any = "float32") -> Any:
    """Normal random numbers with mean 0 and variance 1, by the inverse of the distribution function.

    Args:
        key: uint32 (2,).
        shape: Shape of the result.
        dtype: "float32", "float64", "float16" or "bfloat16".
    """
    _check_key(key)
    name = _float(dtype, key)
    # Uniform in (-1, 1); the sum is exact, and -1 itself does not come out of it.
    u = _unit(key, _shape(shape), name) * 2.0 + (_EPS[name] / 2 - 1.0)
    if name in ("float32", "float64"):
        return normal_quantile(u)
    xp = namespace(key)
    return xp.astype(normal_quantile(xp.astype(u, xp.float32)), u.dtype)


@native
def truncated_normal(key: Any, lower: float, upper: float, shape: Shape = (), dtype: Any = "float32") -> Any:
    """Normal random numbers with mean 0 and variance 1, given that they lie in the open interval (lower, upper).

    Args:
        key: uint32 (2,).
        lower, upper: Numbers.
        shape: Shape of the result.
        dtype: "float32" or "float64".
    """
    _check_key(key)
    name = _float(dtype, key)
    if name not in ("float32", "float64") or not lower < upper:
        raise ArgumentError(
            "No such truncated normal distribution.",
            argument="upper",
            expected="lower < upper, and float32 or float64",
            got=f"({lower}, {upper}), {name}",
        )
    import numpy as np

    cast = np.dtype(name).type
    a, b = (float(cast(math.erf(v / math.sqrt(2)))) for v in (lower, upper))
    edge = 1.0 - _EPS[name] / 2
    u = namespace(key).clip(_scaled(_unit(key, _shape(shape), name), a, b, name), -edge, edge)
    x = normal_quantile(u)
    least = float(np.nextafter(cast(lower), cast(math.inf)))
    most = float(np.nextafter(cast(upper), cast(-math.inf)))
    return namespace(x).clip(x, least, most)


@native
def bernoulli(key: Any, p: Any = 0.5, shape: Shape | None = None) -> Any:
    """Booleans that are True with probability `p`.

    Args:
        key: uint32 (2,).
        p: A number, or an array that broadcasts to `shape`.
        shape: Shape of the result; that of `p` by default.
    """
    _check_key(key)
    if hasattr(p, "shape"):
        return _unit(key, _shape(p.shape if shape is None else shape), dtype_name(p.dtype)) < p
    import numpy as np

    # The same comparison with integers: u < p where u = mantissa / 2**23.
    mantissa = namespace(key).bitwise_right_shift(random_bits(key, _shape(shape or ()), "int32"), 9) & (2**23 - 1)
    return mantissa < max(min(math.ceil(float(np.float32(p)) * 2**23), 2**23), 0)


@native
def randint(key: Any, shape: Shape, minval: int, maxval: int) -> Any:
    """Random integers in `[minval, maxval)`, int32, as `jax.random.randint` draws them.

    Args:
        key: uint32 (2,).
        shape: Shape of the result.
        minval, maxval: Integers with -2**31 <= minval < maxval <= 2**31.
    """
    _check_key(key)
    low, high = operator.index(minval), operator.index(maxval)
    if not -(2**31) <= low < high <= 2**31 or high - low >= WORD:
        raise ArgumentError(
            "There is no such range of int32.",
            argument="maxval",
            expected="-2**31 <= minval < maxval <= 2**31, fewer than 2**32 integers",
            got=f"[{low}, {high})",
        )
    keys = split(key)
    return random_integers(keys[0, :], keys[1, :], _shape(shape), low, high - low)


@native
def permutation(key: Any, x: Any) -> Any:
    """The integers below `x` in random order, int32; or the array `x` with the order of its first axis random.

    The order is that of `jax.random.permutation`: sorted by random bits, stably, as often as makes ties improbable.
    """
    _check_key(key)
    xp = namespace(key)
    n = x.shape[0] if hasattr(x, "shape") else operator.index(x)
    order = xp.arange(n, dtype=xp.int32, device=device(key))
    for _ in range(math.ceil(3 * math.log(max(n, 1)) / math.log(WORD - 1))):
        keys = split(key)
        key = keys[0, :]
        # Flipping the sign bit makes signed integers sort as the unsigned ones with the same bits do.
        rank = random_bits(keys[1, :], (n,), "int32") ^ xp.asarray(-(2**31), dtype=xp.int32, device=device(key))
        order = xp.take(order, xp.argsort(rank), axis=0)
    return xp.take(x, order, axis=0) if hasattr(x, "shape") else order


@native
def categorical(key: Any, logits: Any, axis: int = -1, shape: Shape | None = None) -> Any:
    """Random classes with probabilities `softmax(logits, axis)`, by the Gumbel-max trick.

    Args:
        key: uint32 (2,).
        logits: (..., classes), float.
        axis: The axis of the classes.
        shape: Shape of the result; that of `logits` without `axis` by default, which it must otherwise end with.
    """
    _check_key(key)
    xp = namespace(key, logits)
    axis = axis % logits.ndim - logits.ndim
    batch = (*logits.shape[:axis], *(logits.shape[axis + 1 :] if axis < -1 else ()))
    shape = batch if shape is None else _shape(shape)
    if shape[len(shape) - len(batch) :] != batch:
        raise ShapeError("Classes are drawn for each row.", argument="shape", expected=f"(..., {batch})", got=shape)
    at = len(shape) + 1 + axis
    name = _float(logits.dtype, key)
    u = _unit(key, _shape((*shape[:at], logits.shape[axis], *shape[at:])), name)
    u = u * (1.0 - _TINY[name]) + _TINY[name]
    return xp.argmax(logits - xp.log(-xp.log(u)), axis=axis)
