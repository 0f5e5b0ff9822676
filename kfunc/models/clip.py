"""CLIP (Radford et al., arXiv:2103.00020): an encoder of texts and one of images, whose vectors can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, ClassVar

from .. import checks, nn, ops
from ..arrays import namespace
from ..errors import ArgumentError
from ..interop.keymap import KeyMap
from ..nn.initializers import Constant
from ..nn.layer import Layer, layer
from ..nn.rotary import steps
from ..nn.scope import Scope
from ..tracing.spec import Spec
from ..typing import Array, Sizes
from .blocks import Block, Mlp, Rule, activation, check_tokens, dense_rules, head_rules, head_width, norm_rules
from .family import Config, Family
from .vit import Patches

__all__ = ["CLIP", "CLIPText", "CLIPVision", "from_config", "key_map"]


def _norm(of: Any) -> Layer:
    return nn.LayerNormalization(epsilon=of.layer_norm_eps)


def _blocks(of: Any, causal: bool) -> tuple[Block, ...]:
    heads, d = of.num_attention_heads, of.hidden_size
    width, act = head_width(d, heads), activation("hidden_act", of.hidden_act)

    def block() -> Block:
        attention = nn.MultiHeadAttention(heads, width, dropout=of.attention_dropout)
        mlp = Mlp(nn.Dense(of.intermediate_size, act), nn.Dense(d))
        return Block(_norm(of), attention, _norm(of), mlp, causal=causal)

    return tuple(block() for _ in range(of.num_hidden_layers))


@layer
class CLIPText(Family):
    """The encoder of texts, with the arguments that a config has.

    `layer(s, ids, mask=None)`: integers (batch, time) to the dict of `last_hidden_state` (batch, time, hidden_size) and
    `pooler_output` (batch, hidden_size), the vector of the first `eos_token_id`; with a projection, to the dict of
    `last_hidden_state` and `text_embeds` (batch, projection_dim).

    Args:
        projection: Whether the pooled vector is projected.
    """

    model_type: ClassVar[str] = "clip_text_model"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "CLIPTextModel": {"projection": False},
        "CLIPTextModelWithProjection": {"projection": True},
    }
    prefix: ClassVar[str] = "text_model"
    without_effect: ClassVar[Sequence[str]] = ("dropout", "tie_word_embeddings")

    vocab_size: int = 49408
    hidden_size: int = 512
    intermediate_size: int = 2048
    projection_dim: int = 512
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    max_position_embeddings: int = 77
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    attention_dropout: float = 0.0
    projection: bool = False
    pad_token_id: int | None = field(default=1, kw_only=True)
    bos_token_id: int | None = field(default=49406, kw_only=True)
    eos_token_id: int | Sequence[int] | None = field(default=49407, kw_only=True)

    words: Layer = field(init=False)
    places: Layer = field(init=False)
    blocks: Sequence[Block] = field(init=False)
    norm: Layer = field(init=False)
    project: Layer | None = field(init=False)

    def __post_init__(self) -> None:
        self.check_fields()
        checks.integer("eos_token_id", self.eos_token_id, least=0)  # without it, no vector would be the text's
        self.has(
            words=nn.Embedding(self.vocab_size, self.hidden_size),
            places=nn.Embedding(self.max_position_embeddings, self.hidden_size),
            blocks=_blocks(self, causal=True),
            norm=_norm(self),
            project=nn.Dense(self.projection_dim, use_bias=False) if self.projection else None,
        )
        super().__post_init__()

    def input_specs(self) -> tuple[Any, ...]:
        return (Spec((None, None), "int32"),)

    def forward(self, s: Scope, ids: Array, mask: Array | None = None) -> dict[str, Array]:
        check_tokens(ids, self.max_position_embeddings, mask=mask)
        x = self.words(s, ids) + self.places(s, steps(ids, 1))
        for block in self.blocks:
            x, _ = block(s, x, mask=mask)
        x, xp = self.norm(s, x), namespace(ids)
        # In configs of before 2023, the token is called 2 by mistake. It always has the largest number.
        ends = ids if self.eos_token_id == 2 else xp.astype(ids == self.eos_token_id, xp.int32)
        end = xp.expand_dims(xp.argmax(ends, axis=1), axis=1) == xp.expand_dims(steps(ids, 1), axis=0)
        pooled = xp.sum(xp.where(xp.expand_dims(end, axis=-1), x, xp.zeros_like(x)), axis=1)
        if self.project is None:
            return {"last_hidden_state": x, "pooler_output": pooled}
        return {"text_embeds": self.project(s, pooled), "last_hidden_state": x}


@layer
class CLIPVision(Family):
    """The encoder of images, with the arguments that a config has.

    `layer(s, images)`: numbers (batch, height, width, num_channels) to the dict of `last_hidden_state` (batch, 1 +
    patches, hidden_size) and `pooler_output` (batch, hidden_size); with a projection, to the dict of
    `last_hidden_state` and `image_embeds` (batch, projection_dim).

    Args:
        projection: Whether the pooled vector is projected.
    """

    model_type: ClassVar[str] = "clip_vision_model"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "CLIPVisionModel": {"projection": False},
        "CLIPVisionModelWithProjection": {"projection": True},
    }
    prefix: ClassVar[str] = "vision_model"
    without_effect: ClassVar[Sequence[str]] = ("dropout", "tie_word_embeddings")

    hidden_size: int = 768
    intermediate_size: int = 3072
    projection_dim: int = 512
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_channels: int = 3
    image_size: Sizes = 224
    patch_size: Sizes = 32
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    attention_dropout: float = 0.0
    projection: bool = False

    patches: Patches = field(init=False)
    first_norm: Layer = field(init=False)
    blocks: Sequence[Block] = field(init=False)
    norm: Layer = field(init=False)
    project: Layer | None = field(init=False)

    def __post_init__(self) -> None:
        self.check_fields()
        convolution = nn.Conv2D(self.hidden_size, self.patch_size, self.patch_size, use_bias=False)
        self.has(
            patches=Patches(self.image_size, convolution, ("cls_token",)),
            first_norm=_norm(self),
            blocks=_blocks(self, causal=False),
            norm=_norm(self),
            project=nn.Dense(self.projection_dim, use_bias=False) if self.projection else None,
        )
        super().__post_init__()

    def input_specs(self) -> tuple[Any, ...]:
        return (Spec((None, *self.patches.image, self.num_channels)),)

    def forward(self, s: Scope, images: Array) -> dict[str, Array]:
        x = self.first_norm(s, self.patches(s, images))
        for block in self.blocks:
            x, _ = block(s, x)
        pooled = self.norm(s, x[:, 0, :])
        if self.project is None:
            return {"last_hidden_state": x, "pooler_output": pooled}
        return {"image_embeds": self.project(s, pooled), "last_hidden_state": x}


@layer
class CLIP(Family):
    """Both encoders, with the arguments that a config has.

    `layer(s, ids, images, mask=None)` gives the dict of `logits_per_image` (images, texts), `logits_per_text` (texts,
    images), and the vectors of length 1 `text_embeds` (texts, projection_dim) and `image_embeds` (images,
    projection_dim). `layer(s, ids)` and `layer(s, images=images)` give the vectors of one encoder before their length
    becomes 1, as `get_text_features` and `get_image_features` of transformers do.

    Args:
        text_config, vision_config: The arguments of `CLIPText` and `CLIPVision`, by name.
        projection_dim: The number of features of the vectors.
        logit_scale_init_value: The logarithm of the factor of the logits, before it is trained.
    """

    model_type: ClassVar[str] = "clip"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {"CLIPModel": {}}
    without_effect: ClassVar[Sequence[str]] = ("tie_word_embeddings",)

    text_config: Mapping[str, Any] | None = None
    vision_config: Mapping[str, Any] | None = None
    projection_dim: int = 512
    logit_scale_init_value: float = 2.6592

    text: CLIPText = field(init=False)
    vision: CLIPVision = field(init=False)

    def __post_init__(self) -> None:
        self.check_fields()
        both = {"projection": True, "projection_dim": self.projection_dim}
        self.has(
            text=CLIPText(**{**(self.text_config or {}), **both}),
            vision=CLIPVision(**{**(self.vision_config or {}), **both}),
        )
        super().__post_init__()

    def input_specs(self) -> tuple[Any, ...]:
        return (*self.text.input_specs(), *self.vision.input_specs())

    def forward(
        self, s: Scope, ids: Array | None = None, images: Array | None = None, mask: Array | None = None
    ) -> Any:
        if ids is None and images is None:
            raise ArgumentError("CLIP needs `ids`, `images`, or both.", argument="ids", got="neither")
        text = None if ids is None else self.text(s, ids, mask=mask)["text_embeds"]
        image = None if images is None else self.vision(s, images)["image_embeds"]
        if text is None or image is None:
            return image if text is None else text
        xp = namespace(text)
        scale = xp.exp(s.param("logit_scale", (), Constant(self.logit_scale_init_value)))
        text, image = (ops.normalize(x) for x in (text, image))
        logits = xp.matmul(text, xp.matrix_transpose(image)) * scale
        return {
            "logits_per_image": xp.matrix_transpose(logits),
            "logits_per_text": logits,
            "text_embeds": text,
            "image_embeds": image,
        }


def from_config(config: Config) -> Family:
    """The network that a config describes."""
    cls = {"clip_text_model": CLIPText, "clip_vision_model": CLIPVision, "clip": CLIP}[config["model_type"]]
    if cls is not CLIP:
        return cls(**config.fields(cls))
    found = dict(config.fields(CLIP))
    for name, part in (("text_config", CLIPText), ("vision_config", CLIPVision)):
        # A part of this name takes the place of the other: so do old configs write it, beside the other one.
        values = config.part(f"{name}_dict" if config.get(f"{name}_dict") else name)
        found[name] = {n: value for n, value in values.fields(part).items() if n in values}
    return CLIP(**found)


def key_map(net: Family) -> KeyMap:
    """Which tensor of a folder is which array of `net`."""
    if isinstance(net, CLIPText):
        return KeyMap(_of_text(""), _OLD)
    if isinstance(net, CLIPVision):
        return KeyMap(_of_vision(""), _OLD)
    return KeyMap([*_of_text("text/"), *_of_vision("vision/"), ("logit_scale", "logit_scale")], _OLD)


_OLD = (r".*embeddings\.position_ids",)


def _of_text(ours: str) -> list[Rule]:
    theirs = "text_model"
    return [
        (f"{theirs}.embeddings.token_embedding.weight", f"{ours}words/embeddings"),
        (f"{theirs}.embeddings.position_embedding.weight", f"{ours}places/embeddings"),
        *_of_blocks(theirs, ours),
        *norm_rules(f"{theirs}.final_layer_norm", f"{ours}norm"),
        ("text_projection.weight", f"{ours}project/kernel", "o i -> i o"),
    ]


def _of_vision(ours: str) -> list[Rule]:
    theirs = "vision_model"
    return [
        (f"{theirs}.embeddings.class_embedding", f"{ours}patches/cls_token"),
        (f"{theirs}.embeddings.position_embedding.weight", f"{ours}patches/places"),
        (f"{theirs}.embeddings.patch_embedding.weight", f"{ours}patches/project/kernel", "o i h w -> h w i o"),
        *norm_rules(f"{theirs}.pre_layrnorm", f"{ours}first_norm"),
        *_of_blocks(theirs, ours),
        *norm_rules(f"{theirs}.post_layernorm", f"{ours}norm"),
        ("visual_projection.weight", f"{ours}project/kernel", "o i -> i o"),
    ]


def _of_blocks(theirs: str, ours: str) -> list[Rule]:
    theirs, ours = f"{theirs}.encoder.layers.{{i}}", f"{ours}blocks_{{i}}"
    return [
        *head_rules(f"{theirs}.self_attn", f"{ours}/attention", ("q_proj", "k_proj", "v_proj", "out_proj")),
        *dense_rules(f"{theirs}.mlp.fc1", f"{ours}/mlp/up"),
        *dense_rules(f"{theirs}.mlp.fc2", f"{ours}/mlp/down"),
        *norm_rules(f"{theirs}.layer_norm1", f"{ours}/norm1"),
        *norm_rules(f"{theirs}.layer_norm2", f"{ours}/norm2"),
    ]
