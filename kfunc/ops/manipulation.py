"""The shape of arrays, and their elements moved, repeated and padded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..arrays import device, dtype_name, namespace, to_numpy
from ..backends.standard import DTYPES
from ..errors import ArgumentError, ShapeError, shown
from ..tracing.spec import Spec
from ..typing import Array, DType, Shape
from ._axes import normal_axes, normal_axis, sizes_of
from ._op import op
from ._promotion import cast, lift

__all__ = [
    "all_finite",
    "broadcast_to",
    "copy",
    "diag",
    "diagflat",
    "diagonal",
    "expand_dims",
    "flip",
    "fliplr",
    "flipud",
    "join_last",
    "moveaxis",
    "ndim",
    "pad",
    "ravel",
    "repeat",
    "reshape",
    "roll",
    "rot90",
    "shape",
    "size",
    "split_first",
    "split_last",
    "squeeze",
    "swapaxes",
    "tile",
    "trace",
    "transpose",
    "tril",
    "triu",
    "vander",
    "view",
]


# -- shape -----------------------------------------------------------------------------------------------------------


@op
def shape(x: Array) -> Shape:
    """The sizes of `x`, a tuple of integers; None where one is not known while a function is compiled."""
    return tuple(lift(x).shape)


@op
def size(x: Array) -> int | None:
    """The number of elements of `x`; None if a size is not known while a function is compiled."""
    sizes = lift(x).shape
    return None if None in sizes else math.prod(sizes)


@op
def ndim(x: Array) -> int:
    """The number of axes of `x`."""
    return lift(x).ndim


@op
def reshape(x: Array, newshape: int | Sequence[int | None]) -> Array:
    """The elements of `x`, in order, in `newshape`: an integer or several, of which one may be -1, or None."""
    x = lift(x)
    sizes = newshape if isinstance(newshape, list | tuple) else (newshape,)
    if any(isinstance(n, int) and n < -1 for n in sizes):  # NumPy would take them for -1
        raise ArgumentError.must_be("newshape", "natural numbers, of which one may be -1", newshape)
    return namespace(x).reshape(x, _known(sizes))


@op
def ravel(x: Array) -> Array:
    """The elements of `x` in order: (size,)."""
    x = lift(x)
    return namespace(x).reshape(x, (-1,))


@op
def broadcast_to(x: Array, shape: Sequence[int]) -> Array:
    """The standard's `broadcast_to`: `x` repeated along axes that it lacks, or where its size is 1."""
    x = lift(x)
    return namespace(x).broadcast_to(x, tuple(shape))


@op(along_axis=True)
def expand_dims(x: Array, axis: int | Sequence[int]) -> Array:
    """`x` with axes of size 1 put in, where `axis`, an integer or several, says that the result has them."""
    x = lift(x)
    xp = namespace(x)
    given = axis if isinstance(axis, list | tuple) else (axis,)
    for place in sorted(normal_axes(given, x.ndim + len(given))):
        x = xp.expand_dims(x, axis=place)
    return x


@op(along_axis=True)
def squeeze(x: Array, axis: int | Sequence[int] | None = None) -> Array:
    """`x` without the axes `axis`, an integer or several, whose size is 1; without all such axes by default."""
    x = lift(x)
    if axis is None:
        axis = [i for i, n in enumerate(x.shape) if n == 1]
    return namespace(x).squeeze(x, axis=normal_axes(axis, x.ndim))


@op
def split_last(x: Array, sizes: Sequence[int]) -> Array:
    """(..., product of `sizes`) to (..., *sizes); any number of the leading sizes may be unknown."""
    xp = namespace(x)
    # This reference finds one unknown size only; lowerings find more, such as the two of a batch of sequences.
    return xp.reshape(x, (*_known(x.shape[:-1]), *sizes))


@split_last.shape_rule
def _split_last_shape(x, sizes):
    return Spec((*x.shape[:-1], *namespace(x).reshape(Spec(x.shape[-1:]), sizes).shape), x.dtype)


@op
def join_last(x: Array) -> Array:
    """(..., a, b) to (..., a * b); any number of the leading sizes may be unknown."""
    xp = namespace(x)
    return xp.reshape(x, (*_known(x.shape[:-2]), x.shape[-2] * x.shape[-1]))


@join_last.shape_rule
def _join_last_shape(x):
    return Spec((*x.shape[:-2], Spec(x.shape[-2:]).size), x.dtype)


@op
def split_first(x: Array, like: Array) -> Array:
    """(a * b, ...) to (a, b, ...), where `like` is (a, b, ...); both may be unknown."""
    return namespace(x).reshape(x, (*_known(like.shape[:2]), *x.shape[1:]))


@split_first.shape_rule
def _split_first_shape(x, like):
    return Spec((*like.shape[:2], *x.shape[1:]), x.dtype)


def _known(sizes):
    """`sizes` with -1 for the one that is not known. Of several, only shapes without values can make sense."""
    unknown = sum(n is None or n == -1 for n in sizes)
    return tuple(-1 if n is None and unknown == 1 else n for n in sizes)


@op(elementwise=True)
def copy(x: Array) -> Array:
    """A copy of `x`."""
    x = lift(x)
    return namespace(x).astype(x, x.dtype, copy=True)


@op
def view(x: Array, dtype: DType | None = None) -> Array:
    """The bits of `x` read as `dtype`; its last size changes where the two dtypes differ in width.

    Raises:
        ShapeError: The last size is no multiple of the number of elements that make one.
    """
    x = lift(x)
    if dtype is None or dtype_name(dtype) == dtype_name(x.dtype):
        return x
    # The standard does not have this function. NumPy can read the arrays of libraries that have no lowering.
    import numpy as np

    xp, dtype = namespace(x), dtype_name(dtype)
    shape: Any = viewed_shape(x, dtype)
    bits = np.ascontiguousarray(to_numpy(x)).view(dtype).reshape(shape)
    return xp.asarray(bits, dtype=getattr(xp, dtype), device=device(x))


@view.shape_rule
def _view_shape(x, dtype=None):
    name = dtype_name(x.dtype if dtype is None else dtype)
    return Spec(viewed_shape(x, name), name)


def viewed_shape(x: Array, dtype: str) -> Shape:
    """The shape of `x` read as `dtype`.

    Raises:
        ShapeError: The last size is no multiple of the number of elements that make one.
    """
    old, new = (max(DTYPES[name][1], 8) for name in (dtype_name(x.dtype), dtype))
    if old == new:
        return tuple(x.shape)
    last = x.shape[-1] if x.shape else 1
    if not x.shape or (last is not None and last * old % new):
        raise ShapeError(
            f"An array {dtype_name(x.dtype)} {tuple(x.shape)} cannot be read as {dtype}: its last axis does not fit.",
            argument="x",
            expected=f"a last axis of a multiple of {new // 8} bytes",
            got=f"{dtype_name(x.dtype)} {tuple(x.shape)}",
            fix="pad the last axis, or take a dtype of the same width",
        )
    return (*x.shape[:-1], None if last is None else last * old // new)


# -- order -----------------------------------------------------------------------------------------------------------


@op
def transpose(x: Array, axes: Sequence[int] | None = None) -> Array:
    """`x` with its axes in the order `axes`; in reverse by default."""
    x = lift(x)
    order = tuple(reversed(range(x.ndim))) if axes is None else normal_axes(tuple(axes), x.ndim, "axes")
    if len(order) != x.ndim:
        raise ArgumentError(
            f"`axes` must name each of {x.ndim} axes once, got {shown(axes)}.",
            argument="axes",
            expected=f"{x.ndim} axes",
            got=axes,
            fix="name each once",
        )
    return namespace(x).permute_dims(x, order)


@op
def swapaxes(x: Array, axis1: int, axis2: int) -> Array:
    """`x` with two of its axes exchanged."""
    x = lift(x)
    a, b = normal_axis(axis1, x.ndim, "axis1"), normal_axis(axis2, x.ndim, "axis2")
    order = list(range(x.ndim))
    order[a], order[b] = b, a
    return namespace(x).permute_dims(x, tuple(order))


@op
def moveaxis(x: Array, source: int | Sequence[int], destination: int | Sequence[int]) -> Array:
    """The standard's `moveaxis`: the axes `source`, an integer or several, moved to the places `destination`."""
    x = lift(x)
    source, destination = (tuple(a) if isinstance(a, list) else a for a in (source, destination))
    return namespace(x).moveaxis(x, source, destination)


@op
def flip(x: Array, axis: int | Sequence[int] | None = None) -> Array:
    """The standard's `flip`: `x` in reverse along `axis`, an integer or several; along all by default."""
    x = lift(x)
    return namespace(x).flip(x, axis=tuple(axis) if isinstance(axis, list) else axis)


@op
def fliplr(x: Array) -> Array:
    """`x` in reverse along its second axis."""
    x = lift(x)
    return namespace(x).flip(x, axis=1)


@op
def flipud(x: Array) -> Array:
    """`x` in reverse along its first axis."""
    x = lift(x)
    return namespace(x).flip(x, axis=0)


@op
def roll(x: Array, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Array:
    """The standard's `roll`: elements moved by `shift` along `axis`, in a circle; in flat order by default."""
    x = lift(x)
    shifts, axes = (tuple(a) if isinstance(a, list) else a for a in (shift, axis))
    shifts = (shifts,) * len(axes) if isinstance(axes, tuple) and isinstance(shifts, int) else shifts
    return namespace(x).roll(x, shifts, axis=axes)


@op
def rot90(array: Array, k: int = 1, axes: Sequence[int] = (0, 1)) -> Array:
    """`array` turned `k` times by 90 degrees in the plane of two `axes`, from the first to the second."""
    x = lift(array)
    xp = namespace(x)
    a, b = normal_axes(tuple(axes), x.ndim, "axes")
    if k % 2 == 0:
        return xp.flip(x, axis=(a, b)) if k % 4 == 2 else x
    order = list(range(x.ndim))
    order[a], order[b] = b, a
    if k % 4 == 1:
        return xp.permute_dims(xp.flip(x, axis=b), tuple(order))
    return xp.flip(xp.permute_dims(x, tuple(order)), axis=b)


@op
def tile(x: Array, repeats: int | Sequence[int]) -> Array:
    """The standard's `tile`: `x` laid out `repeats` times, an integer or one for each of the last axes."""
    x = lift(x)
    return namespace(x).tile(x, tuple(repeats) if isinstance(repeats, list | tuple) else (repeats,))


@op(along_axis=True)
def repeat(x: Array, repeats: int | Sequence[int] | Array, axis: int | None = None) -> Array:
    """The elements of `x` along `axis`, in flat order by default, each repeated.

    Args:
        repeats: How often: an integer, a list of one for each element, or an array (whose sum, the size of the result,
            must be known when the call is made).
    """
    x = lift(x)
    xp = namespace(x)
    if axis is None:
        x, axis = xp.reshape(x, (-1,)), 0
    axis = normal_axis(axis, x.ndim)
    if not isinstance(repeats, list | tuple):
        return xp.repeat(x, repeats, axis=axis)
    if len(repeats) == 1:
        return xp.repeat(x, repeats[0], axis=axis)
    if x.shape[axis] not in (len(repeats), None):
        raise ArgumentError(
            f"`repeats` has {len(repeats)} integers for the {x.shape[axis]} elements of axis {axis}.",
            argument="repeats",
            expected=f"one integer, or {x.shape[axis]}",
            got=f"{len(repeats)} integers",
            fix="give one for each element",
        )
    chosen = [i for i, n in enumerate(repeats) for _ in range(n)]
    return xp.take(x, xp.asarray(chosen, dtype=xp.int32, device=device(x)), axis=axis)


# -- diagonals -------------------------------------------------------------------------------------------------------


@op
def tril(x: Array, k: int = 0) -> Array:
    """The standard's `tril`: `x` (..., n, m) with zeros above the diagonal number `k`."""
    x = lift(x)
    return namespace(x).tril(x, k=k)


@op
def triu(x: Array, k: int = 0) -> Array:
    """The standard's `triu`: `x` (..., n, m) with zeros below the diagonal number `k`."""
    x = lift(x)
    return namespace(x).triu(x, k=k)


@op
def diagonal(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The diagonal number `offset` of the matrices that lie along two axes; it becomes the last axis."""
    x = lift(x)
    xp = namespace(x)
    a, b = normal_axes((axis1, axis2), x.ndim, "axis1, axis2")
    if (a, b) != (x.ndim - 2, x.ndim - 1):
        x = xp.permute_dims(x, (*(i for i in range(x.ndim) if i not in (a, b)), a, b))
    n, m = sizes_of(x, -2, -1)
    count = _diagonal_size(n, m, offset)
    # The diagonal of a flat matrix is every (m + 1)-th element.
    start = offset if offset > 0 else -offset * m
    flat = xp.reshape(x, (*_known(x.shape[:-2]), n * m))
    return flat[..., start : start + (count - 1) * (m + 1) + 1 : m + 1] if count else flat[..., :0]


def _diagonal_size(n, m, offset):
    """The length of the diagonal number `offset` of a matrix (n, m)."""
    return None if None in (n, m) else max(0, min(n + min(offset, 0), m - max(offset, 0)))


@diagonal.shape_rule
def _diagonal_shape(x, offset=0, axis1=0, axis2=1):
    axes = normal_axes((axis1, axis2), x.ndim, "axis1, axis2")
    a, b = axes
    rest = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    return Spec((*rest, _diagonal_size(x.shape[a], x.shape[b], offset)), x.dtype)


@op
def trace(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The sum of the diagonal number `offset` of the matrices that lie along two axes."""
    x = diagonal(x, offset, axis1, axis2)
    xp = namespace(x)
    if dtype_name(x.dtype) in ("bool", "int8", "int16", "uint8", "uint16"):
        x = cast(x, "uint32" if dtype_name(x.dtype).startswith("u") else "int32")
    return xp.sum(x, axis=-1, dtype=x.dtype)


@op
def diag(x: Array, k: int = 0) -> Array:
    """The diagonal number `k` of a matrix (n, m); or the square matrix that has the vector (n,) there, and zeros."""
    x = lift(x)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ShapeError(
            f"`x` must be a vector or a matrix, got shape {tuple(x.shape)}.",
            argument="x",
            expected="1 or 2 axes",
            got=tuple(x.shape),
        )
    xp = namespace(x)
    on = xp.eye(*sizes_of(x, 0), dtype=xp.bool, device=device(x))
    square = xp.where(on, xp.expand_dims(x, axis=1), xp.zeros((), dtype=x.dtype, device=device(x)))
    return pad(square, ((0, k), (k, 0)) if k > 0 else ((-k, 0), (0, -k)))


@diag.shape_rule
def _diag_shape(x, k=0):
    if x.ndim != 1 or x.shape[0] is not None:
        return NotImplemented
    return Spec((None, None), x.dtype)


@op
def diagflat(x: Array, k: int = 0) -> Array:
    """The square matrix that has the elements of `x` on its diagonal number `k`, and zeros."""
    return diag(ravel(x), k)


@op
def vander(x: Array, N: int | None = None, increasing: bool = False) -> Array:
    """The powers of a vector (n,), from N - 1 down to 0, or up with `increasing`: (n, N); N is n by default."""
    x = lift(x)
    if x.ndim != 1:
        raise ShapeError(
            f"`x` must be a vector, got shape {tuple(x.shape)}.", argument="x", expected="1 axis", got=tuple(x.shape)
        )
    xp = namespace(x)
    (count,) = sizes_of(x, 0) if N is None else (N,)
    powers = [xp.ones_like(x)]
    for _ in range(1, count):
        powers.append(powers[-1] * x)  # whole products: exact for integers, and differentiable at 0
    powers = powers[:count]
    if not powers:
        return xp.zeros((x.shape[0], 0), dtype=x.dtype, device=device(x))
    return xp.stack(powers if increasing else powers[::-1], axis=1)


@vander.shape_rule
def _vander_shape(x, N=None, increasing=False):
    if x.ndim != 1:
        return NotImplemented
    return Spec((x.shape[0], x.shape[0] if N is None else N), x.dtype)


# -- padding ---------------------------------------------------------------------------------------------------------

# Slices of the array that make borders of n elements: before it, after it, and whether they are reversed.
_BORDERS = {
    "edge": (lambda n: slice(0, 1), lambda n: slice(-1, None), False),
    "reflect": (lambda n: slice(1, n + 1), lambda n: slice(-1 - n, -1), True),
    "symmetric": (lambda n: slice(0, n), lambda n: slice(-n, None), True),
    "wrap": (lambda n: slice(-n, None), lambda n: slice(0, n), False),
}


@op
def pad(
    x: Array,
    pad_width: int | Sequence[int] | Sequence[Sequence[int]],
    mode: str = "constant",
    constant_values: float | None = None,
) -> Array:
    """`x` with borders.

    Args:
        x: An array of any shape.
        pad_width: How many elements: an integer, a pair (before, after) for all axes, or a pair for each axis.
        mode: "constant"; "edge" repeats the outermost element; "reflect" mirrors the array at that element, and
            "symmetric" at its outer side; "wrap" continues with the elements of the other end.
        constant_values: The number to pad with in mode "constant", 0 by default.

    Raises:
        ArgumentError: The mode is unknown, or the widths do not fit.
        ShapeError: A mirrored or wrapped border is wider than the array.
    """
    x = lift(x)
    xp = namespace(x)
    pairs = pad_pairs(pad_width, x.ndim)
    if mode != "constant" and mode not in _BORDERS:
        names = ["constant", *_BORDERS]
        raise ArgumentError.must_be("mode", f"one of {names}", mode)
    if mode != "constant" and constant_values is not None:
        raise ArgumentError(
            f'`constant_values` is given, but only mode="constant" uses it, and the mode is {mode!r}.',
            argument="constant_values",
            expected='None, or mode="constant"',
            got=f"{constant_values!r} with mode={mode!r}",
        )
    for axis, (before, after) in enumerate(pairs):
        parts = [_border(x, axis, before, mode, 0, constant_values), x]
        parts.append(_border(x, axis, after, mode, 1, constant_values))
        parts = [p for p in parts if p is not None]
        x = xp.concat(parts, axis=axis) if len(parts) > 1 else x
    return x


@pad.shape_rule
def _pad_shape(x, pad_width, mode="constant", constant_values=None):
    if mode != "constant" and None not in x.shape:
        return NotImplemented
    sizes = zip(x.shape, pad_pairs(pad_width, x.ndim), strict=True)
    return Spec([None if n is None else n + before + after for n, (before, after) in sizes], x.dtype)


def pad_pairs(pad_width: Any, ndim: int) -> tuple[tuple[int, int], ...]:
    """`pad_width` as one pair (before, after) for each axis.

    Raises:
        ArgumentError: `pad_width` has another form, or negative numbers.
    """
    given = pad_width if isinstance(pad_width, list | tuple) else (pad_width,)
    if not any(isinstance(pair, list | tuple) for pair in given):
        given = (given,) * ndim
    elif len(given) == 1:
        given = tuple(given) * ndim
    pairs = tuple(tuple(p) if isinstance(p, list | tuple) else (p,) for p in given)
    pairs = tuple(p * 2 if len(p) == 1 else p for p in pairs)
    if len(pairs) != ndim or any(len(p) != 2 or any(not isinstance(n, int) or n < 0 for n in p) for p in pairs):
        raise ArgumentError.must_be(
            "pad_width",
            f"natural numbers, one pair for each of {ndim} axes",
            pad_width,
            said=f"an integer, a pair of them, or {ndim} pairs, none negative",
        )
    return pairs


def _border(x, axis, width, mode, side, value):
    """`width` elements before (`side` 0) or after (1) `x` along `axis`; None if there are none."""
    if width == 0:
        return None
    xp = namespace(x)
    inside = (slice(None),) * axis
    if mode == "constant":
        # It is made from x, since the sizes along the other axes may be unknown.
        if x.shape[axis] == 0:
            row = xp.zeros((*x.shape[:axis], 1, *x.shape[axis + 1 :]), dtype=x.dtype, device=device(x))
        else:
            row = x[(*inside, slice(0, 1), ...)]
        row = xp.zeros_like(row) if value is None else xp.full_like(row, value)
    else:
        size, need = x.shape[axis], {"edge": 1, "reflect": width + 1}.get(mode, width)
        if size is not None and size < need:
            raise ShapeError(
                f"`pad_width` is larger than mode={mode!r} can fill along axis {axis}, whose size is {size}.",
                argument="pad_width",
                expected=f"at least {need} elements along axis {axis}",
                got=size,
                fix='pad less, or with mode="edge" or "constant"',
            )
        row = x[(*inside, _BORDERS[mode][side](width), ...)]
        row = xp.flip(row, axis=axis) if _BORDERS[mode][2] else row
        if mode != "edge":
            return row
    row = xp.concat([row] * min(width, 64), axis=axis) if width > 1 else row
    if width <= 64:
        return row
    while row.shape[axis] < width:  # to join thousands of rows at once takes JAX minutes
        row = xp.concat([row, row], axis=axis)
    return row[(*inside, slice(None, width), ...)]


# -- codes and checks ------------------------------------------------------------------------------------------------


@op
def all_finite(*arrays: Array) -> Array:
    """For each array, whether it holds neither NaN nor infinity: a boolean array (len(arrays),)."""
    xp = namespace(*arrays)
    return xp.stack([xp.all(xp.isfinite(x)) for x in arrays])
