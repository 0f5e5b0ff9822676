"""Merging layers: masks as Keras has them, which hang on its arrays there, and the functions of the same names."""

from __future__ import annotations

import functools
import importlib

import numpy as np
import pytest
from backends import BACKENDS, EAGER
from keras_rows import booleans, normal

import kfunc as kf
from kfunc import errors, nn

keras = pytest.importorskip("keras")

A, B, C = (normal(2, 3, 4, salt=i) for i in range(3))
VECTOR, LONG = normal(2, 4), normal(2, 5, 4)
M, N, P = (np.asarray(m, bool).reshape(2, 3) for m in ([1, 1, 0, 0, 1, 0], [1, 0, 0, 1, 0, 0], [0, 1, 0, 1, 1, 0]))
FULL = booleans(2, 3, 4)

# -- masks -----------------------------------------------------------------------------------------------------------

MASKED = [
    ("Add", {}, [A, B, C], [M, N, P]),
    ("Add", {}, [A, B], [M, None]),
    ("Add", {}, [A, B], [None, None]),
    ("Subtract", {}, [A, B], [M, N]),
    ("Average", {}, [A, B, C], [M, N, P]),
    ("Multiply", {}, [A, B, C], [M, N, P]),
    ("Multiply", {}, [A, B, C], [M, None, P]),
    ("Maximum", {}, [A, B, C], [M, N, P]),
    ("Maximum", {}, [A, B, C], [None, N, P]),
    ("Maximum", {}, [A, B, C], [M, None, P]),
    ("Minimum", {}, [A, B, C], [M, N, P]),
    ("Minimum", {}, [A, VECTOR], [M, None]),
    ("Concatenate", {}, [A, B], [M, N]),
    ("Concatenate", {}, [A, B], [M, None]),
    ("Concatenate", {"axis": 1}, [A, LONG], [M, None]),
    ("Concatenate", {"axis": 1}, [A, LONG, B], [M, booleans(2, 5), FULL]),
    ("Concatenate", {"axis": 0}, [A, B], [M, N]),
    ("Dot", {"axes": 2}, [A, B], [M, N]),
]


def theirs(name, kwargs, inputs, masks):
    """What Keras says: the output, and the mask that hangs on it."""
    import jax

    common = importlib.import_module("keras.src.backend")
    arrays = [jax.numpy.asarray(x) for x in inputs]
    for x, mask in zip(arrays, masks, strict=True):
        if mask is not None:
            common.set_keras_mask(x, jax.numpy.asarray(mask))
    out = getattr(keras.layers, name)(**kwargs)(arrays)
    mask = common.get_keras_mask(out)
    return np.asarray(out), None if mask is None else np.asarray(mask)


@pytest.mark.parametrize("row", MASKED, ids=lambda row: f"{row[0]}-{[m is not None for m in row[3]]}")
@pytest.mark.parametrize("backend", BACKENDS)
def test_masks(row, backend):
    name, kwargs, inputs, masks = row
    layer = getattr(nn, name)(**kwargs)
    want, wanted = theirs(*row)
    inputs, masks = kf.to_backend((inputs, masks), backend)
    fun = functools.partial(layer.apply, {}, aux=True)
    out, _, aux = (kf.jit(fun) if backend == "openvino" else fun)(inputs, mask=masks)
    np.testing.assert_allclose(kf.to_numpy(out), want, rtol=1e-5, atol=1e-5)
    if wanted is None:
        assert aux.mask is None
    else:
        np.testing.assert_array_equal(kf.to_numpy(aux.mask), wanted)


def test_masks_pass_through_graphs():
    x, y = nn.Input((3, 4)), nn.Input((3, 4))
    masked = [nn.Masking(0.0)(x), nn.Masking(0.0)(y)]
    pooled = nn.GlobalAveragePooling1D()(nn.Concatenate(axis=1)(masked))
    graph = nn.Graph([x, y], [pooled, nn.add(masked)])
    a, b = A * M[..., None], B * N[..., None]
    (mean, _), _, aux = graph.apply({}, [a, b], aux=True)
    counts = np.concatenate([M, N], axis=1).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(mean, np.concatenate([a, b], axis=1).sum(axis=1) / counts, rtol=1e-5)
    assert aux.mask[0] is None
    np.testing.assert_array_equal(aux.mask[1], M | N)


def test_ranks_and_masks():
    """Keras forgets the mask of an input that it gives more axes; ours gets them, too."""
    one = np.asarray([True, False])
    out, _, aux = nn.Maximum().apply({}, [A, VECTOR], mask=[M, one], aux=True)
    np.testing.assert_array_equal(aux.mask, M | one[:, None])
    both = np.maximum(A, VECTOR[:, None])
    np.testing.assert_array_equal(out[M & one[:, None]], both[M & one[:, None]])
    np.testing.assert_array_equal(out[M & ~one[:, None]], A[M & ~one[:, None]])


def test_masks_of_two_depths():
    """A mask of the steps and one of the samples: both begin with the batch."""
    one = np.asarray([True, False])
    for x in (A, VECTOR):
        _, _, aux = nn.Add().apply({}, [A, x], mask=[M, one], aux=True)
        np.testing.assert_array_equal(np.squeeze(aux.mask), M | one[:, None])


# -- functions -------------------------------------------------------------------------------------------------------

FUNCTIONS = [
    ("add", [A, B, C], {}, A + B + C),
    ("subtract", [A, B], {}, A - B),
    ("multiply", [A, B], {}, A * B),
    ("average", [A, B], {}, (A + B) / 2),
    ("maximum", [A, B], {}, np.maximum(A, B)),
    ("minimum", [A, B], {}, np.minimum(A, B)),
    ("concatenate", [A, B], {"axis": 1}, np.concatenate([A, B], axis=1)),
    ("dot", [VECTOR, VECTOR], {"normalize": True}, np.ones((2, 1))),
]


@pytest.mark.parametrize("backend", EAGER)
@pytest.mark.parametrize(("name", "inputs", "kwargs", "want"), FUNCTIONS, ids=lambda x: x if isinstance(x, str) else "")
def test_functions_of_arrays(name, inputs, kwargs, want, backend):
    fun = getattr(nn, name)
    out = fun(kf.to_backend(inputs, backend), **kwargs)
    assert kf.backend_of(out).name == backend
    np.testing.assert_allclose(kf.to_numpy(out), want, rtol=1e-5, atol=1e-5)

    @nn.layer
    class Inside(nn.Layer):
        def forward(self, s, *xs):
            return fun(list(xs), **kwargs) * 2

    out = Inside().apply({}, *kf.to_backend(inputs, backend))[0]
    np.testing.assert_allclose(kf.to_numpy(out), 2 * want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "inputs", "kwargs", "want"), FUNCTIONS, ids=lambda x: x if isinstance(x, str) else "")
def test_functions_of_nodes(name, inputs, kwargs, want):
    nodes = [nn.Input(x.shape[1:]) for x in inputs]
    graph = nn.Graph(nodes, getattr(nn, name)(nodes, name="merged", **kwargs))
    assert [child for child, _ in graph.children()] == ["merged"]
    np.testing.assert_allclose(graph.apply({}, inputs)[0], want, rtol=1e-5, atol=1e-5)


# -- errors ----------------------------------------------------------------------------------------------------------

MISFITS = [
    (nn.Add(), [A, normal(2, 3, 5)], "(2, 3, 4)", "(2, 3, 5)"),
    (nn.Add(), [A, normal(1, 3, 4)], "(2, 3, 4)", "(1, 3, 4)"),
    (nn.Maximum(), [A, normal(2, 3)], "(2, 3, 4)", "(2, 3)"),
    (nn.Concatenate(), [A, LONG], "(2, 3, 4)", "(2, 5, 4)"),
    (nn.Concatenate(), [A, VECTOR], "(2, 3, 4)", "(2, 4)"),
    (nn.Concatenate(3), [A, B], "(2, 3, 4)", "axis 3"),
    (nn.Dot(1), [A, LONG], "(2, 3, 4)", "(2, 5, 4)"),
    (nn.Dot(2), [A, VECTOR], "(2, 3, 4)", "(2, 4)"),
    (nn.Dot(2), [A, normal(3, 3, 4)], "(2, 3, 4)", "(3, 3, 4)"),
    (nn.Add(), [np.float32(1), A], "()", "1 axis"),
]


@pytest.mark.parametrize(("layer", "inputs", "first", "second"), MISFITS, ids=lambda x: type(x).__name__)
def test_shapes_that_do_not_fit(layer, inputs, first, second):
    specs = [kf.Spec(x.shape) for x in inputs]
    for given, run in ((inputs, functools.partial(layer.apply, {})), (specs, functools.partial(layer.init, 0))):
        with pytest.raises(errors.ShapeError) as error:
            run(given)
        assert first in str(error.value) and second in str(error.value)


@pytest.mark.parametrize(
    ("layer", "inputs", "mask", "argument"),
    [
        (nn.Add(), A, None, "inputs"),
        (nn.Add(), [], None, "inputs"),
        (nn.Subtract(), [A], None, "inputs"),
        (nn.Subtract(), [A, B, C], None, "inputs"),
        (nn.Dot(1), [A], None, "inputs"),
        (nn.Multiply(), [A, B], [M], "mask"),
        (nn.Concatenate(), [A, B], M, "mask"),
    ],
)
def test_what_is_no_list_of_inputs(layer, inputs, mask, argument):
    with pytest.raises(errors.ArgumentError) as error:
        layer.apply({}, inputs, mask=mask)
    assert error.value.argument == argument
