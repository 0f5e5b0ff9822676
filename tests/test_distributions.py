"""Distributions: the same numbers on every backend, under its compiler too, and SciPy's distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from backends import BACKENDS, COMPILING, TRAINING

import kfunc as kf
from kfunc import random
from kfunc.ops import bits, rejection

pytestmark = pytest.mark.usefixtures("quickly_compiled")

stats = pytest.importorskip("scipy.stats")

N = kf.to_numpy
CUBE = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
ODDS = np.array([0.1, 0.2, 0.3, 0.0, 0.4], np.float32)
FEW = np.array([0.0, 1.0, 7.0], np.float32)

# What is drawn with an array, and by how many roundings backends may differ. Where comparing floats decides, it may do
# otherwise once in some 10**6 draws; with this key it does not.
OURS = {
    "random_mask": (lambda k, x: kf.arrays.native(bits.random_mask)(k, (37, 11), 0.75), CUBE, 0),
    "dropout": (lambda k, x: random.dropout(k, x, 0.3), CUBE, 0),
    "dropout noise_shape": (lambda k, x: random.dropout(k, x, 0.3, (None, 1, None)), CUBE, 0),
    "normal": (lambda k, x: random.normal(k, (2, 5), mean=x, stddev=0.5), ODDS, 4),
    "truncated normal": (lambda k, x: random.truncated_normal(k, shape=(2, 5), mean=2.0, stddev=x), ODDS, 4),
    "randint uint8": (lambda k, x: random.randint(k, (99,), 0, 256, "uint8"), CUBE, 0),
    "categorical": (lambda k, x: random.categorical(k, x, num_samples=9), np.log1p(CUBE[0]), 0),
    "choice": (lambda k, x: random.choice(k, 5, (99,), p=x), ODDS, 0),
    "gamma": (lambda k, x: random.gamma(k, 2.5, (500,)), CUBE, 32),
    # The factor's logarithm goes up to log(2**24) / 0.3 = 55, and its roundings are as many relative to the factor.
    "gamma of arrays": (lambda k, x: random.gamma(k, x, (99, 5)), ODDS + np.float32(0.3), 64),
    "beta": (lambda k, x: random.beta(k, x, 0.7, (99, 5)), ODDS + np.float32(0.5), 64),
    "binomial": (lambda k, x: random.binomial(k, 100, x, (99, 5)), ODDS, 0),
    "binomial inverted": (lambda k, x: random.binomial(k, x, 0.4, (99, 3)), FEW, 0),
}


def close(x, y, roundings):
    x, y = N(x), np.asarray(y)
    assert (x.dtype, x.shape) == (y.dtype, y.shape)
    np.testing.assert_allclose(x, y, rtol=roundings * 2**-23, atol=roundings * 2**-23)


@pytest.mark.parametrize("draw", OURS)
@pytest.mark.parametrize("name", BACKENDS)
def test_same_on_every_backend(name, draw):
    fun, x, roundings = OURS[draw]
    close(fun(random.key(7, backend=name), kf.asarray(x, backend=name)), fun(random.key(7), x), roundings)


@pytest.mark.parametrize("name", COMPILING)
def test_compiled(name):
    """With the key as an argument, so that the bits are drawn in the program."""
    draws = ["dropout", "gamma", "binomial", "categorical", "choice"]
    arrays = {draw: OURS[draw][1] for draw in draws}

    @kf.jit
    def together(key, given):
        return {draw: OURS[draw][0](key, given[draw]) for draw in draws}

    out = together(random.key(7, backend=name), kf.to_backend(arrays, name))
    for draw in draws:
        fun, x, roundings = OURS[draw]
        close(out[draw], fun(random.key(7), x), roundings)


# -- distributions, against SciPy's ------------------------------------------------------------------------------------

n = 40_000
DISTRIBUTIONS = {
    "uniform": (lambda k: random.uniform(k, (n,), minval=-1.0, maxval=3.0), stats.uniform(-1, 4)),
    "normal": (lambda k: random.normal(k, (n,)), stats.norm()),
    "normal moved": (lambda k: random.normal(k, (n,), mean=-3.0, stddev=2.0), stats.norm(-3, 2)),
    "truncated normal": (lambda k: random.truncated_normal(k, -2.0, 2.0, (n,)), stats.truncnorm(-2, 2)),
    "truncated tail": (lambda k: random.truncated_normal(k, 1.0, 9.0, (n,)), stats.truncnorm(1, 9)),
    "exponential": (lambda k: random.exponential(k, (n,)), stats.expon()),
    "gumbel": (lambda k: random.gumbel(k, (n,)), stats.gumbel_r()),
    "laplace": (lambda k: random.laplace(k, (n,)), stats.laplace()),
    **{
        f"gamma {a}": (lambda k, a=a: random.gamma(k, a, (n,)), stats.gamma(a))
        for a in (0.3, 0.99, 1.0, 2.5, 50.0, 1e6)
    },
    **{
        f"beta {a} {b}": (lambda k, a=a, b=b: random.beta(k, a, b, (n,)), stats.beta(a, b))
        for a, b in ((0.7, 0.8), (1.0, 1.0), (2.0, 5.0), (300.0, 40.0))
    },
    "bernoulli": (lambda k: random.bernoulli(k, 0.25, (n,)), stats.bernoulli(0.25)),
    "mask": (lambda k: bits.random_mask(k, (n,), 0.1), stats.bernoulli(0.1)),
    "randint": (lambda k: random.randint(k, (n,), -3, 10), stats.randint(-3, 10)),
    "categorical": (
        lambda k: random.categorical(k, np.log(np.arange(1, 5, dtype=np.float32)), num_samples=n),
        stats.rv_discrete(values=(np.arange(4), np.arange(1, 5) / 10)),
    ),
    "choice": (
        lambda k: random.choice(k, 4, (n,), p=np.array([0.1, 0.2, 0.3, 0.4], np.float32)),
        stats.rv_discrete(values=(np.arange(4), np.arange(1, 5) / 10)),
    ),
    **{
        f"binomial {count} {p}": (lambda k, c=count, p=p: random.binomial(k, c, p, (n,)), stats.binom(count, p))
        # The first are inverted, the others accepted or rejected.
        for count, p in ((1, 0.3), (19, 0.5), (10**6, 1e-6), (20, 0.5), (100, 0.9), (1000, 0.3), (10**7, 0.4))
    },
}


@pytest.mark.parametrize("draw", DISTRIBUTIONS)
def test_distribution(draw):
    fun, distribution = DISTRIBUTIONS[draw]
    x = N(fun(random.key(17))).astype(np.float64)
    assert x.shape == (n,)
    mean, variance, kurtosis = (float(v) for v in distribution.stats(moments="mvk"))
    z = (x - mean) / math.sqrt(variance)
    # Five standard errors, of the mean and of the mean square.
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs((z * z).mean() - 1) < 5 * math.sqrt((kurtosis + 2) / n)
    for q in (0.0005, 0.01):
        low, high = distribution.ppf(q), distribution.ppf(1 - q)
        for p, found in ((distribution.cdf(low), np.mean(x <= low)), (distribution.sf(high), np.mean(x > high))):
            assert abs(found - p) <= 5 * math.sqrt(p * (1 - p) / n)
    if hasattr(distribution, "pdf"):
        # Kolmogorov and Smirnov: the chance to lie above t / sqrt(n) is 2 exp(-2 t²), here 10**-4.
        assert stats.kstest(x, distribution.cdf).statistic * math.sqrt(n) < math.sqrt(math.log(2e4) / 2)
        return
    edges = np.unique(distribution.ppf(np.linspace(0.002, 0.998, 40)))
    expected = n * np.diff([0, *distribution.cdf(edges), 1])
    found = np.diff([0, *(np.sum(x <= e) for e in edges), n])
    large = expected > 5
    statistic = np.sum((found - expected)[large] ** 2 / expected[large])
    assert statistic < stats.chi2(np.sum(large)).ppf(1 - 1e-4)


def test_special_parameters():
    key = random.key(0)
    assert np.isnan(random.gamma(key, np.array([0.0, -1.0], np.float32))).all()
    assert np.isnan(random.beta(key, np.array([0.0, 1.0], np.float32), np.array([1.0, -1.0], np.float32))).all()
    assert np.isnan(random.binomial(key, np.array([-1.0, 5.0, 5.0], np.float32), np.float32([0.5, -0.1, 1.1]))).all()
    for count in (0, 5, 10**6):
        np.testing.assert_array_equal(random.binomial(key, count, 0.0, (9,)), 0)
        np.testing.assert_array_equal(random.binomial(key, count, 1.0, (9,)), count)
    tiny = random.gamma(key, 1e-3, (999,))
    assert np.all(tiny >= 0) and np.all(np.isfinite(tiny))
    both = random.beta(key, 1e-3, 1e-3, (999,))
    assert np.all((both >= 0) & (both <= 1)) and abs(np.mean(both > 0.5) - 0.5) < 5 / math.sqrt(4 * 999)
    for dtype in ("float16", "float64"):
        assert random.gamma(key, 3.0, (5,), dtype).dtype == random.binomial(key, 9, 0.5, (5,), dtype).dtype == dtype


def test_some_proposal_is_accepted():
    """The least acceptance of both algorithms, and what it leaves for the number that stands in."""
    key, other = random.split(random.key(3))
    m = 200_000
    u, v = (random.uniform(k, (1, m), minval=2**-24, maxval=1.0) for k in (key, other))
    stand_in = np.float32(20 * 0.5)
    k = rejection.binomial_variates(np.float32(20), np.float32(0.5), u, v)
    # The mode comes up by itself too.
    left = (np.mean(k == 10) - stats.binom(20, 0.5).pmf(10)) / (1 - stats.binom(20, 0.5).pmf(10))
    assert left < 0.31 and stand_in == 10 and 0.31**rejection.BINOMIAL_PROPOSALS < 1e-8
    g, _ = rejection.gamma_variates(np.full(m, 1.0, np.float32), random.normal(key, (1, m)), v, v[0])
    left = np.mean(g == np.float32(1) - np.float32(1 / 3))
    assert left < 0.06 and 0.06**rejection.GAMMA_PROPOSALS < 1e-7


@pytest.mark.parametrize("name", TRAINING)
def test_gradients(name):
    """To what numbers are moved and scaled by, and to arrays that are chosen from; none to what decides."""
    key = random.key(5, backend=name)
    x = np.array([0.5, 1.5, 2.0], np.float32)
    z, picked = random.normal(random.key(5), (3,)), random.choice(random.key(5), 3, (8,))
    cases = [
        (lambda x: random.normal(key, (3,), mean=x), np.ones(3)),
        (lambda x: random.normal(key, (3,), stddev=x), z),
        (lambda x: random.uniform(key, (3,), minval=x, maxval=2.5), 1 - random.uniform(random.key(5), (3,))),
        (lambda x: random.permutation(key, x), np.ones(3)),
        (lambda x: random.choice(key, x, (8,)), np.bincount(picked, minlength=3)),
        (lambda x: random.gamma(key, x) + x, np.ones(3)),
        (lambda x: random.beta(key, x, 2.0) + x, np.ones(3)),
        (lambda x: random.binomial(key, 9, x / 4) + x, np.ones(3)),
    ]
    for fun, expected in cases:
        total = kf.arrays.native(lambda x, fun=fun: kf.namespace(x).sum(fun(x)))
        close(kf.grad(total)(kf.asarray(x, backend=name)), np.float32(expected), 4)
