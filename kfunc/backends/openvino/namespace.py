"""The Array API (2024.12) on graphs of OpenVINO operations, gathered from its themes.

Floating point is computed in 32 bits and integers in 32 bits, whatever their dtype says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..standard import add_operators
from .array import Array
from .casting import *  # noqa: F403
from .casting import OPERANDS
from .creation import *  # noqa: F403
from .dtypes import *  # noqa: F403
from .dtypes import BOOL
from .elementwise import *  # noqa: F403
from .indexing import *  # noqa: F403
from .indexing import getitem
from .linalg import *  # noqa: F403
from .manipulation import *  # noqa: F403
from .reductions import *  # noqa: F403
from .sorting import *  # noqa: F403

__array_api_version__ = "2024.12"

e, inf, nan, newaxis, pi = math.e, math.inf, math.nan, None, math.pi


def _operator(name: str, reflected: bool = False) -> Callable:
    fun = globals()[name]

    def operator(self: Array, other: Any) -> Any:
        if not isinstance(other, OPERANDS):
            return NotImplemented
        return fun(other, self) if reflected else fun(self, other)

    return operator


add_operators(Array, globals().__getitem__, _operator)
Array.__getitem__ = getitem

bool = BOOL
