"""Linear maps: a matrix product with a bias, and table look-up."""

from __future__ import annotations

from ..arrays import namespace
from ..tracing.spec import Spec
from ..typing import Array
from ._op import op

__all__ = ["embedding", "linear"]


@op
def linear(x: Array, kernel: Array, bias: Array | None = None) -> Array:
    """`x @ kernel + bias`.

    Args:
        x: (..., inputs).
        kernel: (inputs, units).
        bias: (units,) or None.

    Returns:
        (..., units).
    """
    out = namespace(x, kernel).matmul(x, kernel)
    return out if bias is None else out + bias


@op
def embedding(indices: Array, table: Array) -> Array:
    """Rows of `table`.

    Args:
        indices: integers of any shape (...), in `[0, rows)`.
        table: (rows, features).

    Returns:
        (..., features).
    """
    xp = namespace(indices, table)
    rows = xp.take(table, xp.reshape(indices, (-1,)), axis=0)
    # One dimension at most may be unknown, so it is the one that reshape finds.
    shape = tuple(-1 if n is None else n for n in indices.shape)
    return xp.reshape(rows, (*shape, table.shape[-1]))


@embedding.shape_rule
def _embedding_shape(indices, table):
    # Any number of sizes may be unknown here, where the reference reshapes and so allows one.
    xp = namespace(indices, table)
    return Spec((*indices.shape, table.shape[-1]), xp.take(table, xp.reshape(indices, (-1,)), axis=0).dtype)
