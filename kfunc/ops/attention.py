"""Scaled dot-product attention."""

from __future__ import annotations

import math

from ..arrays import device, namespace
from ._op import op
from .activation import softmax

__all__ = ["attention_scores", "dot_product_attention"]


@op
def attention_scores(query, key, mask=None, scale=None, is_causal=False):
    """The softmax weights of attention: (batch, heads, target, source); arguments as for `dot_product_attention`."""
    xp = namespace(query, key)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    q, k = xp.permute_dims(query, (0, 2, 1, 3)), xp.permute_dims(key, (0, 2, 3, 1))
    logits = xp.matmul(q * scale, k)
    if is_causal:
        target, source = query.shape[1], key.shape[1]
        where = {"device": device(query)}
        causal = xp.expand_dims(xp.arange(target, **where), axis=1) >= xp.arange(source, **where)
        mask = causal if mask is None else mask & causal
    if mask is not None:
        # The lowest finite number, so that a row with no source at all gives a mean and not NaN.
        logits = xp.where(mask, logits, xp.full_like(logits, xp.finfo(logits.dtype).min))
    return softmax(logits, axis=-1)


@op
def dot_product_attention(query, key, value, mask=None, scale=None, is_causal=False):
    """`softmax(query keyᵀ scale) value` (Vaswani et al., arXiv:1706.03762).

    Args:
        query: (batch, target, heads, features).
        key: (batch, source, heads, features).
        value: (batch, source, heads, values).
        mask: booleans that broadcast to (batch, heads, target, source), True where a source may be seen; or None.
        scale: A number; `1 / sqrt(features)` by default.
        is_causal: Whether a target sees only sources at its own position and before.

    Returns:
        (batch, target, heads, values).
    """
    xp = namespace(query, value)
    weights = attention_scores(query, key, mask, scale, is_causal)
    out = xp.matmul(weights, xp.permute_dims(value, (0, 2, 1, 3)))
    return xp.permute_dims(out, (0, 2, 1, 3))
