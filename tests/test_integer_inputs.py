"""Integers, booleans and bytes as inputs: every layer computes with them as with the same numbers in float32."""

from __future__ import annotations

import numpy as np
import pytest
from backends import BACKENDS

import kfunc as kf
from kfunc import nn
from kfunc.nn.graph import InputLayer

_FLAT, _STEPS, _IMAGE, _VOLUME = (4, 6), (2, 5, 4), (2, 6, 6, 3), (2, 4, 4, 4, 2)
_LONG = (2, 8, 3)


_INPUT = nn.Input((5, 4), dtype="int32")


@nn.layer
class OneStep(nn.Layer):
    cell: nn.Layer

    def forward(self, s, x):
        return self.cell(s, x, [kf.namespace(x).zeros((4, 3), dtype=kf.namespace(x).float32)])[0]


def _spatial(name: str, *args, **kwargs):
    """A row for each number of spatial axes that a layer comes in."""
    shapes = {"1D": _LONG, "2D": _IMAGE, "3D": _VOLUME}
    classes = {rank: getattr(nn, name.format(rank), None) for rank in shapes}
    return [(cls(*args, **kwargs), shapes[rank]) for rank, cls in classes.items() if cls is not None]


COMPUTING = [
    *[(nn.Activation(name), _FLAT) for name in ("relu", "sigmoid", "softmax", "gelu", "tanh")],
    *[(cls(), _FLAT) for cls in (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.PReLU, nn.Softmax)],
    *[(nn.Dense(3, activation="relu"), _FLAT), (nn.EinsumDense("ab,bc->ac", output_shape=3), _FLAT)],
    *[(nn.Rescaling(0.5), _FLAT), (nn.Normalization(), _FLAT)],
    *[(cls(), _IMAGE) for cls in (nn.RandomFlip, nn.RandomPerspective, nn.RandomGrayscale, nn.RandomInvert)],
    *[(cls(), _IMAGE) for cls in (nn.RandomColorJitter, nn.Solarization, nn.AutoContrast, nn.Equalization)],
    *[(cls(), _IMAGE) for cls in (nn.RandomGaussianBlur, nn.RandomErasing, nn.MixUp, nn.CutMix)],
    *[(cls(), _IMAGE) for cls in (nn.RandAugment, nn.AugMix, nn.RandomShear)],
    *[(cls(0.5), _IMAGE) for cls in (nn.RandomRotation, nn.RandomZoom, nn.RandomBrightness, nn.RandomContrast)],
    *[(cls(0.5), _IMAGE) for cls in (nn.RandomHue, nn.RandomSaturation, nn.RandomColorDegeneration)],
    *[(nn.RandomSharpness(0.5), _IMAGE), (nn.RandomPosterization(3), _IMAGE), (nn.RandomTranslation(0.1, 0.1), _IMAGE)],
    *[(cls(4, 5), _IMAGE) for cls in (nn.CenterCrop, nn.RandomCrop)],
    (nn.Pipeline([nn.RandomFlip()]), _IMAGE),
    *_spatial("Conv{}", 3, 2),
    *_spatial("Conv{}Transpose", 3, 2),
    *_spatial("DepthwiseConv{}", 2),
    *_spatial("SeparableConv{}", 3, 2),
    *_spatial("AveragePooling{}", 2),
    *_spatial("MaxPooling{}", 2),
    *_spatial("AdaptiveAveragePooling{}", 2),
    *_spatial("AdaptiveMaxPooling{}", 2),
    *_spatial("GlobalAveragePooling{}"),
    *_spatial("GlobalMaxPooling{}"),
    *[(cls(3), _STEPS) for cls in (nn.LSTM, nn.GRU, nn.SimpleRNN)],
    *[(cls(3, return_sequences=True, return_state=True), _STEPS) for cls in (nn.LSTM, nn.GRU, nn.SimpleRNN)],
    *[(nn.RNN(cls(3)), _STEPS) for cls in (nn.LSTMCell, nn.GRUCell, nn.SimpleRNNCell)],
    (nn.RNN(nn.StackedRNNCells([nn.GRUCell(3), nn.LSTMCell(2)])), _STEPS),
    (OneStep(nn.GRUCell(3)), _FLAT),
    (nn.ConvLSTM1D(2, 2), (2, 3, 6, 2)),
    (nn.ConvLSTM2D(2, 2), (2, 3, 6, 6, 2)),
    (nn.ConvLSTM3D(2, 2), (2, 3, 4, 4, 4, 2)),
    *[(nn.Bidirectional(nn.LSTM(2), mode), _STEPS) for mode in ("concat", "ave")],
    (nn.TimeDistributed(nn.Dense(3)), _STEPS),
    *[(cls(), [_STEPS, _STEPS]) for cls in (nn.Attention, nn.AdditiveAttention)],
    (nn.Attention(use_scale=True, score_mode="concat"), [_STEPS, _STEPS]),
    *[(nn.MultiHeadAttention(2, 3), (_STEPS, _STEPS)), (nn.GroupQueryAttention(2, 4, 2), (_STEPS, _STEPS))],
    (nn.RotaryEmbedding(), (2, 5, 2, 4)),
    *[(cls(), _FLAT) for cls in (nn.BatchNormalization, nn.LayerNormalization, nn.RMSNormalization)],
    *[(nn.GroupNormalization(2), _FLAT), (nn.UnitNormalization(), _FLAT)],
    (nn.SpectralNormalization(nn.Dense(3)), _FLAT),
    *[(cls(0.5), _FLAT) for cls in (nn.Dropout, nn.AlphaDropout, nn.GaussianDropout, nn.GaussianNoise)],
    *_spatial("SpatialDropout{}", 0.5),
    *[(nn.Average(), [_FLAT, _FLAT]), (nn.Dot(-1), [_FLAT, _FLAT]), (nn.Dot(-1, normalize=True), [_FLAT, _FLAT])],
    (nn.UpSampling2D(2, interpolation="bilinear"), _IMAGE),
    *[(nn.Residual(nn.Dense(6)), _FLAT), (nn.Stack(nn.Dense(6), 2), _FLAT), (nn.Branch([nn.Dense(3)]), _FLAT)],
    *[(nn.Frozen(nn.Dense(3)), _FLAT), (nn.Remat(nn.LSTM(3)), _STEPS), (nn.Wrapper(nn.GRU(3)), _STEPS)],
    (nn.Parallel([nn.Dense(2), nn.Dense(3)]), [_FLAT, _FLAT]),
    (nn.Sequential([nn.Flatten(), nn.Dense(3)]), _STEPS),
    (nn.Graph(_INPUT, nn.LSTM(3)(_INPUT)), _STEPS),
]
"""Layers that compute, each with the shape of its input; a list is one input of several arrays, a tuple several."""

KEEPING = [
    *[(nn.Resizing(4, 5), _IMAGE), (nn.MaxNumBoundingBoxes(3), _IMAGE)],
    (nn.ContrastLimitedAdaptiveHistogramEqualization(), _IMAGE),
    *_spatial("Cropping{}", 1),
    *_spatial("ZeroPadding{}", 1),
    *_spatial("UpSampling{}", 2),
    *[(nn.Flatten(), _IMAGE), (nn.Reshape((3, 2)), _FLAT), (nn.Permute((2, 1)), _STEPS), (nn.RepeatVector(2), _FLAT)],
    *[(nn.Identity(), _FLAT), (nn.Masking(0), _STEPS), (nn.ActivityRegularization(0.1), _FLAT)],
    *[(nn.Lambda(lambda x: x), _FLAT), (InputLayer((None, 6)), _FLAT), (nn.Operation("flip"), _FLAT)],
    *[(cls(), [_FLAT, _FLAT]) for cls in (nn.Add, nn.Subtract, nn.Multiply, nn.Maximum, nn.Minimum, nn.Concatenate)],
]
"""Layers that move values, or combine integers to integers as Keras does: the output is of the kind of the input."""

INDICES = {"AlibiBias", "Embedding", "RelativePositionBias", "ReversibleEmbedding"}
"""Layers to which integers are indices or positions."""


def integers(shape, dtype):
    """Values that every dtype holds, in a tree of shapes as in the tables."""
    if isinstance(shape, list):
        return ([integers(each, dtype)[0] for each in shape],)
    if isinstance(shape[0], tuple):
        return tuple(integers(each, dtype)[0] for each in shape)
    most = 2 if dtype == "bool" else 4
    return (np.random.default_rng(len(shape)).integers(0, most, shape).astype(dtype),)


def names(rows):
    return [type(layer).__name__ for layer, _ in rows]


computing = pytest.mark.parametrize(("layer", "shape"), COMPUTING, ids=names(COMPUTING))
DTYPES = ("int32", "int64", "bool", "uint8")


@computing
@pytest.mark.parametrize("name", BACKENDS)
def test_integers_are_the_same_numbers_in_float32(name, layer, shape):
    for dtype in DTYPES:
        inputs = integers(shape, dtype)
        floats = kf.tree.map(lambda x: x.astype(np.float32), inputs)
        params, state = layer.init(0, *floats)
        want, _ = layer.apply(params, *floats, state=state)
        params, inputs, state = kf.to_backend((params, inputs, state), name)
        out, _ = layer.apply(params, *inputs, state=state)
        for a, b in zip(kf.tree.leaves(out), kf.tree.leaves(want), strict=True):
            a = kf.to_numpy(a)
            assert a.dtype == np.float32, dtype
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=dtype)


@computing
def test_integers_are_traced_as_they_are_computed(layer, shape):
    for dtype in DTYPES:
        inputs = integers(shape, dtype)
        first, again = (layer.init(0, *kf.tree.map(lambda x, t=t: x.astype(t), inputs)) for t in (np.float32, dtype))
        for a, b in zip(kf.tree.leaves(first), kf.tree.leaves(again), strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
        specs = kf.tree.map(lambda x: kf.Spec((None, *x.shape[1:]), x.dtype), inputs)
        for spec in kf.tree.leaves(layer.trace(*specs).outputs[-1][2]):
            assert kf.arrays.dtype_name(spec.dtype) == "float32"


@computing
def test_integers_in_half_precision(layer, shape):
    """What the policy says of floats holds for integers, too."""
    half = kf.replace(layer, dtype="float16")
    (want,) = {kf.arrays.dtype_name(s.dtype) for s in _traced(half, integers(shape, "float32"))}
    assert {kf.arrays.dtype_name(s.dtype) for s in _traced(half, integers(shape, "uint8"))} == {want}


def _traced(layer, inputs):
    return kf.tree.leaves(layer.trace(*inputs).outputs[-1][2])


@computing
@pytest.mark.parametrize("train", [False, True])
def test_training_changes_no_dtype(layer, shape, train):
    inputs = integers(shape, "int32")
    params, state = layer.init(0, *inputs)
    out, _ = layer.apply(params, *inputs, state=state, key=0, train=train)
    assert {x.dtype for x in kf.tree.leaves(out)} == {np.dtype(np.float32)}


@pytest.mark.parametrize(("layer", "shape"), KEEPING, ids=names(KEEPING))
@pytest.mark.parametrize("name", BACKENDS)
def test_integers_stay_integers(name, layer, shape):
    for dtype in ("int32", "uint8"):
        inputs = integers(shape, dtype)
        want, _ = layer.apply({}, *kf.tree.map(lambda x: x.astype(np.int32), inputs))
        out, _ = layer.apply({}, *kf.to_backend(inputs, name))
        assert kf.arrays.dtype_name(out.dtype) == dtype
        np.testing.assert_array_equal(kf.to_numpy(out), want.astype(dtype))


def test_every_layer_has_a_row():
    rows = {*names(COMPUTING), *names(KEEPING), *INDICES}
    cells = {"LSTMCell", "SimpleRNNCell", "StackedRNNCells", "GRUCell"}  # in the rows of RNN
    modules = {"FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"}  # each takes what its module takes
    applications = {"CustomScaleLayer", "LayerScale", "StochasticDepth"}  # between layers that give floats
    biases = {"AlibiBias", "RelativePositionBias"}  # of positions, which are integers
    # Their integers are names of categories; tests/test_text.py has rows of all dtypes.
    words = {"CategoryEncoding", "Discretization", "HashedCrossing", "Hashing", "IntegerLookup", "StringLookup"}
    words |= {"TextVectorization"}
    other = {*cells, *modules, *applications, *biases, *words, "ConstantArray"}  # whose dtype its input only narrows
    known = {name for name in kf.registry.names("layer") if not name.startswith("custom:")}
    # Families of networks, which other tests import, are made of these layers.
    families = {name for name in known if kf.registry.registered("layer", name).__module__.startswith("kfunc.models.")}
    assert known - families - rows - other == set()
