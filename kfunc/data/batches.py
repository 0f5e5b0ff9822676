"""What a step reads, and what is done to it on the host: batches of NumPy arrays."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from numbers import Real
from typing import Any, NamedTuple

from .. import tree
from ..arrays import namespace, to_numpy
from ..errors import ArgumentError, DataError, KfuncError, ShapeError
from . import frames

__all__ = ["Batch", "check_like", "class_weights", "filled", "joined", "prepared", "rows", "sizes", "unpacked"]


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
        x = self.x if hasattr(self.x, "shape") else tree.leaves(self.x)[0]  # asked several times a step
        return x.shape[0]

    def samples(self) -> Any:
        """Which samples count, booleans (batch,), from arrays of the namespace; None if all of them do."""
        if self.count is None:
            return None
        xp = namespace(self.count)
        return xp.arange(self.size, dtype=self.count.dtype) < self.count


def prepared(x: Any, y: Any = None, sample_weight: Any = None) -> Batch:
    """A batch of NumPy arrays from arrays of any backend and data frames; float64 becomes float32.

    A frame becomes one array (samples, columns); a series one (samples, 1), and (samples,) if it is of weights.

    Raises:
        ArgumentError: Something is no array of numbers, or has masked ones.
    """
    batch = Batch(_plain(x), _plain(y), _plain(sample_weight))
    leaves, structure = tree.flatten(batch)
    weighted = len(leaves) - len(tree.leaves(batch.sample_weight))
    done: list[Any] = []
    try:
        for i, leaf in enumerate(leaves):
            done.append(_prepared(leaf, i >= weighted))
    except KfuncError as error:
        path = _paths(batch)[len(done)]
        error.argument = path if error.argument is None else f"{path}, column {error.argument!r}"
        raise
    return tree.unflatten(structure, done)


def _paths(batch: Batch) -> list[str]:
    """The path of each array: `"x/image"`."""
    return [
        f"{part}/{path}".rstrip("/") for part, x in zip(Batch._fields, batch, strict=True) for path in tree.paths(x)
    ]


def _plain(x: Any) -> Any:
    """`x` with plain dicts for all kinds of mappings, which a tree knows."""
    if isinstance(x, Mapping):
        return {name: _plain(value) for name, value in x.items()}
    if type(x) in (list, tuple):
        return type(x)(_plain(value) for value in x)
    return x


def _prepared(x: Any, weight: bool = False) -> Any:
    import numpy as np

    if isinstance(x, np.ndarray):
        if np.ma.is_masked(x):
            raise ArgumentError(
                "Masked numbers are not read.",
                expected="an array without masked numbers",
                got=f"{np.ma.count_masked(x)} of {x.size} masked",
                fix="x.filled(value), with sample weights of 0 where nothing is to be learnt",
            )
    elif frames.is_frame(x):
        x = frames.columns(x)
    elif frames.is_series(x):
        x = frames.column(x) if weight else frames.column(x)[:, None]
    elif hasattr(x, "tocsr") or getattr(x, "is_sparse", False) is True or hasattr(x, "todense"):
        raise ArgumentError(
            "Sparse arrays are not read.",
            expected="a dense array",
            got=f"{type(x).__module__}.{type(x).__name__}",
            fix="x.toarray() or x.to_dense(); of each batch in a kf.data.Dataset if all of it is too large",
        )
    x = to_numpy(x)
    if x.dtype.kind in "OSUMm" or x.dtype.names:
        raise ArgumentError("An array holds no numbers.", expected="numbers or booleans", got=f"dtype {x.dtype}")
    return x.astype("float32") if x.dtype.kind == "f" and x.dtype.itemsize > 4 else x


def unpacked(item: Any) -> Batch:
    """What an iterable yields as a batch of its own memory.

    Args:
        item: `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)`, in a tuple or list; or a `Batch`.

    Raises:
        ArgumentError: It is nothing of that.
        ShapeError: Its arrays have not one number of samples.
    """
    import numpy as np

    parts = item[:3] if isinstance(item, Batch) else tuple(item) if isinstance(item, list | tuple) else (item,)
    if not 1 <= len(parts) <= 3 or parts[0] is None:
        raise ArgumentError(
            "A batch has up to three parts.",
            argument="x",
            expected="x, (x,), (x, y) or (x, y, sample_weight)",
            got="None" if len(parts) == 1 else f"{len(parts)} parts",
        )
    batch = prepared(*parts)
    sizes(batch)
    # Many iterables fill the same arrays for each item.
    given = set(map(id, tree.leaves(parts)))
    return tree.map(lambda a: np.array(a) if id(a) in given or a.base is not None else a, batch)


def check_like(first: Batch, batch: Batch) -> None:
    """Check that a batch has the structure of the first one, and but for the first axis its shapes.

    Raises:
        ShapeError: It has not.
    """
    if tree.structure(first) != tree.structure(batch):
        wanted, got = _paths(first), _paths(batch)
        raise ShapeError(
            "A batch is not built like the first one.",
            argument=", ".join(sorted(set(wanted) ^ set(got))) or None,
            expected=", ".join(wanted),
            got=", ".join(got),
        )
    for i, (a, b) in enumerate(zip(tree.leaves(first), tree.leaves(batch), strict=True)):
        if a.shape[1:] != b.shape[1:]:
            raise ShapeError(
                "A batch has another shape than the first one.",
                argument=_paths(first)[i],
                expected=f"shape {(b.shape[0], *a.shape[1:])}",
                got=f"shape {b.shape}",
            )


def sizes(batch: Batch) -> int:
    """The number of samples.

    Raises:
        ShapeError: The arrays do not have one common number of samples.
        DataError: There are none.
    """
    leaves = tree.leaves(batch)
    size = leaves[0].shape[:1] if leaves else ()
    if not size or any(a.shape[:1] != size for a in leaves):
        found = {name: a.shape[0] if a.ndim else "no axis" for name, a in zip(_paths(batch), leaves, strict=True)}
        if len(found) > 8:  # lists of numbers, above all
            found = dict([*itertools.islice(found.items(), 8), ("...", "...")])
        raise ShapeError(
            "The arrays do not have one number of samples.",
            argument=", ".join(found) or "x",
            expected="arrays whose first axes have one size",
            got=", ".join(f"{name}: {n}" for name, n in found.items()) or "no arrays",
            fix="the first axis is that of the samples; what yields single samples needs a loader that makes batches, "
            "and a list of numbers is no array: np.asarray",
        )
    if not size[0]:
        raise DataError(
            "There are no samples.", argument="x", expected="a sample or more", got=f"shape {leaves[0].shape}"
        )
    return size[0]


def rows(batch: Batch, indices: Any) -> Batch:
    """The samples at `indices`, an integer array or a slice."""
    return tree.map(lambda a: a[indices], batch)


def filled(batch: Batch, size: int) -> Batch:
    """`batch` with copies of its first sample behind its own, so that there are `size` at least."""
    import numpy as np

    missing = size - batch.size
    if missing <= 0:
        return batch
    return tree.map(lambda a: np.concatenate([a, np.broadcast_to(a[:1], (missing, *a.shape[1:]))]), batch)


def joined(batches: list[Batch]) -> Batch:
    """The samples of all behind each other."""
    import numpy as np

    return batches[0] if len(batches) == 1 else tree.map(lambda *each: np.concatenate(each), *batches)


def class_weights(batch: Batch, weights: Mapping[int, float]) -> Batch:
    """`batch` with each sample's weight multiplied by that of its class: an integer label, or the largest of a row.

    Raises:
        ArgumentError: A class has no weight, or the targets are not of one class a sample.
    """
    import numpy as np

    y, given = batch.y, batch.sample_weight
    numbers = isinstance(weights, Mapping) and all(isinstance(w, Real) for w in weights.values())
    if not numbers:
        raise ArgumentError(
            "Weights of classes are found by class.",
            argument="class_weight",
            expected="a dict of a number for each class",
            got=repr(weights)[:80],
        )
    if any(isinstance(part, list | tuple | dict) for part in (y, given)) or y is None:
        raise ArgumentError(
            "Weights of classes are for one output.",
            argument="class_weight",
            expected="targets and weights that are one array each",
            got=f"y: {type(y).__name__}, sample_weight: {type(given).__name__}",
            fix="give sample_weight, for each output its own",
        )
    labels = y.argmax(axis=-1) if y.ndim > 1 and y.shape[-1] > 1 else y[..., 0] if y.ndim > 1 else y
    labels = labels.astype(np.int64)
    classes = np.unique(labels)
    if missing := [int(c) for c in classes if int(c) not in weights]:
        raise ArgumentError(
            "A class has no weight.",
            argument="class_weight",
            expected="a weight for each class in y",
            got=f"none for {missing}",
            fix="give 1.0 to those that count as they are",
        )
    table = np.asarray([weights[int(c)] for c in classes], np.float32)
    each = table[np.searchsorted(classes, labels)]
    if given is None:
        return batch._replace(sample_weight=each)
    axes = max(each.ndim, given.ndim)
    each, given = (a.reshape(*a.shape, *[1] * (axes - a.ndim)) for a in (each, given))
    return batch._replace(sample_weight=each * given)
