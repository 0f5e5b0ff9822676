"""Keras's files: what there are, and what is in them. Models come out of them, and weights go in and out."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import re
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO, cast

from ... import checks, files, nn
from ...arrays import backend_of, to_backend
from ...backends import Backend, get
from ...errors import ArgumentError, FileError, KfuncError, shown
from ...model import Model
from ...nn.freezing import layers_by_path
from ...registry import snake_case
from ...training import model_file
from ...training.faults import check_arrays
from ...training.state import begun
from ...training.traced import Traced
from . import compiled, hdf5, weights
from .configs import Built, built

__all__ = ["load", "load_weights", "save_weights", "write"]

_CONFIG, _ABOUT = "config.json", "metadata.json"
_WEIGHTS, _SHARDS = "model.weights.h5", "model.weights.json"
_TEXT = 100_000_000  # bytes of a config
_HEADER = 30  # bytes before the name and the other data in front of a part of an archive, whose lengths come last
_SLACK = 2**20  # bytes that a part of an archive may have beyond twice the archive
_SHARD = re.compile(r"[^/\\:\0]+\.weights\.h5")
_SEEDS = re.compile(r"(.*/)?_?(seed_|random_)?generator/vars/\d")
_BESIDE = re.compile(r"optimizer_weights/.*|(.*/)?(optimizer|_?(compile_)?metrics|_?loss_tracker)/(.*/)?vars/\d+")


def load(filepath: str | os.PathLike[str], backend: str | Backend = "numpy", *, compile: bool = True) -> Model:
    """The model in a file of Keras's, compiled as the file says, with its optimizer's state. Keras is not needed.

    The file may come from anywhere: nothing in it is executed, and its layers come from a closed table, and from the
    classes that you have registered. The network is run on shapes, and each array in the file is held against it before
    one is read. Nothing is drawn.

    Args:
        filepath: A `.keras` file of Keras 3 or 2, an `.h5` file of either, or a folder as Keras writes it with
            `zipped=False`.
        backend: The backend of the arrays.
        compile: Whether the model is compiled as the file says. What cannot be taken over is told in a warning.

    Raises:
        FileError: The file is truncated or corrupt, has something in it that Keras does not write, or a layer that is
            not here; or its arrays are not those of its network. The error names the class, or lists all arrays.
        NonFiniteError: A parameter in it is NaN.
        MissingPackageError: h5py is not installed.
        BackendNotInstalledError, UnknownBackendError: There is no such backend here.
    """
    target = get(backend)
    with files.blaming(filepath, argument="filepath"), _opened(filepath) as source:
        if source.config is None:
            raise FileError(
                "The file has weights alone, without the network that they belong to.",
                expected="a file that model.save wrote",
                got="one of model.save_weights",
                fix="make the network, and call kf.interop.keras.load_weights(model, path)",
            )
        network, traced = _built(source.config, source.version)
        found = _places(source, traced, network.order)
        params, state = _trees(source, traced, found, network.names, [])
        _check_finite(filepath, params)
        weights.warn_of_differences(network.net)
        model = Model(network.net)
        model._traced = traced
        model.train_state = begun(params, state, model.seed)
        if checks.boolean("compile", compile):
            compiled.compile_from(model, source.compiled)
            compiled.restore(model, *_of_optimizer(source), found)
        return model if target is get("numpy") else model.to(target)


def _built(config: Any, version: str | None) -> tuple[Built, Traced]:
    """The network that a config in a file describes, and what is known of it from running it on shapes.

    Raises:
        FileError: It describes no network.
    """
    try:
        network = built(config, version)
        if network.inputs is not None:
            return network, Traced(network.net, network.inputs)
    except KfuncError as error:
        raise FileError(
            error.problem,
            path=error.path,
            argument=error.argument,
            expected=error.expected,
            got=error.got,
            fix=error.fix,
        ) from error
    except Exception as error:  # arguments from a file may make layers fail in any way
        raise FileError(
            f"The file holds no model that can be built: {str(error)[:2000]}", got=type(error).__name__
        ) from error
    raise FileError("The file does not say the shape of the inputs: the model was saved before it was built.")


def load_weights(model: Model, filepath: str | os.PathLike[str], *, ignore: str | Iterable[str] = ()) -> None:
    """Replace the parameters and the state of a model by those in a file of Keras's.

    The network is one that `load` or `convert` made, or is built of the same layers in the same order; or it is of your
    own, and its fields have the names, and the order, of the attributes that the `__init__` of Keras's class assigns.

    Args:
        model: The model. If it was not built, its network must say the shapes of its inputs.
        filepath: A `.weights.h5` file, a `.weights.json` file beside its shards, or whatever `load` takes.
        ignore: Regular expressions for paths in the file, such as "loss_tracker/.*", of arrays that are passed over.

    Raises:
        FileError, NonFiniteError: As for `load`. The model is then as it was.
        ArgumentError: The model was not built, and its network does not say the shapes of its inputs; or `ignore` has
            something else than regular expressions.
        MissingPackageError: h5py is not installed.
    """
    patterns = _patterns(ignore)
    with files.blaming(filepath, argument="filepath"), _opened(filepath) as source:
        net, traced = model.net, _traced(model)
        names = {
            id(layer): layer._given_name for layer in layers_by_path(net).values() if layer._given_name is not None
        }
        params, state = _trees(source, traced, _places(source, traced, None), names, patterns)
        _check_finite(filepath, params)
        weights.warn_of_differences(net)
    with model._carry.lock:  # only now, since other threads may use the model while the file is read
        if (now := _traced(model)).net is not net:  # another thread has frozen layers meanwhile
            arrays = model_file.named({"params": params, "state": state})
            traced, (params, state) = now, model_file.trees(now, model_file.placed(now, arrays))
        ts = model.train_state
        if ts is None:
            model._traced = traced
            model.train_state = model._with_opt_state(begun(params, state, model.seed))
        else:
            params, state = to_backend((params, state), backend_of(ts.key))
            model.train_state = ts._replace(params=params, state=state)


def save_weights(
    model: Model, filepath: str | os.PathLike[str], overwrite: bool = True, max_shard_size: float | None = None
) -> None:
    """Write the parameters and the state of a model to a file that `load_weights` of Keras reads.

    Args:
        model: The model; as for `load_weights`.
        filepath: A `.weights.h5` file; or with `max_shard_size` a `.weights.json` file, beside which the shards lie.
        overwrite: Whether a file that is there is replaced.
        max_shard_size: The most that the arrays of a shard have, in GB, as in Keras. An array that is larger is a
            shard of its own. By default there is one file. Whenever the writing of shards is interrupted, there are the
            old weights, the new ones, or no index, and never parts of both.

    Raises:
        ArgumentError: The model has no weights yet, or `filepath` has another ending.
        FileError: The file could not be written, or is there already.
        MissingPackageError: h5py is not installed.
    """
    if max_shard_size is not None:
        checks.number("max_shard_size", max_shard_size, above=0)
    with contextlib.ExitStack() as stack:
        stack.enter_context(files.blaming(filepath, "written", "filepath"))
        path = os.path.realpath(os.fsdecode(filepath))
        ending = ".weights.h5" if max_shard_size is None else ".weights.json"
        if not path.endswith(ending):
            raise ArgumentError.must_be("filepath", f"a path that ends in {ending}, as Keras wants it", filepath)
        model_file.check_free(filepath, overwrite)
        with model._carry.lock:  # or another thread may freeze layers in between
            traced, ts = model._known(), stack.enter_context(model._carry.lent())
        net, declared = traced.net, traced.call.declared or {}
        names = {id(layer): layer.name for layer in layers_by_path(net).values() if layer.name is not None}
        found = weights.groups(weights.places(net, declared), declared, ts.params, ts.state, names)
        weights.warn_of_differences(net)
        if max_shard_size is None:
            files.replace_file(path, [hdf5.write(found)])
            return
        _write_shards(path, _divided(found, max_shard_size * 2**30))


def _write_shards(path: str, shards: list[list[hdf5.Group]]) -> None:
    """Write the shards of weights, and their index at `path`, which replace others when all of them are written."""
    directory, index = os.path.split(path)
    where: dict[str, list[str]] = {}
    names = [f"{index.removesuffix('.weights.json')}_{i:05}.weights.h5" for i in range(len(shards))]
    with files.new_directory(directory) as new:
        for name, shard in zip(names, shards, strict=True):
            files.replace_file(os.path.join(new, name), [hdf5.write(shard)])
            for group, _, _ in shard:
                where.setdefault(f"/{group}/vars" if group else "/vars", []).append(name)
        size = sum(x.nbytes for shard in shards for _, _, arrays in shard for x in arrays if x is not None)
        text = json.dumps({"metadata": {"total_size": size}, "weight_map": where}, indent=4)
        files.write_text(os.path.join(new, index), text)
        if os.path.lexists(path):  # an old index would name new shards
            os.remove(path)
            files.sync_directory(directory)
        for name in [*names, index]:
            os.replace(os.path.join(new, name), os.path.join(directory, name))
            files.sync_directory(directory)


def _divided(groups: list[hdf5.Group], most: float) -> list[list[hdf5.Group]]:
    """Groups in shards. A group may be in several, each of which has some of its arrays, and None for the others."""
    shards: list[list[hdf5.Group]] = [[]]
    filled = 0
    for path, name, arrays in groups:
        for i, array in enumerate(arrays):
            if filled and filled + array.nbytes > most:
                shards.append([])
                filled = 0
            if not shards[-1] or shards[-1][-1][0] != path:
                shards[-1].append((path, name, [None] * len(arrays)))
            shards[-1][-1][2][i] = array
            filled += array.nbytes
    return shards


def write(filepath: str | os.PathLike[str], config: Any, groups: Iterable[hdf5.Group]) -> None:
    """Write a `.keras` file, completely or not at all.

    Args:
        filepath: The file.
        config: Keras's config of the model, in JSON's types.
        groups: What `hdf5.write` takes.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(_ABOUT, json.dumps({"keras_version": "3.0.0", "date_saved": ""}))
        archive.writestr(_CONFIG, json.dumps(config))
        archive.writestr(_WEIGHTS, hdf5.write(groups))
    with files.blaming(filepath, "written", "filepath"):
        files.replace_file(os.path.realpath(os.fsdecode(filepath)), [out.getbuffer()])


def _patterns(ignore: Any) -> list[re.Pattern[str]]:
    try:
        return [re.compile(each) for each in ([ignore] if isinstance(ignore, str) else ignore)]
    except (TypeError, re.error):
        raise ArgumentError.must_be("ignore", "regular expressions for paths in the file", ignore) from None


def _traced(model: Model) -> Traced:
    if model._traced is None and model.train_state is None and model.net.input_specs() is not None:
        return Traced(model.net, model.net.input_specs())
    return model._known()


# -- what is in a file -------------------------------------------------------------------------------------------------


class _Source:
    """The arrays in one or several HDF5 files, and the config beside them.

    Attributes:
        config: Keras's config of the model; None if there are weights alone.
        compiled: Keras's config of the optimizer, the losses and the metrics; None if there is none.
        version: The version of Keras that wrote the file; None if the file does not say it.
        parts: The HDF5 files.
        legacy: The group of a file in the old format, in which each layer of the model has a flat list of arrays; None
            for the new format.
    """

    def __init__(
        self,
        config: Any,
        parts: list[hdf5.File],
        legacy: str | None = None,
        compiled: Any = None,
        version: str | None = None,
    ):
        self.config, self.parts, self.legacy, self.version = config, parts, legacy, version
        self.compiled = config.get("compile_config") if isinstance(config, dict) and compiled is None else compiled
        self.of: dict[str, hdf5.File] = {}
        for part in parts:
            twice = next((path for path in part.forms if path in self.of), None)
            if twice is not None:
                raise FileError("Two shards have the same array.", got=shown(twice))
            self.of.update(dict.fromkeys(part.forms, part))

    @property
    def groups(self) -> set[str]:
        return {path for part in self.parts for path in part.groups}


def _places(source: _Source, traced: Traced, order: weights.Order | None) -> list[weights.Place]:
    there = source.groups if source.legacy is None else None
    return weights.places(traced.net, traced.call.declared or {}, order, there)


def _trees(
    source: _Source, traced: Traced, found: list[weights.Place], names: Mapping[int, str], ignore: list[re.Pattern[str]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters and the state in a file, when all of them have been held against the network."""
    declared = traced.call.declared or {}
    problems = weights.Problems()
    if source.legacy is None:
        at = _by_path(source, traced.net, found, names, problems)
    else:
        at = _by_layer(source, traced.net, found, declared, names, problems)
    for file, path in at.items():
        weights.checked(file, path, source.of[file].forms[file], declared[path], problems)
    for path in sorted(declared.keys() - {*at.values()} - weights.unsaved(traced.net, declared)):
        problems.add(f"the file has no array for {'/'.join(path)}")
    for file, part in source.of.items():
        if (
            file not in at
            and not _passed_over(file, part.forms[file])
            and not any(pattern.fullmatch(file) for pattern in ignore)
        ):
            problems.add(f"the network has no variable for {file} in the file, of shape {part.forms[file].shape}")
    problems.check()
    arrays: dict[weights.Path, Any] = {}
    for file, path in at.items():
        array = source.of[file].read(file)
        if path in arrays and arrays[path].tobytes() != array.tobytes():
            raise FileError(f"The file has two values for {'/'.join(path)}, which Keras keeps in two places.")
        arrays[path] = array
    return weights.filled(traced.call, arrays)


def _check_finite(filepath: str | os.PathLike[str], params: Any) -> None:
    """Raise NonFiniteError if a parameter in the file is NaN."""
    check_arrays(f"{os.fspath(filepath)} cannot be used: ", "take another file", parameter=params)


def _passed_over(path: str, form: hdf5.Form) -> bool:
    """Whether an array is none of a network: it belongs to an optimizer or a metric, or is the state of a generator."""
    if _BESIDE.fullmatch(path):
        return True
    return bool(_SEEDS.fullmatch(path)) and form.shape == (2,) and "int" in form.dtype


def _of_optimizer(source: _Source) -> tuple[list[Any], list[str] | None]:
    """The arrays of the optimizer in the order of the file, and their names if it has any."""
    if source.legacy is None:
        files_of = itertools.takewhile(source.of.__contains__, (f"optimizer/vars/{i}" for i in itertools.count()))
        return [source.of[file].read(file) for file in files_of], None
    part = source.parts[0]
    group = "optimizer_weights"
    names = (part.texts(group, "weight_names") or []) if group in part.groups else []
    names = [name for name in names if f"{group}/{name}" in part.forms]
    return [part.read(f"{group}/{name}") for name in names], names


def _by_path(
    source: _Source, net: nn.Layer, found: list[weights.Place], names: Mapping[int, str], problems: weights.Problems
) -> dict[str, weights.Path]:
    """The variable of the network for each array in a file of the new format."""
    at: dict[str, weights.Path] = {}
    listed = _listed(net, names)
    calls: list[str | None] = []
    for place in found:
        group = f"{place.file}/vars" if place.file else "vars"
        for i, path in enumerate(place.paths):
            if (file := f"{group}/{i}") in source.of:
                at[file] = path
        part = next((part for part in source.parts if group in part.groups), None)
        calls.append(None if part is None else part.text(group, "name"))
    layers = [place.layer for place in found]
    ours = _in_our_numbers((called, names.get(id(layer)), layer) for called, layer in zip(calls, layers, strict=True))
    for place, called in zip(found, calls, strict=True):
        if ours(called) in listed and ours(called) not in (names.get(id(place.layer)), *place.paths[0]):
            problems.add(f"the file calls {place.file} {called!r}, which is the name of another layer")
    return at


def _by_layer(
    source: _Source,
    net: nn.Layer,
    found: list[weights.Place],
    declared: Mapping[weights.Path, Any],
    names: Mapping[int, str],
    problems: weights.Problems,
) -> dict[str, weights.Path]:
    """The variable of the network for each array in a file of the old format.

    For each layer of the model, it has one list of all arrays in it, those that are trained first. Keras takes them in
    this order, whatever they are called. Here, names are looked at, too.
    """
    part, root = source.parts[0], source.legacy or ""
    lists: dict[str, list[weights.Path]] = {}
    for path in dict.fromkeys(path for place in found for path in place.paths):
        lists.setdefault(path[0] if len(path) > 1 else "", []).append(path)
    children = dict(net.children())
    wanted = {name: names.get(id(children.get(name))) for name in lists}
    groups = {}
    for layer in part.texts(root, "layer_names") or []:
        group = f"{root}/{layer}" if root else layer
        named = part.texts(group, "weight_names") if group in part.groups else None
        if named:
            groups[layer] = [f"{group}/{name}" for name in named]
    top = [f"{root}/{_TOP}/{name}".lstrip("/") for name in _top_names(part, root)]
    if set(wanted.values()) - {None} != set(groups) or None in wanted.values():  # Keras's rule: the n-th is the n-th
        wanted = dict(zip([name for name in lists if name], groups, strict=False))
    layers = {tuple(path.split("/")) if path else (): layer for path, layer in layers_by_path(net).items()}
    listed = _listed(net, names)
    ours = _in_our_numbers(
        (wanted.get(name), names.get(id(layer)), layer) for name, layer in children.items() if name in lists
    )
    at: dict[str, weights.Path] = {}
    for name, paths in lists.items():
        paths.sort(key=lambda path: declared[path].kind == "state")
        files_of = groups.get(wanted.get(name) or "", []) if name else top
        if len(files_of) != len(paths):
            problems.add(f"the file has {len(files_of)} arrays for {name or 'the model itself'}, not {len(paths)}")
        own = {path[n] for path in paths for n in range(len(path)) if path[: n + 1] not in layers}
        for file, path in zip(files_of, paths, strict=False):
            if file not in part.forms:
                continue
            at[file] = path
            expected = _chain(path, layers, names)
            called = wanted.get(name) or ""
            one = file.replace(called, called.replace("/", "_")) if "/" in called else file  # "conv1/bn" is one name
            parts = [(ours(part), part) for part in _parts_of(one)]
            others = [shown(part) for here, part in parts if here in listed | own and here not in expected]
            if others:
                problems.add(f"{'/'.join(path)} is at the place of {file} in the file, which names {others[0]}")
    return at


def _listed(net: nn.Layer, names: Mapping[int, str]) -> set[str]:
    """The names of layers in `Sequential`s and `Graph`s.

    Others, such as those of cells, are often made up by Keras, and the file may have the same for another layer.
    """
    containers = [layer for layer in layers_by_path(net).values() if isinstance(layer, nn.Sequential | nn.Graph)]
    return {names[id(child)] for layer in containers for _, child in layer.children() if id(child) in names}


def _in_our_numbers(named: Iterable[tuple[str | None, str | None, nn.Layer]]) -> Callable[[Any], Any]:
    """Turns a name in a file into what it is here, where Keras made up both.

    Keras numbers the layers of a class through a whole session: in the file of a model that was not its first one, all
    numbers of a class may be greater by the same. In the file of another model, they differ by this and that.

    Args:
        named: For each layer its name in the file, its name here, and itself.
    """
    found: dict[str, set[int]] = {}
    for theirs, ours, layer in named:
        base = snake_case(weights.python_name(layer))
        numbers = _number(theirs, base), _number(ours, base)
        if numbers[0] is not None and numbers[1] is not None:
            found.setdefault(base, set()).add(numbers[0] - numbers[1])
    greater = {base: each.pop() for base, each in found.items() if len(each) == 1}

    def here(name: Any) -> Any:
        for base, by in greater.items():
            if (number := _number(name, base)) is not None and number >= by:
                return f"{base}_{number - by}" if number > by else base
        return name

    return here


def _number(name: str | None, base: str) -> int | None:
    """That in a name that Keras made up of a class: 0 in "conv2d", 3 in "conv2d_3". None for other names."""
    if name is None or not name.startswith(base):
        return None
    rest = name.removeprefix(base)
    return 0 if not rest else int(rest[1:]) if re.fullmatch(r"_[1-9]\d{0,8}", rest) else None


_TOP = "top_level_model_weights"


def _top_names(part: hdf5.File, root: str) -> list[str]:
    group = f"{root}/{_TOP}" if root else _TOP
    return (part.texts(group, "weight_names") or []) if group in part.groups else []


def _parts_of(file: str) -> list[str]:
    *layers, last = file.split("/")
    return [*layers, last.partition(":")[0]]


def _chain(path: weights.Path, layers: Mapping[weights.Path, nn.Layer], names: Mapping[int, str]) -> set[str]:
    """What a file may call the parts of a path: the names of layers in Keras, and those of scopes here."""
    out = set()
    for n in range(len(path) + 1):
        layer = layers.get(path[:n])
        out |= {path[n - 1]} if layer is None else {names[id(layer)]} if id(layer) in names else set()
    return out


# -- the files ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[_Source]:
    """What is in a file of one of Keras's formats, or in a folder."""
    name = os.fsdecode(path)
    with contextlib.ExitStack() as held:
        if os.path.isdir(name):
            yield _folder(name, held)
            return
        if name.endswith(".json"):
            yield _Source(None, _shards(name, held))
            return
        file = held.enter_context(files.open_file(name))
        start = file.read(4)
        file.seek(0)
        if start[:2] == b"PK":
            config, about, data = _unzipped(file)
            yield _Source(config, [held.enter_context(hdf5.opened(data))], version=_version(about))
        else:
            yield _h5(held.enter_context(hdf5.opened(file)))


def _h5(part: hdf5.File) -> _Source:
    config, compiled, version = (part.text("", n) for n in ("model_config", "training_config", "keras_version"))
    if config is None and part.texts("", "layer_names") is not None:
        return _Source(None, [part], "")
    if config is None and "model_weights" not in part.groups:
        return _Source(None, [part])
    decoded = (None if x is None else _decoded(x, "a config") for x in (config, compiled))
    return _Source(next(decoded), [part], "model_weights", next(decoded), version)


def _folder(path: str, held: contextlib.ExitStack) -> _Source:
    config, about = (os.path.join(path, name) for name in (_CONFIG, _ABOUT))
    config, version = _json(config), _version(_json(about)) if os.path.exists(about) else None
    index = os.path.join(path, _SHARDS)
    parts = _shards(index, held) if os.path.exists(index) else [_part(os.path.join(path, _WEIGHTS), held)]
    return _Source(config, parts, version=version)


def _part(path: str, held: contextlib.ExitStack) -> hdf5.File:
    with files.blaming(path):
        return held.enter_context(hdf5.opened(held.enter_context(files.open_file(path))))


def _json(path: str) -> Any:
    with files.blaming(path), files.open_file(path) as file:
        return _decoded(_bounded(file, os.fstat(file.fileno()).st_size), os.path.basename(path))


def _shards(path: str, held: contextlib.ExitStack) -> list[hdf5.File]:
    """The shards that an index names."""
    index = _json(path)
    where = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(where, dict):
        raise FileError("The index has no weight_map from groups to files.", got=shown(index))
    lists = [names if isinstance(names, list) else [names] for names in where.values()]
    shards = dict.fromkeys(name for names in lists for name in names if isinstance(name, str))
    outside = [n for names in lists for n in names if not isinstance(n, str) or not _SHARD.fullmatch(n)]
    if outside:
        raise FileError(
            "The index names a file that lies outside the folder, or does not end in .weights.h5.",
            got=shown(outside[0]),
        )
    return [_part(os.path.join(os.path.dirname(path), name), held) for name in shards]


def _unzipped(file: BinaryIO) -> tuple[Any, Any, BinaryIO]:
    """The config, the metadata and the file of weights in an archive.

    Raises:
        FileError: It is truncated or corrupt, or has something in it that Keras does not write.
    """
    size = file.seek(0, io.SEEK_END)
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            names = [info.filename for info in infos]
            if len({*names}) < len(names):
                raise FileError(
                    "The archive has two parts of one name.", got=shown(Counter(names).most_common(1)[0][0])
                )
            outside = [n for n in names if n.startswith(("/", "\\")) or ":" in n or ".." in re.split(r"[/\\]", n)]
            if outside:
                raise FileError("The archive has a part whose name leads out of it.", got=shown(outside[0]))
            if sum(info.file_size for info in infos) > 2 * size + _SLACK:
                raise FileError("The archive would become more than twice as large when it is unpacked.")
            if _WEIGHTS not in names:
                other = "model.weights.npz" in names
                raise FileError(
                    "The archive has no weights that can be read.",
                    expected=_WEIGHTS,
                    got="model.weights.npz, which holds pickled objects" if other else ", ".join(names[:20]),
                )
            if _CONFIG not in names:
                raise FileError("The archive has no config.", expected=_CONFIG, got=", ".join(names[:20]))
            config, data = _member(archive, _CONFIG), _file_in(archive, _WEIGHTS, file)
            about = _member(archive, _ABOUT) if _ABOUT in names else b"{}"
    except (KfuncError, MemoryError, OSError):
        raise
    except Exception as error:  # of zipfile, and of each way to compress
        raise FileError("The file is truncated or corrupt, or is not a .keras file.", got=shown(str(error))) from None
    if len(config) + len(about) > _TEXT:
        raise FileError("The config is too large.", expected=f"up to {_TEXT} bytes", got=f"{len(config)} bytes")
    return _decoded(config, _CONFIG), _decoded(about, _ABOUT), data


def _version(about: Any) -> str | None:
    """The version of Keras in the metadata beside a config."""
    version = about.get("keras_version") if isinstance(about, dict) else None
    return version if isinstance(version, str) else None


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A part of an archive, of which no more is unpacked than it says to have."""
    info = archive.getinfo(name)
    with archive.open(info) as member:
        data = member.read(info.file_size)
        if len(data) != info.file_size or member.read(1):
            raise FileError("A part of the archive has another size than it says.", got=shown(name))
    return data


def _file_in(archive: zipfile.ZipFile, name: str, file: BinaryIO) -> BinaryIO:
    """A part of an archive, as a file. Keras does not compress it, and then it is not held in memory."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        return io.BytesIO(_member(archive, name))
    with archive.open(info) as member:  # at the end of the part, zipfile compares the checksum
        size = sum(map(len, iter(lambda: member.read(2**20), b"")))
    if size != info.file_size:
        raise FileError("A part of the archive has another size than it says.", got=shown(name))
    file.seek(info.header_offset)
    header = file.read(_HEADER)
    return cast(
        BinaryIO, _Window(file, info.header_offset + _HEADER + sum(struct.unpack_from("<HH", header, 26)), size)
    )


class _Window(io.RawIOBase):
    """The `size` bytes of an open file from `start` on, as a file."""

    def __init__(self, file: BinaryIO, start: int, size: int):
        super().__init__()
        self.file, self.start, self.size, self.at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.at = offset + (0, self.at, self.size)[whence]
        return self.at

    def readinto(self, buffer: Any) -> int:
        self.file.seek(self.start + self.at)
        count = self.file.readinto(memoryview(buffer)[: max(self.size - self.at, 0)])  # type: ignore[attr-defined]
        self.at += count
        return count


def _bounded(file: BinaryIO, size: int) -> bytes:
    if size > _TEXT:
        raise FileError("The config is too large.", expected=f"up to {_TEXT} bytes", got=f"{size} bytes")
    return file.read(size)


def _decoded(text: str | bytes, what: str) -> Any:
    try:
        return files.decoded(text)
    except FileError as error:
        raise FileError(f"{what} in the file is not valid JSON, or has a name twice.", got=error.got) from None
