"""What ops, models and files refuse, beside the tables of the other tests. To add a case, add a line.

Rows: (a call, the error's class, the argument at fault). The first line of each error must stand alone; their texts are
in `rendered_errors.txt`.
"""

from __future__ import annotations

import numpy as np
import pytest

import kfunc as kf
from kfunc import nn, ops, optim
from kfunc.errors import ArgumentError, MissingKeyError, ShapeError


def f(*shape):
    return np.ones(shape, np.float32)


ROW, SQUARE, IMAGE, INTS = f(3), f(3, 3), f(1, 6, 6, 3), np.zeros((2, 3), np.int32)
UNKNOWN = kf.Spec((None, None, None, 3))

OPS = [
    (lambda: ops.rearrange(SQUARE, "a b -> b $"), ArgumentError, "pattern"),
    (lambda: ops.vectorize(lambda x: x, signature="m,n->m")(ROW), ArgumentError, "signature"),
    (lambda: ops.vectorize(lambda x: x, signature="(m),(n)->(m)")(ROW), ArgumentError, "signature"),
    (lambda: ops.vectorize(lambda x: x, signature="(m,n)->(m)")(ROW), ShapeError, "signature"),
    (lambda: ops.full((2, -1), 1.0), ShapeError, "shape"),
    (lambda: ops.ctc_decode(SQUARE, [3, 3, 3]), ShapeError, "inputs"),
    (lambda: ops.view_as_complex(SQUARE), ShapeError, "x"),
    (lambda: ops.ldexp(ROW, ROW), ArgumentError, "x2"),
    (lambda: ops.gcd(ROW, ROW), ArgumentError, "x1"),
    (lambda: ops.image.rgb_to_hsv(f(6, 6, 2)), ShapeError, "images"),
    (lambda: ops.image.gaussian_blur(IMAGE, (3, 3), (0.0, 1.0)), ArgumentError, "sigma"),
    (lambda: ops.image.crop_images(IMAGE, top_cropping=1), ArgumentError, "top_cropping"),
    (lambda: ops.image.crop_images(IMAGE, 4, None, 0, None, 4, 6), ArgumentError, "top_cropping"),
    (
        lambda: ops.image.resize(IMAGE, (3, 3), crop_to_aspect_ratio=True, pad_to_aspect_ratio=True),
        ArgumentError,
        "pad_to_aspect_ratio",
    ),
    (lambda: ops.image.resize(IMAGE, (3, 3, 3)), ShapeError, "size"),
    (lambda: ops.image.map_coordinates(SQUARE, f(3, 4), 1), ShapeError, "coordinates"),
    (lambda: ops.image.map_coordinates(SQUARE, f(2, 4), 1, "edge"), ArgumentError, "fill_mode"),
    (lambda: ops.image.map_coordinates(SQUARE, f(2, 4), 2), ArgumentError, "order"),
    (lambda: ops.image.affine_transform(IMAGE, f(7)), ShapeError, "transform"),
    (lambda: ops.image.perspective_transform(IMAGE, f(3, 2), f(4, 2)), ShapeError, "start_points"),
    (lambda: ops.image.elastic_transform(IMAGE, sigma=0.0, seed=1), ArgumentError, "sigma"),
    (lambda: ops.image.elastic_transform(IMAGE), MissingKeyError, "seed"),
    (lambda: ops.image.affine_transform(UNKNOWN, np.ones(8, np.float32)), ShapeError, "images"),
    (lambda: ops.select([ROW > 0], [ROW, ROW]), ArgumentError, "choicelist"),
    (lambda: ops.take_along_axis(SQUARE, np.zeros(3, np.int32), axis=0), ShapeError, "indices"),
    (lambda: ops.slice(SQUARE, (0,), (2, 2)), ArgumentError, "start_indices"),
    (lambda: ops.slice(SQUARE, (0, 0), (2, 4)), ShapeError, "shape"),
    (lambda: ops.multi_hot(INTS), ArgumentError, "num_classes"),
    (lambda: ops.array_split(ROW, 0), ShapeError, "indices_or_sections"),
    (lambda: ops.solve(SQUARE, f(1)[0]), ShapeError, "b"),
    (lambda: ops.norm(SQUARE, ord="nuc", axis=0), ArgumentError, "ord"),
    (lambda: ops.norm(SQUARE, ord=3, axis=(0, 1)), ArgumentError, "ord"),
    (lambda: ops.vander(SQUARE), ShapeError, "x"),
    (lambda: ops.cross(f(4), f(4)), ShapeError, "x1"),
    (lambda: ops.cdist(SQUARE, f(3, 4)), ShapeError, "y"),
    (lambda: ops.scatter([[0.0]], ROW, (3,)), ArgumentError, "indices"),
    (lambda: ops.scatter([[0]], f(2), (3,)), ShapeError, "values"),
    (lambda: ops.scatter_update(ROW, [[0]], f(1), reduction="mean"), ArgumentError, "reduction"),
    (lambda: ops.segment_sum(ROW, ROW), ArgumentError, "segment_ids"),
    (lambda: ops.segment_sum(ROW, np.zeros(2, np.int32)), ShapeError, "segment_ids"),
    (lambda: ops.bincount(np.zeros((1, 1, 1), np.int32)), ShapeError, "x"),
    (lambda: ops.stft(f(32), 8, 4, 8, window=ROW), ShapeError, "window"),
    (lambda: ops.stft(f(32), 8, 4, 8, window="han"), ArgumentError, "window"),
    (lambda: ops.top_k(ROW, 4), ArgumentError, "k"),
    (lambda: ops.searchsorted(SQUARE, ROW), ShapeError, "sorted_sequence"),
    (lambda: ops.quantile(ROW, 0.5, method="middle"), ArgumentError, "method"),
    (lambda: ops.quantile(ROW, f(1, 1)), ShapeError, "q"),
    (lambda: ops.average(SQUARE, weights=f(2)), ShapeError, "weights"),
    (lambda: ops.correlate(SQUARE, ROW), ShapeError, "x1"),
    (lambda: ops.correlate(ROW, ROW, mode="all"), ArgumentError, "mode"),
    (lambda: ops.histogram(ROW, bins=-1), ArgumentError, "bins"),
    (lambda: ops.histogram(SQUARE), ShapeError, "x"),
    (lambda: ops.histogram(ROW, range=(2, 1)), ArgumentError, "range"),
    (lambda: ops.hanning(2.5), ArgumentError, "x"),
    (lambda: ops.max_pool(f(3, 3), 2), ShapeError, "inputs"),
    (lambda: kf.grad(lambda a: a, argnums="0")(ROW), ArgumentError, "argnums"),
    (lambda: kf.cond(ROW > 0, lambda: 1, lambda: 2), ShapeError, "pred"),
]

MODEL = kf.Model(nn.Dense(1), seed=0)
MODEL.compile("sgd", "mse")

MODELS = [
    (lambda: kf.Model(nn.Dense(1)).compile("sdg"), ArgumentError, "optimizer"),
    (lambda: kf.Model(nn.Dense(1)).compile(3), ArgumentError, "optimizer"),
    (lambda: kf.Model(nn.Dense(1)).compile(optim.sgd(), "mes"), ArgumentError, "loss"),
    (lambda: MODEL.fit(SQUARE, SQUARE, epochs=1, verbose="loud"), ArgumentError, "verbose"),
    (lambda: MODEL.fit(iter([(SQUARE, SQUARE)]), validation_split=0.5, verbose=0), ArgumentError, "validation_split"),
    (lambda: kf.metrics.get("mean_io_u"), ArgumentError, "metric"),
    (lambda: kf.metrics.get("acuracy"), ArgumentError, "metric"),
    (lambda: kf.losses.get("mes"), ArgumentError, "loss"),
    (lambda: kf.callbacks.EarlyStopping(monitor=3), ArgumentError, "monitor"),
    (lambda: nn.initializers.Orthogonal()(kf.random.key(0), (3,)), ArgumentError, "shape"),
    (lambda: kf.metrics.get(kf.metrics.MeanIoU), ArgumentError, "metric"),
    (lambda: nn.Dense(3, kernel_initializer={"class": "Zeroes", "config": {}}), ArgumentError, "kernel_initializer"),
    (lambda: nn.Dense(3, activation={"class": "Relu"}), ArgumentError, "activation"),
    (lambda: kf.metrics.MeanMetricWrapper("mes"), ArgumentError, "fn"),
    (lambda: optim.chain("sdg", "adam"), ArgumentError, "transformations"),
]


def compiled(**metrics):
    model = kf.Model(nn.Dense(1))
    model.compile("sgd", "mse", **metrics)
    model.fit(SQUARE, f(3, 1), verbose=0)


MODELS += [
    (lambda: compiled(metrics=["acuracy"]), ArgumentError, "metrics"),
    (lambda: compiled(weighted_metrics=["acuracy"]), ArgumentError, "weighted_metrics"),
]


@pytest.mark.parametrize("i", range(len(OPS)))
def test_ops_refuse(i):
    call, error, argument = OPS[i]
    with pytest.raises(error) as caught:
        call()
    assert caught.value.argument == argument


@pytest.mark.parametrize("i", range(len(MODELS)))
def test_models_refuse(i):
    call, error, argument = MODELS[i]
    with pytest.raises(error) as caught:
        call()
    assert caught.value.argument == argument
