"""T5, an encoder-decoder for text (Raffel et al., arXiv:1910.10683): version 1.0, and version 1.1 with FLAN-T5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, ClassVar

from .. import checks, nn
from ..backends import Backend
from ..errors import ArgumentError
from ..interop.keymap import KeyMap
from ..nn.layer import Layer, base_layer, layer
from ..nn.rotary import steps
from ..nn.scope import Scope
from ..tracing.spec import Spec
from ..typing import Array
from .blocks import Mlp, activation, check_tokens, drop, head_rules
from .family import Config, Family
from .seq2seq import Block, Caches, check_call, check_probabilities, decode, empty_caches

__all__ = ["T5", "T5Encoder", "from_config", "key_map"]

_WITHOUT_EFFECT = ("is_encoder_decoder", "classifier_dropout", "output_past", "n_positions")


def _activation(feed_forward_proj: str) -> tuple[bool, str]:
    """Whether the feed-forward layers have a gate, and the name of their activation."""
    if not isinstance(feed_forward_proj, str):
        raise ArgumentError.must_be("feed_forward_proj", "the name of an activation", feed_forward_proj)
    first, dash, act = feed_forward_proj.rpartition("-")
    checks.one_of("feed_forward_proj", first + dash, ("", "gated-"))
    activation("feed_forward_proj", act)
    return bool(dash), "gelu_new" if feed_forward_proj == "gated-gelu" else act


@base_layer
class T5Stack(Layer):
    """The blocks of T5's encoder or decoder, which share one bias of attention by relative positions."""

    position_bias: Layer
    blocks: tuple[Block, ...]
    norm: Layer
    dropout: float = 0.0

    def forward(
        self,
        s: Scope,
        x: Array,
        source: Array | None = None,
        mask: Array | None = None,
        caches: Caches | None = None,
        positions: Array | None = None,
    ) -> tuple[Array, Caches | None]:
        x = drop(s, x, self.dropout)
        if self.blocks[0].cross is None:
            places = steps(x, 1)
            bias = self.position_bias(s, places, places)
            for block in self.blocks:
                x, _, _ = block(s, x, value_mask=mask, attention_bias=bias)
        else:
            start = 0 if caches is None else caches.past[0].index
            places = steps(x, 1) + start if positions is None else positions
            bias = self.position_bias(s, places, places if caches is None else steps(caches.past[0].key, 1))
            x, caches = decode(s, self.blocks, x, source, mask, caches, attention_bias=bias)
        return drop(s, self.norm(s, x), self.dropout), caches


@layer
class T5Encoder(Family):
    """The encoder of T5: `T5EncoderModel` of transformers.

    `layer(s, ids, mask=None)`: integers (batch, time) to (batch, time, d_model). The mask (batch, time) is True where a
    token counts.

    Args:
        vocab_size: The number of tokens.
        d_model: The number of features of a token.
        d_kv: The number of features of each head.
        d_ff: The number of features inside the feed-forward layers.
        num_layers: The number of blocks.
        num_heads: The number of heads.
        relative_attention_num_buckets: The number of buckets of distances, each of which has a bias for each head.
        relative_attention_max_distance: From this distance on, all distances are in one bucket.
        dropout_rate: The probability that training drops a number.
        layer_norm_epsilon: A number that the norms add to mean squares.
        feed_forward_proj: The activation of the feed-forward layers: "relu" in version 1.0. "gated-gelu" in version 1.1
            is a product of two layers, of which one has the activation "gelu_new".
        pad_token_id, eos_token_id: The tokens that fill up a sequence, and that end it.
    """

    model_type: ClassVar[str] = "t5"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {"T5EncoderModel": {}}
    without_effect: ClassVar[Sequence[str]] = (
        *_WITHOUT_EFFECT,
        *("num_decoder_layers", "tie_word_embeddings", "scale_decoder_outputs", "decoder_start_token_id"),
    )

    vocab_size: int = 32128
    d_model: int = 512
    d_kv: int = 64
    d_ff: int = 2048
    num_layers: int = 6
    num_heads: int = 8
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    dropout_rate: float = 0.1
    layer_norm_epsilon: float = 1e-6
    feed_forward_proj: str = "relu"
    pad_token_id: int | None = field(default=0, kw_only=True)
    eos_token_id: int | Sequence[int] | None = field(default=1, kw_only=True)
    embed: Layer = field(init=False)
    encoder: Layer = field(init=False)

    def __post_init__(self) -> None:
        self._check()
        embed = nn.ReversibleEmbedding(self.vocab_size, self.d_model)
        self.has(embed=embed, encoder=self._stack(self.num_layers, False))
        super().__post_init__()

    def _check(self) -> None:
        self.check_fields()
        check_probabilities(self, "dropout_rate")
        checks.number("layer_norm_epsilon", self.layer_norm_epsilon, least=0)
        fewest = checks.integer("relative_attention_num_buckets", self.relative_attention_num_buckets, least=4)
        checks.integer("relative_attention_max_distance", self.relative_attention_max_distance, least=fewest)

    def _stack(self, length: int, decodes: bool) -> T5Stack:
        gated, act = _activation(self.feed_forward_proj)
        act, rate = activation("feed_forward_proj", act), self.dropout_rate

        def norm() -> Layer:
            return nn.RMSNormalization(epsilon=self.layer_norm_epsilon)

        def attention() -> nn.MultiHeadAttention:
            return nn.MultiHeadAttention(self.num_heads, self.d_kv, dropout=rate, use_bias=False, scale=1.0)

        def dense(units: int, act: str | None = None) -> Layer:
            return nn.Dense(units, act, use_bias=False)

        def mlp() -> Mlp:
            up, down = dense(self.d_ff, None if gated else act), dense(self.d_model)
            return Mlp(up, down, dense(self.d_ff, act) if gated else None, rate)

        def block() -> Block:
            cross, cross_norm = (attention(), norm()) if decodes else (None, None)
            return Block(attention(), norm(), mlp(), norm(), cross, cross_norm, dropout=rate)

        return T5Stack(
            nn.RelativePositionBias(
                self.num_heads,
                self.relative_attention_num_buckets,
                self.relative_attention_max_distance,
                bidirectional=not decodes,
            ),
            tuple(block() for _ in range(length)),
            norm(),
            rate,
        )

    def input_specs(self) -> tuple[Any, ...]:
        return (Spec((None, None), "int32"),)

    def encode(self, s: Scope, ids: Array, mask: Array | None = None) -> Array:
        """What the encoder makes of ids (batch, time): (batch, time, d_model)."""
        x, _ = self.encoder(s, self.embed(s, ids), mask=mask)
        return x

    def forward(self, s: Scope, ids: Array, mask: Array | None = None) -> Array:
        check_tokens(ids, mask=mask)
        return self.encode(s, ids, mask)


@layer
class T5(T5Encoder):
    """T5 with its decoder: `T5ForConditionalGeneration` of transformers.

    `layer(s, inputs, ids, mask=None, caches=None, positions=None)`: inputs, integers (batch, source), and the tokens
    so far, ids (batch, time), to logits (batch, time, vocab_size). The mask (batch, source) is that of the inputs, True
    where a token counts. Training gives as `ids` the wanted tokens, moved by one behind `decoder_start_token_id`.

    With caches, the result is (logits, caches). The first call has the inputs; the caches that it returns hold what the
    decoder needs of them, so later calls have None for the inputs, and no mask:

        caches = net.init_caches(batch, length)
        (logits, caches), _ = net.apply(params, inputs, ids, caches=caches)
        (logits, caches), _ = net.apply(params, None, next_ids, caches=caches)

    Positions, (time,) or (batch, time), are those of ids; by default they follow those that the caches hold.

    Args:
        num_decoder_layers: The number of blocks of the decoder; `num_layers` by default.
        tie_word_embeddings: Whether the logits use the table of the embeddings. If not, they have a matrix of their
            own, as in version 1.1.
        scale_decoder_outputs: Whether what the logits are made of is divided by the root of `d_model`; by default as
            `tie_word_embeddings`.
        decoder_start_token_id: The token before the first one.
        features: Whether the result are the features of the decoder (batch, time, d_model), without a head.
    """

    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "T5ForConditionalGeneration": {"features": False},
        "T5Model": {"features": True},
    }
    without_effect: ClassVar[Sequence[str]] = _WITHOUT_EFFECT

    num_decoder_layers: int | None = None
    tie_word_embeddings: bool = True
    scale_decoder_outputs: bool | None = None
    decoder_start_token_id: int | None = 0
    features: bool = False
    decoder: T5Stack = field(init=False)
    head: Layer | None = field(init=False)

    def __post_init__(self) -> None:
        self._check()
        head = None if self.tie_word_embeddings or self.features else nn.Dense(self.vocab_size, use_bias=False)
        self.has(decoder=self._stack(self.num_decoder_layers or self.num_layers, True), head=head)
        super().__post_init__()

    def values(self) -> dict[str, Any]:
        # transformers does not scale where the config has null.
        return {**super().values(), "scale_decoder_outputs": self.scales}

    @property
    def scales(self) -> bool:
        """Whether what the logits are made of is scaled."""
        return self.tie_word_embeddings if self.scale_decoder_outputs is None else self.scale_decoder_outputs

    def input_specs(self) -> tuple[Any, ...]:
        return Spec((None, None), "int32"), Spec((None, None), "int32")

    def init_caches(
        self,
        batch: int,
        length: int,
        dtype: str | None = None,
        backend: str | Backend | None = None,
        device: Any = None,
    ) -> Caches:
        """Caches for `length` tokens of the decoder."""
        return empty_caches(self, self.decoder.blocks, batch, length, dtype, backend, device)

    def forward(  # type: ignore[override]
        self,
        s: Scope,
        inputs: Array | None,
        ids: Array,
        mask: Array | None = None,
        caches: Caches | None = None,
        positions: Array | None = None,
    ) -> Any:
        if inputs is not None:
            checks.rank("inputs", inputs, 2)
        check_call(inputs, ids, mask, caches)
        source = None if inputs is None else self.encode(s, inputs, mask)
        x, caches = self.decoder(s, self.embed(s, ids), source, mask, caches, positions)
        if self.features:
            return x if caches is None else (x, caches)
        x = x * self.d_model**-0.5 if self.scales else x
        logits = self.embed(s, x, reverse=True) if self.head is None else self.head(s, x)
        return logits if caches is None else (logits, caches)


# -- files -------------------------------------------------------------------------------------------------------------


def from_config(config: Config) -> T5Encoder:
    """The network that a config describes."""
    cls = T5Encoder if config.get("architectures") == ["T5EncoderModel"] else T5
    found = config.fields(cls)
    # Where transformers 5 writes these two, they say again what `feed_forward_proj` says.
    gated, act = _activation(found.get("feed_forward_proj", "relu"))
    config.choice("is_gated_act", gated)
    config.choice("dense_act_fn", act)
    if cls is T5:
        # Until version 4, transformers untied the head where it did not scale; now the tensors tell.
        scales = config.choice("tie_word_embeddings", True, False)
        tied = config.tied("lm_head.weight", "shared.weight")
        tied = tied or (bool(config.tensors) and "lm_head.weight" not in config.tensors)
        found = {"scale_decoder_outputs": scales, **found, "tie_word_embeddings": tied}
    return cls(**found)


def key_map(net: T5Encoder) -> KeyMap:
    """Which tensors of transformers are which parameters."""
    tables = ["shared.weight", "encoder.embed_tokens.weight"]
    rules: list[tuple[Any, ...]] = []
    if isinstance(net, T5):
        tables.append("decoder.embed_tokens.weight")
        rules += [] if net.head is None else [("lm_head.weight", "head/kernel", "o i -> i o")]
        tables += ["lm_head.weight"] if net.head is None else []
        cross, ours = "decoder.block.{i}.layer.1", "decoder/blocks_{i}"
        rules += head_rules(f"{cross}.EncDecAttention", f"{ours}/cross", "qkvo")
        rules.append((f"{cross}.layer_norm.weight", f"{ours}/cross_norm/scale"))
    gated, _ = _activation(net.feed_forward_proj)
    dense = {"gate": "wi_0", "up": "wi_1", "down": "wo"} if gated else {"up": "wi", "down": "wo"}
    for stack, last in (("encoder", 1), ("decoder", 2))[: 2 if isinstance(net, T5) else 1]:
        theirs, ours = f"{stack}.block.{{i}}.layer", f"{stack}/blocks_{{i}}"
        first = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        rules += [
            (first, f"{stack}/position_bias/embeddings"),
            *head_rules(f"{theirs}.0.SelfAttention", f"{ours}/attention", "qkvo"),
            (f"{theirs}.0.layer_norm.weight", f"{ours}/attention_norm/scale"),
            *(
                (f"{theirs}.{last}.DenseReluDense.{name}.weight", f"{ours}/mlp/{own}/kernel", "o i -> i o")
                for own, name in dense.items()
            ),
            (f"{theirs}.{last}.layer_norm.weight", f"{ours}/mlp_norm/scale"),
            (f"{stack}.final_layer_norm.weight", f"{stack}/norm/scale"),
        ]
    rules.append((tuple(tables), "embed/embeddings"))
    # Older files have a bias of the first cross-attention, which nothing uses.
    return KeyMap(rules, ignore=[r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight"])
