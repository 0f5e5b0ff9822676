"""The Array API standard's linear algebra extension for PyTorch: array_api_compat's, for all integers too."""

from __future__ import annotations

from typing import Any

import array_api_compat.torch.linalg as _compat
import torch as _torch

from ...arrays import namespace as _namespace
from .. import adjoints as _adjoints
from .. import composed as _composed
from .. import results as _results
from .dtypes import WIDE_UNSIGNED as _WIDE_UNSIGNED
from .dtypes import result_type as _result_type
from .levels import in_functorch as _in_functorch
from .levels import unwrapped as _unwrapped
from .reductions import sum as _sum

globals().update({name: getattr(_compat, name) for name in dir(_compat) if not name.startswith("_")})


def _product(fun, x1, x2, **kwargs):
    """`fun` of two arrays in the standard's common dtype; in int64, which has the same bits, for unsigned integers."""
    dtype = _result_type(x1, x2)
    small = dtype in _WIDE_UNSIGNED
    x1, x2 = (x.to(_torch.int64 if small else dtype) for x in (x1, x2))
    out = fun(x1, x2, **kwargs)
    return out.to(dtype) if small else out


def matmul(x1: Any, x2: Any, /) -> Any:
    return _product(_torch.matmul, x1, x2)


def outer(x1: Any, x2: Any, /) -> Any:
    return _product(_torch.outer, x1, x2)


def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    first, second = (range(-axes, 0), range(axes)) if isinstance(axes, int) else axes
    # Torch repeats an axis of size 1.
    if [x1.shape[a] for a in first] != [x2.shape[a] for a in second]:
        raise ValueError(f"tensordot: shapes {tuple(x1.shape)} and {tuple(x2.shape)} do not fit together.")
    return _product(_compat.tensordot, x1, x2, axes=axes)


def vecdot(x1: Any, x2: Any, /, *, axis: Any = -1) -> Any:
    return _product(_compat.vecdot, x1, x2, axis=axis)


def cross(x1: Any, x2: Any, /, *, axis: Any = -1) -> Any:
    return _product(_compat.cross, x1, x2, axis=axis)


def _differentiated(x):
    """Whether there is a derivative, and it can be chosen by values.

    In a compiled function it cannot be chosen: Dynamo does not know values, and leaves out the derivative of an
    `autograd.Function`. There it is torch's own, which is NaN for vectors of equal values.
    """
    if _torch.compiler.is_compiling():
        return False
    return _in_functorch() or (x.requires_grad and _torch.is_grad_enabled())


def _holds(mask):
    return bool(_unwrapped(mask.detach()).any())


def _equal_neighbours(x):
    return x[..., 1:] == x[..., :-1]


def det(x: Any, /) -> Any:
    out = _compat.det(x)
    if x.is_complex() or not (_differentiated(x) and _holds(singular := out == 0)):
        return out
    # Torch moves a singular matrix a little before it inverts it, and then finds no gradient.
    eye = _torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    regular = _compat.det(_torch.where(singular[..., None, None], eye, x))
    return _torch.where(singular, _composed.det(x, _torch.detach(x), singular), regular)


def _by_own_cotangents(kernel, cotangent):
    """`kernel`, a decomposition, with a derivative of `adjoints`; torch's own is NaN where values are equal."""

    class Decomposition(_torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x: Any) -> Any:
            return tuple(kernel(x))

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs, *output)

        @staticmethod
        def backward(ctx: Any, *upstream: Any) -> Any:
            x, *outs = ctx.saved_tensors
            return cotangent(_namespace(x), upstream, outs, x)

    return Decomposition.apply


_slogdet = _by_own_cotangents(_compat.slogdet, _adjoints.slogdet)
_eigh = _by_own_cotangents(_compat.eigh, _adjoints.eigh)
_svd = _by_own_cotangents(lambda x: _compat.svd(x, full_matrices=False), _adjoints.svd)


def slogdet(x: Any, /) -> Any:
    out = _compat.slogdet(x)
    return _results.Slogdet(*_slogdet(x)) if _differentiated(x) and _holds(out[1] == -_torch.inf) else out


def eigh(x: Any, /) -> Any:
    out = _compat.eigh(x)
    return _results.Eigh(*_eigh(x)) if _differentiated(x) and _holds(_equal_neighbours(out[0])) else out


def svd(x: Any, /, *, full_matrices: bool = True) -> Any:
    out = _compat.svd(x, full_matrices=full_matrices)
    square = x.shape[-2] == x.shape[-1]
    own = (square or not full_matrices) and _differentiated(x) and _holds(_equal_neighbours(out[1]))
    return _results.SVD(*_svd(x)) if own else out


def trace(x: Any, /, *, offset: Any = 0, dtype: Any = None) -> Any:
    return _sum(_compat.diagonal(x, offset=offset), axis=-1, dtype=dtype)
