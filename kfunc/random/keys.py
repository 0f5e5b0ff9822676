"""Random keys, and the bits that they give."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..arrays import asarray, backend_of, device, dtype_name, namespace, native
from ..backends import Backend
from ..errors import ArgumentError, shown
from ..ops.bits import WORD, fold_bits, random_bits, sizes
from ..typing import Array, DType

__all__ = ["bits", "check_key", "drawing", "fold_in", "key", "split"]

F = TypeVar("F", bound=Callable[..., Any])


def drawing(fun: F) -> F:
    """`native(fun)` for a distribution, a function of a key first; and an error about Keras's `seed=`."""
    door = native(fun)

    @functools.wraps(fun)
    def draw(*args, **kwargs):
        if "seed" in kwargs:
            name = fun.__name__
            raise ArgumentError(
                f"`seed` is no argument of random.{name}: a key comes first, and says which numbers are drawn.",
                argument="seed",
                expected="a key as the first argument",
                got=f"seed={shown(kwargs['seed'])}",
                fix=f"call random.{name}(kf.random.key(1), ...), and take another key for each draw, "
                "by kf.random.split",
            )
        return door(*args, **kwargs)

    return draw  # type: ignore[return-value]


def check_key(key: Array) -> Array:
    """The two words of `key`, which may be a typed key of JAX; an ArgumentError if it is no random key."""
    if not hasattr(key, "shape"):  # an integer, or the shape in its place
        got = repr(key)
    elif tuple(key.shape) == (2,) and dtype_name(key.dtype) == "uint32":
        return key
    elif (words := backend_of(key).key_words(key)) is not None:
        return words
    else:
        got = f"{dtype_name(key.dtype)} of shape {tuple(key.shape)}"
    raise ArgumentError(
        f"`key` must be a random key, a uint32 array of shape (2,), got {got}.",
        argument="key",
        expected="a uint32 array of shape (2,)",
        got=got,
        fix="make keys by kf.random.key(seed) and split; typed keys of JAX must be of threefry2x32, and one at a time",
    )


def key(seed: int, backend: str | Backend | None = None, device: Any = None) -> Array:
    """A key of 64 bits from an integer, as `jax.random.key` makes it (where that has 64-bit integers enabled).

    Args:
        seed: An integer in [-2**63, 2**64); distinct seeds modulo 2**64 give distinct keys.
        backend: Name of the backend that the key is for; NumPy by default.
        device: Where to put it.

    Returns:
        uint32 (2,): the upper and the lower half of the seed.

    Raises:
        ArgumentError: The seed is not an integer, or out of range.
    """
    import numpy as np

    try:
        value = operator.index(seed)
    except TypeError:
        value = WORD * WORD
    if not -(2**63) <= value < 2**64:
        raise ArgumentError.must_be("seed", "an integer in [-2**63, 2**64)", seed)
    words = np.array([(value // WORD) % WORD, value % WORD], dtype=np.uint32)
    return asarray(words, backend="numpy" if backend is None else backend, device=device)


@native
def split(key: Array, num: int | Sequence[int] = 2) -> Array:
    """New keys, independent of each other and of `key`.

    Args:
        key: uint32 (2,), or a typed key of JAX, such as all functions here take.
        num: How many, or a shape.

    Returns:
        uint32 (num, 2), or (*num, 2).
    """
    key = check_key(key)
    shape = sizes(num)
    xp = namespace(key)
    out = fold_bits(key, xp.arange(math.prod(shape), dtype=xp.int32, device=device(key)))
    return out if len(shape) == 1 else xp.reshape(out, (*shape, 2))


@native
def fold_in(key: Array, data: Array) -> Array:
    """A new key from a key and an integer, such as the number of a step or a layer.

    Args:
        key: uint32 (2,).
        data: An integer, or an array of integers (...), which may be traced; taken modulo 2**32.

    Returns:
        uint32 (2,), or (..., 2).
    """
    key = check_key(key)
    if not hasattr(data, "shape"):
        try:
            value = operator.index(data) % WORD
        except TypeError:
            raise ArgumentError.must_be("data", "an integer, or an array of integers", data) from None
        xp = namespace(key)
        data = xp.asarray(value - WORD if value >= 2**31 else value, dtype=xp.int32, device=device(key))
    elif "int" not in dtype_name(data.dtype):
        raise ArgumentError.must_be("data", "an integer, or an array of integers", dtype_name(data.dtype))
    return fold_bits(key, data)


@native
def bits(key: Array, shape: int | Sequence[int] = (), dtype: DType = "uint32") -> Array:
    """Uniform random bits.

    Args:
        key: uint32 (2,).
        shape: Shape of the result.
        dtype: "uint32", "uint16" or "uint8".
    """
    key = check_key(key)
    name = dtype_name(dtype)
    if name == "uint32":
        return random_bits(key, sizes(shape, key))
    if name not in ("uint16", "uint8"):
        raise ArgumentError.must_be("dtype", "uint32, uint16 or uint8", name)
    xp = namespace(key)
    return xp.astype(
        random_bits(key, sizes(shape, key), "int32") & (0xFFFF if name == "uint16" else 0xFF), getattr(xp, name)
    )
