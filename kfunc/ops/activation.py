"""Activation functions, each elementwise unless it says along which axis it works.

Integers are taken as float32, except by `relu`, `hard_tanh` and `threshold`, which keep them.

At infinity the functions have their limits, but for five: `silu`, `hard_silu`, `gelu` and `mish` are NaN at -inf,
`gelu` at inf, too, on PyTorch, and `softsign` at both. The kernels of all libraries do this; a test for infinities
would take another pass. The slopes of these five may be NaN there, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..arrays import namespace
from ..errors import ShapeError
from ..transforms import stop_gradient
from ..typing import Array
from ._axes import normal_axes, normal_axis
from ._op import op
from ._promotion import floating, kind, numeric
from .special import erf
from .standard import tanh

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "threshold",
]


# -- piecewise linear --------------------------------------------------------------------------------------------------


def _between(x, low, high):
    """`x` within [low, high], with gradient 0 at the ends and beyond; NaN stays NaN."""
    xp = namespace(x)
    return xp.where(x <= low, xp.full_like(x, low), xp.where(x >= high, xp.full_like(x, high), x))


@op(elementwise=True)
def relu(x: Array) -> Array:
    """`max(x, 0)`, with gradient 0 at 0; NaN stays NaN."""
    x = numeric(x)
    xp = namespace(x)
    return xp.where(x <= 0, xp.zeros_like(x), x)


@relu.tape_rule
def _relu_share(xp, g, out, x):
    return xp.where(x <= 0, xp.zeros_like(g), g)


@op(elementwise=True)
def relu6(x: Array) -> Array:
    """`x` within [0, 6] (Krizhevsky, 2010)."""
    return _between(floating(x), 0, 6)


@op(elementwise=True)
def leaky_relu(x: Array, negative_slope: float = 0.2) -> Array:
    """`x` where positive, else `negative_slope * x`."""
    x = floating(x)
    return namespace(x).where(x <= 0, x * negative_slope, x)


@op(elementwise=True)
def hard_tanh(x: Array) -> Array:
    """`x` within [-1, 1]."""
    x = numeric(x)
    return _between(x, 0 if kind(x) == "u" else -1, 1)


@op(elementwise=True)
def hard_sigmoid(x: Array) -> Array:
    """`relu6(x + 3) / 6`."""
    return relu6(floating(x) + 3) / 6


@op(elementwise=True)
def hard_silu(x: Array) -> Array:
    """`x * hard_sigmoid(x)` (hard swish; Howard et al., arXiv:1905.02244)."""
    x = floating(x)
    return x * hard_sigmoid(x)


hard_swish = hard_silu


@op(elementwise=True)
def hard_shrink(x: Array, threshold: float = 0.5) -> Array:
    """`x` where its magnitude exceeds `threshold`, else 0."""
    x = floating(x)
    xp = namespace(x)
    return xp.where(xp.abs(x) <= threshold, xp.zeros_like(x), x)


@op(elementwise=True)
def soft_shrink(x: Array, threshold: float = 0.5) -> Array:
    """`x` moved towards 0 by `threshold`, and 0 where that would cross it."""
    x = floating(x)
    xp = namespace(x)
    return xp.where(xp.abs(x) <= threshold, xp.zeros_like(x), xp.where(x > 0, x - threshold, x + threshold))


@op(elementwise=True)
def sparse_sigmoid(x: Array) -> Array:
    """`(x + 1) / 2` within [0, 1]."""
    return _between(0.5 * floating(x) + 0.5, 0, 1)


@op(elementwise=True)
def threshold(x: Array, threshold: float, default_value: float) -> Array:
    """`x` where it exceeds `threshold`, else `default_value`."""
    x = numeric(x)
    xp = namespace(x)
    return xp.where(x <= threshold, xp.full_like(x, default_value), x)


# -- smooth ------------------------------------------------------------------------------------------------------------


def _exponential(x, alpha, width=1.0):
    """`x` where positive, else `alpha * (exp(x / width) - 1)`."""
    x = floating(x)
    xp = namespace(x)
    # exp is given no positive number: its infinity, times the zero gradient of the branch not taken, would be NaN.
    below = xp.where(x <= 0, x, xp.zeros_like(x))
    return xp.where(x <= 0, alpha * xp.expm1(below if width == 1 else below / width), x)


@op(elementwise=True)
def elu(x: Array, alpha: float = 1.0) -> Array:
    """`x` where positive, else `alpha * (exp(x) - 1)` (Clevert et al., arXiv:1511.07289)."""
    return _exponential(x, alpha)


@op(elementwise=True)
def celu(x: Array, alpha: float = 1.0) -> Array:
    """`x` where positive, else `alpha * (exp(x / alpha) - 1)` (Barron, arXiv:1704.07483)."""
    return _exponential(x, alpha, alpha)


@op(elementwise=True)
def selu(x: Array) -> Array:
    """The scaled `elu` that keeps mean 0 and variance 1 (Klambauer et al., arXiv:1706.02515)."""
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


@op(elementwise=True)
def sigmoid(x: Array) -> Array:
    """`1 / (1 + exp(-x))`, by the branch that cannot overflow."""
    x = floating(x)
    xp = namespace(x)
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, xp.ones_like(e), e) / (1 + e)


@sigmoid.tape_rule
def _sigmoid_share(xp, g, out, x):
    return g * (out * (1 - out))


@op(elementwise=True)
def silu(x: Array) -> Array:
    """`x * sigmoid(x)` (swish; Ramachandran et al., arXiv:1710.05941)."""
    x = floating(x)
    return x * sigmoid(x)


swish = silu


@op
def glu(x: Array, axis: int = -1) -> Array:
    """The first half of `x` along `axis`, times the sigmoid of the second half (Dauphin et al., arXiv:1612.08083).

    Args:
        x: (..., 2 * n, ...).
        axis: The axis that is halved.

    Returns:
        (..., n, ...).

    Raises:
        ShapeError: The size along `axis` is odd, or not known.
    """
    x = floating(x)
    axis = normal_axis(axis, x.ndim)
    size = x.shape[axis]
    if size is None or size % 2:
        raise ShapeError(
            f"The size along axis {axis} must be even and known for glu to halve it, got {size}.",
            argument="x",
            expected=f"a known, even size along axis {axis}",
            got=tuple(x.shape),
        )
    before = (slice(None),) * axis
    return x[(*before, slice(0, size // 2), ...)] * sigmoid(x[(*before, slice(size // 2, None), ...)])


@op(single=True, elementwise=True)  # the square of 256 is infinite in float16
def gelu(x: Array, approximate: bool = True) -> Array:
    """Gaussian error linear unit (Hendrycks and Gimpel, arXiv:1606.08415); by tanh, or by erf if not `approximate`.

    The default is the approximation, as in `keras.ops`. The activation "gelu" of layers, `nn.activations.gelu`, is the
    exact one, as in `keras.activations`; the two differ by up to 5e-4.
    """
    x = floating(x)
    if approximate:
        # (1 + tanh(u)) / 2 is sigmoid(2 u), which keeps its digits where it is small.
        return x * sigmoid(x * (math.sqrt(8 / math.pi) * (1 + 0.044715 * x * x)))
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


@op(elementwise=True)
def softplus(x: Array) -> Array:
    """`log(1 + exp(x))`, without overflow."""
    x = floating(x)
    xp = namespace(x)
    # At 0 both terms take the side of the negative numbers, so that the gradient there is 1/2.
    return relu(x) + xp.log1p(xp.exp(xp.where(x <= 0, x, -x)))


@op(elementwise=True)
def log_sigmoid(x: Array) -> Array:
    """`log(sigmoid(x))`, without overflow."""
    return -softplus(-floating(x))


@op(elementwise=True)
def softsign(x: Array) -> Array:
    """`x / (1 + abs(x))`."""
    x = floating(x)
    return x / (1 + namespace(x).abs(x))


@op(single=True, elementwise=True)
def squareplus(x: Array, b: float = 4) -> Array:
    """`(x + sqrt(x**2 + b)) / 2`, without cancellation (Barron, arXiv:2112.11687)."""
    x = floating(x)
    xp = namespace(x)
    # The result is a root of y**2 - x y - b/4. The larger root has no cancellation; the product of both is -b/4.
    size = xp.where(x >= 0, x, -x)
    finite = xp.isfinite(x * x)  # where the square overflows, the larger root is the size of x itself
    moderate = xp.where(finite, x, xp.ones_like(x))
    large = xp.where(finite, 0.5 * (size + xp.sqrt(moderate * moderate + b)), size)
    return xp.where(x >= 0, large, 0.25 * b / large)


@op(elementwise=True)
def sparse_plus(x: Array) -> Array:
    """0 up to -1, `x` from 1 on, and the parabola `(x + 1)**2 / 4` between."""
    x = floating(x)
    middle = _between(x, -1, 1)
    return relu(x - 1) + 0.25 * (middle + 1) * (middle + 1)


@op(elementwise=True)
def tanh_shrink(x: Array) -> Array:
    """`x - tanh(x)`, to a few rounding errors where it is small too."""
    x = floating(x)
    xp = namespace(x)
    near = xp.abs(x) < 1
    small = xp.where(near, x, xp.zeros_like(x))
    # Where both are close to each other: the series of `x * cosh(x) - sinh(x)`, in which nothing cancels.
    square, total = small * small, 0.0
    for k in range(9, 0, -1):
        total = total * square + 2 * k / math.factorial(2 * k + 1)
    return xp.where(near, small * square * total / xp.cosh(small), x - xp.tanh(x))


# -- along an axis -----------------------------------------------------------------------------------------------------


def _top(x, axis):
    """The maximum of `x` along `axis`, which stays; 0 where there are no elements. It carries no gradient."""
    xp = namespace(x)
    return stop_gradient((xp.sum if 0 in x.shape else xp.max)(x, axis=axis, keepdims=True))


@op(single=True, along_axis=True)
def logsumexp(x: Array, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Array:
    """`log(sum(exp(x)))` along `axis`, an integer, several, or all by default, without overflow.

    Where there are no elements, it is -inf.
    """
    x = floating(x)
    xp = namespace(x)
    axis = tuple(range(x.ndim)) if axis is None else tuple(axis) if isinstance(axis, list) else axis
    top = _top(x, axis)
    # An infinite maximum would give inf - inf. Without it the sum is infinite, too.
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    out = xp.log(xp.sum(xp.exp(x - top), axis=axis, keepdims=True)) + top
    return out if keepdims else xp.squeeze(out, axis=axis)


@logsumexp.tape_rule
def _logsumexp_share(xp, g, out, x, axis, keepdims):
    axes = normal_axes(axis, x.ndim)
    shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    return xp.reshape(g, shape) * xp.exp(x - xp.reshape(out, shape))


def _below_top(x, axis):
    """`x` less its maximum along `axis`, an integer, several, or None for all."""
    x = floating(x)
    axis = tuple(axis) if isinstance(axis, list) else axis
    return x - _top(x, axis), axis


@op(single=True, along_axis=True)
def softmax(x: Array, axis: int | Sequence[int] | None = -1) -> Array:
    """`exp(x) / sum(exp(x))` along `axis`, an integer, several, or None for all.

    A NaN makes all elements NaN; on TensorFlow, whose kernel skips it, it makes only its own element NaN.
    """
    x, axis = _below_top(x, axis)
    xp = namespace(x)
    e = xp.exp(x)
    return e / xp.sum(e, axis=axis, keepdims=True)


@softmax.tape_rule
def _softmax_share(xp, g, out, x, axis):
    weighted = g * out
    return weighted - out * xp.sum(weighted, axis=axis, keepdims=True)


@op(single=True, along_axis=True)
def log_softmax(x: Array, axis: int | Sequence[int] | None = -1) -> Array:
    """`log(softmax(x))` along `axis`, an integer, several, or None for all; without overflow."""
    x, axis = _below_top(x, axis)
    xp = namespace(x)
    return x - xp.log(xp.sum(xp.exp(x), axis=axis, keepdims=True))


@log_softmax.tape_rule
def _log_softmax_share(xp, g, out, x, axis):
    return g - xp.exp(out) * xp.sum(g, axis=axis, keepdims=True)


@op(single=True)
def sparsemax(x: Array, axis: int = -1) -> Array:
    """The probabilities nearest to `x` along `axis` (Martins and Astudillo, arXiv:1602.02068)."""
    x = floating(x)
    xp = namespace(x)
    if 0 in x.shape:
        return x
    # The choice of the elements above 0 is piecewise constant: gradients flow through the threshold, not the sorting.
    fixed = stop_gradient(x)
    ordered = xp.sort(fixed, axis=axis, descending=True)
    totals = xp.cumulative_sum(ordered, axis=axis)
    ranks = xp.cumulative_sum(xp.ones_like(ordered), axis=axis)
    count = xp.sum(xp.astype(ranks * ordered > totals - 1, x.dtype), axis=axis, keepdims=True)
    least = xp.min(xp.where(ranks <= count, ordered, xp.full_like(ordered, math.inf)), axis=axis, keepdims=True)
    inside = xp.where(fixed < least, xp.zeros_like(x), x)  # a NaN stays, and makes all elements NaN
    limit = (xp.sum(inside, axis=axis, keepdims=True) - 1) / count
    return relu(x - limit)
