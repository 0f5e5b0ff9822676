"""Random bits from counters: every element can be computed alone, in any order, on any device.

Numbers come from Threefry-2x32, in the layout that JAX calls partitionable (Salmon et al., "Parallel random numbers: as
easy as 1, 2, 3", SC 2011): a block of two words is a pure function of a key of two words and a counter of two words.
Masks come from a hash of the counter, which takes a tenth of the operations.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

from ..arrays import backend_of, device, dtype_name, namespace
from ..errors import ShapeError
from ..tracing.spec import Spec
from ..typing import Array
from ._op import op

__all__ = ["fold_bits", "random_bits", "random_integers", "random_mask", "sizes"]

ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
PARITY = 0x1BD11BDA
ROUNDS = 20
WORD = 2**32


def sizes(shape: Any, key: Array = None) -> tuple[int, ...]:
    """`shape`, an integer or several, as a tuple. With a `key` that is a Spec, some of them may be None.

    Raises:
        ShapeError: A size is unknown, negative or not an integer.
    """
    given = tuple(shape) if isinstance(shape, Iterable) else (shape,)
    unknown = isinstance(key, Spec)
    try:
        known: Any = tuple([_size(n, key, unknown) for n in given])
    except TypeError:
        known = (-1,)
    if any(type(n) is int and n < 0 for n in known):
        raise ShapeError(
            f"Random numbers need a shape of known sizes, got {shape}.",
            argument="shape",
            expected="natural numbers",
            got=shape,
            fix="draw with sizes that are known when the network is built, and broadcast",
        )
    return known


def _size(n: Any, key: Array, unknown: bool) -> Any:
    # `index` of a symbol, such as of torch.export, would be the size that it has just now. Dynamo takes it for an int.
    if type(n) is int or (n is None and unknown) or (key is not None and backend_of(key).is_symbol(n)):
        return n
    return operator.index(n)


def _word(xp, value, like):
    """A 0-d uint32 array: JAX takes no Python integer beyond 31 bits."""
    return xp.asarray(value % WORD, dtype=xp.uint32, device=device(like))


def _threefry(xp, key, hi, lo):
    """The two words for counters (hi, lo), uint32 (n,)."""
    # No 0-d arrays: NumPy makes scalars of them, which warn where they wrap.
    schedule = [key[0:1], key[1:2]]
    schedule.append(schedule[0] ^ schedule[1] ^ _word(xp, PARITY, key))
    x0, x1 = hi + schedule[0], lo + schedule[1]
    for i in range(ROUNDS):
        r = ROTATIONS[i % 8]
        x0 = x0 + x1
        x1 = (xp.bitwise_left_shift(x1, _word(xp, r, key)) | xp.bitwise_right_shift(x1, _word(xp, 32 - r, key))) ^ x0
        if i % 4 == 3:
            n = i // 4 + 1
            x0 = x0 + schedule[n % 3]
            x1 = x1 + schedule[(n + 1) % 3] + _word(xp, n, key)
    return x0, x1


def _as_words(xp, x):
    """Integers of any dtype modulo 2**32, as uint32."""
    if dtype_name(x.dtype) in ("uint8", "uint16", "uint32"):
        return xp.astype(x, xp.uint32)
    wide = dtype_name(x.dtype) in ("int64", "uint64")
    x = x & 0xFFFFFFFF if wide else xp.astype(x, xp.int32)
    if wide:
        return xp.astype(x, xp.uint32)
    # The standard leaves open how negative numbers are cast, so the sign bit is added afterwards.
    low = xp.astype(x & 0x7FFFFFFF, xp.uint32)
    return xp.where(x < 0, low | _word(xp, 2**31, x), low)


def _as_signed(xp, x):
    """uint32 as the int32 with the same bits."""
    half = _word(xp, 2**31 - 1, x)
    low = xp.astype(x & half, xp.int32)
    return xp.where(x > half, low | xp.asarray(-(2**31), dtype=xp.int32, device=device(x)), low)


@op
def fold_bits(key: Array, data: Array, dtype: str = "uint32") -> Array:
    """The two words for the counters (0, data): what `split` and `fold_in` are made of.

    Args:
        key: uint32 (2,).
        data: integers (...), taken modulo 2**32.
        dtype: "uint32", or "int32" for the same bits as signed integers.

    Returns:
        (..., 2) of `dtype`.
    """
    xp = namespace(key, data)
    lo = xp.reshape(_as_words(xp, data), (-1,))
    words = xp.stack(_threefry(xp, key, xp.zeros_like(lo), lo), axis=-1)
    words = xp.reshape(words, (*data.shape, 2))
    return _as_signed(xp, words) if dtype == "int32" else words


@fold_bits.shape_rule
def _fold_bits_shape(key, data, dtype="uint32"):
    return Spec((*data.shape, 2), dtype)


@op
def random_bits(key: Array, shape: tuple[int, ...], dtype: str = "uint32") -> Array:
    """For each element, the exclusive or of the two words for its own position as the counter.

    Args:
        key: uint32 (2,).
        shape: A tuple of integers.
        dtype: "uint32", or "int32" for the same bits as signed integers, which every backend can compute with.

    Returns:
        (*shape,) of `dtype`.
    """
    xp = namespace(key)
    size = math.prod(shape)
    parts = []
    several = not backend_of(key).is_symbol(size) and size > WORD
    for start in range(0, size, WORD) if several else (0,):
        lo = xp.arange(min(size - start, WORD) if several else size, dtype=xp.uint32, device=device(key))
        hi = xp.full_like(lo, start // WORD)
        x0, x1 = _threefry(xp, key, hi, lo)
        parts.append(x0 ^ x1)
    out = xp.reshape(parts[0] if len(parts) == 1 else xp.concat(parts), shape)
    return _as_signed(xp, out) if dtype == "int32" else out


@random_bits.shape_rule
def _random_bits_shape(key, shape, dtype="uint32"):
    return Spec(shape, dtype)


@op
def random_integers(key: Array, other: Array, shape: tuple[int, ...], minval: int, span: int) -> Array:
    """`minval + (a * 2**32 + b) mod span` for 32 random bits a from `key` and b from `other`.

    The products wrap at 2**32, as in `jax.random.randint`; the bias is `span / 2**32` at most.

    Args:
        key, other: uint32 (2,).
        shape: A tuple of integers.
        minval, span: Integers; span is in [1, 2**32).

    Returns:
        int32 (*shape,).
    """
    xp = namespace(key, other)
    multiplier, n = _word(xp, wrapped_square(span), key), _word(xp, span, key)
    a, b = random_bits(key, shape), random_bits(other, shape)
    return _as_signed(xp, (a % n * multiplier + b % n) % n + _word(xp, minval, key))


@random_integers.shape_rule
def _random_integers_shape(key, other, shape, minval, span):
    return Spec(shape, "int32")


def wrapped_square(span: int) -> int:
    """`2**32 mod span`, by way of 2**16 and with a product that wraps, as `jax.random.randint` has it."""
    half = 2**16 % span
    return half * half % WORD % span


# For each round, how far the word is shifted onto itself, and the factor that it is then multiplied by.
HASH = ((17, 0xED5AD4BB), (11, 0xAC4C1B51), (15, 0x31848BAB))
PART = 2**31
"""How many elements of a mask share two words of the key."""


def signed(word: int) -> int:
    """The integer in [-2**31, 2**31) that is `word` modulo 2**32."""
    return (word + 2**31) % WORD - 2**31


def mask_threshold(probability: float) -> int:
    """The int32 below which a uniform int32 lies with this probability."""
    return min(max(round(probability * WORD), 0), WORD - 1) - 2**31


@op
def random_mask(key: Array, shape: tuple[int, ...], probability: float) -> Array:
    """Booleans that are True with a probability, for dropout: cheap to draw.

    Each boolean is a hash of its position: three rounds of a shift and a product (the constants are those of Wellons,
    "hash-prospector", 2018, triple32) with the two words of a Threefry block added before the first and the second.
    Only the upper bits pass every test of uniformity, so the result is a comparison and not the words. The arithmetic
    is that of int32 modulo 2**32, which all backends have.

    Args:
        key: uint32 (2,).
        shape: A tuple of integers.
        probability: In [0, 1); rounded to a multiple of 2**-32.

    Returns:
        bool (*shape,).
    """
    xp = namespace(key)
    size, parts = math.prod(shape), []
    # A symbol stands for any size, and cannot be compared; a program for more than one part has to be told the size.
    several = not backend_of(key).is_symbol(size) and size > PART
    for start in range(0, size, PART) if several else (0,):
        part = xp.full((1,), start // PART, dtype=xp.int32, device=device(key))
        words = fold_bits(key, part, "int32")
        x = xp.arange(min(size - start, PART) if several else size, dtype=xp.int32, device=device(key)) + words[:, 0]
        for i, (shift, factor) in enumerate(HASH):
            # The shift copies the sign bit, which the mask takes away again.
            x = (x ^ (xp.bitwise_right_shift(x, shift) & (2 ** (32 - shift) - 1))) * signed(factor)
            x = x + words[:, 1] if i == 0 else x
        parts.append(x < mask_threshold(probability))
    return xp.reshape(parts[0] if len(parts) == 1 else xp.concat(parts), shape)


@random_mask.shape_rule
def _random_mask_shape(key, shape, probability):
    return Spec(shape, "bool")
