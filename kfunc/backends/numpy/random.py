"""Random numbers on NumPy: Threefry in place, and the quantile function block by block."""

from __future__ import annotations

from ...ops._op import lowering
from ...ops.bits import fold_bits, random_bits
from ...ops.quantile import normal_quantile
from .. import _threefry
from . import backend

__all__: list[str] = []

lowering(backend, random_bits)(_threefry.random_bits)
lowering(backend, fold_bits)(_threefry.fold_bits)
lowering(backend, normal_quantile)(_threefry.normal_quantile)
