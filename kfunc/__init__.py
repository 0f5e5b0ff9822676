"""kfunc: functional deep learning on the Python Array API standard.

Layers are pure `init` and `apply` functions over trees of arrays. The backend is that of the arrays.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from . import backends, callbacks, data, errors, interop, losses, metrics, nn, ops, optim, random, tree, utils
from .arrays import asarray, backend_of, namespace, to_backend, to_numpy
from .dataclasses import dataclass, replace
from .elsewhere import looked_up as _looked_up
from .errors import KfuncError
from .files import load, save
from .generation import generate
from .model import Model
from .registry import register
from .tracing.spec import Spec
from .training.checkpoints import Checkpoints
from .training.history import History
from .training.state import TrainState
from .transforms import (
    associative_scan,
    checkpoint,
    cond,
    custom_gradient,
    fori_loop,
    grad,
    jit,
    jvp,
    map,
    scan,
    stop_gradient,
    switch,
    value_and_grad,
    vjp,
    vmap,
    while_loop,
)

__version__ = "0.1.0"

if _TYPE_CHECKING:
    from . import datasets as datasets
    from . import models as models

__getattr__ = _looked_up(__name__, later=("datasets", "keras", "models"))

__all__ = [
    "Checkpoints",
    "History",
    "KfuncError",
    "Model",
    "Spec",
    "TrainState",
    "asarray",
    "associative_scan",
    "backend_of",
    "backends",
    "callbacks",
    "checkpoint",
    "cond",
    "custom_gradient",
    "data",
    "dataclass",
    "errors",
    "fori_loop",
    "generate",
    "grad",
    "interop",
    "jit",
    "jvp",
    "load",
    "losses",
    "map",
    "metrics",
    "namespace",
    "nn",
    "ops",
    "optim",
    "random",
    "register",
    "replace",
    "save",
    "scan",
    "stop_gradient",
    "switch",
    "to_backend",
    "to_numpy",
    "tree",
    "utils",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]
