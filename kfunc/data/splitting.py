"""`split_dataset`: two data sets of one, as `keras.utils` has it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import checks, tree
from ..arrays import kind_of
from ..errors import ArgumentError
from .dataset import Dataset
from .items import length

__all__ = ["split_dataset"]


def split_dataset(
    dataset: Any,
    left_size: float | None = None,
    right_size: float | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    preferred_backend: str | None = None,
) -> tuple[Dataset, Dataset]:
    """Two data sets of the items of one, such as for training and for validation.

    Args:
        dataset: A `kf.data.Dataset`, or what has `__len__` and `__getitem__`, such as a data set of torch; an array of
            any backend, or a tuple, a list or a dict of arrays, which are split along their first axis; or an iterable
            of items, such as a `tf.data.Dataset`, which is read into memory.
        left_size: How many items the first one has, or which part of them, between 0 and 1; by default the others.
        right_size: The same for the second one. Items that are in neither are left out.
        shuffle: Whether the items are divided at random. They stay in that order.
        seed: For that; None is 0.
        preferred_backend: Has no effect: the data sets are always `kf.data.Dataset`s.

    Raises:
        ArgumentError: The sizes do not fit to the items, or neither is given; or `dataset` is something else.
    """
    checks.boolean("shuffle", shuffle)
    checks.natural("seed", seed, none=True)
    items = _items(dataset)
    count = length(items) or 0
    left, right = (_size(name, x, count) for name, x in (("left_size", left_size), ("right_size", right_size)))
    if left is None and right is None:
        raise ArgumentError("`left_size` or `right_size` must be given.", argument="left_size", expected="one of them")
    left = count - right if left is None else left  # type: ignore[operator]
    right = count - left if right is None else right
    if left < 1 or right < 1 or left + right > count:
        raise ArgumentError(
            f"`left_size` and `right_size` do not divide {count} items: they are {left} and {right} items.",
            argument="left_size" if left < 1 else "right_size",
            expected=f"sizes of 1 or more, {count} together at most",
            got=f"left_size={left_size}, right_size={right_size}",
        )
    if shuffle:
        items = items.shuffle(seed=seed or 0, reshuffle_each_iteration=False)
    return items.take(left), items.skip(count - right)


def _size(name: str, value: Any, count: int) -> int | None:
    if value is None:
        return None
    value = checks.as_python(value)
    if isinstance(value, float):
        if not 0 < value < 1:
            raise ArgumentError.must_be(name, "a number of items, or a fraction between 0 and 1", value)
        return round(value * count)
    return checks.natural(name, value)


def _items(dataset: Any) -> Dataset:
    leaves = tree.leaves(dataset)
    if leaves and all(kind_of(type(x)) is not None for x in leaves):
        return Dataset.from_tensor_slices(tuple(dataset) if isinstance(dataset, list) else dataset)
    by_number = hasattr(dataset, "__getitem__") and not isinstance(dataset, tuple | dict | str | bytes)
    if not (by_number and length(dataset) is not None):
        if not isinstance(dataset, Iterable) or isinstance(dataset, str | bytes | dict):
            raise ArgumentError.must_be("dataset", "a data set, arrays, or an iterable of items", dataset)
        dataset = list(dataset)
    return Dataset.skip(dataset, 0)  # all items of any object that has them by their numbers
