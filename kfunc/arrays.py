"""Arrays of any backend: which namespace they live in, and how to make, move and read them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from . import tree
from .backends import Backend, Kind, common_backend, get, kind_of
from .backends.base import CONSTANT
from .backends.constants import beside, takes_constants
from .backends.standard import dtype_name
from .errors import ArgumentError, UnknownBackendError

__all__ = [
    "asarray",
    "backend_of",
    "device",
    "dtype_name",
    "enter",
    "kind_and_constants",
    "kind_of_tree",
    "namespace",
    "native",
    "numbers",
    "to_backend",
    "to_numpy",
]

F = TypeVar("F", bound=Callable[..., Any])


def namespace(*arrays: Any) -> Any:
    """The Array API namespace that `arrays` live in. Python scalars and None are passed over.

    Raises:
        MixedBackendsError: The arrays are of two backends.
        UnknownBackendError: There is no array among them.
    """
    if len(arrays) == 1:
        kind = kind_of(type(arrays[0]))
    else:
        kind = common_backend(k for k in map(kind_of, map(type, arrays)) if k is not None)
    if kind is None:
        raise UnknownBackendError(
            f"These values hold no array: {', '.join(type(a).__name__ for a in arrays) or 'nothing'}.",
            expected="arrays of an installed backend, or of a library that conforms to the Array API standard",
            got=", ".join(type(a).__name__ for a in arrays) or "nothing",
            fix='make arrays of them first: kf.asarray(x, backend="numpy")',
        )
    return kind.backend.xp


_types_kinds: dict[frozenset, tuple[Kind | None, bool]] = {}


def kind_of_tree(*trees: Any) -> Kind | None:
    """The common kind of all array leaves of `trees`; None if there is no array.

    Raises:
        MixedBackendsError: The arrays are of two backends.
    """
    return kind_and_constants(trees)[0]


def kind_and_constants(trees: Any) -> tuple[Kind | None, bool]:
    """The common kind, and whether there are constants to join its arrays."""
    types = frozenset(map(type, tree.leaves(trees)))
    try:
        return _types_kinds[types]
    except KeyError:
        kinds = [k for k in map(kind_of, types) if k is not None]
        kind = common_backend(kinds)
        mixed = kind is not None and takes_constants(kind) and any(k.rank == CONSTANT for k in kinds)
        _types_kinds[types] = kind, mixed
        return kind, mixed


def backend_of(*trees: Any) -> Backend:
    """The backend of the arrays in `trees`; NumPy if there is none."""
    kind = kind_of_tree(*trees)
    return get("numpy") if kind is None else kind.backend


def enter(fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], alike: bool = False) -> Any:
    """`fun(*args, **kwargs)`, where `fun` computes with conforming arrays and the caller has native ones.

    The arguments' arrays are lifted and the results lowered. Nothing is done where the framework's own arrays conform
    (NumPy, JAX, PyTorch), nor inside layer code, where arrays conform already. With `alike`, where the tape
    differentiates some of the `args`, the other arrays become constants of the tape.
    """
    # Only the values of kwargs, since Dynamo cannot flatten the dict itself.
    kind, mixed = kind_and_constants((args, tuple(kwargs.values())))
    if kind is not None and mixed:
        args, kwargs = beside(kind, (args, kwargs))
    if kind is None or not kind.native:
        if alike and kind is not None and kind.rank > 0:
            args = tree.map(kind.backend.lift, args)
        return fun(*args, **kwargs)
    args, kwargs = tree.map(kind.backend.lift, (args, kwargs))
    return tree.map(kind.backend.lower, fun(*args, **kwargs))


def native(fun: F) -> F:
    """`fun`, a function of conforming arrays, as a public function of native arrays; see `enter`."""

    @functools.wraps(fun)
    def door(*args, **kwargs):
        return enter(fun, args, kwargs)

    return door  # type: ignore[return-value]


def asarray(x: Any, dtype: str | None = None, *, backend: str | Backend | None = None, device: Any = None) -> Any:
    """A native array of `backend` with the values of `x`.

    Args:
        x: An array of any backend, a Python scalar, or nested sequences of scalars.
        dtype: Name of the dtype, such as `"float32"`; that of `x` by default, Python floats giving float32. JAX makes
            int32 and float32 of int64 and float64, unless `jax_enable_x64` is on.
        backend: Name of the backend; that of `x` by default, else NumPy.
        device: The device, in the form that the backend knows; the backend's default device by default.

    Raises:
        ArgumentError: `x` has no numbers, or complex ones for a `dtype` of real ones; or it has integers above 32 bits,
            and JAX holds no more.
    """
    kind = kind_of(type(x))
    target = get(backend) if backend is not None else get("numpy") if kind is None else kind.backend
    if kind is not None and kind.backend is target and dtype is None and device is None:
        return target.lower(x)
    wanted: Any = dtype if dtype is None or hasattr(target.xp, dtype) else target.further_dtype(dtype)
    if kind is not None and kind.backend is not target:
        x = kind.backend.to_numpy(x)
    elif kind is None:
        x = numbers(x, exact=dtype is not None)
    if dtype is not None and dtype != "bool" and "complex" not in dtype and "complex" in str(x.dtype):
        raise ArgumentError(
            f"`x` is complex, and `dtype` is {dtype}: the imaginary part would be lost.",
            argument="dtype",
            expected="complex64 or complex128, or an array of real numbers",
            got=dtype,
            fix="take the real part or the absolute value, or cast by kf.ops.cast, which takes the real part",
        )
    return target.asarray(x, wanted, device)


def numbers(x: Any, exact: bool = False) -> Any:
    """The Python number, or the nested lists of numbers, `x` as a NumPy array: floats become float32.

    With `exact`, they have 64 bits: whoever casts the array rounds for the first time.

    Raises:
        ArgumentError: `x` holds something else.
    """
    out = _from_python(x, exact)
    if out.dtype.kind in "OSU":
        raise _no_numbers(x)
    return out


def _from_python(x: Any, exact: bool = False) -> Any:
    import numpy as np

    try:
        out = np.asarray(x)
    except ValueError as error:  # lists of different lengths
        raise _no_numbers(x) from error
    return out.astype(np.float32) if out.dtype == np.float64 and not exact else out


def _no_numbers(x: Any) -> ArgumentError:
    return ArgumentError(
        f"An array cannot be made of this: {repr(x)[:80]}.",
        expected="numbers, or nested lists of them, of equal lengths",
        got=repr(x)[:80],
    )


def to_numpy(x: Any) -> Any:
    """A NumPy array with the values of `x`, an array of any backend; waits for its device."""
    kind = kind_of(type(x))
    return _from_python(x) if kind is None else kind.backend.to_numpy(x)


def to_backend(tree_: Any, backend: str | Backend, device: Any = None) -> Any:
    """The tree with every array leaf moved to `backend`; leaves that are no arrays stay as they are."""
    target = get(backend)
    return tree.map(
        lambda x: x if kind_of(type(x)) is None else asarray(x, backend=target, device=device),
        tree_,
    )


def device(x: Any) -> Any:
    """The device of `x`, for the `device=` of its namespace's creation functions."""
    kind = kind_of(type(x))
    return None if kind is None else kind.backend.device(x)
