"""The Array API standard, 2024.12, for TensorFlow.

The functions take Arrays, tensors or variables, and return Arrays.
"""

from __future__ import annotations

import math

import tensorflow as tf

from . import fft, linalg  # noqa: F401  (the standard's extensions)
from .creation import *  # noqa: F403
from .dtypes import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .indexing import *  # noqa: F403
from .inspection import *  # noqa: F403
from .linalg import tensordot, vecdot  # noqa: F401
from .manipulation import *  # noqa: F403
from .reductions import *  # noqa: F403
from .sorting import *  # noqa: F403

__array_api_version__ = "2024.12"

e: float
pi: float
inf: float
nan: float
newaxis: None
e, pi, inf, nan, newaxis = math.e, math.pi, math.inf, math.nan, None

bool = tf.bool
