"""Attention layers, and the cache of keys and values that they use to decode."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from operator import index
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .. import checks, ops
from ..arrays import asarray, device, dtype_name, namespace
from ..backends import Backend
from ..errors import ArgumentError, ShapeError, shown
from ..ops._promotion import cast, dtype_of, floating
from ..ops.normalization import wide
from ..typing import Array, Axes, ConstraintLike, InitializerLike, RegularizerLike, Sizes
from .layer import Layer, batch_size, layer
from .masks import hidden
from .rotary import RotaryEmbedding, steps
from .scope import Scope

__all__ = [
    "AdditiveAttention",
    "Attention",
    "GroupQueryAttention",
    "GroupedQueryAttention",
    "KVCache",
    "Memory",
    "MultiHeadAttention",
    "RollingCache",
]

# -- masks -----------------------------------------------------------------------------------------------------------


def _booleans(mask):
    """`mask` as booleans; it may hold numbers."""
    return mask if dtype_name(mask.dtype) == "bool" else mask != 0


def _both(masks):
    """True where all `masks`, which broadcast, are True. Masks that are None are left out."""
    given = [mask for mask in masks if mask is not None]
    return functools.reduce(lambda a, b: namespace(a, b).logical_and(a, b), given) if given else None


def _seen(attention_mask):
    """For a mask (..., target, source): booleans (batch, source), True for each source that a target sees."""
    if attention_mask is None or attention_mask.ndim < 2:
        return None
    mask = _booleans(attention_mask)
    mask = namespace(mask).any(mask, axis=tuple(range(1, mask.ndim - 2)) + (mask.ndim - 2,))
    return mask if mask.ndim > 1 else namespace(mask).expand_dims(mask, axis=0)


def _between(query, source, start=0, axis=1):
    """The positions of targets (target, 1), from `start` on, and of sources (1, source)."""
    xp = namespace(query)
    return xp.expand_dims(steps(query, axis) + start, axis=1), xp.expand_dims(steps(source, axis), axis=0)


# -- attention without weights of its own ------------------------------------------------------------------------------


class _Scored(Layer):
    """`softmax(scores) @ value`. Subclasses define the scores, (batch, target, source)."""

    float_inputs: ClassVar[tuple[str, ...]] = ("inputs",)

    use_scale: bool
    dropout: float

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.probability("dropout", self.dropout, one=True)

    def _scores(self, s: Scope, query, key):
        """How well queries and keys fit together: (batch, target, source); subclasses define it."""
        raise NotImplementedError

    def forward(
        self,
        s: Scope,
        inputs: Any,
        mask: Array | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Array:
        query, value, key = _three("inputs", inputs)
        given = (None, None) if mask is None else _three("mask", mask)[:2]
        query_mask, value_mask = (_at_each(m, query) for m in given)
        xp = namespace(query)
        query, value, key = hidden(query, query_mask), hidden(value, value_mask), hidden(key, value_mask)
        # Their exponentials are the weights, so that the error of a rounded score is relative in a weight.
        scores = self._scores(s, wide(query)[0], wide(value if key is None else key)[0])
        seen = None if value_mask is None else xp.expand_dims(_booleans(value_mask), axis=-2)
        if use_causal_mask:
            target, source = _between(query, value, axis=-2)
            seen = _both([seen, target >= source])
        if seen is not None:
            # The lowest finite number: a row without any source then gives the mean of the values, and not NaN.
            scores = xp.where(seen, scores, xp.full_like(scores, xp.finfo(scores.dtype).min))
        weights = cast(ops.softmax(scores, axis=-1), dtype_of(value))
        if self.dropout and s.train:
            weights = ops.dropout(weights, s.key(), self.dropout)
        out = xp.matmul(weights, value)
        if query_mask is not None:
            out = xp.where(xp.expand_dims(_booleans(query_mask), axis=-1), out, xp.zeros_like(out))
        s.hand_on(given[0])
        return (out, weights) if return_attention_scores else out


def _at_each(mask, x):
    """A mask (batch, time) of `x`, (batch, ..., time, features), as (batch, 1, ..., time)."""
    for _ in range(0 if mask is None else x.ndim - 1 - mask.ndim):
        mask = namespace(mask).expand_dims(mask, axis=1)
    return mask


def _three(argument, given):
    """The query, the value and the key in a list; the key is None if the list has two parts."""
    if not isinstance(given, list | tuple) or not 2 <= len(given) <= 3:
        raise ArgumentError(
            f"`{argument}` must be a list [query, value] or [query, value, key].",
            argument=argument,
            expected="a list of two or three: query, value, key",
            got=f"{len(given)} of them" if isinstance(given, list | tuple) else type(given).__name__,
        )
    if argument == "inputs":
        for name, x in zip(("query", "value", "key"), given, strict=False):
            checks.rank(name, x, 3 if name == "query" else given[0].ndim, least=name == "query")
    return [*given, None][:3]


@layer
class Attention(_Scored):
    """Dot-product attention (Luong et al., arXiv:1508.04025).

    `layer(s, [query, value, key], mask=None, return_attention_scores=False, use_causal_mask=False)`: query (batch,
    target, features), value (batch, source, values) and key (batch, source, features) to (batch, target, values). If
    there is no key, it is the value. More axes may stand between batch and time, equally many in each.

    The mask is a list of two masks. That of the query (batch, target) sets outputs to zero where it is False. That of
    the value (batch, source) hides sources where it is False. Each may be None. Scores are (batch, target, source).

    Args:
        use_scale: Whether the scores are multiplied by a learned number.
        score_mode: "dot", or "concat" for a learned number times `sum(tanh(query + key))`.
        dropout: The probability that training drops an attention weight.
    """

    use_scale: bool = False
    score_mode: str = "dot"
    dropout: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("score_mode", self.score_mode, ("dot", "concat"))

    def _scores(self, s: Scope, query, key):
        xp = namespace(query)
        scale = s.param("scale", (), "ones", cast=False) if self.use_scale else None
        if self.score_mode == "dot":
            scores = xp.matmul(query, xp.matrix_transpose(key))
            return scores if scale is None else scores * scale
        pairs = xp.expand_dims(query, axis=-2) + xp.expand_dims(key, axis=-3)
        pairs = pairs if scale is None else pairs * scale
        return xp.sum(xp.tanh(pairs), axis=-1) * s.param("concat_score_weight", (), "ones", cast=False)


@layer
class AdditiveAttention(_Scored):
    """Attention with the scores `sum(scale * tanh(query + key))` (Bahdanau et al., arXiv:1409.0473).

    It is called as `Attention` is: [(batch, target, features), (batch, source, features)] to (batch, target, features).
    Query, value and key have equally many features.

    Args:
        use_scale: Whether each feature has a learned `scale`; otherwise it is 1.
        dropout: The probability that training drops an attention weight.
    """

    use_scale: bool = True
    dropout: float = 0.0
    seed: int | None = None

    def _scores(self, s: Scope, query, key):
        xp = namespace(query)
        pairs = xp.tanh(xp.expand_dims(query, axis=-2) + xp.expand_dims(key, axis=-3))
        if self.use_scale:
            pairs = pairs * s.param("scale", (query.shape[-1],), "glorot_uniform", cast=False)
        return xp.sum(pairs, axis=-1)


# -- attention in heads ------------------------------------------------------------------------------------------------


class KVCache(NamedTuple):
    """The keys and values of earlier positions, for decoding. `init_cache` makes an empty one.

    Attributes:
        key: (batch, length, heads, features).
        value: (batch, length, heads, features).
        index: The number of positions that are filled: int32 ().
    """

    key: Any
    value: Any
    index: Any


class RollingCache(NamedTuple):
    """The keys and values of the last positions, all that a layer with a `sliding_window` looks at.

    Masks and biases that come with it are of the whole sequence: their sources are all positions from the first one.

    Attributes:
        key: (batch, window - 1, heads, features). The last entry is that of position `index - 1`.
        value: (batch, window - 1, heads, features).
        index: The number of positions so far: int32 ().
    """

    key: Any
    value: Any
    index: Any


class Memory(NamedTuple):
    """The keys and values of a sequence that does not change while others attend to it, such as an encoder's output.

    `keys_and_values` makes it once, and `layer(s, query, memory=memory)` uses it each time.

    Attributes:
        key: (batch, source, heads, features).
        value: (batch, source, heads, features).
    """

    key: Any
    value: Any


_PROJECTIONS = ("query", "key", "value", "gate", "attention_output")


class _Fold:
    """Turns attention over several axes, or one of several, into attention over sequences (batch, time, features)."""

    def __init__(self, query, value, axes: tuple[int, ...]):
        self.query, self.axes = query, axes
        self.rest = tuple(n for n in range(1, query.ndim - 1) if n not in axes)
        self.others = checks.known("query", query, *self.rest)
        self.target, self.source = checks.known("query", query, *axes), checks.known("value", value, *axes)
        if _differ(self.others, checks.known("value", value, *self.rest)):
            raise ShapeError(
                f"`value` must have the sizes {self.others} of the query on axes {self.rest}, got {value.shape}.",
                argument="value",
                expected=f"the query's sizes of the axes {self.rest}: {self.others}",
                got=tuple(value.shape),
            )

    def sequence(self, x: Array):
        """(batch, ..., features) to (batch * others, time, features); the same for a mask of the positions."""
        if x is None:
            return None
        xp, order = namespace(x), (0, *self.rest, *self.axes)
        features = tuple(x.shape[len(order) :])
        time = math.prod(checks.known("query", x, *self.axes))
        return xp.reshape(xp.permute_dims(x, (*order, *range(len(order), x.ndim))), (-1, time, *features))

    def pairs(self, x: Array):
        """A mask or a bias (batch, others, heads, targets, sources) for the sequences; first axes may be missing."""
        if x is None:
            return None
        xp = namespace(x, self.query)
        sizes = (*self.target, *self.source)
        x = xp.where(xp.ones(sizes, dtype=xp.bool, device=device(x)), x, x)  # in the shape of both
        first = tuple(-1 if n is None else n for n in x.shape[: x.ndim - len(sizes)])
        ones = (1,) * (2 + len(self.rest) - len(first))
        x = xp.reshape(x, (*first, *ones, math.prod(self.target), math.prod(self.source)))
        if not self.rest:
            return x
        inside = [slice(None) if n in (0, *self.rest) else 0 for n in range(self.query.ndim)]
        each = xp.ones_like(self.query[tuple(inside)], dtype=xp.bool)
        x = xp.where(xp.reshape(each, (-1, *self.others, 1, 1, 1)), x, x)
        return xp.reshape(x, (-1, *x.shape[-3:]))

    def positions(self, x: Array):
        """(batch * others, time, ...) to (batch, axes of the query, ...)."""
        xp, order = namespace(x), (0, *self.rest, *self.axes)
        x = xp.reshape(x, (-1, *self.others, *self.target, *x.shape[2:]))
        back = sorted(range(len(order)), key=order.__getitem__)
        return xp.permute_dims(x, (*back, *range(len(order), x.ndim)))

    def scores(self, x: Array):
        """(batch * others, heads, target, source) to (batch, others, heads, targets, sources)."""
        if x is None:
            return None
        return namespace(x).reshape(x, (-1, *self.others, x.shape[1], *self.target, *self.source))


class _MultiHead(Layer):
    """Attention between projections of the inputs. Subclasses say how many heads there are, and how wide they are."""

    float_inputs: ClassVar[tuple[str, ...]] = ("query", "value", "key", "attention_bias")
    _positions: ClassVar[tuple[Any, ...]] = ("activity_regularizer", "kernel_constraint")

    dropout: float
    use_bias: bool | Sequence[str]
    sliding_window: int | None
    flash_attention: bool | None
    kernel_initializer: InitializerLike
    bias_initializer: InitializerLike
    kernel_regularizer: RegularizerLike
    bias_regularizer: RegularizerLike
    kernel_constraint: ConstraintLike
    bias_constraint: ConstraintLike
    use_gate: bool
    rotary: Layer | None
    scale: float | None
    attn_logits_soft_cap: float | None
    query_norm: Layer | None
    key_norm: Layer | None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.probability("dropout", self.dropout, one=True)
        checks.positive("sliding_window", self.sliding_window, none=True)
        checks.number("scale", self.scale, none=True)
        checks.number("attn_logits_soft_cap", self.attn_logits_soft_cap, above=0, none=True)
        biased = self.use_bias
        names = tuple(n for n in _PROJECTIONS if self.use_gate or n != "gate")
        if not isinstance(biased, bool) and not (isinstance(biased, tuple) and all(n in names for n in biased)):
            what = "a bool, or a list of names of projections"
            raise ArgumentError.must_be("use_bias", what, biased, said=f"a bool, or a list of {', '.join(names)}")
        wanted = {
            "rotary": "a layer (x, start_index) -> x, such as nn.RotaryEmbedding()",
            "query_norm": "a layer that keeps the shape, such as nn.RMSNormalization()",
            "key_norm": "a layer that keeps the shape, such as nn.RMSNormalization()",
        }
        for name, expected in wanted.items():
            given = getattr(self, name)
            if given is not None and not isinstance(given, Layer):
                raise ArgumentError(
                    f"`{name}` must be a layer, got {shown(given)}.", argument=name, expected=expected, got=repr(given)
                )

    @property
    def _heads(self) -> tuple[int, int, int, int]:
        """The numbers of heads of the query, and of key and value; the features of a query and key, and of a value."""
        raise NotImplementedError

    @property
    def _outputs(self) -> tuple[int, ...] | None:
        return None

    def activity(self, out: Any) -> Array:
        # As in Keras, it does not include the scores or the cache.
        return out[0] if isinstance(out, tuple) else out

    def _fold(self, query, value, key, cache) -> _Fold | None:
        """How the inputs become sequences; None if they are (batch, time, features) already."""
        _check_inputs(query, value, key, 3)
        return None

    def init_cache(
        self,
        batch: int,
        length: int,
        dtype: str | None = None,
        backend: str | Backend | None = None,
        device: Any = None,
        *,
        within: Layer | None = None,
        rolling: bool | None = None,
    ) -> KVCache | RollingCache:
        """An empty cache.

        Args:
            batch: The number of sequences.
            length: The largest number of positions of a sequence. Outputs at later positions are NaN.
            dtype: The name of the dtype; by default the dtype in which the policy of this layer computes, or float32. A
                policy brings a cache of another dtype into its own at the first call.
            backend: The backend of the arrays; NumPy by default.
            device: The device on this backend.
            within: The network of which this layer is a part: then the policy of the network holds where this layer has
                no own. A layer does not know the networks around it.
            rolling: Whether a layer with a `sliding_window` keeps only as many positions as it looks at: then no length
                is too long. By default it does so where the window is not longer than `length`.
        """
        checks.positive("batch", batch)
        checks.positive("length", length)
        checks.boolean("rolling", rolling, none=True)
        policy = self.dtype if within is None else _policy_within(within, self)
        dtype = dtype or getattr(policy, "compute_dtype", "float32")
        window = self.sliding_window
        if rolling and window is None:
            raise ArgumentError(
                "`rolling` is True, and the layer has no `sliding_window`.",
                argument="rolling",
                expected="a layer with a `sliding_window`",
                got=True,
            )
        if rolling is None:
            rolling = window is not None and window <= length
        slots = max(window - 1, 1) if rolling and window is not None else length
        _, groups, width, value_width = self._heads
        shapes = [(batch, slots, groups, n) for n in (width, value_width)]
        key, value = (asarray(np.zeros(shape, np.float32), dtype, backend=backend, device=device) for shape in shapes)
        index = asarray(np.zeros((), np.int32), backend=backend, device=device)
        return RollingCache(key, value, index) if rolling else KVCache(key, value, index)

    def keys_and_values(
        self, s: Scope, value: Array, key: Array | None = None, positions: Array | None = None
    ) -> Memory:
        """The keys and values of a sequence to which others will attend, as often as they like, with `memory=`.

        `layer(s, query, memory=layer.keys_and_values(s, value))` is `layer(s, query, value)`.

        Args:
            s: The scope of the layer around this one, as in a call.
            value, key: As in a call: (batch, source, inputs).
            positions: Integers (source,) or (batch, source), for `rotary`.
        """
        s = s.child(self)
        value, key = (None if x is None else floating(x) for x in (value, key))
        if s.policy is not None:
            value, key = s.policy.cast(value), s.policy.cast(key)
        _check_inputs(value, value, key, 3)
        projected, k, v = self._keys_and_values(s, value, key)
        self._add_losses(s, value, key=projected, value=v)
        return Memory(self._turned(s, [k], 0, positions)[0], v)

    def forward(
        self,
        s: Scope,
        query: Array,
        value: Array | None = None,
        key: Array | None = None,
        *,
        attention_mask: Array = None,
        query_mask: Array = None,
        value_mask: Array = None,
        key_mask: Array = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
        cache: KVCache | RollingCache | None = None,
        attention_bias: Array | None = None,
        positions: Array | None = None,
        memory: Memory | None = None,
    ) -> Array:
        self._check_sources(value, key, cache, memory)
        fold = self._fold(query, query if value is None else value, key, memory if cache is None else cache)
        inputs, handed_on = query, query_mask
        if fold is not None:
            query, value, key = fold.sequence(query), fold.sequence(value), fold.sequence(key)
            query_mask, value_mask, key_mask = (fold.sequence(m) for m in (query_mask, value_mask, key_mask))
            attention_mask = None if attention_mask is None else fold.pairs(_booleans(attention_mask))
            attention_bias = fold.pairs(attention_bias)
        if cache is None:
            query = hidden(query, query_mask)
            for sources in (value_mask, key_mask, _seen(attention_mask)):
                value, key = hidden(value, sources), hidden(key, sources)
        heads, _, width, value_width = self._heads
        start = 0 if cache is None else cache.index
        projected = self._dense(s, "query", query, (heads, width))
        q = projected if self.query_norm is None else self.query_norm(s, projected)
        projected_key = own = None
        if memory is None:
            projected_key, k, v = self._keys_and_values(s, value, key)
            q, k = self._turned(s, [q, k], start, positions)
            own = v
        else:
            (q,) = self._turned(s, [q], start, positions)
            k, v = self._remembered(memory)
        gate = ops.sigmoid(self._dense(s, "gate", query, (heads, value_width))) if self.use_gate else None
        self._add_losses(s, inputs, query=projected, key=projected_key, value=own, gate=gate)
        new, first = None, 0
        if cache is not None:
            k, v, new, first = _extended(cache, k, v)
            if k.dtype != q.dtype:
                k, v = cast(k, dtype_of(q)), cast(v, dtype_of(q))
        masks = query_mask, value_mask, key_mask, attention_mask
        if isinstance(cache, KVCache) and not return_attention_scores and not (self.dropout and s.train):
            # One op, since a kernel that can read where the cache ends looks at no more than that.
            mask, bias, _ = self._mask(q, k, None, first, *masks, attention_bias, window=None)
            window, cap = self.sliding_window, self.attn_logits_soft_cap
            out, scores = ops.cached_attention(q, k, v, start, bias, mask, self.scale, window, cap), None
        else:
            mask, bias, length = self._mask(q, k, cache, first, *masks, attention_bias, window=self.sliding_window)
            causal = use_causal_mask and cache is None  # as a flag, since kernels are faster with it than with a mask
            out, scores = self._attend(s, q, k, v, mask, bias, causal, return_attention_scores)
            if new is not None and length is not None:
                # Past its end the cache no longer holds all keys and values, and masks say nothing of later positions.
                out = namespace(out).where(new.index <= length, out, math.nan)
        out = out if gate is None else out * gate
        out = self._dense(s, "attention_output", out, self._outputs or (query.shape[-1],), joined=True)
        if fold is not None:
            out, scores = fold.positions(out), fold.scores(scores)
        s.hand_on(handed_on)
        results = (out, *([scores] if return_attention_scores else []), *([] if new is None else [new]))
        return results if len(results) > 1 else out

    def _check_sources(self, value, key, cache, memory):
        if memory is None and value is None:
            raise ArgumentError(
                "`value` is missing: there is nothing to attend to.",
                argument="value",
                expected="an array (batch, source, features); or memory=, as keys_and_values returned it",
                got=None,
                fix="for self-attention, write layer(s, x, x)",
            )
        if memory is not None and not (value is None and key is None and cache is None):
            raise ArgumentError(
                "`memory` holds the keys and values, so `value`, `key` and `cache` must not be given with it.",
                argument="memory",
                expected="layer(s, query, memory=memory)",
                got=", ".join(n for n, x in (("value", value), ("key", key), ("cache", cache)) if x is not None),
            )

    def _remembered(self, memory: Memory):
        _, groups, *widths = self._heads
        for name, x, width in zip(("key", "value"), memory, widths, strict=True):
            if x.ndim != 4 or _differ(x.shape[2:], (groups, width)):
                raise ShapeError(
                    f"`memory` must have a {name} (batch, source, {groups}, {width}), got shape {tuple(x.shape)}.",
                    argument="memory",
                    expected=f"a {name} of shape (batch, source, {groups}, {width})",
                    got=tuple(x.shape),
                    fix="make it with keys_and_values of this layer",
                )
        return memory

    def _keys_and_values(self, s: Scope, value, key):
        """The projection of the key, the key after its norm, and the value."""
        _, groups, width, value_width = self._heads
        projected = self._dense(s, "key", value if key is None else key, (groups, width))
        k = projected if self.key_norm is None else self.key_norm(s, projected)
        return projected, k, self._dense(s, "value", value, (groups, value_width))

    def _turned(self, s: Scope, xs: list, start, positions) -> list:
        """Queries and keys (batch, time, heads, features), turned by their positions."""
        if self.rotary is None:
            return xs
        where = {"start_index": start} if positions is None else {"positions": positions}
        for x in () if positions is None else xs:
            if positions.ndim not in (1, 2) or _differ(positions.shape[-1:], x.shape[1:2]):
                raise ShapeError(
                    f"`positions` must be ({x.shape[1]},) or (batch, {x.shape[1]}), got {tuple(positions.shape)}.",
                    argument="positions",
                    expected=f"({x.shape[1]},) or (batch, {x.shape[1]})",
                    got=tuple(positions.shape),
                )
        if isinstance(self.rotary, RotaryEmbedding) and len({x.shape[1] for x in xs}) == 1:
            return self.rotary(s, xs, **where)  # the angles are the same, and are computed once
        return [self.rotary(s, x, **where) for x in xs]

    def _add_losses(self, s: Scope, inputs, **projections):
        """The activity regularizer of each projection; that of the output works as in every layer."""
        regularizer: Any = self.activity_regularizer
        if regularizer is not None and s.wants_losses:
            for name, x in projections.items():
                if x is not None:
                    s.sub(name).add_loss(regularizer(x) / batch_size(inputs))

    def _mask(self, q, k, cache, first, query_mask, value_mask, key_mask, attention_mask, bias, window):
        """All masks as one mask that broadcasts to the scores, or None; the bias; up to which length these go.

        `first` is the position of the first key. `window` is `sliding_window`, or None where that is not in the mask.
        """
        xp = namespace(q)
        sources = [value_mask, key_mask, attention_mask, bias]
        length = None if cache is None else k.shape[1]
        if isinstance(cache, RollingCache):
            lengths = [x.shape[-1] for x in sources if x is not None and x.ndim and x.shape[-1] not in (1, None)]
            length = min(lengths) if lengths else None
            if lengths:
                places = steps(k, 1) + first
                sources = [_sources_at(x, places) for x in sources]
        value_mask, key_mask, attention_mask, bias = sources
        masks = [_of_scores(q, query_mask, "query_mask", -1)]
        masks += [_of_scores(k, value_mask, "value_mask", -2), _of_scores(k, key_mask, "key_mask", -2)]
        if attention_mask is not None:
            mask = _booleans(attention_mask)
            for _ in range(4 - mask.ndim):
                mask = xp.expand_dims(mask, axis=-3)
            _check_pairs("attention_mask", mask, q, k)
            masks.append(mask)
        if bias is not None:
            _check_pairs("attention_bias", bias, q, k)
        if cache is not None or window is not None:
            target, source = _between(q, k, 0 if cache is None else cache.index)
            if isinstance(cache, RollingCache):
                source = source + first
                masks.append(source >= 0)  # before the first position, the cache is empty
            masks.append(None if window is None else xp.abs(target - source) < window)
            masks.append(None if cache is None else target >= source)
        return _both(masks), bias, length

    def _attend(self, s: Scope, q, k, v, mask, bias, causal: bool, with_scores: bool):
        """The weighted values (batch, target, heads, features), and the scores if they are returned."""
        dropping = self.dropout and s.train
        cap = self.attn_logits_soft_cap
        if not with_scores and not dropping:
            return ops.dot_product_attention(q, k, v, bias, mask, self.scale, causal, attn_logits_soft_cap=cap), None
        xp = namespace(q)
        scores = ops.attention_scores(q, k, bias, mask, self.scale, causal, cap)
        weights = ops.dropout(scores, s.key(), self.dropout) if dropping else scores
        v = v if v.shape[2] == q.shape[2] else xp.repeat(v, q.shape[2] // v.shape[2], axis=2)
        return xp.permute_dims(xp.matmul(weights, xp.permute_dims(v, (0, 2, 1, 3))), (0, 2, 1, 3)), scores

    def _dense(self, s: Scope, name: str, x, shape: tuple[int, ...], joined: bool = False):
        """A dense layer over the last axis of `x`, or the last two, to (..., *shape)."""
        s = s.sub(name)
        kernel = s.weight("kernel", (*x.shape[-2 if joined else -1 :], *shape))
        biased = self.use_bias if isinstance(self.use_bias, bool) else name in self.use_bias
        bias = s.weight("bias", shape) if biased else None
        xp = namespace(x)
        x = ops.join_last(x) if joined else x
        if kernel.ndim > 2:
            kernel = xp.reshape(kernel, (x.shape[-1], -1))
        if len(shape) == 1:
            return ops.linear(x, kernel, bias)
        return ops.split_last(ops.linear(x, kernel, None if bias is None else xp.reshape(bias, (-1,))), shape)


def _policy_within(net: Layer, of: Layer) -> Any:
    """The policy that holds for the layer `of`, which stands somewhere in `net`; None if there is none."""
    waiting: list[tuple[Layer, tuple[str, ...], Any]] = [(net, (), None)]
    while waiting:
        layer, path, above = waiting.pop()
        policies: Any = above if layer.dtype is None else layer.dtype
        if layer is of:
            return None if policies is None else policies.at("/".join(path))
        waiting += [(child, (*path, name), policies) for name, child in layer._named()]
    raise ArgumentError(
        f"The {type(of).__name__} is not a part of the network `within`.",
        argument="within",
        expected="a network that holds this layer",
        got=shown(net),
    )


def _check_inputs(query, value, key, axes: int, least: bool = False):
    checks.rank("query", query, axes, least)
    for name, x in (("value", value), ("key", key)):
        if x is not None:
            checks.rank(name, x, query.ndim)
    if key is not None and _differ(value.shape[:-1], key.shape[:-1]):
        raise ShapeError(
            f"`key` must have one key for each value, {tuple(value.shape[:-1])}, got shape {tuple(key.shape)}.",
            argument="key",
            expected=f"{tuple(value.shape[:-1])} of them, as of the value",
            got=tuple(key.shape),
        )


def _differ(first, second) -> bool:
    return any(None not in (a, b) and a != b for a, b in zip(first, second, strict=True))


def _of_scores(x, mask, name, axis):
    """A mask of positions (batch, time) as a mask of the scores. `axis` is -1 for targets, and -2 for sources."""
    if mask is None:
        return None
    if mask.ndim != 2 or _differ(mask.shape[1:], x.shape[1:2]):
        raise ShapeError(
            f"`{name}` must be (batch, {x.shape[1]}), got {tuple(mask.shape)}.",
            argument=name,
            expected=f"(batch, {x.shape[1]})",
            got=tuple(mask.shape),
            fix="with a cache, masks of sources have the length of the whole cache",
        )
    xp = namespace(mask)
    return xp.expand_dims(xp.expand_dims(_booleans(mask), axis=axis), axis=1)


def _check_pairs(name, x, q, k):
    """Raise a ShapeError if a mask or a bias does not broadcast to the scores."""
    scores = (q.shape[0], q.shape[2], q.shape[1], k.shape[1])
    sizes = zip(reversed(x.shape), reversed(scores), strict=False)
    if x.ndim > 4 or any(n != 1 and None not in (n, m) and n != m for n, m in sizes):
        raise ShapeError(
            f"`{name}` must broadcast to the scores, {scores}, got shape {tuple(x.shape)}.",
            argument=name,
            expected=f"(batch, heads, target, source), here {scores}; each may be 1",
            got=tuple(x.shape),
            fix="with a cache, sources are all positions of the cache",
        )


def _sources_at(x, places):
    """The entries of a mask or bias (..., source) at `places`, positions of which some may lie before the first."""
    if x is None or not x.ndim or x.shape[-1] == 1:
        return x
    xp = namespace(x)
    last = steps(x, -1)[-1] if x.shape[-1] is None else x.shape[-1] - 1
    return xp.take(x, xp.clip(places, 0, last), axis=-1)


def _extended(cache, key, value):
    """The keys and values that there are to attend to, the cache after them, and the position of the first key."""
    rolling = isinstance(cache, RollingCache)
    for new, old, name in ((key, cache.key, "key"), (value, cache.value, "value")):
        pairs = list(zip(new.shape, old.shape, strict=True)) if old.ndim == 4 else []
        fits = [None in (n, m) or (axis == 1 and (rolling or n <= m)) or n == m for axis, (n, m) in enumerate(pairs)]
        if not pairs or not all(fits):
            raise ShapeError(
                f"`cache` has a {name} of shape {tuple(old.shape)}, and {tuple(new.shape)} or longer is needed.",
                argument="cache",
                expected=f"{tuple(new.shape)}, or longer",
                got=tuple(old.shape),
                fix="make it with init_cache of this layer, for this batch, as long as the longest sequence",
            )
    length = key.shape[1]
    end = cache.index + (steps(key, 1)[-1] + 1 if length is None else length)
    if not rolling:
        start = [0, cache.index, 0, 0]
        key, value = ops.slice_update(cache.key, start, key), ops.slice_update(cache.value, start, value)
        return key, value, KVCache(key, value, end), 0
    # The entries move on, so that they stay in their order, and need no look-up by position. The first targets of a
    # chunk see entries that the last ones no longer see: so all are there, the old ones and the new ones.
    slots, xp = cache.key.shape[1], namespace(key, cache.key)
    key, value = (
        xp.concat([old, cast(new, dtype_of(old))], axis=1) for old, new in ((cache.key, key), (cache.value, value))
    )
    return key, value, RollingCache(_last(key, slots), _last(value, slots), end), cache.index - slots


def _last(x, n):
    """The last `n` entries of the second axis, whose size may be unknown."""
    if x.shape[1] is not None:
        return x[:, x.shape[1] - n :, ...]
    xp = namespace(x)
    return xp.take(x, steps(x, 1)[-1] + 1 - n + xp.arange(n, dtype=xp.int32, device=device(x)), axis=1)


@layer
class MultiHeadAttention(_MultiHead):
    """Attention in several heads (Vaswani et al., arXiv:1706.03762).

    `layer(s, query, value, key=None, *, attention_mask=None, query_mask=None, value_mask=None, key_mask=None,
    return_attention_scores=False, use_causal_mask=False, cache=None, attention_bias=None, positions=None,
    memory=None)`: query (batch, target, inputs), value and key (batch, source, inputs) to (batch, target, outputs).
    With `return_attention_scores`, the scores (batch, heads, target, source) are returned, too. Masks are True where a
    position counts. They are (batch, target) or (batch, source); `attention_mask` broadcasts to (batch, target, source)
    or to the scores. A target that sees no source gets the mean of the values. `attention_bias` broadcasts to the
    scores, and is added to them before the softmax. `positions`, integers (target,) or (batch, target), are those of
    the query, the key and the value; they have an effect on `rotary` alone.

    To decode step by step, start with an empty cache and pass the tokens as they come, any number at a time:

        cache = layer.init_cache(batch, length, backend="jax")
        (y, cache), _ = layer.apply(params, x, x, cache=cache)

    Targets see the cache up to their own position. `attention_mask`, `attention_bias` and masks of sources have the
    length of the whole cache; with a `RollingCache`, that of the longest sequence. So padding before the tokens is
    hidden by a `value_mask`, and `positions` say where the tokens begin. All steps have the same shapes, so that one
    compiled step serves for all of them. In a network, each block has its own cache:

        @nn.layer
        class Decoder(nn.Layer):
            blocks: tuple[nn.Layer, ...]

            def forward(self, s, x, caches):
                new = []
                for block, cache in zip(self.blocks, caches, strict=True):
                    y, cache = block(s, x, x, cache=cache)
                    x = x + y
                    new.append(cache)
                return x, new

    To attend to one sequence often, such as to the output of an encoder, compute its keys and values once:

        memory = self.attention.keys_and_values(s, encoded)
        y = self.attention(s, x, memory=memory)

    Args:
        num_heads: The number of heads.
        key_dim: The number of features of the query and the key in each head.
        value_dim: The number of features of the value in each head; `key_dim` by default.
        dropout: The probability that training drops an attention weight.
        use_bias: Whether the projections have a bias; or the names of those that have one: "query", "key", "value",
            "gate", "attention_output".
        output_shape: The number of outputs, or their shape; by default the number of inputs of the query.
        attention_axes: The axis of time, or several axes; by default all axes except the first and the last. Inputs
            have three or more axes. Attention is computed along these axes, for each index of the other axes.
        sliding_window: A target sees only sources at a distance of less than this. None: it sees all.
        flash_attention: Has no effect. The fused kernel of a framework is used wherever that is possible.
        kernel_initializer, kernel_regularizer, kernel_constraint: For the kernels of all projections.
        bias_initializer, bias_regularizer, bias_constraint: For the biases of all projections.
        use_gate: Whether the outputs of the heads are multiplied by the sigmoid of another projection of the query
            (arXiv:2505.06708).
        rotary: A layer that turns the query and the key of each head by their positions, such as `RotaryEmbedding()`.
            It is called with a `start_index`, or with `positions`. None: positions have no effect.
        scale: The number by which the products of queries and keys are multiplied; `1 / sqrt(key_dim)` by default.
        attn_logits_soft_cap: Before bias and mask, the scores become `cap * tanh(scores / cap)` (Gemma 2,
            arXiv:2408.00118).
        query_norm, key_norm: Layers that normalise the query and the key of each head, (batch, time, heads, features),
            before `rotary`, such as `RMSNormalization()` (Henry et al., arXiv:2010.04245).
    """

    num_heads: int
    key_dim: int
    value_dim: int | None = None
    dropout: float = 0.0
    use_bias: bool | Sequence[str] = True
    output_shape: Sizes | None = None
    attention_axes: Axes | None = None
    sliding_window: int | None = None
    flash_attention: bool | None = None
    kernel_initializer: InitializerLike = "glorot_uniform"
    bias_initializer: InitializerLike = "zeros"
    kernel_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None
    use_gate: bool = False
    seed: int | None = None
    rotary: Layer | None = dataclasses.field(default=None, kw_only=True)
    scale: float | None = dataclasses.field(default=None, kw_only=True)
    attn_logits_soft_cap: float | None = dataclasses.field(default=None, kw_only=True)
    query_norm: Layer | None = dataclasses.field(default=None, kw_only=True)
    key_norm: Layer | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("num_heads", self.num_heads)
        checks.positive("key_dim", self.key_dim)
        checks.positive("value_dim", self.value_dim, none=True)
        for n in _tuple("output_shape", self.output_shape):
            checks.positive("output_shape", n)
        for axis in _tuple("attention_axes", self.attention_axes):
            checks.integer("attention_axes", axis)

    @property
    def _heads(self):
        return self.num_heads, self.num_heads, self.key_dim, self.value_dim or self.key_dim

    @property
    def _outputs(self):
        return _tuple("output_shape", self.output_shape)

    def _fold(self, query, value, key, cache):
        _check_inputs(query, value, key, 3, least=True)
        given = _tuple("attention_axes", self.attention_axes) or range(1, query.ndim - 1)
        # `index`: under torch.compile(dynamic=True) the numbers of a layer are symbols, and `in` does not find them.
        axes = tuple([index(n) + query.ndim if n < 0 else index(n) for n in given])
        if len(set(axes)) < len(axes) or not all(0 < n < query.ndim - 1 for n in axes):
            raise ShapeError(
                f"`attention_axes` must be axes between the first and the last of {tuple(query.shape)}, each once.",
                argument="attention_axes",
                expected=f"axes of an input {tuple(query.shape)}",
                got=self.attention_axes,
            )
        if query.ndim == 3:
            return None
        if cache is not None:
            checks.rank("query", query, 3, fix="attention over several axes takes no cache and no memory")
        return _Fold(query, value, axes)


def _tuple(argument, given) -> tuple:
    if given is None:
        return ()
    if isinstance(given, int):
        return (given,)
    if not isinstance(given, tuple | list) or not given:
        raise ArgumentError(
            f"`{argument}` must be an integer or a tuple of integers, got {shown(given)}.",
            argument=argument,
            expected="an integer or a tuple",
            got=repr(given),
        )
    return tuple(given)


@layer
class GroupQueryAttention(_MultiHead):
    """Attention in heads of which several share one key and value (Ainslie et al., arXiv:2305.13245).

    It is called as `MultiHeadAttention` is: (batch, target, features) and (batch, source, features) to (batch, target,
    features). The cache is of the same kind, but smaller, since several heads share each key and value.

    Args:
        head_dim: The number of features of the query, the key and the value in each head.
        num_query_heads: The number of heads.
        num_key_value_heads: The number of keys and values, which must divide `num_query_heads`.
        dropout, use_bias, sliding_window, flash_attention, use_gate, rotary: As for `MultiHeadAttention`.
        scale, attn_logits_soft_cap, query_norm, key_norm: As for `MultiHeadAttention`.
        kernel_initializer, kernel_regularizer, kernel_constraint: For the kernels of all projections.
        bias_initializer, bias_regularizer, bias_constraint: For the biases of all projections.
    """

    head_dim: int
    num_query_heads: int
    num_key_value_heads: int
    dropout: float = 0.0
    use_bias: bool | Sequence[str] = True
    sliding_window: int | None = None
    flash_attention: bool | None = None
    kernel_initializer: InitializerLike = "glorot_uniform"
    bias_initializer: InitializerLike = "zeros"
    kernel_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None
    use_gate: bool = False
    seed: int | None = None
    rotary: Layer | None = dataclasses.field(default=None, kw_only=True)
    scale: float | None = dataclasses.field(default=None, kw_only=True)
    attn_logits_soft_cap: float | None = dataclasses.field(default=None, kw_only=True)
    query_norm: Layer | None = dataclasses.field(default=None, kw_only=True)
    key_norm: Layer | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("head_dim", self.head_dim)
        checks.positive("num_query_heads", self.num_query_heads)
        checks.positive("num_key_value_heads", self.num_key_value_heads)
        if self.num_query_heads % self.num_key_value_heads:
            raise ArgumentError(
                f"`num_key_value_heads` must divide {self.num_query_heads}, got {self.num_key_value_heads}.",
                argument="num_key_value_heads",
                expected=f"a divisor of num_query_heads, {self.num_query_heads}",
                got=self.num_key_value_heads,
            )

    @property
    def _heads(self):
        return self.num_query_heads, self.num_key_value_heads, self.head_dim, self.head_dim


GroupedQueryAttention = GroupQueryAttention
