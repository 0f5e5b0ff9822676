"""Linear maps by PyTorch's own kernel, or by oneDNN's where that one is faster."""

from __future__ import annotations

import functools
import platform
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from ... import ops
from ...ops._op import lowering
from .backend import backend
from .lowerings import PLAIN, on_host

_LARGE = 1 << 21
"""From so many multiplications on, oneDNN is faster, although the call of it takes longer."""


@lowering(backend, ops.linear)
def _linear(x, kernel, bias=None):
    if x.dtype is not kernel.dtype or (bias is not None and x.dtype is not bias.dtype):
        return NotImplemented  # arrays of two dtypes, such as float16 data: the kernel does not promote
    if x.dtype is not torch.float32 or not _is_large(x, kernel) or not _is_plain(x, kernel, bias) or not _prefers():
        return F.linear(x, kernel.T, bias)
    if torch.is_grad_enabled() and any([a is not None and a.requires_grad for a in (x, kernel, bias)]):
        return _Linear.apply(x, kernel, bias)
    return _mapped(x, kernel, bias)


def _is_large(x, kernel):
    # Where the batch is a symbol, torch.export would keep the answer as a bound on the batch.
    if torch.compiler.is_compiling() or type(x) not in PLAIN:
        return False
    return x.numel() * kernel.shape[-1] >= _LARGE


def _is_plain(*arrays):
    """Whether oneDNN's kernel can take these: plain arrays whose sizes fit, without autocast or forward mode."""
    given = [a for a in arrays if a is not None]
    return (
        on_host(*given)
        and not torch.is_autocast_enabled("cpu")
        and torch.autograd.forward_ad._current_level < 0
        and given[1].ndim == 2
        and given[0].shape[-1] == given[1].shape[0]
        and torch._C._get_mkldnn_enabled()
    )


@functools.cache
def _prefers():
    """Whether oneDNN is faster than PyTorch's choice, MKL: by 1.8 times on AMD, where MKL does not use AVX-512."""
    about = Path("/proc/cpuinfo")
    return (
        hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and "AuthenticAMD" in (about.read_text() if about.exists() else platform.processor())
    )


def _product(x, matrix, bias=None):
    """oneDNN's `x @ matrix.T + bias`, of float32 (rows, inputs), (units, inputs) and (units,), in any order of axes."""
    return torch.ops.mkldnn._linear_pointwise(x, matrix, bias, "none", [], "")


def _mapped(x, kernel, bias):
    return _product(x.reshape(-1, x.shape[-1]), kernel.T, bias).reshape(*x.shape[:-1], kernel.shape[1])


class _Linear(torch.autograd.Function):
    """`_mapped` with gradients: (..., inputs), (inputs, units), (units,) or None."""

    @staticmethod
    def forward(ctx: Any, x: Any, kernel: Any, bias: Any) -> Any:
        ctx.save_for_backward(x, kernel)
        return _mapped(x, kernel, bias)

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        x, kernel = ctx.saved_tensors
        rows, upstream = x.reshape(-1, x.shape[-1]), upstream.reshape(-1, kernel.shape[1])
        # oneDNN's product has no gradient, so it cannot be used where these gradients are differentiated again.
        product = F.linear if torch.is_grad_enabled() else _product
        of_x, of_kernel, of_bias = ctx.needs_input_grad
        return (
            product(upstream, kernel).reshape(x.shape) if of_x else None,
            product(rows.T, upstream.T) if of_kernel else None,
            upstream.sum(0) if of_bias else None,
        )
