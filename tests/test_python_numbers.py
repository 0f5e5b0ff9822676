"""Numbers of Python in 64 bits: whatever takes them beside a dtype, or beside arrays, rounds them once and not before.

The oracle is NumPy in float64 and int64. What went through float32 would be off by 1e-8, or by 1 in large integers.
"""

from __future__ import annotations

import contextlib
import importlib

import numpy as np
import pytest
from backends import EAGER

import kfunc as kf
from kfunc import ops
from kfunc.errors import ArgumentError

T = 0.1  # float32 has 0.100000001490116
P = 2**24 + 1  # the first integer that float32 does not have
B = 2**53 + 1  # the first one that float64 does not have
F = np.float64([1, 2])
I = np.int64([1, 2])  # noqa: E741
MASK = np.asarray([True, False])

# Name: the call, with `a` to make arrays, and the name of the backend; and what is right.
ROWS = {
    "asarray": (lambda a, on: kf.asarray(T, "float64", backend=on), np.float64(T)),
    "asarray, list": (lambda a, on: kf.asarray([[T, P]], "float64", backend=on), np.float64([[T, P]])),
    "asarray, integer": (lambda a, on: kf.asarray(B, "int64", backend=on), np.int64(B)),
    "asarray, complex": (lambda a, on: kf.asarray(T * 1j, "complex128", backend=on), np.complex128(T * 1j)),
    "asarray, uint64": (lambda a, on: kf.asarray(2**63 + 1, "uint64", backend=on), np.uint64(2**63 + 1)),
    "array": (lambda a, on: ops.array([T, 1], "float64", backend=on), np.float64([T, 1])),
    "array, like": (lambda a, on: ops.array(T, "float64", like=a(np.float32([1]))), np.float64(T)),
    "array, list like": (lambda a, on: ops.array([T, P], "float64", like=a(np.float32([1]))), np.float64([T, P])),
    "array, floats as integers": (lambda a, on: ops.array([P + 0.0], "int32", like=a(I)), np.int32([P])),
    "array, of arrays": (lambda a, on: ops.array([a(np.float32(1)), T], "float64"), np.float64([1, T])),
    "array, beside arrays": (lambda a, on: ops.array([a(F), [T, T]]), np.float64([F, [T, T]])),
    "convert_to_tensor": (lambda a, on: ops.convert_to_tensor(T, "float64", backend=on), np.float64(T)),
    "cast": (lambda a, on: ops.cast(T, "float64"), np.float64(T)),
    "cast, list": (lambda a, on: ops.cast([B, 1], "int64"), np.int64([B, 1])),
    "cast, of arrays": (lambda a, on: ops.cast([a(np.float32(1)), T], "float64"), np.float64([1, T])),
    "saturate_cast": (lambda a, on: ops.saturate_cast(T, "float64"), np.float64(T)),
    "a constant beside arrays": (lambda a, on: ops.multiply(a(F), ops.array(T, "float64")), F * T),
    "full": (lambda a, on: ops.full(2, T, "float64", backend=on), np.float64([T, T])),
    "full, list": (lambda a, on: ops.full(2, [T, P], "float64", backend=on), np.float64([T, P])),
    "full, integer": (lambda a, on: ops.full(2, B, "int64", backend=on), np.int64([B, B])),
    "full_like": (lambda a, on: ops.full_like(a(np.float32([1])), T, "float64"), np.float64([T])),
    "full_like, list": (lambda a, on: ops.full_like(a(np.float32([1, 2])), [T, P], "float64"), np.float64([T, P])),
    "full_like, integers": (lambda a, on: ops.full_like(a(I), [B, 1]), np.int64([B, 1])),
    "arange": (lambda a, on: ops.arange(T, 1.0, T, "float64", backend=on), np.arange(T, 1.0, T)),
    "arange, integers": (lambda a, on: ops.arange(B, B + 3, backend=on), np.arange(B, B + 3)),
    "linspace": (lambda a, on: ops.linspace(T, 1, 5, dtype="float64", backend=on), np.linspace(T, 1, 5)),
    "linspace, integers": (lambda a, on: ops.linspace(0, P, 2, dtype="int32", backend=on), np.int32([0, P])),
    "linspace, lists": (
        lambda a, on: ops.linspace([T, P], [1, 3], 5, dtype="float64"),
        np.linspace([T, P], [1, 3], 5),
    ),
    "linspace, list beside": (lambda a, on: ops.linspace(a(F), [T, P], 5), np.linspace(F, [T, P], 5)),
    "logspace": (lambda a, on: ops.logspace(T, 1, 5, dtype="float64", backend=on), np.logspace(T, 1, 5)),
    "geomspace": (lambda a, on: ops.geomspace(T, 1, 5, dtype="float64", backend=on), np.geomspace(T, 1, 5)),
    "operand": (lambda a, on: ops.add(a(F), T), F + T),
    "operand, list": (lambda a, on: ops.add([T, P], a(F)), F + [T, P]),
    "operand, integers": (lambda a, on: ops.add(a(I), [B, 2**40]), I + [B, 2**40]),
    "operand, complex": (lambda a, on: ops.multiply(a(F), [T * 1j, 1]), F * [T * 1j, 1]),
    "comparison": (lambda a, on: ops.equal(a(np.float64([T, 1])), [T, 1.0]), np.asarray([True, True])),
    "where": (lambda a, on: ops.where(a(MASK), T, a(F)), np.float64([T, 2])),
    "where, list": (lambda a, on: ops.where(a(MASK), [T, T], a(F)), np.float64([T, 2])),
    "where, integers": (lambda a, on: ops.where(a(MASK), [B, B], a(I)), np.int64([B, 2])),
    "select": (lambda a, on: ops.select([a(MASK)], [a(F)], T), np.float64([1, T])),
    "clip": (lambda a, on: ops.clip(a(F), 0, T), np.float64([T, T])),
    "clip, list": (lambda a, on: ops.clip(a(F), [0, 0], [T, 0.3]), np.float64([T, 0.3])),
    "maximum": (lambda a, on: ops.maximum(a(np.float64(0)), [T]), np.float64([T])),
    "max, initial": (lambda a, on: ops.max(a(np.float64([0])), initial=T), np.float64(T)),
    "nan_to_num": (lambda a, on: ops.nan_to_num(a(np.float64([np.nan])), nan=T), np.float64([T])),
    "pad": (lambda a, on: ops.pad(a(F), ((1, 0),), constant_values=T), np.float64([T, 1, 2])),
    "pad, integer": (lambda a, on: ops.pad(a(I), ((1, 0),), constant_values=B), np.int64([B, 1, 2])),
    "concatenate": (lambda a, on: ops.concatenate([a(F), [T]]), np.float64([1, 2, T])),
    "concatenate, integers": (lambda a, on: ops.concatenate([a(I), [B]]), np.int64([1, 2, B])),
    "dot": (lambda a, on: ops.dot(a(F), [T, T]), F @ [T, T]),
    "einsum": (lambda a, on: ops.einsum("i,i->", a(F), [T, T]), F @ [T, T]),
    "average": (lambda a, on: ops.average(a(F), weights=[T, 0.3]), np.average(F, weights=[T, 0.3])),
    "quantile": (lambda a, on: ops.quantile(a(F), [T, 0.7]), np.quantile(F, [T, 0.7])),
    "digitize": (lambda a, on: ops.digitize(a(np.float64([T])), [T, 1.0]), np.int32([1])),
    "isin": (lambda a, on: ops.isin(a(np.float64([T])), [T]), np.asarray([True])),
    "slice_update": (lambda a, on: ops.slice_update(a(F), [0], [T]), np.float64([T, 2])),
    "scatter_update": (lambda a, on: ops.scatter_update(a(F), [[0]], [T]), np.float64([T, 2])),
    "scale of a spectrum": (
        lambda a, on: kf.backends.get(on).lower(kf.backends.get(on).xp.fft.fft(lifted(a(F + 0j)), n=3, norm="ortho")),
        np.fft.fft(F, n=3, norm="ortho"),
    ),
}


def lifted(x):
    return kf.backends.kind_of(type(x)).backend.lift(x)


@contextlib.contextmanager
def sixty_four_bits(name):
    with importlib.import_module("jax").enable_x64(True) if name == "jax" else contextlib.nullcontext():
        yield


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("name", EAGER)
def test_numbers_are_rounded_once(name, row):
    call, want = ROWS[row]
    with sixty_four_bits(name):
        got = kf.to_numpy(call(lambda x: kf.asarray(np.asarray(x), backend=name), name))
    assert got.shape == want.shape
    if want.dtype.kind in "fc":
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=8 * np.finfo(np.float64).eps)  # sums of few terms, and a power
    else:
        np.testing.assert_array_equal(got, want)


# Without its 64 bits, JAX makes int32 of int64. It drops the upper bits of these numbers and says nothing.
LARGE = {
    "asarray": lambda: kf.asarray(B, "int64", backend="jax"),
    "asarray, data": lambda: kf.asarray(np.int64([[B]]), backend="jax"),
    "asarray, unsigned": lambda: kf.asarray(2**63, "uint64", backend="jax"),
    "full": lambda: ops.full(2, B, "int64", backend="jax"),
    "full_like": lambda: ops.full_like(kf.asarray([1], backend="jax"), B),
    "arange": lambda: ops.arange(2**31 - 1, 2**31 + 2, backend="jax"),
    "pad": lambda: ops.pad(kf.asarray([1], backend="jax"), 1, constant_values=B),
}


@pytest.mark.jax
@pytest.mark.parametrize("row", LARGE)
def test_jax_refuses_integers_that_it_would_cut(row):
    with pytest.raises((ArgumentError, OverflowError), match="integer"):
        LARGE[row]()
