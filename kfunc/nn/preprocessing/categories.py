"""Layers that make categories of numbers, and arrays of categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ... import checks, ops
from ...dataclasses import replace
from ...errors import ArgumentError
from ...ops._promotion import kind
from ...typing import Array
from ..layer import Layer, layer
from ..scope import Scope
from .adapting import Summary, batches
from .host import encoded, encodes
from .numbers import _beside, _numbers

__all__ = ["CategoryEncoding", "Discretization"]


def _float(layer: Any) -> str:
    """The dtype of encoded categories."""
    name = getattr(layer.dtype, "name", layer.dtype)
    return name if name in ("float16", "bfloat16", "float64") else "float32"


@layer
class CategoryEncoding(Layer):
    """Integer categories (samples, n) to arrays of 0 and 1, or of counts, (samples, num_tokens).

    Args:
        num_tokens: The number of categories: these are 0, 1, ... `num_tokens - 1`. Other integers count for nothing.
        output_mode: "multi_hot" (the default) says for a sample (n,) which categories are in it, "count" how often
            each is, (num_tokens,) both; "one_hot" writes each category as a row, (..., num_tokens), where a last axis
            of size 1 goes.
        sparse: Must be False.
    """

    num_tokens: int
    output_mode: str = "multi_hot"
    sparse: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("num_tokens", self.num_tokens)
        encodes(self, ("multi_hot", "one_hot", "count"))

    def forward(self, s: Scope, x: Array, count_weights: Array | None = None) -> Array:
        if count_weights is not None and self.output_mode != "count":
            raise ArgumentError(
                f'`count_weights` counts with `output_mode="count"` alone, and it is "{self.output_mode}".',
                argument="count_weights",
                expected='None, or output_mode="count"',
                got=f'output_mode="{self.output_mode}"',
            )
        if kind(x) not in "iu":
            x = ops.cast(x, "int32")
        return encoded(x, self.output_mode, self.num_tokens, _float(self), count_weights)


@layer
class Discretization(Layer):
    """The number of the bin that each number lies in, of any shape, or what `CategoryEncoding` makes of these.

    Bin i holds the numbers from bound i - 1 on and below bound i; NaN lies in the last one.

    Args:
        bin_boundaries: The bounds between the bins, in ascending order.
        num_bins: In place of `bin_boundaries`: how many bins `adapt` makes, with as many numbers in each.
        epsilon: How exact `adapt` is: the part of all numbers by which a bound may be wrong, for each batch. Its memory
            is that of `1 / epsilon` numbers.
        output_mode: "int" (int32, of the shape of the input), "one_hot", "multi_hot" or "count".
        sparse: Must be False.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)

    bin_boundaries: Sequence[float] | None = None
    num_bins: int | None = None
    epsilon: float = 0.01
    output_mode: str = "int"
    sparse: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.bin_boundaries is None) == (self.num_bins is None):
            raise ArgumentError(
                "`Discretization` needs either `bin_boundaries` or `num_bins`.",
                argument="bin_boundaries",
                expected="one of the two",
                got=f"bin_boundaries={self.bin_boundaries}, num_bins={self.num_bins}"[:200],
            )
        checks.positive("num_bins", self.num_bins, none=True)
        checks.number("epsilon", self.epsilon, most=1, above=0)
        encodes(self, ("int", "one_hot", "multi_hot", "count"))
        if self.bin_boundaries is not None:
            given = self.bin_boundaries
            bounds = () if isinstance(given, list | tuple) and not given else _numbers("bin_boundaries", given)
            if (
                not isinstance(bounds, tuple)
                or any(isinstance(b, tuple) for b in bounds)
                or list(bounds) != sorted(bounds)
            ):
                raise ArgumentError.must_be("bin_boundaries", "numbers in ascending order", given)
            object.__setattr__(self, "bin_boundaries", bounds)

    def adapt(self, data: Any, steps: int | None = None) -> Discretization:
        """A layer like this one, with bounds between which there are as many numbers of `data` each.

        The bounds are those that Keras finds. The layer itself stays as it is.

        Args:
            data: An array, or batches: whatever `fit` takes. It is read once.
            steps: How many batches are read; by default all.

        Raises:
            ArgumentError: The layer has `bin_boundaries` already, or the data are not numbers.
            DataError: There are no data.
        """
        if self.num_bins is None:
            raise ArgumentError(
                "The layer has `bin_boundaries` already, and so nothing to learn.",
                argument="bin_boundaries",
                expected="None, and `num_bins` in its place",
                fix="adapt nn.Discretization(num_bins=...)",
            )
        summary = Summary(self.epsilon)
        for x, _ in batches(data, steps):
            summary.add(x)
        return replace(self, bin_boundaries=summary.bins(self.num_bins), num_bins=None)

    def forward(self, s: Scope, x: Array) -> Array:
        if self.bin_boundaries is None:
            raise not_adapted(self, "its `bin_boundaries` are not known")
        found: Any
        if self.bin_boundaries:
            found = ops.cast(ops.searchsorted(_beside(x, self.bin_boundaries), x, side="right"), "int32")
            found = ops.where(x == x, found, len(self.bin_boundaries))
        else:
            found = ops.zeros_like(x, dtype="int32")
        return encoded(found, self.output_mode, len(self.bin_boundaries) + 1, _float(self))


def not_adapted(layer: Layer, what: str) -> ArgumentError:
    """The error about a layer that was never adapted. Keras's `adapt` changes the layer, and this one returns one."""
    return ArgumentError(
        f"The layer {type(layer).__name__} was not adapted: {what}.",
        argument="x",
        expected="a layer that `adapt` returned, or one that was given what it has to know",
        got="a layer as it was made",
        fix="write layer = layer.adapt(data): unlike in Keras, adapt returns a new layer, and changes nothing",
    )
