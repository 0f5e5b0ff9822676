"""Rows of the table that `test_keras_ops` drives, a module a theme: one row is one call of one op."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Row", "away", "booleans", "distinct", "integers", "normal", "positive", "row", "unit"]


class Row(NamedTuple):
    """One call, `ops.name(*args, **kwargs)`, to be made alike in Keras and in kfunc.

    Attributes:
        args, kwargs: Arrays are NumPy's, of at most 32 bits; the test moves them, also those in lists.
        call: `call(ops, *args, **kwargs)` in place of `ops.name(*args, **kwargs)`, where arguments are functions.
        n: Length of the longest sum behind one number of the result: tolerances grow by its square root.
        condition: By how much the op magnifies the relative rounding of its arguments; say why beside it.
        grad: Whether gradients are compared with those of Keras; else why not.
        jit: Whether it works compiled, and in an OpenVINO program; else why not (data-dependent shapes, mostly).
        only: What to compare of the result, where the rest is free: `only(result)`, as for the signs of eigenvectors.
    """

    name: str
    args: tuple
    kwargs: dict[str, Any]
    call: Callable | None
    n: int
    condition: float
    grad: bool | str
    jit: bool | str
    only: Callable | None


def row(
    name: str,
    *args: Any,
    call: Callable | None = None,
    n: int = 1,
    condition: float = 1,
    grad: bool | str = True,
    jit: bool | str = True,
    only: Callable | None = None,
    **kwargs: Any,
) -> Row:
    """A `Row`."""
    return Row(name, args, kwargs, call, n, condition, grad, jit, only)


def _rng(shape: tuple[int, ...], salt: int) -> np.random.Generator:
    """One for each use, so that a new row changes no other row's numbers."""
    return np.random.default_rng([salt, *shape])


def normal(*shape: int, salt: int = 0) -> np.ndarray:
    """Normal numbers."""
    return np.asarray(_rng(shape, salt).normal(size=shape), np.float32)


def away(*shape: int, salt: int = 0) -> np.ndarray:
    """Normal numbers with a gap around 0, where some functions have a kink."""
    x = normal(*shape, salt=salt)
    return x + np.copysign(np.float32(0.1), x)


def positive(*shape: int, salt: int = 0) -> np.ndarray:
    """Numbers in (0.5, 2)."""
    return np.asarray(_rng(shape, salt).uniform(0.5, 2, shape), np.float32)


def unit(*shape: int, salt: int = 0) -> np.ndarray:
    """Numbers in (0.05, 0.95)."""
    return np.asarray(_rng(shape, salt).uniform(0.05, 0.95, shape), np.float32)


def distinct(*shape: int, salt: int = 0) -> np.ndarray:
    """Numbers in (-2, 2) of which no two are near each other, so that a maximum is one element's."""
    n = math.prod(shape)
    return np.asarray(_rng(shape, salt).permutation(n).reshape(shape) / max(n / 4, 1) - 1.9, np.float32)


def integers(low: int, high: int, *shape: int, salt: int = 0, dtype: Any = np.int32) -> np.ndarray:
    """Integers in [low, high)."""
    return np.asarray(_rng(shape, salt).integers(low, high, shape), dtype)


def booleans(*shape: int, salt: int = 0) -> np.ndarray:
    """Fair coins."""
    return _rng(shape, salt).random(shape) < 0.5
