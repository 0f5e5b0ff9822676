"""Files in folders as data sets: a folder for each class, or labels in a list."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import checks
from ..errors import ArgumentError, DataError, FileError, shown
from .dataset import Dataset

__all__ = ["directories"]

_MOST_WORKERS = 8


class Listing:
    """The files of a folder.

    Attributes:
        paths: Where each file is.
        labels: The class of each file, int32 (files,), or None.
        class_names: The names of the classes, or None.
    """

    def __init__(self, paths: list[str], labels: np.ndarray | None, class_names: list[str] | None):
        self.paths, self.labels, self.class_names = paths, labels, class_names

    def part(self, chosen: slice) -> Listing:
        return Listing(self.paths[chosen], None if self.labels is None else self.labels[chosen], self.class_names)


def files_of(
    directory: Any,
    labels: Any,
    endings: tuple[str, ...],
    class_names: Sequence[str] | None,
    shuffle: bool,
    seed: int | None,
    follow_links: bool,
    verbose: bool,
) -> Listing:
    """The files below `directory` whose names end with one of `endings`, in the order that Keras gives them.

    Raises:
        FileError: The directory does not exist.
        DataError: It has no files of that kind, or a class has none, or links make a circle.
        ArgumentError: `labels` or `class_names` do not fit to the files.
    """
    directory = os.fspath(directory)
    if not os.path.isdir(directory):
        raise FileError(f"There is no directory {directory!r}.", argument="directory", got=directory)
    inferred = isinstance(labels, str) and labels == "inferred"
    if not inferred and class_names is not None:
        raise ArgumentError(
            "`class_names` is given, but labels are not found from the names of folders.",
            argument="class_names",
            expected='labels="inferred", or no class_names',
            got=shown(class_names),
        )
    if inferred:
        found = sorted(e.name for e in os.scandir(directory) if e.is_dir() and not e.name.startswith("."))
        names = found if class_names is None else list(class_names)
        if missing := [name for name in names if name not in found]:
            raise ArgumentError(
                f"`class_names` has {missing[0]!r}, and there is no folder of that name.",
                argument="class_names",
                expected=f"names of folders in {directory!r}: {shown(found)}",
                got=shown(names),
            )
        each = [_walked(os.path.join(directory, name), endings, follow_links) for name in names]
        if any(each) and (empty := [name for name, paths in zip(names, each, strict=True) if not paths]):
            raise DataError(
                f"The folder {empty[0]!r} of {directory!r} has no files for this data set.",
                argument="directory",
                expected=f"files that end with {', '.join(endings)}",
                got=f"none in {shown(empty)}",
                fix="remove the folder, or name the others by class_names",
            )
        paths = [path for some in each for path in some]
        numbers = np.repeat(np.arange(len(names), dtype=np.int32), [len(some) for some in each])
        listing = Listing(paths, numbers, names)
    else:
        paths = _walked(directory, endings, follow_links)
        listing = Listing(paths, None, None)
        if labels is not None:
            if len(labels) != len(paths):
                raise ArgumentError(
                    f"`labels` has {len(labels)} labels, and there are {len(paths)} files.",
                    argument="labels",
                    expected=f"a label for each of the {len(paths)} files, in the order of their paths",
                    got=len(labels),
                )
            numbers = np.asarray([checks.integer("labels", checks.as_python(label)) for label in labels], np.int32)
            listing = Listing(paths, numbers, [str(label) for label in sorted(set(numbers.tolist()))])
    if not paths:
        raise DataError(
            f"The directory {directory!r} has no files for this data set.",
            argument="directory",
            expected=f"files that end with {', '.join(endings)}" + (", in a folder for each class" * inferred),
            got="none",
        )
    if verbose:
        classes = "" if listing.class_names is None else f" of {len(listing.class_names)} classes"
        print(f"Found {len(paths)} files{classes}.")
    if shuffle:  # the generator is Keras's, so that one seed gives the same training and validation files
        order = np.arange(len(paths))
        np.random.RandomState(seed or 0).shuffle(order)
        listing.paths = [paths[i] for i in order]
        listing.labels = None if listing.labels is None else listing.labels[order]
    return listing


def _walked(directory: str, endings: tuple[str, ...], follow_links: bool) -> list[str]:
    found: list[tuple[str, list[str]]] = []
    for root, folders, names in os.walk(directory, followlinks=follow_links):
        if follow_links:
            above = {os.path.realpath(root)} | {os.path.realpath(p) for p in Path(root).parents}
            for name in folders:
                if os.path.realpath(os.path.join(root, name)) in above:
                    raise DataError(
                        f"The link {os.path.join(root, name)!r} leads to a folder that it is in.",
                        argument="follow_links",
                        expected="links that make no circle",
                        got=os.path.realpath(os.path.join(root, name)),
                        fix="remove the link, or pass follow_links=False",
                    )
        found.append((root, [name for name in names if name.lower().endswith(endings)]))
    return [os.path.join(root, name) for root, names in sorted(found) for name in sorted(names)]


def labelled(items: Dataset, listing: Listing, label_mode: str | None) -> Dataset:
    """The items, each with its label: an int32 number, a float32 0 or 1 in an array (1,), or a float32 vector."""
    if listing.labels is None or label_mode is None:
        return items
    y = listing.labels
    if label_mode == "binary":
        y = y[:, None].astype(np.float32)
    elif label_mode == "categorical":
        y = (y[:, None] == np.arange(len(listing.class_names or ()))).astype(np.float32)
    return Dataset.zip(items, Dataset.from_tensor_slices(y))


def directories(
    read: Callable[[str], Any],
    batch_size: int | None,
    directory: Any,
    labels: Any,
    label_mode: str | None,
    class_names: Sequence[str] | None,
    endings: tuple[str, ...],
    shuffle: bool,
    seed: int | None,
    validation_split: float | None,
    subset: str | None,
    follow_links: bool,
    verbose: bool,
    padded: bool = False,
) -> Any:
    """The data set that a function `..._dataset_from_directory` returns; two of them with `subset="both"`.

    Args:
        read: Makes an item of a file.
        endings: The endings of the files that are read, in small letters.
        padded: Whether items of different sizes are filled up in a batch.
        batch_size, directory, labels, label_mode, class_names, shuffle, seed, validation_split, subset, follow_links,
            verbose: As those functions have them.
    """
    checks.positive("batch_size", batch_size, none=True)
    checks.one_of("label_mode", label_mode, ("int", "categorical", "binary", None))
    for name, value in (("shuffle", shuffle), ("follow_links", follow_links), ("verbose", bool(verbose))):
        checks.boolean(name, value)
    checks.natural("seed", seed, none=True)
    if not (labels is None or isinstance(labels, list | tuple | np.ndarray) or labels == "inferred"):
        raise ArgumentError.must_be("labels", '"inferred", a list of integers, or None', labels)
    if (validation_split is None) != (subset is None):
        raise ArgumentError(
            "`validation_split` and `subset` must be given together, got one of them.",
            argument="subset" if subset is None else "validation_split",
            expected="both, or neither",
            got=f"validation_split={validation_split}, subset={subset!r}",
        )
    checks.one_of("subset", subset, ("training", "validation", "both", None))
    if validation_split is not None and not 0 < checks.number("validation_split", validation_split) < 1:
        raise ArgumentError.must_be("validation_split", "a number between 0 and 1", validation_split)
    if label_mode is None:
        labels = None
    found = files_of(directory, labels, endings, class_names, shuffle, seed, follow_links, verbose)
    if label_mode == "binary" and found.class_names is not None and len(found.class_names) != 2:
        raise ArgumentError(
            f'`label_mode="binary"` needs 2 classes, and there are {len(found.class_names)}.',
            argument="label_mode",
            expected='"int" or "categorical", or 2 classes',
            got=shown(found.class_names),
        )

    def made(listing: Listing, shuffled: bool) -> Any:
        items = labelled(Files(listing.paths, read), listing, label_mode)
        dataset: Any = items.shuffle(seed=seed or 0) if shuffled else items
        if batch_size is not None:
            dataset = dataset.padded_batch(batch_size) if padded else dataset.batch(batch_size)
        dataset.class_names, dataset.file_paths = listing.class_names, listing.paths
        return dataset

    if validation_split is None:
        return made(found, shuffle)
    last = int(validation_split * len(found.paths))
    cut = len(found.paths) - last
    parts = {"training": found.part(slice(0, cut)), "validation": found.part(slice(cut, None))}
    wanted = [name for name in parts if subset in (name, "both")]
    for name in wanted:
        if not parts[name].paths:
            raise DataError(
                f"`validation_split` leaves no files for {name}: {validation_split} of {len(found.paths)} files.",
                argument="validation_split",
                expected="a fraction that leaves files on both sides",
                got=validation_split,
            )
        if verbose:
            print(f"Using {len(parts[name].paths)} files for {name}.")
    datasets = [made(parts[name], shuffle and name == "training") for name in wanted]
    return datasets if subset == "both" else datasets[0]


class Files(Dataset):
    """A data set with an item for each file: what `read` returns. As many threads read as there are processors."""

    def __init__(self, paths: Sequence[str], read: Callable[[str], Any]):
        super().__init__(workers=min(_MOST_WORKERS, os.cpu_count() or 1))
        self._paths, self._read = paths, read

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Any:
        return self._read(self._paths[index])
