"""What a recording sees inside NumPy's kernels: the NumPy calls that they make, one by one."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from ...tracing.record.recording import CannotRecord, Named, written
from .. import standard

__all__ = ["StandIn", "whole"]


class StandIn(Named):
    """Stands for an array inside a kernel: it does what the array would do, and writes that down.

    Python code takes it for an array. It raises CannotRecord where C code would read it, and where a shape or a Python
    number would depend on a value. Kernels must keep two rules: they write only to arrays that they made themselves;
    and an array that they made of constants alone they fill before anything is computed with it.
    """

    __slots__ = ()
    __hash__: ClassVar[None] = None  # type: ignore[assignment]
    __class__ = property(lambda self: np.ndarray)  # type: ignore[assignment]

    shape: property = property(lambda self: self.value.shape)
    dtype: property = property(lambda self: self.value.dtype)
    ndim: property = property(lambda self: self.value.ndim)
    size: property = property(lambda self: self.value.size)
    itemsize: property = property(lambda self: self.value.itemsize)

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[StandIn]:
        return iter([self[i] for i in range(len(self.value))])

    def __bool__(self) -> bool:
        answer = bool(self.value)
        self.recording.expect("bool({})", self.name, answer)
        return answer

    def reshape(self, *shape: Any, **options: Any) -> Any:
        same = self.value.reshape(*shape, **options).shape == self.shape
        return self if same else _noted(type(self.value).reshape, (self, *shape), options)

    def __getitem__(self, key: Any) -> Any:
        if any(type(part) is StandIn and part.dtype == bool for part in (key if type(key) is tuple else (key,))):
            raise CannotRecord
        return _noted(operator.getitem, (self, key), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        _noted(operator.setitem, (self, key, value), {}, self)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        fun = ufunc if method == "__call__" else getattr(ufunc, method)
        target = inputs[0] if method == "at" else None
        if out := kwargs.get("out"):
            (target,) = out
        return _noted(fun, inputs, kwargs, target)

    def mean(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        total = np.add.reduce(self, axis, dtype, out, keepdims)
        n = self.size // max(1, total.size)
        if dtype is not None or out is not None or self.dtype not in (np.float32, np.float64) or not 0 < n < 2**24:
            return _noted(type(self.value).mean, (self, axis, dtype, out, keepdims), {})
        return total / n  # the same bits as `np.mean`: the sum has this dtype, which holds n exactly

    def __array_function__(
        self, fun: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[Any, Any]
    ) -> Any:
        if fun in (np.sum, np.mean, np.max, np.min, np.all, np.any, np.prod) and type(args[0]) is StandIn:
            return getattr(args[0], fun.__name__)(*args[1:], **kwargs)
        if fun not in _FUNCTIONS or (fun is np.where and len(args) < 3):
            raise CannotRecord
        return _noted(fun, args, kwargs, kwargs.get("out"))

    def _cannot(self, *args: Any, **kwargs: Any) -> Any:
        raise CannotRecord

    __int__: ClassVar[Callable[..., Any]]
    __index__: ClassVar[Callable[..., Any]]
    __float__: ClassVar[Callable[..., Any]]
    __complex__: ClassVar[Callable[..., Any]]
    __array__ = __int__ = __index__ = __float__ = __complex__ = _cannot  # type: ignore[assignment]


_FUNCTIONS = {
    *(np.broadcast_to, np.concatenate, np.dot, np.einsum, np.empty_like, np.expand_dims, np.full_like, np.max, np.mean),
    *(np.min, np.moveaxis, np.ones_like, np.ravel, np.reshape, np.split, np.squeeze, np.stack, np.sum, np.swapaxes),
    *(np.take, np.take_along_axis, np.tensordot, np.transpose, np.zeros_like, np.where),
}
"""Functions whose results have shapes that do not depend on values. They write to `out` and to nothing else."""

_METHODS = ("argmax", "argmin", "astype", "copy", "cumsum", "dot", "ravel", "squeeze", "std")
_METHODS += ("swapaxes", "take", "transpose", "var", "view")
_REDUCTIONS = {"sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum}
_REDUCTIONS |= {"any": np.logical_or, "all": np.logical_and}


def whole(fun: Callable[..., Any]) -> Callable[..., Any]:
    """`fun` as a closed part of a kernel, which may read values and return Python numbers: its call is one line."""

    @functools.wraps(fun)
    def run(*args):
        return _noted(fun, args, {}) if any([type(x) is StandIn for x in args]) else fun(*args)

    return run


def _noted(fun: Callable, args: tuple, kwargs: dict, target: Any = None) -> Any:
    """`fun(*args, **kwargs)`, written down; a call that writes to a `target` returns it."""
    found: list[StandIn] = []
    out = fun(*[_bare(x, found) for x in args], **{name: _bare(x, found) for name, x in kwargs.items()})
    recording = found[0].recording
    call = written(fun, args, kwargs, recording)
    if target is None:
        return _standing(out, recording, recording.add(call), found)
    if type(target) is not StandIn or not isinstance(target.value, np.ndarray):
        raise CannotRecord
    recording.write(call, target.name)
    return target


def _bare(x: Any, found: list) -> Any:
    if type(x) is StandIn:
        found.append(x)
        return x.value
    if type(x) is tuple or type(x) is list:
        return type(x)([_bare(part, found) for part in x])
    return x


def _standing(out: Any, recording: Any, name: str, of: list[StandIn]) -> Any:
    if isinstance(out, np.ndarray | np.generic):
        if isinstance(out, np.ndarray):
            shared = next((x for x in of if np.may_share_memory(out, x.value)), None)
            if shared is not None:
                recording.shares(name, shared.name)
        return StandIn(out, recording, name)
    if type(out) in (tuple, list):
        return type(out)([_standing(x, recording, recording.part(name, i), of) for i, x in enumerate(out)])
    if type(out) is float:
        return StandIn(out, recording, name)
    raise CannotRecord


def _method(name: str) -> Callable:
    return lambda x, *args, **kwargs: _noted(getattr(type(x.value), name), (x, *args), kwargs)


def _reduction(ufunc: np.ufunc) -> Callable:
    return lambda x, axis=None, dtype=None, **kwargs: _noted(ufunc.reduce, (x, axis, dtype), kwargs)


def _operator(fun: Callable) -> Callable:
    return lambda x, *others: _noted(fun, (x, *others), {})


def _reflected(fun: Callable) -> Callable:
    return lambda x, other: _noted(fun, (other, x), {})


def _in_place(stem: str) -> Callable:
    fun, other = getattr(operator, f"__i{stem}__"), getattr(operator, f"__{stem}__")

    def run(x: StandIn, y: Any) -> StandIn:
        return _noted(fun, (x, y), {}, x) if isinstance(x.value, np.ndarray) else _noted(other, (x, y), {})

    return run


for _name in _METHODS:
    setattr(StandIn, _name, _method(_name))
for _name, _ufunc in _REDUCTIONS.items():
    setattr(StandIn, _name, _reduction(_ufunc))
for _name in ("T", "mT", "real", "imag"):
    setattr(StandIn, _name, property(_operator(operator.attrgetter(_name))))
for _stem in (*standard.UNARY, *standard.ARITHMETIC, *standard.COMPARISONS):
    setattr(StandIn, f"__{_stem}__", _operator(getattr(operator, f"__{_stem}__")))
for _stem in standard.ARITHMETIC:
    setattr(StandIn, f"__r{_stem}__", _reflected(getattr(operator, f"__{_stem}__")))
    setattr(StandIn, f"__i{_stem}__", _in_place(_stem))
