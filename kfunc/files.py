"""Trees of arrays in one safetensors file: `save` and `load`, and the layer below them, `write` and `read`.

A file is data: tensors by name, and texts. Nothing in it is executed, imported or opened. Hugging Face's library
(https://huggingface.co/docs/safetensors) encodes, decodes and checks the format. Here stands what it does without:
trees, a digest, no name twice, bfloat16 as what it is, files that are replaced completely or not at all, and a look at
the header before anything else is read, so that a hostile file costs no more than its size and 32 MB.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import safetensors

from .arrays import to_backend, to_numpy
from .backends import Backend, get, kind_of
from .errors import ArgumentError, FileError

if TYPE_CHECKING:
    # NumPy takes longer to import than kfunc, and only those who use it need wait.
    import numpy as np

__all__ = ["flatten", "load", "read", "save", "structure", "unflatten", "write"]

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
_HEADER_LIMIT = 100_000_000  # bytes; what readers of the format accept
_HEADER_MEMORY = 28_000_000  # bytes; what reading a header may take
RANK = 32  # axes; what every NumPy has
_NAME = 1024  # characters
_DEPTH = 64  # names in a tensor's path, and containers in each other
_DICTS = 16384  # in the tree that names alone make
_FORMAT, _DIGEST, _TREE = "kfunc.format", "kfunc.sha256", "kfunc.tree"
_ROOT = "array"

# -- trees -----------------------------------------------------------------------------------------------------------


def save(tree: Any, path: str | os.PathLike, metadata: Mapping[str, str] | None = None) -> None:
    """Write a tree of arrays to one `.safetensors` file, completely or not at all.

    Args:
        tree: Arrays of any backend in nested dicts, lists, tuples and named tuples; None and Python numbers and strings
            may stand beside them. Dict keys are strings without a dot. A tensor is named by its path: `dense.kernel`.
        path: The file. An old one is replaced in one step, and only when the new one is on the disk.
        metadata: Texts to keep with it; `read` gives them back.

    Raises:
        ArgumentError: The tree holds something that cannot be stored.
        FileError: It could not be written. What was at `path` before still is.
    """
    texts = dict(metadata or {})
    for key in texts:
        if str(key).startswith("kfunc."):
            raise ArgumentError("Metadata keys that begin with kfunc. are kfunc's own.", argument="metadata", got=key)
    arrays: dict[str, Any] = {}
    shape = _describe(tree, arrays)
    if not _is_plain(shape):
        texts[_TREE] = json.dumps(shape, separators=(",", ":"))
    write(path, {name: to_numpy(array) for name, array in arrays.items()}, texts)


def load(path: str | os.PathLike, backend: str | Backend = "numpy") -> Any:
    """The tree in a `.safetensors` file, as arrays of `backend`.

    What `save` wrote comes back as it was, except that named tuples come back as tuples, every kind of dict as a dict
    with sorted keys, and NumPy scalars as 0-d arrays. A file from elsewhere comes back as nested dicts: the tensor
    `encoder.0.weight` is `["encoder"]["0"]["weight"]`. Containers may lie 64 deep in each other.

    Raises:
        FileError: It cannot be read, is truncated or corrupt, or is no safetensors file; see `read`.
        BackendNotInstalledError, UnknownBackendError: There is no such backend here.
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
    """The form of `tree` as JSON, from which `unflatten` builds it again: everything but the arrays' values."""
    return json.dumps(_describe(tree, {}), separators=(",", ":"))


def unflatten(arrays: Mapping[str, Any], structure: str | None = None) -> Any:
    """The tree whose arrays are named `arrays`: of the form `structure`, or else nested dicts.

    Raises:
        FileError: The names are not those of that form, one name goes through another (`a` and `a.b`), or they make
            more than 16384 dicts.
    """
    if structure is not None:
        return _rebuild(arrays, structure)
    tree: dict[str, Any] = {}
    dicts = 0
    for name, array in sorted(arrays.items()):
        *parents, last = name.split(".")
        node: Any = tree
        for part in parents:
            dicts += part not in node
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                break
        if dicts > _DICTS:
            raise FileError("The tensors' names make too large a tree.", expected=f"up to {_DICTS} dicts", got="more")
        if not isinstance(node, dict) or last in node:
            raise FileError(
                "One tensor's name is the beginning of another's, so they make no tree.",
                got=repr(name),
                fix="kf.files.read gives the tensors by their names",
            )
        node[last] = array
    return tree


# The form of a tree, in JSON: a dict is an object; [kind, ...] is an array, list, tuple or named tuple; the rest is
# itself.


def _describe(tree: Any, arrays: dict[str, Any]) -> Any:
    try:
        return _describe_node(tree, (), arrays)
    except RecursionError:
        raise ArgumentError(
            "The tree is nested too deeply, or contains itself.", argument="tree", expected=f"up to {_DEPTH} levels"
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
        "The tree holds something that cannot be stored.",
        path="/".join(path) or None,
        argument="tree",
        expected="arrays, in dicts, lists and tuples",
        got=type(node).__name__,
        fix="store its arrays, or leave it out",
    )


def _check_key(key: Any, path: tuple[str, ...]) -> None:
    if not isinstance(key, str) or not key or "." in key or (not path and key == "__metadata__"):
        raise ArgumentError(
            "A dict key cannot be part of a tensor's name.",
            path="/".join(path) or None,
            argument="tree",
            expected="a string that is not empty and has no dot (names are paths joined by dots)",
            got=repr(key),
            fix="rename the key",
        )


def _is_plain(shape: Any, root: bool = True) -> bool:
    """Whether nested dicts, without an empty one, are all there is to a form, so that the names alone give it."""
    if isinstance(shape, dict):
        return (root or bool(shape)) and all(_is_plain(child, False) for child in shape.values())
    return shape == ["array"] and not root


def _rebuild(arrays: Mapping[str, Any], structure: str) -> Any:
    taken = set()

    def node(shape: Any, path: tuple[str, ...]) -> Any:
        if len(path) > _DEPTH:
            raise ValueError(f"something more than {_DEPTH} containers deep")
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
        raise FileError("The tensors are not those of the tree that the file describes.", got=str(error)) from error
    if taken != set(arrays):
        raise FileError(
            "The tensors are not those of the tree that the file describes.",
            expected=", ".join(sorted(taken)[:9]),
            got=", ".join(sorted(set(arrays) - taken)[:9]),
        )
    return tree


def decoded(text: str | bytes) -> Any:
    """What the JSON in a file says.

    Raises:
        FileError: It is no JSON, has a key twice, is nested without end, or has a number without end.
    """
    try:
        # JSON in bytes could be in other encodings, which no reader of the format takes.
        return json.loads(text if isinstance(text, str) else str(text, "utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise FileError("The file is corrupt, or no safetensors file: this is no JSON.", got=str(error)[:200]) from None


# -- files -----------------------------------------------------------------------------------------------------------


class Form(NamedTuple):
    """What a header says of a tensor: the name of its dtype, and its shape."""

    dtype: str
    shape: tuple[int, ...]


def write(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write NumPy arrays by name, and texts, to one safetensors file, completely or not at all.

    The bytes go to a temporary file in the same directory, to the disk, and then to `path` in one step. A link is
    followed; the permissions of a file that is replaced are kept.

    Raises:
        ArgumentError: A dtype has no code in the format, or a name or text is none.
        FileError: It could not be written. What was at `path` before still is.
    """
    import safetensors.numpy

    texts = {**(metadata or {}), _FORMAT: "1"}
    for text in (*arrays, *(metadata or {}), *texts.values()):
        if not isinstance(text, str) or text in ("__metadata__", _FORMAT, _DIGEST):
            raise ArgumentError("This cannot be a name or text in a file.", expected="a string", got=repr(text))
    arrays = {name: _storable(name, array) for name, array in arrays.items()}
    texts[_DIGEST] = _digest(arrays, texts)
    try:
        data = safetensors.numpy.save(arrays, texts)
    except UnicodeEncodeError as error:
        raise ArgumentError("A name or text is not valid Unicode.", got=ascii(error.object)[:99]) from None
    length = int.from_bytes(data[:8], "little")
    try:  # what nobody could read
        _header(data[8 : 8 + length], len(data) - 8 - length)
    except FileError as error:
        raise ArgumentError(
            "Names and texts are too long, or too many.", expected=error.expected, got=error.got, fix=error.fix
        ) from None
    path = os.path.realpath(path)
    with blaming(path, "written"):
        _replace(path, data)


def read(
    path: str | os.PathLike, check: Callable[[Mapping[str, Form], Mapping[str, str]], Any] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a safetensors file by name, in memory of their own, and its texts.

    Takes memory for twice the file and at most 32 MB. So that this holds for any file, the header has bounds: it
    may name about 10,000 tensors, or hold 28 MB of ASCII text. A name has up to 1024 characters and 64 parts between
    dots, and a tensor up to 32 axes. bfloat16 and the 8-bit floats need `ml_dtypes`, and have its dtypes.

    Args:
        path: One regular file, or a link to one.
        check: Called with the dtypes and shapes by name and the texts before any tensor is read; a `FileError` of its
            own is that of `read`.

    Raises:
        FileError: It cannot be read, is truncated or corrupt, is no safetensors file, or is out of these bounds.
    """
    _ml_dtypes()  # here, where it does not depend on what the file says
    with blaming(path):
        with _open(path) as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(8)
            # Before gigabytes of something else are read.
            if (length := int.from_bytes(start, "little")) > _HEADER_LIMIT:
                raise FileError("This is no safetensors file.", expected="the length of its header", got=length)
            if len(start) < 8 or length > size - 8:
                raise FileError(
                    "The file is truncated or corrupt, or is no safetensors file: its header is not all there.",
                    expected=f"{length + 8} bytes or more",
                    got=f"{size} bytes",
                )
            forms, texts = _header(file.read(length), size - 8 - length)
            if check is not None:
                check(forms, {key: text for key, text in texts.items() if key not in (_FORMAT, _DIGEST)})
            file.seek(0)
            data = file.read(size)
            if len(data) != size or file.read(1):
                raise _changed()
        try:
            tensors = safetensors.deserialize(data)
        except safetensors.SafetensorError as error:
            raise FileError("The file is truncated or corrupt, or is no safetensors file.", got=str(error)) from None
        del data
        if forms != {
            name: Form(_DTYPES[t["dtype"]], tuple(t["shape"])) for name, t in tensors if t["dtype"] in _DTYPES
        }:
            raise _changed()
        found = {name: tensor["data"] for name, tensor in sorted(tensors, key=lambda pair: pair[0])}
        del tensors
        arrays = {name: _array(name, forms[name], data) for name, data in found.items()}
        _check_digest(arrays, texts)
        for name in arrays:
            # One after the other, so that there are never more than two of all.
            arrays[name] = arrays[name].astype(_dtype(forms[name].dtype, name))
            del found[name]
    return arrays, texts


def _header(data: bytes, body: int) -> tuple[dict[str, Form], dict[str, str]]:
    """The tensors' forms and the texts that a header holds, for a file with `body` bytes after it.

    Raises:
        FileError: It is no header, is not one for so many bytes, or says more than fits in memory.
    """
    # Before there are objects: each is next to one of these, and takes about 200 bytes. A text beyond ASCII takes up to
    # four bytes a character, twice while it is decoded.
    marks = sum(data.count(mark) for mark in b"{[,:")
    if len(data) > _HEADER_LIMIT or (1 if data.isascii() else 8) * len(data) + 200 * marks > _HEADER_MEMORY:
        raise FileError(
            "The file's header is too large.",
            expected="some thousand tensors, and some megabytes of text",
            got=f"{len(data)} bytes, with {marks} values",
            fix="store the tensors in several files",
        )
    header = decoded(data)
    if not isinstance(header, dict):
        raise _corrupt("it is no object", header)
    texts = header.pop("__metadata__", None) or {}
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise _corrupt("its metadata are no texts", texts)
    spans = {name: _span(name, entry) for name, entry in header.items()}
    at = 0
    for name, (begin, end) in sorted(spans.items(), key=lambda item: item[1]):
        if begin != at:
            raise _corrupt("tensors overlap, or leave a gap", name)
        at = end
    if at != body:
        raise FileError(
            "The file is truncated or corrupt, or is no safetensors file: the tensors do not fill it.",
            expected=f"{at} bytes after the header",
            got=f"{body} bytes",
        )
    return {name: Form(_DTYPES[entry["dtype"]], tuple(entry["shape"])) for name, entry in header.items()}, texts


def _span(name: str, entry: Any) -> tuple[int, int]:
    """Where a tensor begins and ends, for an entry of the header in which all is as it should be."""
    if len(name) > _NAME or name.count(".") >= _DEPTH:
        raise _corrupt(f"a name has more than {_NAME} characters, or is a path of more than {_DEPTH}", name)
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _corrupt(f"tensor {name!r} has not just a dtype, a shape and data_offsets", entry)
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in _DTYPES:
        raise FileError("The file has a dtype that kfunc does not know.", got=f"{repr(code)[:99]} of tensor {name!r}")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise _corrupt(f"tensor {name!r} has a shape or offsets that are none", entry)
    size = _dtype(_DTYPES[code], name).itemsize
    # NumPy counts the elements as if no axis were empty.
    if len(shape) > RANK or size * math.prod(max(n, 1) for n in shape) >= 2**63:
        raise FileError("NumPy has no such shape.", expected=f"up to {RANK} axes", got=f"tensor {name!r}")
    begin, end = offsets
    if end - begin != size * math.prod(shape):
        raise _corrupt(f"tensor {name!r} has an invalid shape or offset", entry)
    return begin, end


def _are_sizes(x: Any) -> bool:
    return isinstance(x, list) and all(type(n) is int and 0 <= n < 2**63 for n in x)


def _changed() -> FileError:
    return FileError("The file changed while it was read.", fix="read it again")


def _corrupt(what: str, got: Any) -> FileError:
    return FileError(f"The header is corrupt: {what}.", got=repr(got)[:200])


def _storable(name: str, array: Any) -> np.ndarray:
    """`array` in C order, which the library takes for granted."""
    import numpy as np

    array = np.asarray(array, order="C")
    if array.dtype.name not in _DTYPES.values():
        raise ArgumentError(
            "The safetensors format has no such dtype.",
            path=name,
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
        raise FileError("The file is corrupt: a name is there twice.", got=repr(twice)[:200])
    return out


def _array(name: str, form: Form, data: bytearray) -> np.ndarray:
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


def _dtype(dtype: str, name: str) -> np.dtype:
    import numpy as np

    try:
        return np.dtype(dtype)
    except TypeError:
        pass
    if _ml_dtypes() is None:
        raise FileError(f"NumPy alone has no {dtype}.", got=f"tensor {name!r}", fix="pip install ml-dtypes")
    return np.dtype(getattr(_ml_dtypes(), dtype))


def _digest(arrays: Mapping[str, np.ndarray], texts: Mapping[str, str]) -> str:
    """SHA-256 of all that a file says: texts, names, dtypes, shapes and the tensors' bytes, in the order of names."""
    tensors = sorted(arrays.items())
    form = [sorted(texts.items()), [(name, a.dtype.name, a.shape) for name, a in tensors]]
    sha = hashlib.sha256()
    for text in json.JSONEncoder().iterencode(form):  # all at once, it takes the memory of the file once more
        for start in range(0, len(text), 2**16):
            sha.update(text[start : start + 2**16].encode())
    for _, array in tensors:
        sha.update(array.astype(array.dtype.newbyteorder("<"), copy=False).reshape(-1).view("uint8").data)
    return sha.hexdigest()


def _check_digest(arrays: Mapping[str, np.ndarray], texts: dict[str, str]) -> None:
    """Take kfunc's own texts out of `texts`; a file that has one of them must say what was written."""
    if not any(key.startswith("kfunc") for key in texts):
        return
    digest, version = texts.pop(_DIGEST, ""), texts.get(_FORMAT, "")
    if version not in ("", "1"):
        raise FileError("The file was written by a newer kfunc.", expected="format 1", got=version, fix="update kfunc")
    if _digest(arrays, texts) != digest or not version:
        raise FileError(
            "The file is corrupt: its contents are not those that were written.",
            fix="take another copy; if a tool changed it on purpose, remove the metadata that begin with kfunc",
        )
    del texts[_FORMAT]


def _open(path: str | os.PathLike) -> BinaryIO:
    # Opening a device can do things. What was a file a moment ago may be a pipe now; opening that would wait.
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
        raise FileError("This is no regular file.")


def _replace(path: str, data: bytes) -> None:
    """Make `data` the content of `path`, in one step."""
    directory, name = os.path.split(path)
    mode = None
    if os.path.lexists(path):
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            raise FileError("There is something else than a regular file.")
    with _temporary(directory, name) as (temporary, handle):
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, stat.S_IMODE(mode))
        os.replace(temporary, path)
    sync_directory(directory)


@contextlib.contextmanager
def _temporary(directory: str, name: str) -> Iterator[tuple[str, int]]:
    """The path and the handle of a new file, which goes if anything goes wrong.

    It is locked until the end, also when the handle has been closed, for `sweep` to see that its writer lives.
    """
    # The permissions that a new file gets here; tempfile's would be the owner's alone.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        path = os.path.join(directory, f".{name[:99]}.{os.urandom(8).hex()}.tmp")
        with contextlib.ExitStack() as held:
            try:
                handle = os.open(path, flags, 0o666)
                if os.name != "nt":  # Windows refuses to remove an open file anyhow, and to rename one
                    held.callback(os.close, second := os.dup(handle))
                    with contextlib.suppress(OSError):  # file systems that cannot do it say so
                        _lock(second)
                if not os.path.lexists(path):  # swept before it was locked
                    os.close(handle)
                    continue
                yield path, handle
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(path)
                raise
            return


def sweep(directory: str) -> None:
    """Remove what writers that were killed have left in `directory`: temporary files that no process has locked."""
    for name in os.listdir(directory):
        if not re.fullmatch(r"\..+\.[0-9a-f]{16}\.tmp", name):
            continue
        path = os.path.join(directory, name)
        with contextlib.suppress(OSError):  # it is another's, or gone
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
            try:
                _lock(handle, wait=False)
                os.unlink(path)
            finally:
                os.close(handle)


def _lock(handle: int, wait: bool = True) -> None:
    """Lock a file.

    Raises:
        OSError: Another has, and this does not wait; or the file system knows no locks.
    """
    if os.name != "nt":
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def sync_directory(directory: str) -> None:
    """Have what was made, renamed or removed in `directory` on the disk."""
    if os.name == "nt":  # which has no handle of a directory
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot do it say so
            raise
    finally:
        os.close(handle)


@contextlib.contextmanager
def blaming(path: str | os.PathLike, done: str = "read") -> Iterator[None]:
    """Name the file in a `FileError`, and make one of the system's errors.

    Raises:
        ArgumentError: `path` is none.
    """
    try:
        name = os.fsdecode(path)
        good = "\0" not in name
    except TypeError:
        good = False
    if not good:
        raise ArgumentError("This is no path.", argument="path", expected="a string or a path", got=repr(path)[:200])
    try:
        yield
    except FileError as error:
        error.problem = f"{name}: {error.problem}"
        error.args = (error.problem,)
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise FileError(f"{name} could not be {done}: {reason}.") from error
    except MemoryError as error:
        raise FileError(f"{name} could not be {done}: there is not enough memory.") from error
