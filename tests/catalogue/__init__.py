"""Rows of the table that `test_catalogue` drives, a module a theme: one row is one object, and what it is given.

The object is described once, and built alike from Keras's classes and from ours; Keras, in float64 and with the same
weights, is the oracle of the values, the gradients, the new state, the auxiliary losses and the mask.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import operator
from typing import Any

__all__ = ["New", "Row", "call", "initializer", "layer", "metric", "optimizer"]


class New:
    """A class of Keras and of ours, and its arguments: `New("Dense", 5)`, `New("regularizers.L2", 0.1)`.

    Names without a dot are layers. A function with arguments stands for itself with these.
    """

    def __init__(self, name: str, /, *args: Any, **kwargs: Any):
        self.name, self.args, self.kwargs = name, args, kwargs

    def __repr__(self) -> str:
        parts = [*map(repr, self.args), *(f"{k}={v!r}" for k, v in self.kwargs.items())]
        return f"{self.name}({', '.join(parts)})"

    def build(self, modules: dict[str, Any]) -> Any:
        """The object, from `modules`: Keras's or ours by the names of Keras's."""
        theme, _, name = self.name.rpartition(".")
        found = operator.attrgetter(name)(modules[theme or "layers"])
        args, kwargs = (_built(part, modules) for part in (list(self.args), self.kwargs))

        makes = inspect.isclass(found) or theme in _MADE
        return found(*args, **kwargs) if makes else functools.partial(found, *args, **kwargs)


_MADE = ("optimizers",)
"""Themes whose names are functions that make something in ours."""


def _built(x: Any, modules: dict[str, Any]) -> Any:
    if isinstance(x, New):
        return x.build(modules)
    if isinstance(x, list | tuple):
        return type(x)(_built(part, modules) for part in x)
    return {k: _built(v, modules) for k, v in x.items()} if isinstance(x, dict) else x


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """One object of the catalogue, and one use of it.

    Attributes:
        kind: "layer", "call", "metric", "optimizer" or "initializer": what is done with it.
        new: How it is made.
        args, options: What it is given; arrays are NumPy's, of at most 32 bits.
        train: Whether layers run as in training; then the new state is compared, too.
        n: Length of the longest sum behind one number of the result: tolerances grow by its square root.
        condition: By how much it magnifies the relative rounding of its arguments; say why beside it.
        grad: Whether gradients are compared; else why not.
        jit: Whether it is compiled; else why not.
        openvino: Whether OpenVINO runs it; else why not: it then raises an UnsupportedError.
        note: What tells it from the other rows of its class.
    """

    kind: str
    new: New
    args: tuple
    options: dict[str, Any]
    train: bool = False
    n: int = 1
    condition: float = 1
    grad: bool | str = True
    jit: bool | str = True
    openvino: bool | str = True
    note: str = ""


def layer(new: New, *inputs: Any, options: dict[str, Any] | None = None, **settings: Any) -> Row:
    """`layer(*inputs, **options)`."""
    return Row("layer", new, inputs, options or {}, **settings)


def call(new: New, *args: Any, options: dict[str, Any] | None = None, **settings: Any) -> Row:
    """An object or a function that is called: a loss, regularizer, constraint, schedule, activation."""
    return Row("call", new, args, options or {}, **settings)


def metric(new: New, *batches: tuple, **settings: Any) -> Row:
    """A metric that sees `batches`, each (y_true, y_pred) or (y_true, y_pred, sample_weight)."""
    return Row("metric", new, batches, {}, grad="a count", **settings)


def optimizer(new: New, params: dict[str, Any], *gradients: dict[str, Any], **settings: Any) -> Row:
    """An optimizer that starts at `params` and sees `gradients`, one after another."""
    return Row("optimizer", new, (params, *gradients), {}, grad="it is no function of anything", **settings)


def initializer(new: New, shape: tuple[int, ...], **settings: Any) -> Row:
    """An initializer that draws nothing."""
    return Row("initializer", new, (shape,), {}, grad="it has no arguments", **settings)
