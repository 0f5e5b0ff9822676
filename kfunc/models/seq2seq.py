"""What encoder-decoder families share: the caches of a decoder, and the blocks of encoders and decoders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .. import checks, nn
from ..arrays import namespace
from ..backends import Backend
from ..errors import ArgumentError, ShapeError
from ..nn.layer import Layer, base_layer
from ..nn.scope import Scope
from ..random import uniform
from ..typing import Array
from .blocks import Rule, check_tokens, dense_rules, drop, head_rules, head_width, norm_rules, within

__all__ = ["Block", "LAYERDROP", "Caches", "decode", "empty_caches"]


LAYERDROP = ("encoder_layerdrop", "decoder_layerdrop")
"""Fields for the probabilities that training leaves out a block."""


class Caches(NamedTuple):
    """What a decoder keeps between the steps of a generation.

    Attributes:
        past: The keys and values of the tokens so far, a `KVCache` for each block.
        memory: The keys and values of the encoder's output, a `Memory` for each block; () before the first call.
        mask: The mask of the encoder's inputs, booleans (batch, source), or None.
    """

    past: tuple[Any, ...]
    memory: tuple[Any, ...] = ()
    mask: Any = None


@base_layer
class Block(Layer):
    """A block of an encoder or, with `cross`, of a decoder: attention, cross-attention and `mlp`, each added to `x`.

    `layer(s, x, source=None, *, source_mask=None, cache=None, **options)`: x (batch, time, features) to (y, cache,
    memory). `source` is the encoder's output (batch, source, features), or the `Memory` that an earlier call returned.
    Options are those of `MultiHeadAttention`, and go to `attention`.

    Args:
        norm_first: Whether the norms act on what goes into each part, or on each sum.
        dropout: The probability that training drops a number of what is added.
        layerdrop: The probability that training leaves out the whole block (Fan et al., arXiv:1909.11556).
    """

    attention: nn.MultiHeadAttention
    attention_norm: Layer
    mlp: Layer
    mlp_norm: Layer
    cross: nn.MultiHeadAttention | None = None
    cross_norm: Layer | None = None
    norm_first: bool = True
    dropout: float = 0.0
    layerdrop: float = 0.0

    def forward(
        self, s: Scope, x: Array, source: Any = None, *, source_mask: Array = None, cache: Any = None, **options: Any
    ) -> tuple[Array, Any, Any]:
        before = x
        h = self._before(s, self.attention_norm, x)
        y = self.attention(s, h, h, cache=cache, **options)
        y, cache = (y, None) if cache is None else y
        x = self._after(s, self.attention_norm, x, y)
        memory = None
        if self.cross is not None:
            memory = source if isinstance(source, nn.Memory) else self.cross.keys_and_values(s, source)
            h = self._before(s, self.cross_norm, x)
            x = self._after(s, self.cross_norm, x, self.cross(s, h, memory=memory, value_mask=source_mask))
        y = self.mlp(s, self._before(s, self.mlp_norm, x))
        x = self._after(s, self.mlp_norm, x, y)
        if self.layerdrop and s.train:
            # It is computed in any case, so that the program is the same for all draws.
            x = namespace(x).where(uniform(s.key(), ()) < self.layerdrop, before, x)
        return x, cache, memory

    def _before(self, s: Scope, norm: Any, x: Array) -> Array:
        return norm(s, x) if self.norm_first else x

    def _after(self, s: Scope, norm: Any, x: Array, y: Array) -> Array:
        x = x + drop(s, y, self.dropout)
        return x if self.norm_first else norm(s, x)


def decode(
    s: Scope,
    blocks: Sequence[Block],
    x: Array,
    source: Array | None,
    mask: Array | None,
    caches: Caches | None,
    **options: Any,
) -> tuple[Array, Caches | None]:
    """`x` after all blocks of a decoder, and the caches after this call.

    Args:
        source: The encoder's output, or None if `caches` hold its keys and values.
        mask: The mask of the source; without a source, by default that of the caches.
    """
    mask = caches.mask if mask is None and source is None and caches is not None else mask
    past, memory = [], []
    for i, block in enumerate(blocks):
        x, cache, seen = block(
            s,
            x,
            caches.memory[i] if source is None and caches is not None else source,
            source_mask=mask,
            cache=None if caches is None else caches.past[i],
            use_causal_mask=True,
            **options,
        )
        past.append(cache)
        memory.append(seen)
    return x, None if caches is None else Caches(tuple(past), tuple(memory), mask)


def make_blocks(
    length: int,
    d_model: int,
    heads: int,
    mlp: Callable[[], Layer],
    cross: bool,
    dropout: float,
    attention_dropout: float,
    use_bias: bool | Sequence[str] = True,
    norm_first: bool = True,
    layerdrop: float = 0.0,
) -> tuple[Block, ...]:
    """The blocks of an encoder or a decoder of BART or Whisper.

    Raises:
        ArgumentError: The heads do not divide the features.
    """
    width = head_width(d_model, heads, "d_model", f"{'decoder' if cross else 'encoder'}_attention_heads")

    def attention() -> nn.MultiHeadAttention:
        return nn.MultiHeadAttention(heads, width, dropout=attention_dropout, use_bias=use_bias)

    def norm() -> Layer:
        return nn.LayerNormalization(epsilon=1e-5)

    def block() -> Block:
        also, also_norm = (attention(), norm()) if cross else (None, None)
        return Block(attention(), norm(), mlp(), norm(), also, also_norm, norm_first, dropout, layerdrop)

    return tuple(block() for _ in range(length))


def check_call(
    inputs: Any, ids: Any, mask: Any, caches: Any, longest: int | None = None, longest_input: int | None = None
) -> None:
    """Check the arguments of an encoder-decoder.

    Args:
        inputs, ids, mask, caches: The arguments.
        longest, longest_input: The largest numbers of tokens.

    Raises:
        ArgumentError: There is neither an input of the encoder nor what a cache keeps of it, or no array of ids.
        ShapeError: The axes or the sizes of the arguments do not fit together.
    """
    if caches is not None and not isinstance(caches, Caches):
        raise ArgumentError.must_be("caches", "what `init_caches` made, or what an earlier call returned", caches)
    if not hasattr(ids, "ndim"):
        raise ArgumentError.must_be("ids", "integers (batch, time)", ids)
    check_tokens(ids, None if caches is not None else longest)
    memory = () if caches is None else caches.memory
    if inputs is None and not memory:
        raise ArgumentError(
            "`inputs` is missing, and no cache holds what the encoder made of earlier inputs.",
            argument="inputs",
            expected="the encoder's inputs; or None, with the caches that an earlier call returned",
            got="no caches" if caches is None else "caches that no call has returned",
        )
    rows = memory[0].key.shape[0] if inputs is None else inputs.shape[0]
    if None not in (rows, ids.shape[0]) and rows != ids.shape[0]:
        raise ShapeError(
            f"`ids` and `inputs` have different numbers of rows: {ids.shape[0]} and {rows}.",
            argument="ids",
            expected=(rows, "time"),
            got=tuple(ids.shape),
        )
    if inputs is not None and longest_input is not None:
        within("inputs", inputs.shape[1], longest_input)
    if mask is not None and inputs is not None and (mask.ndim != 2 or _differ(mask.shape, inputs.shape)):
        raise ShapeError(
            f"`mask` must have the shape of `inputs`, {tuple(inputs.shape)}, got {tuple(mask.shape)}.",
            argument="mask",
            expected=tuple(inputs.shape),
            got=tuple(mask.shape),
        )


def _differ(one: Any, other: Any) -> bool:
    return any(n != m for n, m in zip(one, other, strict=True) if None not in (n, m))


def check_probabilities(net: Any, *names: str) -> None:
    """Check fields that are probabilities of dropout."""
    for name in names:
        checks.probability(name, getattr(net, name), one=True)


def check_suppressed(name: str, tokens: Any) -> None:
    """Raise an ArgumentError unless `tokens` is a sequence of tokens."""
    if not isinstance(tokens, list | tuple) or not all(isinstance(n, int) for n in tokens):
        raise ArgumentError.must_be(name, "a list of integers", tokens)


def empty_caches(
    net: Layer,
    blocks: Sequence[Block],
    batch: int,
    length: int,
    dtype: str | None,
    backend: str | Backend | None,
    device: Any,
) -> Caches:
    """Caches for the blocks of the decoder of a network, before the first call."""
    each = (block.attention.init_cache(batch, length, dtype, backend, device, within=net) for block in blocks)
    return Caches(tuple(each))


def block_rules(theirs: str, ours: str, cross: bool) -> list[Rule]:
    """Rules of key maps for the blocks of an encoder or a decoder, with the names that BART and Whisper use.

    Args:
        theirs, ours: Where the blocks are.
        cross: Whether they have cross-attention.
    """
    theirs, ours, names = f"{theirs}.layers.{{i}}", f"{ours}/blocks_{{i}}", ("q_proj", "k_proj", "v_proj", "out_proj")
    rules = [
        *head_rules(f"{theirs}.self_attn", f"{ours}/attention", names),
        *norm_rules(f"{theirs}.self_attn_layer_norm", f"{ours}/attention_norm"),
        *dense_rules(f"{theirs}.fc1", f"{ours}/mlp/up"),
        *dense_rules(f"{theirs}.fc2", f"{ours}/mlp/down"),
        *norm_rules(f"{theirs}.final_layer_norm", f"{ours}/mlp_norm"),
    ]
    if cross:
        rules += head_rules(f"{theirs}.encoder_attn", f"{ours}/cross", names)
        rules += norm_rules(f"{theirs}.encoder_attn_layer_norm", f"{ours}/cross_norm")
    return rules
