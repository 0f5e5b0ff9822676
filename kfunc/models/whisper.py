"""Whisper, an encoder-decoder from speech to text (Radford et al., arXiv:2212.04356)."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, ClassVar

import numpy as np

from .. import checks, nn, ops
from ..arrays import device as device_of
from ..arrays import namespace
from ..backends import Backend
from ..errors import ArgumentError, ShapeError
from ..interop.keymap import KeyMap
from ..nn.layer import Layer, base_layer, layer
from ..nn.rotary import steps
from ..nn.scope import Scope
from ..tracing.spec import Spec
from ..typing import Array
from .blocks import Mlp, activation, dense_rules, drop, norm_rules, within
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

__all__ = ["Whisper", "WhisperFeatures", "from_config", "key_map"]


@layer
class Whisper(Family):
    """Whisper with its head: `WhisperForConditionalGeneration` of transformers.

    `layer(s, inputs, ids, mask=None, caches=None, positions=None)`: inputs (batch, num_mel_bins, 2 *
    max_source_positions), which `WhisperFeatures` makes of speech, and the tokens so far, ids (batch, time), to logits
    (batch, time, vocab_size). The mask must be None: silence is a part of what Whisper has learned.

    With caches, the result is (logits, caches). The first call has the inputs; the caches that it returns hold what the
    decoder needs of them, so later calls have None for the inputs:

        caches = net.init_caches(batch, length)
        (logits, caches), _ = net.apply(params, inputs, ids, state=state, caches=caches)
        (logits, caches), _ = net.apply(params, None, next_ids, state=state, caches=caches)

    Positions, (time,) or (batch, time), are those of ids; by default they follow those that the caches hold.

    The sines that the encoder adds as positions are a part of the state, since they do not train.

    Args:
        vocab_size: The number of tokens.
        num_mel_bins: The number of frequencies of the inputs.
        d_model: The number of features of a frame, and of a token.
        encoder_layers, decoder_layers: The numbers of blocks.
        encoder_attention_heads, decoder_attention_heads: The numbers of heads.
        encoder_ffn_dim, decoder_ffn_dim: The numbers of features inside the feed-forward layers.
        activation_function: The activation of the feed-forward layers.
        dropout, attention_dropout, activation_dropout: The probabilities that training drops a number: of what a block
            adds, of the weights of attention, and inside the feed-forward layers.
        encoder_layerdrop, decoder_layerdrop: The probabilities that training leaves out a block.
        max_source_positions: The number of frames after the convolutions, of which the second takes every other one.
        max_target_positions: The largest number of tokens.
        tie_word_embeddings: Whether the logits use the table of the embeddings. If not, they have a matrix of their
            own.
        pad_token_id, bos_token_id, eos_token_id, decoder_start_token_id: The tokens that fill up a sequence, begin it
            and end it, and the one before the first.
        suppress_tokens, begin_suppress_tokens: The tokens that are never generated, and those that are not generated
            first; None for none.
        features: Whether the result are the features of the decoder (batch, time, d_model), without a head.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("inputs",)

    model_type: ClassVar[str] = "whisper"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "WhisperForConditionalGeneration": {"features": False},
        "WhisperModel": {"features": True},
    }
    prefix: ClassVar[str] = "model"
    without_effect: ClassVar[Sequence[str]] = (
        *("is_encoder_decoder", "init_std", "scale_embedding"),
        *("use_weighted_layer_sum", "classifier_proj_size", "median_filter_width"),
        *(f"mask_{axis}_{what}" for axis in ("time", "feature") for what in ("prob", "length", "min_masks")),
        *("num_hidden_layers", "forced_decoder_ids"),
    )
    only_in_training: ClassVar[Sequence[str]] = ("apply_spec_augment",)

    vocab_size: int = 51865
    num_mel_bins: int = 80
    d_model: int = 384
    encoder_layers: int = 4
    decoder_layers: int = 4
    encoder_attention_heads: int = 6
    decoder_attention_heads: int = 6
    encoder_ffn_dim: int = 1536
    decoder_ffn_dim: int = 1536
    activation_function: str = "gelu"
    dropout: float = 0.0
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    encoder_layerdrop: float = 0.0
    decoder_layerdrop: float = 0.0
    max_source_positions: int = 1500
    max_target_positions: int = 448
    tie_word_embeddings: bool = True
    pad_token_id: int | None = field(default=50256, kw_only=True)
    bos_token_id: int | None = field(default=50256, kw_only=True)
    eos_token_id: int | Sequence[int] | None = field(default=50256, kw_only=True)
    decoder_start_token_id: int | None = 50257
    suppress_tokens: tuple[int, ...] | None = ()
    begin_suppress_tokens: tuple[int, ...] | None = (220, 50256)
    features: bool = False
    encoder: Layer = field(init=False)
    decoder: WhisperDecoder = field(init=False)

    def __post_init__(self) -> None:
        self.check_fields()
        check_probabilities(self, "dropout", "attention_dropout", "activation_dropout", *LAYERDROP)
        for name in ("suppress_tokens", "begin_suppress_tokens"):
            check_suppressed(name, getattr(self, name) or ())
        d = self.d_model
        encoder = WhisperEncoder(
            nn.Conv1D(d, 3, activation="gelu"),
            nn.Conv1D(d, 3, strides=2, activation="gelu"),
            nn.Embedding(self.max_source_positions, d, sines, trainable=False),
            self._blocks(self.encoder_layers, self.encoder_attention_heads, self.encoder_ffn_dim, False),
            nn.LayerNormalization(epsilon=1e-5),
            self.dropout,
        )
        decoder = WhisperDecoder(
            nn.ReversibleEmbedding(self.vocab_size, d),
            nn.Embedding(self.max_target_positions, d),
            self._blocks(self.decoder_layers, self.decoder_attention_heads, self.decoder_ffn_dim, True),
            nn.LayerNormalization(epsilon=1e-5),
            None if self.tie_word_embeddings or self.features else nn.Dense(self.vocab_size, use_bias=False),
            self.dropout,
            self.features,
        )
        self.has(encoder=encoder, decoder=decoder)
        super().__post_init__()

    def _blocks(self, length: int, heads: int, width: int, decodes: bool) -> tuple[Block, ...]:
        act, biases = (
            activation("activation_function", self.activation_function),
            ("query", "value", "attention_output"),
        )

        def mlp() -> Layer:
            return Mlp(nn.Dense(width, act), nn.Dense(self.d_model), dropout=self.activation_dropout)

        return make_blocks(
            length,
            self.d_model,
            heads,
            mlp,
            decodes,
            self.dropout,
            self.attention_dropout,
            use_bias=biases,
            layerdrop=self.decoder_layerdrop if decodes else self.encoder_layerdrop,
        )

    def input_specs(self) -> tuple[Any, ...]:
        frames = 2 * self.max_source_positions
        return Spec((None, self.num_mel_bins, frames), "float32"), Spec((None, None), "int32")

    def init_caches(
        self,
        batch: int,
        length: int,
        dtype: str | None = None,
        backend: str | Backend | None = None,
        device: Any = None,
    ) -> Caches:
        """Caches for `length` tokens of the decoder."""
        within("length", length, self.max_target_positions)
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
            self._check_features(inputs)
        check_call(inputs, ids, None, caches, longest=self.max_target_positions)
        if mask is not None:
            raise ArgumentError(
                "`mask` must be None for Whisper, which attends to silence, too.",
                argument="mask",
                expected="None",
                got=f"a mask of shape {tuple(mask.shape)}",
                fix="fill up the speech with silence, as WhisperFeatures does",
            )
        source = None if inputs is None else self.encoder(s, inputs)
        logits, caches = self.decoder(s, ids, source, caches, positions)
        return logits if caches is None else (logits, caches)

    def _check_features(self, inputs: Array) -> None:
        sizes = (self.num_mel_bins, 2 * self.max_source_positions)
        if inputs.ndim != 3 or tuple(inputs.shape[1:]) != sizes:
            raise ShapeError(
                f"`inputs` must be (batch, {sizes[0]}, {sizes[1]}), got {tuple(inputs.shape)}.",
                argument="inputs",
                expected=f"(batch, {sizes[0]}, {sizes[1]}): logarithms of power at {sizes[0]} frequencies",
                got=tuple(inputs.shape),
                fix="make them with WhisperFeatures, which cuts speech or fills it up with silence",
            )


@base_layer
class WhisperEncoder(Layer):
    """Two convolutions, positions and blocks: (batch, bins, frames) to (batch, frames / 2, features)."""

    conv1: Layer
    conv2: Layer
    places: nn.Embedding
    blocks: tuple[Block, ...]
    norm: Layer
    dropout: float = 0.0

    def forward(self, s: Scope, x: Array) -> Array:
        x = namespace(x).matrix_transpose(x)
        for convolution in (self.conv1, self.conv2):
            x = convolution(s, ops.pad(x, ((0, 0), (1, 1), (0, 0))))
        x = drop(s, x + self.places(s, steps(x, 1)), self.dropout)
        for block in self.blocks:
            x, _, _ = block(s, x)
        return self.norm(s, x)


@base_layer
class WhisperDecoder(Layer):
    """Tokens (batch, time) and the encoder's output to logits (batch, time, tokens), or to features, and the caches."""

    embed: nn.ReversibleEmbedding
    places: nn.Embedding
    blocks: tuple[Block, ...]
    norm: Layer
    head: Layer | None = None
    dropout: float = 0.0
    features: bool = False

    def forward(
        self, s: Scope, ids: Array, source: Array | None, caches: Caches | None, positions: Array | None
    ) -> tuple[Array, Caches | None]:
        start = 0 if caches is None else caches.past[0].index
        x = self.embed(s, ids) + self.places(s, steps(ids, 1) + start if positions is None else positions)
        x, caches = decode(s, self.blocks, drop(s, x, self.dropout), source, None, caches)
        x = self.norm(s, x)
        if self.features:
            return x, caches
        return self.embed(s, x, reverse=True) if self.head is None else self.head(s, x), caches


@layer
class WhisperFeatures(Layer):
    """Speech as Whisper takes it: `WhisperFeatureExtractor` of transformers, from `preprocessor_config.json`.

    `layer(s, x)`: samples between -1 and 1, (batch, samples), are cut or filled up with silence to `chunk_length`
    seconds. The result are logarithms of power at `feature_size` frequencies, (batch, feature_size, frames), where
    frames = chunk_length * sampling_rate / hop_length. There are no parameters: `features.apply({}, x)`.

    Args:
        feature_size: The number of frequencies, `num_mel_bins` of the network.
        sampling_rate: The number of samples a second. Speech must be resampled to it before.
        hop_length: The number of samples from one frame to the next.
        chunk_length: The number of seconds.
        n_fft: The number of samples in a frame.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)

    feature_size: int = 80
    sampling_rate: int = 16000
    hop_length: int = 160
    chunk_length: int = 30
    n_fft: int = 400

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("feature_size", "sampling_rate", "hop_length", "chunk_length", "n_fft"):
            checks.positive(name, getattr(self, name))

    def forward(self, s: Scope, x: Array) -> Array:
        checks.rank("x", x, 2)
        xp, length = namespace(x), self.chunk_length * self.sampling_rate
        x = x[:, :length]
        x = ops.pad(x, ((0, 0), (0, length - checks.known("x", x, 1)[0])))
        real, imaginary = ops.stft(x, self.n_fft, self.hop_length, self.n_fft, "hann")
        power = (real * real + imaginary * imaginary)[:, :-1, :]
        bins = 1 + self.n_fft // 2
        if s.initializing:  # shapes only, of which a file may name any: so no filters are made
            filters = xp.zeros((bins, self.feature_size), dtype=x.dtype)
        else:
            found = mel_filters(self.feature_size, bins, self.sampling_rate)
            filters = xp.asarray(found, dtype=x.dtype, device=device_of(x))
        power = xp.matmul(power, filters)
        logs = xp.log10(xp.maximum(power, xp.full_like(power, 1e-10)))
        logs = xp.maximum(logs, xp.max(logs, axis=(1, 2), keepdims=True) - 8.0)
        return xp.matrix_transpose(logs + 4.0) / 4.0


@functools.cache
def mel_filters(count: int, bins: int, sampling_rate: int, highest: float = 8000.0) -> np.ndarray:
    """How much of each of `bins` frequencies is in each of `count` mels: (bins, count).

    Triangles between frequencies that are equally far apart in mels, each of area 1 (M. Slaney: Auditory Toolbox, 1998:
    200 / 3 Hz a mel up to 1,000 Hz, and 27 mels from there up to 6,400 Hz).
    """
    step = math.log(6.4) / 27
    most = highest * 3 / 200 if highest < 1000 else 15 + math.log(highest / 1000) / step
    mels = np.linspace(0, most, count + 2)
    corners = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(step * (np.maximum(mels, 15) - 15)))
    frequencies = np.linspace(0, sampling_rate // 2, bins)
    rise = (frequencies[:, None] - corners[:-2]) / (corners[1:-1] - corners[:-2])
    fall = (corners[2:] - frequencies[:, None]) / (corners[2:] - corners[1:-1])
    return np.maximum(0, np.minimum(rise, fall)) * 2 / (corners[2:] - corners[:-2])


def sines(key: Any, shape: tuple[int, ...], dtype: str = "float32") -> Any:
    """Positions as sines and cosines of wavelengths from 2 pi up to 10,000 times that: an initializer."""
    length, features = shape
    half = features // 2
    rates = np.exp(-math.log(10000) / max(half - 1, 1) * np.arange(half))
    angles = np.arange(length)[:, None] * rates
    return nn.initializers.Constant(np.concatenate([np.sin(angles), np.cos(angles)], axis=1))(key, shape, dtype)


# -- files -------------------------------------------------------------------------------------------------------------


def from_config(config: Config) -> Whisper:
    """The network that a config describes."""
    tied = config.tied("proj_out.weight", "model.decoder.embed_tokens.weight")
    return Whisper(**{**config.fields(Whisper), "tie_word_embeddings": tied})


def key_map(net: Whisper) -> KeyMap:
    """Which tensors of transformers are which parameters."""
    tables = ("model.decoder.embed_tokens.weight", *(() if net.decoder.head else ("proj_out.weight",)))
    rules = [
        *dense_rules("model.encoder.conv1", "encoder/conv1", "o i t -> t i o"),
        *dense_rules("model.encoder.conv2", "encoder/conv2", "o i t -> t i o"),
        ("model.encoder.embed_positions.weight", "encoder/places/embeddings"),
        (tables, "decoder/embed/embeddings"),
        ("model.decoder.embed_positions.weight", "decoder/places/embeddings"),
        *([("proj_out.weight", "decoder/head/kernel", "o i -> i o")] if net.decoder.head else []),
    ]
    for stack in ("encoder", "decoder"):
        rules += norm_rules(f"model.{stack}.layer_norm", f"{stack}/norm")
        rules += block_rules(f"model.{stack}", stack, cross=stack == "decoder")
    return KeyMap(rules)
