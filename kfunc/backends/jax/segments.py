"""JAX's kernels for what is read and written at indices, for the largest elements, and for parts."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ... import ops
from ...ops._op import lowering
from ...ops.segment import flat_rows, highest, lowest
from .backend import backend

__all__: list[str] = []


def _lower(op, neutral, how):
    @lowering(backend, op)
    def segments(data, segment_ids, num_segments=None, sorted=False):
        data, ids, size = flat_rows(data, segment_ids, num_segments)
        if how == "add" and data.dtype in (jnp.float16, jnp.bfloat16):
            return NotImplemented
        out = jnp.full((size, *data.shape[1:]), neutral(data), data.dtype)
        # JAX would count negative numbers from the end.
        at = out.at[jnp.where(ids < 0, size, ids)]
        return getattr(at, how)(data, mode="drop")


# Not for products: JAX has no derivative of these.
_lower(ops.segment_sum, lambda x: 0, "add")
_lower(ops.segment_max, lowest, "max")
_lower(ops.segment_min, highest, "min")


@lowering(backend, ops.top_k)
def _top_k(x, k, sorted=True):
    if not isinstance(x, jax.Array) or x.ndim == 0 or not 0 <= k <= x.shape[-1] or x.dtype == bool:
        return NotImplemented
    return tuple(jax.lax.top_k(x, k))


@lowering(backend, ops.slice_update)
def _slice_update(inputs, start_indices, updates):
    # The compiler does this in place where the old array is not needed any more.
    if not (isinstance(inputs, jax.Array) and isinstance(updates, jax.Array)) or inputs.ndim != updates.ndim:
        return NotImplemented
    if any(m > n for m, n in zip(updates.shape, inputs.shape, strict=True)) or len(start_indices) != inputs.ndim:
        return NotImplemented
    starts = [jnp.asarray(s, jnp.int32) for s in start_indices]
    # JAX counts negative starts from the end.
    starts = [jnp.maximum(s, 0) for s in starts]
    return jax.lax.dynamic_update_slice(inputs, updates.astype(inputs.dtype), starts)


@lowering(backend, ops.embedding)
def _embedding(indices, table):
    return jnp.take(table, indices, axis=0)


@lowering(backend, ops.split)
def _split(x, indices_or_sections, axis=0):
    # The gradient of `jnp.split` is one concatenation; that of slices is a sum of padded arrays.
    return jnp.split(x, indices_or_sections, axis) if isinstance(indices_or_sections, int) else NotImplemented


@lowering(backend, ops.image.counts_below)
def _counts_below(levels, bins):
    def counts(row):
        return jnp.cumsum(jnp.bincount(row, length=bins), dtype=jnp.int32)

    return jax.vmap(jax.vmap(counts, in_axes=1, out_axes=1))(levels)
