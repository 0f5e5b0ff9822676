"""OpenVINO, its arrays always parameters of a compiled program, so that the plugin computes and not constant folding.

Each call is compiled, and programs are kept by what was called with arrays of which shapes and dtypes. Single elements
are read from memory. The suite looks at the dtypes that OpenVINO advertises, and no others; as it takes for granted
that there is a complex dtype, it is given one, and what it wants to do with it is skipped.
"""

from __future__ import annotations

import functools
import operator
import os
import types
from collections import OrderedDict

import hypothesis.strategies as st
import numpy as np
import pytest

from kfunc import backends, tree
from kfunc.backends.openvino import Array as Graph
from kfunc.backends.openvino import Program

backend = backends.get("openvino")
ADVERTISED = ("bool", "int32", "float32")
OTHERS = ("int8", "int16", "int64", "uint8", "uint16", "uint32", "uint64", "float64", "complex128")
os.environ["ARRAY_API_TESTS_SKIP_DTYPES"] = ",".join(OTHERS)
KEPT_PROGRAMS = 1000
READ = ("__bool__", "__int__", "__float__", "__complex__", "__index__", "__len__", "__dlpack__", "__dlpack_device__")


class Array:
    """Values, which enter every program as a parameter."""

    __hash__ = None

    def __init__(self, value):
        self.value = value

    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    device = property(lambda self: Graph.device)
    T = property(lambda self: run("T", lambda x: x.T, self))
    mT = property(lambda self: run("mT", lambda x: x.mT, self))

    def __array_namespace__(self, /, *, api_version=None):
        return xp

    def to_device(self, device, /, *, stream=None):
        return run("to_device", Graph.to_device, self, device, stream=stream)

    def __getitem__(self, key, /):
        indices = key if isinstance(key, tuple) else (key,)
        if len(indices) == self.ndim and all(type(i) is int for i in indices):
            return Array(np.asarray(self.value[indices]))
        key = tuple(map(plain, key)) if isinstance(key, tuple) else plain(key)
        return run("__getitem__", Graph.__getitem__, self, key)

    def __iter__(self):
        return (self[i, ...] for i in range(self.shape[0]))

    def __repr__(self):
        return f"Array({self.value})"


def plain(key):
    """A slice with Python's own integers."""
    if not isinstance(key, slice):
        return key
    return slice(*(n if n is None else operator.index(n) for n in (key.start, key.stop, key.step)))


programs: OrderedDict[str, Program] = OrderedDict()


def run(name, fun, *args, **kwargs):
    """`fun(*args, **kwargs)`, compiled for arrays of these shapes and dtypes."""
    leaves, structure = tree.flatten((args, kwargs))
    key = repr((name, str(structure), [(x.shape, x.dtype) if isinstance(x, Array) else (type(x), x) for x in leaves]))
    if key not in programs:
        traced = [Graph.parameter(x.shape, x.dtype) if isinstance(x, Array) else x for x in leaves]
        traced_args, traced_kwargs = tree.unflatten(structure, traced)
        outs, out_structure = tree.flatten(fun(*traced_args, **traced_kwargs))
        programs[key] = Program([x for x in traced if isinstance(x, Graph)], outs, out_structure, backend)
        if len(programs) > KEPT_PROGRAMS:
            programs.popitem(last=False)
    programs.move_to_end(key)
    out = programs[key]([Graph.concrete(x.value) for x in leaves if isinstance(x, Array)])
    return tree.map(lambda x: Array(x.numpy()) if isinstance(x, Graph) else x, out)


def running(name, fun):
    @functools.wraps(fun)
    def call(*args, **kwargs):
        return run(name, fun, *args, **kwargs)

    return call


def reading(name, fun):
    @functools.wraps(fun)
    def read(self, **options):
        return getattr(self.value, name)(**options)

    return read


for _name, _member in vars(Graph).items():
    if _name in READ:
        setattr(Array, _name, reading(_name, _member))
    elif isinstance(_member, types.FunctionType) and _name.startswith("__") and _name not in vars(Array):
        setattr(Array, _name, running(_name, _member))


def namespace(name, ours):
    out = types.ModuleType(name)
    for key, item in vars(ours).items():
        if isinstance(item, types.ModuleType) and key in ("linalg", "fft"):
            item = namespace(key, item)
        elif callable(item) and not isinstance(item, (type, np.dtype)) and not key.startswith("_"):
            item = running(key, item)
        setattr(out, key, item)
    return out


xp = namespace("openvino", backend.xp)
xp.complex64 = np.dtype("complex64")
_asarray = xp.asarray


@functools.wraps(_asarray)
def asarray(obj, /, *, dtype=None, **options):
    if dtype == xp.complex64:
        pytest.skip("openvino has no complex dtype")
    if type(obj) is complex:
        return Array(np.asarray(obj, xp.complex64))  # the suite asks for the default complex dtype so
    return _asarray(obj, dtype=dtype, **options)


xp.asarray = asarray
_sampled_from = st.sampled_from


def sampled_from(elements):
    """As Hypothesis has it, of what is advertised."""
    if isinstance(elements, (list, tuple)):
        elements = [x for x in elements if all(d.name in ADVERTISED for d in tree.leaves(x) if isinstance(d, np.dtype))]
        return _sampled_from(elements) if elements else st.nothing()
    return _sampled_from(elements)


st.sampled_from = sampled_from
