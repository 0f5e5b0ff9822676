"""PyTorch: array_api_compat's namespace with some functions replaced, autograd, `torch.compile`, and fused kernels."""

from __future__ import annotations

from . import (  # noqa: F401  (they register)
    activation,
    algebra,
    linear,
    lowerings,
    modules,
    random,
    segments,
    standard,
    windows,
)
from .backend import TorchBackend, backend

__all__ = ["TorchBackend", "backend"]
