"""kfunc: functional deep learning on the Python Array API standard."""

from . import ops, tree
from .arrays import Spec, asarray, backend_of, namespace, to_backend, to_numpy
from .errors import KfuncError
from .transforms import cond, grad, jit, scan, stop_gradient, value_and_grad, vmap
