"""Arrays: `KerasTensor` is a `Spec`, a `Variable` a box, and NumPy's arrays are moved to the backend under test."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from keras.src import backend as keras_backend

import kfunc as kf
from kfunc import Spec
from kfunc.backends.standard import dtype_name

BACKEND = os.environ.get("KFUNC_PEERS_BACKEND", "numpy")


class Unmapped(Exception):
    """What the test asks for has no counterpart in kfunc."""


class _IsSpec(type):
    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, Spec)


class KerasTensor(metaclass=_IsSpec):
    def __new__(cls, shape, dtype="float32", sparse=False, ragged=False, record_history=True, name=None, **kwargs):
        if sparse or ragged:
            raise Unmapped("sparse and ragged tensors")
        return Spec(shape, dtype)


class Variable:
    """A box for an array, as Keras's variables are; ops are given its value."""

    def __init__(self, initializer, shape=None, dtype=None, trainable=True, name=None, **kwargs):
        if callable(initializer):
            raise Unmapped("variables with initializers")
        self.value = tensor(initializer, dtype or (None if hasattr(initializer, "dtype") else "float32"))
        self.trainable, self.name, self.path = trainable, name or "variable", name or "variable"

    shape = property(lambda self: tuple(self.value.shape))
    ndim = property(lambda self: len(self.value.shape))
    dtype = property(lambda self: dtype_name(self.value.dtype))

    def numpy(self):
        return kf.to_numpy(self.value)

    def assign(self, value):
        self.value = kf.ops.cast(tensor(value), self.dtype)
        return self.value

    def assign_add(self, value):
        return self.assign(self.value + tensor(value))

    def assign_sub(self, value):
        return self.assign(self.value - tensor(value))

    def __array__(self, dtype=None, copy=None):
        return self.numpy().astype(dtype or self.dtype)

    def __getitem__(self, index):
        return self.value[index]

    def __len__(self):
        return len(self.value)


def _operator(name):
    def method(self, *others):
        return getattr(self.value, name)(*map(value_of, others))

    return method


for _name in "add radd sub rsub mul rmul truediv rtruediv matmul rmatmul neg pow rpow eq ne lt le gt ge".split():
    setattr(Variable, f"__{_name}__", _operator(f"__{_name}__"))
Variable.__hash__ = object.__hash__


def value_of(x: Any) -> Any:
    return x.value if isinstance(x, Variable) else x


def is_tensor(x: Any) -> bool:
    return not isinstance(x, Spec) and kf.backends.kind_of(type(x)) is not None


def tensor(x: Any, dtype: Any = None) -> Any:
    """An array of the backend under test; a Spec stays as it is."""
    x = value_of(x)
    dtype = None if dtype is None else standardize_dtype(dtype)
    if isinstance(x, Spec):
        return x if dtype is None else Spec(x.shape, dtype)
    if isinstance(x, list | tuple) and any(map(is_tensor, kf.tree.leaves(x))):
        x = kf.ops.convert_to_tensor(to_backend(x))
    return kf.asarray(x, dtype, backend=BACKEND)


def to_backend(tree: Any) -> Any:
    """Arrays and variables moved; everything else stays as it is."""
    if isinstance(tree, Variable):
        return tree.value
    if isinstance(tree, np.ndarray) and tree.dtype.kind in "OSU":
        return tree
    if isinstance(tree, np.ndarray):
        return kf.asarray(tree, backend=BACKEND)
    if isinstance(tree, list | tuple) and not hasattr(tree, "_fields"):
        return type(tree)([to_backend(x) for x in tree])
    if isinstance(tree, dict):
        return {key: to_backend(x) for key, x in tree.items()}
    return tree


def is_shape(x: Any) -> bool:
    return isinstance(x, list | tuple) and all(isinstance(n, int | type(None) | np.integer) for n in x)


def standardize_dtype(dtype: Any) -> str:
    if dtype is None:
        return keras_backend.floatx()
    try:
        return dtype_name(dtype)
    except Exception:
        return keras_backend.standardize_dtype(dtype)


def convert_to_numpy(x: Any) -> np.ndarray:
    return kf.to_numpy(value_of(x))


def convert_to_tensor(x: Any, dtype: Any = None, sparse: Any = None, ragged: Any = None) -> Any:
    return tensor(x, dtype)


def result_type(*dtypes: Any) -> str:
    return keras_backend.result_type(*map(standardize_dtype, dtypes))


def _masks(*args: Any, **kwargs: Any) -> Any:
    raise Unmapped("masks that ride on arrays")


BACKEND_NAMES = {
    "get_keras_mask": _masks,
    "set_keras_mask": _masks,
    "KerasTensor": KerasTensor,
    "Variable": Variable,
    "backend": lambda: BACKEND,
    "is_tensor": is_tensor,
    "convert_to_numpy": convert_to_numpy,
    "convert_to_tensor": convert_to_tensor,
    "standardize_dtype": standardize_dtype,
    "cast": lambda x, dtype: kf.ops.cast(tensor(x), dtype),
    "shape": lambda x: tuple(x.shape),
    "SUPPORTS_SPARSE_TENSORS": False,
    "SUPPORTS_RAGGED_TENSORS": False,
    "SUPPORTS_COMPLEX_DTYPES": True,
}
