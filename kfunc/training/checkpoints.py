"""A directory of training states, a file each, that survives a killed process, a full disk and a flipped bit."""

from __future__ import annotations

import contextlib
import math
import os
import re
import warnings
from collections.abc import Mapping
from typing import Any

from .. import checks, files, metrics, tree
from ..arrays import asarray, backend_of, device, dtype_name, to_numpy
from ..backends import kind_of
from ..errors import ArgumentError, FileError, shown
from ..metrics.directions import direction

__all__ = ["Checkpoints", "by_path", "matched", "on_host", "single", "text", "texts", "whole"]

_NAME = r"step-([0-9]{12,18})\.safetensors"
_NAMED = 1000  # arrays that an error tells of
_LAST = 10**18 - 1  # the largest step whose name has so many digits


class Checkpoints:
    """Trees of arrays in a directory, one file for each step at which one was saved.

    A file is written under another name, with a digest of all its contents, and gets its own name in one step when it
    is on the disk; only then older files are removed. So at every moment, however the process ends, the newest file
    whose digest is right is complete. Several processes may save into one directory.

    Args:
        directory: Made if there is none.
        every: In `fit`, after how many steps a state is saved, beside the one at the end of each epoch; None for that
            one alone.
        keep_last: How many of the newest stay; None for all.
        keep_best: How many of the best stay besides.
        monitor: By which of the metrics the best are found.
        mode: "min" if lower is better, "max" if higher is; "auto" follows from the name.

    Raises:
        ArgumentError: An argument has a wrong value, or "auto" does not know the name.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        every: int | None = None,
        keep_last: int | None = 3,
        keep_best: int = 0,
        monitor: str = "val_loss",
        mode: str = "auto",
    ):
        with files.blaming(directory):
            self.directory: str = os.fsdecode(directory)
        self.every: int | None = checks.positive("every", every, none=True)
        self.keep_last: int | None = checks.positive("keep_last", keep_last, none=True)
        self.keep_best: int = checks.natural("keep_best", keep_best)
        self.monitor: str = monitor
        self.mode: str = checks.one_of("mode", mode, ("auto", "min", "max"))
        if keep_best:
            self._sign()
        # By step: the identity of the file that was read last, and its metrics; None in their place if it is bad.
        self._seen: dict[int, tuple[Any, dict[str, float] | None]] = {}

    def __repr__(self) -> str:
        return f"Checkpoints({self.directory!r})"

    def save(self, step: int, state: Any, metrics: Mapping[str, Any] | None = None) -> None:
        """Write the tree `state` of step `step`, and remove the files that need not stay.

        Args:
            state: A tree as `kf.save` takes it.
            metrics: Numbers by which the best are found.

        Raises:
            ArgumentError: The tree holds something that cannot be stored.
            FileError: It could not be written, for example as no space is left. All other files are as they were.
        """
        step = checks.integer("step", step, 0, _LAST)
        path = self.path(step)
        numbers = {n: float(v) for n, v in tree.map(on_host, dict(metrics or {})).items() if _is_number(v)}
        self.prepare()
        files.save({"step": step, "metrics": [list(pair) for pair in numbers.items()], "tree": state}, path)
        self._seen[step] = _identity(path), numbers
        with files.blaming(self.directory, "tidied up"):
            self._prune(step)

    def restore(self, step: int | None = None, like: Any = None) -> Any:
        """The tree of step `step`, or of the newest one that verifies; None if the directory has none at all.

        Args:
            like: A tree whose structure, dtypes and shapes it is to have: it comes back with the named tuples of `like`
                and on the backends and devices of its arrays; without it, as NumPy arrays.

        Raises:
            FileError: The file of `step`, or every one, is bad; or the tree is not like `like`.

        A `UserWarning` names the newer files that are bad.
        """
        if step is None:
            found = self.newest()
            if found is None:
                return None
            step, state = found
        else:
            step = checks.integer("step", step, 0, _LAST)
            state = self._load(step)
        return state if like is None else matched(by_path(state), like, self.path(step))

    def steps(self) -> list[int]:
        """The steps that have a file, good or bad, in ascending order."""
        with files.blaming(self.directory):
            names = os.listdir(self.directory) if os.path.isdir(self.directory) else []
        steps = {name: int(found[1]) for name in names if (found := re.fullmatch(_NAME, name))}
        return sorted(step for name, step in steps.items() if name == os.path.basename(self.path(step)))

    @property
    def latest(self) -> int | None:
        """The newest step whose file verifies; None if there is none."""
        return next((step for step in reversed(self.steps()) if self._metrics(step) is not None), None)

    @property
    def best(self) -> int | None:
        """The step with the best `monitor` of those whose files verify, the first of equals; None if there is none."""
        return next(iter(self._ranked()), None)

    def clear(self) -> None:
        """Remove all, the newest last, and the directory if nothing else is in it."""
        with files.blaming(self.directory, "cleared"):
            if not os.path.isdir(self.directory):
                return
            files.sweep(self.directory, _NAME)
            for step in self.steps():
                self._remove(step)
            with contextlib.suppress(OSError):  # it is not empty
                os.rmdir(self.directory)

    def prepare(self) -> None:
        """Make the directory, and remove half-written files that killed processes have left in it."""
        with files.blaming(self.directory, "made"):
            if not os.path.isdir(self.directory):
                files.make_directory(self.directory)
            files.sweep(self.directory, _NAME)

    def newest(self) -> tuple[int, Any] | None:
        """The newest step that verifies and its tree; as `restore`."""
        bad: list[str] = []
        steps = self.steps()
        while steps:
            step = steps.pop()
            try:
                found = step, self._load(step)
            except FileError as error:
                if not os.path.lexists(self.path(step)):  # another process has removed it just now, for a newer one
                    bad, steps = [], self.steps()
                    continue
                bad.append(str(error).replace("\n", " "))
                continue
            if bad:
                names = "\n".join(bad)
                warnings.warn(f"Step {step} is taken, as newer checkpoints are bad:\n{names}", stacklevel=3)
            return found
        if bad:
            raise FileError(
                f"None of the checkpoints in {self.directory} can be used.",
                expected="at least one that verifies",
                got="\n".join(bad),
                fix="bring back a copy; or remove them, to begin anew",
            )
        return None

    def path(self, step: int) -> str:
        """The file of a step."""
        return os.path.join(self.directory, f"step-{step:012d}.safetensors")

    def _load(self, step: int) -> Any:
        path = self.path(step)
        identity = _identity(path)
        self._seen[step] = identity, None
        match files.load(path):
            case {"step": int(found), "metrics": [*pairs], "tree": state} if found == step and _are_metrics(pairs):
                self._seen[step] = identity, dict(pairs)
                return state
            case {"step": int(found)} if found != step:
                raise FileError(f"{path} has another step than its name.", expected=step, got=found)
        raise FileError(f"{path} is not a checkpoint.", expected="a file that Checkpoints.save wrote")

    def _metrics(self, step: int) -> dict[str, float] | None:
        """The metrics of a step; None if its file does not verify."""
        known = self._seen.get(step)
        if known is None or known[0] is None or known[0] != _identity(self.path(step)):
            with contextlib.suppress(FileError):
                self._load(step)
        return self._seen[step][1]

    def _sign(self) -> int:
        """1 if lower is better, else -1."""
        if self.mode != "auto":
            return -1 if self.mode == "max" else 1
        name, found = self.monitor.removeprefix("val_"), None
        if name == "loss":
            return 1
        with contextlib.suppress(ArgumentError):
            found = direction(metrics.resolve(name, output_shape=(1, 1), label_shape=(1, 1)))
        if found is None:
            raise ArgumentError(
                f"`mode` must be 'min' or 'max': Checkpoints cannot tell which of {self.monitor!r} is better.",
                argument="mode",
                expected='"min" or "max", or for "auto" the name of a loss or of a metric of kfunc\'s',
                got='"auto"',
            )
        return -1 if found == "max" else 1

    def _ranked(self) -> list[int]:
        """The steps whose files verify and have the metric, the best first."""
        sign = self._sign()
        values = {step: (self._metrics(step) or {}).get(self.monitor, math.nan) for step in self.steps()}
        return sorted((s for s, v in values.items() if not math.isnan(v)), key=lambda s: (sign * values[s], s))

    def _prune(self, saved: int) -> None:
        steps = self.steps()
        # Files that are known to be bad do not count among the newest; they go when a newer one is there.
        good = [s for s in steps if self._seen.get(s, (None, {}))[1] is not None]
        kept = {saved, *(s for s in steps if s > saved and s not in good)}
        kept.update(good if self.keep_last is None else good[-self.keep_last :])
        if self.keep_best:
            kept.update(self._ranked()[: self.keep_best])
        for step in set(steps) - kept:
            self._remove(step)

    def _remove(self, step: int) -> None:
        self._seen.pop(step, None)
        if not os.path.isdir(self.path(step)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(step))


def on_host(x: Any) -> Any:
    """An array as NumPy's; anything else as it is."""
    return x if kind_of(type(x)) is None else to_numpy(x)


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float) or getattr(x, "ndim", 1) == 0


def _are_metrics(pairs: list[Any]) -> bool:
    return all(isinstance(p, list) and [type(part) for part in p] == [str, float] for p in pairs)


def _identity(path: str) -> Any:
    """A value that differs between any two files that were ever at `path`; None if there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def matched(theirs: dict[str, Any], like: Any, path: str) -> Any:
    """NumPy arrays by their paths in a tree as a tree like `like`, on the backends and devices of its arrays.

    Raises:
        FileError: Its structure, or a dtype or shape, is another.
    """
    ours = by_path(like)
    wrong = [n for n in ours | theirs if _form(ours.get(n)) != _form(theirs.get(n))]
    if wrong:
        name = min(wrong, key=lambda name: name.count("/"))  # the other differences may follow from that one
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        each = [f"{n}: {_form(ours.get(n))}, got {_form(theirs.get(n))}" for n in wrong[:_NAMED]]
        raise FileError(
            f"{path} was saved from another training: {name} differs{more}.",
            path=name,
            expected="\n    ".join(["", *each]) if more else _form(ours.get(name)),
            got=f"{len(wrong)} others" if more else _form(theirs.get(name)),
            fix="build and compile as it was when the file was written, or take another directory",
        )
    leaves = [_moved(theirs[name], x) for name, x in ours.items()]
    return tree.unflatten(tree.structure(like), leaves)


def by_path(x: Any) -> dict[str, Any]:
    """The leaves of a tree by their paths."""
    return dict(zip(tree.paths(x), tree.leaves(x), strict=True))


def _form(x: Any) -> str:
    if x is None:
        return "nothing"
    return type(x).__name__ if kind_of(type(x)) is None else f"{dtype_name(x.dtype)} {tuple(x.shape)}"


def _moved(x: Any, like: Any) -> Any:
    if kind_of(type(like)) is None:
        return x
    backend = backend_of(like)
    return asarray(x, backend=backend, device=device(backend.lift(like)))


def whole(value: Any, none: bool = False, below: int = 2**63) -> Any:
    """A number of things that a checkpoint holds; or None, with `none`.

    Raises:
        TypeError: It is something else. The caller says of what it is a part.
    """
    if value is None and none:
        return None
    if type(value) is not int or not 0 <= value < below:
        raise TypeError(f"{shown(value)} is not a number of things")
    return value


def single(value: Any) -> Any:
    """A number or None, as `whole`."""
    real = type(value) in (int, float) or (getattr(value, "ndim", 1) == 0 and value.dtype.kind in "iuf")
    if value is not None and not real:
        raise TypeError(f"{shown(value)} is not a number")
    return value


def text(value: Any) -> str:
    """A text, as `whole`."""
    if not isinstance(value, str):
        raise TypeError(f"{shown(value)} is not a text")
    return value


def texts(values: Any) -> list[str]:
    """A list of texts, as `whole`."""
    if not isinstance(values, list):
        raise TypeError(f"{shown(values)} is not a list of texts")
    return [text(value) for value in values]
