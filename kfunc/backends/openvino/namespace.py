"""The Array API (2024.12) on graphs of OpenVINO operations.

Floating-point numbers and integers are computed in 32 bits, also those of 64-bit dtypes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import FunctionType
from typing import Any

from ...tracing.spec import Spec
from ...tracing.spec import namespace as spec
from ..constants import joined
from ..standard import add_operators
from . import fft, linalg
from .array import Array
from .casting import *  # noqa: F403
from .casting import OPERANDS
from .creation import *  # noqa: F403
from .dtypes import *  # noqa: F403
from .dtypes import BOOL
from .dynamic import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .explaining import explained
from .indexing import *  # noqa: F403
from .indexing import getitem
from .linalg import matmul, matrix_transpose, tensordot, vecdot  # noqa: F401
from .manipulation import *  # noqa: F403
from .reductions import *  # noqa: F403
from .sorting import *  # noqa: F403

__array_api_version__ = "2024.12"

e: float
inf: float
nan: float
newaxis: None
pi: float
e, inf, nan, newaxis, pi = math.e, math.inf, math.nan, None, math.pi


def _explain(functions: dict[str, Any], on_specs: Any) -> None:
    for name, fun in functions.items():
        if isinstance(fun, FunctionType) and hasattr(on_specs, name):
            functions[name] = explained(fun, getattr(on_specs, name))


_explain(globals(), spec)
_explain(vars(linalg), spec.linalg)
_explain(vars(fft), spec.fft)


def _operator(name: str, reflected: bool = False) -> Callable:
    fun = globals()[name]

    def operator(self: Array, other: Any) -> Any:
        other = joined(other, self)
        if not isinstance(other, OPERANDS):
            return NotImplemented
        return fun(other, self) if reflected else fun(self, other)

    return operator


add_operators(Array, globals().__getitem__, _operator)
Array.__getitem__ = explained(getitem, Spec.__getitem__)

bool = BOOL
