"""Random numbers: on every backend the bits of jax.random, by frozen vectors and live; the distributions' moments."""

from __future__ import annotations

import functools
import inspect
import itertools
import math

import numpy as np
import pytest
from backends import BACKENDS, params

import kfunc as kf
from kfunc import ops, random
from kfunc.backends import _threefry
from kfunc.ops import bits as bit_ops
from kfunc.ops.normal import normal_quantile

jax = pytest.importorskip("jax")

N = kf.to_numpy
SEEDS = (0, 42, 2**31 + 7)

# Written by jax.random 0.10: key, split(key, 3), fold_in(key, 1000003), and bits, uniform and
# normal of shape (2, 3); floats as their bits.
FROZEN = {
    0: (
        [0x00000000, 0x00000000],
        [0x6B200159, 0x99BA4EFE, 0x375F238F, 0xCDDB151D, 0xF71F4EA9, 0xA20E4081],
        [0x8BBCC1CC, 0xF5DEDD92],
        [0xF29A4FA7, 0xFA843692, 0x55110E28, 0x77FAA835, 0x91E43BB7, 0x2A5E6943],
        [0x3F729A4E, 0x3F7A8436, 0x3EAA221C, 0x3EEFF550, 0x3F11E43A, 0x3E2979A0],
        [0x3FCFB2BD, 0x40019DF0, 0xBEDE0017, 0xBDA10222, 0x3E34512C, 0xBF78DAD7],
    ),
    42: (
        [0x00000000, 0x0000002A],
        [0x6D3E048F, 0x1022172D, 0x03D7B32D, 0xADD083F4, 0x92FB20EA, 0x0F38D913],
        [0x619C310C, 0x25C70CEA],
        [0x7D1C13A2, 0xAE0730D9, 0x9DC3F9F9, 0x8F9EC1D7, 0x735D7315, 0x95FB4ED8],
        [0x3EFA3824, 0x3F2E0730, 0x3F1DC3F8, 0x3F0F9EC0, 0x3EE6BAE4, 0x3F15FB4E],
        [0xBCE7DF15, 0x3EEF2BE8, 0x3E976661, 0x3E1D3B24, 0xBDFE04EB, 0x3E5E211A],
    ),
    2**31 + 7: (
        [0x00000000, 0x80000007],
        [0xEF700F63, 0xE63C63AA, 0xE4FD8152, 0xC66587E6, 0x4FC39414, 0x6BFBBB0B],
        [0x8D218470, 0xB41DFD54],
        [0x094C6CC9, 0x229806B4, 0x24382F1F, 0x1E5CDDD4, 0x04827006, 0xD2DAA029],
        [0x3D14C6C0, 0x3E0A6018, 0x3E10E0B8, 0x3DF2E6E0, 0x3C904E00, 0x3F52DAA0],
        [0xBFE5C464, 0xBF8D1D33, 0xBF896E76, 0xBF974B83, 0xC006C3BD, 0x3F6DEA78],
    ),
}


def ordered(x):
    """Floats as integers that count the floats between them."""
    n = np.asarray(x).view(np.int32 if x.dtype == np.float32 else np.int64).astype(np.int64)
    return np.where(n < 0, -(n & (2**31 - 1 if x.dtype == np.float32 else 2**63 - 1)), n)


def ulps(a, b):
    return np.max(np.abs(ordered(N(a)) - ordered(np.asarray(b))))


def same(a, b):
    a, b = N(a), np.asarray(b)
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    a, b = (np.ascontiguousarray(x) for x in (a, b))
    np.testing.assert_array_equal(a.view(np.uint8), b.view(np.uint8))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", BACKENDS)
def test_frozen_vectors(name, seed):
    words, split, folded, bits, uniform, normal = (np.array(v, np.uint32) for v in FROZEN[seed])
    key = random.key(seed, backend=name)
    same(key, words)
    same(random.split(key, 3), split.reshape(3, 2))
    same(random.fold_in(key, 1000003), folded)
    same(random.bits(key, (2, 3)), bits.reshape(2, 3))
    same(random.uniform(key, (2, 3)), uniform.reshape(2, 3).view(np.float32))
    assert ulps(random.normal(key, (2, 3)), normal.reshape(2, 3).view(np.float32)) <= 1


def data(key):
    return np.asarray(jax.random.key_data(key))


# What is drawn, by us and by JAX, from its own key; JAX's float16 and bfloat16 too where the namespace has them.
DRAWS = {
    "split": (lambda k: random.split(k, 5), lambda k: data(jax.random.split(k, 5))),
    "split shape": (lambda k: random.split(k, (2, 3)), lambda k: data(jax.random.split(k, (2, 3)))),
    "fold_in 0": (lambda k: random.fold_in(k, 0), lambda k: data(jax.random.fold_in(k, 0))),
    "fold_in large": (lambda k: random.fold_in(k, 2**32 - 1), lambda k: data(jax.random.fold_in(k, 2**32 - 1))),
    "bits scalar": (lambda k: random.bits(k), lambda k: jax.random.bits(k)),
    "bits": (lambda k: random.bits(k, (3, 40_000)), lambda k: jax.random.bits(k, (3, 40_000))),
    "bits uint8": (lambda k: random.bits(k, (99,), "uint8"), lambda k: jax.random.bits(k, (99,), "uint8")),
    "bits none": (lambda k: random.bits(k, (0, 4)), lambda k: jax.random.bits(k, (0, 4))),
    "uniform": (lambda k: random.uniform(k, (7, 99)), lambda k: jax.random.uniform(k, (7, 99))),
    "uniform range": (
        lambda k: random.uniform(k, (7, 99), minval=-2.0, maxval=2.0),
        lambda k: jax.random.uniform(k, (7, 99), minval=-2.0, maxval=2.0),
    ),
    "bernoulli": (lambda k: random.bernoulli(k, 0.3, (999,)), lambda k: jax.random.bernoulli(k, 0.3, (999,))),
    "randint": (lambda k: random.randint(k, (999,), -5, 10**5), lambda k: jax.random.randint(k, (999,), -5, 10**5)),
    "randint wide": (
        lambda k: random.randint(k, (999,), -(2**31), 2**31 - 1),
        lambda k: jax.random.randint(k, (999,), -(2**31), 2**31 - 1),
    ),
    "permutation": (lambda k: random.permutation(k, 50), lambda k: jax.random.permutation(k, 50)),
    "permutation 1": (lambda k: random.permutation(k, 1), lambda k: jax.random.permutation(k, 1)),
    "permutation, two rounds": (lambda k: random.permutation(k, 3000), lambda k: jax.random.permutation(k, 3000)),
    "permutation axis": (
        lambda k: random.permutation(k, like(k, CUBE), 1),
        lambda k: jax.random.permutation(k, CUBE, 1),
    ),
    "permutation independent": (
        lambda k: random.permutation(k, like(k, CUBE), -1, independent=True),
        lambda k: jax.random.permutation(k, CUBE, -1, independent=True),
    ),
    "shuffle": (lambda k: random.shuffle(k, like(k, CUBE), axis=2), lambda k: jax.random.permutation(k, CUBE, 2)),
    "choice": (lambda k: random.choice(k, 70, (50,)), lambda k: jax.random.choice(k, 70, (50,))),
    "choice of an array": (
        lambda k: random.choice(k, like(k, CUBE), (2, 2), axis=1),
        lambda k: jax.random.choice(k, CUBE, (2, 2), axis=1),
    ),
    "choice without replacement": (
        lambda k: random.choice(k, 50, (5, 3), replace=False),
        lambda k: jax.random.choice(k, 50, (5, 3), replace=False),
    ),
    "choice p": (
        lambda k: random.choice(k, 5, (200,), p=like(k, ODDS)),
        lambda k: jax.random.choice(k, 5, (200,), p=ODDS),
    ),
    "choice p without replacement": (
        lambda k: random.choice(k, 5, (4,), replace=False, p=like(k, ODDS)),
        lambda k: jax.random.choice(k, 5, (4,), replace=False, p=ODDS),
    ),
}
CUBE = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
ODDS = np.array([0.1, 0.2, 0.3, 0.0, 0.4], np.float32)


def like(key, x):
    """`x` on the key's backend."""
    return kf.asarray(x, backend=kf.arrays.backend_of(key))


@functools.cache
def by_jax(draw, seed):
    return np.asarray(DRAWS[draw][1](jax.random.key(seed)))


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("name", BACKENDS)
def test_same_bits_as_jax(name, draw):
    for seed in SEEDS:
        same(DRAWS[draw][0](random.key(seed, backend=name)), by_jax(draw, seed))


# To a few roundings, since libraries' logarithms differ.
NEAR_JAX = {
    "exponential": (random.exponential, jax.random.exponential),
    "gumbel": (random.gumbel, jax.random.gumbel),
    "laplace": (random.laplace, jax.random.laplace),
}


@pytest.mark.parametrize("draw", NEAR_JAX)
@pytest.mark.parametrize("name", BACKENDS)
def test_near_jax(name, draw):
    ours, theirs = NEAR_JAX[draw]
    close(ours(random.key(7, backend=name), (999,)), theirs(jax.random.key(7), (999,)), 8)


def close(x, y, roundings):
    x, y = N(x), np.asarray(y)
    assert (x.dtype, x.shape) == (y.dtype, y.shape)
    np.testing.assert_allclose(x, y, rtol=roundings * 2**-23, atol=roundings * 2**-23)


@pytest.mark.parametrize("name", BACKENDS)
def test_normal_is_jax_normal(name):
    x = random.normal(random.key(3, backend=name), (100_001,))
    assert ulps(x, jax.random.normal(jax.random.key(3), (100_001,))) <= 1


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param(name, dtype, marks=getattr(pytest.mark, name))
        for name in ("numpy", "jax", "torch", "tensorflow")
        for dtype in ("float16", "bfloat16")
        if (name, dtype) != ("numpy", "bfloat16")  # NumPy has none.
    ],
)
def test_short_floats(name, dtype):
    x = random.uniform(random.key(3, backend=name), (500,), dtype)
    same(kf.asarray(x, "float32"), np.asarray(jax.random.uniform(jax.random.key(3), (500,), dtype).astype("float32")))


@pytest.mark.parametrize("name", params(("numpy", "torch", "tensorflow", "array_api_strict")))
def test_float64(name):
    key = random.key(42, backend=name)
    # By jax.random with 64-bit types enabled.
    uniform = [float.fromhex(v) for v in ("0x1.b4f8123c40884p-2", "0x1.ebd996d6e8400p-7", "0x1.25f641d41e71ap-1")]
    normal = [float.fromhex(v) for v in ("-0x1.7a4a26c962159p-3", "-0x1.15bccfaa7ba3ap+1", "0x1.7ed8110b50460p-3")]
    same(random.uniform(key, (3,), "float64"), np.array(uniform))
    # The error of erf_inv is a few roundings of a polynomial of degree 22.
    np.testing.assert_allclose(N(random.normal(key, (3,), "float64")), normal, rtol=8 * 2**-52)


@pytest.mark.parametrize("name", BACKENDS)
def test_array_arguments(name):
    key, jax_key = random.key(9, backend=name), jax.random.key(9)
    large = [("int64", 2**32 + 7)] if name != "jax" else []  # JAX has no such number without 64 bits
    for dtype, value in (("int32", 7), ("int32", -3), *large, ("uint8", 200)):
        step = kf.asarray(np.array(value, dtype), backend=name)
        same(random.fold_in(key, step), data(jax.random.fold_in(jax_key, np.uint32(value % 2**32))))
    steps = kf.asarray(np.arange(6, dtype=np.int32).reshape(2, 3), backend=name)
    folded = N(random.fold_in(key, steps))
    assert folded.shape == (2, 3, 2)
    same(folded[1, 2], data(jax.random.fold_in(jax_key, 5)))
    x = kf.asarray(np.arange(40, dtype=np.float32).reshape(10, 4), backend=name)
    same(random.permutation(key, x), jax.random.permutation(jax_key, np.arange(40, dtype=np.float32).reshape(10, 4)))
    logits = np.log(np.arange(1, 25, dtype=np.float32)).reshape(2, 3, 4)
    for axis in (-1, 1):
        drawn = random.categorical(key, kf.asarray(logits, backend=name), axis, (5, *np.delete(logits.shape, axis)))
        expected = jax.random.categorical(jax_key, logits, axis, (5, *np.delete(logits.shape, axis)))
        np.testing.assert_array_equal(N(drawn), np.asarray(expected))
    p = kf.asarray(np.linspace(0, 1, 12, dtype=np.float32), backend=name)
    same(random.bernoulli(key, p), jax.random.bernoulli(jax_key, np.linspace(0, 1, 12, dtype=np.float32)))


@pytest.mark.parametrize("name", BACKENDS)
def test_lowerings_are_their_references(name):
    """On every backend whose uint32 the references can use; they are what an unknown library runs."""
    key, other = (kf.backends.get(name).lift(random.key(s, backend=name)) for s in (5, 6))
    rows = kf.backends.get(name).lift(kf.asarray(np.arange(-3, 4, dtype=np.int32), backend=name))
    calls = [(bit_ops.fold_bits, (key, rows)), (bit_ops.random_integers, (key, other, (17,), -9, 1000))]
    calls += [(bit_ops.random_bits, (key, (3, 7), dtype)) for dtype in ("uint32", "int32")]
    calls += [(bit_ops.fold_bits, (key, rows, "int32")), (bit_ops.random_mask, (key, (3, 7), 0.7))]
    for op, args in calls:
        expected = N(op(*(a if isinstance(a, (tuple, int, str)) else N(a) for a in args)))
        same(op(*args), expected)
        if name != "torch":  # Its uint32 has no sums.
            same(op.reference(*args), expected)


@pytest.mark.torch
def test_what_torch_runs_on_accelerators():
    """The operators' other branch, on CPU tensors."""
    from kfunc.backends.torch import random as torch_random

    key = random.key(2**63 + 11, backend="torch")
    same(torch_random.bits_on_device(key, (3, 7)), N(random.bits(random.key(2**63 + 11), (3, 7))).view(np.int32))
    for dtype in (np.int32, np.int64):
        rows = np.array([[-3, 0], [2**31 - 1, 7]], dtype)
        words = torch_random.words_on_device(key, kf.asarray(rows, backend="torch"))
        same(words, random.fold_in(random.key(2**63 + 11), rows).view(np.int32))


def test_bernoulli_at_the_boundary():
    """A probability equal to the uniform number drawn is a miss, the next one above it a hit."""
    key = random.key(0)
    for i, u in enumerate(random.uniform(key, (20,))):
        assert not random.bernoulli(key, float(u), (20,))[i]
        assert random.bernoulli(key, float(np.nextafter(u, np.float32(2))), (20,))[i]


def test_blocks_do_not_show(monkeypatch):
    n = 2 * _threefry.BLOCK + 5
    key = random.key(1)
    same(_threefry.random_bits(key, (n,)), bit_ops.random_bits.reference(key, (n,)))
    u = random.uniform(key, (n,), minval=-0.9999999, maxval=1.0)
    same(_threefry.normal_quantile(u), normal_quantile.reference(u))
    n = 4 * _threefry.MASK_BLOCK + 5
    mask = _threefry.random_mask(key, (n,), 0.4)
    same(mask, bit_ops.random_mask.reference(key, (n,), 0.4))
    # As the elements beyond 2**31 have theirs, so parts have words of their own.
    for module in (bit_ops, _threefry):
        monkeypatch.setattr(module, "PART", 2 * _threefry.MASK_BLOCK)
    parted = _threefry.random_mask(key, (n,), 0.4)
    same(parted, bit_ops.random_mask.reference(key, (n,), 0.4))
    same(parted[: bit_ops.PART], mask[: bit_ops.PART])
    assert 0.3 < np.mean(parted[bit_ops.PART :] != mask[bit_ops.PART :]) < 0.6


def test_quantile_inverts_the_distribution():
    u = np.concatenate([random.uniform(random.key(2), (2000,)) * 2 - 1, [2**-24 - 1, 1 - 2**-24, 0, 2**-20]])
    u = u.astype(np.float32)
    x = normal_quantile(u).astype(np.float64)
    back = np.array([math.erf(v / math.sqrt(2)) for v in x])
    # A relative error of 4 float32 eps in x, seen through the slope of the distribution function; and u² is rounded,
    # by 2**-25 at most, before its distance from 1 is taken.
    slope = np.sqrt(2 / np.pi) * np.exp(-x * x / 2)
    assert np.all(np.abs(back - u) <= 4 * 2**-23 * np.abs(x) * slope + 2**-25)


COMPILED = {
    "split": lambda k: random.split(k, 3),
    "fold_in": lambda k: random.fold_in(random.fold_in(k, 3), 7),
    "bits": lambda k: random.bits(k, (5, 3)),
    "uniform": lambda k: random.uniform(k, (5, 3)),
    "normal": lambda k: random.normal(k, (500,)),
    "bernoulli": lambda k: random.bernoulli(k, 0.25, (40,)),
    "randint": lambda k: random.randint(k, (40,), 0, 12),
    "permutation": lambda k: random.permutation(k, 20),
}


def check_compiled(name, compile_, exact=True):
    for draw, fun in COMPILED.items():
        expected = fun(random.key(11))
        out = compile_(fun)(random.key(11, backend=name))
        if draw == "normal" and not exact:
            assert ulps(out, expected) <= 1
        else:
            same(out, expected)


@pytest.mark.jax
def test_under_jax_jit_and_vmap():
    check_compiled("jax", jax.jit, exact=False)
    keys = random.split(random.key(1, backend="jax"), 4)
    rows = jax.vmap(lambda k: random.normal(random.fold_in(k, 5), (3,)))(keys)
    for i in range(4):
        assert ulps(rows[i], random.normal(random.fold_in(keys[i, :], 5), (3,))) <= 1
    steps = jax.numpy.arange(3)
    folded = jax.jit(jax.vmap(random.fold_in, in_axes=(None, 0)))(keys[0], steps)
    same(folded[2], random.fold_in(keys[0], 2))


@pytest.mark.torch
def test_under_torch_compile_and_vmap():
    torch = pytest.importorskip("torch")

    def all_draws(key, step):
        key = random.fold_in(key, step)
        return {draw: fun(key) for draw, fun in COMPILED.items() if draw != "permutation"}

    out = torch.compile(all_draws, fullgraph=True)(random.key(11, backend="torch"), torch.tensor(4))
    for draw, value in all_draws(random.key(11), np.array(4)).items():
        same(out[draw], value)
    keys = random.split(random.key(1, backend="torch"), 4)
    rows = torch.vmap(lambda k: random.normal(random.fold_in(k, 5), (3,)), randomness="error")(keys)
    for i in range(4):
        same(rows[i], random.normal(random.fold_in(keys[i], 5), (3,)))


@pytest.mark.tensorflow
@pytest.mark.parametrize("xla", [False, True])
def test_under_tf_function(xla):
    tf = pytest.importorskip("tensorflow")

    def all_draws(key, step):
        key = random.fold_in(key, step)
        return {draw: fun(key) for draw, fun in COMPILED.items() if draw != "permutation"}

    out = tf.function(all_draws, autograph=False, jit_compile=xla)(random.key(11, backend="tensorflow"), tf.constant(4))
    for draw, value in all_draws(random.key(11), np.array(4)).items():
        if draw == "normal":
            assert ulps(out[draw], value) <= 1
        else:
            same(out[draw], value)


OF_SHAPES = {
    "gamma": lambda k: random.gamma(k, 2.0, (5, 3)),
    "beta": lambda k: random.beta(k, 2.0, 3.0, (5, 3)),
    "binomial": lambda k: random.binomial(k, 9, 0.5, (5, 3)),
    "choice": lambda k: random.choice(k, 99, (5, 3), replace=False),
    "truncated_normal": lambda k: random.truncated_normal(k, shape=(5, 3)),
}


def test_shapes_of_draws():
    key = kf.Spec((2,), "uint32")
    for draw, fun in (COMPILED | OF_SHAPES).items():
        expected, out = fun(random.key(0)), fun(key)
        assert (out.shape, out.dtype) == (expected.shape, expected.dtype.name), draw


SEED_WORDS = [
    (0, [0, 0]),
    (np.int64(5), [0, 5]),
    (2**40 + 3, [2**8, 3]),
    (-1, [2**32 - 1, 2**32 - 1]),
    (-5, [2**32 - 1, 2**32 - 5]),
    (2**64 - 1, [2**32 - 1, 2**32 - 1]),
]


@pytest.mark.parametrize(("seed", "words"), SEED_WORDS)
def test_seeds(seed, words):
    same(random.key(seed), np.array(words, np.uint32))


def test_truncated_normal_stays_inside():
    n = 40_000
    for lower, upper in ((-2.0, 2.0), (0.5, 0.6), (-20.0, 20.0), (4.0, 9.0)):
        x = random.truncated_normal(random.key(0), lower, upper, (n,))
        assert np.all((x > lower) & (x < upper)) and np.all(np.isfinite(x))
    draws = random.truncated_normal(random.key(0), -2.0, 2.0, (n,))
    expected = np.asarray(jax.random.truncated_normal(jax.random.key(0), -2.0, 2.0, (n,)))
    # The ends erf(±√2) are off by a rounding, which the quantile's slope at 2, 1 / (2 φ(2)) < 10, makes larger.
    np.testing.assert_allclose(draws, expected, rtol=4 * 2**-23, atol=10 * 2 * 2**-24)


def test_permutation_is_one_and_uniform():
    assert sorted(random.permutation(random.key(4), 3000).tolist()) == list(range(3000))
    keys = random.split(random.key(8), 600)
    counts = np.zeros(6)
    for key in keys:
        order = tuple(random.permutation(key, 3).tolist())
        counts[sorted(itertools.permutations(range(3))).index(order)] += 1
    # Chi-square with 5 degrees of freedom: 25 is exceeded once in 7000 draws.
    assert np.sum((counts - 100) ** 2 / 100) < 25


ERRORS = {
    "key shape": (lambda: random.bits(np.zeros(3, np.uint32), (2,)), kf.errors.ArgumentError, "random key"),
    "key dtype": (lambda: random.bits(np.zeros(2, np.int64), (2,)), kf.errors.ArgumentError, "uint32"),
    "no key": (lambda: random.split(np.zeros(0, np.uint32)), kf.errors.ArgumentError, "kf.random.key"),
    "typed JAX keys": (lambda: random.split(jax.random.key(0)[None]), kf.errors.ArgumentError, "one at a time"),
    "other JAX key": (lambda: random.split(jax.random.key(0, impl="rbg")), kf.errors.ArgumentError, "threefry2x32"),
    "seed": (lambda: random.key(1.5), kf.errors.ArgumentError, "seed"),
    "seed range": (lambda: random.key(2**64), kf.errors.ArgumentError, "2\\*\\*64"),
    "unknown size": (lambda: random.normal(random.key(0), (None, 3)), kf.errors.ShapeError, "known sizes"),
    "negative size": (lambda: random.normal(random.key(0), (-1,)), kf.errors.ShapeError, "natural"),
    "dtype": (lambda: random.uniform(random.key(0), (1,), "int32"), kf.errors.ArgumentError, "float32"),
    "bits dtype": (lambda: random.bits(random.key(0), (1,), "uint64"), kf.errors.ArgumentError, "uint32"),
    "interval": (
        lambda: random.uniform(random.key(0), (1,), minval=1.0, maxval=0.0),
        kf.errors.ArgumentError,
        "maxval",
    ),
    "randint": (lambda: random.randint(random.key(0), (1,), 5, 5), kf.errors.ArgumentError, "range"),
    "fold_in": (lambda: random.fold_in(random.key(0), 0.5), kf.errors.ArgumentError, "integer"),
    "fold_in floats": (lambda: random.fold_in(random.key(0), np.ones(2)), kf.errors.ArgumentError, "integer"),
    "truncated": (lambda: random.truncated_normal(random.key(0), 1.0, 0.0), kf.errors.ArgumentError, "lower"),
    "randint dtype": (lambda: random.randint(random.key(0), (1,), 0, 300, "uint8"), kf.errors.ArgumentError, "uint8"),
    "randint float": (lambda: random.randint(random.key(0), (1,), 0, 3, "float32"), kf.errors.ArgumentError, "int32"),
    "axis": (lambda: random.permutation(random.key(0), CUBE, 3), kf.errors.ArgumentError, "axis"),
    "choices": (lambda: random.choice(random.key(0), 3, (4,), replace=False), kf.errors.ShapeError, "at most 3"),
    "no choice": (lambda: random.choice(random.key(0), 0, (4,)), kf.errors.ShapeError, "no element"),
    "odds": (lambda: random.choice(random.key(0), 3, (4,), p=ODDS), kf.errors.ShapeError, "one probability"),
    "parameters": (lambda: random.gamma(random.key(0), ODDS, (4,)), kf.errors.ShapeError, "broadcast"),
    "two parameters": (lambda: random.beta(random.key(0), ODDS, ODDS[:2]), kf.errors.ShapeError, "broadcast"),
    "rate": (lambda: random.dropout(random.key(0), CUBE, 1.1), kf.errors.ArgumentError, "rate"),
    "unknown mask": (lambda: ops.dropout(CUBE, random.key(0), 0.5, (None, 4, 5)), kf.errors.ShapeError, "known"),
    "samples": (
        lambda: random.categorical(random.key(0), ODDS, shape=(3,), num_samples=3),
        kf.errors.ArgumentError,
        "both",
    ),
    "categorical": (
        lambda: random.categorical(random.key(0), np.zeros((3, 4), np.float32), shape=(2,)),
        kf.errors.ShapeError,
        "shape of the rows",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    call, error, words = ERRORS[case]
    with pytest.raises(error, match=words):
        call()


DRAWN = [n for n in random.__all__ if next(iter(inspect.signature(getattr(random, n)).parameters), "") == "key"]


@pytest.mark.parametrize("name", sorted(set(DRAWN) - {"bits", "fold_in", "split"}))
def test_a_seed_is_no_key(name):
    for args in ((), ((3,),)):
        with pytest.raises(kf.errors.ArgumentError, match=f"`seed` is no argument of random.{name}: a key comes first"):
            getattr(random, name)(*args, seed=1)
