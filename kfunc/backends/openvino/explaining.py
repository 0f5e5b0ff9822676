"""Errors that are worded as everywhere: a call that fails is run again on shapes and dtypes alone, which say why."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ... import tree
from ...errors import ArgumentError, KfuncError, ShapeError, UnsupportedError
from ...tracing.spec import Spec
from .array import Array

__all__ = ["explained"]


def explained(fun: Callable, on_specs: Callable) -> Callable:
    """`fun`, whose errors are those of `on_specs` where that fails too."""

    @functools.wraps(fun)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return fun(*args, **kwargs)
        except UnsupportedError:
            raise
        except (KfuncError, ArithmeticError, IndexError, RuntimeError, TypeError, ValueError) as error:
            try:
                on_specs(*tree.map(_as_spec, args), **tree.map(_as_spec, kwargs))
            except (ArgumentError, ShapeError) as better:
                raise better from error
            except Exception:  # it takes values to know
                raise error from None
            raise

    return call


def _as_spec(x: Any) -> Any:
    return Spec(x.shape, x.dtype) if isinstance(x, Array) else x
