"""Activation functions, each elementwise unless it says along which axis it works."""

from __future__ import annotations

import math

from ..arrays import namespace
from ..transforms import stop_gradient
from ._op import op
from .special import erf

__all__ = [
    "elu",
    "gelu",
    "leaky_relu",
    "log_softmax",
    "logsumexp",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]


@op
def relu(x):
    """`max(x, 0)`, with gradient 0 at 0; NaN stays NaN."""
    xp = namespace(x)
    return xp.where(x <= 0, xp.zeros_like(x), x)


@op
def leaky_relu(x, negative_slope=0.2):
    """`x` where positive, else `negative_slope * x`."""
    return namespace(x).where(x <= 0, x * negative_slope, x)


@op
def elu(x, alpha=1.0):
    """`x` where positive, else `alpha * (exp(x) - 1)` (Clevert et al., arXiv:1511.07289)."""
    xp = namespace(x)
    # exp sees no positive number, so that its infinity never meets the zero gradient of the branch not taken.
    return xp.where(x <= 0, alpha * xp.expm1(xp.where(x <= 0, x, xp.zeros_like(x))), x)


@op
def sigmoid(x):
    """`1 / (1 + exp(-x))`, by the branch that cannot overflow."""
    xp = namespace(x)
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, xp.ones_like(e), e) / (1 + e)


@op
def tanh(x):
    """Hyperbolic tangent."""
    return namespace(x).tanh(x)


@op
def silu(x):
    """`x * sigmoid(x)` (swish; Ramachandran et al., arXiv:1710.05941)."""
    return x * sigmoid(x)


@op
def gelu(x, approximate=True):
    """Gaussian error linear unit (Hendrycks and Gimpel, arXiv:1606.08415); by tanh, or by erf if not `approximate`."""
    if approximate:
        return 0.5 * x * (1 + namespace(x).tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


@op
def softplus(x):
    """`log(1 + exp(x))`, without overflow."""
    xp = namespace(x)
    # At 0 both terms take the side of the negative numbers, so that the gradient there is 1/2.
    return relu(x) + xp.log1p(xp.exp(xp.where(x <= 0, x, -x)))


@op
def logsumexp(x, axis=-1, keepdims=False):
    """`log(sum(exp(x)))` along `axis`, without overflow."""
    xp = namespace(x)
    top = stop_gradient(xp.max(x, axis=axis, keepdims=True))
    # An infinite maximum would give inf - inf; the sum is then infinite all the same.
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    out = xp.log(xp.sum(xp.exp(x - top), axis=axis, keepdims=True)) + top
    return out if keepdims else xp.squeeze(out, axis=axis)


@op
def softmax(x, axis=-1):
    """`exp(x) / sum(exp(x))` along `axis`."""
    xp = namespace(x)
    e = xp.exp(x - stop_gradient(xp.max(x, axis=axis, keepdims=True)))
    return e / xp.sum(e, axis=axis, keepdims=True)


@op
def log_softmax(x, axis=-1):
    """`log(softmax(x))` along `axis`, without overflow."""
    xp = namespace(x)
    shifted = x - stop_gradient(xp.max(x, axis=axis, keepdims=True))
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))
