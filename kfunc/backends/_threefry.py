"""Random numbers in NumPy's memory, in blocks that stay in the cache. Other libraries' CPU tensors use it too."""

from __future__ import annotations

import math
from typing import Any

import array_api_compat.numpy as xp
import numpy as np

from ..ops import normal
from ..ops.bits import HASH, PARITY, PART, ROTATIONS, ROUNDS, WORD, mask_threshold

__all__ = ["fold_bits", "normal_quantile", "random_bits", "random_mask"]

# So many elements that three blocks of them, of four bytes each, fit into the cache of one core.
BLOCK = 2**14
MASK_BLOCK = 2**15
_ROTATIONS = [(np.uint32(r), np.uint32(32 - r)) for r in ROTATIONS]


def _schedule(key):
    k0, k1 = (int(word) for word in key)
    words = k0, k1, k0 ^ k1 ^ PARITY
    # These numbers are added to the two words before the first round, and after every fourth round.
    return [(np.uint32(words[n % 3]), np.uint32((words[(n + 1) % 3] + n) % WORD)) for n in range(ROUNDS // 4 + 1)]


def _mix(schedule, x0, x1, scratch):
    """Turn the counters (x0, x1), uint32 arrays of one shape, into random words, in place."""
    np.add(x0, schedule[0][0], out=x0)
    np.add(x1, schedule[0][1], out=x1)
    for i in range(ROUNDS):
        left, right = _ROTATIONS[i % 8]
        np.add(x0, x1, out=x0)
        np.right_shift(x1, right, out=scratch)
        np.left_shift(x1, left, out=x1)
        np.bitwise_or(x1, scratch, out=x1)
        np.bitwise_xor(x1, x0, out=x1)
        if i % 4 == 3:
            a, b = schedule[i // 4 + 1]
            np.add(x0, a, out=x0)
            np.add(x1, b, out=x1)


def random_bits(key: Any, shape: Any, dtype: str = "uint32") -> Any:
    """`ops.bits.random_bits` for a key that NumPy can read."""
    schedule = _schedule(key)
    size = math.prod(shape)
    out = np.empty(size, dtype=np.uint32)
    n = min(size, BLOCK)
    counter, x1, scratch = np.arange(n, dtype=np.uint32), np.empty(n, np.uint32), np.empty(n, np.uint32)
    for start in range(0, size, BLOCK):
        # Blocks divide 2**32, so the upper word is one number in each.
        x0 = out[start : start + BLOCK]
        n = len(x0)
        x0.fill(start // WORD)
        np.add(counter[:n], np.uint32(start % WORD), out=x1[:n])
        _mix(schedule, x0, x1[:n], scratch[:n])
        np.bitwise_xor(x0, x1[:n], out=x0)
    return out.view(dtype).reshape(shape)


_LOW = WORD - 1
_FEW = 6  # so few counters that Python integers are faster
_GROUPS = [[(r, 32 - r) for r in ROTATIONS[i : i + 4]] for i in (0, 4)]


def _mix_one(key, x0, x1):
    """The random words for one counter, in Python integers: a tenth of the time that the smallest arrays take."""
    k0, k1 = key.tolist()
    words = k0, k1, k0 ^ k1 ^ PARITY
    # The first word may grow beyond 32 bits: the bits above never move down.
    x0, x1 = x0 + k0, x1 + k1 & _LOW
    for n in range(1, ROUNDS // 4 + 1):
        for left, right in _GROUPS[(n + 1) % 2]:
            x0 += x1
            x1 = ((x1 << left | x1 >> right) ^ x0) & _LOW
        x0 += words[n % 3]
        x1 = x1 + words[(n + 1) % 3] + n & _LOW
    return x0 & _LOW, x1


def fold_bits(key: Any, data: Any, dtype: str = "uint32") -> Any:
    """`ops.bits.fold_bits` for a key and integers that NumPy can read."""
    if 0 < np.size(data) <= _FEW:
        words = [_mix_one(key, 0, int(n) % WORD) for n in np.ravel(data).tolist()]
        return np.array(words, np.uint32).view(dtype).reshape(*np.shape(data), 2)
    # NumPy's cast of integers is defined as modulo.
    x1 = np.array(data, order="C").astype(np.uint32).reshape(-1)
    x0, scratch = np.zeros_like(x1), np.empty_like(x1)
    _mix(_schedule(key), x0, x1, scratch)
    return np.stack([x0, x1], axis=-1).view(dtype).reshape(*np.shape(data), 2)


_HASH = [(np.uint32(shift), np.uint32(factor)) for shift, factor in HASH]


def random_mask(key: Any, shape: Any, probability: Any) -> Any:
    """`ops.bits.random_mask` for a key that NumPy can read."""
    out = np.empty(math.prod(shape), np.bool_)
    for _ in mask_parts(key, probability, out):
        pass
    return out.reshape(shape)


def mask_parts(key: Any, probability: Any, out: Any) -> Any:
    """Fill `out`, bool (n,), with the mask, block by block; yield the place of each block as soon as it is filled."""
    size, threshold = len(out), np.int32(mask_threshold(probability))
    n = min(size, MASK_BLOCK)
    counter, words, scratch = np.arange(n, dtype=np.uint32), np.empty(n, np.uint32), np.empty(n, np.uint32)
    for start in range(0, size, MASK_BLOCK):
        if start % PART == 0:
            first, second = _mix_one(key, 0, start // PART)
            second = np.uint32(second)
        n = min(size - start, MASK_BLOCK)
        x, high = words[:n], scratch[:n]
        np.add(counter[:n], np.uint32((first + start % PART) % WORD), out=x)
        for i, (shift, factor) in enumerate(_HASH):
            np.right_shift(x, shift, out=high)
            np.bitwise_xor(x, high, out=x)
            np.multiply(x, factor, out=x)
            if i == 0:
                np.add(x, second, out=x)
        np.less(x.view(np.int32), threshold, out=out[start : start + n])
        yield slice(start, start + n)


def normal_quantile(u: Any) -> Any:
    """`ops.normal.normal_quantile`, block by block; each formula only for the numbers that it is meant for."""
    if u.dtype != np.float32:
        return normal.normal_quantile.reference(u)
    flat = u.reshape(-1)
    out = np.empty_like(flat)
    for start in range(0, flat.size, BLOCK):
        wide = flat[start : start + BLOCK].astype(np.float64)
        x, near = normal.negative_square(xp, wide)
        w = np.empty_like(x)
        w[near], w[~near] = normal.near_log(xp, x[near]), normal.far_log(xp, x[~near])
        low = w < normal.TAIL
        p = np.empty_like(x)
        p[low], p[~low] = normal.middle(xp, w[low]), normal.tail(xp, w[~low])
        out[start : start + BLOCK] = normal.scaled(xp, p, wide)
    return out.reshape(u.shape)
