"""kfunc: functional deep learning on the Python Array API standard.

Layers are pure `init` and `apply` functions over trees of arrays. The backend is that of the arrays.
"""

from . import backends, data, errors, losses, metrics, nn, ops, optim, random, tree
from .arrays import Spec, asarray, backend_of, namespace, to_backend, to_numpy
from .errors import KfuncError
from .files import load, save
from .model import History, Model
from .registry import register
from .step import TrainState
from .transforms import cond, grad, jit, scan, stop_gradient, value_and_grad, vmap

__version__ = "0.1.0"

__all__ = [
    "History",
    "KfuncError",
    "Model",
    "Spec",
    "TrainState",
    "asarray",
    "backend_of",
    "backends",
    "cond",
    "data",
    "errors",
    "grad",
    "jit",
    "load",
    "losses",
    "metrics",
    "namespace",
    "nn",
    "ops",
    "optim",
    "random",
    "register",
    "save",
    "scan",
    "stop_gradient",
    "to_backend",
    "to_numpy",
    "tree",
    "value_and_grad",
    "vmap",
]
