"""Half precision, of layers and ops: what they say of the same numbers in float32 and float64, to its rounding."""

from __future__ import annotations

import math

import numpy as np
import pytest
from backends import TRAINING
from catalogue import New, merging, pooling, reshaping
from catalogue_oracle import OURS

import kfunc as kf
from kfunc import losses, ops

pytestmark = pytest.mark.usefixtures("quickly_compiled")

ROWS = [*merging.ROWS, *reshaping.ROWS, *pooling.ROWS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.new.name}-{row.note}")
def test_float16(row):
    half = New(row.new.name, *row.new.args, **row.new.kwargs, dtype="float16").build(OURS)
    want = row.new.build(OURS).apply({}, *row.args, **row.options)[0]
    got = half.apply({}, *row.args, **row.options)[0]
    floating = {x.dtype.kind for x in kf.tree.leaves(row.args)} == {"f"}
    assert got.dtype == (np.float16 if floating else want.dtype)
    scale = max(1.0, abs(want).max())
    eps = float(np.finfo(np.float16).eps)
    np.testing.assert_allclose(got.astype(np.float32), want, rtol=0, atol=4 * eps * math.sqrt(row.n) * scale)


LONG = 70000  # so many ones have a sum that float16 does not hold


def numbers(*shape, spread=1.0, mean=0.0):
    return np.random.default_rng([*shape]).normal(mean, spread, shape)


def last(op, **options):
    return lambda *xs: op(*xs, axis=-1, **options)


def of_labels(x):
    labels = kf.asarray(np.int32([1, 3]), backend=kf.backend_of(x).name)
    return ops.sparse_categorical_crossentropy(labels, x, from_logits=True)


def in_one_segment(x):
    return ops.segment_sum(x, kf.asarray(np.zeros(x.shape[0], np.int32), backend=kf.backend_of(x).name), 1)


FLAT, NEAR, SHARES = numbers(2, LONG, spread=0), numbers(2, 5000, mean=1000), np.full((2, 8), 1 / 8)
IMAGES = numbers(2, 10, 10, 2, spread=100, mean=3e4)

# Sums that half precision does not hold, of numbers that it holds.
SUMS = {
    "softmax": (lambda x: ops.sum(ops.cast(ops.softmax(x), "float32"), axis=-1), FLAT),
    "log_softmax": (ops.log_softmax, FLAT),
    "logsumexp": (last(ops.logsumexp), FLAT),
    "sparsemax": (ops.sparsemax, numbers(2, 2000)),
    "sum": (last(ops.sum), FLAT + 0.5),
    "sum of rows": (lambda x: ops.sum(x, axis=0), FLAT.T + 0.5),
    "mean": (last(ops.mean), NEAR),
    "var": (last(ops.var), numbers(2, 5000, mean=3e3, spread=30)),
    "std": (last(ops.std), numbers(2, 5000, mean=3e4, spread=300)),
    "prod": (last(ops.prod), numbers(2, 1000, mean=1, spread=1e-2)),
    "cumprod": (last(ops.cumprod), numbers(2, 1000, mean=1, spread=1e-2)),
    "cumsum": (last(ops.cumsum), FLAT + 0.1),
    "norm": (last(ops.norm), NEAR / 30),
    "norm of order 3": (last(ops.norm, ord=3), NEAR / 30),
    "normalize": (ops.normalize, 30 * NEAR),
    "moments": (lambda x: ops.moments(x, -1), numbers(2, 5000, mean=3e3, spread=30)),
    "normalize_batch": (lambda x: ops.normalize_batch(x)[:2], 30 * NEAR.T),
    "layer_normalization": (ops.layer_normalization, NEAR),
    "rms_normalization": (ops.rms_normalization, 30 * NEAR),
    "group_normalization": (lambda x: ops.group_normalization(x, 2), numbers(2, 500, 4, mean=3e4, spread=300)),
    "average": (lambda x, w: ops.average(x, axis=-1, weights=w), NEAR, np.abs(numbers(2, 5000))),
    "corrcoef": (ops.corrcoef, numbers(3, 5000, mean=1000, spread=100)),
    "trapezoid": (last(ops.trapezoid), FLAT + 0.5),
    "median": (last(ops.median), NEAR),
    "matmul": (ops.matmul, NEAR / 1e3, NEAR.T / 1e3),
    "einsum": (lambda a, b: ops.einsum("ij,kj->ik", a, b), NEAR / 1e3, NEAR / 1e3),
    "correlate": (ops.correlate, numbers(5000, mean=1), numbers(4990, mean=1)),
    "cdist": (ops.cdist, NEAR / 3, -NEAR / 300),
    "segment_sum": (in_one_segment, FLAT[0] + 0.1),
    "average_pool": (lambda x: ops.average_pool(x, 5), IMAGES),
    "average_pool same": (lambda x: ops.average_pool(x, 5, 3, "same"), IMAGES),
    "average_pool 3d": (lambda x: ops.average_pool(x, 5), numbers(2, 10, 10, 10, 2, spread=100, mean=3e4)),
    "adaptive_average_pool": (lambda x: ops.adaptive_average_pool(x, 3), IMAGES),
    "adaptive_average_pool 3d": (lambda x: ops.adaptive_average_pool(x, 3), numbers(1, 9, 9, 9, 2, mean=3e4)),
    "conv": (lambda x, k: ops.conv(x, k), IMAGES / 1e4, numbers(5, 5, 2, 3, mean=1)),
    "conv depthwise": (lambda x, k: ops.conv(x, k), IMAGES / 1e4, numbers(5, 5, 1, 2, mean=1)),
    "squareplus": (ops.squareplus, numbers(100, spread=1000)),
    "attention": (
        ops.dot_product_attention,
        *(numbers(1, 5, 2, 64, mean=100), numbers(1, 30, 2, 64, mean=100), numbers(1, 30, 2, 4, mean=3, spread=0.1)),
    ),
    "attention_scores": (ops.attention_scores, numbers(1, 5, 2, 64, spread=6), numbers(1, 30, 2, 64, spread=6)),
    "psnr": (lambda a, b: ops.psnr(a, b, 255.0), numbers(90, 90, spread=100), numbers(91, 90, spread=100)[1:]),
    "binary_crossentropy": (ops.binary_crossentropy, SHARES, np.zeros((2, 8))),
    "categorical_crossentropy": (ops.categorical_crossentropy, SHARES, np.eye(2, 8)),
    "categorical_crossentropy of logits": (
        lambda t, x: ops.categorical_crossentropy(t, x, from_logits=True),
        *(FLAT[:, :5000] + 1 / 8, numbers(2, 5000)),
    ),
    "sparse_categorical_crossentropy": (of_labels, FLAT),
    "cosine_similarity": (losses.cosine_similarity, NEAR, NEAR[::-1]),
    "inv": (ops.inv, np.eye(5) + numbers(5, 5, spread=0.1)),
    "det": (ops.det, np.eye(5) + numbers(5, 5, spread=0.1)),
    "solve": (ops.solve, np.eye(5) + numbers(5, 5, spread=0.1), numbers(5, 2)),
}


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("case", SUMS)
@pytest.mark.parametrize("name", [p for p in TRAINING if p.values[0] != "array_api_strict"])
def test_sums(name, case, half):
    """Half precision is only the form of arguments and results: the sums are as in float32."""
    if name == "numpy" and half == "bfloat16":
        return  # it has none
    fun, *args = SUMS[case]
    xs = [ops.cast(kf.asarray(np.asarray(a, np.float32), backend=name), half) for a in args]
    want = fun(*[kf.to_numpy(ops.cast(x, "float32")).astype(np.float64) for x in xs])
    for got, y in zip(kf.tree.leaves(fun(*xs)), kf.tree.leaves(want), strict=True):
        # The rounding of the result, and that of one step before it.
        eps = {"float16": 2.0**-10, "bfloat16": 2.0**-7}[half]
        got = kf.to_numpy(ops.cast(got, "float32"))
        np.testing.assert_allclose(got, y, rtol=0, atol=1.5 * eps * np.abs(y).max())
