"""What layers have in common that run on the host, since they read strings or look words up in a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ... import checks, ops, tree
from ...arrays import asarray, kind_of, to_numpy
from ...data.batches import has_strings, is_strings
from ...errors import ArgumentError, DataError, ShapeError, shown
from ...tracing.spec import Spec
from ..layer import Layer, base_layer
from ..scope import Scope

__all__ = ["HostLayer", "as_bytes", "encoded", "encoded_shape", "encodes", "is_strings", "salted", "texts"]

MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")
_OLD = {"binary": "multi_hot", "tf-idf": "tf_idf"}


@base_layer
class HostLayer(Layer):
    """A layer that computes with NumPy, and takes strings, too.

    In a `Sequential` or a `Graph`, `Model` runs the layers of this kind that the inputs come to first in the pipeline
    of the data, and compiles all that follow.
    """

    on_host: ClassVar[bool] = True
    supports_masking: ClassVar[bool] = False

    def _spec(self, *xs: Any) -> Spec:
        """The shape and the dtype of the output."""
        raise NotImplementedError

    def _values(self, *xs: np.ndarray) -> np.ndarray:
        """The output for NumPy arrays of numbers or strings."""
        raise NotImplementedError

    def forward(self, s: Scope, x: Any) -> Any:
        several = isinstance(x, list | tuple) and any(hasattr(part, "shape") for part in x)
        xs = list(x) if several else [x]
        if any(isinstance(part, Spec) for part in tree.leaves(xs)):
            return self._spec(*xs)
        out = self._values(*map(_on_host, xs))
        first = xs[0]
        if kind_of(type(first)) is None or isinstance(first, np.ndarray) or is_strings(out):
            return out
        return asarray(out, backend=kind_of(type(first)).backend)  # type: ignore[union-attr]


def _on_host(x: Any) -> np.ndarray:
    kind = kind_of(type(x))
    if kind is not None and kind.backend.is_traced(x):
        raise ArgumentError(
            "`x` is traced, and a layer that looks words up, or hashes them, runs on the host.",
            argument="x",
            expected="an array whose values are known, or strings",
            got=f"an array that is traced by {kind.backend.name}",
            fix="let the layer be the first one after the input in nn.Sequential or nn.Graph: kf.Model runs it in the "
            "pipeline of the data; or apply it to the data before",
        )
    if kind is not None:
        return to_numpy(x)
    if isinstance(x, str | bytes):
        return np.asarray(x, object)
    array = np.asarray(x, object) if has_strings(x) else np.asarray(x)
    return array


def texts(x: np.ndarray, what: str = "x") -> list[str]:
    """All strings of an array, in the order of its elements. Bytes are read as UTF-8.

    Raises:
        DataError: An element is not a string, such as None or NaN.
    """
    if x.dtype.kind == "S":
        return [b.decode() for b in x.ravel().tolist()]
    if not is_strings(x):
        raise DataError(
            f"`{what}` has the dtype {x.dtype}, and the layer reads strings.",
            argument=what,
            expected="strings",
            got=f"dtype {x.dtype}",
            fix="give strings, or nn.IntegerLookup in place of a layer that reads strings",
        )
    found: list[Any] = x.ravel().tolist()
    kinds = set(map(type, found))
    if kinds <= {str}:
        return found
    if all(issubclass(kind, str | bytes) for kind in kinds):
        return [b.decode() if isinstance(b, bytes) else b for b in found]
    wrong = next(i for i, value in enumerate(found) if not isinstance(value, str | bytes))
    place = tuple(int(i) for i in np.unravel_index(wrong, x.shape))
    row, is_missing = place[0] if place else 0, found[wrong] is None or found[wrong] != found[wrong]
    raise DataError(
        f"`{what}` has {shown(found[wrong])} in row {row}, and not a string.",
        argument=what,
        expected="strings",
        got=f"{type(found[wrong]).__name__} at {list(place)}",
        fix="put a text where there is none, such as '': column.fillna('')" if is_missing else "write str(value)",
    )


def as_bytes(words: Sequence[str]) -> list[bytes]:
    """Strings in UTF-8.

    Raises:
        DataError: A string holds half of a surrogate pair, which UTF-8 does not have.
    """
    try:
        return [w.encode() for w in words]
    except UnicodeEncodeError:
        wrong = next(i for i, w in enumerate(words) if any("\ud800" <= c <= "\udfff" for c in w))
        raise DataError(
            f"String {wrong} cannot be written in UTF-8.",
            argument="x",
            expected="strings without halves of surrogate pairs",
            got=ascii(words[wrong])[:99],
            fix="read the file that it comes from in its encoding, or with errors='replace'",
        ) from None


def encodes(layer: Any, modes: Sequence[str]) -> None:
    """Check the fields `output_mode` and `sparse`, and write the old names of modes as the new ones."""
    mode = _OLD.get(layer.output_mode, layer.output_mode)
    object.__setattr__(layer, "output_mode", checks.one_of("output_mode", mode, modes))
    if layer.sparse:
        raise ArgumentError(
            "`sparse` must be False: there are no sparse arrays here.",
            argument="sparse",
            expected="False",
            got="True",
            fix="leave it out; where dense arrays would be too large, take output_mode='int' and nn.Embedding",
        )


def salted(salt: Any) -> tuple[int, int] | None:
    """The two integers of a salt; a single integer stands for both."""
    if salt is None:
        return None
    values = salt if isinstance(salt, list | tuple) else (salt, salt)
    if len(values) != 2 or any(type(checks.as_python(v)) is not int for v in values):
        raise ArgumentError.must_be("salt", "an integer, or two integers", salt)
    first, second = values
    return int(first), int(second)


def encoded_shape(shape: Sequence[int | None], mode: str, depth: int) -> tuple[int | None, ...]:
    """The shape of what `encoded` returns."""
    shape = tuple(shape)
    if mode == "int":
        return shape
    if not shape:
        return (1, depth) if mode == "one_hot" else (depth,)
    if mode == "one_hot":
        return (*(shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape), depth)
    return (*shape[:1], *shape[2:], depth) if len(shape) > 1 else (depth,)


def encoded(x: Any, mode: str, depth: int, dtype: str, weights: Any = None) -> Any:
    """Indices as Keras's layers of categories give them.

    Args:
        x: Indices, integers. One that is not in [0, depth) counts for nothing.
        mode: "one_hot" writes each index as a row (depth,). "multi_hot" and "count" say for a sample (n,) which of the
            indices are in it, and how often. An array (n,) is one sample. "int" leaves all as it is.
        depth: The number of different indices.
        dtype: That of the output, but for "int".
        weights: What each index counts for, of the shape of `x`.
    """
    if mode == "int":
        return x
    if x.ndim == 0:
        x = ops.reshape(x, (1,))
    if mode == "one_hot":
        if x.ndim > 1 and x.shape[-1] == 1:
            x = ops.squeeze(x, -1)
        return ops.one_hot(x, depth, dtype=dtype)
    axis = 1 if x.ndim > 1 else 0
    each = ops.one_hot(x, depth, dtype=dtype)
    if mode == "multi_hot":
        return ops.max(each, axis=axis)
    if weights is not None:
        if tuple(weights.shape) != tuple(x.shape):
            raise ShapeError(
                f"`count_weights` must have the shape of the input, {tuple(x.shape)}, got {tuple(weights.shape)}.",
                argument="count_weights",
                expected=f"shape {tuple(x.shape)}",
                got=f"shape {tuple(weights.shape)}",
            )
        each = each * ops.cast(ops.expand_dims(weights, -1), dtype)
    return ops.sum(each, axis=axis)
