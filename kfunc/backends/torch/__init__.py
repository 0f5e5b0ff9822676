"""PyTorch: array_api_compat's namespace with some functions replaced, autograd, `torch.compile`, and fused kernels."""

from __future__ import annotations

from . import activation, algebra, linear, lowerings, random, segments, standard, windows  # noqa: F401  (they register)
from .backend import TorchBackend, backend

__all__ = ["TorchBackend", "backend"]
