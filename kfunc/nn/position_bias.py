"""What attention adds to its logits to say how far apart a query and a key are."""

from __future__ import annotations

import math
from typing import Any

from .. import checks, ops
from ..arrays import device, namespace
from ..typing import Array, ConstraintLike, InitializerLike, RegularizerLike
from .layer import Layer, layer
from .scope import Scope

__all__ = ["AlibiBias", "RelativePositionBias"]


def _distances(query_positions: Any, key_positions: Any) -> Any:
    """Positions of keys minus those of queries: int32 (target, source), or (batch, target, source)."""
    for name, x in (("query_positions", query_positions), ("key_positions", key_positions)):
        if x.ndim != 2:
            checks.rank(name, x, 1)
    xp = namespace(query_positions, key_positions)
    query, key = (xp.astype(x, xp.int32) for x in (query_positions, key_positions))
    return xp.expand_dims(key, axis=-2) - xp.expand_dims(query, axis=-1)


def _by_heads(x: Any) -> Any:
    """(target, source, heads) or (batch, target, source, heads) to (1 or batch, heads, target, source)."""
    xp = namespace(x)
    return xp.permute_dims(xp.expand_dims(x, axis=0) if x.ndim == 3 else x, (0, 3, 1, 2))


@layer
class RelativePositionBias(Layer):
    """A learned number for each head and each range of distances (T5; Raffel et al., arXiv:1910.10683).

    `layer(s, query_positions, key_positions)`: integers (target,) or (batch, target), and (source,) or (batch, source),
    to (1 or batch, heads, target, source), the `attention_bias` of an attention. One half of the ranges are single
    distances, and the others grow with the distance; the last one ends nowhere.

    Args:
        num_heads: The number of heads.
        num_buckets: The number of ranges.
        max_distance: From this distance on, all have the same number.
        bidirectional: Whether keys after the query have ranges of their own, one half of all. Otherwise, they are taken
            for keys at the distance 0.
        embeddings_initializer, embeddings_regularizer, embeddings_constraint: For the numbers, (num_buckets,
            num_heads).
    """

    num_heads: int
    num_buckets: int = 32
    max_distance: int = 128
    bidirectional: bool = True
    embeddings_initializer: InitializerLike = "uniform"
    embeddings_regularizer: RegularizerLike = None
    embeddings_constraint: ConstraintLike = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("num_heads", self.num_heads)
        checks.integer("num_buckets", self.num_buckets, least=4 if self.bidirectional else 2)
        # There is a table of all distances up to this one, so a file must not ask for a very long one.
        checks.integer("max_distance", self.max_distance, least=self.num_buckets, most=2**20)

    def forward(self, s: Scope, query_positions: Array, key_positions: Array) -> Array:
        table = s.weight("embeddings", (self.num_buckets, self.num_heads))
        distance = _distances(query_positions, key_positions)
        xp = namespace(distance)
        away = xp.abs(distance) if self.bidirectional else xp.maximum(-distance, xp.zeros_like(distance))
        if not s.initializing:
            ranges = xp.asarray(self._ranges(), dtype=xp.int32, device=device(distance))
            away = ops.take(ranges, xp.clip(away, 0, self.max_distance), axis=0)
        if self.bidirectional:
            away = away + xp.astype(distance > 0, xp.int32) * (self.num_buckets // 2)
        return _by_heads(ops.embedding(away, table))

    def _ranges(self) -> list[int]:
        """The range of each distance up to the greatest one."""
        ranges = self.num_buckets // 2 if self.bidirectional else self.num_buckets
        single = ranges // 2
        growth = (ranges - single) / math.log(self.max_distance / single)
        # A distance at which a range begins belongs to it, also where the logarithm is rounded to just below.
        grown = [int(math.log(n / single) * growth + 1e-9) for n in range(single, self.max_distance + 1)]
        return [*range(single), *(min(single + n, ranges - 1) for n in grown)]


@layer
class AlibiBias(Layer):
    """Logits that fall with the distance, in each head at another rate (ALiBi; Press et al., arXiv:2108.12409).

    `layer(s, query_positions, key_positions)`: integers (target,) or (batch, target), and (source,) or (batch, source),
    to (1 or batch, heads, target, source), float32, the `attention_bias` of an attention: the distance times
    `-2 ** (-8 i / heads)` in head `i`, counted from 1. If the number of heads is no power of 2, the first heads are
    those of the power below, and the others lie between them, as in BLOOM.

    Args:
        num_heads: The number of heads.
    """

    num_heads: int

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("num_heads", self.num_heads)

    def forward(self, s: Scope, query_positions: Array, key_positions: Array) -> Array:
        away = namespace(query_positions, key_positions).abs(_distances(query_positions, key_positions))
        xp = namespace(away)
        if s.initializing:  # a file may name any number of heads, so nothing is done for each
            slopes = xp.zeros((self.num_heads,), dtype=xp.float32)
        else:
            power = 2 ** (self.num_heads.bit_length() - 1)
            whole = [2 ** (-8 * i / power) for i in range(1, power + 1)]
            between = [2 ** (-4 * i / power) for i in range(1, 2 * (self.num_heads - power), 2)]
            slopes = xp.asarray(whole + between, dtype=xp.float32, device=device(away))
        return _by_heads(-xp.expand_dims(xp.astype(away, xp.float32), axis=-1) * slopes)
