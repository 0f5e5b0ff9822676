"""The same errors as on every backend: a call that fails is run again on `Spec`s, and their error is raised."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ... import tree
from ...errors import ArgumentError, KfuncError, ShapeError, UnsupportedError
from ...tracing.spec import Spec
from .array import Array

__all__ = ["explained"]


def explained(fun: Callable[..., Any], on_specs: Callable[..., Any]) -> Callable[..., Any]:
    """`fun`; where it fails and `on_specs` fails too, the error is that of `on_specs`."""

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
            except Exception:  # the fault depends on values
                raise error from None
            raise

    return call


def _as_spec(x: Any) -> Any:
    return Spec(x.shape, x.dtype) if isinstance(x, Array) else x
