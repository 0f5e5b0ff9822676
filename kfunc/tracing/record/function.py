"""Recorded functions: which program runs for which arguments, and what happens where none fits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from ... import tree
from ...backends.base import Backend
from ...backends.registry import kind_of
from .backend import record_of
from .recording import Again, CannotRecord, Otherwise, Recording, written

__all__ = ["Loop", "RecordedFunction", "recorded"]

_MOST_FORMS = 64
_MOST_PATHS = 4
_MOST_MISSES = 8


def recorded(backend: Backend, fun: Callable[..., Any], donate_argnums: tuple[int, ...] = ()) -> Callable[..., Any]:
    """`fun`, a pure function, as a backend without a compiler runs it fastest: as its kernel calls alone.

    In a loop, the memory of arguments in `donate_argnums` may be taken for the results; see `Loop`.
    """
    return fun if backend.compiles else RecordedFunction(backend, fun, donate_argnums)


class _Path:
    """A program, and the structure of its result.

    Attributes:
        run: The program.
        structure, form: The structure and the form of the result.
        taken: The numbers of the donated arguments to whose memory a program in parts may write.
        split: The two parts of the program, see `Recording.split`. It takes the number of arguments that stay the same,
            and whether the memory of arguments is taken.
    """

    def __init__(
        self, recording: Recording, inputs: int, outs: list[str], structure: Any, form: Any, donated: Collection[str]
    ) -> None:
        self.run, self.structure, self.form = recording.program(inputs, outs), structure, form
        taken = recording.taken(outs, donated) if donated else set()
        self.taken = sorted(int(name[1:]) for name in taken)
        self.split = functools.cache(
            lambda fixed, takes=False: recording.split(inputs, outs, taken if takes else (), fixed)
        )


class _Paths:
    """The paths for arguments of one form.

    Attributes:
        paths: The paths, in the order in which they were found.
        more: Whether to record another one where none of them fits.
        misses: How often none of them fitted, less half of how often one did.
    """

    __slots__ = ("misses", "more", "paths")

    def __init__(self) -> None:
        self.paths: list[_Path] = []
        self.more = True
        self.misses = 0.0

    def hit(self, times: int = 1) -> None:
        self.misses = max(0.0, self.misses - 0.5 * times)

    def miss(self) -> None:
        """Forget the paths where they do not fit too often: trying them costs time."""
        self.misses += 1
        if self.misses > _MOST_MISSES:
            self.paths.clear()
            self.more = False


class RecordedFunction:
    """`fun`, a pure function of trees of `backend`'s arrays, which runs as a program where one fits."""

    def __init__(self, backend: Backend, fun: Callable[..., Any], donate_argnums: tuple[int, ...] = ()) -> None:
        functools.update_wrapper(self, fun)
        self._donated = donate_argnums
        self.backend: Backend = backend
        self._fun = fun
        self._known: dict[Any, _Paths] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(*tree.flatten((args, kwargs)), args, kwargs)

    def run(self, leaves: list, structure: Any, args: tuple, kwargs: dict) -> Any:
        """A call with arguments whose leaves and structure are known."""
        known = self.known(leaves, structure)
        if known is None:
            return self._eager(args, kwargs)
        for path in known.paths:
            try:
                with np.errstate(all="ignore"):
                    outs = path.run(*leaves)
            except Otherwise:
                continue
            except Exception:
                return self._eager(args, kwargs)  # it fails in the same way, with the path of the layer in the error
            known.hit()
            return tree.unflatten(path.structure, outs)
        known.miss()
        if not known.more:
            return self._eager(args, kwargs)
        known.more = len(known.paths) + 1 < _MOST_PATHS
        try:
            path, result = self._recorded(leaves, structure, self._donated_names(args))
        except (CannotRecord, Exception):
            known.more = False
            return self._eager(args, kwargs)
        known.paths.append(path)
        return result

    def watching(self, recording: Recording) -> AbstractContextManager[Any]:
        """The context in which `fun` runs to be recorded."""
        return nullcontext()

    def _recorded(self, leaves: list, structure: Any, donated: Collection[str]) -> tuple[_Path, Any]:
        """Run `fun` on these arguments: the path that it took, and its result."""
        backend = self.backend
        recorder, recording = record_of(backend), Recording()
        cls = recorder.cls
        given = [x if kind_of(type(x)) is None else cls(x, recording, f"a{i}") for i, x in enumerate(leaves)]
        args, kwargs = tree.unflatten(structure, given)
        try:
            with self.watching(recording):
                outs, out_structure = tree.flatten(self._fun(*args, **kwargs))
        except Again:
            return self._recorded(leaves, structure, donated)
        names, values = [], []
        for x in map(recorder.lift, outs):
            if x.__class__ is cls and x.recording is None:  # a constant is copied: each run returns memory of its own
                call = written(recorder.copy, (cls(recorder.copy(x.value)),), {}, recording)
                x = cls(x.value, recording, recording.add(call))
            elif x.__class__ is cls and _is_scalar(x.value):
                x = recorder.xp.asarray(x)
            names.append(x.name if x.__class__ is cls else recording.constant(x))
            values.append(x.value if x.__class__ is cls else x)
        path = _Path(recording, len(leaves), names, out_structure, backend.form(values), donated)
        return path, tree.unflatten(out_structure, values)

    def _eager(self, args: tuple, kwargs: dict) -> Any:
        return tree.map(functools.partial(_as_array, self.backend.xp), self._fun(*args, **kwargs))

    def _donated_names(self, args: tuple) -> set[str]:
        """The variables of the leaves of arguments that are donated."""
        names, count = set(), 0
        for i, arg in enumerate(args if self._donated else ()):
            n = len(tree.leaves(arg))
            names |= {f"a{k}" for k in range(count, count + n)} if i in self._donated else set()
            count += n
        return names

    def known(self, leaves: list[Any], structure: Any) -> _Paths | None:
        """The paths for arguments of this form; None if nothing shall be recorded now.

        Nothing is recorded at the first call of a form: many functions are called only once.
        """
        form = self.backend.form(leaves)
        if form is None:
            return None
        try:
            known = self._known.get((structure, form))
        except TypeError:  # a leaf that has no hash
            return None
        if known is None and len(self._known) < _MOST_FORMS:
            self._known[structure, form] = _Paths()
        return known

    def loop(self, fixed: Any) -> Loop:
        """Calls `carry = fun(fixed, carry, batch)`, one after the other."""
        return Loop(self, fixed)


class Loop:
    """A recorded function in a loop. Between the steps the carry stays flat, as the leaves that programs take.

    The carry is any object with the `leaves` and the `structure` of a tree, the tree itself as `value`, and
    `put(leaves, structure)`, which replaces it. A carry without leaves is a place to put results instead.

    If the carry is donated, programs write to its memory. Somebody else may have the arrays with which the loop begins,
    so these are copied. A program must not be able to see what it writes through another array, such as a view that it
    returns beside the array: the arrays of the first two steps tell. If it could, it takes no memory.
    """

    def __init__(self, function: RecordedFunction, fixed: Any) -> None:
        self._function, self._fixed, self._fixed_leaves = function, fixed, tree.leaves(fixed)
        self._parts: dict[Any, tuple[Callable[..., list], list]] = {}
        self._owned: _Path | None = None  # the path that made the carry, or for which it was copied
        self._checks = 0  # how often the memory of the carry that this path makes is still to be looked at
        self._takes = True

    def run(self, carry: Any, batch: Any, size: int) -> None:
        """A step for each `size` samples of the batch, and one for the rest of them."""
        leaves, structure = tree.flatten(batch)
        steps = list(zip(*(_pieces(self._function.backend.xp, a, size) for a in leaves), strict=True))
        whole = leaves[0].shape[0] // size
        for alike in filter(None, (steps[:whole], steps[whole:])):
            done = self._replayed(carry, structure, alike)
            while done < len(alike):
                out = self._function(self._fixed, carry.value, tree.unflatten(structure, alike[done]))
                carry.put(*tree.flatten(out))
                done += 1
                done += self._replayed(carry, structure, alike[done:])

    def repeat(self, carry: Any, times: int) -> None:
        """So many steps without a batch: it is ()."""
        while times:
            done = self._replayed(carry, tree.structure(()), [[]] * times)
            if not done:
                carry.put(*tree.flatten(self._function(self._fixed, carry.value, ())))
                self._owned = None
            times -= done or 1

    def _replayed(self, carry: Any, structure: Any, batches: list) -> int:
        """Run the first path for as many of the batches, all of one form, as it fits; how many these were."""
        if not batches:
            return 0
        function, fixed, done = self._function, self._fixed_leaves, 0
        leaves, args = tree.flatten(((self._fixed, carry.value, tree.unflatten(structure, batches[0])), {}))
        known = function.known(leaves, args)
        path = next(iter(known.paths), None) if known is not None else None  # another thread may clear them
        if known is None or path is None:
            return 0
        if carry.leaves and (path.structure, path.form) != (carry.structure, function.backend.form(carry.leaves)):
            return 0
        try:
            with np.errstate(all="ignore"):
                run, made = self._part(path, carry)
                for leaves in batches:
                    carry.put(run(*fixed, *carry.leaves, *leaves, *made), path.structure)
                    done += 1
                    if self._checks and path.taken:
                        run, made = self._checked(path, carry)
        except Exception:
            pass  # the function itself raises it again, or takes another path
        known.hit(done)
        return done

    def _part(self, path: _Path, carry: Any) -> tuple[Callable[..., list], list]:
        """The late part of the program, which may take the memory of the carry, and the results of the early part."""
        takes = self._takes and bool(path.taken)
        if takes and self._owned is not path:
            leaves, copy = list(carry.leaves), record_of(self._function.backend).copy
            for i in path.taken:
                i -= len(self._fixed_leaves)
                leaves[i] = copy(leaves[i])
            carry.put(leaves, carry.structure, 0)
            self._owned, self._checks = path, 2
        key = path, takes
        return self._parts.get(key) or self._parts.setdefault(key, _with_early_results(path, self._fixed_leaves, takes))

    def _checked(self, path: _Path, carry: Any) -> tuple[Callable[..., list], list]:
        """`_part` after a step that has made the carry."""
        self._checks -= 1
        extent = self._function.backend.extent
        places = [extent(x) if getattr(x, "shape", ()) else (0, 0) for x in (*self._fixed_leaves, *carry.leaves)]
        for i in path.taken:
            begin, end = places[i]
            # An array of more numbers than its memory has repeats some of them.
            repeats = end - begin < getattr(carry.leaves[i - len(self._fixed_leaves)], "nbytes", 0)
            if repeats or any(begin < b and a < end for k, (a, b) in enumerate(places) if k != i):
                self._takes = False
        return self._part(path, carry)


def _with_early_results(path: _Path, fixed: list, takes: bool) -> tuple[Callable[..., list], list]:
    """The late part of a program, and the results of the early part; the whole program, where no line is early."""
    parts = path.split(len(fixed), takes) if fixed or takes else None
    return (path.run, []) if parts is None else (parts[1], parts[0](*fixed))


def _pieces(xp: Any, a: Any, size: int) -> list:
    """`a` (samples, ...) in pieces of `size` samples, and a last piece with the rest."""
    n = a.shape[0] // size
    pieces = list(xp.unstack(xp.reshape(a[: n * size, ...], (n, size, *a.shape[1:])))) if n else []
    return pieces if n * size == a.shape[0] else [*pieces, a[n * size :, ...]]


def _is_scalar(x: Any) -> bool:
    """Whether `x` is what NumPy's reductions return: it is no array, and kernels treat it differently."""
    kind = kind_of(type(x))
    return kind is not None and kind.rank < 0


def _as_array(xp: Any, x: Any) -> Any:
    return xp.asarray(x) if _is_scalar(x) else x
