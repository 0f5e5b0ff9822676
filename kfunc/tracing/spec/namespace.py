"""The Array API (2024.12) on Specs."""

from __future__ import annotations

import math

from ...backends.standard import STANDARD
from . import fft, linalg  # noqa: F401  (the standard's extensions)
from .creation import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .indexing import *  # noqa: F403
from .indexing import _getitem  # noqa: F401
from .inspection import *  # noqa: F403
from .linalg import matmul, matrix_transpose, tensordot, vecdot  # noqa: F401
from .manipulation import *  # noqa: F403
from .reductions import *  # noqa: F403

__array_api_version__ = "2024.12"

e: float
pi: float
inf: float
nan: float
newaxis: None
e, pi, inf, nan, newaxis = math.e, math.pi, math.inf, math.nan, None

# At the end, since `bool` is a dtype from here on.
globals().update({name: name for name in [*STANDARD, "float16", "bfloat16"]})
