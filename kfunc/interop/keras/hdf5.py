"""HDF5 files as Keras writes them, of unknown origin: what is in them is looked at before anything is read.

h5py is the only parser. Keras uses a small part of the format: groups with hard links, and arrays of numbers that lie
in the file in one piece. All else is refused: links to other places and other files, arrays whose numbers lie in other
files, and compressed ones, a few bytes of which may fill the memory. So arrays take at most the size of the file.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from ... import files
from ...errors import FileError, KfuncError, MissingPackageError, shown

__all__ = ["File", "Form", "opened", "write"]

_DEPTH, _NAME, _OBJECTS = 64, 1024, 1_000_000


class Form(NamedTuple):
    """The name of an array's dtype, "V2" if it has two bytes without a meaning, and its shape."""

    dtype: str
    shape: tuple[int, ...]


class File:
    """An HDF5 file that has been looked at.

    Attributes:
        forms: The form of each array by its path.
        groups: The paths of all groups; "" is the root.
    """

    def __init__(self, handle: Any, size: int):
        self.handle, self.size = handle, size
        self.forms: dict[str, Form] = {}
        self.groups: dict[str, None] = {}
        self._look()

    def _look(self) -> None:
        """Find all that is in the file, without reading arrays.

        Raises:
            FileError: There is something in it that Keras does not write.
        """
        from h5py import h5g, h5l, h5o

        todo, seen, total = [("", self.handle.id)], {_address(h5o.get_info(self.handle.id))}, 0
        while todo:
            path, group = todo.pop()
            self.groups[path] = None
            if path.count("/") >= _DEPTH or len(self.groups) + len(self.forms) > _OBJECTS:
                raise FileError("The file has too many groups and arrays.", expected=f"up to {_OBJECTS}, {_DEPTH} deep")
            for raw in h5g.GroupIter(group):
                name = raw.decode() if isinstance(raw, bytes) else raw
                at = f"{path}/{name}" if path else name
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
                    self.forms[at], count = _form(group, raw, at)
                    total += count
                else:
                    raise FileError("The file has an object that is neither a group nor an array.", got=shown(at))
        if total > self.size:
            raise FileError(
                "The arrays in the file overlap.", expected=f"up to {self.size} bytes", got=f"{total} bytes"
            )

    def read(self, path: str) -> Any:
        """The array at a path, as NumPy's."""
        with parsing():
            return self.handle[path][()]

    def text(self, group: str, name: str) -> str | None:
        """The attribute `name` of a group, which is a text; None if the group has no such attribute."""
        with parsing():
            found = self._attribute(group, name, None)
        return None if found is None else _text(found)

    def texts(self, group: str, name: str, most: int) -> list[str] | None:
        """The texts in the attribute `name` of a group; None if the group has no such attribute.

        Args:
            most: How many there may be. Texts are kept once and may be referred to often, so that a small file could
                fill the memory.
        """
        parts = 0
        with parsing():
            found = self._attribute(group, name, most)
            if found is not None:
                return list(map(_text, found))
            out: list[str] = []  # Keras divides a list that is too long for one attribute
            while (part := self._attribute(group, f"{name}{parts}", most - len(out))) is not None:
                out += map(_text, part)
                parts += 1
            return out if parts else None

    def _attribute(self, group: str, name: str, most: int | None) -> Any:
        """The value of an attribute: a text, or up to `most` texts; None if there is no such attribute."""
        from h5py import h5a, h5t

        owner, raw = self.handle[group] if group else self.handle, name.encode()
        if not h5a.exists(owner.id, raw):
            return None
        found = h5a.open(owner.id, raw)
        shape = found.shape
        if most is not None and shape == (0,):
            return []
        if len(shape) != (most is not None) or any(n > most for n in shape) or found.get_storage_size() > self.size:
            raise FileError(f"The attribute {shown(name)} in the file is too large, or no list of names.")
        if not isinstance(found.get_type(), h5t.TypeStringID):
            raise FileError(f"The attribute {shown(name)} in the file is not a text.")
        return owner.attrs[name]


def _address(info: Any) -> Any:
    return info.fileno, info.addr


def _text(x: Any) -> str:
    return x.decode() if isinstance(x, bytes) else str(x)


def _form(group: Any, name: bytes, at: str) -> tuple[Form, int]:
    """The form of an array, and its bytes."""
    from h5py import h5d, h5s, h5t

    array = h5d.open(group, name)
    made = array.get_create_plist()
    if made.get_external_count() or made.get_layout() not in (h5d.CONTIGUOUS, h5d.COMPACT) or made.get_nfilters():
        raise FileError(
            "An array in the file is compressed or divided into pieces, or lies in other files.",
            expected="arrays in one piece, as Keras writes them",
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
    size = math.prod(space.shape) * dtype.itemsize
    if array.get_storage_size() < size or kind.get_size() != dtype.itemsize:
        raise FileError("An array in the file is not complete.", got=shown(at))
    return Form("V2" if dtype.kind == "V" else dtype.name, tuple(space.shape)), size


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
            "Keras's files can only be read with h5py.", fix='pip install "kfunc[keras]"'
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
            found = File(handle, size)
        yield found


def write(groups: Iterable[tuple[str, str | None, list[Any]]]) -> bytes:
    """An HDF5 file as Keras writes it.

    Args:
        groups: For each its path, the name of the layer, and its arrays.
    """
    import numpy as np

    out = io.BytesIO()
    with h5py().File(out, "w") as file:
        for path, name, arrays in groups:
            group = file.require_group(f"{path}/vars" if path else "vars")
            if name is not None:
                group.attrs["name"] = name
            for i, array in enumerate(arrays):
                array = np.asarray(array)
                if array.dtype.name == "bfloat16":
                    group.create_dataset(str(i), data=array.view("V2")).attrs["dtype"] = "bfloat16"
                else:
                    group.create_dataset(str(i), data=array)
    return out.getvalue()
