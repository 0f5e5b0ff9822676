"""Arrays put together into one, and taken apart."""

from __future__ import annotations

from collections.abc import Sequence

from ..arrays import namespace
from ..backends import kind_of
from ..errors import ArgumentError, ShapeError
from ..typing import Array
from ._axes import normal_axis
from ._op import op
from ._promotion import lift, together

__all__ = [
    "append",
    "array_split",
    "concatenate",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "meshgrid",
    "split",
    "stack",
    "unstack",
    "vsplit",
    "vstack",
]


# -- together --------------------------------------------------------------------------------------------------------


def _parts(xs):
    """The arrays in the list `xs`, or the entries of the array `xs`, in one dtype."""
    if kind_of(type(xs)) is not None:
        return namespace(xs).unstack(xs)
    if not xs:
        raise ArgumentError(
            "`xs` is empty, and there is nothing to join.", argument="xs", expected="one array or more", got="none"
        )
    return together(*xs)


def _at_least(ndim, xs):
    """Each of `xs` with `ndim` axes or more: NumPy's `atleast_2d` puts them before, `atleast_3d` one after too."""
    xp = namespace(*xs)
    out = []
    for x in xs:
        while x.ndim < min(ndim, 2):
            x = xp.expand_dims(x, axis=0)
        out.append(xp.expand_dims(x, axis=-1) if x.ndim < ndim else x)
    return out


@op(nested=True, along_axis=True)
def concatenate(xs: Sequence[Array] | Array, axis: int | None = 0) -> Array:
    """A list of arrays, one after the other along `axis`; of all elements in flat order if it is None."""
    xs = _parts(xs)
    return namespace(*xs).concat(list(xs), axis=axis)


@op(nested=True, along_axis=True)
def stack(x: Sequence[Array] | Array, axis: int = 0) -> Array:
    """A list of arrays of one shape, along a new axis."""
    xs = _parts(x)
    return namespace(*xs).stack(list(xs), axis=axis)


@op(nested=True)
def hstack(xs: Sequence[Array] | Array) -> Array:
    """A list of arrays, one after the other along their second axis; vectors along their only one."""
    xs = _at_least(1, _parts(xs))
    return namespace(*xs).concat(xs, axis=0 if xs[0].ndim == 1 else 1)


@op(nested=True)
def vstack(xs: Sequence[Array] | Array) -> Array:
    """A list of arrays, one after the other along their first axis; vectors (n,) as rows (1, n)."""
    xs = _at_least(2, _parts(xs))
    return namespace(*xs).concat(xs, axis=0)


@op(nested=True)
def dstack(xs: Sequence[Array] | Array) -> Array:
    """A list of arrays, one after the other along their third axis; (n,) as (1, n, 1), (n, m) as (n, m, 1)."""
    xs = _at_least(3, _parts(xs))
    return namespace(*xs).concat(xs, axis=2)


@op
def append(x1: Array, x2: Array, axis: int | None = None) -> Array:
    """`x2` after `x1` along `axis`; all elements of both in flat order by default."""
    x1, x2 = together(x1, x2)
    return namespace(x1, x2).concat([x1, x2], axis=axis)


@op
def meshgrid(*x: Array, indexing: str = "xy") -> list[Array]:
    """Vectors as coordinates of a grid: for each, an array of its values over the grid.

    Args:
        x: Vectors (n,), (m,), …, or numbers.
        indexing: "ij" for grids (n, m, …); "xy" for (m, n, …).

    Raises:
        ArgumentError: `indexing` is neither.
    """
    if indexing not in ("xy", "ij"):
        raise ArgumentError.must_be("indexing", "'xy' or 'ij'", indexing)
    if not x:
        return []
    xp = namespace(*(arrays := together(*x)))
    return list(xp.meshgrid(*(xp.reshape(v, (-1,)) for v in arrays), indexing=indexing))


# -- apart -----------------------------------------------------------------------------------------------------------


@op(along_axis=True, grows=True)
def split(x: Array, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Array]:
    """`x` in parts along `axis`: a list.

    Args:
        indices_or_sections: How many equal parts, or the indices at which a new part begins.

    Raises:
        ShapeError: The size along `axis` cannot be divided so, or is not known.
    """
    x = lift(x)
    axis = normal_axis(axis, x.ndim)
    at = indices_or_sections
    if isinstance(at, int):
        size = x.shape[axis]
        if at < 1 or size is None or size % at:
            raise ShapeError(
                f"Axis {axis}, of size {size}, cannot be split into {at} equal parts.",
                argument="indices_or_sections",
                expected=f"a divisor of {size}" if size is not None else "a known size",
                got=at,
                fix="give the indices at which to split, or use array_split",
            )
        at = range(size // at, size, size // at) if size else (0,) * (at - 1)
    elif x.shape[axis] is not None:
        at = [min(i, x.shape[axis]) for i in at]
    before = (slice(None),) * axis
    bounds = zip((None, *at), (*at, None), strict=True)
    return [x[(*before, slice(start, stop), ...)] for start, stop in bounds]


@split.shape_rule
def _split_shape(x, indices_or_sections, axis=0):
    if not isinstance(indices_or_sections, int) or not -x.ndim <= axis < x.ndim or x.shape[axis] is not None:
        return NotImplemented
    return [x] * indices_or_sections


@op(grows=True)
def array_split(x: Array, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Array]:
    """`split`, where the parts need not be equal: the first ones are longer by one."""
    x = lift(x)
    at = indices_or_sections
    if isinstance(at, int):
        size = x.shape[normal_axis(axis, x.ndim)]
        if at < 1 or size is None:
            raise ShapeError(
                f"An axis of size {size} cannot be split into {at} parts.",
                argument="indices_or_sections",
                expected="1 or more parts of a known size",
                got=f"{at} of {size}",
            )
        at = [i * (size // at) + min(i, size % at) for i in range(1, at)]
    return split(x, at, axis)


@array_split.shape_rule
def _array_split_shape(x, indices_or_sections, axis=0):
    if isinstance(indices_or_sections, int) and indices_or_sections < 1:
        return NotImplemented
    return _split_shape(x, indices_or_sections, axis)


@op(grows=True)
def vsplit(x: Array, indices_or_sections: int | Sequence[int]) -> list[Array]:
    """`split` along the first axis."""
    return split(x, indices_or_sections, 0)


@op(grows=True)
def hsplit(x: Array, indices_or_sections: int | Sequence[int]) -> list[Array]:
    """`split` along the second axis; of a vector, along its only one."""
    x = lift(x)
    return split(x, indices_or_sections, 0 if x.ndim == 1 else 1)


@op(grows=True)
def dsplit(x: Array, indices_or_sections: int | Sequence[int]) -> list[Array]:
    """`split` along the third axis."""
    return split(x, indices_or_sections, 2)


@op(along_axis=True, grows=True)
def unstack(x: Array, num: int | None = None, axis: int = 0) -> list[Array]:
    """The entries of `x` along `axis`, each without that axis: a list.

    Args:
        num: How many entries there are; needed only where the size is not known while a function is compiled.

    Raises:
        ShapeError: There are more or fewer than `num`, or their number is not known.
    """
    x = lift(x)
    axis = normal_axis(axis, x.ndim)
    size = x.shape[axis]
    if (num is None and size is None) or (None not in (num, size) and num != size):
        raise ShapeError(
            f"The axis {axis} has size {size}, and `num` is {num}.",
            argument="num",
            expected="a number of entries" if size is None else size,
            got=num,
            fix="give the size of the axis",
        )
    if size is not None:
        return list(namespace(x).unstack(x, axis=axis))
    before = (slice(None),) * axis
    return [x[(*before, i, ...)] for i in range(num)]  # type: ignore[arg-type]  # it is no None here
