"""Steps of optimizers, for all leaves of a tree at once."""

from __future__ import annotations

import math
from typing import Any

from ..arrays import namespace
from ..typing import Array, DType
from ._op import op

__all__ = ["adam", "adam_factors"]


@op
def adam(
    count: Array,
    step_size: Array,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    *leaves: Array,
    corrected: bool = True,
    overwrite: bool = False,
) -> tuple[Array, ...]:
    """One step of Adam (Kingma and Ba, arXiv:1412.6980) on n arrays.

    Args:
        count: The number of this step, the first being 1: int32 ().
        step_size: A number, or an array (). Updates are to be added, so it is negative to descend.
        beta_1, beta_2, epsilon: Numbers.
        leaves: The n gradients, then their n running means, then those of their n squares.
        corrected: Whether epsilon is added to the root of the mean square without its bias (algorithm 1), or to that of
            the running mean (the faster order of section 2, where the paper writes epsilon with a hat).
        overwrite: Whether new means may be put into the memory of the old ones.

    Returns:
        3 n arrays: the updates, the new means, the new mean squares, each of the dtype of its running mean.
    """
    n = len(leaves) // 3
    xp = namespace(*leaves)
    double = getattr(xp, "float64", None)
    wide = double if any(x.dtype == double for x in leaves) else xp.float32
    factor, small = adam_factors(xp, count, step_size, beta_1, beta_2, epsilon, wide, corrected)
    updates, means, squares = [], [], []
    for g, m, v in zip(leaves[:n], leaves[n : 2 * n], leaves[2 * n :], strict=True):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * (g * g)
        f, s = (x if x.dtype == m.dtype else xp.astype(x, m.dtype) for x in (factor, small))
        updates.append(m * f / (xp.sqrt(v) + s))
        means.append(m)
        squares.append(v)
    return (*updates, *means, *squares)


def adam_factors(
    xp: Any,
    count: Array,
    step_size: Array,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    dtype: DType,
    corrected: bool = True,
) -> tuple[Array, Array]:
    """`factor` and `small`, scalars of `dtype`: each update is `factor * mean / (sqrt(square) + small)`."""
    t = xp.astype(count, dtype)
    # Taken out of step_size * mean / unbias_1 / (sqrt(square / unbias_2) + epsilon).
    root = xp.sqrt(unbias(xp, t, beta_2))
    return root * step_size / unbias(xp, t, beta_1), root * epsilon if corrected else xp.full_like(root, epsilon)


def unbias(xp: Any, t: Array, beta: float) -> Array:
    """The part of the true mean that a running mean, which began at 0, has after `t` steps: `1 - beta**t`."""
    # Computed so, since `1 - beta**t` loses four digits where beta is near 1 and t small.
    return -xp.expm1(t * math.log(beta)) if beta else 0 * t + 1
