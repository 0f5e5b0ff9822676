"""Recorded functions: which program runs for which arguments, and what happens where none fits."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import tree
from ...backends.base import Backend
from ...backends.registry import kind_of
from .backend import record_of
from .recording import Again, CannotRecord, Otherwise, Recording, written

__all__ = ["Loop", "RecordedFunction", "recorded"]

_FORMS = 64
_PATHS = 4
_MISSES = 8


class _Path:
    """What a recording of a function of so many arguments came to.

    Attributes:
        run: The program.
        structure, form: Those of its result.
    """

    def __init__(self, recording: Recording, inputs: int, outs: list[str], structure: Any, form: Any):
        self.run, self.structure, self.form = recording.program(inputs, outs), structure, form
        self.split = functools.cache(functools.partial(recording.split, inputs, outs))


class _Known:
    """What is known of arguments of one form.

    Attributes:
        paths: The programs, each for other answers to what the function asks.
        tries: Whether there may be more of them.
        misses: How often none was the one, less how often one was, by halves.
    """

    __slots__ = ("misses", "paths", "tries")

    def __init__(self) -> None:
        self.paths: list[_Path] = []
        self.tries = True
        self.misses = 0.0

    def hit(self, times: int = 1) -> None:
        self.misses = max(0.0, self.misses - 0.5 * times)

    def miss(self) -> None:
        """Give up where programs run in vain."""
        self.misses += 1
        if self.misses > _MISSES:
            self.paths.clear()
            self.tries = False


def recorded(backend: Backend, fun: Callable) -> Callable:
    """`fun`, a pure function, as a backend without a compiler runs it fastest: as its kernel calls alone."""
    return fun if backend.compiles else RecordedFunction(backend, fun)


class RecordedFunction:
    """`fun`, a pure function of trees of `backend`'s arrays; see `recorded`."""

    def __init__(self, backend: Backend, fun: Callable):
        functools.update_wrapper(self, fun)
        self.backend, self._fun = backend, fun
        self._known: dict[Any, _Known] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, structure = tree.flatten((args, kwargs))
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
                return self._eager(args, kwargs)  # which fails with the path of the layer
            known.hit()
            return tree.unflatten(path.structure, outs)
        known.miss()
        if not known.tries:
            return self._eager(args, kwargs)
        known.tries = len(known.paths) + 1 < _PATHS
        try:
            path, result = _recorded(self.backend, self._fun, leaves, structure)
        except (CannotRecord, Exception):
            known.tries = False
            return self._eager(args, kwargs)
        known.paths.append(path)
        return result

    def _eager(self, args: tuple, kwargs: dict) -> Any:
        return tree.map(functools.partial(_whole, self.backend.xp), self._fun(*args, **kwargs))

    def known(self, leaves: list, structure: Any) -> _Known | None:
        """What is known of arguments of this form; None if nothing shall be recorded now."""
        form = self.backend.form(leaves)
        if form is None:
            return None
        try:
            known = self._known.get((structure, form))
        except TypeError:  # a leaf that has no hash
            return None
        if known is None and len(self._known) < _FORMS:
            self._known[structure, form] = _Known()  # many a call is the only one of its form
        return known

    def loop(self, fixed: Any) -> Loop:
        """Calls `carry = fun(fixed, carry, batch)`, one after the other."""
        return Loop(self, fixed)


class Loop:
    """A recorded function in a loop, between whose steps the carry stays flat.

    The carry is any object with the `leaves` and the `structure` of a tree, the tree itself as `value`, and
    `put(leaves, structure)`, which replaces it. If it has no leaves, it is a place to put results instead.
    """

    def __init__(self, function: RecordedFunction, fixed: Any):
        self._function, self._fixed, self._before = function, fixed, tree.leaves(fixed)
        self._prepared: dict[_Path, tuple[Callable[..., list], list]] = {}

    def run(self, carry: Any, batch: Any, size: int) -> None:
        """A step for each `size` samples of the batch, and one for the rest of them."""
        leaves, structure = tree.flatten(batch)
        parts = list(zip(*(_parts(self._function.backend.xp, a, size) for a in leaves), strict=True))
        whole = leaves[0].shape[0] // size
        for alike in filter(None, (parts[:whole], parts[whole:])):
            done = self._replayed(carry, structure, alike)
            while done < len(alike):
                out = self._function(self._fixed, carry.value, tree.unflatten(structure, alike[done]))
                carry.put(*tree.flatten(out))
                done += 1
                done += self._replayed(carry, structure, alike[done:])

    def _replayed(self, carry: Any, structure: Any, batches: list) -> int:
        """For how many of the batches, all of one form, a program went: as many as one does, without a look around."""
        if not batches:
            return 0
        function, fixed, done = self._function, self._before, 0
        leaves, args = tree.flatten(((self._fixed, carry.value, tree.unflatten(structure, batches[0])), {}))
        known = function.known(leaves, args)
        if known is None or not known.paths:
            return 0
        path = known.paths[0]
        if carry.leaves and (path.structure, path.form) != (carry.structure, function.backend.form(carry.leaves)):
            return 0
        try:
            with np.errstate(all="ignore"):
                run, made = self._prepared.get(path) or self._prepared.setdefault(path, _prepared(path, fixed))
                for leaves in batches:
                    carry.put(run(*fixed, *carry.leaves, *leaves, *made), path.structure)
                    done += 1
        except Exception:
            pass  # the function itself raises it, or takes another path
        known.hit(done)
        return done


def _prepared(path: _Path, fixed: list) -> tuple[Callable[..., list], list]:
    """A program for the arguments, of which the first ones are `fixed`, and for what was made of these."""
    split = path.split(len(fixed)) if fixed else None
    return (path.run, []) if split is None else (split[1], split[0](*fixed))


def _parts(xp: Any, a: Any, size: int) -> list:
    """`a` (samples, ...) in pieces of `size` samples, and what is left of them."""
    n = a.shape[0] // size
    parts = list(xp.unstack(xp.reshape(a[: n * size, ...], (n, size, *a.shape[1:])))) if n else []
    return parts if n * size == a.shape[0] else [*parts, a[n * size :, ...]]


def _is_scalar(x: Any) -> bool:
    """Whether `x` is what NumPy's reductions return, which is no array, and to kernels another thing than one."""
    kind = kind_of(type(x))
    return kind is not None and kind.rank < 0


def _whole(xp: Any, x: Any) -> Any:
    return xp.asarray(x) if _is_scalar(x) else x


def _recorded(backend: Backend, fun: Callable, leaves: list, structure: Any) -> tuple[_Path, Any]:
    """The program of `fun` for these arguments, and the result."""
    recorder, recording = record_of(backend), Recording()
    cls = recorder.cls
    given = [x if kind_of(type(x)) is None else cls(x, recording, f"a{i}") for i, x in enumerate(leaves)]
    args, kwargs = tree.unflatten(structure, given)
    try:
        outs, out_structure = tree.flatten(fun(*args, **kwargs))
    except Again:
        return _recorded(backend, fun, leaves, structure)
    names, values = [], []
    for x in map(recorder.lift, outs):
        if x.__class__ is cls and x.recording is None:  # each run returns memory of its own
            call = written(recorder.copy, (cls(recorder.copy(x.value)),), {}, recording)
            x = cls(x.value, recording, recording.add(call))
        elif x.__class__ is cls and _is_scalar(x.value):
            x = recorder.xp.asarray(x)
        names.append(x.name if x.__class__ is cls else recording.constant(x))
        values.append(x.value if x.__class__ is cls else x)
    path = _Path(recording, len(leaves), names, out_structure, backend.form(values))
    return path, tree.unflatten(out_structure, values)
