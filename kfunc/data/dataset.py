"""`Dataset`: items that are looked up by their numbers, and data sets that are made of others.

All that `map`, `batch`, `shuffle` and the others return looks its items up by their numbers, too. So the length is
known before anything is read, threads may read any items side by side, and a resumed training goes on without reading
what came before. What is random in an item follows from a seed, the number of the epoch, and the number of the item.
"""

from __future__ import annotations

import collections
import contextvars
import operator
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import numpy as np

from .. import checks, random, tree
from ..arrays import kind_of, to_numpy
from ..errors import ArgumentError, IndexingError, ShapeError
from ..typing import Tree
from .items import length
from .protocol import order_of

__all__ = ["Dataset", "in_order", "workers_of"]


class Dataset:
    """Base class for your own data sets: define `__getitem__(i)`, which returns item `i`, and `__len__`, their number.

    `fit` takes items that are batches: `x`, `(x, y)` or `(x, y, sample_weight)`, of arrays of any backend. Where yours
    are single samples, `dataset.batch(32)` makes batches of them. The base class is not needed for `fit`: a PyDataset
    of Keras works, too, and so does any object with both methods and no `__iter__`. A data set without `__len__` has
    no end, and `fit` needs `steps_per_epoch`.

    The methods are those of `tf.data`. Each returns a new data set, which reads nothing before its items are looked up:

        data = kf.data.Dataset.from_tensor_slices((images, labels))
        data = data.shuffle(seed=1).map(lambda x, y: (x / 255, y)).batch(32)
        for x, y in data: ...
        model.fit(data, epochs=3)

    `fit` reads ahead in `workers` threads, so `__getitem__` must be safe to call from threads. With
    `fit(shuffle=True)`, each epoch reads the batches in another order, which follows from the model's key; a resumed
    `fit` goes on in that order, and does not read the earlier batches again. Batch 0 is also read before training, for
    its shapes.

    Args:
        workers: How many threads read items.
        use_multiprocessing: Must be False: the threads of a framework do not survive in a forked process. Threads read
            NumPy arrays and files as fast; for slow Python code, use torch's DataLoader or grain.
        max_queue_size: How many items may be read ahead where there are several workers.

    Raises:
        ArgumentError: An argument has a value that is not allowed.
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10):
        self.workers: int = workers
        self.use_multiprocessing: bool = use_multiprocessing
        self.max_queue_size: int = max_queue_size
        workers_of(self)

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError

    def on_epoch_begin(self) -> None:
        """Called before each epoch. A resumed `fit` also calls it for the epochs that came before."""

    def on_epoch_end(self) -> None:
        """Called after each epoch that was read completely."""

    @staticmethod
    def from_tensor_slices(tensors: Tree) -> Dataset:
        """A data set of the rows of arrays: item `i` has row `i` of each.

        Args:
            tensors: Arrays (items, ...) of any backend, or tuples and dicts of them. Lists become arrays.

        Raises:
            ShapeError: The arrays have different numbers of rows.
        """
        return _Rows(tensors)

    @staticmethod
    def zip(*datasets: Any) -> Dataset:
        """A data set of tuples, with an item of each; it is as long as the shortest.

        Raises:
            ArgumentError: One of them is not a data set.
        """
        given = datasets[0] if len(datasets) == 1 and isinstance(datasets[0], tuple) else datasets  # as tf.data has it
        return _Zipped(*(_checked("datasets", dataset) for dataset in given))

    def map(self, map_func: Any, workers: int | None = None, seed: int = 0) -> Dataset:
        """A data set of `map_func(item)`, or of `map_func(*item)` where the items are tuples.

        Args:
            map_func: A function of NumPy arrays. Or a layer without weights, such as those that augment images: it
                gets the first part of an item, as in training, and the other parts stay. What it draws follows from
                `seed`, the number of the epoch, and that of the item.
            workers: How many threads read items; by default as many as before.
            seed: For a layer that draws.

        Raises:
            ArgumentError: `map_func` is neither a function nor a layer.
        """
        return _Mapped(self, map_func, checks.positive("workers", workers, none=True), checks.integer("seed", seed))

    def batch(self, batch_size: int, drop_remainder: bool = False) -> Dataset:
        """A data set of batches: arrays (batch_size, ...) of so many items; the last may have fewer.

        Texts become NumPy arrays of Python's strings.

        Args:
            batch_size: How many items a batch has.
            drop_remainder: Whether a last batch with fewer items is left out.
        """
        return _Batched(self, batch_size, drop_remainder)

    def padded_batch(self, batch_size: int, padding_values: float = 0, drop_remainder: bool = False) -> Dataset:
        """As `batch`, for arrays of different sizes: shorter ones are filled up at their ends to the longest.

        Args:
            batch_size: How many items a batch has.
            padding_values: What they are filled up with.
            drop_remainder: Whether a last batch with fewer items is left out.
        """
        return _Batched(self, batch_size, drop_remainder, padding_values)

    def shuffle(self, buffer_size: int | None = None, seed: int = 0, reshuffle_each_iteration: bool = True) -> Dataset:
        """A data set with the same items in random order.

        Args:
            buffer_size: Has no effect: all items are shuffled, since they are looked up by their numbers. It stands
                here because `tf.data`, which reads them in turn, needs it.
            seed: For the order.
            reshuffle_each_iteration: Whether each epoch has another order.

        Raises:
            ArgumentError: The data set has no end.
        """
        checks.positive("buffer_size", buffer_size, none=True)
        checks.boolean("reshuffle_each_iteration", reshuffle_each_iteration)
        return _Shuffled(self, checks.integer("seed", seed), reshuffle_each_iteration)

    def cache(self) -> Dataset:
        """A data set that keeps each item in memory when it is read for the first time.

        What is random in the items stays as it was then, so give `map(layer)` after it.
        """
        return _Cached(self)

    def prefetch(self, buffer_size: int | None = None) -> Dataset:
        """The same items, of which up to `buffer_size` are read ahead. None or -1 keeps the number set before."""
        other = _Part(self, 0, None)
        if buffer_size not in (None, -1):
            other.max_queue_size = checks.positive("buffer_size", buffer_size)
        return other

    def take(self, count: int) -> Dataset:
        """A data set of the first `count` items, or of all, if there are fewer."""
        return _Part(self, 0, checks.natural("count", count))

    def skip(self, count: int) -> Dataset:
        """A data set of all items but the first `count`."""
        return _Part(self, checks.natural("count", count), None)

    def repeat(self, count: int | None = None) -> Dataset:
        """A data set that begins again after its end, `count` times in all; None: without end.

        Each round has its own order and its own draws.
        """
        return _Repeated(self, checks.natural("count", count, none=True))

    def concatenate(self, dataset: Dataset) -> Dataset:
        """A data set of these items, and after them those of `dataset`.

        Raises:
            ArgumentError: This data set has no end, or `dataset` is not a data set.
        """
        return _Joined(self, _checked("dataset", dataset))


def workers_of(dataset: Any) -> int:
    """How many workers a data set asks for.

    Raises:
        ArgumentError: It asks for processes, or its numbers are not allowed.
    """
    if getattr(dataset, "use_multiprocessing", False):
        raise ArgumentError(
            "`use_multiprocessing` must be False: batches are read in threads.",
            argument="use_multiprocessing",
            expected="False",
            got=True,
            fix="set workers, or read with torch.utils.data.DataLoader or grain, which have processes of their own",
        )
    checks.positive("max_queue_size", getattr(dataset, "max_queue_size", 1))
    return max(1, checks.natural("workers", getattr(dataset, "workers", 1)))


def in_order(read: Callable[[int], Any], numbers: Iterable[int], workers: int, most: int) -> Generator:
    """Yield `read(i)` for each of `numbers`, in their order. So many threads read, and keep up to `most` results."""
    if workers == 1:
        for i in numbers:
            yield read(i)
        return
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(workers, "kfunc worker")
    due: collections.deque = collections.deque()
    try:
        for i in numbers:
            due.append(pool.submit(contextvars.copy_context().run, read, i))
            if len(due) >= max(most, workers):
                yield due.popleft().result()
        while due:
            yield due.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _checked(argument: str, dataset: Any) -> Any:
    if not hasattr(dataset, "__getitem__") or isinstance(dataset, dict | tuple) or kind_of(type(dataset)) is not None:
        fix = "kf.data.Dataset.from_tensor_slices(arrays) makes one of arrays"
        raise ArgumentError.must_be(argument, "a data set whose items are looked up by their numbers", dataset, fix=fix)
    return dataset


# -- data sets that are made of others ---------------------------------------------------------------------------------


class _Made(Dataset):
    """Base of all that is made of other data sets: a subclass says how many items there are, and what item `i` is.

    Only the data set that `fit` or a loop was given counts epochs; it tells the others the number of the epoch when it
    asks for an item. So one data set may be a part of several others.
    """

    def __init__(self, *parents: Any):
        workers = max(map(workers_of, parents), default=1)
        super().__init__(workers, max_queue_size=max((getattr(p, "max_queue_size", 10) for p in parents), default=10))
        self._parents = parents
        self._epochs = self._iterations = 0

    def _count(self) -> int | None:
        """How many items there are; None if there is no end."""
        raise NotImplementedError

    def _item(self, i: int, epoch: int) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        found = self._count()
        if found is None:
            raise TypeError("This data set has no end, and so no length.")
        return found

    def __getitem__(self, index: int) -> Any:
        count, i = self._count(), operator.index(index)
        if i < 0 and count is not None:
            i += count
        if i < 0 or (count is not None and i >= count):
            raise IndexingError(f"The item {index} was asked for, of {'an endless' if count is None else count}.")
        return self._item(i, max(self._epochs - 1, 0))

    def __iter__(self) -> Iterator[Any]:
        epoch, count = self._iterations, self._count()
        self._iterations += 1
        numbers = range(sys.maxsize if count is None else count)
        return in_order(lambda i: self._item(i, epoch), numbers, workers_of(self), self.max_queue_size)

    def on_epoch_begin(self) -> None:
        self._epochs += 1
        self._tell("on_epoch_begin")

    def on_epoch_end(self) -> None:
        self._tell("on_epoch_end")

    def _tell(self, hook: str) -> None:
        for root in self._roots().values():
            getattr(root, hook, lambda: None)()

    def _roots(self) -> dict[int, Any]:
        """The data sets of the user's own classes, each once."""
        found: dict[int, Any] = {}
        for parent in self._parents:
            found |= parent._roots() if isinstance(parent, _Made) else {id(parent): parent}
        return found


def _of(dataset: Any, i: int, epoch: int) -> Any:
    """Item `i` of any data set."""
    return dataset._item(i, epoch) if isinstance(dataset, _Made) else dataset[i]


def _finite(dataset: Any, what: str) -> int:
    if (count := length(dataset)) is None:
        raise ArgumentError(
            f"A data set without end cannot be {what}.",
            expected="a data set with a length",
            got="no end",
            fix="call take(count) before it",
        )
    return count


class _Rows(_Made):
    def __init__(self, tensors: Tree):
        super().__init__()
        leaves, self._structure = tree.flatten(tensors, lambda x: isinstance(x, list))
        self._arrays = [to_numpy(x) if kind_of(type(x)) is not None else np.asarray(x) for x in leaves]
        sizes = {a.shape[:1] for a in self._arrays}
        if len(sizes) != 1 or () in sizes:
            found = ", ".join(str(a.shape) for a in self._arrays) or "no arrays"
            raise ShapeError(
                f"`tensors` must be arrays with one number of rows, got {found}.",
                argument="tensors",
                expected="arrays whose first axes have one size",
                got=found,
            )
        self._rows: int = sizes.pop()[0]

    def _count(self) -> int:
        return self._rows

    def _item(self, i: int, epoch: int) -> Any:
        return tree.unflatten(self._structure, [a[i] for a in self._arrays])


class _Zipped(_Made):
    def _count(self) -> int | None:
        return min((n for p in self._parents if (n := length(p)) is not None), default=None)

    def _item(self, i: int, epoch: int) -> Any:
        return tuple([_of(parent, i, epoch) for parent in self._parents])


class _Joined(_Made):
    def __init__(self, first: Any, second: Any):
        super().__init__(first, second)
        _finite(first, "followed by another one")

    def _count(self) -> int | None:
        first, second = map(length, self._parents)
        return None if first is None or second is None else first + second

    def _item(self, i: int, epoch: int) -> Any:
        (first, second), before = self._parents, len(self._parents[0])
        return _of(first, i, epoch) if i < before else _of(second, i - before, epoch)


class _Each(_Made):
    """Base of those with one parent; by default with as many items as that."""

    def __init__(self, parent: Any):
        super().__init__(parent)
        self._parent = parent

    def _count(self) -> int | None:
        return length(self._parent)


class _Mapped(_Each):
    def __init__(self, parent: Any, function: Any, workers: int | None, seed: int):
        super().__init__(parent)
        from ..nn.call import as_layer
        from ..nn.layer import Layer

        self.workers = self.workers if workers is None else workers
        function = as_layer(function)
        self._layer = function if isinstance(function, Layer) else None
        self._function, self._seed = function, seed
        self._lock = threading.Lock()
        self._made: tuple[Tree, Tree] | None = None  # the parameters and the state of the layer
        if self._layer is None and not callable(function):
            raise ArgumentError.must_be("map_func", "a function or a layer", function)

    def _item(self, i: int, epoch: int) -> Any:
        item = _of(self._parent, i, epoch)
        if self._layer is None:
            return self._function(*item) if type(item) is tuple else self._function(item)
        x, *rest = item if type(item) is tuple else (item,)
        key = random.fold_in(random.fold_in(random.key(self._seed), epoch), i)
        params, state = self._values(x)
        y, _ = self._layer.apply(params, x, state=state, key=key, train=True)
        return (y, *rest) if rest else y

    def _values(self, x: Any) -> tuple[Tree, Tree]:
        """The parameters and the state of the layer, which are made once. It must have no weights: nothing trains."""
        with self._lock:
            if self._made is None:
                layer: Any = self._layer
                params, state = layer.init(0, x)
                if tree.leaves(params):
                    raise ArgumentError(
                        f"`map_func` is the layer {type(layer).__name__}, which has weights.",
                        argument="map_func",
                        expected="a layer without weights",
                        got=type(layer).__name__,
                        fix="call it by a function of your own: lambda x, y: (layer.apply(params, x)[0], y)",
                    )
                self._made = params, state
            return self._made


class _Batched(_Each):
    def __init__(self, parent: Any, batch_size: int, drop_remainder: bool, filling: float | None = None):
        super().__init__(parent)
        self._size = checks.count("batch_size", batch_size)
        self._drops = checks.boolean("drop_remainder", drop_remainder)
        self._filling = None if filling is None else checks.number("padding_values", filling)

    def _count(self) -> int | None:
        count = length(self._parent)
        return count if count is None else count // self._size if self._drops else -(-count // self._size)

    def _item(self, i: int, epoch: int) -> Any:
        first, count = i * self._size, length(self._parent)
        last = first + self._size if count is None else min(first + self._size, count)
        items = [_of(self._parent, n, epoch) for n in range(first, last)]
        leaves, structure = tree.flatten(items[0])
        columns = [leaves]
        for n, item in enumerate(items[1:], first + 1):
            leaves, other = tree.flatten(item)
            if other != structure:
                raise ShapeError(f"Item {n} has another structure than item {first}.", expected=structure, got=other)
            columns.append(leaves)
        return tree.unflatten(structure, [self._stacked(list(c), first) for c in zip(*columns, strict=True)])

    def _stacked(self, values: list[Any], first: int) -> Any:
        if isinstance(values[0], str | bytes):
            return np.array([str(x) if isinstance(x, str) else x for x in values], dtype=object)
        arrays = [to_numpy(x) if kind_of(type(x)) is not None else np.asarray(x) for x in values]
        shapes = [a.shape for a in arrays]
        if self._filling is not None and len({len(shape) for shape in shapes}) == 1:
            out: Any = np.full((len(arrays), *map(max, *shapes, shapes[0])), self._filling, arrays[0].dtype)
            for n, a in enumerate(arrays):
                out[(n, *map(slice, a.shape))] = a
            return out
        if wrong := [n for n, shape in enumerate(shapes) if shape != shapes[0]]:
            raise ShapeError(
                f"Items of a batch have different shapes: item {first} has {shapes[0]}, and item {first + wrong[0]} "
                f"has {shapes[wrong[0]]}.",
                expected=shapes[0],
                got=shapes[wrong[0]],
                fix="bring them to one size by map before batch, or call padded_batch, which fills up the shorter ones",
            )
        return np.stack(arrays)


class _Shuffled(_Each):
    def __init__(self, parent: Any, seed: int, again: bool):
        super().__init__(parent)
        _finite(parent, "shuffled")
        self._seed, self._again = seed, again
        self._orders: dict[tuple[int, int], Any] = {}  # the newest two: an epoch may begin while another is read
        self._lock = threading.Lock()

    def _item(self, i: int, epoch: int) -> Any:
        at = epoch if self._again else 0, length(self._parent) or 0
        with self._lock:
            if at not in self._orders:
                if len(self._orders) > 1:
                    del self._orders[min(self._orders)]
                self._orders[at] = order_of(random.key(self._seed), *at)
            order = self._orders[at]
        return _of(self._parent, int(order[i]), epoch)


class _Cached(_Each):
    def __init__(self, parent: Any):
        super().__init__(parent)
        self._kept: dict[int, Any] = {}

    def _item(self, i: int, epoch: int) -> Any:
        if i not in self._kept:
            self._kept[i] = _of(self._parent, i, 0)
        return self._kept[i]


class _Part(_Each):
    """Those from number `start`, and before number `stop`."""

    def __init__(self, parent: Any, start: int, stop: int | None):
        super().__init__(parent)
        self._start, self._stop = start, stop

    def _count(self) -> int | None:
        ends = [n for n in (length(self._parent), self._stop) if n is not None]
        return max(0, min(ends) - self._start) if ends else None

    def _item(self, i: int, epoch: int) -> Any:
        return _of(self._parent, self._start + i, epoch)


class _Repeated(_Each):
    def __init__(self, parent: Any, rounds: int | None):
        super().__init__(parent)
        _finite(parent, "repeated")
        self._rounds = rounds

    def _count(self) -> int | None:
        count = length(self._parent)
        return count if not count else None if self._rounds is None else count * self._rounds

    def _item(self, i: int, epoch: int) -> Any:
        done, i = divmod(i, length(self._parent) or 1)
        # Without an end, the numbers go on from one epoch to the next one, and so do the rounds.
        return _of(self._parent, i, done if self._rounds is None else epoch * self._rounds + done)
