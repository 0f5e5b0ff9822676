"""Random numbers as pure functions of a key: the same bits on every backend, and those of `jax.random`.

A key is a uint32 array (2,) of any backend. Use a key once; make new ones with `split` and `fold_in`.

`dropout`, `gamma`, `beta` and `binomial` are the same on every backend too, but differ from those of `jax.random`.
Numbers that come from logarithms, which libraries round differently, agree to a few roundings. Where such a number
decides (`categorical`, `choice` with `p`, `gamma`, `beta`, `binomial`), one decision in some 10**6 may differ.
"""

from ..elsewhere import looked_up
from .continuous import beta, exponential, gamma, gumbel, laplace, normal, truncated_normal, uniform
from .discrete import bernoulli, binomial, categorical, choice, dropout, permutation, randint, shuffle
from .keys import bits, fold_in, key, split

__all__ = [
    "bernoulli",
    "beta",
    "binomial",
    "bits",
    "categorical",
    "choice",
    "dropout",
    "exponential",
    "fold_in",
    "gamma",
    "gumbel",
    "key",
    "laplace",
    "normal",
    "permutation",
    "randint",
    "shuffle",
    "split",
    "truncated_normal",
    "uniform",
]

__getattr__ = looked_up(__name__)
