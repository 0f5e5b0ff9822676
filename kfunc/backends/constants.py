"""NumPy arrays beside arrays of another backend: constants, which join the others.

Code of layers makes small arrays on its way (`ops.arange(n)`, a mask, a table of frequencies), and these are NumPy's
unless a backend is named. An op, or an operator of an array class of ours, takes them along: it copies them to the
backend and the device of the other arrays. They are weak: a float64 constant, which is what NumPy makes of Python's
floats, would turn float32 arrays into float64 and bfloat16 ones into float32, on some backends and not on others. So a
constant of floats takes the width of the widest floats among the arrays, if that is less than its own. Booleans and
integers keep their dtype.

Where the framework's own arrays reach layer code, its own operators meet the constants. JAX's take NumPy's arrays;
PyTorch's do not, so the ops that make arrays return a subclass that they take (`numpy/constant.py`). Functions that
are no ops (layers, losses, transformations) take along arrays of this subclass alone, and refuse NumPy's own beside
another backend's: these are data, and to copy them at each call would be slow without a word.

On NumPy itself no array is a constant: there its own rules hold, and float64 wins.
"""

from __future__ import annotations

from typing import Any

from .. import tree
from .base import SCALAR, Backend, Kind
from .registry import kind_of
from .standard import DTYPES, dtype_name, promote

__all__ = ["FLOAT", "beside", "common", "is_constant", "join", "joined", "origin", "takes_constants", "weak_dtype"]

FLOAT = "float32"
"""The dtype that integers take where only floats will do."""

_ORDER = "biufc"


_joint: dict[tuple[str, ...], str] = {}


def common(*dtypes: str) -> str:
    """The dtype, by name, that arrays of `dtypes` are computed in: Keras's rules, which mix kinds of dtype."""
    try:
        return _joint[dtypes]
    except KeyError:
        found = _joint[dtypes] = _found(*dtypes)
        return found


def _found(out: str, *rest: str) -> str:
    for other in rest:
        (a, _), (b, _) = DTYPES[out], DTYPES[other]
        joint = promote(out, other)
        if joint is None:
            # The kinds differ, or no integer holds both.
            joint = FLOAT if {a, b} == {"i", "u"} else max(out, other, key=lambda d: _ORDER.index(DTYPES[d][0]))
        out = joint
    return out


def weak_dtype(own: str, others: tuple[str, ...]) -> str:
    """The dtype in which a constant of dtype `own` joins arrays of dtypes `others`."""
    kind, bits = DTYPES.get(own, ("", 0))
    if kind not in ("f", "c"):
        return own
    floats = [dtype for dtype in others if DTYPES[dtype][0] in "fc"] or [FLOAT]
    widest = common(*floats)
    if DTYPES[widest][0] == "c":
        widest = "float64" if widest == "complex128" else "float32"
    width = DTYPES[widest][1]
    if kind == "c":
        return "complex64" if width <= 32 else own
    return widest if width < bits else own


def origin(backend: Backend) -> Backend:
    """The backend whose arrays those of `backend` stand for (tape, record), or `backend` itself."""
    while backend.inner is not None:
        backend = backend.inner
    return backend


def is_constant(kind: Kind, backend: Backend) -> bool:
    """Whether arrays of `kind` are constants to `backend`."""
    return kind.backend.joins and kind.backend is not origin(backend)


def join(x: Any, kind: Kind, like: Any, dtypes: tuple[str, ...]) -> Any:
    """The NumPy array `x` as an array of `kind` beside the array `like`, where arrays have these dtypes.

    A NumPy scalar is the Python number that it holds.
    """
    if kind_of(type(x)).rank == SCALAR:  # type: ignore[union-attr]
        return x.item()
    dtype = weak_dtype(x.dtype.name, dtypes)
    out = kind.backend.joined(x, None if dtype == x.dtype.name else dtype, like)
    return out if kind.native else kind.backend.lift(out)


def beside(kind: Kind, trees: Any) -> Any:
    """`trees`, where the constants that ops made have joined the arrays of `kind`."""
    if not takes_constants(kind):
        return trees
    kinds = [(x, kind_of(type(x))) for x in tree.leaves(trees)]
    if not any(_may_join(own) for _, own in kinds):
        return trees
    arrays = [(x, own) for x, own in kinds if own is not None and not own.backend.joins]
    like = next(x for x, own in arrays if own.backend is kind.backend)
    dtypes = tuple([dtype_name(x.dtype) for x, _ in arrays])
    return tree.map(lambda x: join(x, kind, like, dtypes) if _may_join(kind_of(type(x))) else x, trees)


def takes_constants(kind: Kind) -> bool:
    """Whether constants have to join arrays of `kind`. Arrays that stand for others take them as they are."""
    return not kind.rank and not kind.backend.joins


def _may_join(kind: Kind | None) -> bool:
    return kind is not None and kind.backend.joins and kind.rank != SCALAR


def joined(x: Any, like: Any) -> Any:
    """`x`, as an operator of the array `like` takes it: a constant joins that, and anything else stays as it is."""
    kind, own = kind_of(type(x)), kind_of(type(like))
    if kind is None or own is None or not is_constant(kind, own.backend):
        return x
    return join(x, own, like, (dtype_name(like.dtype),))
