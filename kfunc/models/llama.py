"""Llama (arXiv:2302.13971), and the networks that differ from it in few things: Mistral, Qwen and Gemma."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, ClassVar

from .. import checks, nn
from ..arrays import device, namespace
from ..backends import Backend
from ..errors import ArgumentError, shown
from ..interop.keymap import KeyMap
from ..nn.layer import Layer, layer
from ..nn.scope import Scope
from ..tracing.spec import Spec
from ..typing import Array
from .blocks import (
    Block,
    CentredRMSNormalization,
    Mlp,
    activation,
    check_tokens,
    dense_rules,
    head_rules,
    head_width,
    token_positions,
)
from .family import Config, Family

__all__ = [
    "Gemma",
    "Gemma2",
    "Gemma3",
    "Granite",
    "Llama",
    "Mistral",
    "Qwen2",
    "Qwen3",
    "SmolLM3",
    "from_config",
    "key_map",
]

_FULL, _SLIDING = "full_attention", "sliding_attention"


@layer
class Llama(Family):
    """Llama: tokens (batch, time) to logits (batch, time, vocabulary), or to features without a head.

    `net(s, ids, mask=None, caches=None, positions=None)`: `mask` is True where a token counts, so that rows may be
    filled up on the left. With `caches`, as `init_caches` makes them, the result is `(logits, caches)`, and `mask` has
    the length of the caches. With `last_only`, there are only the logits of the last position, (batch, 1, vocabulary).

    Args:
        vocab_size: The number of tokens.
        hidden_size: The number of features.
        intermediate_size: The number of features within a block's MLP.
        num_hidden_layers: The number of blocks.
        num_attention_heads: The number of heads of attention.
        num_key_value_heads: The number of heads of keys and values; as many by default.
        head_dim: The number of features of a head; by default `hidden_size / num_attention_heads`.
        hidden_act: The activation of the MLP.
        max_position_embeddings: The number of positions that the network was trained with.
        rms_norm_eps: The epsilon of the normalizations.
        rope_theta, rope_scaling: The wavelength and the scaling of `nn.RotaryEmbedding`.
        rope_parameters: Both in one dict, as newer configs have it; `rope_scaling` must be None then.
        attention_bias, mlp_bias: Whether the projections of attention and of the MLP have a bias.
        attention_dropout: The probability that training drops an attention weight.
        tie_word_embeddings: Whether the logits are products with the vectors of the tokens.
        head: "language" for logits, or None.
    """

    model_type: ClassVar[str] = "llama"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "LlamaForCausalLM": {"head": "language"},
        "LlamaModel": {"head": None},
    }
    default_tokens: ClassVar[Mapping[str, int]] = {"bos_token_id": 1, "eos_token_id": 2}
    prefix: ClassVar[str] = "model"

    centred: ClassVar[bool] = False
    """Whether normalizations multiply by `1 + scale`."""
    head_norms: ClassVar[bool] = False
    """Whether the query and the key of each head are normalised."""
    after_norms: ClassVar[bool] = False
    """Whether the results of attention and MLP are normalised before they are added."""
    act: ClassVar[str] = "hidden_act"
    """The field that names the activation of the MLP."""

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    rope_scaling: Mapping[str, Any] | None = None
    rope_parameters: Mapping[str, Any] | None = None
    attention_bias: bool = False
    mlp_bias: bool = False
    attention_dropout: float = 0.0
    tie_word_embeddings: bool = False
    head: str | None = "language"

    embed: nn.ReversibleEmbedding = field(init=False)
    blocks: tuple[Block, ...] = field(init=False)
    norm: Layer = field(init=False)
    logits: Layer | None = field(init=False)

    def __post_init__(self) -> None:
        self.check_fields()
        checks.one_of("head", self.head, ("language", None))
        if self.rope_parameters and self.rope_scaling:
            raise ArgumentError(
                "`rope_parameters` and `rope_scaling` are both given.",
                argument="rope_scaling",
                expected="one of them",
                got=shown(self.rope_scaling),
                fix="write the scaling and `rope_theta` into `rope_parameters`, and leave `rope_scaling` None",
            )
        own = self.head is not None and not self.tie_word_embeddings
        self.has(
            embed=nn.ReversibleEmbedding(self.vocab_size, self.hidden_size),
            blocks=tuple(self._block(kind, i) for i, kind in enumerate(self._kinds())),
            norm=self._norm(),
            logits=nn.Dense(self.vocab_size, use_bias=False) if own else None,
        )
        super().__post_init__()

    def _norm(self) -> Layer:
        return (CentredRMSNormalization if self.centred else nn.RMSNormalization)(epsilon=self.rms_norm_eps)

    def _kinds(self) -> Sequence[str]:
        """For each block, whether it looks at all positions or at those in its window, as `layer_types` says it."""
        return [_FULL] * self.num_hidden_layers

    def _rope(self, kind: str) -> Mapping[str, Any]:
        """The wavelength and the scaling of the rotary positions in blocks of this kind, in one dict."""
        scaling = dict(self.rope_parameters or self.rope_scaling or {})
        return {"rope_theta": self.rope_theta, **scaling}

    def _attention(self, kind: str) -> dict[str, Any]:
        """Further arguments of the attention in blocks of this kind."""
        return {"use_bias": self.attention_bias}

    def _rotates(self, i: int) -> bool:
        """Whether block `i` has rotary positions."""
        return True

    def _block(self, kind: str, i: int) -> Block:
        act = activation(self.act, getattr(self, self.act))

        def dense(units: int, activation: str | None = None) -> Layer:
            return nn.Dense(units, activation, use_bias=self.mlp_bias)

        attention = nn.GroupQueryAttention(
            self.head_dim or head_width(self.hidden_size, self.num_attention_heads),
            self.num_attention_heads,
            self.num_key_value_heads or self.num_attention_heads,
            dropout=self.attention_dropout,
            rotary=_rotary(self._rope(kind), self.max_position_embeddings) if self._rotates(i) else None,
            query_norm=self._norm() if self.head_norms else None,
            key_norm=self._norm() if self.head_norms else None,
            **self._attention(kind),
        )
        return Block(
            self._norm(),
            attention,
            self._norm(),
            Mlp(dense(self.intermediate_size), dense(self.hidden_size), dense(self.intermediate_size, act)),
            after1=self._norm() if self.after_norms else None,
            after2=self._norm() if self.after_norms else None,
            factor=self._factor(),
        )

    def _factor(self) -> float:
        """What is added to `x` in each block is multiplied by it."""
        return 1.0

    def input_specs(self) -> tuple[Any, ...]:
        return (Spec((None, None), "int32"),)

    def init_caches(
        self,
        batch: int,
        length: int,
        dtype: str | None = None,
        backend: str | Backend | None = None,
        device: Any = None,
    ) -> list[Any]:
        """Empty caches, one for each block; see `nn.MultiHeadAttention.init_cache`."""
        return [b.attention.init_cache(batch, length, dtype, backend, device, within=self) for b in self.blocks]

    def forward(
        self,
        s: Scope,
        ids: Array,
        mask: Array = None,
        caches: Any = None,
        positions: Array = None,
        last_only: bool = False,
    ) -> Any:
        check_tokens(ids, **({"mask": mask} if caches is None else {}))
        if positions is None and mask is not None:
            positions = token_positions(ids, mask, caches)
        x, new = self._embedded(self.embed(s, ids)), []
        for i, block in enumerate(self.blocks):
            x, cache = block(s, x, mask=mask, cache=None if caches is None else caches[i], positions=positions)
            new.append(cache)
        out = self.norm(s, x[:, -1:, ...] if last_only else x)
        if self.head is not None:
            out = self.embed(s, out, reverse=True) if self.logits is None else self.logits(s, out)
            out = self._capped(out)
        return out if caches is None else (out, new)

    def _embedded(self, x: Any) -> Any:
        return x

    def _capped(self, logits: Any) -> Any:
        return logits


@layer
class Granite(Llama):
    """Granite (IBM, 2024): Llama with four factors.

    It is called as `Llama` is: tokens (batch, time) to logits (batch, time, vocabulary).

    Args:
        embedding_multiplier: The vectors of tokens are multiplied by it.
        attention_multiplier: The scores of attention are multiplied by it, in place of the root of `head_dim`.
        residual_multiplier: What is added in a block is multiplied by it.
        logits_scaling: The logits are divided by it.
    """

    model_type: ClassVar[str] = "granite"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "GraniteForCausalLM": {"head": "language"},
        "GraniteModel": {"head": None},
    }

    embedding_multiplier: float = 1.0
    attention_multiplier: float = 1.0
    residual_multiplier: float = 1.0
    logits_scaling: float = 1.0

    def _attention(self, kind: str) -> dict[str, Any]:
        return {"use_bias": self.attention_bias, "scale": self.attention_multiplier}

    def _factor(self) -> float:
        return self.residual_multiplier

    def _embedded(self, x: Any) -> Any:
        return x * self.embedding_multiplier

    def _capped(self, logits: Any) -> Any:
        return logits / self.logits_scaling


@layer
class Mistral(Llama):
    """Mistral (arXiv:2310.06825): Llama whose attention may look at a window of the last positions.

    It is called as `Llama` is: tokens (batch, time) to logits (batch, time, vocabulary).

    Args:
        sliding_window: How many positions; None for all.
    """

    model_type: ClassVar[str] = "mistral"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "MistralForCausalLM": {"head": "language"},
        "MistralModel": {"head": None},
    }
    fixed: ClassVar[Sequence[str]] = ("attention_bias", "mlp_bias")

    intermediate_size: int = 14336
    num_key_value_heads: int | None = 8
    max_position_embeddings: int = 4096 * 32
    sliding_window: int | None = 4096

    def _attention(self, kind: str) -> dict[str, Any]:
        return {"use_bias": False, "sliding_window": self.sliding_window}


@layer
class Qwen2(Llama):
    """Qwen2 (arXiv:2407.10671): Llama with biases of query, key and value, and windows in some blocks.

    It is called as `Llama` is: tokens (batch, time) to logits (batch, time, vocabulary).

    Args:
        use_sliding_window: Whether there are windows at all.
        sliding_window: How many positions a block with a window looks at.
        max_window_layers: The first block with a window, if `layer_types` does not say it.
        layer_types: For each block "full_attention" or "sliding_attention".
    """

    model_type: ClassVar[str] = "qwen2"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "Qwen2ForCausalLM": {"head": "language"},
        "Qwen2Model": {"head": None},
    }
    fixed: ClassVar[Sequence[str]] = ("attention_bias", "mlp_bias")
    default_tokens: ClassVar[Mapping[str, int]] = {}

    vocab_size: int = 151936
    intermediate_size: int = 22016
    num_key_value_heads: int | None = 32
    max_position_embeddings: int = 32768
    use_sliding_window: bool = False
    sliding_window: int | None = 4096
    max_window_layers: int = 28
    layer_types: Sequence[str] | None = None

    def _kinds(self) -> Sequence[str]:
        first = self.max_window_layers if self.use_sliding_window and self.sliding_window else self.num_hidden_layers
        default = [_FULL if i < first else _SLIDING for i in range(self.num_hidden_layers)]
        return _given(self.layer_types, default)

    def _attention(self, kind: str) -> dict[str, Any]:
        window = self.sliding_window if kind == _SLIDING and self.use_sliding_window else None
        return {"use_bias": ("query", "key", "value"), "sliding_window": window}


@layer
class Qwen3(Qwen2):
    """Qwen3 (arXiv:2505.09388): Qwen2 without those biases, with normalised queries and keys.

    It is called as `Llama` is: tokens (batch, time) to logits (batch, time, vocabulary).
    """

    model_type: ClassVar[str] = "qwen3"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "Qwen3ForCausalLM": {"head": "language"},
        "Qwen3Model": {"head": None},
    }
    fixed: ClassVar[Sequence[str]] = ("mlp_bias",)
    head_norms: ClassVar[bool] = True

    head_dim: int | None = 128

    def _attention(self, kind: str) -> dict[str, Any]:
        return {**super()._attention(kind), "use_bias": self.attention_bias}


@layer
class SmolLM3(Qwen2):
    """SmolLM3 (Hugging Face, 2025): Qwen2 without biases, where every fourth block has no positions.

    It is called as `Llama` is: tokens (batch, time) to logits (batch, time, vocabulary).

    Args:
        no_rope_layer_interval: Each of so many blocks has no rotary positions, if `no_rope_layers` does not say it.
        no_rope_layers: For each block 1 if it has rotary positions, or 0.
    """

    model_type: ClassVar[str] = "smollm3"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "SmolLM3ForCausalLM": {"head": "language"},
        "SmolLM3Model": {"head": None},
    }
    default_tokens: ClassVar[Mapping[str, int]] = {
        "pad_token_id": 128004,
        "bos_token_id": 128000,
        "eos_token_id": 128001,
    }
    fixed: ClassVar[Sequence[str]] = ("max_window_layers",)

    vocab_size: int = 128256
    hidden_size: int = 2048
    intermediate_size: int = 11008
    num_hidden_layers: int = 36
    num_attention_heads: int = 16
    num_key_value_heads: int | None = 4
    sliding_window: int | None = None
    tie_word_embeddings: bool = True
    no_rope_layer_interval: int = 4
    no_rope_layers: Sequence[int] | None = None

    def _kinds(self) -> Sequence[str]:
        windows = [self.use_sliding_window and self.sliding_window and not self._rotates(i) for i in self._all()]
        return _given(self.layer_types, [_SLIDING if w else _FULL for w in windows])

    def _all(self) -> range:
        return range(self.num_hidden_layers)

    def _rotates(self, i: int) -> bool:
        if not self.no_rope_layers:
            return bool((i + 1) % self.no_rope_layer_interval)
        return bool(checks.per_axis("no_rope_layers", self.no_rope_layers, self.num_hidden_layers, least=0)[i])

    def _attention(self, kind: str) -> dict[str, Any]:
        return {**super()._attention(kind), "use_bias": self.attention_bias}


@layer
class Gemma(Llama):
    """Gemma (arXiv:2403.08295): Llama with wide heads, scaled vectors of tokens, and normalizations centred at 1.

    It is called as `Llama` is: tokens (batch, time) to logits (batch, time, vocabulary).
    """

    model_type: ClassVar[str] = "gemma"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "GemmaForCausalLM": {"head": "language"},
        "GemmaModel": {"head": None},
    }
    fixed: ClassVar[Sequence[str]] = ("mlp_bias",)
    default_tokens: ClassVar[Mapping[str, int]] = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    centred: ClassVar[bool] = True

    vocab_size: int = 256000
    hidden_size: int = 3072
    intermediate_size: int = 24576
    num_hidden_layers: int = 28
    num_attention_heads: int = 16
    num_key_value_heads: int | None = 16
    head_dim: int | None = 256
    hidden_act: str = "gelu_pytorch_tanh"
    max_position_embeddings: int = 8192
    tie_word_embeddings: bool = True

    def _embedded(self, x: Any) -> Any:
        # In half precision, the root is rounded first, as in the training of these networks.
        return x * namespace(x).asarray(self.hidden_size**0.5, dtype=x.dtype, device=device(x))


@layer
class Gemma2(Gemma):
    """Gemma 2 (arXiv:2408.00118): Gemma with soft caps, windows in every other block, and more normalizations.

    It is called as `Llama` is: tokens (batch, time) to logits (batch, time, vocabulary).

    Args:
        hidden_activation: The activation of the MLP, in place of `hidden_act`.
        query_pre_attn_scalar: Scores are divided by the root of this number.
        sliding_window: How many positions a block with a window looks at.
        layer_types: For each block "full_attention" or "sliding_attention".
        attn_logit_softcapping, final_logit_softcapping: A number c, or None: scores and logits x become
            `c * tanh(x / c)`.
    """

    model_type: ClassVar[str] = "gemma2"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "Gemma2ForCausalLM": {"head": "language"},
        "Gemma2Model": {"head": None},
    }
    fixed: ClassVar[Sequence[str]] = ("hidden_act", "mlp_bias")
    act: ClassVar[str] = "hidden_activation"
    after_norms: ClassVar[bool] = True
    pattern: ClassVar[int] = 2
    """Each of so many blocks looks at all positions, if `layer_types` does not say it."""

    hidden_size: int = 2304
    intermediate_size: int = 9216
    num_hidden_layers: int = 26
    num_attention_heads: int = 8
    num_key_value_heads: int | None = 4
    hidden_activation: str = "gelu_pytorch_tanh"
    query_pre_attn_scalar: float = 256
    sliding_window: int | None = 4096
    layer_types: Sequence[str] | None = None
    attn_logit_softcapping: float | None = 50.0
    final_logit_softcapping: float | None = 30.0

    def _pattern(self) -> int:
        return self.pattern

    def _kinds(self) -> Sequence[str]:
        n = self._pattern()
        return _given(self.layer_types, [_SLIDING if (i + 1) % n else _FULL for i in range(self.num_hidden_layers)])

    def _attention(self, kind: str) -> dict[str, Any]:
        return {
            "use_bias": self.attention_bias,
            "sliding_window": self.sliding_window if kind == _SLIDING else None,
            "scale": self.query_pre_attn_scalar**-0.5,
            "attn_logits_soft_cap": self.attn_logit_softcapping,
        }

    def _capped(self, logits: Any) -> Any:
        cap = self.final_logit_softcapping
        return logits if cap is None else namespace(logits).tanh(logits / cap) * cap


@layer
class Gemma3(Gemma2):
    """The text network of Gemma 3 (arXiv:2503.19786): five blocks with windows for each without, and no soft caps.

    It is called as `Llama` is: tokens (batch, time) to logits (batch, time, vocabulary).

    Args:
        rope_local_base_freq: As `rope_theta`, for blocks with a window.
        sliding_window_pattern: Each of so many blocks looks at all positions, if `layer_types` does not say it.
    """

    model_type: ClassVar[str] = "gemma3_text"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "Gemma3ForCausalLM": {"head": "language"},
        "Gemma3TextModel": {"head": None},
    }
    without_effect: ClassVar[Sequence[str]] = ("_sliding_window_pattern",)
    head_norms: ClassVar[bool] = True

    vocab_size: int = 262208
    max_position_embeddings: int = 131072
    rope_theta: float = 1000000.0
    rope_local_base_freq: float = 10000.0
    sliding_window_pattern: int = 6
    attn_logit_softcapping: float | None = None
    final_logit_softcapping: float | None = None

    def _pattern(self) -> int:
        return self.sliding_window_pattern

    def _rope(self, kind: str) -> Mapping[str, Any]:
        theta = self.rope_theta if kind == _FULL else self.rope_local_base_freq
        nested = (self.rope_parameters or {}).get(kind)
        if isinstance(nested, Mapping):
            return {"rope_theta": theta, **nested}
        return super()._rope(kind) if kind == _FULL else {"rope_theta": theta}


def _given(kinds: Sequence[str] | None, default: Sequence[str]) -> Sequence[str]:
    """`layer_types`, checked; `default` if it is None."""
    if kinds is None:
        return default
    for kind in kinds:
        checks.one_of("layer_types", kind, (_FULL, _SLIDING))
    checks.per_axis("layer_types", tuple(1 for _ in kinds), len(default))
    return kinds


def _rotary(rope: Mapping[str, Any], length: int) -> Layer:
    """The rotary embedding that a config describes, for a network that was trained with `length` positions."""
    scaling = {name: value for name, value in rope.items() if value is not None}
    theta, part = scaling.pop("rope_theta"), scaling.pop("partial_rotary_factor", 1.0)
    kind = scaling.pop("type", "default")
    kind = scaling.setdefault("rope_type", kind)
    if kind in ("dynamic", "longrope"):
        scaling.setdefault("max_position_embeddings", length)
    if kind in ("yarn", "llama3", "longrope"):
        scaling.setdefault("original_max_position_embeddings", length)
    return nn.RotaryEmbedding(theta, scaling=scaling, partial_rotary_factor=part)


_CLASSES: dict[str, type[Llama]] = {
    cls.model_type: cls for cls in (Llama, Granite, Mistral, Qwen2, Qwen3, SmolLM3, Gemma, Gemma2, Gemma3)
}


def from_config(config: Config) -> Llama:
    """The network that a config describes."""
    cls = _CLASSES[config["model_type"]]
    found = config.fields(cls)
    tied = bool(found.get("tie_word_embeddings", cls.tie_word_embeddings))
    found["tie_word_embeddings"] = config.tied("lm_head.weight", "model.embed_tokens.weight", tied)
    if cls is Gemma:
        config.choice("hidden_activation", None, "gelu_pytorch_tanh")
        if found.get("hidden_act") == "gelu":
            found["hidden_act"] = "gelu_pytorch_tanh"  # the first configs said "gelu", and meant this one
    return cls(**found)


def key_map(net: Llama) -> KeyMap:
    """Which tensor of a folder is which array of `net`."""
    theirs, ours = "model.layers.{i}", "blocks_{i}"
    tied = net.head is not None and net.logits is None
    embed = "model.embed_tokens.weight"
    norms = {"input_layernorm": "norm1", "post_attention_layernorm": "norm2"}
    if net.after_norms:
        norms |= {"post_attention_layernorm": "after1", "pre_feedforward_layernorm": "norm2"}
        norms |= {"post_feedforward_layernorm": "after2"}
    return KeyMap(
        [
            ((embed, "lm_head.weight") if tied else embed, "embed/embeddings"),
            *([] if tied else [("lm_head.weight", "logits/kernel", "o i -> i o")]),
            *head_rules(f"{theirs}.self_attn", f"{ours}/attention", ("q_proj", "k_proj", "v_proj", "o_proj")),
            (f"{theirs}.self_attn.q_norm.weight", f"{ours}/attention/query_norm/scale"),
            (f"{theirs}.self_attn.k_norm.weight", f"{ours}/attention/key_norm/scale"),
            *(
                rule
                for name in ("gate", "up", "down")
                for rule in dense_rules(f"{theirs}.mlp.{name}_proj", f"{ours}/mlp/{name}")
            ),
            *((f"{theirs}.{name}.weight", f"{ours}/{own}/scale") for name, own in norms.items()),
            ("model.norm.weight", "norm/scale"),
        ],
        ignore=[r".*\.rotary_emb\.inv_freq"],
    )
