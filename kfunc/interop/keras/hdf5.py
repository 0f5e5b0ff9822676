"""HDF5 files as Keras writes them, of unknown origin: what is in them is looked at before anything is read.

Keras uses a small part of the format: groups with hard links, and arrays of numbers that lie in the file in one piece.
Files that were compressed afterwards are read, too. All else is refused, such as links to other places and other files,
and arrays whose numbers lie in other files. Arrays take at most the size of the file, and compressed ones at most twice
that and 32 MB.

h5py reads everything but two things, for which HDF5's library takes as much memory as a file wants. For a text in an
attribute it allocates as much as the attribute says, up to 4 GB, before it looks whether the file has so many bytes;
and a damaged heap makes it run for ever: `_Bytes` reads them. A compressed piece of an array may become larger than the
piece should be, without a limit: `_unpacked` stops there.
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from ... import files
from ...errors import FileError, KfuncError, MissingPackageError, shown

__all__ = ["File", "Form", "Group", "opened", "write"]

_DEPTH, _NAME, _OBJECTS = 64, 1024, 1_000_000
_SLACK = 32 * 2**20  # bytes that compressed arrays may have beyond twice the file


class Form(NamedTuple):
    """The name of an array's dtype, "V2" if it has two bytes without a meaning, and its shape."""

    dtype: str
    shape: tuple[int, ...]


Group = tuple[str, str | None, list[Any]]
"""What is written of a layer: its path, its name, and its arrays, None for those that another shard has."""


class File:
    """An HDF5 file that has been looked at.

    Attributes:
        forms: The form of each array by its path. Keras 2.12 has another name for the groups "layers".
        groups: h5py's object of each group by its path; "" is the root.
    """

    def __init__(self, handle: Any, file: BinaryIO, size: int):
        self.size = size
        self.forms: dict[str, Form] = {}
        self.groups: dict[str, Any] = {}
        self._bytes = _Bytes(file, size)
        if handle.userblock_size or handle.id.get_create_plist().get_sizes() != (8, 8):
            raise FileError("The file has a form of HDF5 in which Keras does not write.")
        self._look(handle.id)

    def _look(self, root: Any) -> None:
        """Find all that is in the file, without reading arrays.

        Raises:
            FileError: There is something in it that Keras does not write.
        """
        from h5py import h5g, h5l, h5o

        plain = packed = 0
        todo, seen = [("", h5g.open(root, b"/"))], {_address(h5o.get_info(root))}
        while todo:
            path, group = todo.pop()
            self.groups[path] = group
            if path.count("/") >= _DEPTH or len(self.groups) + len(self.forms) > _OBJECTS:
                raise FileError("The file has too many groups and arrays.", expected=f"up to {_OBJECTS}, {_DEPTH} deep")
            for raw in h5g.GroupIter(group):
                name = raw.decode() if isinstance(raw, bytes) else raw
                called = "layers" if name == "_layer_checkpoint_dependencies" else name
                at = f"{path}/{called}" if path else called
                if len(name) > _NAME:
                    raise FileError("A name in the file is too long.", expected=f"up to {_NAME} characters")
                if group.links.get_info(raw).type != h5l.TYPE_HARD:
                    raise FileError(
                        "The file has a link to another place, which may lie in another file.",
                        expected="groups and arrays",
                        got=shown(at),
                    )
                info = h5o.get_info(group, raw)
                if _address(info) in seen:
                    raise FileError("The file has one group or array at two places.", got=shown(at))
                seen.add(_address(info))
                if info.type == h5o.TYPE_GROUP:
                    todo.append((at, h5g.open(group, raw)))
                elif info.type == h5o.TYPE_DATASET:
                    self.forms[at], count, is_packed = _form(group, raw, at)
                    packed, plain = packed + count * is_packed, plain + count * (not is_packed)
                else:
                    raise FileError("The file has an object that is neither a group nor an array.", got=shown(at))
        if plain > self.size:
            raise FileError(
                "The arrays in the file overlap.", expected=f"up to {self.size} bytes", got=f"{plain} bytes"
            )
        if packed and plain + packed > 2 * self.size + _SLACK:
            raise FileError(
                "The arrays in the file would be more than twice as large as the file.",
                expected=f"up to {2 * self.size + _SLACK} bytes",
                got=f"{plain + packed} bytes",
                fix="if you trust the file: h5repack -f NONE -l CONTI old.h5 new.h5",
            )

    def read(self, path: str) -> Any:
        """The array at a path, as NumPy's."""
        from h5py import Dataset, h5d

        group, _, name = path.rpartition("/")
        with parsing():
            array = Dataset(h5d.open(self.groups[group], name.encode()))
            return array[()] if array.chunks is None else _unpacked(array, self._bytes)

    def text(self, group: str, name: str) -> str | None:
        """The attribute `name` of a group, which is a text; None if the group has no such attribute."""
        with parsing():
            found = self._attribute(group, name, False)
        return found[0] if found else None

    def texts(self, group: str, name: str) -> list[str] | None:
        """The texts in the attribute `name` of a group; None if the group has no such attribute."""
        with parsing():
            found = self._attribute(group, name, True)
            parts: list[list[str]] = []  # Keras divides a list that is too long for one attribute
            while found is None and (part := self._attribute(group, f"{name}{len(parts)}", True)) is not None:
                parts.append(part)
        return [text for part in parts for text in part] if parts else found

    def _attribute(self, group: str, name: str, several: bool) -> list[str] | None:
        """The texts that are the value of an attribute; None if there is no such attribute."""
        from h5py import h5a, h5o, h5t

        owner, raw = self.groups[group], name.encode()
        if not h5a.exists(owner, raw):
            return None
        found = h5a.open(owner, raw)
        shape, kind = found.shape, found.get_type()
        if several and shape == (0,):
            return []
        if not isinstance(kind, h5t.TypeStringID) or len(shape) != several:
            raise FileError(f"The attribute {shown(name)} in the file is not a text, or is no list of texts.")
        width = None if kind.is_variable_str() else kind.get_size()
        return self._bytes.of(h5o.get_info(owner).addr, raw, math.prod(shape), width)


class _Bytes:
    """What is read of an HDF5 file without h5py, which is never more than the file has: texts in attributes.

    See "HDF5 File Format Specification", version 3.0: IV.A.1.a for headers of objects, IV.A.2.m for attributes, and
    III.E for the heap where texts of any length lie.
    """

    def __init__(self, file: BinaryIO, size: int):
        self.file, self.size = file, size
        self.left = 4 * size + 2**16  # bytes that may still be read: headers and heaps may refer to one place often
        self.heaps: dict[int, dict[int, bytes]] = {}

    def of(self, header: int, name: bytes, count: int, width: int | None) -> list[str]:
        """The texts of an attribute of the object whose header lies there: `width` bytes each, or in the heap."""
        data = next((data for found, data in self._attributes(header) if found == name), None)
        if data is None or count * (width or 16) > len(data):
            raise self._corrupt("an attribute")
        if width is not None:
            return [data[i * width : (i + 1) * width].rstrip(b"\0").decode() for i in range(count)]
        return [self._in_heap(*struct.unpack_from("<IQI", data, 16 * i)).decode() for i in range(count)]

    def _attributes(self, header: int) -> Iterator[tuple[bytes, bytes]]:
        """The names and the values of the attributes in the header of an object."""
        start = self._read(header, 16)
        if start[0] != 1:
            raise FileError(
                "The file is in a newer form of HDF5, in which Keras does not write.",
                fix="load the model in Keras and save it again",
            )
        blocks = [(header + 16, int.from_bytes(start[8:12], "little"))]
        while blocks:
            block, at = self._read(*blocks.pop()), 0
            while at + 8 <= len(block):
                kind, length = struct.unpack_from("<HH", block, at)
                body = block[at + 8 : at + 8 + length]
                at += 8 + length
                if kind == 0x10:  # the header goes on elsewhere
                    blocks.append(struct.unpack_from("<QQ", body))
                elif kind == 0x0C:
                    version, _, *sizes = struct.unpack_from("<BBHHH", body)
                    first = 9 if version == 3 else 8
                    begin = first + sum(-(-n // 8) * 8 if version == 1 else n for n in sizes)
                    yield body[first : first + sizes[0]].rstrip(b"\0"), body[begin:]

    def _in_heap(self, length: int, address: int, index: int) -> bytes:
        if not length:
            return b""
        if address not in self.heaps:
            start = self._read(address, 16)
            heap = self._read(address, int.from_bytes(start[8:], "little")) if start[:4] == b"GCOL" else b""
            found, at = {}, 16
            while at + 16 <= len(heap):
                number, _, _, size = struct.unpack_from("<HHIQ", heap, at)
                if number == 0:  # free to the end
                    break
                found[number] = heap[at + 16 : at + 16 + size]
                at += 16 + -(-size // 8) * 8
            self.heaps[address] = found
        text = self.heaps[address].get(index, b"")
        self.left -= length
        if len(text) < length or self.left < 0:
            raise self._corrupt("a text")
        return text[:length]

    def _read(self, at: int, length: int) -> bytes:
        self.left -= length
        if self.left < 0:
            raise self._corrupt("an address")
        return self.read(at, length)

    def read(self, at: int, length: int) -> bytes:
        """Some bytes of the file."""
        if at + length > self.size:
            raise self._corrupt("an address")
        self.file.seek(at)
        return self.file.read(length)

    def _corrupt(self, what: str) -> FileError:
        return FileError(f"The file is truncated or corrupt: {what} in it is not where it should be.")


def _address(info: Any) -> Any:
    return info.fileno, info.addr


def _text(x: Any) -> str:
    return x.decode() if isinstance(x, bytes) else str(x)


def _form(group: Any, name: bytes, at: str) -> tuple[Form, int, bool]:
    """The form of an array, its bytes, and whether it is in pieces, which may be compressed."""
    from h5py import h5d, h5s, h5t

    array = h5d.open(group, name)
    made = array.get_create_plist()
    layout = made.get_layout()
    if made.get_external_count() or layout not in (h5d.CONTIGUOUS, h5d.COMPACT, h5d.CHUNKED):
        raise FileError("An array in the file lies in other files.", got=shown(at))
    filters = [made.get_filter(i) for i in range(made.get_nfilters())]
    unknown = [each[3].decode() for each in filters if each[0] not in _FILTERS]
    if unknown:
        raise FileError(
            f"An array in the file is compressed by {shown(unknown[0])}, which is not read here.",
            expected="arrays that are plain, or compressed by gzip",
            got=shown(at),
            fix="load the model in Keras and save it again; or h5repack -f NONE -l CONTI old.h5 new.h5",
        )
    space, kind = array.get_space(), array.get_type()
    if space.get_simple_extent_type() not in (h5s.SCALAR, h5s.SIMPLE) or len(space.shape) > files.RANK:
        raise FileError("An array in the file has no shape, or too many axes.", got=shown(at))
    known = isinstance(kind, h5t.TypeIntegerID | h5t.TypeFloatID | h5t.TypeOpaqueID)
    known = known or (isinstance(kind, h5t.TypeEnumID) and kind.dtype.kind == "b")
    dtype = kind.dtype if known else None
    if dtype is None or dtype.kind not in "fiubV" or (dtype.kind == "V" and dtype.itemsize != 2):
        raise FileError("An array in the file has a dtype that Keras does not write.", got=shown(at))
    size, packed = math.prod(space.shape) * dtype.itemsize, layout == h5d.CHUNKED
    if kind.get_size() != dtype.itemsize or (not packed and array.get_storage_size() < size):
        raise FileError("An array in the file is not complete.", got=shown(at))
    form = Form("V2" if dtype.kind == "V" else dtype.name, tuple(space.shape))
    if packed:
        each = math.prod(made.get_chunk())
        count = math.prod(-(-n // m) for n, m in zip(space.shape, made.get_chunk(), strict=True))
        if each * count * dtype.itemsize > 16 * size + 2**20:
            raise FileError("An array in the file is divided into pieces that are too large for it.", got=shown(at))
        if array.get_num_chunks() != count:
            raise FileError("An array in the file is not complete.", got=shown(at))
    return form, size, packed


def _unpacked(array: Any, bytes_of: _Bytes) -> Any:
    """An array that is in pieces, which may be compressed."""
    import numpy as np

    made, dtype, chunks = array.id.get_create_plist(), array.dtype, array.chunks
    codes = [made.get_filter(i)[0] for i in range(made.get_nfilters())]
    out, each = np.empty(array.shape, dtype), math.prod(chunks) * dtype.itemsize
    seen = set()
    for i in range(array.id.get_num_chunks()):
        info = array.id.get_chunk_info(i)
        begin, mask, data = info.chunk_offset, info.filter_mask, bytes_of.read(info.byte_offset, info.size)
        for bit, code in reversed(list(enumerate(codes))):
            if not mask >> bit & 1:
                data = _FILTERS[code](data, each + 4, dtype.itemsize)
        if len(data) != each or begin in seen:
            raise FileError("A piece of an array in the file has fewer or more bytes than it should.", got=array.name)
        seen.add(begin)
        block = np.frombuffer(data, dtype).reshape(chunks)
        at = tuple(slice(b, b + n) for b, n in zip(begin, chunks, strict=True))
        place = out[at]
        place[...] = block[tuple(slice(n) for n in place.shape)]
    return out


def _inflated(data: bytes, most: int, width: int) -> bytes:
    unpacking = zlib.decompressobj()
    try:
        out = unpacking.decompress(data, most)
    except zlib.error as error:
        raise FileError("A piece of an array in the file is corrupt.", got=str(error)) from None
    return out if unpacking.eof else b""  # it is not complete, or too large


def _unshuffled(data: bytes, most: int, width: int) -> bytes:
    import numpy as np

    whole = len(data) // width * width  # bytes that are left over stay as they are
    parts = np.frombuffer(data, "u1", whole).reshape(width, -1)
    return parts.T.tobytes() + data[whole:]


_FILTERS = {1: _inflated, 2: _unshuffled, 3: lambda data, most, width: data[:-4]}
"""gzip, the bytes of numbers in another order, and a checksum: by their codes in HDF5."""


@contextlib.contextmanager
def parsing() -> Iterator[None]:
    """Turn the errors of h5py into `FileError`s."""
    try:
        yield
    except (KfuncError, MemoryError):
        raise
    except Exception as error:  # of many kinds
        raise FileError(
            "The file is truncated or corrupt, or is not an HDF5 file.", got=shown(str(error).splitlines()[:1])
        ) from error


def h5py() -> Any:
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "Files of Keras's need h5py, which is not installed.", fix='pip install "kfunc[keras]"'
        ) from error
    return h5py


@contextlib.contextmanager
def opened(file: BinaryIO) -> Iterator[File]:
    """The HDF5 file in an open file.

    Raises:
        FileError: The file is truncated or corrupt, or has something in it that Keras does not write.
        MissingPackageError: h5py is not installed.
    """
    library = h5py()
    size = file.seek(0, io.SEEK_END)
    with contextlib.ExitStack() as held:
        with parsing():
            handle = held.enter_context(library.File(file, "r"))
            found = File(handle, file, size)
        yield found


def write(groups: Iterable[Group]) -> memoryview:
    """An HDF5 file as Keras writes it."""
    import numpy as np

    out = io.BytesIO()
    with h5py().File(out, "w") as file:
        file.create_group("vars")  # Keras 2 does not read a file without it
        for path, name, arrays in groups:
            group = file.require_group(f"{path}/vars" if path else "vars")
            if name is not None:
                group.attrs["name"] = name
            for i, array in enumerate(arrays):
                if array is None:
                    continue
                array = np.asarray(array)
                if array.dtype.name == "bfloat16":
                    group.create_dataset(str(i), data=array.view("V2")).attrs["dtype"] = "bfloat16"
                else:
                    group.create_dataset(str(i), data=array)
    return out.getbuffer()  # without a copy
