"""The class of the NumPy arrays that creation ops make, where nothing else says on which backend an array shall be."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import tree
from ..constants import join
from ..registry import kind_of
from ..standard import dtype_name

__all__ = ["Constant", "constant"]


class Constant(np.ndarray):
    """A NumPy array that PyTorch's operators and functions take, as those of other frameworks take any NumPy array.

    Without it, `x + ops.arange(3)` has no gradient for a PyTorch tensor `x`, and is float64 where none is asked for.
    PyTorch calls `__torch_function__` wherever it meets an object that has one.
    """

    # A plain array and a constant give a plain array, so that data never become constants.
    __array_priority__ = -1.0

    def __array_wrap__(self, x: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return x[()] if return_scalar else super().__array_wrap__(x, context)

    @classmethod
    def __torch_function__(cls, fun: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = args, kwargs or {}
        kinds = [(x, kind_of(type(x))) for x in tree.leaves(given)]
        arrays = [(x, kind) for x, kind in kinds if kind is not None and not kind.backend.joins]
        dtypes = tuple([dtype_name(x.dtype) for x, _ in arrays])

        def argument(x: Any) -> Any:
            if not isinstance(x, cls):
                return x
            return join(x, arrays[0][1], arrays[0][0], dtypes) if arrays else np.asarray(x)

        args, kwargs = tree.map(argument, given)
        return fun(*args, **kwargs)


def _in_place(name: str) -> Callable[[Any, Any], Any]:
    """An operator such as `c += x`. Where `x` belongs to another backend, it makes a new array."""
    write, new = getattr(np.ndarray, f"__i{name}__"), getattr(operator, f"__{name}__")

    def run(self: Constant, other: Any) -> Any:
        kind = kind_of(type(other))
        return write(self, other) if kind is None or kind.backend.joins else new(self, other)

    return run


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
    setattr(Constant, f"__i{_name}__", _in_place(_name))


def constant(x: Any) -> Any:
    """The NumPy array `x` as a constant; a number stays as it is."""
    return x.view(Constant) if isinstance(x, np.ndarray) else x
