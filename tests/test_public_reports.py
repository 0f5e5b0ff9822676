"""What went wrong in other libraries, by their public reports: the same must not go wrong here.

Each row is a short program around the fault, with a value that is known without any library. `VALUES` run on every
backend, `GRADIENTS` on those that take gradients, and `MODELS`, which train, on NumPy and one other backend each.
The reports are issues, and pull requests that mended something, at https://github.com/PROJECT/issues/NUMBER.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import math

import numpy as np
import pytest
from backends import BACKENDS, NAMES, TRAINING
from sampling import one_of

import kfunc as kf
from kfunc import callbacks, losses, metrics, nn, ops, optim
from kfunc.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("quickly_compiled")

EPS = float(np.finfo(np.float32).eps)
NAN, INF = float("nan"), float("inf")


class Rows(dict):
    """`@rows("project", number, "what failed there")` adds a function of a backend's name."""

    def __call__(self, project, number, failed):
        def add(fun):
            self[f"{project}#{number}"] = fun
            assert failed
            return fun

        return add


VALUES, GRADIENTS, MODELS = Rows(), Rows(), Rows()


def on(name, *arrays, dtype="float32"):
    """The arrays on the backend `name`."""
    out = [kf.asarray(np.asarray(x, None if dtype is None else dtype), backend=name) for x in arrays]
    return out[0] if len(out) == 1 else out


def near(got, wanted, ulps=8):
    """A few roundings of numbers of the size of those wanted."""
    wanted = np.asarray(wanted, np.float64)
    finite = np.abs(wanted[np.isfinite(wanted)])
    scale = max(1.0, finite.max()) if finite.size else 1.0
    np.testing.assert_allclose(np.asarray(kf.to_numpy(got), np.float64), wanted, rtol=0, atol=ulps * EPS * scale)


def gradient(fun, name, *x):
    """The gradient of the sum of `fun` at the first of `x`."""

    def total(*args):
        return ops.sum(fun(*args))

    return kf.to_numpy(kf.grad(total)(*[on(name, a) for a in x]))


def metric(m, *batches):
    acc = m.init(batches[0][0])
    for batch in batches:
        acc = m.update(acc, *batch)
    return m.result(acc)


# -- losses and metrics ------------------------------------------------------------------------------------------------


@VALUES("keras-team/keras", 19740, "samples of weight 0 counted in the mean of a loss, but not in that of a metric")
def _(name):
    y, p, w = on(name, [[1.0], [2.0]], [[2.0], [3.0]], [0.0, 1.0])
    near(losses.MeanAbsoluteError()(y, p, w), 0.5)
    near(losses.MeanAbsoluteError(reduction="mean_with_sample_weight")(y, p, w), 1.0)


@VALUES("keras-team/keras", 21908, "a loss whose mask has no true entry was multiplied by ten million")
def _(name):
    y, p = on(name, [[1.0], [2.0]], [[2.0], [4.0]])
    near(losses.MeanSquaredError()(y, p, mask=on(name, [False, False], dtype="bool")), 0.0)


@VALUES("keras-team/keras-core", 802, "a mask, and weights that are the same 0s and 1s, gave different losses together")
def _(name):
    y, p = on(name, [[1.0, 1.0], [1.0, 1.0]], [[2.0, 3.0], [4.0, 9.0]])
    mask = on(name, [[True, False], [True, False]], dtype="bool")
    loss = losses.MeanAbsoluteError()
    y, p = ops.expand_dims(y, -1), ops.expand_dims(p, -1)
    near(loss(y, p, mask=mask), (1 + 3) / 2)
    near(loss(y, p, ops.cast(mask, "float32"), mask), (1 + 3) / 2)


@VALUES("pytorch/pytorch", 19699, "labels (n,) against predictions (n, 1) were compared each with each")
def _(name):
    y, p = on(name, [1.0, 2.0, 3.0], [[2.0], [2.0], [5.0]])
    near(losses.MeanSquaredError()(y, p), 5 / 3)
    near(losses.MeanAbsoluteError()(y, p), 1.0)


@VALUES("tensorflow/tensorflow", 37770, "the mean squared error of n numbers depended on how their shapes were written")
def _(name):
    y, p = [1.0, 2.0, 4.0, 8.0], [2.0, 2.0, 2.0, 2.0]
    for a, b in itertools.product((np.float32(y), np.float32(y)[:, None]), (np.float32(p), np.float32(p)[:, None])):
        near(losses.MeanSquaredError()(*on(name, a, b)), (1 + 4 + 36) / 4)


@VALUES("tensorflow/tensorflow", 30040, "the binary crossentropy of (n,) and (n, 1) was that of all pairs")
def _(name):
    y, p = on(name, [1.0, 0.0, 1.0], [[0.5], [0.25], [0.125]])
    near(losses.BinaryCrossentropy()(y, p), (math.log(2) - math.log(0.75) + math.log(8)) / 3)


@VALUES("tensorflow/tensorflow", 32231, "smoothed labels of rank 3 were divided by the length of the wrong axis")
def _(name):
    p = np.full((1, 2, 4), 0.25)
    p[0, 0] = [0.5, 0.25, 0.125, 0.125]
    y = np.eye(4)[[[0, 1]]]
    smooth = 0.9 * y + 0.1 / 4
    wanted = -(smooth * np.log(p)).sum(-1).mean()
    near(losses.CategoricalCrossentropy(label_smoothing=0.1)(*on(name, y, p)), wanted)


@VALUES(
    "tensorflow/tensorflow",
    127249,
    "labels smoothed along another axis than the last were divided by the last's length",
)
def _(name):
    y = np.moveaxis(np.eye(3)[[[0, 2, 1, 1]]], -1, 1)  # (1, 3, 4), the classes along axis 1
    p = np.full((1, 3, 4), 0.25)
    p[:, 0] = 0.5
    wanted = -((0.75 * y + 0.25 / 3) * np.log(p)).sum(1).mean()
    near(losses.CategoricalCrossentropy(label_smoothing=0.25, axis=1)(*on(name, y, p)), wanted)


@VALUES("pytorch/pytorch", 116349, "the crossentropy is NaN where every label is the one to ignore")
def _(name):
    y = on(name, [0, 0], dtype="int32")
    p = on(name, [[0.5, 0.5], [0.25, 0.75]])
    near(losses.SparseCategoricalCrossentropy(ignore_class=0)(y, p), 0.0)


@VALUES("keras-team/keras", 22284, "labels to ignore failed with PyTorch, since its operators refuse NumPy's arrays")
def _(name):
    p = [[0.5, 0.5], [0.25, 0.75], [0.125, 0.875]]
    wanted = (-math.log(0.75) - math.log(0.875)) / 2
    near(losses.SparseCategoricalCrossentropy(ignore_class=0)(on(name, [0, 1, 1], dtype="int32"), on(name, p)), wanted)


@VALUES("pytorch/pytorch", 2221, "the binary crossentropy of a logit of -100 was infinite")
def _(name):
    y, p = on(name, [[0.0], [1.0]], [[-100.0], [-100.0]])
    near(losses.BinaryCrossentropy(from_logits=True, reduction="none")(y, p), [0.0, 100.0])


@VALUES("pytorch/pytorch", 4867, "the binary crossentropy of a logit of 8e7 looked wrong, and was right")
def _(name):
    y, p = on(name, [[0.0], [1.0]], [[8e7], [8e7]])
    near(losses.BinaryCrossentropy(from_logits=True, reduction="none")(y, p), [8e7, 0.0])


@VALUES("pytorch/pytorch", 1835, "the logarithm of the sigmoid of -300 was minus infinity")
def _(name):
    near(ops.log_sigmoid(on(name, [-300.0, 0.0, 300.0])), [-300.0, -math.log(2), 0.0])


@VALUES("keras-team/keras", 16271, "a metric of one class failed where a mask came along")
def _(name):
    y = on(name, [[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    p = on(name, [[[0.9, 0.1], [0.2, 0.8], [0.9, 0.1]]])
    m = metrics.Precision(class_id=0)
    near(m.result(m.update(m.init(name), y, p, None, on(name, [[True, True, False]], dtype="bool"))), 1.0)
    near(m.result(m.update(m.init(name), y, p)), 0.5)


@VALUES(
    "keras-team/keras", 10305, "the mean of a weighted metric weighed batches by their sizes, and not by their weights"
)
def _(name):
    m = metrics.MeanAbsoluteError()
    acc = m.init(name)
    for y, p, w in (([[0.0], [0.0]], [[1.0], [1.0]], [3.0, 1.0]), ([[0.0], [0.0]], [[5.0], [7.0]], [0.0, 1.0])):
        acc = m.update(acc, *on(name, y, p, w))
    near(m.result(acc), (3 + 1 + 0 + 7) / 5)


@VALUES("keras-team/keras", 5400, "precision and recall of two classes were both the accuracy")
def _(name):
    y, p = on(name, [1.0, 1.0, 1.0, 0.0, 0.0], [0.9, 0.1, 0.2, 0.8, 0.3])
    for m, wanted in ((metrics.Precision(), 1 / 2), (metrics.Recall(), 1 / 3), (metrics.BinaryAccuracy(), 2 / 5)):
        near(m.result(m.update(m.init(name), y, p)), wanted)


# -- numbers that are special ------------------------------------------------------------------------------------------


@VALUES("tensorflow/tensorflow", 13046, "the maximum of numbers and NaN was a number")
def _(name):
    if name == "openvino":  # its own kernels pass NaN over, which its conformance list tells
        return
    near(ops.max(on(name, [[1.0, NAN], [2.0, 3.0]]), axis=1), [NAN, 3.0])


@VALUES("google/flax", 1491, "a variance below 0, by rounding, made batch normalisation NaN")
def _(name):
    x = np.full((64, 3), 1e4) + np.arange(64)[:, None] % 2
    params, state = nn.BatchNormalization(epsilon=1e-7).init(0, np.float32(x))
    params, state = kf.to_backend((params, state), name)
    layer = nn.BatchNormalization(epsilon=1e-7)
    out = layer.apply(params, on(name, x), state=state, train=True)[0]
    # The mean is rounded to half a unit in the last place of 1e4, against a deviation of 1/2.
    np.testing.assert_allclose(kf.to_numpy(out), np.where(np.arange(64) % 2, 1, -1)[:, None] + np.zeros(3), atol=4e-3)


@VALUES("patrick-kidger/equinox", 314, "a variance below 0, by rounding, made layer normalisation NaN")
def _(name):
    layer = nn.LayerNormalization(epsilon=1e-6)
    x = np.float32([[1e4, 1e4, 1e4, 1e4], [1e4, 1e4 + 1, 1e4, 1e4 + 1]])
    params, _ = kf.to_backend(layer.init(0, x), name)
    out = kf.to_numpy(layer.apply(params, on(name, x))[0])
    np.testing.assert_allclose(out, [[0, 0, 0, 0], [-1, 1, -1, 1]], atol=4e-3)


@VALUES("patrick-kidger/equinox", 274, "attention was NaN for a query that may see no key")
def _(name):
    layer = nn.MultiHeadAttention(1, 4)
    x = np.random.default_rng(0).normal(size=(1, 3, 4)).astype(np.float32)
    params, _ = kf.to_backend(layer.init(0, x, x), name)
    x = on(name, x)
    mask = on(name, [[[True, True, False], [True, True, False], [False, False, False]]], dtype="bool")
    assert np.isfinite(kf.to_numpy(layer.apply(params, x, x, attention_mask=mask)[0])).all()


@VALUES("keras-team/keras", 23038, "the causal mask was lost where attention returned its scores, or had dropout")
def _(name):
    x = np.random.default_rng(0).normal(size=(2, 4, 6)).astype(np.float32)
    later = np.triu(np.ones((4, 4), bool), 1)
    layer = nn.MultiHeadAttention(2, 3, dropout=0.5)
    params, _ = kf.to_backend(layer.init(0, x, x), name)
    seen = on(name, x)
    changed = on(name, np.concatenate([x[:, :-1], x[:, -1:] + 1], axis=1))
    out, scores = layer.apply(params, seen, seen, use_causal_mask=True, return_attention_scores=True)[0]
    assert (kf.to_numpy(scores)[..., later] == 0).all()
    for options in ({"return_attention_scores": True}, {}):
        a, b = (layer.apply(params, s, s, use_causal_mask=True, **options)[0] for s in (seen, changed))
        a, b = (a[0], b[0]) if options else (a, b)
        near(a[:, :-1, :], kf.to_numpy(b[:, :-1, :]))
    near(out, kf.to_numpy(layer.apply(params, seen, seen, use_causal_mask=True)[0]))


@VALUES("patrick-kidger/equinox", 287, "attention dropped weights although it was told not to")
def _(name):
    x = np.random.default_rng(0).normal(size=(1, 3, 4)).astype(np.float32)
    layer = nn.MultiHeadAttention(1, 4, dropout=0.5)
    params, _ = kf.to_backend(layer.init(0, x, x), name)
    x = on(name, x)
    a, b = (kf.to_numpy(layer.apply(params, x, x, key=key, train=False)[0]) for key in (1, 2))
    np.testing.assert_array_equal(a, b)


@VALUES("tensorflow/tensorflow", 29856, "bilinear upsampling smeared the right and the lower edge")
def _(name):
    x = np.random.default_rng(0).normal(size=(1, 4, 5, 1)).astype(np.float32)
    layer = nn.UpSampling2D(2, interpolation="bilinear")
    out, turned = (kf.to_numpy(layer.apply({}, on(name, a))[0]) for a in (x, x[:, ::-1, ::-1].copy()))
    np.testing.assert_allclose(turned[:, ::-1, ::-1], out, rtol=0, atol=16 * EPS)
    np.testing.assert_allclose(out[0, [0, 0, -1, -1], [0, -1, 0, -1]], x[0, [0, 0, -1, -1], [0, -1, 0, -1]], atol=1e-6)


@VALUES("tensorflow/tensorflow", 46994, "average pooling with a window of size 0 gave NaN")
def _(name):
    with pytest.raises(ArgumentError, match="pool_size"):
        nn.AveragePooling2D(0)
    with pytest.raises(kf.errors.KfuncError):
        ops.average_pool(on(name, np.ones((1, 2, 2, 1))), 0)


# -- dtypes and shapes -------------------------------------------------------------------------------------------------


def dtype(x):
    return kf.arrays.dtype_name(x.dtype)


@VALUES("pytorch/pytorch", 58736, "an array without axes did not take part in the promotion of dtypes")
def _(name):
    if name == "openvino":  # which has one width of floats
        return
    if name in ("numpy", "array_api_strict"):  # which have no bfloat16
        a, b, wanted = on(name, [1.0]), on(name, 2.0, dtype="float64"), "float64"
    else:
        a, b, wanted = kf.asarray(np.float32([1]), "bfloat16", backend=name), on(name, 2.0), "float32"
    assert dtype(ops.add(a, b)) == dtype(ops.multiply(b, a)) == wanted


@VALUES("pytorch/pytorch", 43360, "arctan2 of float32 and float64 without axes was float32")
def _(name):
    if name in ("jax", "openvino"):  # which compute in float32
        return
    a, b = on(name, 1.0), on(name, 2.0, dtype="float64")
    assert dtype(ops.arctan2(a, b)) == dtype(ops.arctan2(b, a)) == "float64"


@VALUES("pytorch/pytorch", 35014, "arrays of two dtypes could not be concatenated")
def _(name):
    out = ops.concatenate([on(name, [1.5]), on(name, [2], dtype="int32")])
    assert dtype(out) == "float32"
    near(out, [1.5, 2.0])


@VALUES("pytorch/pytorch", 70923, "where refused branches of two dtypes")
def _(name):
    out = ops.where(on(name, [True, False], dtype="bool"), on(name, [1.5, 1.5]), on(name, [2, 2], dtype="int32"))
    assert dtype(out) == "float32"
    near(out, [1.5, 2.0])


@VALUES("data-apis/array-api-compat", 85, "a Python float could not be added to an array of integers")
def _(name):
    out = ops.add(on(name, [1, 2], dtype="int32"), 0.5)
    assert dtype(out) == "float32"
    near(out, [1.5, 2.5])


@VALUES("jax-ml/jax", 21405, "the order in which two numbers were folded into a key did not matter")
def _(name):
    fold, key = kf.random.fold_in, kf.random.key(42, backend=name)
    a, b = (kf.to_numpy(fold(fold(key, i), j)) for i, j in ((1, 2), (2, 1)))
    assert (a != b).any()


@VALUES("tensorflow/tensorflow", 29391, "GRU and LSTM dropped the same features in every call")
def _(name):
    if name == "openvino":
        return
    x = np.ones((1, 4, 8), np.float32)
    for layer in (nn.GRU(3, dropout=0.5), nn.LSTM(3, dropout=0.5, recurrent_dropout=0.5)):
        p, state = kf.to_backend(layer.init(0, x), name)
        outs = [kf.to_numpy(layer.apply(p, on(name, x), state=state, key=k, train=True)[0]) for k in (1, 2, 3, 1)]
        assert len({out.tobytes() for out in outs}) == 3
        np.testing.assert_array_equal(outs[0], outs[3])


@VALUES("keras-team/keras", 17548, "what Dropout drops depended on how often a function was traced")
def _(name):
    layer, x = nn.Dropout(0.5, seed=7), on(name, np.ones((4, 16)))
    runs = [layer.apply({}, x, key=1, train=True)[0] for _ in range(2)]
    key = kf.random.key(1, backend=name)
    for _ in range(2):
        runs.append(kf.jit(lambda x, key: layer.apply({}, x, key=key, train=True)[0])(x, key))
    for other in runs[1:]:
        np.testing.assert_array_equal(kf.to_numpy(runs[0]), kf.to_numpy(other))


@VALUES("keras-team/keras", 4192, "where a sequence was padded changed the backward states of Bidirectional")
def _(name):
    steps = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    layer = nn.Bidirectional(nn.SimpleRNN(4))
    params, _ = kf.to_backend(layer.init(0, steps[None]), name)
    outs = [kf.to_numpy(layer.apply(params, on(name, steps[None]))[0])]
    for places in ([0, 1, 2], [1, 2, 4], [2, 3, 4]):
        x, mask = np.full((1, 5, 2), 9, np.float32), np.zeros((1, 5), bool)
        x[0, places], mask[0, places] = steps, True
        outs.append(kf.to_numpy(layer.apply(params, on(name, x), mask=on(name, mask, dtype="bool"))[0]))
    for out in outs[1:]:
        np.testing.assert_allclose(out, outs[0], rtol=0, atol=16 * EPS)


@VALUES("keras-team/keras", 1057, "a recurrent layer that goes backwards padded masks on the wrong side")
def _(name):
    x = np.random.default_rng(0).normal(size=(1, 4, 2)).astype(np.float32)
    layer = nn.LSTM(3, go_backwards=True)
    params, _ = kf.to_backend(layer.init(0, x), name)
    mask = on(name, [[True, True, False, False]], dtype="bool")
    near(layer.apply(params, on(name, x), mask=mask)[0], kf.to_numpy(layer.apply(params, on(name, x[:, :2]))[0]), 16)


# -- gradients ---------------------------------------------------------------------------------------------------------


@VALUES("keras-team/keras", 8751, "causal padding with dilation was suspected of a wrong length")
def _(name):
    x = np.zeros((1, 12, 1), np.float32)
    x[0, 3] = 1.0
    layer = nn.Conv1D(1, 2, dilation_rate=4, padding="causal")
    params, _ = layer.init(0, x)
    out = layer.apply(kf.to_backend(kf.tree.map(np.ones_like, params), name), on(name, x))[0]
    wanted = np.ones((1, 12, 1))  # the bias is 1
    wanted[0, [3, 7]] = 2.0
    near(out, wanted)


def running(layer, recurrent=1.0):
    """Parameters by which a recurrent layer adds its inputs up, each `recurrent` times as much as the next."""
    params, _ = layer.init(0, np.zeros((1, 2, 1), np.float32))
    values = {"kernel": 1.0, "recurrent_kernel": recurrent, "bias": 0.0}
    paths, leaves = kf.tree.paths(params), kf.tree.leaves(params)
    filled = [np.full_like(x, values[path.rpartition("/")[2]]) for path, x in zip(paths, leaves, strict=True)]
    return kf.tree.unflatten(kf.tree.structure(params), filled)


@VALUES(
    "keras-team/keras", 1431, "the sequence of a layer that goes backwards did not fit that of one that goes forwards"
)
def _(name):
    layer = nn.Bidirectional(nn.SimpleRNN(1, activation="linear", return_sequences=True))
    out = layer.apply(kf.to_backend(running(layer), name), on(name, [[[1.0], [2.0], [4.0]]]))[0]
    near(out, [[[1.0, 7.0], [3.0, 6.0], [7.0, 4.0]]])


@VALUES("keras-team/keras", 4192, "the backward half of Bidirectional depended on where the masked steps are")
def _(name):
    layer = nn.Bidirectional(nn.SimpleRNN(1, activation="linear"))
    params = kf.to_backend(running(layer, 0.5), name)
    for steps in ([1.0, 2.0, 4.0, 0.0, 0.0], [0.0, 0.0, 1.0, 2.0, 4.0], [1.0, 0.0, 2.0, 0.0, 4.0]):
        mask = on(name, [[step != 0 for step in steps]], dtype="bool")
        out = layer.apply(params, on(name, np.reshape(steps, (1, 5, 1))), mask=mask)[0]
        near(out, [[4 + 0.5 * (2 + 0.5 * 1), 1 + 0.5 * (2 + 0.5 * 4)]])


@VALUES("tensorflow/tensorflow", 41979, "moving moments of momentum 0 were not those of the last batch")
@VALUES("tensorflow/tensorflow", 38459, "BatchNormalization of momentum 0 failed")
def _(name):
    layer = nn.BatchNormalization(momentum=0.0, epsilon=0.0)
    x = on(name, [[1.0], [2.0], [6.0]])
    params, state = layer.init(0, x)
    out, state = layer.apply(params, x, state=state, train=name != "openvino")
    if name != "openvino":  # which does not train
        near(out, np.float64([[-2.0], [-1.0], [3.0]]) / math.sqrt(14 / 3))
        near(layer.apply(params, x, state=state)[0], out)


@VALUES("pytorch/pytorch", 2470, "the variance along an axis was that of the square's mean, whose digits were gone")
def _(name):
    x = on(name, [2281.5, 2281.25])
    near([kf.to_numpy(ops.var(x)), kf.to_numpy(ops.var(x, axis=0))], [0.015625, 0.015625])
    near(ops.std(x, axis=-1), 0.125)


@VALUES("pytorch/pytorch", 34808, "nearest neighbours were those of the pixels' corners, and not of their centres")
def _(name):
    x = np.arange(5.0)[None, None, :, None]
    out = ops.image.resize(on(name, x), (1, 3), interpolation="nearest")
    near(kf.to_numpy(out).ravel(), [0.0, 2.0, 4.0])


@VALUES("pytorch/pytorch", 131274, "an axis that does not exist was taken, if the array was empty")
@VALUES("pytorch/pytorch", 131273, "an axis that does not exist was taken, if the array was empty")
def _(name):
    for op in (ops.cumsum, ops.cumprod, ops.sort, ops.sum, ops.flip):
        for axis in (100, -100):
            with pytest.raises(kf.KfuncError):
                op(on(name, np.zeros((1, 0))), axis=axis)


@VALUES("keras-team/keras", 4592, "recall was the mean of the recalls of batches")
def _(name):
    batches = [(on(name, [0, 0]), on(name, [0.0, 1.0])), (on(name, [1, 1]), on(name, [0.0, 1.0]))]
    near(metric(metrics.Recall(), *batches), 1 / 2)
    near(metric(metrics.Precision(), *batches), 1 / 2)


@VALUES("keras-team/keras", 4564, "the F1 score was the accuracy")
def _(name):
    y, p = on(name, [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    near(metric(metrics.F1Score("macro"), (y, p)), (2 * 2 / (2 * 2 + 1) + 2 * 1 / (2 * 1 + 1)) / 2)


@VALUES("pytorch/pytorch", 23480, "cosine decay with restarts began one step late")
@VALUES("keras-team/keras", 21772, "`alpha` was told to be the last rate; it is a fraction of the first one")
def _(name):
    restarts = optim.CosineDecayRestarts(0.5, 1, t_mul=2.0)
    near(
        [float(restarts(step)) for step in range(7)],
        [0.5, 0.5, 0.25, 0.5, *(0.25 * (1 + math.cos(math.pi * i / 4)) for i in (1, 2, 3))],
    )
    near(float(optim.CosineDecay(0.5, 10, alpha=0.1)(10)), 0.05)


@GRADIENTS("pytorch/pytorch", 2298, "the gradient of the binary crossentropy of a logit of 0 was 0")
def _(name):
    loss = losses.BinaryCrossentropy(from_logits=True)
    near(gradient(lambda p: loss(on(name, [[0.0]]), p), name, [[0.0]]), [[0.5]])


@GRADIENTS("keras-team/keras", 23075, "the gradient of a vector of zeros divided by its norm was NaN with PyTorch")
def _(name):
    assert np.isfinite(gradient(lambda x: ops.normalize(x, order=2), name, [[0.0, 0.0], [3.0, 4.0]])).all()


@GRADIENTS("pytorch/pytorch", 3264, "the gradient of division by the sum of absolute values was NaN where values are 0")
def _(name):
    # x0 / (|x0| + |x1|) at (0, 2), plus the same of x1, which is 1 whatever |x1| is.
    near(gradient(lambda x: ops.normalize(x, order=1), name, [[0.0, 2.0]])[0, 1], 0.0)
    assert np.isfinite(gradient(lambda x: ops.normalize(x, order=1), name, [[0.0, 0.0, 0.0, 0.25]])).all()


@GRADIENTS("pytorch/pytorch", 2421, "the gradient of the norm of zeros was NaN")
def _(name):
    near(gradient(lambda x: ops.norm(x), name, [0.0, 0.0]), [0.0, 0.0])
    near(gradient(lambda x: ops.norm(x, axis=-1), name, [[0.0, 0.0], [3.0, 4.0]]), [[0.0, 0.0], [0.6, 0.8]])


@GRADIENTS("tensorflow/tensorflow", 3862, "the gradient of cumulative products was NaN, or 0, where a factor is 0")
def _(name):
    near(gradient(lambda x: ops.cumprod(x), name, [0.0, 3.0, 2.0]), [1 + 3 + 6, 0.0, 0.0])
    near(gradient(lambda x: ops.cumprod(x), name, [2.0, 0.0, 3.0]), [1.0, 2 + 6, 0.0])


@GRADIENTS("pytorch/pytorch", 773, "the gradient of a product was NaN where a factor is 0")
def _(name):
    near(gradient(lambda x: ops.prod(x), name, [0.0, 3.0, 2.0]), [6.0, 0.0, 0.0])
    near(gradient(lambda x: ops.prod(x), name, [0.0, 0.0, 2.0]), [0.0, 0.0, 0.0])


@GRADIENTS("tensorflow/tensorflow", 35011, "higher derivatives of powers were NaN at 0")
def _(name):
    fun = kf.grad(kf.grad(lambda x: ops.power(x, 2)))
    near(fun(on(name, 0.0)), 2.0)
    near(kf.grad(kf.grad(lambda x: ops.power(x, 4)))(on(name, 0.0)), 0.0)
    near(kf.grad(lambda x: ops.power(x, 1))(on(name, 0.0)), 1.0)


@GRADIENTS("jax-ml/jax", 17117, "large logits that a mask hides made the gradient of softmax NaN")
def _(name):
    mask = on(name, [[True, True, False]], dtype="bool")
    layer = nn.Softmax()
    g = gradient(lambda x: ops.square(layer.apply({}, x, mask=mask)[0]), name, [[1.0, 1.0, 100.0]])
    near(g, [[0.0, 0.0, 0.0]])
    g = gradient(lambda x: layer.apply({}, x, mask=mask)[0][:, :1], name, [[1.0, 1.0, 100.0]])
    near(g, [[0.25, -0.25, 0.0]])


@GRADIENTS("pytorch/pytorch", 41508, "a query that may see no key made the gradient of attention NaN")
def _(name):
    x = np.random.default_rng(0).normal(size=(1, 3, 4)).astype(np.float32)
    layer = nn.MultiHeadAttention(1, 4)
    params, _ = kf.to_backend(layer.init(0, x, x), name)
    mask = on(name, [[[True, False, False], [False, False, False], [True, True, True]]], dtype="bool")
    assert np.isfinite(gradient(lambda x: layer.apply(params, x, x, attention_mask=mask)[0], name, x)).all()


@GRADIENTS("tensorflow/tensorflow", 22048, "clipping a gradient of zeros by its norm gave NaN")
def _(name):
    for options in ({"clipnorm": 1.0}, {"global_clipnorm": 1.0}):
        opt, p = optim.SGD(1.0, **options), {"w": on(name, [1.0, 2.0])}
        near(opt.update({"w": on(name, [0.0, 0.0])}, opt.init(p), p)[0]["w"], [0.0, 0.0])


@GRADIENTS("google-deepmind/optax", 1752, "gradients whose norm is the bound itself were divided by 0")
def _(name):
    opt, p = optim.SGD(1.0, global_clipnorm=5.0), {"w": on(name, [1.0, 2.0])}
    near(opt.update({"w": on(name, [3.0, 4.0])}, opt.init(p), p)[0]["w"], [-3.0, -4.0])


@GRADIENTS("tensorflow/tensorflow", 29108, "one optimizer clipped each variable by itself, and another all together")
def _(name):
    p = {"a": on(name, [0.0]), "b": on(name, [0.0])}
    g = {"a": on(name, [3.0]), "b": on(name, [4.0])}
    for options, wanted in (({"clipnorm": 1.0}, (-1.0, -1.0)), ({"global_clipnorm": 1.0}, (-0.6, -0.8))):
        opt = optim.SGD(1.0, **options)
        u = opt.update(g, opt.init(p), p)[0]
        near(np.concatenate([kf.to_numpy(u["a"]), kf.to_numpy(u["b"])]), wanted)


@GRADIENTS("keras-team/keras", 17278, "a second way to clip was accepted, and then one of them was ignored")
def _(name):
    with pytest.raises(ArgumentError, match="clipnorm"):
        optim.SGD(1.0, clipnorm=1.0, global_clipnorm=1.0)


@GRADIENTS("jax-ml/jax", 764, "the gradient of tanh was NaN where its argument is large")
def _(name):
    near(gradient(ops.tanh, name, [190.0, 200.0, -1e4, 0.0]), [0.0, 0.0, 0.0, 1.0])


@GRADIENTS("jax-ml/jax", 3058, "the gradient of a norm along an axis was NaN at zeros")
@GRADIENTS("pytorch/pytorch", 2721, "the gradient of a norm of 0 was NaN, or an error")
def _(name):
    near(
        gradient(lambda x: ops.norm(x[1:, :] - x[:-1, :], axis=-1), name, [[1.0, 1.0], [1.0, 1.0], [4.0, 5.0]])[0],
        [0.0, 0.0],
    )


# -- models ------------------------------------------------------------------------------------------------------------


def line(**options):
    """y = w x, with w = 1 at first."""
    model = kf.Model(nn.Dense(1, use_bias=False, kernel_initializer="ones"))
    model.compile(**{"optimizer": "sgd", "loss": "mse", **options})
    return model


def weights(model):
    return np.concatenate([kf.to_numpy(p).ravel() for p in kf.tree.leaves(model.train_state.params)])


QUIET = {"verbose": 0, "shuffle": False}
ONE_TO_6 = np.arange(1, 7, dtype=np.float32)[:, None]


@MODELS("tensorflow/tensorflow", 34491, "the loss of masked steps was divided by the number of all steps")
@MODELS("tensorflow/tensorflow", 34158, "the same value as a loss and as a metric differed under a mask")
def _(name):
    x, y = np.float32([[[1], [0], [1]]]), np.float32([[[0], [1], [1]]])
    model = kf.Model(nn.Masking(0.0))
    model.compile("sgd", "mae", metrics=["mae"])
    near(model.build(x, backend=name).evaluate(x, y, verbose=0), [0.5, 0.5])


@MODELS("keras-team/keras", 14627, "fit compared labels (n,) with outputs (n, 1) each with each")
def _(name):
    y = np.float32([1, 2, 3, 4, 5, 9])
    for loss in ("mse", lambda y_true, y_pred: ops.mean(ops.square(y_true - y_pred), axis=-1)):
        near(line(loss=loss).build(ONE_TO_6, backend=name).evaluate(ONE_TO_6, y, 4, verbose=0), 9 / 6)


@MODELS("tensorflow/tensorflow", 38596, "the loss of an epoch weighed a last, smaller batch like the others")
@MODELS("tensorflow/tensorflow", 27993, "evaluate weighed a last, smaller batch like the others")
def _(name):
    x, y = np.float32([[1], [2], [3]]), np.float32([[1], [2], [6]])
    model = line(optimizer=optim.SGD(0.0))
    near(model.fit(x, y, 2, backend=name, **QUIET).history["loss"], [9 / 3])
    near(model.evaluate(x, y, 2, verbose=0), 9 / 3)


@MODELS("keras-team/keras", 13780, "evaluate with a generator returned the loss of the last batch")
def _(name):
    batches = ((ONE_TO_6[i : i + 2], ONE_TO_6[i : i + 2] + i) for i in (0, 2, 4))
    near(line().build(ONE_TO_6, backend=name).evaluate(batches, verbose=0), (0 + 4 + 16) / 3)


@MODELS("keras-team/keras", 497, "class_weight was ignored where sample_weight was given")
def _(name):
    x, y = np.float32([[1], [2]]), np.int32([0, 1])
    model = line(optimizer=optim.SGD(0.0))
    options = {"sample_weight": np.float32([2, 1]), "class_weight": {0: 3.0, 1: 5.0}, "backend": name, **QUIET}
    near(model.fit(x, y, **options).history["loss"], [(2 * 3 * 1 + 1 * 5 * 1) / 2])


@MODELS("tensorflow/tensorflow", 28029, "sample_weight was ignored in test_on_batch")
@MODELS(
    "tensorflow/tensorflow",
    29965,
    "the weights of samples counted for a loss as a string, and not for one as a function",
)
def _(name):
    x, y, w = np.zeros((10, 1), np.float32), np.ones((10, 1), np.float32), np.repeat(np.float32([1, 0]), 5)
    for loss in ("mean_squared_error", losses.mean_squared_error, losses.MeanSquaredError()):
        model = line(loss=loss).build(x, backend=name)
        near([model.test_on_batch(x, y, w), model.evaluate(x, y, sample_weight=w, verbose=0)], [0.5, 0.5])


@MODELS("keras-team/keras", 11769, "evaluate failed where a weighted metric got no weights")
def _(name):
    model = line(metrics=["mae"], weighted_metrics=["mae"]).build(ONE_TO_6, backend=name)
    near(model.evaluate(ONE_TO_6, ONE_TO_6 + 2, verbose=0), [4.0, 2.0, 2.0])


@MODELS("keras-team/keras", 6422, "validation_split was expected to take shuffled samples; it takes the last ones")
def _(name):
    y = np.concatenate([ONE_TO_6[:4], ONE_TO_6[4:] + 3])
    history = line().fit(ONE_TO_6, y, epochs=2, validation_split=1 / 3, backend=name, verbose=0).history
    near(history["loss"], [0.0, 0.0])
    near(history["val_loss"], [9.0, 9.0])


@MODELS("keras-team/keras", 6512, "predictions of batches came in another order, or with the size of another batch")
@MODELS("keras-team/keras", 3896, "a last batch of another size could not be predicted")
def _(name):
    x = np.arange(11, dtype=np.float32)[:, None]
    model = line().build(x, backend=name)
    for sizes in ((5, 5, 1), (1, 5, 5), (3, 8)):
        ends = np.cumsum(sizes)
        batches = (x[end - n : end] for n, end in zip(sizes, ends, strict=True))
        np.testing.assert_array_equal(kf.to_numpy(model.predict(batches)), x)
    np.testing.assert_array_equal(kf.to_numpy(model.predict(x, batch_size=4)), x)


@MODELS("keras-team/keras", 8795, "predictions of several outputs had one axis too many if one batch held all samples")
def _(name):
    x = nn.Input((1,))
    model = kf.Model(nn.Graph(x, [nn.Dense(3)(x), nn.Dense(2)(x)])).build(np.ones((5, 1), np.float32), backend=name)
    for size in (2, 5, 64):
        outs = model.predict(iter([np.ones((5, 1), np.float32)]) if size == 64 else np.ones((5, 1), np.float32), size)
        assert [tuple(out.shape) for out in outs] == [(5, 3), (5, 2)]


@MODELS("keras-team/keras", 8807, "the penalty on shared weights was added once for each use")
@MODELS("keras-team/keras", 15909, "the penalty of a model inside another model was added twice")
def _(name):
    shared = nn.Sequential([nn.Dense(1, use_bias=False, kernel_initializer="ones", kernel_regularizer="l1")])
    a, b = nn.Input((1,)), nn.Input((1,))
    model = kf.Model(nn.Graph([a, b], nn.Add()([shared(a), shared(b)])))
    model.compile("sgd", "mse")
    x = np.ones((2, 1), np.float32)
    near(model.build([x, x], backend=name).evaluate([x, x], 2 * x, verbose=0), 0.01)  # l1 is 0.01 by default


@MODELS("keras-team/keras", 7085, "a frozen batch normalisation went on learning its mean")
@MODELS("keras-team/keras", 9522, "a frozen batch normalisation computed differently in training")
def _(name):
    net = nn.Sequential([nn.BatchNormalization(trainable=False), nn.Dense(1)])
    model = kf.Model(net)
    model.compile("sgd", "mse")
    model.build(ONE_TO_6, backend=name)
    before = [np.array(kf.to_numpy(x)) for x in kf.tree.leaves(model.train_state.state)]
    loss = model.evaluate(ONE_TO_6, ONE_TO_6, verbose=0)
    near(model.fit(ONE_TO_6, ONE_TO_6, 6, **QUIET).history["loss"], [loss], 64)
    for a, b in zip(before, kf.tree.leaves(model.train_state.state), strict=True):
        np.testing.assert_array_equal(a, kf.to_numpy(b))


class Losses(callbacks.Callback):
    """Tells other callbacks these losses, and keeps the weights after each epoch."""

    def __init__(self, *values):
        super().__init__()
        self.values, self.kept = values, []

    def on_epoch_end(self, epoch, logs=None, *_):
        logs["told"] = self.values[epoch]
        self.kept.append(weights(self.model))


def stopped(name, told, **options):
    model, losses_ = line(optimizer=optim.SGD(0.01)), Losses(*told)
    stop = callbacks.EarlyStopping("told", mode="min", restore_best_weights=True, **options)
    model.fit(ONE_TO_6, 2 * ONE_TO_6, epochs=len(told), callbacks=[losses_, stop], backend=name, **QUIET)
    return weights(model), losses_.kept


@MODELS("keras-team/keras", 12511, "the best weights were not restored unless training had stopped early")
@MODELS("tensorflow/tensorflow", 35634, "the best weights were restored when an epoch ended, and not when training did")
def _(name):
    final, kept = stopped(name, (3.0, 1.0, 2.0, 2.0), patience=9)
    np.testing.assert_array_equal(final, kept[1])


@MODELS("keras-team/keras", 20323, "the weights of the epoch after the best one were restored")
def _(name):
    final, kept = stopped(name, (3.0, 1.0, 2.0, 2.0, 2.0), patience=2)
    assert len(kept) == 4
    np.testing.assert_array_equal(final, kept[1])


@MODELS("keras-team/keras", 13658, "restoring the best weights failed where no epoch was good")
@MODELS("tensorflow/tensorflow", 45187, "restoring the best weights failed where the baseline was never reached")
def _(name):
    _, kept = stopped(name, (3.0, 2.0, 2.5), patience=1, baseline=1.0)
    assert len(kept) >= 1
    _, kept = stopped(name, (NAN, NAN, NAN), patience=1)
    assert len(kept) >= 1


@MODELS("keras-team/keras", 22967, "a callback that was used again compared with the best of the training before")
def _(name):
    stop = callbacks.EarlyStopping("told", mode="min", patience=1)
    for told in ((1.0, 0.5, 0.25), (9.0, 8.0, 7.0)):
        losses_ = Losses(*told)
        line().fit(ONE_TO_6, ONE_TO_6, epochs=3, callbacks=[losses_, stop], backend=name, **QUIET)
        assert len(losses_.kept) == 3


@MODELS("tensorflow/tensorflow", 48947, "the number of steps of an optimizer was not stored")
@MODELS("tensorflow/tensorflow", 49208, "a schedule began anew when training went on from a file")
def _(name, tmp_path):
    def rate():
        return optim.SGD(optim.schedules.ExponentialDecay(0.01, 2, 0.5, staircase=True))

    whole, first = line(optimizer=rate()), line(optimizer=rate())
    whole.fit(ONE_TO_6, 2 * ONE_TO_6, 2, epochs=4, backend=name, **QUIET)
    first.fit(ONE_TO_6, 2 * ONE_TO_6, 2, epochs=2, backend=name, **QUIET)
    first.save(tmp_path / "model.safetensors")
    rest = kf.Model.load(tmp_path / "model.safetensors", backend=name)
    rest.fit(ONE_TO_6, 2 * ONE_TO_6, 2, epochs=4, initial_epoch=2, **QUIET)
    np.testing.assert_array_equal(weights(rest), weights(whole))


@MODELS("keras-team/keras", 3859, "gradients of an Embedding could not be clipped")
def _(name):
    model = kf.Model(nn.Sequential([nn.Embedding(3, 1, embeddings_initializer="zeros")]))
    model.compile(optim.SGD(1.0, clipnorm=1.0), "mse")
    x, y = np.int32([[1]]), np.float32([[[8.0]]])
    model.fit(x, y, backend=name, **QUIET)
    near(weights(model), [0.0, 1.0, 0.0])


@MODELS("tensorflow/tensorflow", 33929, "clipvalue did nothing in fit")
def _(name):
    model = line(optimizer=optim.SGD(1.0, clipvalue=0.125))
    model.fit(ONE_TO_6, 9 * ONE_TO_6, 6, backend=name, **QUIET)
    near(weights(model), [1.125])


@MODELS("keras-team/keras", 5640, "threads that predicted with one model failed, or mixed their results")
@MODELS("tensorflow/tensorflow", 61298, "predict was not safe in threads")
def _(name):
    model = line().build(ONE_TO_6, backend=name)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        outs = list(pool.map(lambda i: kf.to_numpy(model.predict(ONE_TO_6 + i)), range(16)))
    for i, out in enumerate(outs):
        np.testing.assert_array_equal(out, ONE_TO_6 + i)


@MODELS("safetensors/safetensors", 601, "a file without arrays could not be read")
@MODELS("safetensors/safetensors", 442, "an array of size 0 could not be read")
@MODELS("safetensors/safetensors", 469, "an array that is not contiguous could not be stored")
@MODELS("MinishLab/model2vec", 341, "an array in Fortran's order came back in pieces")
def _(name, tmp_path):
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    for i, tree in enumerate(
        ({}, {"none": x[:0]}, {"part": x[:, ::2], "turned": x.T, "fortran": np.asfortranarray(x), "back": x[::-1]})
    ):
        kf.save(tree, tmp_path / f"{i}.safetensors")
        back = kf.load(tmp_path / f"{i}.safetensors", backend=name)
        assert list(back) == sorted(tree)
        for key, value in tree.items():
            np.testing.assert_array_equal(kf.to_numpy(back[key]), value)


@MODELS("keras-team/keras", 2305, "training went over the samples that validation_split held out")
def _(name):
    y = np.concatenate([ONE_TO_6[:4], ONE_TO_6[4:] + 100])
    model = line()
    history = model.fit(ONE_TO_6, y, batch_size=1, validation_split=1 / 3, backend=name, verbose=0).history
    near(history["loss"], [0.0])
    assert int(kf.to_numpy(model.train_state.step)) == 4


@MODELS("keras-team/keras", 496, "validation left the weights of samples out")
def _(name):
    weights_of = np.float32([1, 1, 0, 0, 0, 0])
    options = {"validation_data": (ONE_TO_6, ONE_TO_6 + np.arange(6, dtype=np.float32)[:, None], weights_of)}
    history = line().fit(ONE_TO_6, ONE_TO_6, backend=name, verbose=0, **options).history
    near(history["val_loss"], [(0 + 1) / 6])


@MODELS("tensorflow/tensorflow", 27049, "training went on otherwise after saving and loading")
@MODELS("tensorflow/tensorflow", 44670, "a saved model had lost the optimizer's state")
@MODELS("tensorflow/tensorflow", 52368, "a loaded model began with a new state of the optimizer")
@MODELS("keras-team/keras", 5073, "three times 12 epochs were not 36")
def _(name, tmp_path):
    x = np.linspace(-1, 1, 24, dtype=np.float32).reshape(12, 2)
    results = []
    for parts in ((6,), (2, 4), (1, 2, 3)):
        model = kf.Model(nn.Sequential([nn.Dense(4, "tanh"), nn.BatchNormalization(), nn.Dropout(0.5), nn.Dense(1)]))
        model.compile("adam", "mse")
        for i, epochs in enumerate(parts):
            if i:
                model.save(tmp_path / "model.safetensors")
                model = kf.Model.load(tmp_path / "model.safetensors", backend=name)
            model.fit(x, x[:, 0], 4, epochs=epochs, backend=name, verbose=0)
        results.append([kf.to_numpy(leaf) for leaf in kf.tree.leaves(tuple(model.train_state))])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@MODELS("keras-team/keras", 4421, "a stateful layer in Bidirectional failed")
def _(name):
    model = kf.Model(nn.Bidirectional(nn.LSTM(2, stateful=True))).build(kf.Spec((2, 3, 1)), backend=name)
    model.compile("sgd", "mse")
    x = np.ones((2, 3, 1), np.float32)
    before = [kf.to_numpy(leaf) for leaf in kf.tree.leaves(model.train_state.state)]
    model.fit(x, np.zeros((2, 4), np.float32), batch_size=2, backend=name, **QUIET)
    after = [kf.to_numpy(leaf) for leaf in kf.tree.leaves(model.train_state.state)]
    assert len(after) == 4 and all((a != b).any() for a, b in zip(before, after, strict=True))


# -- the tests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", VALUES)
@pytest.mark.parametrize("name", BACKENDS)
def test_values(name, row):
    VALUES[row](name)


@pytest.mark.parametrize("row", GRADIENTS)
@pytest.mark.parametrize("name", TRAINING)
def test_gradients(name, row):
    GRADIENTS[row](name)


def sampled():
    """Rows of models with NumPy and another backend, which a fixed hash of the row chooses."""
    others = [n for n in NAMES if n not in ("numpy", "openvino", "array_api_strict")]
    programs = {}
    for row, fun in MODELS.items():  # one program may be about several reports
        programs.setdefault(fun, row)
    for row in programs.values():
        for name in ("numpy", *one_of(others, row)):
            yield pytest.param(name, row, marks=getattr(pytest.mark, name), id=f"{row}-{name}")


@pytest.mark.parametrize(("name", "row"), list(sampled()))
def test_models(name, row, tmp_path):
    fun = MODELS[row]
    fun(name, tmp_path) if fun.__code__.co_argcount == 2 else fun(name)
