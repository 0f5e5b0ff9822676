"""Embeddings of texts, as folders of sentence-transformers describe them: an encoder, and one vector for all tokens."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from .. import checks, files, ops
from ..arrays import namespace
from ..errors import FileError, shown
from ..nn.layer import Layer, layer
from ..nn.rotary import steps
from ..nn.scope import Scope
from ..ops._promotion import cast
from ..ops.normalization import wide
from ..typing import Array

__all__ = ["SentenceEncoder"]

POOLING = ("cls", "lasttoken", "max", "mean", "mean_sqrt_len_tokens")
_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}
_MODULES, _POOLING = "modules.json", "config.json"
_BYTES = 100_000
_TYPE = "sentence_transformers.models."


@layer
class SentenceEncoder(Layer):
    """Embeddings of texts (Reimers and Gurevych, arXiv:1908.10084).

    `layer(s, ids, mask=None, ...)`: integers (batch, time) to embeddings (batch, features). The mask is (batch, time),
    and True or 1 where a token counts; a text without tokens becomes zeros, but for "cls". Further arguments are those
    of the encoder.

    Args:
        encoder: A network that returns (batch, time, features), or a dict that has them as `last_hidden_state`.
        pooling: What becomes of the tokens that count: their "mean", their "max", the first ("cls") or the last
            ("lasttoken"), or their sum divided by the root of their number ("mean_sqrt_len_tokens").
        normalize: Whether embeddings have length 1.
        source: What `load` read beside the encoder; `save` writes it again.
    """

    encoder: Layer
    pooling: str = "mean"
    normalize: bool = False
    source: Mapping[str, str] | None = dataclasses.field(default=None, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("pooling", self.pooling, POOLING)

    def forward(self, s: Scope, ids: Array, mask: Array | None = None, **options: Any) -> Array:
        found = self.encoder(s, ids, mask=mask, **options)
        # Half precision would lose much of the sums.
        x, own = wide(found["last_hidden_state"] if isinstance(found, dict) else found)
        xp = namespace(x)
        counts = xp.ones_like(ids) if mask is None else mask
        counts = xp.expand_dims(xp.astype(counts != 0, x.dtype), axis=-1)  # (batch, time, 1)
        out = self._pooled(x, counts)
        return cast(ops.normalize(out, epsilon=1e-12) if self.normalize else out, own)

    def _pooled(self, x: Array, counts: Array) -> Array:
        xp = namespace(x)
        if self.pooling == "cls":
            return x[:, 0, :]
        if self.pooling == "max":
            out = xp.max(xp.where(counts > 0, x, xp.full_like(x, xp.finfo(x.dtype).min)), axis=1)
            return xp.where(xp.max(counts, axis=1) > 0, out, xp.zeros_like(out))
        if self.pooling == "lasttoken":
            places = xp.astype(xp.expand_dims(steps(x, 1), axis=-1), x.dtype) * counts
            counts = xp.astype(places == xp.max(places, axis=1, keepdims=True), x.dtype) * counts
        total = xp.sum(counts, axis=1)
        total = xp.maximum(total, xp.full_like(total, 1e-9))
        return xp.sum(x * counts, axis=1) / (xp.sqrt(total) if self.pooling == "mean_sqrt_len_tokens" else total)

    def input_specs(self) -> tuple[Any, ...] | None:
        return self.encoder.input_specs()


class Sentences(NamedTuple):
    """What a folder of sentence-transformers says beside the encoder.

    Attributes:
        encoder: The path of the encoder, inside the folder.
        pooling, normalize: See `SentenceEncoder`.
        source: The files' texts, by their paths inside the folder.
    """

    encoder: str
    pooling: str
    normalize: bool
    source: dict[str, str]


def read(folder: str) -> Sentences | None:
    """What a folder says about embeddings; None if it is none of sentence-transformers."""
    path = os.path.join(folder, _MODULES)
    if not os.path.exists(path):
        return None
    text = _text(path)
    with files.blaming(path):
        modules = files.decoded(text)
        known = isinstance(modules, list) and all(isinstance(m, dict) for m in modules)
        names = [str(m.get("type")).rpartition(".")[2] for m in modules] if known else []
        if names not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
            _refuse(_MODULES, names or modules, "Transformer, Pooling and perhaps Normalize")
        paths = [m.get("path", "") for m in modules]
        for inside in paths:
            # A path could lead out of the folder.
            if not isinstance(inside, str) or os.path.basename(inside) != inside or inside in (".", ".."):
                _refuse("path", inside, "the name of a folder in this one")
    source = {_MODULES: text}
    inner = os.path.join(paths[1], _POOLING)
    source[inner] = _text(os.path.join(folder, inner))
    with files.blaming(os.path.join(folder, inner)):
        pooling = _mode(files.decoded(source[inner]))
    return Sentences(paths[0], pooling, len(names) == 3, source)


def write(net: SentenceEncoder) -> tuple[str, dict[str, str]]:
    """The path of the encoder inside the folder, and the texts to be written beside it, by their paths inside."""
    source = dict(net.source or {})
    if source:
        modules = files.decoded(source[_MODULES])
        inner = os.path.join(modules[1].get("path", ""), _POOLING)
        same = net.pooling == _mode(files.decoded(source[inner])) and net.normalize == (len(modules) == 3)
        if same:
            return modules[0].get("path", ""), source
    names = ["Transformer", "Pooling", *(["Normalize"] if net.normalize else [])]
    paths = ["", "1_Pooling", "2_Normalize"]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": _TYPE + name}
        for i, (name, path) in enumerate(zip(names, paths, strict=False))
    ]
    encoder: Any = net.encoder
    pooling = {"word_embedding_dimension": encoder.hidden_size}
    pooling |= {key: mode == net.pooling for key, mode in _KEYS.items()}
    inner = os.path.join("1_Pooling", _POOLING)
    return "", {_MODULES: json.dumps(modules, indent=2), inner: json.dumps(pooling, indent=2)}


def _mode(config: Any) -> str:
    """The pooling that a config describes."""
    if not isinstance(config, dict):
        raise FileError("The config is not an object.", expected="an object in JSON", got=shown(config))
    chosen = config.get("pooling_mode", [mode for key, mode in _KEYS.items() if config.get(key)] or ["mean"])
    chosen = [chosen] if isinstance(chosen, str) else chosen
    if not isinstance(chosen, list) or len(chosen) != 1 or chosen[0] not in POOLING:
        _refuse("pooling_mode", chosen, f"one of {', '.join(POOLING)}")
    known = {*_KEYS, "pooling_mode", "word_embedding_dimension", "embedding_dimension"}
    for key, value in config.items():
        if key not in known and not (key == "include_prompt" and value is True):
            _refuse(key, value, "a pooling, and include_prompt = true")
    return chosen[0]


def _refuse(key: str, value: Any, expected: str) -> NoReturn:
    raise FileError(
        f"The config has a value of `{key}` that kfunc does not know: {shown(value)}.",
        expected=expected,
        got=f"{key} = {shown(value)}",
    )


def _text(path: str) -> str:
    with files.blaming(path), files.open_file(path) as file:
        data = file.read(_BYTES + 1)
        if len(data) > _BYTES:
            raise FileError("The config is too large.", expected=f"up to {_BYTES} bytes")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise FileError("The config is not UTF-8.", got=str(error)) from None
