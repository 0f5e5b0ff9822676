"""NumPy's lowerings and pullbacks of dense layers, activations and normalisation, with few temporaries."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np

from ... import ops
from ...ops._op import lowering, pullback
from ...ops.attention import seen_part
from ...ops.manipulation import pad_pairs
from ...ops.normalization import EPSILON
from ...ops.optimize import unbias
from ...ops.special import _ERF_INV_DOUBLE, _ERF_INV_SINGLE, _polynomial
from .backend import backend
from .inside import whole
from .segments import segment_sum

__all__ = ["linear", "masked", "pad", "sigmoid", "uniform"]


def uniform(*arrays: Any) -> bool:
    """Whether all arrays are NumPy's and of one floating dtype, as the lowerings need it; None is passed over.

    The first one must have an axis: of arrays without axes NumPy makes scalars, which cannot be written to. Sums in
    half precision would lose digits.
    """
    dtype = arrays[0].dtype
    if dtype.kind != "f" or dtype.itemsize < 4 or not arrays[0].ndim:
        return False
    for a in arrays:  # noqa: SIM110 (`all` takes 0.3 us more, in each of many calls)
        if a is not None and not (isinstance(a, np.ndarray) and a.dtype == dtype):
            return False
    return True


def rows(x: Any) -> Any:
    """`x` (..., n) as a matrix."""
    return x.reshape(-1 if x.size else math.prod(x.shape[:-1]), x.shape[-1])


def masked(x: Any, mask: Any) -> Any:
    """`x` where the boolean array `mask` holds, else 0."""
    if x.dtype.itemsize > 8 or x.ndim == 0:
        return np.where(mask, x, x.dtype.type(0))
    # By bits: `where` takes ten times as long if the mask is random, and a product would keep NaN.
    integer = f"i{x.dtype.itemsize}"
    bits = mask.astype(integer)
    return np.bitwise_and(x.view(integer), np.negative(bits, out=bits)).view(x.dtype)


# -- linear ----------------------------------------------------------------------------------------------------------


@lowering(backend, ops.linear)
def linear(x: Any, kernel: Any, bias: Any = None) -> Any:
    if not uniform(x, kernel, bias) or x.ndim < 2:
        return NotImplemented
    out = rows(x) @ kernel
    if bias is not None:
        out += bias
    return out.reshape(*x.shape[:-1], kernel.shape[-1])


@pullback(backend, ops.linear)
def linear_pullback(x: Any, kernel: Any, bias: Any = None) -> Any:
    out = linear(x, kernel, bias)
    if out is NotImplemented:
        return out

    def pull(g):
        g = rows(g)
        return (
            lambda: (g @ kernel.T).reshape(x.shape),
            lambda: rows(x).T @ g,
            lambda: g.sum(axis=0),
        )

    return out, pull


@lowering(backend, ops.embedding)
def embedding(indices: Any, table: Any) -> Any:
    return np.take(table, indices, axis=0)


@pullback(backend, ops.embedding)
def embedding_pullback(indices: Any, table: Any) -> Any:
    def pull(g):
        g = g.reshape(-1, table.shape[-1])
        return None, lambda: segment_sum(g, np.ravel(indices), table.shape[0])

    return np.take(table, indices, axis=0), pull


# -- activations -----------------------------------------------------------------------------------------------------


@lowering(backend, ops.relu)
def relu(x: Any) -> Any:
    return np.maximum(x, x.dtype.type(0)) if uniform(x) else NotImplemented


@pullback(backend, ops.relu)
def relu_pullback(x: Any) -> Any:
    if not uniform(x):
        return NotImplemented
    out = np.maximum(x, x.dtype.type(0))
    # A NaN of the input is in the output too, and its gradient passes, as that of any number that is not below 0.
    return out, lambda g: (masked(g, out != 0),)


@lowering(backend, ops.sigmoid)
def sigmoid(x: Any) -> Any:
    if not uniform(x):
        return NotImplemented
    out = np.negative(x)
    with np.errstate(over="ignore"):
        np.exp(out, out=out)
    out += 1
    return np.reciprocal(out, out=out)


def _by_output(derivative, forward):
    """A pullback for an elementwise function whose derivative follows from its result."""

    def run(x):
        out = forward(x) if uniform(x) else NotImplemented
        return NotImplemented if out is NotImplemented else (out, lambda g: (g * derivative(out),))

    return run


pullback(backend, ops.sigmoid)(_by_output(lambda y: y * (1 - y), sigmoid))
pullback(backend, ops.tanh)(_by_output(lambda y: 1 - y * y, np.tanh))


def _gelu(x):
    """The result, and the sigmoid in it: `(1 + tanh(u)) / 2`, which keeps its digits where it is small."""
    share = x * x
    share *= -0.044715
    share -= 1
    share *= x
    share *= math.sqrt(8 / math.pi)
    with np.errstate(over="ignore"):
        np.exp(share, out=share)
    share += 1
    np.reciprocal(share, out=share)
    return share * x, share


# Numerator and denominator of a rational function that XLA evaluates, within 6 units in the last place of float32.
_ERF_SINGLE = (
    (0.00022905065861350646, 0.0034082910107109506, 0.050955695062380861, 0.18520832239976145, 1.128379143519084),
    (-1.1791602954361697e-7, 2.3547966471313185e-5, 0.0010179625278914885)
    + (0.014070470171167667, 0.11098505178285362, 0.49746925110067538, 1.0),
)


@lowering(backend, ops.erf)
def erf(x: Any) -> Any:
    if x.dtype != np.float32 or not uniform(x):
        return NotImplemented
    inside = np.clip(x, -3.7439211, 3.7439211)
    square = inside * inside
    over, under = (_horner(square, coefficients) for coefficients in _ERF_SINGLE)
    over *= inside
    over /= under
    return np.copysign(1, x, out=over, where=np.abs(x) > 3.92)


def _horner(x, coefficients):
    out = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        out *= x
        out += c
    return out


@pullback(backend, ops.erf)
def erf_pullback(x: Any) -> Any:
    out = erf(x)
    return out if out is NotImplemented else (out, lambda g: (g * np.exp(-x * x) * (2 / math.sqrt(math.pi)),))


def _share(x):
    """The factor in `gelu`: the probability that a normal random number is below `x`."""
    out = erf(x * math.sqrt(0.5))
    if out is not NotImplemented:
        out += 1
        out *= 0.5
    return out


@lowering(backend, ops.gelu)
def gelu(x: Any, approximate: bool = True) -> Any:
    if not uniform(x):
        return NotImplemented
    if approximate:
        return _gelu(x)[0]
    share = _share(x)
    return share if share is NotImplemented else np.multiply(share, x, out=share)


@pullback(backend, ops.gelu)
def gelu_pullback(x: Any, approximate: bool = True) -> Any:
    if not uniform(x):
        return NotImplemented
    if not approximate:
        share = _share(x)
        if share is NotImplemented:
            return share
        density = 1 / math.sqrt(2 * math.pi)
        return share * x, lambda g: (g * (share + x * np.exp(x * x * -0.5) * density),)
    out, share = _gelu(x)

    def pull(g):
        # share + x share (1 - share) sqrt(8 / pi) (1 + 3 * 0.044715 x^2)
        slope = x * x
        slope *= 3 * 0.044715
        slope += 1
        slope *= math.sqrt(8 / math.pi)
        slope *= 1 - share  # before `out`: for large numbers the product of the other two is infinite
        slope *= out
        slope += share
        slope *= g
        return (slope,)

    return out, pull


@lowering(backend, ops.softmax)
def softmax(x: Any, axis: Any = -1) -> Any:
    if not uniform(x) or not x.size or isinstance(axis, list):
        return NotImplemented
    out = x - x.max(axis=axis, keepdims=True)
    np.exp(out, out=out)
    out /= out.sum(axis=axis, keepdims=True)
    return out


@pullback(backend, ops.softmax)
def softmax_pullback(x: Any, axis: Any = -1) -> Any:
    out = softmax(x, axis)
    if out is NotImplemented:
        return out

    def pull(g):
        weighted = g * out
        weighted -= out * weighted.sum(axis=axis, keepdims=True)
        return (weighted,)

    return out, pull


@lowering(backend, ops.log_softmax)
def log_softmax(x: Any, axis: Any = -1) -> Any:
    if not uniform(x) or not x.size or isinstance(axis, list):
        return NotImplemented
    out = x - x.max(axis=axis, keepdims=True)
    out -= np.log(np.exp(out).sum(axis=axis, keepdims=True))
    return out


@pullback(backend, ops.log_softmax)
def log_softmax_pullback(x: Any, axis: Any = -1) -> Any:
    out = log_softmax(x, axis)
    if out is NotImplemented:
        return out
    return out, lambda g: (g - np.exp(out) * g.sum(axis=axis, keepdims=True),)


def _label_crossentropy(logits, labels, axis):
    if not uniform(logits) or not labels.size:
        return None
    rows = logits if axis in (-1, logits.ndim - 1) else np.moveaxis(logits, axis, -1)
    shape, rows = rows.shape, rows.reshape(-1, rows.shape[-1])
    numbers = labels.reshape(-1)
    # As an unsigned integer, a negative number is a large one.
    if numbers.dtype.kind not in "iu" or numbers.view(f"u{numbers.itemsize}").max() >= rows.shape[-1]:
        return None
    log_p, at = log_softmax(rows), (np.arange(numbers.size), numbers)
    return -log_p[at].reshape(labels.shape), log_p, at, shape


@lowering(backend, ops.label_crossentropy)
def label_crossentropy(logits: Any, labels: Any, axis: Any = -1) -> Any:
    found = _label_crossentropy(logits, labels, axis)
    return NotImplemented if found is None else found[0]


@pullback(backend, ops.label_crossentropy)
def label_crossentropy_pullback(logits: Any, labels: Any, axis: Any = -1) -> Any:
    found = _label_crossentropy(logits, labels, axis)
    if found is None:
        return NotImplemented
    out, log_p, at, shape = found

    def pull(g):
        share = np.exp(log_p)
        share[at] -= 1
        share *= g.reshape(-1, 1)
        share = share.reshape(shape)
        return (share if axis in (-1, len(shape) - 1) else np.moveaxis(share, -1, axis),)

    return out, pull


@lowering(backend, ops.erfinv)
def erfinv(x: Any) -> Any:
    if not uniform(x):
        return NotImplemented
    with np.errstate(divide="ignore", invalid="ignore"):
        w = -np.log1p(-x * x)
        lowest, value = -np.inf, np.full_like(x, np.nan)
        for limit, root, shift, coefficients in _ERF_INV_DOUBLE if x.dtype == np.float64 else _ERF_INV_SINGLE:
            # Most numbers need the first formula only.
            here = (w >= lowest) & (w < limit)
            part = w[here]
            value[here] = _polynomial((np.sqrt(part) if root else part) - shift, coefficients)
            lowest = limit
        value *= x
    value[np.abs(x) == 1] = np.inf
    return np.copysign(value, x, out=value)


# -- manipulation ----------------------------------------------------------------------------------------------------


@lowering(backend, ops.pad)
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    if mode != "constant":
        return NotImplemented
    pad_width = pad_pairs(pad_width, x.ndim)
    if not any(map(any, pad_width)):
        return x
    constant_values = 0 if constant_values is None else constant_values
    out = np.full([n + a + b for n, (a, b) in zip(x.shape, pad_width, strict=True)], constant_values, x.dtype)
    out[_inside(x, pad_width)] = x
    return out


def _inside(x, pad_width):
    return tuple(slice(a, a + n) for n, (a, _) in zip(x.shape, pad_width, strict=True))


@pullback(backend, ops.pad)
def pad_pullback(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    if mode != "constant":
        return NotImplemented
    inside = _inside(x, pad_pairs(pad_width, x.ndim))
    return pad(x, pad_width, mode, constant_values), lambda g: (g[inside],)


@lowering(backend, ops.one_hot)
def one_hot(x: Any, num_classes: Any, axis: Any = -1, dtype: Any = None) -> Any:
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "iu":
        return NotImplemented
    out = np.zeros((x.size, num_classes), dtype or np.float32)
    flat = np.ravel(x)
    valid = np.flatnonzero((flat >= 0) & (flat < num_classes))
    out[valid, flat[valid]] = 1
    return np.moveaxis(out.reshape(*x.shape, num_classes), -1, axis)


@lowering(backend, ops.argsort)
def argsort(x: Any, axis: Any = -1) -> Any:
    if not isinstance(x, np.ndarray) or x.dtype != np.int32 or x.ndim != 1 or axis not in (None, 0, -1):
        return NotImplemented
    # With its place as the last digits, no key equals another one, so the fastest sort is stable too.
    return np.sort(np.left_shift(x.astype(np.int64), 32) | np.arange(len(x))) & (2**32 - 1)


@lowering(backend, ops.all_finite)
def all_finite(*arrays: Any) -> Any:
    # A sum of squares takes one pass and no temporary. Where it is not finite, the numbers themselves are looked at.
    with np.errstate(over="ignore", invalid="ignore"):
        if max([x.size for x in arrays]) < _FEW:
            flat = np.concatenate(arrays, axis=None)
            if flat.dtype.kind == "f" and np.isfinite(np.dot(flat, flat)):
                return np.ones(len(arrays), np.bool)
        return np.array([_short_sum(x) or bool(np.isfinite(x).all()) for x in arrays], np.bool)


def _short_sum(x):
    """Whether `x` lies so in memory that no copy is needed, and the sum of its squares is finite."""
    if x.dtype.kind != "f" or not x.flags.c_contiguous:
        return False
    flat = x.reshape(-1)
    return math.isfinite(np.dot(flat, flat))


# -- optimizers ------------------------------------------------------------------------------------------------------

_BLOCK = 1 << 14
"""So many elements are worked on at a time: all passes but the first one find them in the cache."""

_FEW = 1 << 11
"""An array with up to so many elements takes less time to copy than to work on by itself."""


@lowering(backend, ops.adam)
def adam(
    count: Any,
    step_size: Any,
    beta_1: Any,
    beta_2: Any,
    epsilon: Any,
    *leaves: Any,
    corrected: bool = True,
    overwrite: bool = False,
) -> Any:
    dtype, n = leaves[0].dtype, len(leaves) // 3
    if any([x.dtype != dtype for x in leaves]):
        return NotImplemented
    factor, small = _adam_numbers(count, step_size, beta_1, beta_2, epsilon, corrected)
    parts = leaves[:n], leaves[n : 2 * n], leaves[2 * n :]
    out: list = [None] * (3 * n)
    for at, shapes in _together(tuple([x.shape for x in parts[1]])):
        old = [_flat([part[i] for i in at]) for part in parts]
        run = _adam_block if old[0].size <= _BLOCK else _adam_in_blocks
        into = (None, *old[1:]) if overwrite else (None, None, None)
        for k, x in enumerate(run(*old, beta_1, beta_2, factor, small, *into)):
            for i, (begin, end, shape) in zip(at, shapes, strict=True):
                out[k * n + i] = x[begin:end].reshape(shape)
    return tuple(out)


@whole
def _adam_numbers(count, step_size, beta_1, beta_2, epsilon, corrected):
    t = float(count)
    root = math.sqrt(unbias(math, t, beta_2))
    return root * float(step_size) / unbias(math, t, beta_1), root * epsilon if corrected else epsilon


def _adam_block(g, m, v, beta_1, beta_2, factor, small, update=None, mean=None, square=None, part=None):
    mean = np.multiply(m, beta_1, out=mean)
    part = np.multiply(g, 1 - beta_1, out=part)
    mean += part
    square = np.multiply(v, beta_2, out=square)
    np.multiply(g, g, out=part)
    part *= 1 - beta_2
    square += part
    np.sqrt(square, out=part)
    part += small
    update = np.multiply(mean, factor, out=update)
    update /= part
    return update, mean, square


def _adam_in_blocks(g, m, v, beta_1, beta_2, factor, small, *into):
    new = [np.empty(g.size, g.dtype) if x is None else x for x in into]
    numbers, scratch = (beta_1, beta_2, factor, small), np.empty(_BLOCK, g.dtype)
    for start in range(0, g.size, _BLOCK):
        *old, update, mean, square = (x[start : start + _BLOCK] for x in (g, m, v, *new))
        _adam_block(*old, *numbers, update, mean, square, scratch[: update.size])
    return new


@functools.lru_cache
def _together(shapes):
    """The small arrays, which are worked on as one: `(their indices, begin, end and shape of each in that one)`."""
    sizes = [math.prod(shape) for shape in shapes]
    few = [i for i, size in enumerate(sizes) if size < _FEW]
    groups = [few] * bool(few) + [[i] for i, size in enumerate(sizes) if size >= _FEW]
    ends = [list(itertools.accumulate([sizes[i] for i in at])) for at in groups]
    return [
        (at, [(end - sizes[i], end, shapes[i]) for i, end in zip(at, last, strict=True)])
        for at, last in zip(groups, ends, strict=True)
    ]


def _flat(arrays):
    return arrays[0].reshape(-1) if len(arrays) == 1 else np.concatenate(arrays, axis=None)


# -- normalisation ---------------------------------------------------------------------------------------------------


def _moments(x, axes):
    """The mean, the differences from it, and the variance; `axes` stay, with size 1."""
    mean = x.mean(axis=axes, keepdims=True)
    centred = x - mean
    return mean, centred, np.square(centred).mean(axis=axes, keepdims=True)


@lowering(backend, ops.moments)
def moments(x: Any, axes: Any, keepdims: bool = False) -> Any:
    if not uniform(x):
        return NotImplemented
    axes = (axes,) if isinstance(axes, int) else tuple(axes)
    mean, _, variance = _moments(x, axes)
    return (mean, variance) if keepdims else (mean.squeeze(axes), variance.squeeze(axes))


@pullback(backend, ops.moments)
def moments_pullback(x: Any, axes: Any, keepdims: bool = False) -> Any:
    if not uniform(x):
        return NotImplemented
    axes = (axes,) if isinstance(axes, int) else tuple(axes)
    mean, centred, variance = _moments(x, axes)
    kept, count = mean.shape, x.size // max(mean.size, 1)

    def pull(gs):
        g_mean, g_variance = (np.reshape(g, kept) / count for g in gs)
        out = centred * (2 * g_variance)
        out += g_mean
        return out, None, None

    return ((mean, variance) if keepdims else (mean.squeeze(axes), variance.squeeze(axes))), pull


def _along(x, v, axis):
    """The vector `v` in a shape that broadcasts to `x` along `axis`."""
    return v if v is None or axis % x.ndim == x.ndim - 1 else v.reshape((-1,) + (1,) * (x.ndim - 1 - axis % x.ndim))


@lowering(backend, ops.batch_normalization)
def batch_normalization(
    x: Any, mean: Any, variance: Any, axis: Any, offset: Any = None, scale: Any = None, epsilon: Any = 1e-3
) -> Any:
    if not uniform(x, mean, variance, offset, scale):
        return NotImplemented
    factor = 1 / np.sqrt(variance + epsilon)
    factor = factor if scale is None else factor * scale
    out = x - _along(x, mean, axis)
    out *= _along(x, factor, axis)
    if offset is not None:
        out += _along(x, offset, axis)
    return out


@pullback(backend, ops.batch_normalization)
def batch_normalization_pullback(
    x: Any, mean: Any, variance: Any, axis: Any, offset: Any = None, scale: Any = None, epsilon: Any = 1e-3
) -> Any:
    out = batch_normalization(x, mean, variance, axis, offset, scale, epsilon)
    if out is NotImplemented:
        return out
    deviation = 1 / np.sqrt(variance + epsilon)
    factor = deviation if scale is None else deviation * scale
    others = tuple(i for i in range(x.ndim) if i != axis % x.ndim)

    def pull(g):
        total = g.sum(axis=others)
        # The sum of g (x - mean): the cotangents of the variance and of the scale both need it.
        centred = functools.cache(lambda: ((x - _along(x, mean, axis)) * g).sum(axis=others))
        return (
            lambda: g * _along(x, factor, axis),
            lambda: -total * factor,
            lambda: centred() * factor * deviation * deviation * -0.5,
            None,
            total,
            lambda: centred() * deviation,
        )

    return out, pull


def _normalize_batch(x, offset, scale, axis, epsilon):
    """The results of the op, the normalised array, one over the standard deviation, and the axes of the samples."""
    others = tuple(i for i in range(x.ndim) if i != axis % x.ndim)
    mean, normal, variance = _moments(x, others)
    inverse = 1 / np.sqrt(variance + epsilon)
    normal *= inverse
    out = normal.copy() if scale is None else normal * _along(x, scale, axis)
    if offset is not None:
        out += _along(x, offset, axis)
    return (out, mean.reshape(-1), variance.reshape(-1)), normal, inverse, others


@lowering(backend, ops.normalize_batch)
def normalize_batch(x: Any, offset: Any = None, scale: Any = None, axis: Any = -1, epsilon: Any = 1e-3) -> Any:
    return _normalize_batch(x, offset, scale, axis, epsilon)[0] if uniform(x, offset, scale) else NotImplemented


@pullback(backend, ops.normalize_batch)
def normalize_batch_pullback(x: Any, offset: Any = None, scale: Any = None, axis: Any = -1, epsilon: Any = 1e-3) -> Any:
    if not uniform(x, offset, scale):
        return NotImplemented
    outs, normal, inverse, others = _normalize_batch(x, offset, scale, axis, epsilon)

    def pull(cotangents):
        g = cotangents[0]
        total = g.sum(axis=others, keepdims=True)
        weighted = (g * normal).sum(axis=others, keepdims=True)

        def of_x():
            count = x.size // total.size
            out = normal * (weighted / -count)
            out += g
            out -= total / count
            out *= inverse if scale is None else inverse * scale.reshape(inverse.shape)
            return out

        return of_x, total.reshape(-1), weighted.reshape(-1)

    return outs, pull


def _layer_shape(x, axes):
    kept = {a % x.ndim for a in axes}
    return tuple(n if i in kept else 1 for i, n in enumerate(x.shape))


def _layer_normalize(x, gamma, beta, axes, epsilon):
    _, normal, variance = _moments(x, axes)
    deviation = 1 / np.sqrt(variance + (EPSILON if epsilon is None else epsilon))
    normal *= deviation
    shape = _layer_shape(x, axes)
    out = normal.copy() if gamma is None else normal * gamma.reshape(shape)
    if beta is not None:
        out += beta.reshape(shape)
    return out, normal, deviation


@lowering(backend, ops.layer_normalization)
def layer_normalization(x: Any, gamma: Any = None, beta: Any = None, axis: Any = -1, epsilon: Any = None) -> Any:
    if not uniform(x, gamma, beta):
        return NotImplemented
    return _layer_normalize(x, gamma, beta, (axis,) if isinstance(axis, int) else tuple(axis), epsilon)[0]


@pullback(backend, ops.layer_normalization)
def layer_normalization_pullback(
    x: Any, gamma: Any = None, beta: Any = None, axis: Any = -1, epsilon: Any = None
) -> Any:
    if not uniform(x, gamma, beta):
        return NotImplemented
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    shape = _layer_shape(x, axes)
    others = tuple(i for i, n in enumerate(shape) if i not in {a % x.ndim for a in axes})
    out, normal, deviation = _layer_normalize(x, gamma, beta, axes, epsilon)

    def of_x(g):
        g = g if gamma is None else g * gamma.reshape(shape)
        share = g - g.mean(axis=axes, keepdims=True)
        share -= normal * (g * normal).mean(axis=axes, keepdims=True)
        share *= deviation
        return share

    def pull(g):
        return (
            lambda: of_x(g),
            lambda: (g * normal).sum(axis=others).reshape(gamma.shape),
            lambda: g.sum(axis=others).reshape(beta.shape),
        )

    return out, pull


# -- attention -------------------------------------------------------------------------------------------------------


@lowering(backend, ops.cached_attention)
def cached_attention(
    query: Any,
    key: Any,
    value: Any,
    start: Any,
    bias: Any = None,
    mask: Any = None,
    scale: Any = None,
    sliding_window: Any = None,
    attn_logits_soft_cap: Any = None,
) -> Any:
    given = query, key, value
    if not all([isinstance(x, np.ndarray) and x.ndim == 4 and x.dtype == np.float32 for x in given]):
        return NotImplemented
    part = seen_part(query, key, value, start, bias, mask, sliding_window)
    if part is None:
        return NotImplemented
    key, value, bias, mask = part
    (batch, time, heads, width), groups = query.shape, key.shape[2]
    if time == 1 and bias is None and attn_logits_soft_cap is None and groups and not heads % groups:
        q = query.reshape(batch, groups, heads // groups, width) * (
            1 / math.sqrt(width or 1) if scale is None else scale
        )
        weights = np.matmul(q, key.transpose(0, 2, 3, 1))
        if mask is not None:
            seen = mask.reshape(*[1] * (4 - mask.ndim), *mask.shape)
            alike = seen.shape[1:3] == (1, 1)  # for all heads
            weights = np.where(seen, weights, np.float32(np.finfo(np.float32).min)) if alike else None
        if weights is not None:
            weights -= weights.max(-1, keepdims=True)
            np.exp(weights, out=weights)
            weights /= weights.sum(-1, keepdims=True)
            out = np.matmul(weights, value.transpose(0, 2, 1, 3)).reshape(batch, 1, heads, value.shape[3])
            # NaN at a source that is hidden is for the other function.
            if mask is None or np.isfinite(out).all():
                return out
    return ops.dot_product_attention(
        query, key, value, bias, mask, scale, time > 1, attn_logits_soft_cap=attn_logits_soft_cap
    )
