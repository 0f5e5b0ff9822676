"""BERT, RoBERTa, MPNet and MiniLM: encoders of text, with the heads that transformers gives them, or as embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, ClassVar

import numpy as np

from .. import checks, nn
from ..arrays import namespace
from ..errors import ArgumentError
from ..interop.keymap import KeyMap
from ..nn.layer import Layer, base_layer, layer
from ..nn.rotary import steps
from ..nn.scope import Scope
from ..tracing.spec import Spec
from ..typing import Array
from .blocks import Mlp, Rule, activation, check_tokens, dense_rules, drop, head_fields, head_rules, head_width
from .family import Config, Family

__all__ = ["MPNet", "Bert", "Roberta", "XLMRoberta"]

HEADS = {
    "Model": None,
    "ForMaskedLM": "masked_lm",
    "ForSequenceClassification": "sequence_classification",
    "ForTokenClassification": "token_classification",
    "ForQuestionAnswering": "question_answering",
}


def _architectures(name: str) -> dict[str, dict[str, Any]]:
    return {f"{name}{end}": {"head": head} for end, head in HEADS.items()}


@base_layer
class PostNorm(Layer):
    """`x = norm1(x + attention(x))`, then `norm2(x + mlp(x))`: (batch, time, features) to the same."""

    attention: nn.MultiHeadAttention
    norm1: Layer
    mlp: Layer
    norm2: Layer
    dropout: Layer
    drops_both: bool = True
    """Whether training drops numbers of the result of attention, too, and not of that of the MLP alone."""

    def forward(self, s: Scope, x: Array, mask: Array | None = None, bias: Array | None = None) -> Array:
        y = self.attention(s, x, x, value_mask=mask, attention_bias=bias)
        x = self.norm1(s, x + (self.dropout(s, y) if self.drops_both else y))
        return self.norm2(s, x + self.dropout(s, self.mlp(s, x)))


@base_layer
class Normed(Layer):
    """`norm(dense(x))`."""

    dense: Layer
    norm: Layer

    def forward(self, s: Scope, x: Array) -> Array:
        return self.norm(s, self.dense(s, x))


@base_layer
class Classifier(Layer):
    """`dense(x)`, or `dense(pool(x))`. Training drops inputs of both layers with the probability `dropout`.

    Args:
        drops_both: If it is False, training drops inputs of `dense` alone.
    """

    dense: Layer
    dropout: float
    pool: Layer | None = None
    drops_both: bool = True

    def forward(self, s: Scope, x: Array) -> Array:
        if self.pool is not None:
            x = self.pool(s, drop(s, x, self.dropout) if self.drops_both else x)
        return self.dense(s, drop(s, x, self.dropout))


@layer
class Bert(Family):
    """BERT (Devlin et al., arXiv:1810.04805), with the arguments that a config has.

    `layer(s, ids, mask=None, token_type_ids=None, positions=None)`: integers (batch, time). The mask is (batch, time),
    and True or 1 where a token counts. Token types are 0 and positions are counted if they are not given: integers
    (batch, time), or (time,) for positions. The output is that of the class of transformers:

    - without a head, the dict of `last_hidden_state` (batch, time, hidden_size) and `pooler_output` (batch,
      hidden_size), or the former alone if there is no pooler;
    - "masked_lm": logits (batch, time, vocab_size);
    - "sequence_classification": logits (batch, num_labels);
    - "token_classification": logits (batch, time, num_labels);
    - "question_answering": the dict of `start_logits` and `end_logits`, each (batch, time).

    Args:
        head: None, or one of the heads above.
        num_labels: The number of classes, for a head that classifies.
        pooler: Whether there is a pooler, if there is no head.
    """

    model_type: ClassVar[str] = "bert"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = _architectures("Bert")
    prefix: ClassVar[str] = "bert"
    typed: ClassVar[bool] = True
    """Whether tokens have types."""
    without_effect: ClassVar[Sequence[str]] = (
        *("_num_labels", "directionality", "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers"),
        *("pooler_size_per_head", "pooler_type", "position_embedding_type", "sentence_transformers"),
        "tie_word_embeddings",
    )

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    classifier_dropout: float | None = None
    head: str | None = None
    num_labels: int = 2
    pooler: bool = True
    pad_token_id: int | None = field(default=0, kw_only=True)

    words: Layer = field(init=False)
    places: Layer = field(init=False)
    types: Layer | None = field(init=False)
    relative: Layer | None = field(init=False)
    norm: Layer = field(init=False)
    dropout: Layer = field(init=False)
    blocks: Sequence[Layer] = field(init=False)
    pool: Layer | None = field(init=False)
    transform: Layer | None = field(init=False)
    classifier: Layer | None = field(init=False)

    def __post_init__(self) -> None:
        self.check_fields()
        checks.one_of("head", self.head, HEADS.values())
        d, heads, dropout = self.hidden_size, self.num_attention_heads, self.hidden_dropout_prob
        act, width = activation("hidden_act", self.hidden_act), head_width(d, heads)

        def norm() -> Layer:
            return nn.LayerNormalization(epsilon=self.layer_norm_eps)

        def block() -> Layer:
            attention = nn.MultiHeadAttention(heads, width, dropout=self.attention_probs_dropout_prob)
            mlp = Mlp(nn.Dense(self.intermediate_size, act), nn.Dense(d))
            return PostNorm(attention, norm(), mlp, norm(), nn.Dropout(dropout))

        self.has(
            words=nn.ReversibleEmbedding(self.vocab_size, d),
            places=nn.Embedding(self.max_position_embeddings, d),
            types=nn.Embedding(self.type_vocab_size, d) if self.typed else None,
            relative=self._relative(),
            norm=norm(),
            dropout=nn.Dropout(dropout),
            blocks=tuple(block() for _ in range(self.num_hidden_layers)),
        )
        head, bert = self.head, self.first == 0
        pools = self.pooler if head is None else head == "sequence_classification"
        pool = nn.Dense(d, "tanh") if pools else None
        classifier = None
        if head == "question_answering":
            classifier = Classifier(nn.Dense(2), 0.0)
        elif head in ("sequence_classification", "token_classification"):
            rate = dropout if self.classifier_dropout is None else self.classifier_dropout
            classifier = Classifier(nn.Dense(self.num_labels), rate, None if bert else pool)
        self.has(
            pool=pool if bert or head is None else None,
            transform=Normed(nn.Dense(d, act if bert else "gelu"), norm()) if head == "masked_lm" else None,
            classifier=classifier,
        )
        super().__post_init__()

    def _relative(self) -> Layer | None:
        """A bias of attention by relative positions, which all blocks share, or None."""
        return None

    @property
    def first(self) -> int:
        """The position of the first token."""
        return 0

    def forward(
        self,
        s: Scope,
        ids: Array,
        mask: Array | None = None,
        token_type_ids: Array | None = None,
        positions: Array | None = None,
    ) -> Any:
        xp = namespace(ids)
        check_tokens(ids, self.max_position_embeddings - self.first, mask=mask, token_type_ids=token_type_ids)
        positions = self.positions(ids) if positions is None else positions
        x = self.words(s, ids) + self.places(s, positions)
        if self.types is not None:
            x = x + self.types(s, xp.zeros_like(ids) if token_type_ids is None else token_type_ids)
        elif token_type_ids is not None:
            raise ArgumentError.must_be("token_type_ids", "None, since this network has no types", token_type_ids)
        x = self.dropout(s, self.norm(s, x))
        places = steps(ids, 1)
        bias = None if self.relative is None else self.relative(s, places, places)
        for block in self.blocks:
            x = block(s, x, mask=mask, bias=bias)
        if self.head is None:
            return x if self.pool is None else {"last_hidden_state": x, "pooler_output": self.pool(s, x[:, 0, :])}
        if self.transform is not None:
            x = self.transform(s, x)
            return self.words(s, x, reverse=True) + s.param("bias", (self.vocab_size,), "zeros")
        if self.head == "sequence_classification":
            x = x[:, 0, :] if self.pool is None else self.pool(s, x[:, 0, :])
        logits = x if self.classifier is None else self.classifier(s, x)
        if self.head == "question_answering":
            return {"start_logits": logits[..., 0], "end_logits": logits[..., 1]}
        return logits

    def positions(self, ids: Array) -> Array:
        """The positions of tokens: integers (time,) or (batch, time)."""
        return steps(ids, 1)

    def values(self) -> dict[str, Any]:
        return {name: value for name, value in super().values().items() if name != "pooler"}  # no config has it

    def input_specs(self) -> tuple[Any, ...]:
        return (Spec((None, None), "int32"),)


@layer
class Roberta(Bert):
    """RoBERTa (Liu et al., arXiv:1907.11692): `Bert` whose positions count tokens other than `pad_token_id`.

    They begin after `pad_token_id`, so that there are `pad_token_id + 1` tokens less than `max_position_embeddings`.
    """

    model_type: ClassVar[str] = "roberta"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = _architectures("Roberta")
    prefix: ClassVar[str] = "roberta"

    vocab_size: int = 50265
    pad_token_id: int | None = field(default=1, kw_only=True)
    bos_token_id: int | None = field(default=0, kw_only=True)
    eos_token_id: int | Sequence[int] | None = field(default=2, kw_only=True)

    @property
    def first(self) -> int:
        return checks.integer("pad_token_id", self.pad_token_id, least=0) + 1

    def positions(self, ids: Array) -> Array:
        xp = namespace(ids)
        counts = xp.astype(ids != self.pad_token_id, xp.int32)
        return xp.cumulative_sum(counts, axis=1, dtype=xp.int32) * counts + (self.first - 1)


@layer
class XLMRoberta(Roberta):
    """XLM-RoBERTa (Conneau et al., arXiv:1911.02116): `Roberta` for a hundred languages."""

    model_type: ClassVar[str] = "xlm-roberta"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = _architectures("XLMRoberta")
    vocab_size: int = 30522


@layer
class MPNet(Roberta):
    """MPNet (Song et al., arXiv:2004.09297): `Roberta` without types, with a bias of attention by relative positions.

    Args:
        relative_attention_num_buckets: The number of buckets of distances, each of which has a bias for each head.
    """

    model_type: ClassVar[str] = "mpnet"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = _architectures("MPNet")
    prefix: ClassVar[str] = "mpnet"
    typed: ClassVar[bool] = False
    fixed: ClassVar[Sequence[str]] = ("type_vocab_size", "classifier_dropout")

    vocab_size: int = 30527
    relative_attention_num_buckets: int = 32

    def _relative(self) -> Layer:
        checks.integer("relative_attention_num_buckets", self.relative_attention_num_buckets, least=4)
        return nn.RelativePositionBias(self.num_attention_heads, self.relative_attention_num_buckets, 128)


_FAMILIES = {cls.model_type: cls for cls in (Bert, Roberta, XLMRoberta, MPNet)}


def from_config(config: Config) -> Bert:
    """The network that a config describes."""
    cls = _FAMILIES[config["model_type"]]
    config.choice("position_embedding_type", "absolute")
    found = {**config.fields(cls), **head_fields(config, config.architecture(cls))}
    if found["head"] == "masked_lm":
        config.choice("tie_word_embeddings", True)
    return cls(**found)


def buffers(net: Bert) -> dict[str, Array]:
    """Constants that older files have."""
    return {f"{net.prefix}.embeddings.position_ids": np.arange(net.max_position_embeddings, dtype="int64")[None]}


def key_map(net: Bert) -> KeyMap:
    """Which tensor of a folder is which array of `net`."""
    of, bert = net.prefix, not isinstance(net, Roberta)
    theirs, ours = f"{of}.encoder.layer.{{i}}", "blocks_{i}"
    attention = ("self.query", "self.key", "self.value", "output.dense")
    after = "attention.output.LayerNorm"
    if isinstance(net, MPNet):
        attention, after = ("attn.q", "attn.k", "attn.v", "attn.o"), "attention.LayerNorm"
    words = [f"{of}.embeddings.word_embeddings.weight"]
    rules = [
        (f"{of}.embeddings.position_embeddings.weight", "places/embeddings"),
        (f"{of}.embeddings.token_type_embeddings.weight", "types/embeddings"),
        *_norm(f"{of}.embeddings.LayerNorm", "norm"),
        *head_rules(f"{theirs}.attention", f"{ours}/attention", attention),
        (f"{of}.encoder.relative_attention_bias.weight", "relative/embeddings"),
        *_norm(f"{theirs}.{after}", f"{ours}/norm1"),
        *dense_rules(f"{theirs}.intermediate.dense", f"{ours}/mlp/up"),
        *dense_rules(f"{theirs}.output.dense", f"{ours}/mlp/down"),
        *_norm(f"{theirs}.output.LayerNorm", f"{ours}/norm2"),
    ]
    ignore = [r".*embeddings\.position_ids"]
    if net.head is None:
        # transformers takes the encoder of files with other heads, too.
        ignore += [r"cls\..*", r"lm_head\..*"]
    elif net.head == "masked_lm":
        head, end, norm = ("cls.predictions", ".transform", "LayerNorm") if bert else ("lm_head", "", "layer_norm")
        words.append(f"{head}.decoder.weight")
        rules += dense_rules(f"{head}{end}.dense", "transform/dense") + _norm(f"{head}{end}.{norm}", "transform/norm")
        rules.append(((f"{head}.bias", f"{head}.decoder.bias"), "bias"))
        ignore += [r"cls\.seq_relationship\..*", rf"{of}\.pooler\..*"]
    elif net.head == "question_answering":
        rules += dense_rules("qa_outputs", "classifier/dense")
    elif net.head == "sequence_classification" and not bert:
        rules += dense_rules("classifier.dense", "classifier/pool")
        rules += dense_rules("classifier.out_proj", "classifier/dense")
    else:
        rules += dense_rules("classifier", "classifier/dense")
    if net.head is None or (net.head == "sequence_classification" and bert):
        rules += dense_rules(f"{of}.pooler.dense", "pool")
    return KeyMap([(tuple(words), "words/embeddings"), *rules], ignore)


def _norm(theirs: str, ours: str) -> list[Rule]:
    """Rules for a normalization, which has other names in old files."""
    return [
        ((f"{theirs}.weight", f"{theirs}.gamma"), f"{ours}/gamma"),
        ((f"{theirs}.bias", f"{theirs}.beta"), f"{ours}/beta"),
    ]
