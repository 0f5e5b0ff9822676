"""Layers and ops where neither the batch nor the sizes of space and time are known: shapes, TensorFlow's programs."""

from __future__ import annotations

import contextlib
import importlib

import keras_oracle
import numpy as np
import pytest
from keras_rows import normal

import kfunc as kf
from kfunc import nn, ops

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


# -- ops -------------------------------------------------------------------------------------------------------------


def shapes_of(row, sizes):
    """The shapes of the row's results, where an array of shape `s` stands for one of `sizes(s)`."""

    def spec(x):
        return kf.Spec(sizes(x.shape), x.dtype.name) if isinstance(x, np.ndarray) and x.dtype.kind in "fc" else x

    out = keras_oracle.call(ops, row._replace(only=None), *kf.tree.map(spec, (row.args, row.kwargs)))
    return [x.shape for x in kf.tree.leaves(out) if isinstance(x, kf.Spec)]


OPS = sorted({row.name for row in keras_oracle.ROWS})


@pytest.mark.parametrize("name", OPS)
def test_ops(name):
    """A size that is not known gives a shape that is right where it is known, or an error of ours, and no other."""
    for row in keras_oracle.ROWS:
        if row.name != name or row.call is not None:
            continue
        try:
            want = shapes_of(row, lambda s: s)
        except kf.KfuncError:
            continue  # it asks for values
        for sizes in (lambda s: (None, *s[1:])[: len(s)], lambda s: (None,) * len(s)):
            try:
                got = shapes_of(row, sizes)
            except kf.KfuncError:
                continue
            assert len(got) == len(want)
            for a, b in zip(got, want, strict=True):
                if len(a) != len(b) and row.name == "squeeze":
                    continue  # an axis of unknown size stays
                assert len(a) == len(b)
                assert all(m is None or m == n for m, n in zip(a, b, strict=True)), f"{row}: {a} for {b}"


@pytest.mark.parametrize("name", OPS)
def test_ops_of_too_few_axes(name):
    """A result or an error of ours, and no other, for arrays without axes, and with one, in place of each array."""
    for row in keras_oracle.ROWS:
        if row.name != name or row.call is not None:
            continue
        for shape in ((), (3,)):
            given = kf.tree.map(
                lambda x, shape=shape: kf.Spec(shape, x.dtype.name) if isinstance(x, np.ndarray) else x,
                (row.args, row.kwargs),
            )
            with contextlib.suppress(kf.KfuncError):
                keras_oracle.call(ops, row._replace(only=None), *given)


@pytest.mark.parametrize(
    ("call", "shape"),
    [
        (lambda: ops.kron(kf.Spec((None, 3)), kf.Spec((2, 2))), (None, 6)),
        (lambda: ops.unique(kf.Spec((None, 3))), (None,)),
        (lambda: ops.unique(kf.Spec((4, None)), axis=0, size=2), (2, None)),
        (lambda: ops.segment_sum(kf.Spec((None, 3)), kf.Spec((None,), "int32")), (None, 3)),
        (lambda: ops.segment_max(kf.Spec((5, 3)), kf.Spec((5,), "int32"), 4), (4, 3)),
        (lambda: ops.diagonal(kf.Spec((None, 3, 3))), (3, None)),
        (lambda: ops.diagonal(kf.Spec((None, 3, 4)), axis1=1, axis2=2), (None, 3)),
        (lambda: ops.trace(kf.Spec((None, 5, None, 3))), (None, 3)),
        (lambda: ops.diag(kf.Spec((None,))), (None, None)),
        (lambda: ops.vander(kf.Spec((None,)), 4), (None, 4)),
        (lambda: ops.array_split(kf.Spec((None, 4)), 2)[1], (None, 4)),
        (lambda: ops.image.resize(kf.Spec((None, None, None, 3)), (4, 5)), (None, 4, 5, 3)),
        (lambda: ops.image.crop_images(kf.Spec((None, None, 3)), 1, 2, target_height=4, target_width=5), (4, 5, 3)),
        (lambda: ops.image.crop_images(kf.Spec((None, 9, 3)), 1, 2, 3, 4), (None, 3, 3)),
        (lambda: ops.image.pad_images(kf.Spec((2, None, 9, 3)), 1, 2, 3, 4), (2, None, 15, 3)),
        (lambda: ops.image.map_coordinates(kf.Spec((None, 4)), kf.Spec((2, None, 7)), 1), (None, 7)),
        (lambda: ops.conv(kf.Spec((None, 9, None)), kf.Spec((3, 4, 5)), 2, dilation_rate=2), (None, 3, 5)),
        (lambda: ops.extract_sequences(kf.Spec((None, None)), 3, 2), (None, None, 3)),
        (lambda: ops.extract_sequences(kf.Spec((None, 32)), 3, 2), (None, 15, 3)),
        (lambda: ops.stft(kf.Spec((2, None)), 3, 2, 4)[0], (2, None, 3)),
        (lambda: ops.istft((kf.Spec((None, None, 5)),) * 2, 4, 1, 8), (None, None)),
        (lambda: ops.istft((kf.Spec((None, None, 5)),) * 2, 4, 1, 8, 3), (None, 3)),
        (lambda: ops.istft((kf.Spec((None, 10, 5)),) * 2, 4, 1, 8), (None, 9)),
        (lambda: nn.Reshape((3, 5)).trace(kf.Spec((2, None))).outputs[-1][2], (2, 3, 5)),
        (lambda: ops.depthwise_conv(kf.Spec((2, 9, None)), kf.Spec((3, 4, 1))), (2, 7, 4)),
    ],
)
def test_shapes_of_ops(call, shape):
    assert call().shape == shape
