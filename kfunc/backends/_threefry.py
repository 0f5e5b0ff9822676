"""Random numbers in NumPy memory, in blocks that stay in the cache; eager CPU tensors of other libraries share it."""

from __future__ import annotations

import math

import array_api_compat.numpy as xp
import numpy as np

from ..ops import quantile
from ..ops.bits import PARITY, ROTATIONS, ROUNDS, WORD

__all__ = ["fold_bits", "normal_quantile", "random_bits"]

# Three blocks of four bytes an element fit the cache of one core.
BLOCK = 2**14
_ROTATIONS = [(np.uint32(r), np.uint32(32 - r)) for r in ROTATIONS]


def _schedule(key):
    k0, k1 = (int(word) for word in key)
    words = k0, k1, k0 ^ k1 ^ PARITY
    # What is added to the two words before the first round, and after every fourth.
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


def random_bits(key, shape, dtype="uint32"):
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


def _mix_one(key, x0, x1):
    """The random words for one counter, in Python integers: a tenth of the time of arrays of one element."""
    k0, k1 = (int(word) for word in key)
    words = k0, k1, k0 ^ k1 ^ PARITY
    x0, x1 = (x0 + k0) % WORD, (x1 + k1) % WORD
    for i in range(ROUNDS):
        r = ROTATIONS[i % 8]
        x0 = (x0 + x1) % WORD
        x1 = ((x1 << r | x1 >> (32 - r)) ^ x0) % WORD
        if i % 4 == 3:
            n = i // 4 + 1
            x0 = (x0 + words[n % 3]) % WORD
            x1 = (x1 + words[(n + 1) % 3] + n) % WORD
    return x0, x1


def fold_bits(key, data):
    """`ops.bits.fold_bits` for a key and integers that NumPy can read."""
    if np.size(data) == 1:
        return np.array(_mix_one(key, 0, int(data.item()) % WORD), np.uint32).reshape(*np.shape(data), 2)
    # NumPy's cast of integers is defined as modulo.
    x1 = np.array(data, order="C").astype(np.uint32).reshape(-1)
    x0, scratch = np.zeros_like(x1), np.empty_like(x1)
    _mix(_schedule(key), x0, x1, scratch)
    return np.stack([x0, x1], axis=-1).reshape(*np.shape(data), 2)


def normal_quantile(u):
    """`ops.quantile.normal_quantile`, block by block, and each formula for the numbers that it is meant for."""
    if u.dtype != np.float32:
        return quantile.normal_quantile.reference(u)
    flat = u.reshape(-1)
    out = np.empty_like(flat)
    for start in range(0, flat.size, BLOCK):
        wide = flat[start : start + BLOCK].astype(np.float64)
        x, near = quantile.negative_square(xp, wide)
        w = np.empty_like(x)
        w[near], w[~near] = quantile.near_log(xp, x[near]), quantile.far_log(xp, x[~near])
        low = w < quantile.TAIL
        p = np.empty_like(x)
        p[low], p[~low] = quantile.middle(xp, w[low]), quantile.tail(xp, w[~low])
        out[start : start + BLOCK] = quantile.scaled(xp, p, wide)
    return out.reshape(u.shape)
