"""Layers that multiply by a learned matrix: `Dense`, and `EinsumDense` for axes of any number and order."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any, ClassVar

from .. import checks, ops, registry
from ..errors import ArgumentError, ShapeError, shown
from ..ops._promotion import beside
from ..typing import ActivationLike, Array, ConstraintLike, InitializerLike, RegularizerLike
from . import activations
from .layer import Layer, layer
from .scope import Scope

__all__ = ["Dense", "EinsumDense"]


@layer
class Dense(Layer):
    """`activation(x @ kernel + bias)`: (..., inputs) to (..., units).

    Args:
        units: The number of outputs.
    """

    supports_masking: ClassVar[bool] = True
    _positions: ClassVar[tuple[Any, ...]] = ("activity_regularizer", "kernel_constraint")

    units: int
    activation: ActivationLike = None
    use_bias: bool = True
    kernel_initializer: InitializerLike = "glorot_uniform"
    bias_initializer: InitializerLike = "zeros"
    kernel_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("units", self.units)

    def forward(self, s: Scope, x: Array) -> Array:
        checks.rank("x", x, 1, least=True)
        kernel = s.weight("kernel", (x.shape[-1], self.units))
        bias = s.weight("bias", (self.units,)) if self.use_bias else None
        return activations.get(self.activation, s)(ops.linear(beside(x, kernel), kernel, bias))


_EQUATION = re.compile(r"(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)(\.\.\.)?")


@layer
class EinsumDense(Layer):
    """`activation(einsum(equation, x, kernel) + bias)`: a dense layer between axes that the equation names.

    With the equation "abc,cd->abd": (batch, b, c) to (batch, b, d), for a kernel (c, d).

    Args:
        equation: The axes of the input, of the kernel and of the output, such as `"abc,cd->abd"`. "..." may stand for
            the first or the last axes of the input and of the output.
        output_shape: The sizes of the named axes of the output without the batch; None for the size in the input. The
            batch is the first named axis, unless "..." comes before it.
        bias_axes: The letters of the axes of the output along which the bias varies; None for no bias.
    """

    supports_masking: ClassVar[bool] = False

    equation: str
    output_shape: int | Sequence[int | None]
    activation: ActivationLike = None
    bias_axes: str | None = None
    kernel_initializer: InitializerLike = "glorot_uniform"
    bias_initializer: InitializerLike = "zeros"
    kernel_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None
    _terms: tuple[str, str, str, str, str] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        found = isinstance(self.equation, str) and _EQUATION.fullmatch(self.equation)
        if not found or found.group(1, 3) != found.group(5, 7) or None not in found.group(1, 3):
            raise ArgumentError(
                f"`equation` must be like 'ab,bc->ac' (input, kernel, output), got {shown(self.equation)}.",
                argument="equation",
                expected="'ab,bc->ac', '...b,bc->...c' or 'ab...,bc->ac...'",
                got=repr(self.equation),
            )
        before, inputs, after, kernel, _, outputs, _ = found.groups(default="")
        object.__setattr__(self, "_terms", (before, inputs, after, kernel, outputs))
        self._refuse_letters("equation", set(kernel) - set(inputs + outputs), self.equation)
        self._refuse_letters("equation", set(outputs) - set(inputs + kernel), self.equation)
        if self.bias_axes is not None and not (isinstance(self.bias_axes, str) and self.bias_axes):
            raise ArgumentError.must_be("bias_axes", "a string of letters or None", self.bias_axes)
        self._refuse_letters("bias_axes", set(self.bias_axes or "") - set(outputs), self.bias_axes)
        checks.sizes("output_shape", self._partial())

    def _refuse_letters(self, argument: str, letters: set[str], got: Any) -> None:
        if letters:
            raise ArgumentError(
                f"The size of the axes {', '.join(sorted(letters))} in `{argument}` cannot be found: {shown(got)}.",
                argument=argument,
                expected="letters of the input's or the output's axes",
                got=repr(got),
            )

    def _partial(self) -> tuple[int | None, ...]:
        one = isinstance(self.output_shape, int)
        return (self.output_shape,) if one else self.output_shape  # type: ignore[return-value]

    def _sizes(self, x: Any) -> tuple[dict[str, Any], int]:
        """The size of each letter, and the number of axes that "..." stands for."""
        before, inputs, after, _, outputs = self._terms
        hidden = x.ndim - len(inputs)
        if hidden < 0 or (hidden and not before + after):
            raise ShapeError(
                f"`x` has shape {tuple(x.shape)}, and the equation asks for the axes {before}{inputs}{after}.",
                argument="x",
                expected=f"the axes {before}{inputs}{after}",
                got=tuple(x.shape),
            )
        known = x.shape[hidden:] if before else x.shape[: len(inputs)]
        sizes: dict[str, Any] = dict(zip(inputs, known, strict=True))
        partial = self._partial()
        given = partial if before and len(partial) == len(outputs) else (None, *partial)
        if len(given) != len(outputs):
            raise ArgumentError(
                f"`output_shape` must have {len(outputs) - (not before)} sizes, got {shown(self.output_shape)}.",
                argument="output_shape",
                expected=f"{len(outputs) - (not before)} sizes",
                got=self.output_shape,
            )
        for letter, n in zip(outputs, given, strict=True):
            if n is not None and sizes.get(letter) not in (None, n):
                raise ShapeError(
                    f"The axis {letter!r} has the size {sizes[letter]} in the input, and {n} in `output_shape`.",
                    argument="output_shape",
                    expected=sizes[letter],
                    got=n,
                )
            sizes[letter] = sizes.get(letter) if n is None else n
        return sizes, hidden

    def forward(self, s: Scope, x: Array) -> Array:
        sizes, hidden = self._sizes(x)
        _, _, after, kernel, outputs = self._terms
        bias = None
        if self.bias_axes is not None:
            first = min([outputs.index(c) for c in self.bias_axes])
            bias = tuple(sizes[c] if c in self.bias_axes else 1 for c in outputs[first:])
            bias = (*bias, *(1,) * (hidden if after else 0))
        made = registry.resolve("initializer", self.kernel_initializer)
        if getattr(made, "input_axes", ()) is None and made.output_axes is None:
            # An initializer that depends on fan-in and fan-out cannot see from the shape which axes are inputs.
            outer = tuple(i for i, c in enumerate(kernel) if c in outputs)
            inner = tuple(i for i, c in enumerate(kernel) if c not in outputs)
            made = dataclasses.replace(made, input_axes=inner, output_axes=outer)
        w = s.weight("kernel", tuple(sizes[c] for c in kernel), initializer=made)
        y = ops.einsum(self.equation, x, w)
        return activations.get(self.activation, s)(y if bias is None else y + s.weight("bias", bias))
