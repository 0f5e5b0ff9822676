"""What optimizers do to each leaf of a tree, for all leaves at once."""

from __future__ import annotations

from ..arrays import namespace
from ._op import op

__all__ = ["adam"]


@op
def adam(factor, small, beta_1, beta_2, *leaves):
    """One step of Adam (Kingma and Ba, arXiv:1412.6980) on n arrays.

    Args:
        factor, small: Scalar arrays (): the update is `factor * mean / (sqrt(square) + small)`.
        beta_1, beta_2: How much of the mean, and of the mean square, is kept; numbers.
        leaves: The n gradients, then their n running means, then those of their n squares.

    Returns:
        3 n arrays: the updates, the new means, the new mean squares, each of the dtype of its running mean.
    """
    n = len(leaves) // 3
    updates, means, squares = [], [], []
    for g, m, v in zip(leaves[:n], leaves[n : 2 * n], leaves[2 * n :], strict=True):
        xp = namespace(g, m, v)
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * (g * g)
        f, s = (x if x.dtype == m.dtype else xp.astype(x, m.dtype) for x in (factor, small))
        updates.append(m * f / (xp.sqrt(v) + s))
        means.append(m)
        squares.append(v)
    return (*updates, *means, *squares)
