"""Functions that move elements about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...errors import ArgumentError, ShapeError
from .array import Spec, as_spec, make
from .dtypes import check_kind, common_dtype
from .shapes import as_shape, broadcast, mismatch, natural, need, normal_axes, normal_axis, replace, reshaped, unify

__all__ = [
    "broadcast_arrays",
    "broadcast_to",
    "concat",
    "diff",
    "expand_dims",
    "flip",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "repeat",
    "reshape",
    "roll",
    "squeeze",
    "stack",
    "tile",
    "unstack",
]


def flip(x: Any, /, *, axis: Any = None) -> Any:
    x = as_spec("flip", x)
    normal_axes("flip", axis, x.ndim)
    return x


def roll(x: Any, /, shift: Any, *, axis: Any = None) -> Any:
    x = as_spec("roll", x)
    axes = normal_axes("roll", axis, x.ndim)
    if isinstance(shift, (tuple, list)) and (axis is None or len(shift) != len(axes)):
        raise ArgumentError(
            "roll: there are not as many shifts as axes.",
            argument="shift",
            expected="an integer, or one for each axis of axis=",
            got=shift,
            fix="give as many shifts as axes",
        )
    return x


def reshape(x: Any, /, shape: Any, *, copy: Any = None) -> Any:
    x = as_spec("reshape", x)
    return make(reshaped(x.shape, shape), x.dtype)


def permute_dims(x: Any, /, axes: Any) -> Any:
    x = as_spec("permute_dims", x)
    axes = normal_axes("permute_dims", axes, x.ndim)
    need(len(axes) == x.ndim, "permute_dims", x, expected=f"as many axes as in axes={axes}", fix="name every axis once")
    return make(tuple(x.shape[a] for a in axes), x.dtype)


def moveaxis(x: Any, source: Any, destination: Any, /) -> Any:
    x = as_spec("moveaxis", x)
    source, destination = normal_axes("moveaxis", source, x.ndim), normal_axes("moveaxis", destination, x.ndim)
    if len(source) != len(destination):
        raise ArgumentError(
            "moveaxis: source and destination differ in length.",
            argument="destination",
            expected=f"{len(source)} axes",
            got=destination,
            fix="name a place for each axis that moves",
        )
    order = [a for a in range(x.ndim) if a not in source]
    for to, a in sorted(zip(destination, source, strict=True)):
        order.insert(to, a)
    return make(tuple(x.shape[a] for a in order), x.dtype)


def matrix_transpose(x: Any, /) -> Any:
    x = as_spec("matrix_transpose", x)
    need(x.ndim >= 2, "matrix_transpose", x, expected="two axes or more")
    return make((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)


def expand_dims(x: Any, /, axis: Any = 0) -> Any:
    x = as_spec("expand_dims", x)
    n = x.ndim + (len(axis) if isinstance(axis, tuple) else 1)
    axes = normal_axes("expand_dims", axis, n)
    sizes = iter(x.shape)
    return make(tuple(1 if i in axes else next(sizes) for i in range(n)), x.dtype)


def squeeze(x: Any, /, axis: Any) -> Any:
    x = as_spec("squeeze", x)
    axes = normal_axes("squeeze", axis, x.ndim)
    need(
        all(x.shape[a] in (1, None) for a in axes),
        "squeeze",
        x,
        expected=f"a size of 1 at axis {axis}",
        fix="squeeze other axes, or index the array",
    )
    return make(tuple(n for i, n in enumerate(x.shape) if i not in axes), x.dtype)


def broadcast_to(x: Any, /, shape: Any) -> Any:
    x, shape = as_spec("broadcast_to", x), as_shape("broadcast_to", shape)
    out = broadcast("broadcast_to", x.shape, shape)
    if len(out) != len(shape) or any(n is not None and m not in (n, None) for n, m in zip(shape, out, strict=True)):
        raise mismatch("broadcast_to", (x.shape, shape), "a shape that x stretches to")
    return make(out, x.dtype)


def broadcast_arrays(*arrays: Any) -> Any:
    if not arrays:
        return []
    arrays = [as_spec("broadcast_arrays", a) for a in arrays]
    shape = broadcast("broadcast_arrays", *(a.shape for a in arrays))
    return [make(shape, a.dtype) for a in arrays]


def _total(sizes: Iterable[int | None]) -> int | None:
    sizes = list(sizes)
    return None if None in sizes else sum(sizes)


def _some(name: str, arrays) -> list[Spec]:
    arrays = [as_spec(name, a) for a in arrays] if isinstance(arrays, Iterable) else []
    if not arrays:
        raise ArgumentError(
            f"{name}: the sequence of arrays is empty.",
            argument="arrays",
            expected="a sequence of one array or more",
            got="none",
            fix="leave the call out where there is no array",
        )
    return arrays


def concat(arrays: Any, /, *, axis: Any = 0) -> Any:
    arrays = _some("concat", arrays)
    dtype = common_dtype("concat", arrays)
    if axis is None:
        return make((_total(a.size for a in arrays),), dtype)
    axis = normal_axis("concat", axis, arrays[0].ndim)
    try:
        shape = unify("concat", *(replace(a.shape, axis, 1) for a in arrays))
    except ShapeError:
        raise mismatch("concat", (a.shape for a in arrays), f"equal sizes except along axis {axis}") from None
    return make(replace(shape, axis, _total(a.shape[axis] for a in arrays)), dtype)


def stack(arrays: Any, /, *, axis: Any = 0) -> Any:
    arrays = _some("stack", arrays)
    dtype = common_dtype("stack", arrays)
    shape = unify("stack", *(a.shape for a in arrays))
    axis = normal_axis("stack", axis, len(shape) + 1)
    return make((*shape[:axis], len(arrays), *shape[axis:]), dtype)


def unstack(x: Any, /, *, axis: Any = 0) -> Any:
    x = as_spec("unstack", x)
    axis = normal_axis("unstack", axis, x.ndim)
    if x.shape[axis] is None:
        raise mismatch("unstack", (x.shape,), f"a known size at axis {axis}", "give that size in the Spec")
    return (make(replace(x.shape, axis), x.dtype),) * x.shape[axis]


def tile(x: Any, repetitions: Any, /) -> Any:
    x = as_spec("tile", x)
    repetitions = tuple(
        natural("tile", "repetitions", r)
        for r in (repetitions if isinstance(repetitions, Sequence) else (repetitions,))
    )
    n = max(x.ndim, len(repetitions))
    shape = (1,) * (n - x.ndim) + x.shape
    repetitions = (1,) * (n - len(repetitions)) + repetitions
    return make(tuple(None if m is None else m * r for m, r in zip(shape, repetitions, strict=True)), x.dtype)


def repeat(x: Any, repeats: Any, /, *, axis: Any = None) -> Any:
    x = as_spec("repeat", x)
    shape = (x.size,) if axis is None else x.shape
    axis = normal_axis("repeat", 0 if axis is None else axis, len(shape))
    n = shape[axis]
    if not hasattr(repeats, "shape"):
        repeats = natural("repeat", "repeats", repeats)
        return make(replace(shape, axis, None if n is None else n * repeats), x.dtype)
    repeats = as_spec("repeat", repeats)
    check_kind("repeat", repeats.dtype, "iu")
    counts = broadcast("repeat", repeats.shape, (n,))
    need(len(counts) == 1 and counts[0] in (n, None), "repeat", x, repeats, expected=f"one count, or {n} of them")
    return make(replace(shape, axis, None), x.dtype)


def diff(x: Any, /, *, axis: Any = -1, n: Any = 1, prepend: Any = None, append: Any = None) -> Any:
    x = as_spec("diff", x)
    check_kind("diff", x.dtype, "iufc")
    n = natural("diff", "n", n)
    parts = [p for p in (prepend, x, append) if p is not None]
    x = concat(parts, axis=axis) if len(parts) > 1 else x
    axis = normal_axis("diff", axis, x.ndim)
    size = x.shape[axis]
    return make(replace(x.shape, axis, None if size is None else max(size - n, 0)), x.dtype)
