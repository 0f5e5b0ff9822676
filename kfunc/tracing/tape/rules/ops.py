"""Rules of ops of ours whose reference would be slow or inexact to differentiate; all arguments by position."""

from __future__ import annotations

import math
from typing import Any

from ....ops.segment import gather_segments
from .reductions import kept

__all__ = ["OP_RULES"]


def _softmax(xp, g, out, x, axis):
    weighted = g * out
    return weighted - out * xp.sum(weighted, axis=axis, keepdims=True)


def _erf_inv(xp, g, out, x):
    return g * (xp.exp(out * out) * (math.sqrt(math.pi) / 2))


OP_RULES: dict[str, Any] = {
    "erf": (lambda xp, g, out, x: g * (xp.exp(-x * x) * (2 / math.sqrt(math.pi))),),
    "erfc": (lambda xp, g, out, x: g * (xp.exp(-x * x) * (-2 / math.sqrt(math.pi))),),
    "erfinv": (_erf_inv,),
    "log_softmax": (
        lambda xp, g, out, x, axis: g - xp.exp(out) * xp.sum(g, axis=axis, keepdims=True),
        None,
    ),
    "logsumexp": (
        lambda xp, g, out, x, axis, keepdims: kept(xp, g, x, axis) * xp.exp(x - kept(xp, out, x, axis)),
        None,
        None,
    ),
    "relu": (lambda xp, g, out, x: xp.where(x <= 0, xp.zeros_like(g), g),),
    "segment_sum": (lambda xp, g, out, x, ids, size, sorted: gather_segments(g, ids), None, None, None),
    "sigmoid": (lambda xp, g, out, x: g * (out * (1 - out)),),
    "softmax": (_softmax, None),
    "tanh": (lambda xp, g, out, x: g * (1 - out * out),),
}
