"""Checkpoints of other libraries: tensors by name, in a file or in a folder of several, read one at a time."""

from __future__ import annotations

import collections
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .. import files
from ..arrays import asarray, to_numpy
from ..backends import Backend, get, kind_of
from ..errors import ArgumentError, FileError, MissingPackageError, shown
from ..typing import Array

__all__ = ["Checkpoint", "save_checkpoint"]

INDEX, ONE = "model.safetensors.index.json", "model.safetensors"
_OF_TORCH = (".pt", ".pth", ".bin", ".ckpt")
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
_NAME = re.compile(r"[^/\\:\0\ud800-\udfff]+\.safetensors")
_INDEX_BYTES, _LISTED = 100_000_000, 20


class Checkpoint(Mapping[str, Any]):
    """The tensors of a checkpoint by name. Each is read when it is asked for, so that memory is needed for one.

    Large tensors are views of a safetensors file on NumPy and PyTorch. Nothing that is done with them changes the file,
    nor what is read from it later. But a program that writes into the file in place, rather than putting another there,
    would change them.

    Files are data, and nothing in them is executed: safetensors files are read by kfunc, and those of PyTorch by
    `torch.load(weights_only=True)`, which refuses all but tensors and plain containers.

    Args:
        path: A `.safetensors` file; a file of PyTorch (`.pt`, `.pth`, `.bin`), for which torch must be installed; or a
            folder as Hugging Face's libraries write it, with `model.safetensors`, or with shards and their index
            `model.safetensors.index.json`. It needs no config, and files may be links, as in Hugging Face's cache.
        backend: The backend of the arrays.

    Raises:
        ArgumentError: `path` is not a path.
        FileError: A file is missing, truncated or corrupt; the index names other tensors than the shards have, or files
            outside the folder; or a file of PyTorch's has not just one dict of tensors, would take much more memory
            than it has bytes, or has a tensor that is sparse, quantized, nested or without values.
        MissingPackageError: The file is PyTorch's, and torch is not installed.
        BackendNotInstalledError: The framework of `backend` is not installed.
        UnknownBackendError: No backend has the name `backend`.
    """

    def __init__(self, path: str | os.PathLike[str], backend: str | Backend = "numpy"):
        self.backend: Backend = get(backend)
        self._last: Any = None
        with files.blaming(path):
            self.path: str = os.fsdecode(path)
            self._parts = _folder(self.path) if os.path.isdir(self.path) else _file(self.path)

    def __getitem__(self, name: str) -> Array:
        return self.read(name)

    def read(self, name: str, dtype: str | None = None, backend: str | Backend | None = None) -> Array:
        """A tensor. It may be a view of the file: its values are read from there when they are first used.

        Args:
            name: Its name.
            dtype: The dtype that the caller is going to give it. If it has another one, the file takes no memory any
                more when the next tensor is read, and what was written into this one may be lost then.
            backend: The backend of the array, in place of the checkpoint's.
        """
        part, target = self._parts[name], self.backend if backend is None else get(backend)
        if not isinstance(part, files.Tensors):
            return asarray(part[name], backend=target)
        kept = dtype in (None, part.forms[name].dtype)
        return target.adopted(part.mapped(name, not kept) if target.shares else part[name])

    def stored(self, name: str, dtype: str, backend: str | Backend) -> Array:
        """A tensor for `placed`: a view of the file, as NumPy's array; or what PyTorch has read of a file of its own.

        Args:
            name: Its name.
            dtype: The dtype that it is going to have.
            backend: The backend that it is going to be on.
        """
        part = self._parts[name]
        if not isinstance(part, files.Tensors):
            return part[name]
        if self._last is not None and self._last is not part:  # the next tensor of that shard may be needed much later
            self._last.release()
        self._last = part
        return part.mapped(name, passing=not get(backend).shares or part.forms[name].dtype != dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __repr__(self) -> str:
        return f"Checkpoint({self.path!r}, {len(self)} tensors)"


def save_checkpoint(
    tensors: Mapping[str, Array], path: str | os.PathLike[str], shard_size: int | str = "5GB"
) -> list[str]:
    """Write tensors as Hugging Face's libraries and PyTorch's users read them.

    Args:
        tensors: Arrays of any backend by name, such as those of `KeyMap.save`. They are moved to NumPy's memory one
            shard at a time.
        path: A `.safetensors` file, or a folder. In a folder, one shard is `model.safetensors`; several are numbered,
            and have an index. They replace a checkpoint that is there when all of them are written. Whenever that is
            interrupted, the folder has the old checkpoint, the new one, or none, and never parts of both.
        shard_size: The most bytes of a shard, as a number or such as "500MB" or "5GB". A larger tensor is a shard of
            its own. A file is not divided.

    Returns:
        The paths of the files.

    Raises:
        ArgumentError: `shard_size` is no size; `path` ends as files of another format do; or a name or dtype cannot be
            stored.
        FileError: A file could not be written.
    """
    most = _in_bytes(shard_size)
    with files.blaming(path, "written"):
        path = files.safetensors_path("path", path)
    if not isinstance(tensors, Mapping):
        raise ArgumentError.must_be("tensors", "a mapping from names to arrays", tensors)
    if path.lower().endswith(".safetensors"):
        _write(path, tensors, tensors)
        return [path]
    shards: list[list[str]] = [[]]
    filled = total = 0
    for name, x in tensors.items():
        if kind_of(type(x)) is None:
            raise ArgumentError.must_be("tensors", "a mapping from names to arrays", {name: x})
        size = files.size(x)
        if shards[-1] and filled + size > most:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled, total = filled + size, total + size
    names = [f"model-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]
    names = names if len(shards) > 1 else [ONE]
    with files.blaming(path, "written"):
        files.make_directory(path)
        with files.new_directory(path) as new:
            for name, shard in zip(names, shards, strict=True):
                _write(os.path.join(new, name), tensors, shard)
            if len(shards) > 1:
                where = {n: name for name, shard in zip(names, shards, strict=True) for n in shard}
                index = {"metadata": {"total_size": total}, "weight_map": where}
                files.write_text(os.path.join(new, INDEX), json.dumps(index, indent=2, sort_keys=True) + "\n")
                names.append(INDEX)
            _moved(new, path, names)
    return [os.path.join(path, name) for name in names]


def write_files(folder: str, contents: Mapping[str, list[Any]]) -> list[str]:
    """Write the files of a checkpoint, given as parts of bytes by the files' names, as `save_checkpoint` does.

    Args:
        folder: A folder that exists.
        contents: The parts of each file.

    Returns:
        The paths of the files.
    """
    with files.new_directory(folder) as new:
        for name, parts in contents.items():
            files.replace_file(os.path.join(new, name), parts)
        _moved(new, folder, sorted(contents, key=lambda name: name == INDEX))
    return [os.path.join(folder, name) for name in contents]


def _write(path: str, tensors: Mapping[str, Any], names: Iterable[str]) -> None:
    # transformers asks for the text.
    files.write(path, {name: to_numpy(tensors[name]) for name in names}, {"format": "pt"})


def _moved(new: str, path: str, names: list[str]) -> None:
    """Move the files of a checkpoint, the index last, into a folder, where they replace another one."""
    there = os.listdir(path)
    if INDEX in there and any(_SHARD.fullmatch(name) and name in names for name in there):
        # The old index would name new shards, too.
        os.remove(os.path.join(path, INDEX))
        files.sync_directory(path)
    for name in names:
        os.replace(os.path.join(new, name), os.path.join(path, name))
        files.sync_directory(path)
    # The rest of the old checkpoint would be read beside these files, or in their place; first goes its index.
    for name in sorted(there, key=lambda name: name != INDEX):
        at = os.path.join(path, name)
        if name not in names and (name in (ONE, INDEX) or _SHARD.fullmatch(name)) and os.path.lexists(at):
            os.remove(at)
            files.sync_directory(path)


def _in_bytes(size: int | str) -> int:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([KMGT]?)B", size) if isinstance(size, str) else None
    given = size
    if match is not None:
        size = int(float(match[1]) * 1000 ** " KMGT".index(match[2] or " "))
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ArgumentError.must_be("shard_size", 'a positive number of bytes, such as "5GB"', given)
    return size


def _file(path: str) -> Mapping[str, Any]:
    """For each tensor in a file, the mapping that has it."""
    if path.lower().endswith(_OF_TORCH):
        found = _TorchTensors(path)
        return dict.fromkeys(found, found)
    tensors = files.Tensors(path)
    return dict.fromkeys(tensors, tensors)


def _folder(path: str) -> Mapping[str, Any]:
    """For each tensor in a folder, the mapping that has it."""
    if os.path.exists(os.path.join(path, ONE)):
        return _file(os.path.join(path, ONE))
    index = os.path.join(path, INDEX)
    if not os.path.exists(index):
        raise FileError(
            "The folder has no checkpoint.",
            expected=f"{ONE}, or {INDEX} and its shards",
            got=_brief(os.listdir(path)),
        )
    with files.blaming(index):
        where = _weight_map(index)
    parts: dict[str, Any] = {}
    for shard in sorted(set(where.values())):
        more = _file(os.path.join(path, shard))
        if twice := more.keys() & parts.keys():
            raise FileError("Two shards have a tensor of the same name.", expected=INDEX, got=_brief([*twice]))
        parts.update(more)
    wrong = sorted(
        name
        for name in where.keys() | parts.keys()
        if name not in where or name not in parts or os.path.basename(parts[name].path) != where[name]
    )
    if wrong:
        raise FileError("The shards have other tensors than the index says.", expected=INDEX, got=_brief(wrong))
    return parts


def _weight_map(index: str) -> dict[str, str]:
    """The name of the shard that holds each tensor, as the index says it."""
    if os.path.getsize(index) > _INDEX_BYTES:
        raise FileError("The index is too large.", expected=f"up to {_INDEX_BYTES} bytes")
    with open(index, "rb") as file:
        found = files.decoded(file.read())
    where = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(where, dict) or not where or not all(isinstance(name, str) for name in where.values()):
        raise FileError("The index has no weight_map from tensors to files.", got=shown(found))
    # A name with a folder in it could lead out of the checkpoint.
    outside = [name for name in where.values() if not _NAME.fullmatch(name)]
    if outside:
        raise FileError(
            "The index names a file that lies outside the folder, or is not a safetensors file.", got=shown(outside[0])
        )
    return where


class _TorchTensors(Mapping[str, Any]):
    """The tensors in a file of PyTorch's by name. No two that it returns share memory."""

    def __init__(self, path: str):
        self.path = path
        self._tensors: Mapping[str, Any] = _of_torch(path)
        self._given: set[str] = set()
        self._owners = collections.Counter(map(_place, self._tensors.values()))

    def __getitem__(self, name: str) -> Any:
        if self._owners[_place(self._tensors[name])] > 1:  # tied, or parts of one tensor
            return self._tensors[name].clone()
        if name in self._given:  # somebody may have written into its memory
            found = _of_torch(self.path)
            if found.keys() != self._tensors.keys():
                raise files.changed()
            self._tensors, self._given = found, set()
        self._given.add(name)
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _place(tensor: Any) -> int:
    return tensor.untyped_storage().data_ptr()


def _of_torch(path: str) -> Mapping[str, Any]:
    """The tensors in a file of PyTorch's."""
    with files.blaming(path):
        os.stat(path)
        try:
            import torch
        except ModuleNotFoundError as error:
            raise MissingPackageError(
                "A file of PyTorch's can only be read with torch.", fix='pip install "kfunc[torch]"'
            ) from error
        mapped = _check_torch(path)
        try:
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and os.name != "nt")
        except Exception as error:  # of many kinds, and some with several pages
            raise FileError(
                "PyTorch does not read the file as tensors.", got=shown(str(error).splitlines()[:1])
            ) from error
        inside = (
            [found] if _is_named(found) else list(filter(_is_named, found.values() if isinstance(found, dict) else ()))
        )
        if len(inside) != 1:
            several = "more than one dict of tensors" if inside else "no tensors by name"
            raise FileError(
                f"The file has {several}.",
                expected="a state_dict",
                got=shown(list(found)) if isinstance(found, dict) else shown(found),
                fix="give KeyMap.load the dict of tensors in what torch.load returns",
            )
        for name, x in inside[0].items():
            if x.layout is not torch.strided or x.is_quantized or x.is_nested or x.is_meta:
                raise FileError("A tensor is sparse, quantized, nested or without values.", got=shown(name))
            if x.numel() * x.itemsize > os.path.getsize(path):
                raise FileError("A tensor repeats its values, and would be larger than the file.", got=shown(name))
        return {name: x.detach() for name, x in inside[0].items()}


_BYTEARRAY = re.compile(rb"c(__builtin__|builtins)\nbytearray\n")
"""How a pickle names a function that PyTorch allows, and that makes as many bytes as the pickle says."""


def _check_torch(path: str) -> bool:
    """Whether a file of PyTorch's is an archive, of which tensors can be views.

    Raises:
        FileError: To read it would take much more memory than it has bytes.
    """
    import mmap
    import zipfile

    size = os.path.getsize(path)
    if not zipfile.is_zipfile(path):  # as before PyTorch 1.6
        with open(path, "rb") as file:
            if size:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    _check_pickle(data)
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
            if packed or sum(entry.file_size for entry in entries) > size:
                raise FileError(
                    "The file is compressed, and may be much larger when it is not.",
                    expected="an archive as torch.save writes it",
                    got="compressed entries" if packed else "entries that overlap",
                )
            for entry in entries:
                if entry.filename.endswith(".pkl"):
                    _check_pickle(archive.read(entry))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise FileError("The file is truncated or corrupt.", got=shown(str(error))) from error
    return True


def _check_pickle(data: Any) -> None:
    if _BYTEARRAY.search(data):
        raise FileError("The file asks for an array of bytes of any size.", expected="tensors", got="bytearray")


def _is_named(x: Any) -> bool:
    """Whether this is a dict of tensors by name."""
    import torch

    return (
        isinstance(x, dict)
        and bool(x)
        and all(isinstance(n, str) and isinstance(t, torch.Tensor) for n, t in x.items())
    )


def _brief(names: list[str]) -> str:
    return ", ".join(sorted(names)[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
