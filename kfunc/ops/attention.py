"""Scaled dot-product attention."""

from __future__ import annotations

import math

from ..arrays import device, namespace
from ..errors import ShapeError
from ..tracing.spec import Spec
from ..typing import Array
from ._masks import hidden
from ._op import op
from ._promotion import FLOAT, cast, dtype_of, promote
from .activation import softmax

__all__ = ["attention_scores", "cached_attention", "dot_product_attention"]


def check_attention(query: Array, key: Array, value: Array | None = None) -> None:
    """Raise a ShapeError unless the arrays have 4 axes, and heads of the query can share those of key and value."""
    for name, x in (("query", query), ("key", key), ("value", value)):
        if x is not None and x.ndim != 4:
            raise ShapeError(
                f"`{name}` must have 4 axes, got shape {tuple(x.shape)}.",
                argument=name,
                expected="(batch, time, heads, features)",
                got=tuple(x.shape),
            )
    heads, groups = query.shape[2], key.shape[2]
    if not groups or heads % groups or (value is not None and value.shape[2] != groups):
        raise ShapeError(
            f"The number of heads of the key, {groups}, does not fit that of the query or of the value.",
            argument="key",
            expected=f"as many heads as the value has, and a divisor of the query's {heads}",
            got=f"{groups} heads" + ("" if value is None else f", and {value.shape[2]} of the value"),
        )


def causal_mask(query: Array, key: Array) -> Array:
    """(target, source): True where the source is not after the target."""
    return namespace(query).expand_dims(_places(query), axis=1) >= _places(key)


def _places(x: Array) -> Array:
    """0, 1, ... for the second axis of `x`, whose size may be unknown."""
    xp, n = namespace(x), x.shape[1]
    if n is not None:
        return xp.arange(n, dtype=xp.int32, device=device(x))
    ones = xp.all(xp.ones_like(x, dtype=xp.bool), axis=tuple(i for i in range(x.ndim) if i != 1))
    return xp.cumulative_sum(xp.astype(ones, xp.int32), dtype=xp.int32) - 1


def unseen(mask: Array, *arrays: Array) -> list[Array]:
    """Keys or values (batch, source, ...) without NaN and infinities at sources that the mask hides from all queries.

    Their weights are 0, and 0 times NaN is NaN. Finite numbers stay, since a query without any source sees their mean.
    """
    xp = namespace(mask, *arrays)
    for _ in range(4 - mask.ndim):
        mask = xp.expand_dims(mask, axis=0)
    return [hidden(x, xp.any(xp.astype(mask, xp.bool, copy=False), axis=(1, 2))) for x in arrays]


def _for_each_query(x, query):
    """`x` (batch, time, groups, features), with each head repeated for all heads of the query that share it."""
    share = query.shape[2] // x.shape[2]
    return x if share == 1 else namespace(x).repeat(x, share, axis=2)


@op
def attention_scores(
    query: Array,
    key: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    scale: float | None = None,
    is_causal: bool = False,
    attn_logits_soft_cap: float | None = None,
) -> Array:
    """The softmax weights of attention, (batch, heads, target, source); arguments as for `dot_product_attention`."""
    query, key = promote(query, key, least="f")
    check_attention(query, key)
    key = key if mask is None else unseen(mask, key)[0]
    own = dtype_of(query)
    if own in ("float16", "bfloat16"):
        # The weights are exponentials of the logits, so that the error of a rounded logit is relative in a weight.
        query, key = cast(query, FLOAT), cast(key, FLOAT)
    xp = namespace(query, key)
    scale = 1 / math.sqrt(query.shape[-1] or 1) if scale is None else scale
    key = _for_each_query(key, query)
    q, k = xp.permute_dims(query, (0, 2, 1, 3)), xp.permute_dims(key, (0, 2, 3, 1))
    logits = xp.matmul(q * scale, k)
    if attn_logits_soft_cap is not None:
        logits = attn_logits_soft_cap * xp.tanh(logits / attn_logits_soft_cap)
    if bias is not None:
        logits = logits + xp.astype(bias, logits.dtype)
    if is_causal:
        causal = causal_mask(query, key)
        mask = causal if mask is None else xp.logical_and(causal, mask)
    if mask is not None:
        # The lowest finite number, so that a row with no source at all gives a mean and not NaN.
        logits = xp.where(mask, logits, xp.full_like(logits, xp.finfo(logits.dtype).min))
    return cast(softmax(logits, axis=-1), own)


@attention_scores.shape_rule
def _attention_scores_shape(query, key, bias=None, mask=None, scale=None, is_causal=False, attn_logits_soft_cap=None):
    query, key = promote(query, key, least="f")
    check_attention(query, key)
    xp = namespace(query, key)
    xp.matmul(query[..., 0, :], xp.matrix_transpose(key[..., 0, :]))  # checks the features and the batch
    scores = Spec((query.shape[0], query.shape[2], query.shape[1], key.shape[1]), query.dtype)
    scores = scores if bias is None else scores + xp.astype(bias, scores.dtype)
    return scores if mask is None else xp.where(mask, scores, scores)


@op
def dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Array:
    """`softmax(query keyᵀ scale + bias) value` (Vaswani et al., arXiv:1706.03762).

    Args:
        query: (batch, target, heads, features).
        key: (batch, source, groups, features). Where there are more heads than groups, neighbouring heads share a group
            (grouped queries; Ainslie et al., arXiv:2305.13245).
        value: (batch, source, groups, values).
        bias: An array that is added to the logits; it broadcasts to (batch, heads, target, source); or None.
        mask: Booleans that broadcast to (batch, heads, target, source), True where a source may be seen; or None.
        scale: A number; `1 / sqrt(features)` by default.
        is_causal: Whether a target sees only sources at its own position and before.
        flash_attention: Has no effect: each backend uses its fastest kernel.
        attn_logits_soft_cap: Before bias and mask, the logits become `cap * tanh(logits / cap)` (Gemma 2,
            arXiv:2408.00118).

    Returns:
        (batch, target, heads, values).

    Raises:
        ShapeError: The shapes do not fit together.
    """
    query, key, value = promote(query, key, value, least="f")
    check_attention(query, key, value)
    xp = namespace(query, value)
    value = value if mask is None else unseen(mask, value)[0]
    weights = attention_scores(query, key, bias, mask, scale, is_causal, attn_logits_soft_cap)
    out = xp.matmul(weights, xp.permute_dims(_for_each_query(value, query), (0, 2, 1, 3)))
    return xp.permute_dims(out, (0, 2, 1, 3))


@dot_product_attention.shape_rule
def _dot_product_attention_shape(query, key, value, bias=None, mask=None, *_, **__):
    query, key, value = promote(query, key, value, least="f")
    check_attention(query, key, value)
    scores = _attention_scores_shape(query, key, bias, mask)
    heads = Spec((value.shape[0], scores.shape[1], value.shape[1], value.shape[3]), value.dtype)
    xp = namespace(query, key, value)
    return xp.permute_dims(xp.matmul(scores, heads), (0, 2, 1, 3))


@op
def cached_attention(
    query: Array,
    key: Array,
    value: Array,
    start: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    scale: float | None = None,
    sliding_window: int | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Array:
    """`dot_product_attention` to a cache, of queries at the positions `start`, `start + 1`, …

    A query sees the cache up to its own position. Backends that can read `start` look at no later position, so that a
    long cache costs nothing before it is full.

    Args:
        query: (batch, target, heads, features).
        key: (batch, length, groups, features), with the keys of the queries themselves.
        value: (batch, length, groups, values).
        start: An integer ().
        bias, mask, scale, attn_logits_soft_cap: As for `dot_product_attention`; sources are the whole cache.
        sliding_window: A query sees only positions at a distance of less than this. None: it sees all.

    Returns:
        (batch, target, heads, values); NaN if the queries reach beyond the end of the cache.
    """
    xp = namespace(query, key)
    targets, sources = xp.expand_dims(_places(query) + start, axis=1), xp.expand_dims(_places(key), axis=0)
    seen = targets >= sources
    if sliding_window is not None:
        seen = xp.logical_and(seen, targets - sources < sliding_window)
    if mask is not None:
        seen = xp.logical_and(seen, xp.astype(mask, xp.bool, copy=False))
    out = dot_product_attention(query, key, value, bias, seen, scale, attn_logits_soft_cap=attn_logits_soft_cap)
    length = key.shape[1] if key.shape[1] is not None else sources[0, -1] + 1
    return xp.where(xp.all(targets < length), out, xp.full_like(out, math.nan))


@cached_attention.shape_rule
def _cached_attention_shape(query, key, value, start, bias=None, mask=None, *_, **__):
    return _dot_product_attention_shape(query, key, value, bias, mask)


def seen_part(query, key, value, start, bias, mask, sliding_window):
    """For `cached_attention` where `start` can be read: key, value, bias and mask of the positions that are seen.

    None, if a query sees less of them than another one, or nothing, or they reach beyond the end.
    """
    start, n, length = int(start), query.shape[1], key.shape[1]
    end = start + n
    if start < 0 or end > length or not n or (mask is not None and mask.ndim < 2):
        return None
    if n > 1 and (start or sliding_window is not None or mask is not None):
        return None
    part = slice(0 if sliding_window is None else max(end - sliding_window, 0), end)
    bias, mask = (x[..., part] if x is not None and x.ndim and x.shape[-1] == length else x for x in (bias, mask))
    if mask is not None and not mask.any(-1).all():
        return None
    return key[:, part], value[:, part], bias, mask
