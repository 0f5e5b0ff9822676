"""What a step reads, and what is done to it on the host: batches of NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import tree
from ..arrays import namespace, to_numpy
from ..errors import ArgumentError, ShapeError

__all__ = ["Batch", "class_weights", "filled", "prepared", "rows", "sizes"]


class Batch(NamedTuple):
    """What a step reads: inputs, targets and weights, each None or a tree of arrays with one common first axis.

    Attributes:
        count: How many samples count, int32 (): the first ones; the others fill the batch up, and change nothing. None
            if all of them count.
    """

    x: Any
    y: Any = None
    sample_weight: Any = None
    count: Any = None

    @property
    def size(self) -> int:
        """Number of samples, those that fill up included."""
        return tree.leaves(self.x)[0].shape[0]

    def samples(self) -> Any:
        """Which samples count, booleans (batch,), from arrays of the namespace; None if all of them do."""
        if self.count is None:
            return None
        xp = namespace(self.count)
        return xp.arange(self.size, dtype=self.count.dtype) < self.count


def prepared(x: Any, y: Any = None, sample_weight: Any = None) -> Batch:
    """A batch of NumPy arrays from arrays of any backend; float64 becomes float32."""
    return tree.map(_prepared, Batch(x, y, sample_weight))


def _prepared(x: Any) -> Any:
    x = to_numpy(x)
    return x.astype("float32") if x.dtype == "float64" else x


def sizes(batch: Batch) -> int:
    """The number of samples.

    Raises:
        ShapeError: The arrays do not have one common number of samples.
    """
    named = zip(tree.paths(batch), tree.leaves(batch), strict=True)
    found = {name: a.shape[0] if a.ndim else -1 for name, a in named}
    if len(set(found.values())) != 1 or -1 in found.values():
        raise ShapeError(
            "The arrays do not have one number of samples.",
            argument=", ".join(found) or "x",
            expected="arrays whose first axes have one size",
            got=", ".join(f"{name}: {n}" for name, n in found.items()) or "no arrays",
        )
    return next(iter(found.values()))


def rows(batch: Batch, indices: Any) -> Batch:
    """The samples at `indices`, an integer array or a slice."""
    return tree.map(lambda a: a[indices], batch)


def filled(batch: Batch, size: int) -> Batch:
    """`batch` with copies of its first sample behind its own, so that there are `size`."""
    import numpy as np

    missing = size - batch.size
    if missing == 0:
        return batch
    return tree.map(lambda a: np.concatenate([a, np.broadcast_to(a[:1], (missing, *a.shape[1:]))]), batch)


def class_weights(batch: Batch, weights: Mapping[int, float]) -> Batch:
    """`batch` with each sample's weight multiplied by that of its class: an integer label, or the largest of a row.

    Raises:
        ArgumentError: A class has no weight.
    """
    import numpy as np

    y = batch.y
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
    given = batch.sample_weight
    return batch._replace(sample_weight=each if given is None else each * given)
