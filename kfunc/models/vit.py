"""ViT (Dosovitskiy et al., arXiv:2010.11929) and DeiT (Touvron et al., arXiv:2012.12877): encoders of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, ClassVar

from .. import checks, nn
from ..arrays import namespace
from ..errors import ShapeError
from ..interop.keymap import KeyMap
from ..nn.layer import Layer, base_layer, layer
from ..nn.scope import Scope
from ..tracing.spec import Spec
from ..typing import Array, Sizes
from .blocks import Block, Mlp, activation, dense_rules, head_fields, head_rules, head_width, norm_rules
from .family import Config, Family

__all__ = ["DeiT", "ViT", "from_config", "key_map"]


@base_layer
class Patches(Layer):
    """Images (batch, height, width, channels) as vectors (batch, tokens + patches, features): patches after tokens.

    Args:
        image_size: The height and the width of images.
        project: The layer that makes patches vectors.
        tokens: The names of the learned vectors that come before the patches.
    """

    image_size: Sizes
    project: nn.Conv2D
    tokens: tuple[str, ...]

    @property
    def image(self) -> tuple[int, int]:
        """The height and the width of an image."""
        return checks.per_axis("image_size", self.image_size, 2)

    def forward(self, s: Scope, images: Array) -> Array:
        checks.rank("images", images, 4)
        if any(n not in (None, size) for n, size in zip(images.shape[1:3], self.image, strict=True)):
            raise ShapeError(
                f"`images` must be (batch, {', '.join(map(str, self.image))}, channels), got {tuple(images.shape)}.",
                argument="images",
                expected=f"(batch, {', '.join(map(str, self.image))}, channels)",
                got=tuple(images.shape),
                fix="resize the images with kf.ops.image.resize",
            )
        x, xp = self.project(s, images), namespace(images)
        patches, features = x.shape[1] * x.shape[2], x.shape[3]
        x = xp.reshape(x, (-1, patches, features))
        first = [xp.zeros_like(x[:, :1, :]) + s.param(name, (features,), _RANDOM) for name in self.tokens]
        places = s.param("places", (len(first) + patches, features), _RANDOM)
        return xp.concat([*first, x], axis=1) + places


_RANDOM = nn.initializers.TruncatedNormal(stddev=0.02)


@layer
class ViT(Family):
    """ViT, with the arguments that a config has.

    `layer(s, images)`: numbers (batch, height, width, num_channels), normalized as the folder's
    `preprocessor_config.json` says. The output is that of the class of transformers:

    - without a head, the dict of `last_hidden_state` (batch, 1 + patches, hidden_size) and `pooler_output` (batch,
      pooler_output_size), or the former alone if there is no pooler;
    - "image_classification": logits (batch, num_labels).

    Args:
        head: None, or a head above.
        num_labels: The number of classes.
        pooler: Whether there is a pooler, if there is no head.
    """

    model_type: ClassVar[str] = "vit"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ViTModel": {"head": None},
        "ViTForImageClassification": {"head": "image_classification"},
    }
    prefix: ClassVar[str] = "vit"
    without_effect: ClassVar[Sequence[str]] = ("encoder_stride",)
    tokens: ClassVar[tuple[str, ...]] = ("cls_token",)
    """The vectors before the patches; the first is the one that is classified."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    layer_norm_eps: float = 1e-12
    image_size: Sizes = 224
    patch_size: Sizes = 16
    num_channels: int = 3
    qkv_bias: bool = True
    pooler_output_size: int | None = None
    pooler_act: str = "tanh"
    head: str | None = None
    num_labels: int = 2
    pooler: bool = True

    patches: Patches = field(init=False)
    dropout: Layer = field(init=False)
    blocks: Sequence[Block] = field(init=False)
    norm: Layer = field(init=False)
    pool: Layer | None = field(init=False)
    classifiers: Sequence[Layer] = field(init=False)

    def __post_init__(self) -> None:
        self.check_fields()
        checks.one_of("head", self.head, [implied["head"] for implied in self.architectures.values()])
        d, heads = self.hidden_size, self.num_attention_heads
        width, act = head_width(d, heads), activation("hidden_act", self.hidden_act)
        bias: Any = True if self.qkv_bias else ("attention_output",)

        def norm() -> Layer:
            return nn.LayerNormalization(epsilon=self.layer_norm_eps)

        def block() -> Block:
            attention = nn.MultiHeadAttention(heads, width, dropout=self.attention_probs_dropout_prob, use_bias=bias)
            mlp = Mlp(nn.Dense(self.intermediate_size, act), nn.Dense(d))
            return Block(norm(), attention, norm(), mlp, causal=False, dropout=self.hidden_dropout_prob)

        pools = self.head is None and self.pooler
        classifiers = {None: 0, "image_classification": 1}.get(self.head, 2)
        self.has(
            patches=Patches(self.image_size, nn.Conv2D(d, self.patch_size, self.patch_size), self.tokens),
            dropout=nn.Dropout(self.hidden_dropout_prob),
            blocks=tuple(block() for _ in range(self.num_hidden_layers)),
            norm=norm(),
            pool=nn.Dense(self.pooler_output_size or d, activation("pooler_act", self.pooler_act)) if pools else None,
            classifiers=tuple(nn.Dense(self.num_labels) for _ in range(classifiers)),
        )
        super().__post_init__()

    def values(self) -> dict[str, Any]:
        return {name: value for name, value in super().values().items() if name != "pooler"}  # no config has it

    def input_specs(self) -> tuple[Any, ...]:
        return (Spec((None, *self.patches.image, self.num_channels)),)

    def forward(self, s: Scope, images: Array) -> Any:
        x = self.dropout(s, self.patches(s, images))
        for block in self.blocks:
            x, _ = block(s, x)
        x = self.norm(s, x)
        if self.head is None:
            return x if self.pool is None else {"last_hidden_state": x, "pooler_output": self.pool(s, x[:, 0, :])}
        logits = [classifier(s, x[:, i, :]) for i, classifier in enumerate(self.classifiers)]
        if len(logits) == 1:
            return logits[0]
        mean = (logits[0] + logits[1]) / 2
        return {"logits": mean, "cls_logits": logits[0], "distillation_logits": logits[1]}


@layer
class DeiT(ViT):
    """DeiT: `ViT` with a second token, which learned from a teacher.

    With the head "with_teacher", there is a classifier for each of both tokens, and the output is the dict of
    `cls_logits`, `distillation_logits` and their mean `logits`.
    """

    model_type: ClassVar[str] = "deit"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "DeiTModel": {"head": None},
        "DeiTForImageClassification": {"head": "image_classification"},
        "DeiTForImageClassificationWithTeacher": {"head": "with_teacher"},
    }
    prefix: ClassVar[str] = "deit"
    tokens: ClassVar[tuple[str, ...]] = ("cls_token", "distillation_token")


def from_config(config: Config) -> ViT:
    """The network that a config describes."""
    cls = {"vit": ViT, "deit": DeiT}[config["model_type"]]
    return cls(**{**config.fields(cls), **head_fields(config, config.architecture(cls))})


def key_map(net: ViT) -> KeyMap:
    """Which tensor of a folder is which array of `net`."""
    of, theirs, ours = net.prefix, f"{net.prefix}.encoder.layer.{{i}}", "blocks_{i}"
    attention = ("attention.query", "attention.key", "attention.value", "output.dense")
    rules = [
        *((f"{of}.embeddings.{name}", f"patches/{name}", "1 1 d -> d") for name in net.tokens),
        (f"{of}.embeddings.position_embeddings", "patches/places", "1 n d -> n d"),
        *dense_rules(f"{of}.embeddings.patch_embeddings.projection", "patches/project", "o i h w -> h w i o"),
        *head_rules(f"{theirs}.attention", f"{ours}/attention", attention),
        *dense_rules(f"{theirs}.intermediate.dense", f"{ours}/mlp/up"),
        *dense_rules(f"{theirs}.output.dense", f"{ours}/mlp/down"),
        *norm_rules(f"{theirs}.layernorm_before", f"{ours}/norm1"),
        *norm_rules(f"{theirs}.layernorm_after", f"{ours}/norm2"),
        *norm_rules(f"{of}.layernorm", "norm"),
        *dense_rules(f"{of}.pooler.dense", "pool"),
    ]
    names = ("classifier",) if len(net.classifiers) < 2 else ("cls_classifier", "distillation_classifier")
    return KeyMap([*rules, *(r for i, name in enumerate(names) for r in dense_rules(name, f"classifiers_{i}"))])
