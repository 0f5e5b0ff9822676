"""Optimizers: gradient transformations with optax's protocol, and learning-rate schedules."""

from typing import Any as _Any

from ..elsewhere import looked_up as _looked_up
from ..registry import configs as _configs
from ..registry import resolve as _resolve
from .adaptive import *
from .base import GradientTransformation as GradientTransformation
from .base import OptimizerLike as OptimizerLike
from .base import apply_updates as apply_updates
from .base import chain as chain
from .base import global_norm as global_norm
from .first_order import *
from .matrix import *
from .optimizer import Optimizer as Optimizer
from .schedules import *
from .transformations import *
from .wrappers import *

serialize, deserialize = _configs("optimizer")


def get(optimizer: OptimizerLike) -> _Any:
    """The optimizer that `optimizer` stands for: a name, a config, a class, or an optimizer.

    Raises:
        ArgumentError: No optimizer has that name.
    """
    return _resolve("optimizer", optimizer)


__getattr__ = _looked_up(__name__)
