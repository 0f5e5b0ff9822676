"""DistilBERT (Sanh et al., arXiv:1910.01108): half of BERT's blocks, without types of tokens and without a pooler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, ClassVar

from .. import checks, nn
from ..interop.keymap import KeyMap
from ..nn.layer import Layer, layer
from ..nn.rotary import steps
from ..nn.scope import Scope
from ..tracing.spec import Spec
from ..typing import Array
from .bert import HEADS, Classifier, Normed, PostNorm
from .blocks import Mlp, activation, check_tokens, dense_rules, head_fields, head_rules, head_width, norm_rules
from .family import Config, Family

__all__ = ["DistilBert", "from_config", "key_map"]


@layer
class DistilBert(Family):
    """DistilBERT, with the arguments that a config has.

    `layer(s, ids, mask=None, positions=None)`: integers (batch, time). The mask is (batch, time), and True or 1 where a
    token counts. The output is that of the class of transformers: features (batch, time, dim) without a head, or what
    the head of this name gives in `Bert`.

    Args:
        head: None, "masked_lm", "sequence_classification", "token_classification" or "question_answering".
        num_labels: The number of classes, for a head that classifies.
    """

    model_type: ClassVar[str] = "distilbert"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        f"DistilBert{end}": {"head": head} for end, head in HEADS.items()
    }
    prefix: ClassVar[str] = "distilbert"
    without_effect: ClassVar[Sequence[str]] = ("tie_weights_", "tie_word_embeddings")
    only_in_training: ClassVar[Sequence[str]] = ("sinusoidal_pos_embds",)  # positions that do not train

    vocab_size: int = 30522
    max_position_embeddings: int = 512
    n_layers: int = 6
    n_heads: int = 12
    dim: int = 768
    hidden_dim: int = 3072
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation: str = "gelu"
    qa_dropout: float = 0.1
    seq_classif_dropout: float = 0.2
    head: str | None = None
    num_labels: int = 2
    pad_token_id: int | None = field(default=0, kw_only=True)

    words: Layer = field(init=False)
    places: Layer = field(init=False)
    norm: Layer = field(init=False)
    drop: Layer = field(init=False)
    blocks: Sequence[Layer] = field(init=False)
    transform: Layer | None = field(init=False)
    classifier: Layer | None = field(init=False)

    def __post_init__(self) -> None:
        self.check_fields()
        checks.one_of("head", self.head, HEADS.values())
        d, act = self.dim, activation("activation", self.activation)
        width = head_width(d, self.n_heads, "dim", "n_heads")

        def norm() -> Layer:
            return nn.LayerNormalization(epsilon=1e-12)

        def block() -> Layer:
            attention = nn.MultiHeadAttention(self.n_heads, width, dropout=self.attention_dropout)
            mlp = Mlp(nn.Dense(self.hidden_dim, act), nn.Dense(d))
            return PostNorm(attention, norm(), mlp, norm(), nn.Dropout(self.dropout), False)

        classifiers = {
            "sequence_classification": lambda: Classifier(
                nn.Dense(self.num_labels), self.seq_classif_dropout, nn.Dense(d, "relu"), False
            ),
            "token_classification": lambda: Classifier(nn.Dense(self.num_labels), self.dropout),
            "question_answering": lambda: Classifier(nn.Dense(2), self.qa_dropout),
        }
        self.has(
            words=nn.ReversibleEmbedding(self.vocab_size, d),
            places=nn.Embedding(self.max_position_embeddings, d),
            norm=norm(),
            drop=nn.Dropout(self.dropout),
            blocks=tuple(block() for _ in range(self.n_layers)),
            transform=Normed(nn.Dense(d, act), norm()) if self.head == "masked_lm" else None,
            classifier=classifiers[self.head]() if self.head in classifiers else None,
        )
        super().__post_init__()

    @property
    def hidden_size(self) -> int:
        """The number of features, under the name that other encoders have."""
        return self.dim

    def input_specs(self) -> tuple[Any, ...]:
        return (Spec((None, None), "int32"),)

    def forward(self, s: Scope, ids: Array, mask: Array | None = None, positions: Array | None = None) -> Any:
        check_tokens(ids, self.max_position_embeddings, mask=mask)
        x = self.words(s, ids) + self.places(s, steps(ids, 1) if positions is None else positions)
        x = self.drop(s, self.norm(s, x))
        for block in self.blocks:
            x = block(s, x, mask=mask)
        if self.transform is not None:
            return self.words(s, self.transform(s, x), reverse=True) + s.param("bias", (self.vocab_size,), "zeros")
        if self.classifier is None:
            return x
        logits = self.classifier(s, x[:, 0, :] if self.head == "sequence_classification" else x)
        if self.head == "question_answering":
            return {"start_logits": logits[..., 0], "end_logits": logits[..., 1]}
        return logits


def from_config(config: Config) -> DistilBert:
    """The network that a config describes."""
    found = {**config.fields(DistilBert), **head_fields(config, {"head": ""})}
    if found["head"] == "masked_lm":
        config.choice("tie_word_embeddings", True)
    return DistilBert(**found)


def key_map(net: DistilBert) -> KeyMap:
    """Which tensor of a folder is which array of `net`."""
    of, theirs, ours = net.prefix, f"{net.prefix}.transformer.layer.{{i}}", "blocks_{i}"
    words = [f"{of}.embeddings.word_embeddings.weight"]
    rules = [
        (f"{of}.embeddings.position_embeddings.weight", "places/embeddings"),
        *norm_rules(f"{of}.embeddings.LayerNorm", "norm"),
        *head_rules(f"{theirs}.attention", f"{ours}/attention", ("q_lin", "k_lin", "v_lin", "out_lin")),
        *norm_rules(f"{theirs}.sa_layer_norm", f"{ours}/norm1"),
        *dense_rules(f"{theirs}.ffn.lin1", f"{ours}/mlp/up"),
        *dense_rules(f"{theirs}.ffn.lin2", f"{ours}/mlp/down"),
        *norm_rules(f"{theirs}.output_layer_norm", f"{ours}/norm2"),
    ]
    ignore = [r"vocab_.*"] if net.head is None else []  # transformers takes the encoder of such files, too
    if net.head == "masked_lm":
        words.append("vocab_projector.weight")
        rules += dense_rules("vocab_transform", "transform/dense") + norm_rules("vocab_layer_norm", "transform/norm")
        rules.append(("vocab_projector.bias", "bias"))
    elif net.head == "question_answering":
        rules += dense_rules("qa_outputs", "classifier/dense")
    else:
        rules += dense_rules("classifier", "classifier/dense") + dense_rules("pre_classifier", "classifier/pool")
    return KeyMap([(tuple(words), "words/embeddings"), *rules], ignore)
