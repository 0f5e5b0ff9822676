"""Layers that reorder, repeat, crop or pad their input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index
from typing import Any, ClassVar, TypeAlias

from .. import checks, ops
from ..arrays import namespace
from ..errors import ArgumentError, ShapeError, shown
from ..typing import Array, Sizes
from .layer import Layer, base_layer, layer
from .scope import Scope

__all__ = [
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Flatten",
    "Permute",
    "RepeatVector",
    "Reshape",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
]

Sides: TypeAlias = int | Sequence[int | Sequence[int]]
"""Numbers of elements at both ends of each axis: one for all, one for each axis, or a pair for each."""


# -- order and shape -------------------------------------------------------------------------------------------------


def _reshaped(x: Any, sizes: tuple[int, ...]) -> Any:
    """`x` (batch, ...) as (batch, *sizes). One size may be -1.

    Raises:
        ShapeError: The sizes do not have as many elements as the input.
    """
    batch, *old = x.shape
    rest = math.prod([n for n in sizes if n != -1])
    known = all(isinstance(n, int) for n in old)
    if known:
        total = math.prod(old)
        if (total % rest if -1 in sizes and rest else total != rest) or (-1 in sizes and not rest):
            raise ShapeError(
                f"`target_shape` must have {total} elements, as the input {tuple(old)}, got {sizes}.",
                argument="target_shape",
                expected=f"a shape of {total} elements, as the input's {tuple(old)} has",
                got=sizes,
            )
        sizes = tuple(total // rest if n == -1 else n for n in sizes)
    # A reshape can find one size. It is that of the batch, which may be unknown, unless another one is.
    found = -1 in sizes or 0 in sizes or (not known and isinstance(batch, int))
    return namespace(x).reshape(x, (batch if found else -1, *sizes))


@layer
class Flatten(Layer):
    """(batch, ...) to (batch, product of the others).

    Args:
        data_format: With "channels_first", (batch, channels, ...) is first transposed to (batch, ..., channels).
    """

    data_format: str | None = None

    def forward(self, s: Scope, x: Array) -> Array:
        checks.rank("x", x, 1, least=True)
        if self.data_format == "channels_first" and x.ndim > 2:
            x = namespace(x).moveaxis(x, 1, -1)
        return _reshaped(x, (-1,))


@layer
class Reshape(Layer):
    """(batch, ...) to (batch, *target_shape).

    Args:
        target_shape: The sizes without the batch. One size may be -1: it is then found from the others.
    """

    target_shape: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = self.target_shape
        if not isinstance(sizes, tuple) or any(type(n) is not int or n < -1 for n in sizes) or sizes.count(-1) > 1:
            raise ArgumentError(
                f"`target_shape` must be a tuple of integers, at least 0 except one -1, got {shown(sizes)}.",
                argument="target_shape",
                expected="a tuple of integers, none negative, but one that may be -1",
                got=repr(sizes),
            )

    def forward(self, s: Scope, x: Array) -> Array:
        checks.rank("x", x, 1, least=True)
        # `index`: under torch.compile(dynamic=True) the numbers of a layer are symbols, and `in` does not find them.
        return _reshaped(x, tuple([index(n) for n in self.target_shape]))


@layer
class Permute(Layer):
    """The axes after the batch in another order: (batch, a, b) to (batch, b, a) with `dims=(2, 1)`.

    Args:
        dims: For each axis of the output the axis of the input, counted from 1 after the batch: `(2, 1)` exchanges two.
    """

    dims: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        dims = self.dims
        if not isinstance(dims, tuple) or {type(n) for n in dims} - {int} or sorted(dims) != [*range(1, len(dims) + 1)]:
            raise ArgumentError(
                f"`dims` must have each integer from 1 to the number of axes once, got {shown(dims)}.",
                argument="dims",
                expected="each integer from 1 to the number of axes, once",
                got=repr(dims),
            )

    def forward(self, s: Scope, x: Array) -> Array:
        checks.rank("x", x, len(self.dims) + 1)
        return namespace(x).permute_dims(x, (0, *self.dims))


@layer
class RepeatVector(Layer):
    """(batch, features) to (batch, n, features): the input, `n` times.

    Args:
        n: How often the input is repeated.
    """

    n: int

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("n", self.n)

    def forward(self, s: Scope, x: Array) -> Array:
        checks.rank("x", x, 2)
        return ops.repeat(namespace(x).expand_dims(x, axis=1), self.n, axis=1)


# -- along the axes of space or time -----------------------------------------------------------------------------------


def _first(x: Any, axes: int, data_format: str | None) -> int:
    """The first of the spatial axes of `x`, (batch, *spatial, channels) or (batch, channels, *spatial).

    Raises:
        ShapeError: The number of spatial axes is not `axes`.
    """
    checks.rank("x", x, axes + 2, fix="the input needs a batch axis and a channel axis, too")
    return 2 if data_format == "channels_first" else 1


def _sides(argument: str, value: Any, axes: int) -> tuple[tuple[int, int], ...]:
    """The numbers of elements (before, after) for each of `axes` axes.

    `value` is an integer, one integer for each axis, or one pair for each axis.

    Raises:
        ArgumentError: `value` is something else.
    """
    given = (value,) * axes if axes == 1 or isinstance(value, int) else value
    pairs = [(p, p) if isinstance(p, int) else p for p in given] if isinstance(given, tuple | list) else []
    good = all(isinstance(p, tuple | list) and len(p) == 2 and all(type(n) is int and n >= 0 for n in p) for p in pairs)
    if len(pairs) != axes or not good:
        several = f"{axes} integers, or {axes} pairs" if axes > 1 else "a pair"
        raise ArgumentError.must_be(
            argument, f"an integer, or {several} (before, after)", value, fix="use integers that are not negative"
        )
    return tuple((a, b) for a, b in pairs)


@base_layer
class _Cropping(Layer):
    """The arguments of croppings.

    Args:
        cropping: The number of elements to cut off at both ends: an integer, one for each axis, or a pair (before,
            after) for each axis. With one spatial axis, an integer or a pair.
        data_format: "channels_last" or "channels_first"; None is "channels_last".
    """

    axes: ClassVar[int]

    cropping: Sides
    data_format: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _sides("cropping", self.cropping, self.axes)

    def forward(self, s: Scope, x: Array) -> Array:
        first, sides = _first(x, self.axes, self.data_format), _sides("cropping", self.cropping, self.axes)
        for n, pair in zip(x.shape[first:], sides, strict=False):
            if n is not None and sum(pair) >= n:
                raise ShapeError(
                    f"`cropping` cuts off all of the input, which has shape {tuple(x.shape)}.",
                    argument="x",
                    expected=f"sizes above {' and '.join(str(sum(p)) for p in sides)}, which cropping takes",
                    got=tuple(x.shape),
                )
        return x[(slice(None),) * first + (*(slice(a, -b or None) for a, b in sides), ...)]


@layer
class Cropping1D(_Cropping):
    """(batch, steps, channels) to (batch, steps - before - after, channels)."""

    axes = 1
    cropping: Sides = (1, 1)


@layer
class Cropping2D(_Cropping):
    """(batch, height, width, channels) to the same with smaller height and width."""

    axes = 2
    cropping: Sides = ((0, 0), (0, 0))


@layer
class Cropping3D(_Cropping):
    """(batch, depth, height, width, channels) to the same with smaller depth, height and width."""

    axes = 3
    cropping: Sides = ((1, 1), (1, 1), (1, 1))


@base_layer
class _ZeroPadding(Layer):
    """The arguments of paddings.

    Args:
        padding: The number of zeros to add at both ends: an integer, one for each axis, or a pair (before, after) for
            each axis. With one spatial axis, an integer or a pair.
        data_format: "channels_last" or "channels_first"; None is "channels_last".
    """

    axes: ClassVar[int]

    padding: Sides
    data_format: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _sides("padding", self.padding, self.axes)

    def forward(self, s: Scope, x: Array) -> Array:
        none, first = (0, 0), _first(x, self.axes, self.data_format)
        sides = _sides("padding", self.padding, self.axes)
        return ops.pad(x, (none,) * first + sides + (none,) * (2 - first))


@layer
class ZeroPadding1D(_ZeroPadding):
    """(batch, steps, channels) to (batch, before + steps + after, channels)."""

    axes = 1
    padding: Sides = 1


@layer
class ZeroPadding2D(_ZeroPadding):
    """(batch, height, width, channels) to the same with larger height and width."""

    axes = 2
    padding: Sides = (1, 1)


@layer
class ZeroPadding3D(_ZeroPadding):
    """(batch, depth, height, width, channels) to the same with larger depth, height and width."""

    axes = 3
    padding: Sides = ((1, 1), (1, 1), (1, 1))


@base_layer
class _UpSampling(Layer):
    """The arguments of upsamplings.

    Args:
        size: How often each element is repeated: an integer, or one for each axis.
        data_format: "channels_last" or "channels_first"; None is "channels_last".
    """

    axes: ClassVar[int]

    size: Sizes = 2
    data_format: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.per_axis("size", self.size, self.axes)

    def forward(self, s: Scope, x: Array) -> Array:
        for axis, n in enumerate(checks.per_axis("size", self.size, self.axes), _first(x, self.axes, self.data_format)):
            x = x if n == 1 else ops.repeat(x, n, axis=axis)
        return x


@layer
class UpSampling1D(_UpSampling):
    """(batch, steps, channels) to (batch, size * steps, channels)."""

    axes = 1
    size: Sizes = 2


@layer
class UpSampling2D(_UpSampling):
    """(batch, height, width, channels) to the same with height and width times `size`.

    Args:
        interpolation: "nearest", which repeats elements; or "bilinear", "bicubic", "lanczos3" or "lanczos5", which need
            known sizes.
    """

    axes = 2
    size: Sizes = (2, 2)
    interpolation: str = "nearest"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("interpolation", self.interpolation, ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"))

    @property
    def float_inputs(self) -> tuple[str, ...]:  # type: ignore[override]
        """None where values are repeated; else they are computed with."""
        return () if self.interpolation == "nearest" else ("x",)

    def forward(self, s: Scope, x: Array) -> Array:
        first = _first(x, self.axes, self.data_format)
        # If sizes are not known, only the shape is computed, and it does not depend on the interpolation.
        if self.interpolation == "nearest" or (s.initializing and None in x.shape[first : first + 2]):
            return super().forward(s, x)
        sizes = checks.known("x", x, first, first + 1)
        new = [m * n for m, n in zip(checks.per_axis("size", self.size, 2), sizes, strict=True)]
        return ops.image.resize(x, new, self.interpolation, data_format=self.data_format)


@layer
class UpSampling3D(_UpSampling):
    """(batch, depth, height, width, channels) to the same with depth, height and width times `size`."""

    axes = 3
    size: Sizes = (2, 2, 2)
