"""Trees of arrays in one safetensors file: `save` and `load`, and the layer below them, `write` and `read`.

A file is data: tensors by name, and texts. Nothing in it is executed, imported or opened. Hugging Face's library
(https://huggingface.co/docs/safetensors) decodes and checks the format. This module adds what that library lacks:
trees, a digest, an error where a name is there twice, bfloat16 as bfloat16, the same bytes for the same contents, files
that are replaced completely or not at all, and a check of the header before anything else is read. Without that check,
a small hostile file could take all memory; with it, memory and time are in proportion to the file.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import itertools
import json
import math
import mmap
import os
import re
import stat
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import safetensors

from .arrays import dtype_name, to_backend, to_numpy
from .backends import Backend, get, kind_of
from .errors import ArgumentError, FileError, shown

if TYPE_CHECKING:
    # NumPy takes longer to import than kfunc, and only those who use it need wait.
    import numpy as np

__all__ = [
    "Tensors",
    "flatten",
    "load",
    "memory",
    "numpy_dtype",
    "open_file",
    "read",
    "replace_file",
    "save",
    "structure",
    "unflatten",
    "write",
]

_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "F16": "float16",
    "BF16": "bfloat16",
    "U32": "uint32",
    "I32": "int32",
    "F32": "float32",
    "U64": "uint64",
    "I64": "int64",
    "F64": "float64",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
_HEADER_LIMIT = 100_000_000  # bytes; other readers of the format refuse longer headers
RANK = 32  # axes; every NumPy can have so many
_NAME = 1024  # characters
_DEPTH = 64  # names in a tensor's path, and containers in each other
# How many dicts the tensors' names may make where no description of the tree comes with them: some, and four for each
# tensor. A path such as "blocks.7.attention.query.lora.default.weight" has three of its own.
_DICTS, _DICTS_EACH = 16384, 4
_FORMAT, _DIGEST, _TREE = "kfunc.format", "kfunc.sha256", "kfunc.tree"
_ROOT = "array"
_PAGES = 2**22  # bytes; from here on huge pages take a fifth of the time that Linux needs for the others
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
_MAPPED = 2**16  # bytes; to read fewer takes no longer than to read a page of a mapped file

# -- trees -----------------------------------------------------------------------------------------------------------


def save(tree: Any, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
    """Write a tree of arrays to one `.safetensors` file, completely or not at all.

    Args:
        tree: Arrays of any backend in nested dicts, lists, tuples and named tuples; None and Python numbers and strings
            may stand beside them. Dict keys are strings without a dot. A tensor is named by its path: `dense.kernel`.
        path: The file. An old one is replaced in one step, and only when the new one is on the disk.
        metadata: Texts to keep with it; `read` gives them back.

    Raises:
        ArgumentError: The tree holds something that cannot be stored, or `path` ends as files of another format do.
        FileError: The file could not be written. What was at `path` before is still there.
    """
    texts = dict(metadata or {})
    for key in texts:
        if str(key).startswith("kfunc."):
            raise ArgumentError(
                f"`metadata` has the key {shown(key)}, and keys that begin with 'kfunc.' are reserved.",
                argument="metadata",
                expected="keys that do not begin with 'kfunc.'",
                got=repr(key),
            )
    arrays: dict[str, Any] = {}
    shape = _describe(tree, arrays)
    if not _is_plain(shape):
        texts[_TREE] = json.dumps(shape, separators=(",", ":"))
    write(path, {name: to_numpy(array) for name, array in arrays.items()}, texts)


def load(path: str | os.PathLike[str], backend: str | Backend = "numpy") -> Any:
    """The tree in a `.safetensors` file, as arrays of `backend`.

    A tree that `save` wrote comes back as it was, except that named tuples come back as tuples, every kind of dict as a
    dict with sorted keys, and NumPy scalars as 0-d arrays. A file that another program wrote comes back as nested
    dicts: the tensor `encoder.0.weight` is `["encoder"]["0"]["weight"]`. Containers may be nested 64 deep.

    Raises:
        FileError: The file cannot be read, is truncated or corrupt, or is not a safetensors file; see `read`.
        BackendNotInstalledError: The framework of `backend` is not installed.
        UnknownBackendError: No backend has the name `backend`.
    """
    target = get(backend)
    arrays, texts = read(path)
    with blaming(path):
        return to_backend(unflatten(arrays, texts.get(_TREE)), target)


def flatten(tree: Any) -> dict[str, Any]:
    """The arrays of `tree` by name: the path, joined by dots, with the field's name below a named tuple.

    Raises:
        ArgumentError: The tree holds something that cannot be stored.
    """
    arrays: dict[str, Any] = {}
    _describe(tree, arrays)
    return arrays


def structure(tree: Any) -> str:
    """The form of `tree` as JSON: everything except the arrays' values. `unflatten` builds the tree again from it."""
    return json.dumps(_describe(tree, {}), separators=(",", ":"))


def unflatten(arrays: Mapping[str, Any], structure: str | None = None) -> Any:
    """The tree of arrays that are given by name: of the form `structure`, or else nested dicts.

    Raises:
        FileError: The names do not belong to that form; one name is the beginning of another (`a` and `a.b`); or the
            names make too many dicts, more than 16384 and four for each array.
    """
    if structure is not None:
        return _rebuild(arrays, structure)
    tree: dict[str, Any] = {}
    dicts, most = 0, _DICTS + _DICTS_EACH * len(arrays)
    for name, array in sorted(arrays.items()):
        *parents, last = name.split(".")
        node: Any = tree
        for part in parents:
            dicts += part not in node
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                break
        if dicts > most:
            raise FileError(
                "The tensors' names make too many nested dicts.", expected=f"up to {most} dicts", got="more"
            )
        if not isinstance(node, dict) or last in node:
            raise FileError(
                f"The name of one tensor is the beginning of another's, {shown(name)}, so the tensors make no tree.",
                got=repr(name),
                fix="kf.files.read gives the tensors by their names",
            )
        node[last] = array
    return tree


# The form of a tree, in JSON: a dict is an object; [kind, ...] is an array, list, tuple or named tuple; None, numbers
# and texts are themselves.


def _describe(tree: Any, arrays: dict[str, Any]) -> Any:
    try:
        return _describe_node(tree, (), arrays)
    except RecursionError:
        raise ArgumentError(
            "`tree` is nested too deeply, or contains itself.", argument="tree", expected=f"up to {_DEPTH} levels"
        ) from None


def _describe_node(node: Any, path: tuple[str, ...], arrays: dict[str, Any]) -> Any:
    if len(path) > _DEPTH:
        raise RecursionError
    if kind_of(type(node)) is not None:
        arrays[".".join(path) or _ROOT] = node
        return ["array"]
    if isinstance(node, Mapping):
        for key in node:
            _check_key(key, path)
        return {key: _describe_node(node[key], (*path, key), arrays) for key in sorted(node)}
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        fields = zip(node._fields, node, strict=True)
        return ["namedtuple", {key: _describe_node(child, (*path, key), arrays) for key, child in fields}]
    if isinstance(node, list | tuple):
        kind = "list" if isinstance(node, list) else "tuple"
        return [kind, *(_describe_node(child, (*path, str(i)), arrays) for i, child in enumerate(node))]
    if type(node) in (type(None), bool, float, str) or (type(node) is int and abs(node) < 2**63):
        return node
    raise ArgumentError(
        f"`tree` holds{_at(path)} an object of type {type(node).__name__}, which cannot be stored.",
        argument="tree",
        expected="arrays, in dicts, lists and tuples",
        got=type(node).__name__,
        fix="store its arrays, or leave it out",
    )


def _at(path: tuple[str, ...]) -> str:
    return f", at {'/'.join(path)}," if path else ""


def _check_key(key: Any, path: tuple[str, ...]) -> None:
    if not isinstance(key, str) or not key or "." in key or (not path and key == "__metadata__"):
        raise ArgumentError(
            f"`tree` has{_at(path)} the dict key {shown(key)}, which cannot be part of a tensor's name.",
            argument="tree",
            expected="a string that is not empty and has no dot (names are paths joined by dots)",
            got=repr(key),
            fix="rename the key",
        )


def _is_plain(shape: Any, root: bool = True) -> bool:
    """Whether a form is made of nested dicts alone, and none of them is empty; then the names alone give the form."""
    if isinstance(shape, dict):
        return (root or bool(shape)) and all(_is_plain(child, False) for child in shape.values())
    return shape == ["array"] and not root


def _rebuild(arrays: Mapping[str, Any], structure: str) -> Any:
    taken = set()

    def node(shape: Any, path: tuple[str, ...]) -> Any:
        if len(path) > _DEPTH:
            raise ValueError(f"containers nested more than {_DEPTH} deep")
        match shape:
            case dict():
                return {key: node(child, (*path, key)) for key, child in shape.items()}
            case ["array"]:
                name = ".".join(path) or _ROOT
                taken.add(name)
                return arrays[name]
            case ["list", *children]:
                return [node(child, (*path, str(i))) for i, child in enumerate(children)]
            case ["tuple", *children]:
                return tuple(node(child, (*path, str(i))) for i, child in enumerate(children))
            case ["namedtuple", dict() as children]:
                return tuple(node(child, (*path, key)) for key, child in children.items())
            case list():
                raise KeyError(str(shape[:1])[:99])
        return shape

    try:
        tree = node(decoded(structure), ())
    except (KeyError, ValueError, FileError) as error:
        got = error.problem if isinstance(error, FileError) else str(error)[:200]
        raise FileError("The tensors are not those of the tree that the file describes.", got=got) from error
    if taken != set(arrays):
        raise FileError(
            "The tensors are not those of the tree that the file describes.",
            expected=", ".join(sorted(taken)[:9]),
            got=", ".join(sorted(set(arrays) - taken)[:9]),
        )
    return tree


def decoded(text: str | bytes) -> Any:
    """The objects that a text in JSON, from a file, describes.

    Raises:
        FileError: The text is not JSON, has a key twice, is nested too deeply, or has a number that is too long.
    """
    try:
        # Python would also take other encodings than UTF-8, which no other reader of the format takes.
        return json.loads(text if isinstance(text, str) else str(text, "utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise FileError(
            "The file is corrupt, or is not a safetensors file: a text in it is not valid JSON.", got=str(error)[:200]
        ) from None


# -- files -----------------------------------------------------------------------------------------------------------


class Form(NamedTuple):
    """The name of a tensor's dtype, and its shape, as a header gives them."""

    dtype: str
    shape: tuple[int, ...]


def write(
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
    argument: str = "path",
) -> None:
    """Write NumPy arrays by name, and texts, to one safetensors file, completely or not at all.

    The bytes are written to a temporary file in the same directory; when they are on the disk, it gets the name `path`
    in one step. Such files of writers that were killed are removed. A link is followed. A file that is replaced keeps
    its permissions. The same contents give the same bytes. Errors call `path` by the name `argument`.

    Raises:
        ArgumentError: The format has no code for a dtype, a name or text is not a string, or `path` ends as files of
            another format do.
        FileError: The file could not be written. What was at `path` before is still there.
    """
    with blaming(path, "written", argument):
        safetensors_path(argument, path)
    texts = {**(metadata or {}), _FORMAT: "1"}
    for text in (*arrays, *(metadata or {}), *texts.values()):
        if not isinstance(text, str) or text in ("__metadata__", _FORMAT, _DIGEST):
            raise ArgumentError(
                f"A name or text in a file must be a string, and not a reserved one, got {shown(text)}.",
                expected="a string",
                got=repr(text),
            )
    arrays = {name: _storable(name, array) for name, array in arrays.items()}
    texts[_DIGEST] = _digest(arrays, texts)
    # Larger numbers come first, so that all begin where their size allows them to be read in place.
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    ends = list(itertools.accumulate((arrays[name].nbytes for name in order), initial=0))
    codes = {dtype: code for code, dtype in _DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": dict(sorted(texts.items()))}
    for name, begin, end in zip(order, ends, ends[1:], strict=False):
        array = arrays[name]
        header[name] = {"dtype": codes[array.dtype.name], "shape": array.shape, "data_offsets": (begin, end)}
    try:
        data = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(
            "A name or text is not valid Unicode.", got=ascii(error.object[error.start : error.end])[:99]
        ) from None
    data += b" " * (-len(data) % 8)
    try:  # a file that nobody could read must not be written
        _header(data, ends[-1])
    except FileError as error:
        raise ArgumentError(
            "The names and texts are too long, or too many, to be read again.",
            expected=error.expected,
            got=error.got,
            fix=error.fix,
        ) from None
    path = os.path.realpath(os.fsdecode(path))
    with blaming(path, "written"):
        replace_file(path, [len(data).to_bytes(8, "little"), data, *(_bytes(arrays[name]) for name in order)])


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Make a text the content of a file, in one step.

    Raises:
        FileError: The file could not be written. What was at `path` before is still there.
    """
    with blaming(path, "written"):
        replace_file(os.path.realpath(os.fsdecode(path)), [text.encode()])


def size(x: Any) -> int:
    """How many bytes an array of any backend takes in a file."""
    name = dtype_name(x.dtype)
    return math.prod(x.shape) * _dtype(name, name).itemsize


def _bytes(array: np.ndarray) -> Any:
    """The memory of an array in C order, with little-endian numbers."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).reshape(-1).view("uint8").data


def read(
    path: str | os.PathLike[str],
    check: Callable[[Mapping[str, Form], Mapping[str, str]], Any] | None = None,
    argument: str = "path",
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a safetensors file by name, in memory of their own, and its texts.

    Reading takes memory for twice the file, for 40 times its header (the names, shapes and texts at its beginning), and
    32 MB. A header has up to 100 MB, a name up to 1024 characters and 64 parts between dots, and a tensor up to 32
    axes. bfloat16 and the 8-bit floats need `ml_dtypes`, and have its dtypes.

    Args:
        path: One regular file, or a link to one.
        check: Called with the dtypes and shapes by name, and with the texts, before any tensor is read. A `FileError`
            that it raises comes out of `read`.
        argument: What errors call `path`.

    Raises:
        FileError: The file cannot be read, is truncated or corrupt, is not a safetensors file, or exceeds these bounds.
    """
    _ml_dtypes()  # imported here, so that the import does not depend on the file
    with blaming(path, argument=argument), naming_the_format(path):
        with open_file(path) as file:
            forms, texts, _ = _beginning(file)
            if check is not None:
                check(forms, {key: text for key, text in texts.items() if key not in (_FORMAT, _DIGEST)})
            size = os.fstat(file.fileno()).st_size
            file.seek(0)
            data = file.read(size)
            if len(data) != size or file.read(1):
                raise changed()
        try:
            tensors = safetensors.deserialize(data)
        except safetensors.SafetensorError as error:
            raise FileError("The file is truncated or corrupt, or is not a safetensors file.", got=str(error)) from None
        del data
        if forms != {
            name: Form(_DTYPES[t["dtype"]], tuple(t["shape"])) for name, t in tensors if t["dtype"] in _DTYPES
        }:
            raise changed()
        found = {name: tensor["data"] for name, tensor in sorted(tensors, key=lambda pair: pair[0])}
        del tensors
        arrays = {name: _array(name, forms[name], data) for name, data in found.items()}
        _check_digest(arrays, texts)
        for name in arrays:
            # One array after the other, so that no more than one of them is in memory twice more.
            arrays[name] = arrays[name].astype(_dtype(forms[name].dtype, name))
            del found[name]
    return arrays, texts


class Tensors(Mapping[str, Any]):
    """The arrays of a safetensors file by name, each read when it is asked for, as NumPy's, in memory of its own.

    The file stays open, and should not be changed. A digest of kfunc's is not checked, since that reads everything.

    Args:
        path: As for `read`.

    Attributes:
        forms: The dtype and the shape of each.

    Raises:
        FileError: As for `read`.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = path
        with blaming(path), naming_the_format(path):
            self._file, self._lock = open_file(path), threading.Lock()
            weakref.finalize(self, self._file.close)
            self._maps: dict[bool, mmap.mmap] = {}
            self._given: set[str] = set()  # the arrays that have pages in the mapping of those that are not passed
            self._passed = 0, 1  # where the array begins that was passed last, and its length
            self.forms, _, spans = _beginning(self._file)
            first = self._file.tell()
            self._spans = {name: (first + begin, end - begin) for name, (begin, end) in spans.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        begin, length = self._spans[name]
        form, data = self.forms[name], memory(length)
        with blaming(self.path):
            self._fill(data, begin)
            array = _array(name, form, data)
        return array.astype(_dtype(form.dtype, name), copy=False)

    def mapped(self, name: str, passing: bool = False) -> np.ndarray:
        """A large array as a view of the file, whose pages are read when they are first used; a small one as it is.

        What is written into the array does not go into the file, nor into an array that is asked for later. A program
        that writes into the file itself, in place of putting another one there, changes the array, or ends this process
        if it makes the file shorter.

        Args:
            name: The name of the tensor.
            passing: Whether the caller only reads the array, and soon is done with it: its pages leave the memory when
                the next one is asked for in this way.
        """
        begin, length = self._spans[name]
        if length < _MAPPED or os.name == "nt":  # Windows does not let anybody replace a file that is mapped
            return self[name]
        with blaming(self.path), self._lock:
            if not passing and name in self._given:  # somebody may have written into these pages
                del self._maps[False]
                self._given.clear()
            if not passing:
                self._given.add(name)
            if passing not in self._maps:
                self._maps[passing] = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_COPY)
            data = self._maps[passing]
            if len(data) < begin + length:
                raise changed()
            if passing and hasattr(data, "madvise"):
                self._release()
                start = begin - begin % mmap.PAGESIZE
                self._passed = start, begin + length - start
        form = self.forms[name]
        array = _array(name, form, memoryview(data)[begin : begin + length])
        return array if array.flags.aligned and array.dtype.isnative else self[name]

    def release(self) -> None:
        """Let the pages of the array that was passed last leave the memory, until it is used again."""
        with self._lock:
            self._release()

    def _release(self) -> None:
        if True in self._maps and hasattr(mmap, "MADV_DONTNEED"):
            self._maps[True].madvise(mmap.MADV_DONTNEED, *self._passed)

    def _fill(self, data: memoryview, begin: int) -> None:
        if not hasattr(os, "preadv"):
            with self._lock:
                self._file.seek(begin)
                if self._file.readinto(data) != len(data):  # type: ignore[attr-defined]
                    raise changed()
            return
        # The place in the file is given with each call: forked processes share that of the handle.
        rest = data
        while rest:
            count = os.preadv(self._file.fileno(), [rest], begin)
            if not count:
                raise changed()
            rest, begin = rest[count:], begin + count

    def __iter__(self) -> Iterator[str]:
        return iter(self.forms)

    def __len__(self) -> int:
        return len(self.forms)


def header(path: str | os.PathLike[str]) -> str:
    """The beginning of a safetensors file, which describes its tensors, as the file has it."""
    with blaming(path), open_file(path) as file:
        _beginning(file)
        end = file.tell()
        file.seek(8)
        return file.read(end - 8).decode()


def forms(header: bytes) -> list[tuple[str, Form]]:
    """The dtypes and shapes that the beginning of a safetensors file describes, in the order of the tensors' bytes.

    Raises:
        FileError: It is malformed.
    """
    ends = [entry["data_offsets"][1] for name, entry in decoded(header).items() if name != "__metadata__"]
    found, _, spans = _header(header, max(ends, default=0))
    return [(name, found[name]) for name in sorted(spans, key=spans.__getitem__)]


def exactly(array: np.ndarray, dtype: str) -> Any:
    """The bytes of an array in the dtype of this name, or None if it does not hold these values."""
    import numpy as np

    other = array.astype(_dtype(dtype, dtype))
    same = array.dtype == other.dtype or np.array_equal(other.astype(array.dtype), array, equal_nan=True)
    return _bytes(_storable(dtype, other)) if same else None


def _beginning(file: BinaryIO) -> tuple[dict[str, Form], dict[str, str], dict[str, tuple[int, int]]]:
    """The content of the header of an open file, see `_header`. The next read begins where the header ends.

    Raises:
        FileError: The file is not a safetensors file, or as for `_header`.
    """
    size = os.fstat(file.fileno()).st_size
    start = file.read(8)
    # Checked first: a file of another format would say that its header has gigabytes.
    if (length := int.from_bytes(start, "little")) > _HEADER_LIMIT:
        raise FileError(
            "The file is not a safetensors file.",
            expected=f"a header of up to {_HEADER_LIMIT} bytes",
            got=f"{length} bytes",
        )
    if len(start) < 8 or length > size - 8:
        raise FileError(
            "The file is truncated or corrupt, or is not a safetensors file: its header is not complete.",
            expected=f"{length + 8} bytes or more",
            got=f"{size} bytes",
        )
    return _header(file.read(length), size - 8 - length)


def _header(data: bytes, body: int) -> tuple[dict[str, Form], dict[str, str], dict[str, tuple[int, int]]]:
    """The forms of the tensors, the texts, and where tensors begin and end after it, for a file with `body` more bytes.

    Raises:
        FileError: The header is malformed, describes another number of bytes, or is too large.
    """
    # JSON takes up to 40 times its length in memory when it is decoded, with all that is made of it here and in `read`:
    # lists, dicts, texts and entries of tensors, each as short as can be, were measured at 24 to 36 times.
    if len(data) > _HEADER_LIMIT:
        raise FileError(
            "The file's header is too large.",
            expected=f"up to {_HEADER_LIMIT} bytes",
            got=f"{len(data)} bytes",
            fix="store the tensors in several files",
        )
    if data[:1].isspace():  # JSON allows blanks there, but the format wants a brace
        raise _corrupt("blanks stand before it", data[:20])
    header = decoded(data)
    if not isinstance(header, dict):
        raise _corrupt("it is not a JSON object", header)
    texts = header.pop("__metadata__", None) or {}
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise _corrupt("its metadata are not all texts", texts)
    spans = {name: _span(name, entry) for name, entry in header.items()}
    at = 0
    for name, (begin, end) in sorted(spans.items(), key=lambda item: item[1]):
        if begin != at:
            raise _corrupt("tensors overlap, or leave a gap", name)
        at = end
    if at != body:
        raise FileError(
            "The file is truncated or corrupt, or is not a safetensors file: the tensors do not fill it.",
            expected=f"{at} bytes after the header",
            got=f"{body} bytes",
        )
    forms = {name: Form(_DTYPES[entry["dtype"]], tuple(entry["shape"])) for name, entry in header.items()}
    return forms, texts, spans


def _span(name: str, entry: Any) -> tuple[int, int]:
    """Where a tensor begins and ends.

    Raises:
        FileError: Something in the tensor's entry of the header is not as it should be.
    """
    if len(name) > _NAME or name.count(".") >= _DEPTH:
        raise FileError(
            "The name of a tensor is too long.",
            expected=f"up to {_NAME} characters, and up to {_DEPTH} parts between dots",
            got=shown(name),
        )
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _corrupt(f"tensor {name!r} does not have exactly a dtype, a shape and data_offsets", entry)
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in _DTYPES:
        raise FileError("The file has a dtype that kfunc does not know.", got=f"{repr(code)[:99]} of tensor {name!r}")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise _corrupt(f"tensor {name!r} has a shape or offsets that are not natural numbers", entry)
    size = _dtype(_DTYPES[code], name).itemsize
    # NumPy counts the elements as if no axis were empty.
    if len(shape) > RANK or size * math.prod(max(n, 1) for n in shape) >= 2**63:
        raise FileError(
            "The file has a tensor with too many axes, or too many elements, for NumPy.",
            expected=f"up to {RANK} axes",
            got=f"tensor {name!r}",
        )
    begin, end = offsets
    if end - begin != size * math.prod(shape):
        raise _corrupt(f"tensor {name!r} has an invalid shape or offset", entry)
    return begin, end


def _are_sizes(x: Any) -> bool:
    return isinstance(x, list) and all(type(n) is int and 0 <= n < 2**63 for n in x)


def changed() -> FileError:
    """The error for a file that another program has changed."""
    return FileError("The file changed while it was read.", fix="read it again")


def _corrupt(what: str, got: Any) -> FileError:
    return FileError(f"The header is corrupt: {what}.", got=repr(got)[:200])


def is_storable(array: np.ndarray) -> bool:
    """Whether the format has the array's dtype."""
    return array.dtype.name in _DTYPES.values()


def _storable(name: str, array: Any) -> np.ndarray:
    """`array` in C order; the library takes that order for granted, and would write others wrongly."""
    import numpy as np

    array = np.asarray(array, order="C")
    if array.dtype.name not in _DTYPES.values():
        raise ArgumentError(
            f"The array {shown(name)} has the dtype {array.dtype.name}, which the safetensors format does not have.",
            argument="arrays",
            expected=f"one of {', '.join(_DTYPES.values())}",
            got=array.dtype.name,
            fix="convert the array first",
        )
    return array


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise FileError("The file is corrupt: it has a name twice.", got=repr(twice)[:200])
    return out


def memory(length: int) -> memoryview:
    """New memory of so many bytes, which begins where JAX and TensorFlow need no copy of it."""
    import numpy as np

    if length >= _PAGES:
        pages = mmap.mmap(-1, length, **_PRIVATE)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with contextlib.suppress(OSError):  # a kernel may have none
                pages.madvise(mmap.MADV_HUGEPAGE)
        return memoryview(pages)
    whole = np.empty(length + 63, "uint8")
    begin = -whole.ctypes.data % 64
    return memoryview(whole[begin : begin + length])  # type: ignore[arg-type]


def _array(name: str, form: Form, data: bytearray | memoryview) -> np.ndarray:
    """The tensor in `data`, without a copy; little-endian."""
    import numpy as np

    array = np.frombuffer(data, _dtype(form.dtype, name).newbyteorder("<")).reshape(form.shape)
    if array.dtype.kind == "b" and array.size and array.view("uint8").max() > 1:
        raise FileError("The file is corrupt: a bool is neither 0 nor 1.", got=f"tensor {name!r}")
    return array


@functools.cache
def _ml_dtypes() -> Any:
    try:
        import ml_dtypes
    except ModuleNotFoundError:
        return None
    return ml_dtypes


def numpy_dtype(name: str) -> np.dtype | None:
    """The dtype of this name; None if it is one of `ml_dtypes`, which is not installed."""
    import numpy as np

    try:
        return np.dtype(name)
    except TypeError:
        return None if _ml_dtypes() is None else np.dtype(getattr(_ml_dtypes(), name))


def _dtype(dtype: str, name: str) -> np.dtype:
    found = numpy_dtype(dtype)
    if found is None:
        raise FileError(
            f"The file has a tensor of the dtype {dtype}, which NumPy alone does not have.",
            got=f"tensor {name!r}",
            fix="pip install ml-dtypes",
        )
    return found


def _digest(arrays: Mapping[str, np.ndarray], texts: Mapping[str, str]) -> str:
    """SHA-256 of all that a file holds: texts, names, dtypes, shapes and the tensors' bytes, in the order of names."""
    tensors = sorted(arrays.items())
    form = [sorted(texts.items()), [(name, a.dtype.name, a.shape) for name, a in tensors]]
    sha = hashlib.sha256()
    for text in json.JSONEncoder().iterencode(form):  # in pieces: the whole text would take the file's memory again
        for start in range(0, len(text), 2**16):
            sha.update(text[start : start + 2**16].encode())
    for _, array in tensors:
        sha.update(_bytes(array))
    return sha.hexdigest()


def _check_digest(arrays: Mapping[str, np.ndarray], texts: dict[str, str]) -> None:
    """Take kfunc's own texts out of `texts`, and check the digest if there is one of them.

    Raises:
        FileError: The contents are not those that were written, or a newer version wrote them.
    """
    if not any(key.startswith("kfunc") for key in texts):
        return
    digest, version = texts.pop(_DIGEST, ""), texts.get(_FORMAT, "")
    if version not in ("", "1"):
        newer = version.isascii() and version.isdecimal() and len(version) < 9 and int(version) > 1
        problem = "was written by a newer kfunc" if newer else "is corrupt: kfunc has never had a format of that name"
        fix = "update kfunc" if newer else "take another copy"
        raise FileError(f"The file {problem}.", expected="format 1", got=shown(version), fix=fix)
    if _digest(arrays, texts) != digest or not version:
        raise FileError(
            "The file is corrupt: its contents are not those that were written.",
            fix="take another copy; if a tool changed the file on purpose, remove the metadata that begin with kfunc",
        )
    del texts[_FORMAT]


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """A regular file, open for reading. Pipes, devices and folders are a FileError."""
    # Checked before and after: opening a device can have effects, and in between somebody can replace the file by a
    # pipe. Without O_NONBLOCK, opening a pipe would wait for ever.
    _regular(os.stat(path))
    flags = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
    file = open(path, "rb", opener=lambda name, mode: os.open(name, mode | flags))  # noqa: SIM115
    try:
        _regular(os.fstat(file.fileno()))
    except BaseException:
        file.close()
        raise
    return file


def _regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise FileError("The path leads to a directory, a device or a pipe, and not to a regular file.")


def replace_file(path: str, parts: list[Any]) -> None:
    """Make these bytes the content of `path`, in one step."""
    directory, name = os.path.split(path)
    mode = None
    if os.path.lexists(path):
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            raise FileError("A directory, a device or a pipe stands there, and not a regular file.")
    with contextlib.suppress(OSError):  # a directory may allow to write in it, but not to look
        sweep(directory, re.escape(_short(name)))
    with _temporary(directory, name) as (temporary, handle):
        with open(handle, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, stat.S_IMODE(mode))
        os.replace(temporary, path)
    sync_directory(directory)


@contextlib.contextmanager
def _temporary(directory: str, name: str) -> Iterator[tuple[str, int]]:
    """The path and the handle of a new file, which is removed if anything goes wrong.

    The file is locked until the end, even when the handle has been closed: from the lock, `sweep` sees that the process
    that writes it is alive.
    """
    # Not the module tempfile: its files can be read by the owner alone, and the umask should decide.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        path = os.path.join(directory, f".{_short(name)}.{os.urandom(8).hex()}.kfunc-tmp")
        with contextlib.ExitStack() as held:
            try:
                handle = os.open(path, flags, 0o666)
                if os.name != "nt":  # Windows refuses to remove an open file anyway, and to rename one
                    held.callback(os.close, second := os.dup(handle))
                    with contextlib.suppress(OSError):  # some file systems have no locks
                        _lock(second)
                if not os.path.lexists(path):  # another process swept it before it was locked
                    os.close(handle)
                    continue
                yield path, handle
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(path)
                raise
            return


def _short(name: str) -> str:
    """The name of a file, short enough for some more characters: file systems allow 255 bytes."""
    known = os.fsencode(name)
    return name if len(known) <= 200 else f"{name[:40]}.{hashlib.sha256(known).hexdigest()[:16]}"


def sweep(directory: str, names: str = ".+") -> None:
    """Remove the temporary files of files in `directory` that no process has locked: their writers were killed.

    Args:
        directory: Where they lie.
        names: A regular expression for the names of the files that were to be written.
    """
    pattern = re.compile(rf"\.({names})\.[0-9a-f]{{16}}\.kfunc-tmp")
    for name in os.listdir(directory):
        if not pattern.fullmatch(name):
            continue
        path = os.path.join(directory, name)
        with contextlib.suppress(OSError):  # another process has locked or removed it
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
            try:
                _lock(handle, wait=False)
                os.unlink(path)
            finally:
                os.close(handle)


@contextlib.contextmanager
def new_directory(directory: str) -> Iterator[str]:
    """The path of a new hidden directory in `directory`, for files that are moved away before the end.

    It is removed at the end. Those of writers that were killed are removed, too: as with `sweep`, a lock says whether
    its writer is alive.
    """
    if os.name != "nt":  # Windows has no handles of directories, so nobody could see that a writer is alive
        for name in os.listdir(directory):
            if _HIDDEN.fullmatch(name):
                with contextlib.suppress(OSError):  # another process has locked or removed it
                    _remove(os.path.join(directory, name), locked=False)
    while True:
        path = os.path.join(directory, f".kfunc-{os.urandom(8).hex()}")
        os.mkdir(path)
        with contextlib.ExitStack() as stack:
            # Another process may remove the directory before it is locked.
            with contextlib.suppress(FileNotFoundError):
                stack.enter_context(_held(path))
            if not os.path.isdir(path):
                continue
            try:
                yield path
                return
            finally:
                with contextlib.suppress(OSError):
                    _remove(path)


_HIDDEN = re.compile(r"\.kfunc-[0-9a-z_]{8,16}")


@contextlib.contextmanager
def _held(path: str, wait: bool = True) -> Iterator[None]:
    """Lock a directory; see `_lock`."""
    if os.name == "nt":
        yield
        return
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if wait:
            with contextlib.suppress(OSError):  # some file systems have no locks
                _lock(handle)
        else:
            _lock(handle, wait=False)
        yield
    finally:
        os.close(handle)


def _remove(path: str, locked: bool = True) -> None:
    """Remove a directory of files; a lock of another process is respected unless this one has it."""
    with contextlib.nullcontext() if locked else _held(path, wait=False):
        for name in os.listdir(path):
            os.unlink(os.path.join(path, name))
        os.rmdir(path)


def _lock(handle: int, wait: bool = True) -> None:
    """Lock a file.

    Raises:
        OSError: Another process has locked it, and `wait` is false; or the file system has no locks.
    """
    if os.name != "nt":
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def make_directory(directory: str) -> None:
    """Make a directory, and those above it that are missing, and wait until the disk has them."""
    missing, at = [], os.path.abspath(directory)
    while not os.path.isdir(at):
        missing.append(at)
        at = os.path.dirname(at)
    for path in reversed(missing):
        try:
            os.mkdir(path)
        except FileExistsError:
            if not os.path.isdir(path):  # otherwise another process has made it just now
                raise
        sync_directory(os.path.dirname(os.path.realpath(path)))


def sync_directory(directory: str) -> None:
    """Wait until the disk has what was made, renamed or removed in `directory`."""
    if os.name == "nt":  # Windows has no handles of directories
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # what file systems answer that cannot do it
            raise
    finally:
        os.close(handle)


# Files of other formats, by their suffixes: the format's name, and how to come from it to kfunc.
_KERAS = "Keras", "load it with kf.interop.keras.load, or its weights with kf.interop.keras.load_weights"
_TORCH = "PyTorch", "load it with torch.load, and save its tensors by safetensors.torch.save_file; kf.load reads that"
_NUMPY = "NumPy", "load it with np.load, and save its arrays by kf.save"
_SAVE = "load it with the program that wrote it, and save its arrays by kf.save"
_OTHERS = {
    **dict.fromkeys((".keras", ".h5", ".hdf5"), _KERAS),
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt"), _TORCH),
    **dict.fromkeys((".npz", ".npy"), _NUMPY),
    **dict.fromkeys((".pb", ".tflite"), ("TensorFlow", _SAVE)),
    **dict.fromkeys((".pkl", ".pickle"), ("pickle", _SAVE)),
    ".onnx": ("ONNX", _SAVE),
}


def safetensors_path(argument: str, path: str | os.PathLike[str]) -> str:
    """`path` as a string, for a file to write. Errors call it by the name `argument`.

    Raises:
        ArgumentError: `path` has the suffix of another format: the file would not be what its name says.
    """
    name = os.fsdecode(path)
    stem, suffix = os.path.splitext(name)
    if suffix.lower() in _OTHERS:
        fix = f"write {stem.removesuffix('.weights')}.safetensors"
        raise ArgumentError.must_be(argument, "a path that ends in .safetensors", name, fix=fix)
    return name


@contextlib.contextmanager
def naming_the_format(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say in a `FileError` about the contents of a file which format it has, if its suffix is that of another one."""
    try:
        yield
    except FileError as error:
        suffix = os.path.splitext(os.fsdecode(path))[1].lower()
        if suffix not in _OTHERS:
            raise
        name, fix = _OTHERS[suffix]
        where = "which is read by kf.interop.keras" if name == "Keras" else "which kfunc does not read"
        raise FileError(
            f"Files that end in {suffix} are in the format of {name}, {where}.",
            expected="a safetensors file",
            got=error.problem,
            fix=fix,
        ) from error


@contextlib.contextmanager
def blaming(path: str | os.PathLike[str], done: str = "read", argument: str = "path") -> Iterator[None]:
    """Name the file in every `FileError`, and turn the operating system's errors into such errors.

    Raises:
        ArgumentError: `path` is not a path.
    """
    try:
        name = os.fsdecode(path)
        good = "\0" not in name
    except TypeError:
        good = False
    if not good:
        raise ArgumentError.must_be(argument, "a path (a string or a pathlib.Path)", path)
    try:
        yield
    except FileError as error:
        if not error.problem.startswith(name):  # a file in the folder `path` is named already
            error.problem = f"{name}: {error.problem}"
            error.args = (error.problem,)
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise FileError(f"{name} could not be {done}: {reason}.") from error
    except MemoryError as error:
        raise FileError(f"{name} could not be {done}: there is not enough memory.") from error
