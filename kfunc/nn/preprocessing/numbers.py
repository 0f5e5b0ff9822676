"""Layers that bring numbers of a data set into the range that networks are made for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ... import checks, ops
from ...arrays import device, namespace, to_numpy
from ...backends import kind_of
from ...dataclasses import replace
from ...errors import ArgumentError, ShapeError
from ...ops._axes import normal_axes
from ...typing import Array
from ..layer import Layer, layer
from ..scope import Scope
from .adapting import Moments, batches

__all__ = ["Normalization", "Rescaling"]


def _numbers(argument: str, value: Any) -> Any:
    """A number, or finite numbers in nested tuples, of what may be an array of any library."""
    try:
        array = to_numpy(value) if kind_of(type(value)) is not None else np.asarray(value)
        good = array.dtype.kind in "iuf" and array.size > 0 and bool(np.isfinite(array).all())
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ArgumentError.must_be(argument, "a finite number, or a list or array of finite numbers", value)
    return _tuples(array.tolist())


def _tuples(x: Any) -> Any:
    return tuple([_tuples(v) for v in x]) if isinstance(x, list) else x


def _beside(x: Any, value: Any) -> Any:
    """Numbers as an array of the dtype of `x`; a single one stays a number."""
    if not isinstance(value, tuple):
        return float(value)
    return namespace(x).asarray(value, dtype=x.dtype, device=device(x))


@layer
class Rescaling(Layer):
    """`x * scale + offset`, of any shape. Integers become float32.

    Args:
        scale: A number, or an array of numbers that broadcasts to the input.
        offset: The same.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)
    supports_masking: ClassVar[bool] = True

    scale: float | Sequence[Any]
    offset: float | Sequence[Any] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for argument in ("scale", "offset"):
            object.__setattr__(self, argument, _numbers(argument, getattr(self, argument)))

    def forward(self, s: Scope, x: Array) -> Array:
        out = x * _beside(x, self.scale) + _beside(x, self.offset)
        if out.ndim != x.ndim or any(m is not None and m != n for m, n in zip(x.shape, out.shape, strict=True)):
            raise ShapeError(
                f"`scale` and `offset` do not broadcast to the input {tuple(x.shape)}.",
                argument="scale",
                expected=f"numbers, or arrays that broadcast to {tuple(x.shape)}",
                got=f"scale {np.shape(self.scale)}, offset {np.shape(self.offset)}",
            )
        return out


@layer
class Normalization(Layer):
    """`(x - mean) / sqrt(variance)`, of any shape, by the moments of a data set. Integers become float32.

    The moments are `mean` and `variance`, which `layer = layer.adapt(data)` finds. Without these they are a part of the
    state, 0 and 1 at first, as a file of Keras may give them; training does not change them.

    Args:
        axis: The axis or axes that have a mean and a variance for each of their indices. None means one mean and one
            variance for all numbers.
        mean, variance: A number, or an array of the sizes of these axes. Both or none.
        invert: Whether to compute `x * sqrt(variance) + mean` instead.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)
    rounds_late: ClassVar[bool] = True
    supports_masking: ClassVar[bool] = True

    axis: int | Sequence[int] | None = -1
    mean: float | Sequence[Any] | None = None
    variance: float | Sequence[Any] | None = None
    invert: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for axis in self._axes():
            checks.integer("axis", axis)
        if (self.mean is None) != (self.variance is None):
            lacks = "mean" if self.mean is None else "variance"
            raise ArgumentError(
                f"`{lacks}` must be given, too: `mean` and `variance` belong together.",
                argument=lacks,
                expected="both or none",
            )
        if self.mean is None:
            return
        for argument in ("mean", "variance"):
            object.__setattr__(self, argument, _numbers(argument, getattr(self, argument)))
        given: tuple[Any, Any] = self.mean, self.variance
        shapes = np.shape(given[0]), np.shape(given[1])
        if shapes[0] != shapes[1] or len(shapes[0]) > len(self._axes()):
            raise ArgumentError(
                f"`mean` and `variance` do not fit to `axis` {self.axis}: they have the shapes {shapes[0]} and "
                f"{shapes[1]}.",
                argument="mean",
                expected=f"numbers, or arrays with {len(self._axes())} axes",
                got=f"{shapes[0]}, {shapes[1]}",
            )
        if np.min(given[1]) < 0:
            raise ArgumentError.must_be("variance", "at least 0", self.variance)

    def _axes(self) -> tuple[Any, ...]:
        return () if self.axis is None else tuple(self.axis) if isinstance(self.axis, list | tuple) else (self.axis,)

    def adapt(self, data: Any, steps: int | None = None) -> Normalization:
        """A layer like this one, with the moments of `data`. The layer itself stays as it is.

        Args:
            data: An array, or batches: whatever `fit` takes. It is read once, and summed up in float64.
            steps: How many batches are read; by default all.

        Raises:
            ArgumentError: The data are not finite numbers, or the layer was given `mean` and `variance`.
            ShapeError: The data have no axis `axis`, or a batch has other sizes there.
            DataError: There are no data.
        """
        moments = Moments(self._axes())
        for x, _ in batches(data, steps):
            if any(not -x.ndim <= axis < x.ndim for axis in self._axes()):
                raise ShapeError(
                    f"`axis` must be an axis of the data, whose shape is {x.shape}, got {self.axis}.",
                    argument="axis",
                    expected=f"axes of an array {x.shape}",
                    got=self.axis,
                )
            moments.add(x)
        return replace(self, mean=moments.mean.tolist(), variance=(moments.squares / moments.count).tolist())

    def forward(self, s: Scope, x: Array) -> Array:
        axes = self._axes()
        if any(not -x.ndim <= axis < x.ndim or x.shape[axis] is None for axis in axes):
            raise ShapeError(
                f"`axis` must have a known size in the input {tuple(x.shape)}, got {self.axis}.",
                argument="axis",
                expected=f"axes of the input, of known sizes; the input has shape {tuple(x.shape)}",
                got=self.axis,
            )
        axes = tuple(sorted(normal_axes(axes, x.ndim)))
        shape = tuple(x.shape[axis] for axis in axes)
        if self.mean is None:
            mean, variance = s.state("mean", shape, "zeros"), s.state("variance", shape, "ones")
            s.state("count", (), "zeros", "int32")  # Keras's files have it
        else:
            mean, variance = self._given(x, self.mean, shape), self._given(x, self.variance, shape)
        xp = namespace(x)
        along = tuple(x.shape[i] if i in axes else 1 for i in range(x.ndim))
        mean, variance = (xp.reshape(xp.astype(v, x.dtype), along) for v in (mean, variance))
        deviation = ops.maximum(xp.sqrt(variance), 1e-7)  # Keras's epsilon
        return x * deviation + mean if self.invert else (x - mean) / deviation

    def _given(self, x: Any, value: Any, shape: tuple[int, ...]) -> Any:
        """`mean` or `variance` for all indices of the axes."""
        own = np.shape(value)
        if any(m not in (1, n) for m, n in zip(reversed(own), reversed(shape), strict=False)):
            raise ShapeError(
                f"`mean` and `variance` have the shape {own}, and `axis` {self.axis} of the input has {shape}.",
                argument="mean",
                expected=shape,
                got=own,
            )
        xp = namespace(x)
        return xp.broadcast_to(xp.asarray(value, dtype=x.dtype, device=device(x)), shape)
