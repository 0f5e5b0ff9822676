"""Batches of NumPy arrays, which a training step reads, and what is done to them on the host."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from numbers import Real
from typing import Any, NamedTuple

from .. import tree
from ..arrays import namespace, to_numpy
from ..errors import ArgumentError, DataError, KfuncError, ShapeError
from ..typing import Array, Tree
from . import frames

__all__ = [
    "Batch",
    "alike",
    "check_like",
    "class_weights",
    "filled",
    "has_strings",
    "is_strings",
    "joined",
    "paths",
    "prepared",
    "room",
    "rows",
    "sizes",
    "unpacked",
]


class Batch(NamedTuple):
    """What a step reads: inputs, targets and weights, each None or a tree of arrays (samples, ...).

    Attributes:
        x: Inputs.
        y: Targets.
        sample_weight: Weights of the samples in the loss.
        count: How many samples count, int32 (): the first ones. The others only fill the batch up, and change nothing.
            None if all samples count.
    """

    x: Tree
    y: Tree = None
    sample_weight: Tree = None
    count: Array = None

    @property
    def size(self) -> int:
        """Number of samples, including those that only fill the batch up."""
        x = self.x if hasattr(self.x, "shape") else tree.leaves(self.x)[0]  # asked several times a step
        return x.shape[0]

    def samples(self) -> Any:
        """Whether each sample counts, booleans (samples,) of the backend of `count`; None if all of them count."""
        if self.count is None:
            return None
        xp = namespace(self.count)
        return xp.arange(self.size, dtype=self.count.dtype) < self.count


def prepared(x: Any, y: Any = None, sample_weight: Any = None, strings: bool = False) -> Batch:
    """A batch of NumPy arrays from arrays of any backend and data frames; float64 becomes float32.

    With `strings`, inputs may be strings, too: arrays, lists and columns of them become arrays of objects.

    A frame becomes one array (samples, columns). A series becomes an array (samples, 1), and (samples,) if it holds
    weights.

    Raises:
        ArgumentError: Something is not an array of numbers, or has masked numbers.
    """
    batch = Batch(_plain(x, strings), _plain(y), _plain(sample_weight))
    leaves, structure = tree.flatten(batch)
    inputs = len(tree.leaves(batch.x)) if strings else 0
    weighted = len(leaves) - len(tree.leaves(batch.sample_weight))
    done: list[Any] = []
    try:
        for i, leaf in enumerate(leaves):
            done.append(_prepared(leaf, i >= weighted, i < inputs))
    except KfuncError as error:
        path = paths(batch)[len(done)]
        error.argument = path if error.argument is None else f"{path}, column {error.argument!r}"
        error.problem = f"`{path}`: {error.problem}"
        error.args = (error.problem,)
        raise
    return tree.unflatten(structure, done)


def paths(batch: Batch) -> list[str]:
    """The path of each array: `"x/image"`."""
    return [
        f"{part}/{path}".rstrip("/") for part, x in zip(Batch._fields, batch, strict=True) for path in tree.paths(x)
    ]


def _plain(x: Any, strings: bool = False) -> Any:
    """`x` with a plain dict for each mapping: trees have no other kinds of mappings. Lists of strings are arrays."""
    if isinstance(x, Mapping):
        return {name: _plain(value, strings) for name, value in x.items()}
    if type(x) in (list, tuple):
        if strings and has_strings(x):
            return _of_strings(x)
        return type(x)(_plain(value, strings) for value in x)
    return x


def has_strings(x: Any) -> bool:
    """Whether `x` is a list of strings, or of lists of strings."""
    while type(x) in (list, tuple) and x:
        x = next((part for part in x if part is not None), None)
    return isinstance(x, str | bytes)


def is_strings(x: Any) -> bool:
    """Whether `x` is an array of strings, or of objects that may be strings."""
    return getattr(getattr(x, "dtype", None), "kind", "") in ("O", "S", "T", "U")


def _of_strings(x: Any) -> Any:
    import numpy as np

    found = np.asarray(x, object)
    if any(isinstance(value, list | tuple) for value in found.ravel().tolist()):
        lengths = sorted({len(row) for row in x if isinstance(row, list | tuple)})
        first = next(i for i, row in enumerate(x) if not isinstance(row, list | tuple) or len(row) != len(x[0]))
        raise ShapeError(
            f"Row {first} of a list of strings has another length than the first.",
            expected="rows of one length",
            got=f"lengths {lengths[:9]}",
            fix="join the words of each row to one text, and let nn.TextVectorization split it",
        )
    return found


def _prepared(x: Any, weight: bool = False, strings: bool = False) -> Any:
    import numpy as np

    if isinstance(x, np.ndarray):
        if np.ma.is_masked(x):
            raise ArgumentError(
                "An array has masked numbers, which cannot be read.",
                expected="an array without masked numbers",
                got=f"{np.ma.count_masked(x)} of {x.size} masked",
                fix="give x.filled(value), and sample weights of 0 for the samples that are not to be learnt",
            )
    elif frames.is_lazy(x):
        raise ArgumentError(
            "A frame or array is lazy: its numbers are not computed yet.",
            expected="a frame or an array in memory",
            got=f"{type(x).__module__}.{type(x).__name__}",
            fix=_COMPUTE,
        )
    elif frames.is_frame(x):
        x = frames.columns(x)
    elif frames.is_series(x):
        x = frames.column(x) if weight else frames.column(x, strings=strings)[:, None]
    elif hasattr(x, "row_splits"):
        raise ArgumentError(
            "An array is ragged: its rows have different lengths.",
            expected="a dense array",
            got=f"{type(x).__module__}.{type(x).__name__}",
            fix="give x.to_tensor(), which fills up with zeros, and nn.Masking or Embedding(mask_zero=True)",
        )
    elif _is_sparse(x):
        raise ArgumentError(
            "An array is sparse; only dense arrays can be read.",
            expected="a dense array",
            got=f"{type(x).__module__}.{type(x).__name__}",
            fix="give x.toarray(), x.to_dense() or tf.sparse.to_dense(x); if that is too large, batch by batch in a "
            "kf.data.Dataset",
        )
    x = to_numpy(x)
    if strings and is_strings(x):
        return x.astype(object) if x.dtype.kind == "T" else x
    if x.dtype.kind in "OSTUMm" or x.dtype.names:
        raise ArgumentError(
            f"An array has the dtype {x.dtype}, and not numbers.",
            expected="numbers or booleans",
            got=f"dtype {x.dtype}",
        )
    return x.astype("float32") if x.dtype.kind == "f" and x.dtype.itemsize > 4 else x


_COMPUTE = (
    "give x.collect() or x.compute(), what it stands for; if that is too large, do it part by part in a "
    "kf.data.Dataset, whose __getitem__ returns a batch"
)


def _is_sparse(x: Any) -> bool:
    """Of SciPy, PyTorch (COO, CSR and others), TensorFlow, JAX or sparse."""
    methods = any(hasattr(x, name) for name in ("tocsr", "todense", "dense_shape"))
    return methods or str(getattr(x, "layout", "")).startswith("torch.sparse")


def unpacked(item: Any) -> Batch:
    """An item that an iterable yields, as a batch that owns its memory.

    Args:
        item: `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)`, in a tuple or list; or a `Batch`.

    Raises:
        ArgumentError: The item is none of these.
        ShapeError: Its arrays have different numbers of samples.
    """
    import numpy as np

    several = isinstance(item, list | tuple) and not (item and all(isinstance(part, str) for part in item))
    parts = item[:3] if isinstance(item, Batch) else tuple(item) if several else (item,)
    if not 1 <= len(parts) <= 3 or parts[0] is None:
        got = "None" if len(parts) == 1 else f"{len(parts)} parts"
        raise ArgumentError(
            f"A batch that `x` yields must be x, (x, y) or (x, y, sample_weight), got {got}.",
            argument="x",
            expected="x, (x,), (x, y) or (x, y, sample_weight)",
            got=got,
        )
    x, y, sample_weight = (*parts, None, None)[:3]
    batch = prepared(x, y, sample_weight, strings=True)
    sizes(batch)
    # Copied, since many iterables fill the same arrays again for each item.
    given = set(map(id, tree.leaves(parts)))
    return tree.map(lambda a: np.array(a) if id(a) in given or a.base is not None else a, batch)


def check_like(first: Batch, batch: Batch) -> None:
    """Check that a batch has the structure of the first one, and that its arrays have as many axes.

    Its sizes may differ: a sequence of another length is a batch as good as the first. Whether a model takes them is
    checked by `training.forms.Forms`.

    Raises:
        ShapeError: It is different.
    """
    (leaves, wanted_structure), (found, structure) = tree.flatten(first), tree.flatten(batch)
    if structure != wanted_structure:
        wanted, got = paths(first), paths(batch)
        raise ShapeError(
            "A batch has other arrays than the first one.",
            argument=", ".join(sorted(set(wanted) ^ set(got))) or None,
            expected=", ".join(wanted),
            got=", ".join(got),
        )
    for i, (a, b) in enumerate(zip(leaves, found, strict=True)):
        if a.ndim != b.ndim:
            raise ShapeError(
                f"An array of a batch has shape {b.shape}, and other axes than in the first batch, {a.shape}.",
                argument=paths(first)[i],
                expected=f"{a.ndim} axes",
                got=f"shape {b.shape}",
            )
        if is_strings(a) != is_strings(b):
            raise ArgumentError(
                f"An array of a batch has the dtype {b.dtype}, and not {'strings' if is_strings(a) else 'numbers'}.",
                argument=paths(first)[i],
                expected=f"{'strings' if is_strings(a) else 'numbers'}, as in the first batch",
                got=f"dtype {b.dtype}",
            )


def sizes(batch: Batch) -> int:
    """The number of samples in a batch.

    Raises:
        ShapeError: The arrays have different numbers of samples, or there is no array.
        DataError: The number is 0.
    """
    leaves = tree.leaves(batch)
    size = leaves[0].shape[:1] if leaves else ()
    if not size or any(a.shape[:1] != size for a in leaves):
        found = {name: a.shape[0] if a.ndim else "no axis" for name, a in zip(paths(batch), leaves, strict=True)}
        if len(found) > 8:  # lists of numbers, above all
            found = dict([*itertools.islice(found.items(), 8), ("...", "...")])
        each = ", ".join(f"{name} has {n}" for name, n in found.items())
        raise ShapeError(
            f"The arrays have different numbers of samples: {each}." if each else "`x` holds no arrays.",
            argument=", ".join(found) or "x",
            expected="arrays whose first axes have one size",
            got=", ".join(f"{name}: {n}" for name, n in found.items()) or "no arrays",
            fix="the first axis is that of the samples; if x yields single samples, make batches of them; "
            "if it is a list of numbers, give np.asarray(x)",
        )
    if not size[0]:
        shape = leaves[0].shape
        raise DataError(
            f"`x` has no samples: its shape is {shape}.",
            argument="x",
            expected="a sample or more",
            got=f"shape {shape}",
        )
    return size[0]


def rows(batch: Batch, indices: Any) -> Batch:
    """The samples at `indices`, an integer array or a slice."""
    return tree.map(lambda a: a[indices], batch)


def room(size: int) -> int:
    """The size to which `size` samples are filled up, at most a quarter more: 1, 2, ... 8, 10, 12, 14, 16, 20, 24 ...

    Where a compiled program is for one size, few programs then serve all sizes, four for each power of two.
    """
    step = 1 << max(0, (size - 1).bit_length() - 3)
    return -(-size // step) * step


def filled(batch: Batch, size: int) -> Batch:
    """`batch`, filled up with copies of its first sample to at least `size` samples."""
    import numpy as np

    missing = size - batch.size
    if missing <= 0:
        return batch
    return tree.map(lambda a: np.concatenate([a, np.broadcast_to(a[:1], (missing, *a.shape[1:]))]), batch)


def joined(batches: list[Batch]) -> Batch:
    """One batch with the samples of all `batches`, in their order."""
    import numpy as np

    return batches[0] if len(batches) == 1 else tree.map(lambda *each: np.concatenate(each), *batches)


def alike(a: Batch, b: Batch) -> bool:
    """Whether two batches of one structure have the same inner sizes, so that they can be joined."""
    return all(x.shape[1:] == y.shape[1:] for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True))


def class_weights(batch: Batch, weights: Mapping[int, float]) -> Batch:
    """`batch` with each sample's weight multiplied by that of its class: an integer label, or the largest of a row.

    Raises:
        ArgumentError: A class has no weight, or the targets do not give one class for each sample.
    """
    import numpy as np

    y, given = batch.y, batch.sample_weight
    numbers = isinstance(weights, Mapping) and all(isinstance(w, Real) for w in weights.values())
    if not numbers:
        raise ArgumentError.must_be("class_weight", "a dict with a number for each class", weights)
    if any(isinstance(part, list | tuple | dict) for part in (y, given)) or y is None:
        raise ArgumentError(
            "`class_weight` needs targets for one output, in one array.",
            argument="class_weight",
            expected="targets and weights that are one array each",
            got=f"y: {type(y).__name__}, sample_weight: {type(given).__name__}",
            fix="give sample_weight, one for each output",
        )
    labels = y.argmax(axis=-1) if y.ndim > 1 and y.shape[-1] > 1 else y[..., 0] if y.ndim > 1 else y
    labels = np.rint(labels).astype(np.int64)  # as Keras: 0.9999999 is class 1
    classes = np.unique(labels)
    if missing := [int(c) for c in classes if int(c) not in weights]:
        raise ArgumentError(
            f"`class_weight` has no weight for the classes {', '.join(map(str, missing[:9]))}.",
            argument="class_weight",
            expected="a weight for each class in y",
            got=f"none for {missing}",
            fix="give 1.0 to classes whose samples keep their weights",
        )
    table = np.asarray([weights[int(c)] for c in classes], np.float32)
    each = table[np.searchsorted(classes, labels)]
    if given is None:
        return batch._replace(sample_weight=each)
    axes = max(each.ndim, given.ndim)
    each, given = (a.reshape(*a.shape, *[1] * (axes - a.ndim)) for a in (each, given))
    return batch._replace(sample_weight=each * given)
