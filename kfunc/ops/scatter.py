"""Adding rows into a table, which the standard lacks: the gradient of every kind of indexing."""

from __future__ import annotations

from ..arrays import device, dtype_name, namespace
from ._op import op

__all__ = ["scatter_add"]


@op
def scatter_add(x, indices, size):
    """Sums of the rows of `x` that share an index: `out[indices[i], ...] += x[i, ...]`, from zeros.

    Args:
        x: (rows, ...).
        indices: integers (rows,), in `[0, size)`.
        size: The number of rows of the result.

    Returns:
        (size, ...), with the dtype of `x`.
    """
    xp = namespace(x, indices)
    rows, rest = x.shape[0], tuple(x.shape[1:])
    if rows == 0 or size == 0:
        return xp.zeros((size, *rest), dtype=x.dtype, device=device(x))
    order = xp.argsort(indices)
    x, indices = xp.take(x, order, axis=0), xp.take(indices, order)
    column = (-1,) + (1,) * len(rest)
    # Equal indices are neighbours now: a doubling scan leaves the sum of each run in its last row.
    distance = 1
    while distance < rows and bool(xp.any(indices[distance:] == indices[:-distance])):
        same = xp.reshape(indices[distance:] == indices[:-distance], column)
        earlier = xp.where(same, x[:-distance, ...], xp.zeros_like(x[distance:, ...]))
        x = xp.concat([x[:distance, ...], x[distance:, ...] + earlier], axis=0)
        distance *= 2
    wanted = xp.arange(size, dtype=getattr(xp, dtype_name(indices.dtype)), device=device(x))
    after = xp.searchsorted(indices, wanted, side="right")
    last = xp.where(after > 0, after - 1, xp.zeros_like(after))
    found = xp.reshape((after > 0) & (xp.take(indices, last) == wanted), column)
    out = xp.take(x, last, axis=0)
    return xp.where(found, out, xp.zeros_like(out))
