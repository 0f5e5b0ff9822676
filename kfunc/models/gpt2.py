"""GPT-2 (Radford et al., 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

from .. import checks, nn
from ..backends import Backend
from ..interop.keymap import KeyMap
from ..nn.layer import Layer, layer
from ..nn.scope import Scope
from ..tracing.spec import Spec
from ..typing import Array
from .blocks import (
    Block,
    Mlp,
    activation,
    check_tokens,
    dense_rules,
    drop,
    head_width,
    norm_rules,
    token_positions,
    within,
)
from .family import Config, Family

__all__ = ["GPT2", "from_config", "key_map"]


@layer
class GPT2(Family):
    """GPT-2: tokens (batch, time) to logits (batch, time, vocabulary), or to features without a head.

    `net(s, ids, mask=None, caches=None, positions=None)`: `mask` is True where a token counts, so that rows may be
    filled up on the left. With `caches`, as `init_caches` makes them, the result is `(logits, caches)`, and `mask` has
    the length of the caches. With `last_only`, there are only the logits of the last position, (batch, 1, vocabulary).

    Args:
        vocab_size: The number of tokens.
        n_positions: The largest number of positions.
        n_embd: The number of features.
        n_layer: The number of blocks.
        n_head: The number of heads of attention, which divides `n_embd`.
        n_inner: The number of features within a block's MLP; four times `n_embd` by default.
        activation_function: The activation of the MLP.
        resid_pdrop, embd_pdrop, attn_pdrop: Probabilities of dropout in training.
        layer_norm_epsilon: The epsilon of the normalizations.
        scale_attn_weights: Whether scores are divided by the root of the number of features of a head.
        scale_attn_by_inverse_layer_idx: Whether those of block `i` are divided by `i + 1`, too.
        tie_word_embeddings: Whether the logits are products with the vectors of the tokens.
        head: "language" for logits, or None.
    """

    model_type: ClassVar[str] = "gpt2"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "GPT2LMHeadModel": {"head": "language"},
        "GPT2Model": {"head": None},
    }
    default_tokens: ClassVar[Mapping[str, int]] = {"bos_token_id": 50256, "eos_token_id": 50256}
    prefix: ClassVar[str] = "transformer"
    without_effect: ClassVar[tuple[str, ...]] = (
        *("n_ctx", "reorder_and_upcast_attn", "summary_activation", "summary_first_dropout", "summary_proj_to_labels"),
        *("summary_type", "summary_use_proj"),
    )

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False
    tie_word_embeddings: bool = True
    head: str | None = "language"

    embed: nn.ReversibleEmbedding = field(init=False)
    position: nn.Embedding = field(init=False)
    blocks: tuple[Block, ...] = field(init=False)
    norm: Layer = field(init=False)
    logits: Layer | None = field(init=False)

    def __post_init__(self) -> None:
        self.check_fields()
        checks.one_of("head", self.head, ("language", None))
        own = self.head is not None and not self.tie_word_embeddings
        self.has(
            embed=nn.ReversibleEmbedding(self.vocab_size, self.n_embd),
            position=nn.Embedding(self.n_positions, self.n_embd),
            blocks=tuple(self._block(i) for i in range(self.n_layer)),
            norm=nn.LayerNormalization(epsilon=self.layer_norm_epsilon),
            logits=nn.Dense(self.vocab_size, use_bias=False) if own else None,
        )
        super().__post_init__()

    def _block(self, i: int) -> Block:
        width = head_width(self.n_embd, self.n_head, "n_embd", "n_head")
        scale = width**-0.5 if self.scale_attn_weights else 1.0
        scale = scale / (i + 1) if self.scale_attn_by_inverse_layer_idx else scale
        act = activation("activation_function", self.activation_function)
        return Block(
            nn.LayerNormalization(epsilon=self.layer_norm_epsilon),
            nn.MultiHeadAttention(self.n_head, width, dropout=self.attn_pdrop, scale=scale),
            nn.LayerNormalization(epsilon=self.layer_norm_epsilon),
            Mlp(nn.Dense(self.n_inner or 4 * self.n_embd, act), nn.Dense(self.n_embd)),
            dropout=self.resid_pdrop,
        )

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
        within("length", length, self.n_positions)
        return [block.attention.init_cache(batch, length, dtype, backend, device, within=self) for block in self.blocks]

    def forward(
        self,
        s: Scope,
        ids: Array,
        mask: Array = None,
        caches: Any = None,
        positions: Array = None,
        last_only: bool = False,
    ) -> Any:
        check_tokens(ids, self.n_positions, **({"mask": mask} if caches is None else {}))
        positions = token_positions(ids, mask, caches) if positions is None else positions
        x, new = self.embed(s, ids) + self.position(s, positions), []
        x = drop(s, x, self.embd_pdrop)
        for i, block in enumerate(self.blocks):
            x, cache = block(s, x, mask=mask, cache=None if caches is None else caches[i])
            new.append(cache)
        out = self.norm(s, x[:, -1:, ...] if last_only else x)
        if self.head is not None:
            out = self.embed(s, out, reverse=True) if self.logits is None else self.logits(s, out)
        return out if caches is None else (out, new)


def from_config(config: Config) -> GPT2:
    """The network that a config describes."""
    return GPT2(
        **{**config.fields(GPT2), "tie_word_embeddings": config.tied("lm_head.weight", "transformer.wte.weight")}
    )


def key_map(net: GPT2) -> KeyMap:
    """Which tensor of a folder is which array of `net`."""
    theirs, ours = "transformer.h.{i}", "blocks_{i}"
    three = [f"{ours}/attention/{name}" for name in ("query", "key", "value")]
    tied = net.head is not None and net.logits is None
    return KeyMap(
        [
            (("transformer.wte.weight", "lm_head.weight") if tied else "transformer.wte.weight", "embed/embeddings"),
            ("lm_head.weight", "logits/kernel", "o i -> i o") if not tied else (None, "logits/kernel"),
            ("transformer.wpe.weight", "position/embeddings"),
            # Their layers in blocks are convolutions, whose kernels lie as ours do.
            (f"{theirs}.attn.c_attn.weight", [f"{name}/kernel" for name in three], "i (s h d) -> s i h d"),
            (f"{theirs}.attn.c_attn.bias", [f"{name}/bias" for name in three], "(s h d) -> s h d"),
            (f"{theirs}.attn.c_proj.weight", f"{ours}/attention/attention_output/kernel", "(h d) o -> h d o"),
            (f"{theirs}.attn.c_proj.bias", f"{ours}/attention/attention_output/bias"),
            *dense_rules(f"{theirs}.mlp.c_fc", f"{ours}/mlp/up", form=""),
            *dense_rules(f"{theirs}.mlp.c_proj", f"{ours}/mlp/down", form=""),
            *norm_rules(f"{theirs}.ln_1", f"{ours}/norm1"),
            *norm_rules(f"{theirs}.ln_2", f"{ours}/norm2"),
            *norm_rules("transformer.ln_f", "norm"),
        ],
        ignore=[r".*\.attn\.(masked_)?bias"],
    )
