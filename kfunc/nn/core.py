"""Layers without weights: `Identity`, `Masking`, `Lambda` and `ActivityRegularization`."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from .. import checks, ops, registry
from ..arrays import asarray, device, namespace
from ..errors import ArgumentError, ShapeError, shown
from ..typing import Array, Shape
from .layer import Layer, layer
from .regularizers import L1L2
from .scope import Scope

__all__ = ["ActivityRegularization", "Identity", "Lambda", "Masking"]


@layer
class Identity(Layer):
    """`x` itself, unchanged: an array of any shape, or a tree of arrays."""

    supports_masking: ClassVar[bool] = True

    def forward(self, s: Scope, x: Array) -> Array:
        return x


@layer
class Masking(Layer):
    """Mask the steps without data: (batch, steps, features) to the same shape.

    A step is masked, and becomes 0, if all its features are equal to `mask_value`.

    Args:
        mask_value: A number.
    """

    mask_value: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.mask_value, bool) or not isinstance(self.mask_value, int | float):
            raise ArgumentError.must_be("mask_value", "a number", self.mask_value)

    def forward(self, s: Scope, x: Array) -> Array:
        checks.rank("x", x, 2, least=True)
        xp = namespace(x)
        some = xp.any(ops.not_equal(x, float(self.mask_value)), axis=-1, keepdims=True)
        s.hand_on(xp.squeeze(some, axis=-1))
        return xp.where(some, x, xp.zeros_like(x))


@layer
class Lambda(Layer):
    """`function(x, **arguments)`. The function also gets `mask` and `training` if it takes these arguments.

    The shapes are those of `function`. A file holds names and no code. To save a network, register its functions with
    `kfunc.register("activation")`.

    Args:
        function: A function of conforming arrays, or the name of a registered function.
        output_shape: The shape of the output without the batch, or a function from the shape of the input to that of
            the output, both with the batch. It is not needed, but if it is given, it is checked.
        mask: The mask to hand on: booleans, or a function `(x, mask) -> mask`. None hands on no mask.
        arguments: More arguments for `function`, by name.
    """

    per_sample: ClassVar[bool] = False

    function: str | Callable[..., Any]
    output_shape: Sequence[int | None] | Callable[[Shape], Shape] | None = None
    mask: Array | Callable[[Array, Array], Array] | None = None
    arguments: dict[str, Any] | None = None
    _takes: frozenset[str] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        for argument in ("function", "output_shape", "mask"):
            if isinstance(getattr(self, argument), str):
                object.__setattr__(self, argument, registry.resolve("activation", getattr(self, argument), argument))
        if not callable(self.function):
            raise ArgumentError.must_be("function", "a function or the name of a registered one", self.function)
        if not (
            self.output_shape is None or callable(self.output_shape) or isinstance(self.output_shape, list | tuple)
        ):
            raise ArgumentError.must_be("output_shape", "a tuple, a function or None", self.output_shape)
        if self.mask is not None and not callable(self.mask):
            object.__setattr__(self, "mask", asarray(self.mask).tolist())
        if self.arguments is not None and not isinstance(self.arguments, dict):
            raise ArgumentError.must_be("arguments", "a dict", self.arguments)
        try:  # not in forward, since Dynamo cannot read signatures
            takes = frozenset(inspect.signature(self.function).parameters) & {"mask", "training"}
        except (TypeError, ValueError):
            takes = frozenset()
        object.__setattr__(self, "_takes", takes)

    def forward(self, s: Scope, x: Array, mask: Array | None = None) -> Array:
        given = {"mask": mask, "training": s.train}
        function: Any = self.function
        out = function(x, **(self.arguments or {}), **{name: given[name] for name in sorted(self._takes)})
        if self.output_shape is not None and s.initializing:
            self._check_shape(x, out)
        if callable(self.mask):
            s.hand_on(self.mask(x, mask))
        elif self.mask is not None:
            xp = namespace(out)
            s.hand_on(xp.asarray(self.mask, dtype=xp.bool, device=device(out)))
        return out

    def _check_shape(self, x: Any, out: Any) -> None:
        given: Any = self.output_shape
        wanted = given(tuple(x.shape)) if callable(given) else (None, *given)
        if len(wanted) != out.ndim or any(n not in (None, m) for n, m in zip(wanted, out.shape, strict=True)):
            raise ShapeError(
                f"`output_shape` says {tuple(wanted)}, and the function returned {tuple(out.shape)}.",
                argument="output_shape",
                expected=tuple(wanted),
                got=tuple(out.shape),
            )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for argument in ("function", "output_shape", "mask"):
            value = config[argument]
            if callable(value):
                try:
                    registry.to_config("activation", value)
                except ArgumentError as error:
                    raise ArgumentError(
                        f"`{argument}` cannot be saved: {shown(value)} is not registered, and a file holds no code.",
                        argument=argument,
                        expected="a registered function",
                        got=repr(value),
                        fix='register it where it is defined: @kfunc.register("activation")',
                    ) from error
        return config


@layer
class ActivityRegularization(Layer):
    """`x` itself, of any shape. It adds `(l1 * sum(|x|) + l2 * sum(x**2)) / batch` to the loss.

    Args:
        l1, l2: The factors, not negative.
    """

    supports_masking: ClassVar[bool] = True

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "activity_regularizer", L1L2(self.l1, self.l2))
        super().__post_init__()

    def forward(self, s: Scope, x: Array) -> Array:
        return x
