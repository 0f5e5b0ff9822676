"""What rows against Keras cannot say of core layers: first values, files, functions, precision."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from backends import EAGER

import kfunc as kf
from kfunc import nn


@kf.register("activation")
def doubled(x):
    return x * 2


def through_json(layer):
    return kf.registry.from_config("layer", json.loads(json.dumps(kf.registry.to_config("layer", layer))))


# -- functions ---------------------------------------------------------------------------------------------------------


def test_a_lambda_is_kept_by_its_function_s_name():
    layer = nn.Lambda(doubled, (3,), arguments={})
    config = kf.registry.to_config("layer", layer)
    assert config["config"]["function"] == {"category": "activation", "name": "custom:doubled"}
    assert through_json(layer).function is doubled
    assert nn.Lambda("custom:doubled").function is doubled
    assert through_json(nn.Lambda(kf.ops.tanh)).function is kf.ops.tanh


@pytest.mark.parametrize("argument", ["function", "output_shape", "mask"])
def test_what_has_no_name_runs_and_is_not_saved(argument):
    layer = nn.Lambda(**{"function": doubled, argument: lambda x, mask=None: x})
    if argument == "function":
        np.testing.assert_array_equal(layer.apply({}, np.ones((1, 2), np.float32))[0], 1)
    with pytest.raises(kf.errors.ArgumentError, match="register") as caught:
        kf.registry.to_config("layer", nn.Sequential([layer]))
    assert caught.value.argument == argument
    assert "lambda" in caught.value.got


@pytest.mark.parametrize("name", EAGER)
def test_a_lambda_hands_on_the_mask_that_it_was_given(name):
    x = kf.asarray(np.ones((2, 3), np.float32), backend=name)
    for mask in ([[True, False, True]] * 2, np.asarray([[True, False, True]] * 2)):
        layer = through_json(nn.Lambda(doubled, mask=mask))
        out, _, aux = layer.apply({}, x, aux=True)
        np.testing.assert_array_equal(kf.to_numpy(aux.mask), mask)
        assert type(out) is type(x)


def test_a_lambda_s_function_sees_training():
    layer = nn.Lambda(lambda x, training: x + (1 if training else 0))
    x = np.zeros(2, np.float32)
    assert layer.apply({}, x)[0][0] == 0 and layer.apply({}, x, train=True)[0][0] == 1


# -- tables ------------------------------------------------------------------------------------------------------------

TABLE = np.arange(6, dtype=np.float32).reshape(3, 2)


@pytest.mark.parametrize("name", EAGER)
def test_the_first_values_of_a_table(name):
    ids = kf.asarray(np.asarray([2, 0], np.int32), backend=name)
    for weights in (TABLE, TABLE.tolist(), [TABLE], kf.asarray(TABLE, backend=name)):
        layer = nn.Embedding(3, 2, weights=weights)
        params, _ = layer.init(0, ids)
        np.testing.assert_array_equal(kf.to_numpy(layer.apply(params, ids)[0]), TABLE[[2, 0]])
        assert type(params["embeddings"]) is type(kf.asarray(TABLE, backend=name))
    assert "Embedding" in repr(layer)
    assert through_json(layer).weights is None  # files hold the parameters


def test_a_way_back_in_another_precision():
    layer = nn.ReversibleEmbedding(7, 4, reverse_dtype="float64", tie_weights=False, dtype="float16")
    ids, x = np.asarray([1, 2], np.int32), np.ones((2, 4), np.float32)
    params, _ = layer.init(0, ids)
    assert layer.apply(params, ids)[0].dtype == np.float16
    out, _ = layer.apply(params, x, reverse=True)
    assert out.dtype == np.float64 and out.shape == (2, 7)
    np.testing.assert_allclose(out, x.astype(np.float64) @ params["reverse_embeddings"], rtol=1e-14)


# -- dense maps --------------------------------------------------------------------------------------------------------


def test_einsum_dense_scales_by_the_axes_that_it_sums_over():
    """Two input axes of 8, output axes of 4 and 16, in an order that the shape does not show."""
    layer = nn.EinsumDense("abc,dbec->ade", (4, 16), kernel_initializer="he_uniform")
    params, _ = layer.init(0, kf.Spec((None, 8, 8)))
    kernel = params["kernel"]
    assert kernel.shape == (4, 8, 16, 8)
    limit = math.sqrt(3 * 2 / 64)
    assert 0.99 * limit < np.abs(kernel).max() <= limit
    given = nn.EinsumDense("abc,dbec->ade", (4, 16), kernel_initializer="orthogonal")
    assert given.init(0, kf.Spec((None, 8, 8)))[0]["kernel"].shape == (4, 8, 16, 8)


def test_einsum_dense_takes_as_many_axes_as_come():
    layer = nn.EinsumDense("...x,xy->...y", 5, bias_axes="y")
    params, _ = layer.init(0, kf.Spec((None, 3)))
    for shape in ((2, 3), (2, 4, 3), (2, 1, 4, 3), (3,)):
        x = np.ones(shape, np.float32)
        np.testing.assert_allclose(
            layer.apply(params, x)[0], x @ params["kernel"] + params["bias"], rtol=0, atol=8 * 2.0**-23 * 4
        )


# -- precision ---------------------------------------------------------------------------------------------------------

HALF = [
    (nn.Dense(3, "relu", dtype="mixed_float16"), (2, 4), np.float16),
    (nn.EinsumDense("ab,bc->ac", 3, bias_axes="c", dtype="mixed_float16"), (2, 4), np.float16),
    (nn.Masking(dtype="float16"), (2, 4), np.float16),
    (nn.PReLU(dtype="mixed_float16"), (2, 4), np.float16),
    (nn.Softmax(dtype="float16"), (2, 4), np.float16),
    (nn.ReLU(6.0, 0.1, 1.0, dtype="float16"), (2, 4), np.float16),
    (nn.Dense(3, dtype="float64"), (2, 4), np.float64),
]


@pytest.mark.parametrize(("layer", "shape", "dtype"), HALF, ids=lambda x: type(x).__name__)
def test_the_policy_says_the_dtype_of_the_output(layer, shape, dtype):
    x = np.linspace(-1, 1, math.prod(shape), dtype=np.float32).reshape(shape)
    params, state = layer.init(0, x)
    assert layer.apply(params, x, state=state)[0].dtype == dtype


def test_softmax_masks_in_half_precision_and_where_nothing_is_left():
    x = np.zeros((2, 3), np.float16)
    mask = np.asarray([[1, 1, 0], [0, 0, 0]])
    y, _ = nn.Softmax().apply({}, x, mask=mask.astype(bool))
    np.testing.assert_array_equal(y, np.asarray([[0.5, 0.5, 0], [0, 0, 0]], np.float16))
    np.testing.assert_array_equal(nn.Softmax().apply({}, x, mask=mask.astype(np.float32))[0], y)
