"""Optimizers: gradient transformations with optax's protocol, and learning-rate schedules."""

from .adaptive import *
from .base import GradientTransformation as GradientTransformation
from .base import apply_updates as apply_updates
from .base import chain as chain
from .base import global_norm as global_norm
from .first_order import *
from .matrix import *
from .optimizer import Optimizer as Optimizer
from .schedules import *
from .transformations import *
from .wrappers import *
