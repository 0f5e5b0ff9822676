"""Spec, with NumPy beside it to give the values that the suite looks at.

Each call runs on Specs and on NumPy. What comes out has the shape and dtype that Spec says, and NumPy's values; where
Spec's are wrong the suite finds out, as well as where Spec refuses what NumPy computes, or the other way round. Sizes
that depend on values, and so are unknown to Spec, are NumPy's. NumPy's values are cast to Spec's dtype, since the two
have other defaults. Spec's dtypes are their names, where the suite takes no texts: here each is a `DType` of its name.
"""

from __future__ import annotations

import dataclasses
import functools
import types

import array_api_compat.numpy as values
import numpy as np

from kfunc import Spec
from kfunc.backends.standard import DTYPES
from kfunc.tracing.spec import namespace as spec

SPEC, VALUE = "spec", "value"
READ = ("__bool__", "__int__", "__float__", "__complex__", "__index__", "__len__")


@dataclasses.dataclass(frozen=True)
class DType:
    """The dtype of a name."""

    name: str

    def __repr__(self):
        return self.name


class Array:
    """A Spec, and NumPy's array of the values that it stands for."""

    __hash__ = None

    def __init__(self, spec, value):
        self.spec, self.value = spec, value

    shape = property(lambda self: known(self.spec.shape, self.value.shape))
    dtype = property(lambda self: DType(self.spec.dtype))
    ndim = property(lambda self: self.spec.ndim)
    size = property(lambda self: Spec(self.shape).size)
    device = property(lambda self: self.spec.device)
    T = property(lambda self: joined(self.spec.T, self.value.T))
    mT = property(lambda self: joined(self.spec.mT, self.value.mT))

    def __array_namespace__(self, /, *, api_version=None):
        return xp

    def to_device(self, device, /, *, stream=None):
        return joined(self.spec.to_device(device, stream=stream), self.value)

    def __setitem__(self, key, value, /):
        self.value[strip(key, VALUE)] = strip(value, VALUE)

    def __dlpack__(self, /, *, stream=None, max_version=None, dl_device=None, copy=None):
        return self.value.__dlpack__(max_version=max_version, dl_device=dl_device, copy=copy)

    def __dlpack_device__(self, /):
        return self.value.__dlpack_device__()

    def __iter__(self):
        return (self[i, ...] for i in range(self.shape[0]))

    def __repr__(self):
        return f"Array({self.spec}, {self.value})"


def known(shape, other):
    """`shape`, its unknown sizes taken from `other`."""
    if len(shape) != len(other):
        return shape
    return tuple(m if n is None else n for n, m in zip(shape, other, strict=True))


def strip(x, part):
    """The Specs or the values of all arrays in `x`, and the names or NumPy's of all dtypes."""
    if isinstance(x, DType):
        return x.name if part == SPEC else np.dtype(x.name)
    if isinstance(x, Array):
        return x.spec if part == SPEC else x.value
    if isinstance(x, (list, tuple)):
        return type(x)(strip(y, part) for y in x)
    if isinstance(x, dict):
        return {k: strip(y, part) for k, y in x.items()}
    return x


def joined(spec, value):
    """Results of the same structure, of Specs and of values, as Arrays; results without arrays are Spec's."""
    if isinstance(spec, str):
        return DType(spec) if spec in DTYPES else spec
    if isinstance(spec, dict):
        return {key: joined(item, None) for key, item in spec.items()}
    if isinstance(spec, Spec):
        value = np.asarray(value)
        return Array(Spec(known(spec.shape, value.shape), spec.dtype), value.astype(spec.dtype, copy=False))
    if isinstance(spec, (list, tuple)) and any(isinstance(s, Spec) for s in spec):
        assert len(spec) == len(value), f"Spec has {len(spec)} results, NumPy {len(value)}"
        pairs = map(joined, spec, value)
        return type(spec)(*pairs) if hasattr(spec, "_fields") else type(spec)(pairs)
    return spec._replace(dtype=DType(spec.dtype)) if "dtype" in getattr(spec, "_fields", ()) else spec


def both(fun, other):
    """The function of Arrays that runs `fun` on their Specs and `other` on their values."""

    @functools.wraps(fun)
    def call(*args, **kwargs):
        out = fun(*strip(args, SPEC), **strip(kwargs, SPEC))
        if isinstance(out, (Spec, list, tuple)):
            return joined(out, other(*strip(args, VALUE), **strip(kwargs, VALUE)))
        return joined(out, None)

    return call


def both_namespaces(name, ours, theirs):
    out = types.ModuleType(name)
    for key, item in vars(ours).items():
        if isinstance(item, types.ModuleType) and key in ("linalg", "fft"):
            item = both_namespaces(key, item, getattr(theirs, key))
        elif callable(item) and not isinstance(item, type) and hasattr(theirs, key):
            item = both(item, getattr(theirs, key))
        elif isinstance(item, str) and item in DTYPES:
            item = DType(item)
        setattr(out, key, item)
    return out


def operator(name):
    method = getattr(Spec, name)

    @functools.wraps(method)
    def call(self, *args):
        out = method(self.spec, *strip(args, SPEC))
        return out if out is NotImplemented else joined(out, getattr(np.ndarray, name)(self.value, *strip(args, VALUE)))

    return call


def reading(name):
    return lambda self, /: getattr(self.value, name)()


for _name, _member in vars(Spec).items():
    if _name in READ:
        setattr(Array, _name, reading(_name))
    elif isinstance(_member, types.FunctionType) and hasattr(np.ndarray, _name) and _name not in vars(Array):
        setattr(Array, _name, operator(_name))


class Info(spec.__array_namespace_info__):
    def default_dtypes(self, *, device=None):
        return joined(super().default_dtypes(device=device), None)

    def dtypes(self, *, device=None, kind=None):
        return joined(super().dtypes(device=device, kind=kind), None)


xp = both_namespaces("spec", spec, values)
xp.__array_namespace_info__ = Info
