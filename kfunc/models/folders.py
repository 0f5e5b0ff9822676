"""Networks in Hugging Face's folders: `load` and `save`, and the table of what a `model_type` stands for."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from .. import files
from ..arrays import dtype_name, to_numpy
from ..backends import Backend
from ..dataclasses import replace
from ..errors import ArgumentError, FileError, KfuncError, shown
from ..interop.checkpoints import INDEX, ONE, Checkpoint, save_checkpoint, write_files
from ..nn.layer import Layer
from ..typing import Array, Tree
from . import sentences
from .family import GENERATION, Config, Family

__all__ = ["MODEL_TYPES", "load", "save"]

MODEL_TYPES = {
    "bart": "bart.Bart",
    "bert": "bert.Bert",
    "clip": "clip.CLIP",
    "clip_text_model": "clip.CLIPText",
    "clip_vision_model": "clip.CLIPVision",
    "deit": "vit.DeiT",
    "distilbert": "distilbert.DistilBert",
    "gemma": "llama.Gemma",
    "gemma2": "llama.Gemma2",
    "gemma3_text": "llama.Gemma3",
    "gpt2": "gpt2.GPT2",
    "granite": "llama.Granite",
    "llama": "llama.Llama",
    "marian": "bart.Marian",
    "mbart": "bart.MBart",
    "mistral": "llama.Mistral",
    "mpnet": "bert.MPNet",
    "pegasus": "bart.Pegasus",
    "qwen2": "llama.Qwen2",
    "qwen3": "llama.Qwen3",
    "roberta": "bert.Roberta",
    "smollm3": "llama.SmolLM3",
    "t5": "t5.T5",
    "vit": "vit.ViT",
    "whisper": "whisper.Whisper",
    "xlm-roberta": "bert.XLMRoberta",
}
"""For each `model_type` of a config, the module and the class of its family."""

_CONFIG, _GENERATION = "config.json", "generation_config.json"
_NONE = dict.fromkeys(("forced_bos_token_id", "forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens"))
"""What a `generation_config.json` turns off where it does not say it, although the config of the network may."""
_CONFIG_BYTES = 10_000_000
_PIECE = 8000
"""Characters: a model file may hold texts of up to 10,000."""


def load(
    folder: str | os.PathLike[str],
    backend: str | Backend = "numpy",
    dtype: str | None = None,
    family: type[Family] | None = None,
) -> tuple[Any, Tree, Tree]:
    """The network in a folder as Hugging Face's libraries write it, with its parameters and state.

    The folder has a `config.json`, and `model.safetensors` or shards of it with their index. Nothing in it is executed.
    A `generation_config.json` becomes the defaults of `kf.generate`; see `Family`. The network in a folder of
    sentence-transformers is a `SentenceEncoder`, whose `encoder` is the network itself.

    Args:
        folder: The folder.
        backend: The backend of the arrays.
        dtype: The dtype policy of the network, such as "bfloat16" or "mixed_bfloat16"; "auto" for the dtype that the
            config names. By default, parameters become float32, as those of other networks.
        family: The class of the network, in a module that has its functions; by default that of the config's
            `model_type`.

    Returns:
        (net, params, state): the network, and what `net.init` would return.

    Raises:
        FileError: A file is missing, truncated or corrupt; or the config has a `model_type`, a key or a value that this
            family does not have. The error names all keys.
        ParamError: The tensors are not those of the network. The error lists all of them.
        ArgumentError: `folder` is not a path, or a value of the config is none that the network can have.
    """
    with files.blaming(folder, argument="folder"):
        folder = os.fsdecode(folder)
        if not os.path.isdir(folder):
            raise FileError("There is no folder of this name.", expected=f"a folder with {_CONFIG} and safetensors")
    if (found := sentences.read(folder)) is not None:
        folder = os.path.join(folder, found.encoder)
        net, params, state = _load(folder, backend, dtype, family, headless=True)
        net = sentences.SentenceEncoder(net, found.pooling, found.normalize, found.source)
        return net, {"encoder": params}, {"encoder": state} if state else {}
    return _load(folder, backend, dtype, family)


def _load(
    folder: str, backend: str | Backend, dtype: str | None, family: type[Family] | None, headless: bool = False
) -> tuple[Any, Tree, Tree]:
    """The network in a folder with a config. With `headless`, the config may name a head that the folder lacks."""
    text = _text(folder, _CONFIG)
    with files.blaming(os.path.join(folder, _CONFIG)):
        if family is None and '"architecture"' in text:
            from . import timm  # which imports the networks for images

            if timm.is_config(values := files.decoded(text)):
                return timm.load(folder, values, backend, dtype)
        config, family = _read(text, family)
        config = _headless(config, family) if headless else config
        module = _module(family)
    with files.blaming(folder):
        tensors = _Named(folder, backend, family.prefix)
    with files.blaming(os.path.join(folder, _CONFIG)):
        config.tensors = tensors
        net = _made(module, config)
        if unread := config.unread():
            raise FileError(
                f"The config has keys that kfunc does not know: {', '.join(unread)}.",
                expected="keys of this family, or keys without effect",
                got=", ".join(unread),
                fix="remove the keys from a copy of the config if they have no effect",
            )
        source = {_CONFIG: _pieces(text), **tensors.headers()}
        generation = {name: value for name, value in config.items() if name in GENERATION and value is not None}
    if os.path.exists(os.path.join(folder, _GENERATION)):
        text = _text(folder, _GENERATION)
        with files.blaming(os.path.join(folder, _GENERATION)):
            generation, source[_GENERATION] = {**_NONE, **_object(text)}, _pieces(text)
    net = replace(net, dtype=_policy(dtype, config), generation=generation, source=source)
    params, state = module.key_map(net).load(tensors, net, *net.input_specs(), backend=backend)
    return net, params, state


def save(folder: str | os.PathLike[str], net: Layer, params: Tree, state: Tree = None) -> list[str]:
    """Write a network to a folder from which `transformers` and `load` read it.

    The files of a network that `load` read, and that was not changed, are the same again, byte for byte. Changed
    parameters keep the dtype of the folder as long as it holds their values exactly; or else they have their own, and
    the config names it. Tokenizers and other files of the folder are not touched.

    Args:
        folder: The folder, which is made if it is missing. A checkpoint in it is replaced.
        net: A network of this package, or a `SentenceEncoder` around one.
        params, state: Its arrays, of any backend.

    Returns:
        The paths of the files.

    Raises:
        ArgumentError: `net` is not a network of this package.
        ParamError: The arrays are not those of the network.
        FileError: A file could not be written.
    """
    if isinstance(net, sentences.SentenceEncoder):
        if not isinstance(params, Mapping) or "encoder" not in params:
            raise ArgumentError.must_be("params", 'a dict with the parameters of "encoder"', params)
        inside, texts = sentences.write(net)
        trees = params["encoder"], (state or {}).get("encoder")
        paths = _save(os.path.join(folder, inside), net.encoder, *trees, headless=True)
        with files.blaming(folder, "written", "folder"):
            for name, text in texts.items():
                paths.append(os.path.join(os.fsdecode(folder), name))
                files.make_directory(os.path.dirname(paths[-1]))
                files.write_text(paths[-1], text)
        return paths
    return _save(folder, net, params, state)


def _save(folder: str | os.PathLike[str], net: Layer, params: Tree, state: Tree, headless: bool = False) -> list[str]:
    """`save` a network itself. With `headless`, its config may name a head that it lacks, as for `_load`."""
    if not isinstance(net, Family):
        raise ArgumentError.must_be("net", "a network of kf.models", net)
    module = _module(type(net))
    tensors = module.key_map(net).save(params, state)
    text = "".join((net.source or {}).get(_CONFIG, ()))
    config = _described(net, module, text, tensors, headless)
    beside = (_CONFIG, _GENERATION)
    headers = {name: "".join(header) for name, header in (net.source or {}).items() if name not in beside}
    with files.blaming(folder, "written", "folder"):
        files.make_directory(folder := os.fsdecode(folder))
        copies = module.key_map(net).save(params, state, copies=True) if headers else {}
        copies.update(module.buffers(net) if hasattr(module, "buffers") else {})
        as_read = _as_read(tensors, copies, headers, net.prefix)
        if as_read is not None:
            paths = write_files(folder, as_read)
        else:
            architecture = next(iter(config.get("architectures") or ()), "")
            if _is_bare(net, architecture, headers):
                tensors = {n.removeprefix(f"{net.prefix}."): x for n, x in tensors.items()}
            paths = save_checkpoint(tensors, folder)
            key = "torch_dtype" if "torch_dtype" in config else "dtype"
            config[key] = dtype_name(next(iter(tensors.values())).dtype)
        if not text or config != json.loads(text):
            text = json.dumps(config, indent=2, sort_keys=True) + "\n"
        path = os.path.join(folder, _CONFIG)
        files.write_text(path, text)
        if text := _generation_text(net):
            paths = [*paths, os.path.join(folder, _GENERATION)]
            files.write_text(paths[-1], text)
    return [path, *paths]


def _generation_text(net: Family) -> str:
    """The text of `generation_config.json`: that which was read, if it says the same; "" for none."""
    source, said = net.source or {}, dict(net.generation or {})
    text = "".join(source.get(_GENERATION, ()))
    if text and _same(said, files.decoded(text)):
        return text
    config = files.decoded("".join(source[_CONFIG])) if _CONFIG in source else {}
    known = {name: config.get(name) for name in said}
    return "" if _same(said, known) else json.dumps(said, indent=2, sort_keys=True) + "\n"


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    texts = [json.dumps({n: v for n, v in of.items() if v is not None}, sort_keys=True) for of in (one, other)]
    return texts[0] == texts[1]


# -- configs ---------------------------------------------------------------------------------------------------------


def _text(folder: str, name: str) -> str:
    path = os.path.join(folder, name)
    with files.blaming(path), files.open_file(path) as file:
        data = file.read(_CONFIG_BYTES + 1)
        if len(data) > _CONFIG_BYTES:
            raise FileError("The config is too large.", expected=f"up to {_CONFIG_BYTES} bytes")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise FileError("The config is not UTF-8.", got=str(error)) from None


def _object(text: str) -> dict[str, Any]:
    values = files.decoded(text)
    if not isinstance(values, dict):
        raise FileError("The config is not an object.", expected="an object in JSON", got=shown(values))
    return values


def _read(text: str, family: type[Family] | None) -> tuple[Config, type[Family]]:
    """The config in a text, and the class of its family, which may be given."""
    config = Config(_object(text))
    kind = config.get("model_type")
    if family is not None:
        return config, family
    if not isinstance(kind, str) or kind not in MODEL_TYPES:
        config.refuse("model_type", f"one of {', '.join(sorted(MODEL_TYPES))}")
    module, _, name = MODEL_TYPES[kind].partition(".")
    return config, getattr(importlib.import_module(f".{module}", __package__), name)


def _headless(config: Config, family: type[Family]) -> Config:
    """The config of the same network without a head."""
    base = [name for name, implied in family.architectures.items() if implied.get("head") is None]
    return Config({**config, "architectures": base[:1]})


def _module(family: type[Family]) -> Any:
    """The module of a family, which has its functions."""
    return importlib.import_module(family.__module__)


def _made(module: Any, config: Config) -> Family:
    try:
        return module.from_config(config)
    except KfuncError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise FileError(
            "The config has values that describe no network.", got=f"{type(error).__name__}: {str(error)[:200]}"
        ) from error


def _policy(dtype: str | None, config: Config) -> str | None:
    if dtype != "auto":
        return dtype
    named = config.get("dtype", config.get("torch_dtype"))
    return named.removeprefix("torch.") if isinstance(named, str) else None


def _described(net: Family, module: Any, text: str, tensors: Mapping[str, Any], headless: bool) -> dict[str, Any]:
    """The config of a network with these tensors. It has the values in `text` that still hold, in their order."""
    values = net.values()
    architecture = [n for n, implied in net.architectures.items() if {**values, **implied} == values]
    beside = {name for implied in net.architectures.values() for name in implied}
    if not text:
        found = {n: v for n, v in values.items() if n not in beside}
        return {"architectures": architecture[:1], "model_type": net.model_type, **found}
    config = files.decoded(text)
    as_read = _headless(Config(config), type(net)) if headless else Config(config)
    as_read.tensors = tensors
    before = _made(module, as_read).values()
    changed = {n: v for n, v in values.items() if v != before[n]}
    if any(name in beside for name in changed):
        config["architectures"] = architecture[:1]
    return {**config, **{n: v for n, v in changed.items() if n not in beside}}


def _pieces(text: str) -> tuple[str, ...]:
    return tuple(text[i : i + _PIECE] for i in range(0, len(text), _PIECE))


# -- tensors -----------------------------------------------------------------------------------------------------------


class _Named(Checkpoint):
    """The tensors of a folder by the names of models with a head, also if the file is that of a base model."""

    def __init__(self, path: str, backend: str | Backend, prefix: str):
        super().__init__(path, backend)
        bare = prefix and not any(name.startswith(f"{prefix}.") for name in self._parts)
        self._theirs = {f"{prefix}.{name}" if bare else name: name for name in self._parts}

    def read(self, name: str, dtype: str | None = None, backend: str | Backend | None = None) -> Array:
        """See `Checkpoint.read`."""
        return super().read(self._theirs[name], dtype, backend)

    def stored(self, name: str, dtype: str, backend: str | Backend) -> Array:
        """See `Checkpoint.stored`."""
        return super().stored(self._theirs[name], dtype, backend)

    def __iter__(self) -> Iterator[str]:
        return iter(self._theirs)

    def headers(self) -> dict[str, tuple[str, ...]]:
        """The beginning of each file, which describes its tensors, and the index of several files, as texts."""
        paths = sorted({part.path for part in self._parts.values()})
        texts = {os.path.basename(path): files.header(path) for path in paths}
        index = os.path.join(self.path, INDEX)
        if len(texts) > 1 or os.path.basename(paths[0]) != ONE:
            with files.blaming(index), open(index, encoding="utf-8", newline="") as file:
                texts[INDEX] = file.read()
        return {name: _pieces(text) for name, text in texts.items()}


def _is_bare(net: Family, architecture: str, headers: Mapping[str, str]) -> bool:
    """Whether the names of a folder's tensors lack the prefix."""
    if headers:
        return not any(f'"{net.prefix}.' in text for text in headers.values())
    return architecture.endswith("Model") and not architecture.endswith("HeadModel")


def _as_read(
    tensors: Mapping[str, Any], copies: Mapping[str, Any], headers: Mapping[str, str], prefix: str
) -> dict[str, list[Any]] | None:
    """The contents of the files that `headers` describe; None if they have other tensors.

    Args:
        tensors: The tensors of the network.
        copies: These, and others that a file may have beside them: copies of tied weights, and constants.
        headers: The beginnings of files by their names, and the index.
        prefix: How names may begin that lack it in the files.
    """
    contents: dict[str, list[Any]] = {}
    lacking = set(tensors)
    for file, text in headers.items():
        contents[file] = [data := text.encode()]
        if file == INDEX:
            continue
        contents[file].insert(0, len(data).to_bytes(8, "little"))
        for theirs, form in files.forms(data):
            name = theirs if theirs in copies else f"{prefix}.{theirs}"
            if name not in copies or tuple(copies[name].shape) != form.shape:
                return None
            lacking.discard(name)
            exact = files.exactly(to_numpy(copies[name]), form.dtype)
            if exact is None:
                return None
            contents[file].append(exact)
    return contents if headers and not lacking else None
