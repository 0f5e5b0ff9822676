"""Constraints: functions that turn a parameter into the nearest value that is allowed, after each update.

They have Keras's names. Any function from an array to an array of the same shape is a constraint.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .. import checks, tree
from ..arrays import namespace, native
from ..dataclasses import dataclass
from ..ops._promotion import in_single
from ..ops.crossentropy import EPSILON
from ..registry import configs, register, resolve
from ..typing import Array, Axes, ConstraintLike, Tree

__all__ = [
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "constrain",
    "deserialize",
    "get",
    "max_norm",
    "min_max_norm",
    "non_neg",
    "serialize",
    "unit_norm",
]

C = TypeVar("C", bound=type)


@typing.dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def _constraint(*names: str) -> Callable[[C], C]:
    def decorate(cls: C) -> C:
        cls.__call__ = native(in_single(cls.__call__))  # type: ignore[method-assign]
        return register("constraint", cls.__name__, *names)(dataclass(cls))

    return decorate


def _axes(self: Any) -> None:
    """Check the field `axis`; several axes are kept as a tuple."""
    axis = self.axis
    for a in axis if isinstance(axis, list | tuple) else (axis,):
        checks.integer("axis", a)
    object.__setattr__(self, "axis", tuple(axis) if isinstance(axis, list) else axis)


def _norm(x: Any, axis: Axes) -> Any:
    xp = namespace(x)
    return xp.sqrt(xp.sum(x * x, axis=axis, keepdims=True))


@_constraint("max_norm")
class MaxNorm:
    """Vectors along `axis` are scaled down to the norm `max_value` if their norm is larger.

    Args:
        max_value: The largest norm.
        axis: An integer, or several. Use 0 for a kernel (inputs, outputs), and (0, 1, 2) for a kernel of a convolution,
            (height, width, inputs, outputs).
    """

    max_value: float = 2
    axis: Axes = 0

    def __post_init__(self) -> None:
        checks.number("max_value", self.max_value, least=0)
        _axes(self)

    def __call__(self, x: Any) -> Any:
        norm = _norm(x, self.axis)
        return x * (namespace(x).clip(norm, 0, self.max_value) / (norm + EPSILON))


@_constraint("non_neg")
class NonNeg:
    """Negative numbers are replaced by 0."""

    def __call__(self, x: Any) -> Any:
        xp = namespace(x)
        return xp.where(x >= 0, x, xp.zeros_like(x))


@_constraint("unit_norm")
class UnitNorm:
    """Vectors along `axis` are scaled to the norm 1.

    Args:
        axis: As for `MaxNorm`.
    """

    axis: Axes = 0

    def __post_init__(self) -> None:
        _axes(self)

    def __call__(self, x: Any) -> Any:
        return x / (_norm(x, self.axis) + EPSILON)


@_constraint("min_max_norm")
class MinMaxNorm:
    """Vectors along `axis` are scaled to a norm between `min_value` and `max_value`.

    Args:
        min_value, max_value: The smallest and the largest norm.
        rate: How far the norm moves into the range at each update, in [0, 1]; 1 is all the way.
        axis: As for `MaxNorm`.
    """

    min_value: float = 0.0
    max_value: float = 1.0
    rate: float = 1.0
    axis: Axes = 0

    def __post_init__(self) -> None:
        checks.number("max_value", self.max_value, least=checks.number("min_value", self.min_value, least=0))
        checks.probability("rate", self.rate, one=True)
        _axes(self)

    def __call__(self, x: Any) -> Any:
        norm = _norm(x, self.axis)
        wanted = namespace(x).clip(norm, self.min_value, self.max_value)
        return x * ((wanted * self.rate + norm * (1 - self.rate)) / (norm + EPSILON))


max_norm = MaxNorm
non_neg = NonNeg
unit_norm = UnitNorm
min_max_norm = MinMaxNorm


def get(constraint: ConstraintLike) -> Callable[[Array], Array] | None:
    """The constraint that `constraint` stands for: a name, a config, a function, or None."""
    return None if constraint is None else resolve("constraint", constraint)


@native
def constrain(params: Tree, constraints: Mapping[str, Callable[[Array], Array]]) -> Any:
    """The parameters after their constraints, from `Layer.constraints`. Training calls it after each update."""
    if not constraints:
        return params
    leaves, structure = tree.flatten(params)
    paths = tree.paths(params)
    return tree.unflatten(
        structure, [constraints[p](x) if p in constraints else x for p, x in zip(paths, leaves, strict=True)]
    )


class Constraint:
    """Base of constraints of your own, as Keras has it. Any function of an array that keeps its shape is one, too.

    Register the class, `@kf.register("constraint")`, so that files can name it.
    """

    def __call__(self, w: Array) -> Array:
        """The nearest value that is allowed, an array of the same shape and dtype."""
        raise NotImplementedError(f"{type(self).__name__} defines no __call__(self, w).")

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an object like this one."""
        return {}


serialize, deserialize = configs("constraint")
