"""BART (Lewis et al., arXiv:1910.13461) and the translators Marian, mBART and Pegasus: encoder-decoders for text."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, ClassVar

import numpy as np

from .. import checks, nn, ops
from ..arrays import device as device_of
from ..arrays import namespace
from ..backends import Backend
from ..interop.keymap import KeyMap
from ..nn.layer import Layer, base_layer, layer
from ..nn.rotary import steps
from ..nn.scope import Scope
from ..tracing.spec import Spec
from ..typing import Array
from .blocks import Mlp, Rule, activation, drop, norm_rules, within
from .family import Config, Family
from .seq2seq import (
    LAYERDROP,
    Block,
    Caches,
    block_rules,
    check_call,
    check_probabilities,
    check_suppressed,
    decode,
    empty_caches,
    make_blocks,
)

__all__ = ["Bart", "MBart", "Marian", "Pegasus", "from_config", "key_map"]


@base_layer
class BartStack(Layer):
    """Embedded tokens (batch, time, features), with their positions, through the blocks of an encoder or a decoder.

    Args:
        places: The positions: a table that trains, from its third row on, or sines.
        blocks: The blocks.
        first: A norm before them, or None.
        last: A norm after them, or None.
    """

    places: Layer
    blocks: tuple[Block, ...]
    first: Layer | None
    last: Layer | None
    dropout: float

    def forward(
        self,
        s: Scope,
        x: Array,
        source: Array | None = None,
        mask: Array | None = None,
        caches: Caches | None = None,
        positions: Array | None = None,
    ) -> tuple[Array, Caches | None]:
        start = 0 if caches is None else caches.past[0].index
        x = x + self.places(s, steps(x, 1) + start if positions is None else positions)
        x = drop(s, x if self.first is None else self.first(s, x), self.dropout)
        if self.blocks[0].cross is None:
            for block in self.blocks:
                x, _, _ = block(s, x, value_mask=mask)
        else:
            x, caches = decode(s, self.blocks, x, source, mask, caches)
        return x if self.last is None else self.last(s, x), caches


@base_layer
class Learned(Layer):
    """Positions as the rows of a table that trains, of which the first two have no position."""

    length: int
    features: int

    def forward(self, s: Scope, positions: Array) -> Array:
        return ops.embedding(positions + 2, s.param("embeddings", (self.length + 2, self.features), "uniform"))


@base_layer
class Sines(Layer):
    """Positions as sines, and then cosines, of wavelengths from 2 pi up to 10,000 times that."""

    length: int
    features: int

    def forward(self, s: Scope, positions: Array) -> Array:
        xp, shape = namespace(positions), (self.length, self.features)
        if s.initializing:  # a file may name any length, so no table is made where only shapes are asked for
            return ops.embedding(positions, xp.zeros(shape, dtype=xp.float32))
        return ops.embedding(positions, xp.asarray(sines(*shape), device=device_of(positions)))


@functools.lru_cache(4)
def sines(length: int, features: int) -> np.ndarray:
    """The table of `Sines`: (length, features)."""
    rates = np.power(10000.0, -2 * (np.arange(features) // 2) / features)
    angles = np.arange(length)[:, None] * rates
    return np.concatenate([np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])], axis=1).astype(np.float32)


def _sines(key: Any, shape: tuple[int, ...], dtype: str = "float32") -> Any:
    """`sines` as an initializer."""
    return nn.initializers.Constant(sines(*shape))(key, shape, dtype)


@base_layer
class LogitsBias(Layer):
    """Numbers that are added to logits (batch, time, tokens), and do not train."""

    def forward(self, s: Scope, logits: Array) -> Array:
        return logits + s.param("bias", (1, logits.shape[-1]), "zeros")


def _architectures(name: str) -> dict[str, dict[str, Any]]:
    base = name.removesuffix("MTModel").removesuffix("ForConditionalGeneration")
    return {name: {"features": False}, f"{base}Model": {"features": True}}


@layer
class Bart(Family):
    """BART: `BartForConditionalGeneration` of transformers.

    `layer(s, inputs, ids, mask=None, caches=None, positions=None)`: inputs, integers (batch, source), and the tokens
    so far, ids (batch, time), to logits (batch, time, vocab_size). The mask (batch, source) is that of the inputs, True
    where a token counts. Caches and positions are as those of `T5`: only the first call with caches has the inputs.

    The bias of the logits that files have does not train: it is a part of the state.

    Args:
        vocab_size: The number of tokens.
        max_position_embeddings: The largest number of tokens of the inputs, and of the ids.
        d_model: The number of features of a token.
        encoder_layers, decoder_layers: The numbers of blocks.
        encoder_attention_heads, decoder_attention_heads: The numbers of heads.
        encoder_ffn_dim, decoder_ffn_dim: The numbers of features inside the feed-forward layers.
        activation_function: The activation of the feed-forward layers.
        dropout, attention_dropout, activation_dropout: The probabilities that training drops a number: of what a block
            adds, of the weights of attention, and inside the feed-forward layers.
        encoder_layerdrop, decoder_layerdrop: The probabilities that training leaves out a block.
        scale_embedding: Whether the vectors of tokens are multiplied by the root of `d_model`.
        tie_word_embeddings: Whether the logits use the table of the embeddings.
        decoder_start_token_id: The token before the first one.
        forced_eos_token_id: The token that is generated last, if the text has not ended before.
        bad_words_ids: Sequences of tokens that are never generated; of them, those of one token have an effect.
        features: Whether the result are the features of the decoder (batch, time, d_model), without a head.
        final_logits_bias: Whether the logits have a bias. Files tell, and not their configs.
        stores_positions: Whether positions that are sines stand in the state. Files tell, and not their configs.
    """

    model_type: ClassVar[str] = "bart"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = _architectures("BartForConditionalGeneration")
    prefix: ClassVar[str] = "model"
    without_effect: ClassVar[Sequence[str]] = (
        *("is_encoder_decoder", "init_std", "classifier_dropout"),
        # transformers does not read these; they say again what the family is.
        *("add_bias_logits", "add_final_layer_norm", "normalize_before", "normalize_embedding", "num_hidden_layers"),
        *("static_position_embeddings", "extra_pos_embeddings", "force_bos_token_to_be_generated", "save_step"),
        *("classif_dropout", "_num_labels", "num_labels"),
    )
    norm_first: ClassVar[bool] = False
    """Whether the norms of the blocks are before each part; a further one is behind the blocks then."""
    norms_embeddings: ClassVar[bool] = True
    learns_positions: ClassVar[bool] = True

    vocab_size: int = 50265
    max_position_embeddings: int = 1024
    d_model: int = 1024
    encoder_layers: int = 12
    decoder_layers: int = 12
    encoder_attention_heads: int = 16
    decoder_attention_heads: int = 16
    encoder_ffn_dim: int = 4096
    decoder_ffn_dim: int = 4096
    activation_function: str = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    encoder_layerdrop: float = 0.0
    decoder_layerdrop: float = 0.0
    scale_embedding: bool = False
    tie_word_embeddings: bool = True
    decoder_start_token_id: int | None = 2
    forced_eos_token_id: int | Sequence[int] | None = 2
    bad_words_ids: Sequence[Sequence[int]] | None = None
    features: bool = False
    final_logits_bias: bool = True
    stores_positions: bool = False
    pad_token_id: int | None = field(default=1, kw_only=True)
    bos_token_id: int | None = field(default=0, kw_only=True)
    eos_token_id: int | Sequence[int] | None = field(default=2, kw_only=True)

    embed: Layer = field(init=False)
    encoder: Layer = field(init=False)
    decoder: BartStack = field(init=False)
    head: Layer | None = field(init=False)
    bias: Layer | None = field(init=False)

    def __post_init__(self) -> None:
        self.check_fields()
        check_probabilities(self, "dropout", "attention_dropout", "activation_dropout", *LAYERDROP)
        words = self.bad_words_ids or ()
        for tokens in words if isinstance(words, list | tuple) else [words]:
            check_suppressed("bad_words_ids", tokens)
        self.has(
            embed=nn.ReversibleEmbedding(self.vocab_size, self.d_model),
            encoder=self._stack(self.encoder_layers, self.encoder_attention_heads, self.encoder_ffn_dim, False),
            decoder=self._stack(self.decoder_layers, self.decoder_attention_heads, self.decoder_ffn_dim, True),
            head=None if self.tie_word_embeddings or self.features else nn.Dense(self.vocab_size, use_bias=False),
            bias=LogitsBias(trainable=False) if self.final_logits_bias and not self.features else None,
        )
        super().__post_init__()

    def _stack(self, length: int, heads: int, width: int, decodes: bool) -> BartStack:
        d, act = self.d_model, activation("activation_function", self.activation_function)

        def mlp() -> Layer:
            return Mlp(nn.Dense(width, act), nn.Dense(d), dropout=self.activation_dropout)

        places: Layer = (Learned if self.learns_positions else Sines)(self.max_position_embeddings, d)
        if self.stores_positions and not self.learns_positions:
            places = nn.Embedding(self.max_position_embeddings, d, _sines, trainable=False)
        return BartStack(
            places,
            make_blocks(
                length,
                d,
                heads,
                mlp,
                decodes,
                self.dropout,
                self.attention_dropout,
                norm_first=self.norm_first,
                layerdrop=self.decoder_layerdrop if decodes else self.encoder_layerdrop,
            ),
            nn.LayerNormalization(epsilon=1e-5) if self.norms_embeddings else None,
            nn.LayerNormalization(epsilon=1e-5) if self.norm_first else None,
            self.dropout,
        )

    @property
    def suppress_tokens(self) -> tuple[int, ...]:
        """The tokens that are never generated."""
        return tuple(words[0] for words in self.bad_words_ids or () if len(words) == 1)

    def values(self) -> dict[str, Any]:
        beside = ("final_logits_bias", "stores_positions")
        return {name: value for name, value in super().values().items() if name not in beside}

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
        within("length", length, self.max_position_embeddings)
        return empty_caches(self, self.decoder.blocks, batch, length, dtype, backend, device)

    def forward(
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
        most = self.max_position_embeddings
        check_call(inputs, ids, mask, caches, longest=most, longest_input=most)
        source = None
        if inputs is not None:
            source, _ = self.encoder(s, self._embedded(s, inputs), mask=mask)
        x, caches = self.decoder(s, self._embedded(s, ids), source, mask, caches, positions)
        if self.features:
            return x if caches is None else (x, caches)
        logits = self.embed(s, x, reverse=True) if self.head is None else self.head(s, x)
        logits = logits if self.bias is None else self.bias(s, logits)
        return logits if caches is None else (logits, caches)

    def _embedded(self, s: Scope, ids: Array) -> Array:
        x = self.embed(s, ids)
        return x * self.d_model**0.5 if self.scale_embedding else x


@layer
class MBart(Bart):
    """mBART (Liu et al., arXiv:2001.08210): `MBartForConditionalGeneration` of transformers. It is called as `Bart`."""

    model_type: ClassVar[str] = "mbart"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = _architectures("MBartForConditionalGeneration")
    norm_first: ClassVar[bool] = True

    decoder_start_token_id: int | None = None


@layer
class Marian(Bart):
    """Marian's translators (arXiv:1804.00344): `MarianMTModel` of transformers. It is called as `Bart`."""

    model_type: ClassVar[str] = "marian"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = _architectures("MarianMTModel")
    norms_embeddings: ClassVar[bool] = False
    learns_positions: ClassVar[bool] = False

    vocab_size: int = 58101
    decoder_start_token_id: int | None = 58100
    forced_eos_token_id: int | Sequence[int] | None = 0
    pad_token_id: int | None = field(default=58100, kw_only=True)
    bos_token_id: int | None = field(default=None, kw_only=True)
    eos_token_id: int | Sequence[int] | None = field(default=0, kw_only=True)


@layer
class Pegasus(Bart):
    """Pegasus (Zhang et al., arXiv:1912.08777): `PegasusForConditionalGeneration`. It is called as `Bart`."""

    model_type: ClassVar[str] = "pegasus"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = _architectures("PegasusForConditionalGeneration")
    norm_first: ClassVar[bool] = True
    norms_embeddings: ClassVar[bool] = False
    learns_positions: ClassVar[bool] = False

    decoder_start_token_id: int | None = 0
    forced_eos_token_id: int | Sequence[int] | None = 1
    pad_token_id: int | None = field(default=0, kw_only=True)
    bos_token_id: int | None = field(default=None, kw_only=True)
    eos_token_id: int | Sequence[int] | None = field(default=1, kw_only=True)


# -- files -------------------------------------------------------------------------------------------------------------

_PLACES = "model.encoder.embed_positions.weight"


def from_config(config: Config) -> Bart:
    """The network that a config describes."""
    cls = {c.model_type: c for c in (Bart, MBart, Marian, Pegasus)}[config["model_type"]]
    found = config.fields(cls)
    config.choice("share_encoder_decoder_embeddings", True)
    config.choice("decoder_vocab_size", found.get("vocab_size", cls.vocab_size), None)
    found["tie_word_embeddings"] = config.tied("lm_head.weight", "model.shared.weight")
    found["final_logits_bias"] = not config.tensors or "final_logits_bias" in config.tensors
    found["stores_positions"] = _PLACES in config.tensors
    return cls(**found)


def key_map(net: Bart) -> KeyMap:
    """Which tensors of transformers are which parameters."""
    tables = ["model.shared.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"]
    rules: list[Rule] = [
        ((*tables, *(["lm_head.weight"] if net.head is None else [])), "embed/embeddings"),
        *([("lm_head.weight", "head/kernel", "o i -> i o")] if net.head is not None else []),
        ("final_logits_bias", "bias/bias"),
    ]
    for stack in ("encoder", "decoder"):
        theirs = f"model.{stack}"
        rules += [
            (f"{theirs}.embed_positions.weight", f"{stack}/places/embeddings"),
            *norm_rules(f"{theirs}.layernorm_embedding", f"{stack}/first"),
            *norm_rules(f"{theirs}.layer_norm", f"{stack}/last"),
            *block_rules(theirs, stack, cross=stack == "decoder"),
        ]
    return KeyMap(rules)
