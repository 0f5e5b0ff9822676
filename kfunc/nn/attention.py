"""Attention layers."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..arrays import namespace
from ..errors import ArgumentError
from .core import positive
from .layer import Layer, layer
from .scope import Scope

__all__ = ["MultiHeadAttention"]


@layer
class MultiHeadAttention(Layer):
    """Attention in several heads (Vaswani et al., arXiv:1706.03762).

    `layer(s, query, value, key=None, attention_mask=None, use_causal_mask=False, return_attention_scores=False)`:
    query (batch, target, inputs), value and key (batch, source, inputs) to (batch, target, outputs). The mask,
    booleans (batch, target, source), is True where a source may be seen. Scores are (batch, heads, target, source).

    Args:
        num_heads: Number of heads.
        key_dim: Features of each head's query and key.
        value_dim: Features of each head's value; `key_dim` by default.
        dropout: Probability that training drops an attention weight.
        output_shape: Number of outputs; as many as the query has inputs by default.
    """

    num_heads: int
    key_dim: int
    value_dim: int | None = None
    dropout: float = 0.0
    use_bias: bool = True
    output_shape: int | None = None
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"

    def __post_init__(self):
        super().__post_init__()
        positive("num_heads", self.num_heads)
        positive("key_dim", self.key_dim)
        if not 0 <= self.dropout < 1:
            raise ArgumentError(
                "dropout is a probability.", argument="dropout", expected="0 <= dropout < 1", got=self.dropout
            )

    def forward(
        self,
        s: Scope,
        query,
        value,
        key=None,
        attention_mask=None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
    ):
        value_dim = self.value_dim or self.key_dim
        q = self._heads(s.sub("query"), query, self.key_dim)
        k = self._heads(s.sub("key"), value if key is None else key, self.key_dim)
        v = self._heads(s.sub("value"), value, value_dim)
        xp = namespace(q)
        mask = None if attention_mask is None else xp.expand_dims(attention_mask, axis=1)
        scores = None
        if return_attention_scores or (self.dropout and s.train):
            scores = ops.attention_scores(q, k, mask=mask, is_causal=use_causal_mask)
            weights = scores
            if self.dropout and s.train:
                weights = ops.dropout(scores, s.key(), self.dropout, tuple(scores.shape))
            out = xp.permute_dims(xp.matmul(weights, xp.permute_dims(v, (0, 2, 1, 3))), (0, 2, 1, 3))
        else:
            out = ops.dot_product_attention(q, k, v, mask=mask, is_causal=use_causal_mask)
        out = self._joined(s.sub("attention_output"), out, self.output_shape or query.shape[-1], value_dim)
        return (out, scores) if return_attention_scores else out

    def _heads(self, s: Scope, x, features: int):
        """(batch, time, inputs) to (batch, time, heads, features)."""
        shape = (self.num_heads, features)
        kernel = s.param("kernel", (x.shape[-1], *shape), self.kernel_initializer)
        bias = s.param("bias", shape, self.bias_initializer) if self.use_bias else None
        xp = namespace(x)
        y = ops.linear(x, xp.reshape(kernel, (x.shape[-1], -1)), None if bias is None else xp.reshape(bias, (-1,)))
        return ops.split_last(y, shape)

    def _joined(self, s: Scope, x, units: int, features: int):
        """(batch, time, heads, features) to (batch, time, units)."""
        kernel = s.param("kernel", (self.num_heads, features, units), self.kernel_initializer)
        bias = s.param("bias", (units,), self.bias_initializer) if self.use_bias else None
        return ops.linear(ops.join_last(x), namespace(x).reshape(kernel, (-1, units)), bias)
