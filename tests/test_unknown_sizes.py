"""Layers where neither the batch nor the sizes of space and time are known: shapes, and programs of TensorFlow."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from keras_rows import normal

import kfunc as kf
from kfunc import nn

SEQUENCE, IMAGE, VOLUME = (2, 5, 4), (2, 5, 4, 4), (2, 4, 5, 3, 2)
LAYERS = [
    (nn.Flatten(), SEQUENCE),
    (nn.Flatten("channels_first"), IMAGE),
    (nn.Reshape((-1, 2)), SEQUENCE),
    (nn.Reshape((2, -1)), IMAGE),
    (nn.Reshape((5, 4)), SEQUENCE),
    (nn.Permute((2, 1)), SEQUENCE),
    (nn.Cropping1D((0, 2)), SEQUENCE),
    (nn.Cropping2D(1), IMAGE),
    (nn.ZeroPadding1D(1), SEQUENCE),
    (nn.ZeroPadding2D(1, "channels_first"), IMAGE),
    (nn.UpSampling1D(2), SEQUENCE),
    (nn.UpSampling2D((2, 3)), IMAGE),
    (nn.GroupNormalization(2, center=False, scale=False), IMAGE),
    (nn.GroupNormalization(2, center=False, scale=False), SEQUENCE),
    (nn.UnitNormalization(), SEQUENCE),
    (nn.UnitNormalization(1), IMAGE),
    (nn.MaxPooling1D(2), SEQUENCE),
    (nn.MaxPooling2D(2, padding="same"), IMAGE),
    (nn.AveragePooling2D(2, data_format="channels_first"), IMAGE),
    (nn.AveragePooling3D(2, padding="same"), VOLUME),
    (nn.GlobalMaxPooling2D(), IMAGE),
    (nn.GlobalAveragePooling1D(), SEQUENCE),
    (nn.Add(), SEQUENCE, (2, 4)),
    (nn.Maximum(), SEQUENCE, SEQUENCE),
    (nn.Concatenate(), SEQUENCE, SEQUENCE),
    (nn.Concatenate(1), SEQUENCE, SEQUENCE),
    (nn.Dot(1), SEQUENCE, SEQUENCE),
    (nn.Dot((-1, 1), normalize=True), IMAGE, (2, 4)),
]


def given(layer, xs):
    """The arguments of `forward`: merging layers take one list."""
    return [list(xs)] if "inputs" in layer._inputs else list(xs)


def unknown(layer, shape):
    """`shape` with the number of channels alone."""
    channels = 1 if getattr(layer, "data_format", None) == "channels_first" else len(shape) - 1
    return tuple(n if axis == channels else None for axis, n in enumerate(shape))


@pytest.mark.parametrize("row", LAYERS, ids=lambda row: repr(row[0]))
def test_shapes(row):
    layer, *shapes = row
    xs = [normal(*shape, salt=i) for i, shape in enumerate(shapes)]
    specs = [kf.Spec(unknown(layer, shape)) for shape in shapes]
    out = layer.trace(*given(layer, specs)).outputs[-1][2]
    want = layer.apply({}, *given(layer, xs))[0].shape
    assert len(out.shape) == len(want) and out.shape[0] is None
    assert all(m in (None, n) for m, n in zip(out.shape, want, strict=True))


@pytest.mark.tensorflow
@pytest.mark.parametrize("row", LAYERS, ids=lambda row: repr(row[0]))
def test_programs_of_tensorflow(row):
    tf = importlib.import_module("tensorflow")
    layer, *shapes = row
    signature = [tf.TensorSpec(unknown(layer, shape), tf.float32) for shape in shapes]
    program = tf.function(lambda *xs: layer.apply({}, *given(layer, xs))[0], signature, autograph=False)
    for batch in (2, 3):
        xs = [normal(batch, *shape[1:], salt=i) for i, shape in enumerate(shapes)]
        out = program(*map(tf.convert_to_tensor, xs))
        want = layer.apply({}, *given(layer, xs))[0]
        np.testing.assert_allclose(out.numpy(), want, rtol=1e-5, atol=1e-6)


def test_what_needs_sizes_gives_shapes_without():
    """An interpolation needs them when it runs, and not before."""
    layer = nn.UpSampling2D(2, interpolation="bilinear")
    spec = layer.trace(kf.Spec((None, None, 8, 3))).outputs[-1][2]
    assert spec.shape == (None, None, 16, 3)


HUGE = {
    "RotaryEmbedding": (nn.RotaryEmbedding(), (None, 4, 2**31 - 2)),
    "Dense before RotaryEmbedding": (nn.Sequential([nn.Dense(2**31 - 2), nn.RotaryEmbedding()]), (None, 4, 3)),
    "SpectralNormalization": (nn.SpectralNormalization(nn.Dense(3), 2**31 - 1), (None, 4)),
    "Stack": (nn.Stack(nn.Dense(4), 2**31 - 1), (None, 4)),
}


@pytest.mark.parametrize("name", HUGE)
def test_shapes_are_found_without_work_for_each_number(name):
    """A short file may name any sizes: finding shapes must neither take their time nor their memory."""
    layer, shape = HUGE[name]
    assert layer.trace(kf.Spec(shape)).outputs[-1][2].ndim == len(shape)


def test_thresholds_in_any_order_take_no_time_for_each_pair():
    given = [i / 100_000 for i in range(100_000)][::-1]
    metric = kf.metrics.TruePositives(given)
    assert metric.shape() == (100_001, 2) and metric._order[:2] == (99_999, 99_998)
