"""Moving and making elements: padding, one-hot codes, finiteness."""

from __future__ import annotations

from ..arrays import device, dtype_name, namespace
from ._op import op

__all__ = ["all_finite", "join_last", "one_hot", "pad", "split", "split_last"]


@op
def pad(x, pad_width, constant_values=0.0):
    """`x` with constant borders.

    Args:
        x: An array of any shape.
        pad_width: A pair (before, after) of counts for each axis.
        constant_values: The number to pad with.
    """
    xp = namespace(x)
    for axis, (before, after) in enumerate(pad_width):
        parts = [_border(xp, x, axis, before, constant_values), x, _border(xp, x, axis, after, constant_values)]
        parts = [p for p in parts if p is not None]
        x = xp.concat(parts, axis=axis) if len(parts) > 1 else x
    return x


def _border(xp, x, axis, width, value):
    if width == 0:
        return None
    # Made from x, so that unknown sizes along the other axes need no name.
    row = xp.full_like(x[(slice(None),) * axis + (slice(0, 1), ...)], value)
    return xp.concat([row] * width, axis=axis)


@op
def one_hot(x, num_classes, dtype="float32"):
    """Integers (...) as unit vectors (..., num_classes); a zero vector for integers out of range."""
    xp = namespace(x)
    classes = xp.arange(num_classes, dtype=getattr(xp, dtype_name(x.dtype)), device=device(x))
    return xp.astype(xp.expand_dims(x, axis=-1) == classes, getattr(xp, dtype))


@op
def all_finite(*arrays):
    """For each array, whether it holds neither NaN nor infinity: a boolean array (len(arrays),)."""
    xp = namespace(*arrays)
    return xp.stack([xp.all(xp.isfinite(x)) for x in arrays])


@op
def split(x, sections, axis=-1):
    """The `sections` equal parts of `x` along `axis`, in order: a tuple."""
    size = x.shape[axis] // sections
    before = (slice(None),) * (axis % x.ndim)
    return tuple(x[(*before, slice(n * size, (n + 1) * size), ...)] for n in range(sections))


@op
def split_last(x, sizes):
    """(..., product of `sizes`) to (..., *sizes); any number of the leading sizes may be unknown."""
    xp = namespace(x)
    # A reshape finds one size only, but a batch of sequences has two that may be unknown.
    return xp.reshape(x, (*_known(x.shape[:-1]), *sizes))


@op
def join_last(x):
    """(..., a, b) to (..., a * b); any number of the leading sizes may be unknown."""
    xp = namespace(x)
    return xp.reshape(x, (*_known(x.shape[:-2]), x.shape[-2] * x.shape[-1]))


def _known(sizes):
    return tuple(-1 if n is None else n for n in sizes)
