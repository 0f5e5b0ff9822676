"""Arrays in memory as batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from . import tree
from .arrays import to_numpy
from .errors import ArgumentError, ShapeError

__all__ = ["ArrayData", "Batch", "class_weights", "split"]


class Batch(NamedTuple):
    """What a step reads: inputs, targets and weights, each None or a tree of arrays with one common first axis."""

    x: Any
    y: Any = None
    sample_weight: Any = None

    @property
    def size(self) -> int:
        """Number of samples."""
        return tree.leaves(self.x)[0].shape[0]


class ArrayData:
    """Inputs, targets and weights as NumPy arrays, from arrays of any backend; float64 becomes float32.

    Raises:
        ShapeError: The arrays do not have one common number of samples.
    """

    def __init__(self, x: Any, y: Any = None, sample_weight: Any = None):
        self.arrays: Batch = tree.map(_prepared, Batch(x, y, sample_weight))
        named = zip(tree.paths(self.arrays), tree.leaves(self.arrays), strict=True)
        sizes = {name: a.shape[0] if a.ndim else -1 for name, a in named}
        if len(set(sizes.values())) != 1 or -1 in sizes.values():
            raise ShapeError(
                "The arrays do not have one number of samples.",
                argument=", ".join(sizes) or "x",
                expected="arrays whose first axes have one size",
                got=", ".join(f"{name}: {n}" for name, n in sizes.items()) or "no arrays",
            )
        self.size: int = next(iter(sizes.values()))

    def take(self, indices: Any) -> Batch:
        """The samples at `indices`, an integer array or a slice."""
        return tree.map(lambda a: a[indices], self.arrays)

    def batches(self, batch_size: int, order: Any = None) -> Iterator[Batch]:
        """The samples in batches, in the order of the integer array `order`; the last batch may be smaller."""
        for start in range(0, self.size, batch_size):
            chosen = slice(start, min(start + batch_size, self.size))
            yield self.take(chosen if order is None else order[chosen])


def _prepared(x: Any) -> Any:
    x = to_numpy(x)
    return x.astype("float32") if x.dtype == "float64" else x


def split(data: ArrayData, fraction: float) -> tuple[ArrayData, ArrayData]:
    """All but the last `fraction` of the samples, and the last `fraction`, as Keras splits them.

    Raises:
        ArgumentError: One part would be empty.
    """
    n = int(data.size * (1 - fraction)) if 0 < fraction < 1 else 0
    if not 0 < n < data.size:
        raise ArgumentError(
            "The split leaves one part empty.",
            argument="validation_split",
            expected="a fraction that leaves samples on both sides",
            got=f"{fraction} of {data.size} samples",
        )
    first, last = (data.take(part) for part in (slice(None, n), slice(n, None)))
    return ArrayData(*first), ArrayData(*last)


def class_weights(data: ArrayData, weights: Mapping[int, float]) -> ArrayData:
    """`data` with each sample's weight multiplied by that of its class: an integer label, or the largest of a row.

    Raises:
        ArgumentError: A class has no weight.
    """
    import numpy as np

    y = data.arrays.y
    labels = y.argmax(axis=-1) if y.ndim > 1 and y.shape[-1] > 1 else y.reshape(y.shape[0]).astype(np.int64)
    classes = np.unique(labels)
    if missing := [int(c) for c in classes if int(c) not in weights]:
        raise ArgumentError(
            "A class has no weight.",
            argument="class_weight",
            expected="a weight for each class in y",
            got=f"none for {missing}",
        )
    table = np.asarray([weights[int(c)] for c in classes], np.float32)
    each = table[np.searchsorted(classes, labels)]
    given = data.arrays.sample_weight
    return ArrayData(data.arrays.x, y, each if given is None else each * given)
