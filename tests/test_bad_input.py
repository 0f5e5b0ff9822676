"""What does not fit is one typed error, that names the op, the shapes and the fix, word for word on every backend."""

from __future__ import annotations

import numpy as np
import pytest
from backends import BACKENDS

import kfunc as kf
from kfunc import ops
from kfunc.errors import ArgumentError, ShapeError


def f(*shape):
    return np.zeros(shape, np.float32)


INTS, IMAGES = np.zeros((2, 3), np.int32), f(2, 6, 6, 3)

# A call of an op, the error, and what its text must have.
CALLS = [
    (lambda a, b: ops.add(a, b), (f(3), f(2)), ShapeError, "(3,) and (2,)"),
    (lambda a, b: ops.where(a > 0, a, b), (f(3), f(2)), ShapeError, "(3,)"),
    (lambda a, b: ops.matmul(a, b), (f(3, 2), f(3, 2)), ShapeError, "(3, 2) and (3, 2)"),
    (lambda a, b: ops.einsum("ij,jk->ik", a, b), (f(3, 2), f(3, 2)), ShapeError, "2"),
    (lambda a, b: ops.einsum("ij,jk", a), (f(3, 2), f(3, 2)), ArgumentError, "ij,jk"),
    (lambda a, b: ops.concatenate([a, b], axis=0), (f(3, 2), f(3, 4)), ShapeError, "(3, 4)"),
    (lambda a, b: ops.stack([a, b]), (f(3, 2), f(3, 4)), ShapeError, "(3, 4)"),
    (lambda a, b: ops.linear(a, b), (f(3, 2), f(3, 2)), ShapeError, "(3, 2)"),
    (lambda a: ops.sum(a, axis=2), (f(3, 2),), ShapeError, "axis"),
    (lambda a: ops.max(a, axis=-3), (f(3, 2),), ShapeError, "axis"),
    (lambda a: ops.softmax(a, axis=4), (f(3, 2),), ShapeError, "axis"),
    (lambda a: ops.cumsum(a, axis=2), (f(3, 2),), ShapeError, "axis"),
    (lambda a: ops.sort(a, axis=2), (f(3, 2),), ShapeError, "axis"),
    (lambda a: ops.squeeze(a, axis=0), (f(3, 2),), ShapeError, "axis"),
    (lambda a: ops.expand_dims(a, axis=5), (f(3, 2),), ShapeError, "axis"),
    (lambda a: ops.transpose(a, (0, 0)), (f(3, 2),), ShapeError, "(0, 0)"),
    (lambda a: ops.reshape(a, (4, 2)), (f(3, 2),), ShapeError, "(4, 2)"),
    (lambda a: ops.broadcast_to(a, (4, 2)), (f(3, 2),), ShapeError, "(4, 2)"),
    (lambda a, b: ops.conv(a, b), (IMAGES, f(3, 3, 4, 8)), ShapeError, "channels"),
    (lambda a, b: ops.conv(a, b), (IMAGES, f(9, 9, 3, 8)), ShapeError, "window"),
    (lambda a: ops.max_pool(a, 2, data_format="last"), (IMAGES,), ArgumentError, "'last'"),
    (lambda a: ops.image.resize(a, (3, 3)), (f(6, 6),), ShapeError, "axes"),
    (
        lambda a, b: ops.dot_product_attention(a, b, b),
        (f(2, 5, 4, 8), f(2, 6, 4, 7)),
        ShapeError,
        "dot_product_attention",
    ),
    (lambda a, b: ops.bitwise_and(a, b), (f(2, 3), INTS), ArgumentError, "float32"),
    (lambda a: ops.bitwise_not(a), (f(2, 3),), ArgumentError, "float32"),
    *((fun, (f(0, 3),), ShapeError, "(0, 3)") for fun in (ops.max, ops.amin, ops.argmax, ops.nanmin)),
    (lambda a: ops.median(a, axis=2), (f(3, 2),), ShapeError, "axis 2"),
    (lambda a: ops.quantile(a, 0.3, axis=-3), (f(3, 2),), ShapeError, "axis -3"),
    (lambda a: ops.take(a, [0], axis=2), (f(3, 2),), ShapeError, "axis 2"),
    (lambda a: ops.take_along_axis(a, a > 0, axis=2), (f(3, 2),), ShapeError, "axis 2"),
    (lambda a: ops.glu(a, axis=2), (f(3, 2),), ShapeError, "axis 2"),
    (lambda a: ops.one_hot(a, 3, axis=3), (INTS,), ShapeError, "axis 3"),
    (lambda a: ops.add(a, None), (f(3),), ArgumentError, "missing"),
    (lambda a: ops.add(a, "a"), (f(3),), ArgumentError, "'a'"),
]


@pytest.mark.parametrize("i", range(len(CALLS)))
@pytest.mark.parametrize("name", BACKENDS)
def test_bad_input(name, i):
    fun, args, error, text = CALLS[i]
    given = [kf.asarray(a, backend=name) for a in args]
    with pytest.raises(error) as caught:
        fun(*given)
    assert text in str(caught.value) and caught.value.op is not None
    with pytest.raises(error) as on_shapes:
        fun(*[kf.Spec(a.shape, str(a.dtype)) for a in args])
    assert str(caught.value) == str(on_shapes.value)
    for a, x in zip(args, given, strict=True):
        np.testing.assert_array_equal(kf.to_numpy(x), a)


@pytest.mark.torch
@pytest.mark.array_api_strict
@pytest.mark.parametrize("call", [lambda a, b: ops.add(a, b), lambda a, b: ops.concatenate([a, b])])
def test_arrays_of_two_backends(call):
    with pytest.raises(kf.errors.MixedBackendsError) as caught:
        call(kf.asarray(f(3), backend="torch"), kf.asarray(f(3), backend="array_api_strict"))
    assert caught.value.op in ("add", "concatenate")


@pytest.mark.parametrize("make", [np.asarray, list, kf.asarray])
@pytest.mark.parametrize("name", BACKENDS)
def test_complex_numbers_for_a_real_dtype(name, make):
    x = make(np.complex64([1 + 2j, 0]))
    with pytest.raises(ArgumentError, match="`x` is complex, and `dtype` is float32"):
        kf.asarray(x, dtype="float32", backend=name)
    np.testing.assert_array_equal(kf.asarray(x, dtype="bool"), [True, False])


@pytest.mark.parametrize("name", BACKENDS)
def test_numpy_scalars_are_numbers_beside_any_array(name):
    x = kf.asarray(f(3), backend=name)
    two = np.float32(2)
    for out in (ops.add(x, two), ops.full_like(x, np.float64(2)), ops.maximum(two, x)):
        np.testing.assert_array_equal(kf.to_numpy(out), [2, 2, 2])
    np.testing.assert_array_equal(kf.to_numpy(ops.stack([ops.sum(x), two])), [0, 2])
