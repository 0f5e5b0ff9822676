"""`Family`, the base of the networks of this package, and `Config`, the values of a `config.json` and who read them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

from .. import checks
from ..arrays import to_numpy
from ..dataclasses import arguments, fields
from ..errors import ArgumentError, FileError, shown, warn
from ..nn.layer import Layer, base_layer

__all__ = ["Config", "Family"]

_LAYERS = 2000
"""The largest number of layers that a config may ask for: a short text must not keep the reader busy for ever."""

_WITHOUT_EFFECT = {
    *("architectures", "model_type", "transformers_version", "_name_or_path", "_attn_implementation", "auto_map"),
    *("dtype", "torch_dtype", "use_bfloat16", "torchscript", "attn_implementation", "_attn_implementation_autoset"),
    *("use_cache", "return_dict", "output_attentions", "output_hidden_states", "output_past", "gradient_checkpointing"),
    *("initializer_range", "initializer_factor", "chunk_size_feed_forward", "problem_type", "pretraining_tp"),
    *("id2label", "label2id", "finetuning_task", "task_specific_params", "tokenizer_class", "prefix", "sep_token_id"),
}
"""Keys of configs that do not change what a network computes."""

GENERATION = {
    *("max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups", "diversity_penalty"),
    *("temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size"),
    *("encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences", "output_scores", "suppress_tokens"),
    *("return_dict_in_generate", "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values"),
    *("exponential_decay_length_penalty", "begin_suppress_tokens", "cache_implementation", "max_new_tokens", "min_p"),
    *("min_new_tokens", "decoder_start_token_id"),
}
"""Keys of configs that say how tokens are made, and not what the network computes."""


@base_layer
class Family(Layer):
    """The base of networks that a Hugging Face config describes: the fields are the config's values, by its names.

    A subclass lists its layers as fields with `init=False`, and makes them in `__post_init__`, by `self.has(...)`
    before `super().__post_init__()`. Every field has the default that the config has in `transformers`, since many
    configs leave out values that are equal to it.

    Args:
        bos_token_id, eos_token_id, pad_token_id: Tokens that generation begins with, ends with, and fills up with.
        generation: What `generation_config.json` of a folder says, or, without such a file, what its `config.json` says
            about generation; None for a network made by hand. `kf.generate` takes tokens and lengths from it: see
            `generation_options` for the rest. `save` writes it to the file again.
        source: What `load` read: the config and the order of the tensors in their files. `save` writes it again where
            it still describes the network. It has no effect on what the network computes.
    """

    model_type: ClassVar[str] = ""
    """The config's `model_type`, for networks that were made by hand."""
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """The names of `transformers`' classes, and the fields that each implies. The first is that of a config without."""
    without_effect: ClassVar[Sequence[str]] = ()
    """Further keys of the config that do not change what the network computes."""
    only_in_training: ClassVar[Sequence[str]] = ()
    """Keys of the config that change training alone, and that kfunc does not have: `load` warns if they are set."""
    fixed: ClassVar[Sequence[str]] = ()
    """Fields of a base class that have no effect in this family: other values than the default are refused. In a
    config, they are passed over, as in `transformers`."""
    default_tokens: ClassVar[Mapping[str, int]] = {}
    """The tokens that a config stands for where it does not say them. A network made by hand has none of them."""
    prefix: ClassVar[str] = ""
    """How the names of tensors begin where a model has a head; those of `transformers`' base model lack it."""

    bos_token_id: int | None = dataclasses.field(default=None, kw_only=True)
    eos_token_id: int | Sequence[int] | None = dataclasses.field(default=None, kw_only=True)
    pad_token_id: int | None = dataclasses.field(default=None, kw_only=True)
    generation: Mapping[str, Any] | None = dataclasses.field(default=None, kw_only=True)
    source: Mapping[str, Any] | None = dataclasses.field(default=None, kw_only=True)

    def has(self, **parts: Any) -> None:
        """Assign the fields with `init=False`: layers, and lists of them."""
        for name, part in parts.items():
            object.__setattr__(self, name, part)

    def __post_init__(self) -> None:
        self.check_fields()
        super().__post_init__()

    def input_specs(self) -> tuple[Any, ...]:
        """What `forward` takes, as `Spec`s; subclasses define it."""
        raise NotImplementedError

    def check_fields(self) -> None:
        """Check the fields by their types; call it before layers are made of them.

        Raises:
            ArgumentError: An integer is not positive, a value has another type, or has no effect in this family.
        """
        for field in fields(type(self)):
            if field.name in self.fixed and getattr(self, field.name) != field.default:
                raise ArgumentError(
                    f"`{field.name}` has no effect in {type(self).__name__}, got {shown(getattr(self, field.name))}.",
                    argument=field.name,
                    expected=repr(field.default),
                    got=getattr(self, field.name),
                )
            check = _maybe_token if field.name.endswith("_token_id") else _CHECKS.get(str(field.type))
            if check is not None and field.name not in _BASE:
                value = check(field.name, getattr(self, field.name))
                if "layer" in field.name and isinstance(value, int) and value > _LAYERS:
                    raise ArgumentError(
                        f"`{field.name}` must be up to {_LAYERS}, got {value}.",
                        argument=field.name,
                        expected=f"up to {_LAYERS} layers",
                        got=value,
                    )

    def children(self) -> list[tuple[str, Layer]]:
        """The layers that `has` was given."""
        named = [f.name for f in dataclasses.fields(self) if not f.init and not f.name.startswith("_")]  # type: ignore[arg-type]
        return [*self._layers_in((name, vars(self)[name]) for name in named if name in vars(self))]

    def __repr__(self) -> str:
        # These two are long, and tell nothing about what the network computes.
        given = [(f.name, f.default) for f in fields(type(self)) if f.name not in ("source", "generation")]
        changed = [f"{n}={getattr(self, n)!r}" for n, default in given if getattr(self, n) != default]
        return f"{type(self).__name__}({', '.join(changed)})"

    @property
    def generation_options(self) -> dict[str, Any]:
        """Options of `kf.generate` that the folder recommends, beside tokens and lengths: those of searching, and where
        it says `do_sample`, also those of drawing, which need a key:

            tokens = kf.generate(net, params, ids, 50, key=0, **net.generation_options)

        `kf.generate` does not take them by itself. It warns of options that `kf.generate` does not have.
        """
        said = self.generation or {}
        names = (*_SEARCHING, *(_DRAWING if said.get("do_sample") else ()))
        lacking = [f"{n} = {shown(said[n])}" for n, off in _LACKING.items() if said.get(n) not in (None, off)]
        lacking += [f"bad_words_ids = {shown(w)}" for w in said.get("bad_words_ids") or () if len(w) > 1]
        if lacking:
            warn(f"`kf.generate` does not have these options of the folder: {', '.join(lacking)}.")
        return {n: said[n] for n in names if said.get(n) not in (None, 0)}

    def values(self) -> dict[str, Any]:
        """The fields that a config describes."""
        return {name: value for name, value in arguments(self).items() if name not in _BASE}


_SEARCHING = ("num_beams", "length_penalty", "early_stopping", "repetition_penalty")
_DRAWING = ("temperature", "top_k", "top_p", "min_p")
_LACKING = {
    **dict.fromkeys(("min_length", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "diversity_penalty"), 0),
    **dict.fromkeys(("min_new_tokens", "epsilon_cutoff", "eta_cutoff", "penalty_alpha"), 0),
    **dict.fromkeys(("typical_p", "num_beam_groups", "num_return_sequences", "encoder_repetition_penalty"), 1),
    **dict.fromkeys(("guidance_scale",), 1),
    **dict.fromkeys(("exponential_decay_length_penalty", "sequence_bias", "stop_strings", "top_h", "max_time")),
}
"""Options of `transformers` that `kf.generate` lacks, and the values with which they have no effect, beside None."""

_BASE = {"source", "generation", *(f.name for f in fields(Layer))}


def _maybe_positive(name: str, value: Any) -> Any:
    return checks.positive(name, value, none=True)


def _maybe_number(name: str, value: Any) -> Any:
    return checks.number(name, value, none=True)


def _maybe_token(name: str, value: Any) -> None:
    for token in value if isinstance(value, list | tuple) else (value,):
        checks.integer(name, token, least=-1, none=True)  # -1 stands for none in some configs


_CHECKS: dict[str, Any] = {
    "int": checks.positive,
    "float": checks.number,
    "float | None": _maybe_number,
    "int | None": _maybe_positive,
}


class Config(Mapping[str, Any]):
    """The values of a `config.json`, or of a part of it. It writes down which keys were read.

    `load` refuses a config that has a key which nobody read, unless it has no effect or its value is None or False: so
    the network of a newer config is not computed wrongly without a word.
    """

    def __init__(self, values: Mapping[str, Any], path: str = ""):
        self._values, self._path = values, path
        self._read: set[str] = set()
        self._parts: list[Config] = []
        self.tensors: Mapping[str, Any] = {}
        """The tensors of the folder by name, if `load` reads one: some things stand in no config."""

    def __getitem__(self, key: str) -> Any:
        self._read.add(key)
        return self._values[key]

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def fields(self, cls: type[Family]) -> dict[str, Any]:
        """The values of the fields of a family, by name: those that the config has, and those of its architecture."""
        beside = {*_BASE, *cls.fixed}
        found = {f.name: self[f.name] for f in fields(cls) if f.name in self._values and f.name not in beside}
        # null is a value where the field can be None: "sliding_window": null is no window. Elsewhere it is the default.
        maybe = {f.name for f in fields(cls) if f.default is None or "None" in str(f.type)}
        found = {n: v for n, v in found.items() if v is not None or n in maybe}
        for name, value in found.items():
            if "layer" in name and isinstance(value, int) and value > _LAYERS:
                self.refuse(name, f"up to {_LAYERS} layers")
            if isinstance(value, int) and abs(value) >= 2**31:
                self.refuse(name, "an integer of 32 bits")
        self._read.update(cls.without_effect, cls.fixed, cls.only_in_training)
        for name in cls.only_in_training:
            if self._values.get(name):
                warn(
                    f"The config has {self._path}{name} = {shown(self._values[name])}, which changes training "
                    "alone, and which kfunc does not have."
                )
        found = {**{n: token for n, token in cls.default_tokens.items() if n not in self._values}, **found}
        return {**found, **self.architecture(cls)}

    def architecture(self, cls: type[Family]) -> Mapping[str, Any]:
        """The fields that the `architectures` of the config imply."""
        named = self.get("architectures")
        if not named:
            return next(iter(cls.architectures.values()), {})
        if not isinstance(named, list) or len(named) != 1 or named[0] not in cls.architectures:
            self.refuse("architectures", f"one of {', '.join(cls.architectures)}")
        return cls.architectures[named[0]]

    def part(self, key: str) -> Config:
        """The config that stands in this one under `key`; its keys have to be read, too."""
        values = self.get(key)
        values = {} if values is None else values
        if not isinstance(values, dict):
            self.refuse(key, "an object")
        part = Config(values, f"{self._path}{key}.")
        self._parts.append(part)
        return part

    def choice(self, key: str, default: Any, *others: Any) -> Any:
        """The value of `key`, which must be the default or one of `others`.

        Raises:
            FileError: It has another value.
        """
        value = self.get(key, default)
        if value not in (default, *others):
            self.refuse(key, " or ".join(repr(v) for v in (default, *others)))
        return value

    def tied(self, head: str, table: str, default: bool = True) -> bool:
        """Whether the tensor `head` is the table of the embedding, `table`, as `tie_word_embeddings` says.

        As in `transformers`, they are two arrays if the folder has both with different values, whatever it says.
        """
        if not self.choice("tie_word_embeddings", default, not default):
            return False
        if head not in self.tensors or table not in self.tensors:
            return True
        one, other = (to_numpy(self.tensors[name]) for name in (head, table))
        return one.shape == other.shape and bool((one == other).all())

    def refuse(self, key: str, expected: str) -> NoReturn:
        """Raise a FileError that says that the value of `key` is not one that this family has."""
        raise FileError(
            f"The config has a value of `{self._path}{key}` that kfunc does not know: {shown(self._values.get(key))}.",
            expected=expected,
            got=f"{self._path}{key} = {shown(self._values.get(key))}",
        )

    def unread(self) -> list[str]:
        """The keys with effect that nobody has read."""
        own = [
            f"{self._path}{key} = {shown(value)}"
            for key, value in self._values.items()
            if key not in self._read
            and key not in _WITHOUT_EFFECT | GENERATION
            and value is not None
            and value is not False
            and value not in ({}, [])
        ]
        return own + [name for part in self._parts for name in part.unread()]
