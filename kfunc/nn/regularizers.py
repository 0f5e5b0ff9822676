"""Regularizers: functions from a parameter or an output to an array (), which is added to the loss.

They have Keras's names. Any such function is a regularizer.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from .. import checks, ops
from ..arrays import namespace, native
from ..dataclasses import dataclass
from ..ops.normalization import wide
from ..registry import configs, register, resolve
from ..typing import Array, RegularizerLike

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "deserialize",
    "get",
    "l1",
    "l1_l2",
    "l2",
    "orthogonal_regularizer",
    "serialize",
]

C = TypeVar("C", bound=type)


@typing.dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def _regularizer(*names: str) -> Callable[[C], C]:
    def decorate(cls: C) -> C:
        cls.__call__ = native(cls.__call__)  # type: ignore[method-assign]
        return register("regularizer", cls.__name__, *names)(dataclass(cls))

    return decorate


def _factor(self: Any, argument: str, default: float) -> None:
    """Check a field. None means the default, as in Keras."""
    value = getattr(self, argument)
    object.__setattr__(self, argument, default if value is None else checks.number(argument, value, least=0))


@_regularizer("l1_l2", "l1l2")
class L1L2:
    """`l1 * sum(|x|) + l2 * sum(x**2)`: an array () in the dtype of `x`, or in float32 for half precision.

    Args:
        l1, l2: The factors, not negative.
    """

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        _factor(self, "l1", 0.0)
        _factor(self, "l2", 0.0)

    def __call__(self, x: Any) -> Any:
        x, _ = wide(x)
        xp = namespace(x)
        parts = []
        if self.l1 or not self.l2:
            parts.append(xp.sum(xp.abs(x)) * self.l1)
        if self.l2:
            parts.append(xp.sum(x * x) * self.l2)
        return sum(parts[1:], start=parts[0])


@_regularizer("l1")
class L1:
    """`l1 * sum(|x|)`: an array ().

    Args:
        l1: The factor, not negative.
    """

    l1: float = 0.01

    def __post_init__(self) -> None:
        _factor(self, "l1", 0.01)

    def __call__(self, x: Any) -> Any:
        return L1L2(l1=self.l1)(x)


@_regularizer("l2")
class L2:
    """`l2 * sum(x**2)`: an array ().

    Args:
        l2: The factor, not negative.
    """

    l2: float = 0.01

    def __post_init__(self) -> None:
        _factor(self, "l2", 0.01)

    def __call__(self, x: Any) -> Any:
        return L1L2(l2=self.l2)(x)


@_regularizer("orthogonal_regularizer")
class OrthogonalRegularizer:
    """`factor` times the mean of `|cos|` of the angles between different rows, or columns, of a matrix: an array ().

    Args:
        factor: A number.
        mode: "rows" or "columns".
    """

    factor: float = 0.01
    mode: str = "rows"

    def __post_init__(self) -> None:
        checks.number("factor", self.factor, least=0)
        checks.one_of("mode", self.mode, ("rows", "columns"))

    def __call__(self, x: Any) -> Any:
        checks.rank("x", x, 2)
        x, _ = wide(x)
        xp = namespace(x)
        x = x if self.mode == "rows" else xp.matrix_transpose(x)
        x = ops.normalize(x, axis=1)
        n = x.shape[0]
        products = xp.abs(xp.matmul(x, xp.matrix_transpose(x)))
        between = products * (1 - xp.eye(n, dtype=x.dtype))
        return xp.sum(between) * (self.factor * 0.5 / max(n * (n - 1) / 2, 1))


l1 = L1
l2 = L2
l1_l2 = L1L2
orthogonal_regularizer = OrthogonalRegularizer


def get(regularizer: RegularizerLike) -> Callable[[Array], Array] | None:
    """The regularizer that `regularizer` stands for: a name, a config, a function, or None."""
    return None if regularizer is None else resolve("regularizer", regularizer)


class Regularizer:
    """Base of regularizers of your own, as Keras has it. Any function from an array to an array () is one, too.

    Register the class, `@kf.register("regularizer")`, so that files can name it.
    """

    def __call__(self, x: Array) -> Array:
        """The loss of a parameter or of an output: an array ()."""
        raise NotImplementedError(f"{type(self).__name__} defines no __call__(self, x).")

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an object like this one."""
        return {}


serialize, deserialize = configs("regularizer")
