"""Dropout: its masks are random, the same on every backend, and what they leave is scaled; gradients."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from backends import TRAINING

import kfunc as kf
from kfunc import ops, random
from kfunc.ops import bits as bit_ops

N = kf.to_numpy
n = 40_000


def upper_bytes(key, n=2**15):
    """The upper bytes of the words behind a mask, from masks of one key at 255 probabilities."""
    return sum((~bit_ops.random_mask(key, (n,), p / 256)).astype(np.uint8) for p in range(1, 256))


def excess(counts):
    """How many standard deviations the chi-square statistic of equally likely cells lies off."""
    expected = counts.sum() / counts.size
    return (np.sum((counts - expected) ** 2) / expected - (counts.size - 1)) / math.sqrt(2 * (counts.size - 1))


def pairs(a, b):
    """Counts of pairs of upper half bytes."""
    return np.bincount((a >> 4) * np.int64(16) + (b >> 4), minlength=256)


# Keys as near to each other as users and our own `split` make them, and as far as one bit is from the next.
MASK_KEYS = [random.key(seed) for seed in (0, 1, 2, 3, 2**31, 2**32, 2**32 + 1, 2**63)]
MASK_KEYS += list(random.split(random.key(0), 4)) + [random.fold_in(random.key(1), i) for i in range(4)]


def test_masks_are_random():
    """By byte and bit, along positions, and from key to key; sums of many chi-squares are normal."""
    bytes_ = [upper_bytes(key) for key in MASK_KEYS]
    off = {"byte": [excess(np.bincount(b, minlength=256)) for b in bytes_]}
    for bit in range(8):
        ones = [np.mean((b >> bit) & 1) for b in bytes_]
        off[f"bit {bit}"] = [(p - 0.5) * 2 * math.sqrt(len(bytes_[0])) for p in ones]
    for lag in (1, 2, 3, 4, 8, 16, 31, 32, 64, 100, 128, 256, 784, 1024, 4096):
        off[f"lag {lag}"] = [excess(pairs(b[:-lag], b[lag:])) for b in bytes_]
    for shift in (0, 1):
        every = [excess(pairs(a[shift:], b[: len(b) - shift])) for a, b in itertools.permutations(bytes_, 2)]
        assert np.max(np.abs(every)) < 5.5
        # Those that share no key are independent.
        off[f"keys, shift {shift}"] = [
            excess(pairs(a[shift:], b[: len(b) - shift])) for a, b in zip(bytes_[::2], bytes_[1::2], strict=True)
        ]
    for b in bytes_:
        # Eight neighbours' upper bits, as masks have them.
        words = (b >> 7).reshape(-1, 8).astype(np.int64) @ (1 << np.arange(8))
        off.setdefault("eight in a row", []).append(excess(np.bincount(words, minlength=256)))
    for what, values in off.items():
        assert np.max(np.abs(values)) < 5.5, what
        assert abs(np.mean(values)) * math.sqrt(len(values)) < 4.5, what


def test_long_masks_are_random():
    """Over two million elements; with one round less, pairs at a distance of 65536 are off by nine deviations."""
    for key in MASK_KEYS[:2]:
        upper = sum((~bit_ops.random_mask(key, (2**21,), p / 16)).astype(np.uint8) for p in range(1, 16)) << 4
        for lag in (1, 64, 256, 1024, 2**16):
            assert abs(excess(pairs(upper[:-lag], upper[lag:]))) < 5


def test_masks_avalanche():
    """A mask for one half changes by half where any bit of the key does; and counts in windows vary as they should."""
    size, key = 2**15, random.key(0x0123456789ABCDEF)
    mask = bit_ops.random_mask(key, (size,), 0.5)
    for word, bit in itertools.product(range(2), range(32)):
        other = key.copy()
        other[word] ^= np.uint32(1 << bit)
        changed = np.mean(mask != bit_ops.random_mask(other, (size,), 0.5))
        assert abs(changed - 0.5) < 5 * 0.5 / math.sqrt(size)
    for p in (0.001, 0.1, 0.9):
        # Counts in windows of 64 vary as binomial ones do.
        counts = np.sum(bit_ops.random_mask(key, (2**12, 64), p), axis=1)
        variance = 64 * p * (1 - p)
        spread = np.mean((counts - 64 * p) ** 2) / variance
        assert abs(spread - 1) < 5 * math.sqrt((2 + (1 - 6 * p * (1 - p)) / variance) / 2**12)


def test_mask_probabilities():
    key = random.key(3)
    assert not bit_ops.random_mask(key, (n,), 0.0).any() and bit_ops.random_mask(key, (n,), 1.0).all()
    low, high = (bit_ops.random_mask(key, (n,), p) for p in (0.3, 0.31))
    assert not np.any(low & ~high)  # more probable, and none less
    x = np.ones(n, np.float32)
    for rate in (1e-4, 0.1, 0.999):
        kept = np.mean(ops.dropout(x, key, rate) != 0)
        assert abs(kept - (1 - rate)) < 5 * math.sqrt(rate * (1 - rate) / n)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param(*name.values, dtype, marks=name.marks)
        for name in TRAINING
        for dtype in ("float32", "float64", "float16")
        # JAX needs a switch for the one, and the standard has no other.
        if (*name.values, dtype) not in (("jax", "float64"), ("array_api_strict", "float16"))
    ],
)
def test_dropout(name, dtype):
    rng = np.random.default_rng(0)
    for shape, noise_shape in (((70, 9), None), ((3, 5, 4), (3, 1, 4)), ((), None)):
        x = rng.normal(size=shape).astype(dtype)
        key = random.key(2**35 + 1, backend=name)
        keep = np.broadcast_to(
            bit_ops.random_mask.reference(random.key(2**35 + 1), shape if noise_shape is None else noise_shape, 0.75),
            shape,
        )
        x = np.where(keep, x, np.asarray(np.inf, dtype))  # an infinity that is dropped leaves nothing behind
        # Half precision may multiply by the scale before or after rounding it.
        tolerance = dict(rtol=2 * 2.0**-10 if dtype == "float16" else 0, atol=0)
        scale = np.asarray(1 / 0.75, dtype)
        given = kf.asarray(x, dtype, backend=name)
        out = N(random.dropout(key, given, 0.25, noise_shape))
        assert out.dtype == dtype
        np.testing.assert_allclose(out, np.where(keep, x * scale, 0), **tolerance)

        @kf.arrays.native
        def total(x, key, noise_shape=noise_shape):
            return kf.namespace(x).sum(random.dropout(key, x, 0.25, noise_shape) * 3)

        gradient = N(kf.grad(total)(kf.asarray(np.ones(shape, dtype), backend=name), key))
        np.testing.assert_allclose(gradient, np.where(keep, 3 * scale, 0), **tolerance)
    assert random.dropout(key, given, 0.0) is given


def test_gradient_of_gradient_of_dropout():
    key = random.key(5)
    x = np.linspace(0.5, 2, 40, dtype=np.float32)
    cube = kf.grad(lambda x: kf.namespace(x).sum(ops.dropout(x, key, 0.25) ** 3))
    second = kf.grad(lambda x: kf.namespace(x).sum(cube(x)))(x)
    keep = bit_ops.random_mask(key, (40,), 0.75)
    np.testing.assert_allclose(second, np.where(keep, 6 * x / 0.75**3, 0), rtol=8 * 2**-23)
