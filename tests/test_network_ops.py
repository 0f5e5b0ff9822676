"""What Keras gets wrong or does not say about the ops of networks, against oracles of our own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from backends import EAGER

import kfunc as kf
from kfunc import ops

EPS = float(np.finfo(np.float32).eps)
RNG = np.random.default_rng(3)


def on(name, *arrays):
    return [kf.asarray(x, backend=name) for x in arrays]


@pytest.mark.parametrize("name", EAGER)
def test_sparsemax_is_the_nearest_point_of_the_simplex(name):
    """Keras 3.15 adds up sums of sums, which is wrong where more than one element stays above 0."""
    x = RNG.normal(size=(6, 5))
    want = np.empty_like(x)
    for row, out in zip(x, want, strict=True):
        # The condition of Karush, Kuhn and Tucker, tried for each number of elements above 0.
        for k in range(1, 6):
            limit = (np.sort(row)[-k:].sum() - 1) / k
            if np.count_nonzero(row > limit) == k:
                out[:] = np.maximum(row - limit, 0)
    assert (want > 0).sum() > 10
    (given,) = on(name, x.astype(np.float32))
    np.testing.assert_allclose(kf.to_numpy(ops.sparsemax(given)), want, rtol=0, atol=8 * EPS * np.abs(x).max())


def all_paths(logits, blank):
    """For each sequence of labels, the sum of the probabilities of its paths."""
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    sums: dict[tuple, float] = {}
    for path in itertools.product(range(p.shape[1]), repeat=p.shape[0]):
        labels = tuple(k for k, _ in itertools.groupby(path) if k != blank)
        sums[labels] = sums.get(labels, 0) + np.prod(p[np.arange(len(path)), path])
    return sums


@pytest.mark.parametrize("name", EAGER)
def test_ctc_counts_all_paths(name):
    logits = 2 * RNG.normal(size=(5, 3))
    sums = all_paths(logits, 0)
    given = on(name, logits[None].astype(np.float32), np.int32([5]))
    best = sorted(sums, key=sums.get, reverse=True)[:3]
    # A beam as wide as there are sequences loses none.
    paths, scores = map(kf.to_numpy, ops.ctc_decode(*given, "beam_search", len(sums), 3))
    assert [tuple(p[p >= 0]) for p in paths[:, 0]] == best
    np.testing.assert_allclose(scores[0], np.log([sums[b] for b in best]), rtol=0, atol=8 * EPS * 5)
    for labels in best:
        target = on(name, np.int32([[*labels, 1]]), np.int32([len(labels)]))
        loss = kf.to_numpy(ops.ctc_loss(target[0], given[0], target[1], given[1]))
        np.testing.assert_allclose(loss, [-np.log(sums[labels])], rtol=0, atol=8 * EPS * 5)


@pytest.mark.parametrize("name", EAGER)
def test_labels_that_do_not_fit_have_an_infinite_ctc_loss_and_no_gradient(name):
    logits, one = RNG.normal(size=(1, 3, 4)).astype(np.float32), np.int32([3])
    x, target, length = on(name, logits, np.int32([[2, 2, 1]]), one)
    total = kf.arrays.native(lambda loss: kf.namespace(loss).sum(loss))
    value, gradient = kf.value_and_grad(lambda x: total(ops.ctc_loss(target, x, length, length)))(x)
    assert kf.to_numpy(value) == np.inf
    np.testing.assert_array_equal(kf.to_numpy(gradient), np.zeros_like(logits))


@pytest.mark.parametrize("name", EAGER)
def test_causal_convolution_sees_nothing_that_comes_after(name):
    x, kernel = RNG.normal(size=(1, 8, 2)).astype(np.float32), RNG.normal(size=(3, 2, 4)).astype(np.float32)
    later = x.copy()
    later[:, 5:] = np.nan
    out, cut = (kf.to_numpy(ops.conv(*on(name, a, kernel), padding="causal", dilation_rate=2)) for a in (x, later))
    np.testing.assert_array_equal(out[:, :5], cut[:, :5])
    assert out.shape == (1, 8, 4) and np.isnan(cut[:, 5:]).all()


A = RNG.normal(size=(2, 6, 5, 4)).astype(np.float32)
T = RNG.normal(size=(2, 5, 4, 3)).astype(np.float32)
WRONG = [
    ("conv_transpose", (A, np.zeros((3, 3, 5, 3))), {}, "ShapeError", "inputs"),
    ("conv_transpose", (A, np.zeros((3, 3, 5, 4))), {"padding": "causal"}, "ArgumentError", "padding"),
    ("depthwise_conv", (A, np.zeros((3, 3, 3, 1))), {}, "ShapeError", "inputs"),
    ("adaptive_max_pool", (A, 0), {}, "ArgumentError", "output_size"),
    ("unfold", (A[0], 2), {}, "ShapeError", "x"),
    ("unfold", (A, 2), {"padding": -1}, "ArgumentError", "padding"),
    ("fold", (A[0], 6, 2), {}, "ShapeError", "x"),
    ("depth_to_space", (A, 3), {}, "ShapeError", "x"),
    ("space_to_depth", (A, 4), {}, "ShapeError", "x"),
    ("space_to_depth", (A, 1), {}, "ArgumentError", "block_size"),
    ("dot_product_attention", (T, T[:, :, :3], T[:, :, :3]), {}, "ShapeError", "key"),
    ("dot_product_attention", (T[0], T, T), {}, "ShapeError", "query"),
    ("glu", (T,), {}, "ShapeError", "x"),
    ("normalize", (T,), {"order": 0}, "ArgumentError", "order"),
    ("binary_crossentropy", (T, A), {}, "ShapeError", "target"),
    ("categorical_crossentropy", (T, A), {}, "ShapeError", "target"),
    ("sparse_categorical_crossentropy", (np.zeros(3, np.int32), A), {}, "ShapeError", "target"),
    ("psnr", (T, A, 1.0), {}, "ShapeError", "x1"),
    ("ctc_decode", (T[0], np.int32([4] * 5), "best"), {}, "ArgumentError", "strategy"),
    ("ctc_decode", (T[0], np.int32([4] * 5), "beam_search", 2, 3), {}, "ArgumentError", "top_paths"),
    ("ctc_loss", (np.zeros(5, np.int32), T[0], np.int32([4] * 5), np.int32([4] * 5)), {}, "ShapeError", "target"),
]


@pytest.mark.parametrize("name", EAGER)
@pytest.mark.parametrize(("op", "args", "kwargs", "error", "argument"), WRONG)
def test_wrong_arguments(name, op, args, kwargs, error, argument):
    given = [
        kf.asarray(np.float32(a) if a.dtype == float else a, backend=name) if hasattr(a, "dtype") else a for a in args
    ]
    with pytest.raises(getattr(kf.errors, error)) as caught:
        getattr(ops, op)(*given, **kwargs)
    assert (caught.value.op, caught.value.argument) == (op, argument)


@pytest.mark.parametrize("op", [ops.segment_sum, ops.segment_prod, ops.segment_max, ops.segment_min])
def test_segments_of_several_axes(op):
    """`segment_ids` with the leading axes of `data` are those of as many rows."""
    x, ids = RNG.normal(size=(2, 3, 4)), np.asarray([[0, 2, 0], [1, 1, 2]])
    np.testing.assert_array_equal(op(x, ids, 4), op(x.reshape(6, 4), ids.reshape(6), 4))


def test_take_along_an_axis_broadcasts_the_others():
    x, ids = RNG.normal(size=(2, 3, 4)), np.asarray([2, 0, 1, 1, 2])
    wanted = x[:, ids, :]
    np.testing.assert_array_equal(ops.take_along_axis(x, ids.reshape(1, 5, 1), 1), wanted)
    np.testing.assert_array_equal(
        ops.take_along_axis(x[:1], np.broadcast_to(ids[:, None], (2, 5, 4)), 1), wanted[[0, 0]]
    )


def test_places_of_negative_indices():
    assert [int(i) for i in ops.unravel_index(np.asarray(-1), (2, 3))] == [1, 2]


def test_a_number_without_axes_is_normalized():
    np.testing.assert_array_equal(np.ravel(ops.normalize(np.asarray(-3.0))), [-1.0])


@pytest.mark.parametrize(("dtype", "wanted"), [("float32", "complex64"), ("float64", "complex128")])
def test_complex_numbers_beside_arrays(dtype, wanted):
    assert ops.add(np.ones(2, dtype), 1j).dtype == wanted


@pytest.mark.parametrize("x", [8.001, 20.0, 500.0])
def test_i0_of_large_numbers(x):
    """Chebyshev's series in float64, where the last terms show."""
    np.testing.assert_allclose(ops.i0(np.asarray(x)), np.i0(x), rtol=16 * 2.0**-52)


@pytest.mark.parametrize("k", [9, 12, 16, 20, 24])
def test_erfinv_near_1(k):
    """The polynomial for float32 against that for float64: ten roundings of half an eps each, and three eps its own."""
    x = np.float32(1 - 2.0**-k)
    np.testing.assert_allclose(ops.erfinv(x), ops.erfinv(np.float64(x)), rtol=8 * EPS)


@pytest.mark.array_api_strict
def test_a_library_that_takes_indices_of_one_dtype_alone():
    """As ndonnx does; the standard allows any integers, and kfunc makes them int32."""
    import types

    import array_api_strict as strict

    from kfunc.backends.generic import GenericBackend

    def take(x, indices, /, *, axis=None):
        assert indices.dtype == strict.int64
        return strict.take(x, indices, axis=axis)

    picky = types.SimpleNamespace(**{**{n: getattr(strict, n) for n in dir(strict)}, "take": take})
    backend = GenericBackend(type("Picky", (), {"__array_namespace__": lambda self: picky}))
    found = backend.xp.take(strict.asarray([3.0, 4.0, 5.0]), strict.asarray([2, 0], dtype=strict.int32))
    assert np.asarray(found).tolist() == [5.0, 3.0] and backend.xp.exp is strict.exp
