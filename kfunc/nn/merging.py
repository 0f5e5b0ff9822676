"""Layers that merge several arrays into one, and functions that do so without a layer."""

from __future__ import annotations

import functools
import string
from collections.abc import Callable
from typing import Any, ClassVar

from .. import checks, ops, tree
from ..errors import ArgumentError, ShapeError, shown
from ..typing import Array
from .layer import Layer, base_layer, layer
from .nodes import Node
from .scope import Scope

__all__ = [
    "Add",
    "Average",
    "Concatenate",
    "Dot",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
    "add",
    "average",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]


@base_layer
class _Merge(Layer):
    """The base of layers that take one list: `layer(s, [x, y])`, with `mask=[mask_x, None]` if only `x` has a mask.

    Arrays with fewer axes than others get axes of size 1 after the batch. Then the shapes broadcast, except for the
    batch. The output has a mask if all inputs have one. It is True where the mask of any input is.
    """

    supports_masking: ClassVar[bool] = True
    count: ClassVar[int | None] = None
    """The number of inputs; None for any number."""

    def forward(self, s: Scope, inputs: Any, mask: Array | None = None) -> Array:
        xs, masks = self._listed(inputs, mask)
        xs, masks = _broadcasting(xs, masks)
        s.hand_on(_either(masks))
        return self.merge(xs, masks)

    def merge(self, xs: list[Array], masks: list[Array]) -> Array:
        """Merge the arrays `xs`, which broadcast, into one. The `masks` broadcast, too; each may be None."""
        raise NotImplementedError

    def _listed(self, inputs: Any, mask: Any) -> tuple[list, list]:
        n = self.count
        if not isinstance(inputs, list | tuple) or len(inputs) != (n or max(len(inputs), 1)):
            raise ArgumentError(
                f"`inputs` of {type(self).__name__} must be a list of {n or 'one or more'} arrays.",
                argument="inputs",
                expected=f"a list of {n or 'one or more'} arrays",
                got=f"a list of {len(inputs)}" if isinstance(inputs, list | tuple) else type(inputs).__name__,
                fix="layer(s, [x, y]) in a forward, layer([x, y]) in a graph",
            )
        masks = [None] * len(inputs) if mask is None else mask
        if not isinstance(masks, list | tuple) or len(masks) != len(inputs):
            raise ArgumentError(
                f"`mask` must be None or a list of {len(inputs)} masks, one for each input; each may be None.",
                argument="mask",
                expected=f"None, or a list of {len(inputs)}, each a mask or None",
                got=f"a list of {len(masks)}" if isinstance(masks, list | tuple) else type(masks).__name__,
            )
        for x in inputs:
            checks.rank("inputs", x, 1, least=True)
        return list(inputs), list(masks)


def _misfit(problem: str, expected: str, xs: list) -> ShapeError:
    got = " and ".join(str(tuple(x.shape)) for x in xs)
    return ShapeError(f"The shapes of `inputs` {problem}: {got}.", argument="inputs", expected=expected, got=got)


def _broadcasting(xs: list, masks: list) -> tuple[list, list]:
    """The inputs with equal numbers of axes, and their masks, which broadcast to them.

    Missing axes are added after the batch, with size 1.

    Raises:
        ShapeError: The inputs do not broadcast.
    """
    most = max(x.ndim for x in xs)
    wide = [_widened(x, most - x.ndim) for x in xs]
    for axis in range(most):
        # Others are symbols, which have no hash. (Dynamo cannot read `:=` here.)
        known = [x.shape[axis] for x in wide if isinstance(x.shape[axis], int)]
        if len({n for n in known if n != 1 or axis == 0}) > 1:
            raise _misfit("do not broadcast", "one batch size, and other sizes equal or 1", xs)
    masks = [m if m is None else _widened(m, most - x.ndim) for x, m in zip(xs, masks, strict=True)]
    ranks = [0 if m is None else m.ndim for m in masks]  # without `max(key=...)`, which Dynamo cannot read
    deepest = masks[ranks.index(max(ranks))]  # the other arrays have fewer axes
    return wide, [m if m is None else _like(m, deepest) for m in masks]


def _widened(x: Any, count: int) -> Any:
    return ops.expand_dims(x, tuple(range(1, count + 1))) if count else x


def _either(masks: list) -> Any:
    return None if any(m is None for m in masks) else functools.reduce(ops.logical_or, masks)


def _like(mask: Any, x: Any) -> Any:
    """`mask`, which belongs to the first axes of `x`, with as many axes as `x`."""
    return ops.expand_dims(mask, tuple(range(mask.ndim, x.ndim))) if mask.ndim < x.ndim else mask


# -- element by element ------------------------------------------------------------------------------------------------


@layer
class Add(_Merge):
    """The sum of a list of arrays that broadcast, to their common shape."""

    def merge(self, xs: list[Array], masks: list[Array]) -> Array:
        return functools.reduce(ops.add, xs)


@layer
class Subtract(_Merge):
    """The first of two arrays minus the second, of their common shape."""

    count: ClassVar[int] = 2
    rounds_late: ClassVar[bool] = True

    def merge(self, xs: list[Array], masks: list[Array]) -> Array:
        return ops.subtract(*xs)


@layer
class Average(_Merge):
    """The mean of a list of arrays that broadcast, to their common shape."""

    float_inputs: ClassVar[tuple[str, ...]] = ("inputs",)

    def merge(self, xs: list[Array], masks: list[Array]) -> Array:
        return ops.divide(functools.reduce(ops.add, xs), len(xs))


@layer
class Multiply(_Merge):
    """The product of a list of arrays that broadcast, of their common shape.

    Masked elements count as 1. Elements that are masked in all inputs are 0.
    """

    def merge(self, xs: list[Array], masks: list[Array]) -> Array:
        xs = [x if m is None else ops.where(_like(m, x), x, ops.ones_like(x)) for x, m in zip(xs, masks, strict=True)]
        out, mask = functools.reduce(ops.multiply, xs), _either(masks)
        return out if mask is None else ops.where(_like(mask, out), out, ops.zeros_like(out))


@base_layer
class _Extreme(_Merge):
    """The base of `Maximum` and `Minimum`. Elements that are masked in some inputs are taken from the others."""

    op: ClassVar[Callable[..., Array]]

    def merge(self, xs: list[Array], masks: list[Array]) -> Array:
        out, seen = xs[0], masks[0]
        for x, mask in zip(xs[1:], masks[1:], strict=True):
            x = x if mask is None else ops.where(_like(mask, x), x, out)
            out = out if seen is None else ops.where(_like(seen, out), out, x)
            seen, out = _either([seen, mask]), self.op(out, x)
        return out


@layer
class Maximum(_Extreme):
    """The largest elements of a list of arrays that broadcast, of their common shape. Masked elements do not count."""

    op: ClassVar[Callable[..., Array]] = ops.maximum


@layer
class Minimum(_Extreme):
    """The smallest elements of a list of arrays that broadcast, of their common shape. Masked elements do not count."""

    op: ClassVar[Callable[..., Array]] = ops.minimum


# -- along an axis -----------------------------------------------------------------------------------------------------


@layer
class Concatenate(_Merge):
    """Arrays one after the other along `axis`: [(batch, a), (batch, b)] to (batch, a + b). Other sizes are equal.

    The output has a mask if any input has one. Inputs without a mask then count completely.

    Args:
        axis: An axis, but not the batch.
    """

    axis: int = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.integer("axis", self.axis)

    def forward(self, s: Scope, inputs: Any, mask: Array | None = None) -> Array:
        xs, masks = self._listed(inputs, mask)
        rank = xs[0].ndim
        others = [[n for i, n in enumerate(x.shape) if i != self.axis % x.ndim] for x in xs]
        same = all(x.ndim == rank for x in xs) and -rank <= self.axis < rank
        if not same or any(len({n for n in along if isinstance(n, int)}) > 1 for along in zip(*others, strict=True)):
            raise _misfit(f"do not fit along axis {self.axis}", f"shapes that differ along axis {self.axis} only", xs)
        if any(m is not None for m in masks):
            # The mask of one feature: a mask over all features is True where any feature counts.
            full = [_columns(m, x[..., :1]) for x, m in zip(xs, masks, strict=True)]
            s.hand_on(ops.any(ops.concatenate(full, axis=self.axis), axis=-1))
        else:
            s.hand_on(None)
        return ops.concatenate(xs, axis=self.axis)


def _columns(mask: Any, column: Any) -> Any:
    """`mask` as booleans of the shape of `column`, (..., 1); all True if `mask` is None."""
    every = ops.ones_like(column, dtype="bool")
    if mask is None:
        return every
    mask = ops.any(mask, axis=-1, keepdims=True) if mask.ndim == column.ndim else _like(mask, column)
    return ops.logical_and(mask, every)


@layer
class Dot(_Merge):
    """Products of two arrays, summed along one axis of each: (batch, ..., n), (batch, ..., n) to (batch, ..., ...).

    The remaining axes of the first array come first. If no axes remain, the result is (batch, 1).

    Args:
        axes: The axis of both arrays, or a pair of axes; 0 is the batch, which is not allowed.
        normalize: Whether the vectors along `axes` are first scaled to length 1, which gives the cosine of their angle.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("inputs",)

    count: ClassVar[int] = 2
    axes: int | tuple[int, int]
    normalize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.axes if isinstance(self.axes, tuple) else (self.axes, self.axes)
        if len(given) != 2 or any(type(n) is not int or n == 0 for n in given):
            raise ArgumentError(
                f"`axes` must be an integer or two integers, without 0 (the batch), got {shown(self.axes)}.",
                argument="axes",
                expected="an integer or two, none 0, which is the batch",
                got=repr(self.axes),
            )

    def forward(self, s: Scope, inputs: Any, mask: Array | None = None) -> Array:
        xs, _ = self._listed(inputs, mask)
        given = self.axes if isinstance(self.axes, tuple) else (self.axes, self.axes)
        if any(not -x.ndim < axis < x.ndim for x, axis in zip(xs, given, strict=True)):
            raise _misfit(
                f"lack the axes {given} that `axes` names",
                f"inputs with the axes {given} beside the batch",
                xs,
            )
        axes = [axis % x.ndim for x, axis in zip(xs, given, strict=True)]
        for pair in ((xs[0].shape[0], xs[1].shape[0]), (xs[0].shape[axes[0]], xs[1].shape[axes[1]])):
            if all(isinstance(n, int) for n in pair) and pair[0] != pair[1]:
                raise _misfit(f"differ in the batch or in {given}", f"one batch size, and one size of axes {given}", xs)
        if self.normalize:
            xs = [ops.normalize(x, axis) for x, axis in zip(xs, axes, strict=True)]
        letters = iter(string.ascii_letters[2:])  # "a" is the batch, "b" the axis of the sum
        terms = [["a", *(next(letters) for _ in range(x.ndim - 1))] for x in xs]
        for term, axis in zip(terms, axes, strict=True):
            term[axis] = "b"
        left = "".join(n for term in terms for n in term[1:] if n != "b")
        out = ops.einsum(f"{''.join(terms[0])},{''.join(terms[1])}->a{left}", *xs)
        s.hand_on(None)
        return out if left else ops.expand_dims(out, -1)


# -- as functions ------------------------------------------------------------------------------------------------------


def _merged(merge: Layer, inputs: Any) -> Any:
    """`merge` of nodes of a graph, which gives a node, or of arrays."""
    if any(isinstance(x, Node) for x in tree.leaves(inputs)):
        return merge(inputs)
    return merge.apply({}, inputs)[0]


def add(inputs: Any, **kwargs: Any) -> Any:
    """`Add(**kwargs)` of a list of arrays, or of nodes of a graph."""
    return _merged(Add(**kwargs), inputs)


def subtract(inputs: Any, **kwargs: Any) -> Any:
    """`Subtract(**kwargs)` of two arrays in a list, or of nodes of a graph."""
    return _merged(Subtract(**kwargs), inputs)


def multiply(inputs: Any, **kwargs: Any) -> Any:
    """`Multiply(**kwargs)` of a list of arrays, or of nodes of a graph."""
    return _merged(Multiply(**kwargs), inputs)


def average(inputs: Any, **kwargs: Any) -> Any:
    """`Average(**kwargs)` of a list of arrays, or of nodes of a graph."""
    return _merged(Average(**kwargs), inputs)


def maximum(inputs: Any, **kwargs: Any) -> Any:
    """`Maximum(**kwargs)` of a list of arrays, or of nodes of a graph."""
    return _merged(Maximum(**kwargs), inputs)


def minimum(inputs: Any, **kwargs: Any) -> Any:
    """`Minimum(**kwargs)` of a list of arrays, or of nodes of a graph."""
    return _merged(Minimum(**kwargs), inputs)


def concatenate(inputs: Any, axis: int = -1, **kwargs: Any) -> Any:
    """`Concatenate(axis, **kwargs)` of a list of arrays, or of nodes of a graph."""
    return _merged(Concatenate(axis, **kwargs), inputs)


def dot(inputs: Any, axes: Any = -1, **kwargs: Any) -> Any:
    """`Dot(axes, **kwargs)` of two arrays in a list, or of nodes of a graph."""
    return _merged(Dot(axes, **kwargs), inputs)
