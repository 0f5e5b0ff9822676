"""Blocks that several families share, and the rules of key maps for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import checks, nn, ops
from ..arrays import namespace
from ..errors import ArgumentError, ShapeError
from ..nn.layer import Layer, base_layer
from ..nn.rotary import steps
from ..nn.scope import Scope
from ..ops._promotion import cast
from ..ops.normalization import wide
from ..typing import Array
from .family import Config

__all__ = [
    "Block",
    "CentredRMSNormalization",
    "Mlp",
    "activation",
    "check_tokens",
    "dense_rules",
    "drop",
    "head_fields",
    "head_rules",
    "head_width",
    "norm_rules",
    "token_positions",
    "within",
]

Rule = tuple[Any, ...]

_ACTIVATIONS = {
    **dict.fromkeys(("gelu_new", "gelu_pytorch_tanh", "gelu_fast"), "gelu_new"),
    **dict.fromkeys(("gelu", "gelu_python"), "gelu"),
    **dict.fromkeys(("silu", "swish"), "silu"),
    **{name: name for name in ("relu", "quick_gelu", "tanh", "sigmoid", "selu", "linear", "mish", "relu6")},
}


def activation(argument: str, name: str) -> str:
    """The name of the activation that a config calls `name`.

    Raises:
        ArgumentError: No activation has this name.
    """
    return _ACTIVATIONS[checks.one_of(argument, name, _ACTIVATIONS)]


@base_layer
class Mlp(Layer):
    """`down(up(x))`, or `down(gate(x) * up(x))` (Shazeer, arXiv:2002.05202): (..., features) to the same.

    Args:
        up: The first dense layer, with its activation if there is no gate.
        down: The last dense layer.
        gate: A dense layer with an activation, or None.
        dropout: The probability that training drops a number between the layers.
    """

    up: Layer
    down: Layer
    gate: Layer | None = None
    dropout: float = 0.0

    def forward(self, s: Scope, x: Array) -> Array:
        h = self.up(s, x) if self.gate is None else self.gate(s, x) * self.up(s, x)
        return self.down(s, drop(s, h, self.dropout))


@base_layer
class CentredRMSNormalization(nn.RMSNormalization):
    """`RMSNormalization` whose factor is `1 + scale`, so that `scale` begins with zeros: of any shape."""

    def forward(self, s: Scope, x: Array) -> Array:
        x, own = wide(x)
        scale = wide(s.param("scale", (x.shape[-1],), "zeros", cast=False))[0]
        return cast(ops.rms_normalization(x, scale + 1, -1, self.epsilon), own)


@base_layer
class Block(Layer):
    """`x + attention(norm1(x))`, then `x + mlp(norm2(x))`: (batch, time, features) to the same.

    `block(s, x, mask=None, cache=None, positions=None)` returns the output, and the cache after it or None.

    Args:
        norm1, attention, norm2, mlp: The layers.
        after1, after2: Further normalizations, of what is added to `x`, or None.
        causal: Whether a position sees only earlier ones.
        dropout: The probability with which training drops what is added to `x`.
        factor: A number by which all that is added to `x` is multiplied.
    """

    norm1: Layer
    attention: nn.MultiHeadAttention | nn.GroupQueryAttention
    norm2: Layer
    mlp: Layer
    after1: Layer | None = None
    after2: Layer | None = None
    causal: bool = True
    dropout: float = 0.0
    factor: float = 1.0

    def forward(
        self, s: Scope, x: Array, mask: Array = None, cache: Any = None, positions: Array = None
    ) -> tuple[Array, Any]:
        h = self.norm1(s, x)
        given = {} if positions is None else {"positions": positions}
        y = self.attention(s, h, h, value_mask=mask, use_causal_mask=self.causal, cache=cache, **given)
        y, cache = (y, None) if cache is None else y
        x = x + self._added(s, y, self.after1)
        return x + self._added(s, self.mlp(s, self.norm2(s, x)), self.after2), cache

    def _added(self, s: Scope, y: Any, norm: Layer | None) -> Any:
        y = drop(s, y if norm is None else norm(s, y), self.dropout)
        return y if self.factor == 1.0 else y * self.factor


def drop(s: Scope, x: Array, rate: float) -> Array:
    """`x`, of which training drops numbers with the probability `rate`."""
    return ops.dropout(x, s.key(), rate) if rate and s.train else x


def token_positions(ids: Array, mask: Array, caches: Any) -> Any:
    """The positions of tokens, (time,) or (batch, time): how many tokens stand before each one.

    Args:
        ids: (batch, time).
        mask: None, or True where a token counts: (batch, time), or (batch, length of the cache) with caches. So a row
            may be filled up on the left.
        caches: None, or the caches before these tokens.
    """
    start = 0 if caches is None else caches[0].index
    if mask is None:
        return steps(ids, 1) + start
    xp = namespace(mask)
    counted = xp.cumulative_sum(xp.astype(mask, xp.int32), axis=1, dtype=xp.int32)
    positions = xp.maximum(counted - 1, xp.zeros_like(counted))
    if caches is None:
        return positions
    return ops.slice(positions, [0, start], (positions.shape[0], ids.shape[1]))


def within(what: str, length: int | None, most: int) -> None:
    """Raise an error if a sequence is longer than the network has positions."""
    if length is not None and length > most:
        error = ShapeError if what == "ids" else ArgumentError
        raise error(
            f"`{what}` has {length} positions, and the network has {most}.",
            argument=what,
            expected=f"at most {most}",
            got=length,
            fix="cut the sequence, or use a network with more positions",
        )


def head_width(features: int, heads: int, name: str = "hidden_size", of: str = "num_attention_heads") -> int:
    """The features of a head, where the fields `name` and `of` give those of all heads and the number of heads."""
    if features % heads:
        raise ArgumentError(
            f"`{name}` must be a multiple of `{of}`, got {features} and {heads}.",
            argument=name,
            expected=f"a multiple of {heads}",
            got=features,
        )
    return features // heads


def check_tokens(ids: Array, longest: int | None = None, **beside: Array | None) -> None:
    """Raise an error unless `ids` and the arrays beside it are (batch, time), and the time is not too long."""
    checks.rank("ids", ids, 2)
    if longest is not None:
        within("ids", ids.shape[1], longest)
    for name, x in beside.items():
        if x is None:
            continue
        if x.ndim != 2 or any(n != m for n, m in zip(x.shape, ids.shape, strict=True) if None not in (n, m)):
            raise ShapeError(
                f"`{name}` must have the shape of `ids`, {tuple(ids.shape)}, got {tuple(x.shape)}.",
                argument=name,
                expected=tuple(ids.shape),
                got=tuple(x.shape),
            )


def head_fields(config: Config, implied: Mapping[str, Any]) -> dict[str, Any]:
    """The fields `num_labels` and `pooler`, as far as a config and the tensors of its folder say them.

    Args:
        config: The config.
        implied: The fields that its architecture implies.
    """
    named = config.get("id2label")
    found: dict[str, Any] = {"num_labels": len(named)} if named else {}
    if implied.get("head") is None and config.tensors:
        # transformers' classes can be made without a pooler, and no config says so.
        found["pooler"] = any(name.endswith("pooler.dense.weight") for name in config.tensors)
    return found


# -- rules of key maps -------------------------------------------------------------------------------------------------


def dense_rules(theirs: str, ours: str, form: str = "o i -> i o") -> list[Rule]:
    """Rules for a Linear layer of PyTorch; a layer without bias does not use the second."""
    return [(f"{theirs}.weight", f"{ours}/kernel", *([form] if form else [])), (f"{theirs}.bias", f"{ours}/bias")]


def norm_rules(theirs: str, ours: str) -> list[Rule]:
    """Rules for a layer normalization."""
    return [(f"{theirs}.weight", f"{ours}/gamma"), (f"{theirs}.bias", f"{ours}/beta")]


def head_rules(theirs: str, ours: str, names: Sequence[str]) -> list[Rule]:
    """Rules for the projections of attention.

    Args:
        theirs, ours: Where the attention is.
        names: Their names of query, key, value and output.
    """
    rules: list[Rule] = []
    for name, own in zip(names, ("query", "key", "value"), strict=False):
        rules += [
            (f"{theirs}.{name}.weight", f"{ours}/{own}/kernel", "(h d) i -> i h d"),
            (f"{theirs}.{name}.bias", f"{ours}/{own}/bias", "(h d) -> h d"),
        ]
    output = f"{ours}/attention_output"
    return [
        *rules,
        (f"{theirs}.{names[3]}.weight", f"{output}/kernel", "o (h d) -> h d o"),
        (f"{theirs}.{names[3]}.bias", f"{output}/bias"),
    ]
