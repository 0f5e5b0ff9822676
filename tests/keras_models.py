"""Small models of Keras of every kind: their `.keras` files, inputs, and what Keras says to these, kept in a file.

After a change of rows, run

    python tests/keras_models.py [ROW ...]

which computes what is missing or was made by another function, and the rows that are named; `--all` names all. The
file, `keras_models.npz`, is the output of Keras 3 and of Keras 2 (`tf_keras`) on our own inputs; both are Apache-2.0.
"""

from __future__ import annotations

import inspect
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from oracle_file import OracleFile, digest

import kfunc as kf

__all__ = ["FILE", "ROWS", "Row", "made", "perturb"]


class Row(NamedTuple):
    """A model.

    Attributes:
        name: A name that no other row has.
        make: `keras` to a model.
        inputs: What the model takes: an array, or a list or dict of arrays.
        library: "keras", or "tf_keras" for Keras 2.
        eps: The precision that it computes in.
    """

    name: str
    make: Callable[[Any], Any]
    inputs: Any
    library: str = "keras"
    eps: float = float(np.finfo(np.float32).eps)


ROWS: list[Row] = []


def normal(*shape):
    return np.random.default_rng(list(shape)).normal(size=shape).astype(np.float32)


def integers(most, *shape):
    return np.random.default_rng(list(shape)).integers(0, most, shape).astype(np.int32)


def row(inputs, **options):
    """Decorator that makes a row of a function."""

    def add(make):
        ROWS.append(Row(make.__name__, make, inputs, **options))
        return make

    return add


VECTOR, SEQUENCE, IMAGE = normal(3, 5), normal(2, 6, 4), normal(2, 8, 8, 3)
TOKENS = np.array([[3, 1, 4, 1, 0, 0], [5, 2, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6]], np.int32)


# -- layers in a row ---------------------------------------------------------------------------------------------------


@row(VECTOR)
def dense(k):
    return k.Sequential([k.Input((5,)), k.layers.Dense(7, "relu"), k.layers.Dense(3, "softmax", use_bias=False)])


@row(VECTOR)
def built_later(k):
    model = k.Sequential([k.layers.Dense(4, "gelu"), k.layers.Dense(2)])
    model.build((None, 5))
    return model


@row(IMAGE)
def convolutions(k):
    nn = k.layers
    return k.Sequential(
        [
            k.Input((8, 8, 3)),
            nn.ZeroPadding2D(1),
            nn.Conv2D(4, 3, strides=2, kernel_regularizer="l2"),
            nn.BatchNormalization(),
            nn.ReLU(max_value=6.0),
            nn.DepthwiseConv2D(3, padding="same", depth_multiplier=2),
            nn.SeparableConv2D(5, 3, padding="same", activation="silu"),
            nn.MaxPooling2D(),
            nn.AveragePooling2D(2, padding="same"),
            nn.Flatten(),
            nn.Dense(3),
        ]
    )


@row(normal(2, 3, 6, 6))
def channels_first(k):
    nn = k.layers
    return k.Sequential(
        [
            k.Input((3, 6, 6)),
            nn.Conv2D(4, 3, groups=1, padding="same", data_format="channels_first"),
            nn.BatchNormalization(axis=1),
            nn.GlobalMaxPooling2D(data_format="channels_first", keepdims=True),
        ]
    )


@row(SEQUENCE)
def convolutions_1d(k):
    nn = k.layers
    return k.Sequential(
        [
            k.Input((6, 4)),
            nn.Conv1D(4, 2, padding="causal", dilation_rate=2, groups=2),
            nn.SeparableConv1D(3, 2),
            nn.DepthwiseConv1D(2),
            nn.Conv1DTranspose(2, 3, strides=2),
            nn.UpSampling1D(2),
            nn.Cropping1D((1, 2)),
            nn.GlobalAveragePooling1D(),
        ]
    )


@row(normal(1, 4, 4, 4, 2))
def convolutions_3d(k):
    nn = k.layers
    return k.Sequential(
        [
            k.Input((4, 4, 4, 2)),
            nn.Conv3D(3, 2, activation="tanh"),
            nn.Conv3DTranspose(2, 2),
            nn.MaxPooling3D(2),
            nn.UpSampling3D(2),
            nn.Cropping3D(1),
            nn.ZeroPadding3D(1),
            nn.GlobalAveragePooling3D(),
        ]
    )


@row(normal(2, 4, 4, 2))
def images_back(k):
    nn = k.layers
    return k.Sequential(
        [
            k.Input((4, 4, 2)),
            nn.Conv2DTranspose(3, 3, strides=2, padding="same"),
            nn.UpSampling2D(2, interpolation="bilinear"),
            nn.Cropping2D(((1, 0), (0, 2))),
            nn.Permute((3, 1, 2)),
            nn.Reshape((3, -1)),
        ]
    )


@row(VECTOR)
def activations(k):
    nn = k.layers
    names = ("elu", "selu", "softplus", "softsign", "sigmoid", "hard_sigmoid", "exponential", "relu6", "leaky_relu")
    layers = [nn.Dense(5, name) for name in names]
    return k.Sequential([k.Input((5,)), *layers, nn.Activation("mish"), nn.LeakyReLU(0.1), nn.ELU(0.5), nn.Softmax()])


@row(normal(2, 3, 4))
def learned_slopes(k):
    return k.Sequential([k.Input((3, 4)), k.layers.PReLU(shared_axes=[1], alpha_initializer="glorot_uniform")])


@row(VECTOR)
def only_in_training(k):
    nn = k.layers
    noise = [nn.Dropout(0.5, seed=1), nn.GaussianNoise(1.0), nn.GaussianDropout(0.3), nn.AlphaDropout(0.2)]
    return k.Sequential([k.Input((5,)), *noise, nn.ActivityRegularization(0.1), nn.Dense(3)])


@row(SEQUENCE)
def spatial_dropout(k):
    nn = k.layers
    return k.Sequential([k.Input((6, 4)), nn.SpatialDropout1D(0.5), nn.Dense(3)])


@row(VECTOR)
def all_arguments(k):
    r, c, i = k.regularizers, k.constraints, k.initializers
    dense = k.layers.Dense(
        4,
        kernel_initializer=i.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=3),
        bias_initializer=i.Constant(0.3),
        kernel_regularizer=r.L1L2(0.1, 0.2),
        bias_regularizer=r.L1(0.1),
        activity_regularizer=r.OrthogonalRegularizer(0.1),
        kernel_constraint=c.MinMaxNorm(0.1, 2.0),
        bias_constraint=c.NonNeg(),
    )
    return k.Sequential([k.Input((5,)), dense, k.layers.Dense(4, kernel_initializer=i.Orthogonal(seed=1))])


# -- normalization and preprocessing -----------------------------------------------------------------------------------


@row(normal(2, 4, 6))
def normalizations(k):
    nn = k.layers
    return k.Sequential(
        [
            k.Input((4, 6)),
            nn.LayerNormalization(axis=[1, 2]),
            nn.LayerNormalization(epsilon=1e-5, scale=False),
            nn.GroupNormalization(3),
            nn.RMSNormalization(),
            nn.UnitNormalization(),
            nn.BatchNormalization(axis=1, center=False),
        ]
    )


@row(integers(256, 2, 4, 4, 3))
def bytes_rescaled(k):
    nn = k.layers
    return k.Sequential(
        [
            k.Input((4, 4, 3), dtype="int32"),
            nn.Rescaling(1 / 127.5, -1),
            nn.Normalization(mean=[0.1, 0.2, 0.3], variance=[0.5, 0.6, 0.7]),
            nn.Rescaling([1.0, 2.0, 3.0], [0.0, 1.0, 2.0]),
        ]
    )


@row(VECTOR)
def adapted(k):
    normalization = k.layers.Normalization()
    normalization.adapt(normal(20, 5) * 3 + 2)
    return k.Sequential([k.Input((5,)), normalization, k.layers.Dense(3)])


# -- recurrent ---------------------------------------------------------------------------------------------------------


@row(SEQUENCE)
def recurrent(k):
    nn = k.layers
    return k.Sequential(
        [
            k.Input((None, 4)),
            nn.LSTM(5, return_sequences=True, unit_forget_bias=False),
            nn.GRU(4, return_sequences=True, reset_after=False, go_backwards=True),
            nn.SimpleRNN(3, return_sequences=True, activation="relu"),
            nn.GRU(4, recurrent_activation="hard_sigmoid"),
        ]
    )


@row(SEQUENCE)
def both_directions(k):
    nn = k.layers
    return k.Sequential(
        [
            k.Input((6, 4)),
            nn.Bidirectional(nn.LSTM(3, return_sequences=True)),
            nn.Bidirectional(
                nn.GRU(3, return_sequences=True),
                "sum",
                backward_layer=nn.GRU(3, return_sequences=True, go_backwards=True),
            ),
            nn.Bidirectional(nn.SimpleRNN(2), "ave"),
        ]
    )


@row(SEQUENCE)
def cells(k):
    nn = k.layers
    stacked = nn.RNN([nn.LSTMCell(3), nn.GRUCell(4), nn.SimpleRNNCell(2)], return_sequences=True)
    return k.Sequential([k.Input((6, 4)), stacked, nn.RNN(nn.LSTMCell(3))])


@row(normal(1, 3, 5, 5, 2))
def recurrent_convolutions(k):
    nn = k.layers
    return k.Sequential([k.Input((3, 5, 5, 2)), nn.ConvLSTM2D(2, 3, return_sequences=True), nn.ConvLSTM2D(2, 2)])


@row([normal(2, 6, 4), normal(2, 3, 4)])
def encoder_and_decoder(k):
    nn = k.layers
    source, target = k.Input((None, 4)), k.Input((None, 4))
    _, *states = nn.LSTM(3, return_state=True)(source)
    return k.Model([source, target], nn.LSTM(3, return_sequences=True)(target, initial_state=states))


@row(normal(2, 5, 4))
def stateful(k):
    return k.Sequential([k.Input(batch_shape=(2, 5, 4)), k.layers.GRU(3, stateful=True)])


@row(SEQUENCE)
def each_step(k):
    nn = k.layers
    inner = k.Sequential([nn.Dense(3, "tanh"), nn.Dense(2)], name="inner")
    return k.Sequential([k.Input((6, 4)), nn.TimeDistributed(nn.Dense(5)), nn.TimeDistributed(inner)])


# -- masks -------------------------------------------------------------------------------------------------------------


@row(TOKENS)
def masked_tokens(k):
    nn = k.layers
    x = k.Input((None,), dtype="int32")
    y = nn.Embedding(7, 4, mask_zero=True)(x)
    y = nn.LayerNormalization()(nn.Dropout(0.1)(y))
    return k.Model(x, nn.Bidirectional(nn.LSTM(3))(y))


@row(np.where(normal(2, 6, 4) > 0.5, 0, normal(2, 6, 4)) * (np.arange(6) < 4).reshape(1, 6, 1).astype(np.float32))
def masking(k):
    nn = k.layers
    return k.Sequential([k.Input((6, 4)), nn.Masking(), nn.SimpleRNN(3, return_sequences=True), nn.GRU(2)])


@row([normal(2, 6, 4), np.array([[1, 1, 1, 0, 0, 0], [1, 0, 1, 1, 1, 1]], bool)])
def mask_as_input(k):
    x, mask = k.Input((6, 4)), k.Input((6,), dtype="bool")
    return k.Model([x, mask], k.layers.LSTM(3)(x, mask=mask))


@row(TOKENS)
def masked_average(k):
    nn = k.layers
    x = k.Input((6,), dtype="int32")
    return k.Model(x, nn.GlobalAveragePooling1D()(nn.Embedding(7, 4, mask_zero=True)(x)))


# -- attention ---------------------------------------------------------------------------------------------------------


@row(SEQUENCE)
def transformer(k):
    nn = k.layers
    x = k.Input((None, 4))
    a = nn.MultiHeadAttention(2, 3, dropout=0.1)(x, x, use_causal_mask=True)
    y = nn.LayerNormalization()(x + a)
    return k.Model(x, nn.Add()([y, nn.Dense(4)(nn.Dense(8, "gelu")(y))]))


@row([normal(2, 6, 4), normal(2, 5, 4), np.tri(6, 5, dtype=bool)[None].repeat(2, 0)])
def across(k):
    nn = k.layers
    query, value, mask = k.Input((6, 4)), k.Input((5, 4)), k.Input((6, 5), dtype="bool")
    layer = nn.MultiHeadAttention(2, 3, value_dim=2, output_shape=5, use_bias=False)
    out, scores = layer(query, value, attention_mask=mask, return_attention_scores=True)
    return k.Model([query, value, mask], [out, scores])


@row([normal(2, 6, 4), normal(2, 5, 4)])
def attentions(k):
    nn = k.layers
    query, value = k.Input((6, 4)), k.Input((5, 4))
    a = nn.Attention(use_scale=True)([query, value])
    b = nn.AdditiveAttention()([query, value])
    c = nn.GroupQueryAttention(3, 4, 2)(query, value)
    return k.Model([query, value], nn.Concatenate()([a, b, c]))


@row(TOKENS)
def tied_embedding(k):
    x = k.Input((6,), dtype="int32")
    embedding = k.layers.ReversibleEmbedding(7, 4)
    return k.Model(x, embedding(k.layers.Dense(4)(embedding(x)), reverse=True))


# -- graphs ------------------------------------------------------------------------------------------------------------


@row([normal(3, 5), normal(3, 4)])
def two_inputs(k):
    nn = k.layers
    a, b = k.Input((5,), name="left"), k.Input((4,), name="right")
    x, y = nn.Dense(3)(a), nn.Dense(3)(b)
    z = [nn.Add()([x, y]), nn.Subtract()([x, y]), nn.Multiply()([x, y]), nn.Average()([x, y]), nn.Maximum()([x, y])]
    return k.Model([a, b], nn.Concatenate()([*z, nn.Minimum()([x, y]), nn.Dot(1)([x, y])]))


@row({"left": normal(3, 5), "right": normal(3, 4)})
def dicts(k):
    nn = k.layers
    a, b = k.Input((5,)), k.Input((4,))
    x = nn.Concatenate()([a, b])
    return k.Model({"right": b, "left": a}, {"z": nn.Dense(2)(x), "a": nn.Dense(3)(x)})


@row([normal(3, 5), normal(3, 5)])
def shared_inside(k):
    nn = k.layers
    a, b = k.Input((5,)), k.Input((5,))
    dense, norm = nn.Dense(5), nn.BatchNormalization()
    return k.Model([a, b], [norm(dense(a)), dense(norm(dense(b)))])


@row([normal(3, 5), normal(3, 5)])
def twins(k):
    nn = k.layers
    x = k.Input((5,))
    tower = k.Model(x, nn.Dense(3, "tanh")(nn.Dense(4, name="same")(x)), name="tower")
    a, b = k.Input((5,)), k.Input((5,))
    return k.Model([a, b], nn.Dense(2, name="same")(tower(a) - tower(b)))


@row(VECTOR)
def nested(k):
    nn = k.layers
    x = k.Input((5,))
    inner = k.Model(x, [nn.Dense(4)(x), nn.Dense(3)(x)], name="inner")
    y = k.Input((5,))
    a, b = inner(y)
    middle = k.Model(y, {"a": a, "b": nn.Dense(5)(b)}, name="middle")
    z = k.Input((5,))
    first = middle(z)
    second = middle(first["b"])
    return k.Model(z, [first["a"], second["a"], k.Sequential([nn.Dense(2)], name="last")(second["b"])])


@row(VECTOR)
def functional_in_sequential(k):
    nn = k.layers
    x = k.Input((5,))
    inner = k.Model(x, nn.Add()([x, nn.Dense(5)(x)]))
    return k.Sequential([k.Input((5,)), nn.Dense(5), inner, k.Sequential([nn.Dense(2), nn.Dense(3)])])


@row({"a": normal(3, 5), "b": normal(3, 4)})
def dict_into_nested(k):
    nn = k.layers
    a, b = k.Input((5,)), k.Input((4,))
    inner = k.Model({"a": a, "b": b}, nn.Concatenate()([nn.Dense(2)(a), nn.Dense(3)(b)]))
    c, d = k.Input((5,)), k.Input((4,))
    return k.Model({"a": c, "b": d}, inner({"a": c, "b": d}))


@row(normal(2, 6, 6, 3))
def frozen_base(k):
    nn = k.layers
    base = k.Sequential([k.Input((6, 6, 3)), nn.Conv2D(4, 3), nn.BatchNormalization(), nn.ReLU()], name="base")
    base.trainable = False
    x = k.Input((6, 6, 3))
    y = nn.GlobalAveragePooling2D()(base(x, training=False))
    return k.Model(x, nn.Dense(2)(nn.Dropout(0.2)(y)))


@row(VECTOR)
def names(k):
    nn = k.layers
    x = k.Input((5,), name="the input.0")
    y = nn.Dense(3, name="block.1 conv")(x)
    return k.Model(x, nn.Add(name="a b")([nn.Dense(3, name="a.b")(y), nn.Dense(3, name="a-b")(y)]), name="my model.v2")


@row([normal(3, 5), normal(3, 5)])
def unused_input(k):
    a, b = k.Input((5,)), k.Input((5,))
    return k.Model([a, b], k.layers.Dense(2)(b))


# -- operations --------------------------------------------------------------------------------------------------------


@row(normal(3, 4, 5))
def operators(k):
    x = k.Input((4, 5))
    y = (2.0 - x) / 3.0 + x**2 - (-x) * x
    return k.Model(x, [y[:, 1], y[:, ::2, -1:], y[..., None], abs(y), x @ k.ops.transpose(y, (0, 2, 1))])


@row(normal(3, 4, 5))
def comparisons(k):
    x = k.Input((4, 5))
    big = x > 0.5
    y = k.ops.where(k.ops.logical_and(big, x < 1.5), x, k.ops.zeros_like(x))
    return k.Model(x, k.layers.Dense(3)(y * k.ops.cast(big, "float32") + k.ops.maximum(x, 0.1)))


@row(normal(3, 4, 5))
def constants(k):
    x = k.Input((4, 5))
    y = x * np.arange(20.0, dtype="float32").reshape(1, 4, 5) + np.array([1.0, 0.0, -1.0, 0.5, 2.0], "float32")
    return k.Model(x, k.layers.Dense(2)(y - np.ones((300, 5), "float32")[:4]))


@row(normal(3, 4, 6))
def functions(k):
    ops = k.ops
    x = k.Input((4, 6))
    a, b = ops.split(x, 2, axis=-1)
    y = ops.concatenate([ops.relu(a), ops.softmax(b, axis=1)], axis=-1)
    z = ops.mean(y, axis=-1, keepdims=True) + ops.max(x, axis=(1, 2), keepdims=True)
    return k.Model(x, [ops.stack([y, x], axis=1), z, ops.reshape(y, (-1, 24)), ops.squeeze(z, -1), ops.flip(x, 1)])


@row(normal(3, 4, 6))
def products(k):
    ops = k.ops
    x = k.Input((4, 6))
    y = ops.einsum("bij,bkj->bik", x, ops.exp(x))
    return k.Model(
        x, [ops.matmul(y, x), ops.tensordot(x, x, axes=[[2], [2]]), ops.logsumexp(y, -1), ops.top_k(x, 2)[0]]
    )


@row(normal(2, 4, 6, 3))
def image_functions(k):
    ops = k.ops
    x = k.Input((4, 6, 3))
    y = ops.image.resize(x, (8, 5))
    y = ops.conv(y, normal(3, 3, 3, 2), padding="same")
    y = ops.max_pool(y, (2, 2), (2, 2)) + ops.average_pool(y, (2, 2), (2, 2))
    return k.Model(
        x, [ops.pad(y, [[0, 0], [1, 1], [0, 2], [0, 0]], constant_values=0.5), ops.image.rgb_to_grayscale(x)]
    )


@row(VECTOR)
def one_name_of_two(k):
    """The layer `Add` and the operation `Add`, and so on, have one class name."""
    nn, ops = k.layers, k.ops
    x = k.Input((5,))
    y = nn.Add()([ops.add(x, 1.0), nn.Subtract()([x, ops.subtract(x, 2.0)])])
    y = nn.Multiply()([ops.multiply(y, x), nn.Average()([x, y])])
    return k.Model(x, nn.Concatenate()([ops.concatenate([ops.softmax(y), nn.Softmax()(x)], axis=1), ops.maximum(x, y)]))


# -- precision, and what else there is ---------------------------------------------------------------------------------


@row(VECTOR, eps=2.0**-8)
def mixed_precision(k):
    nn = k.layers
    x = k.Input((5,))
    y = nn.Dense(8, "relu", dtype="mixed_bfloat16")(x)
    return k.Model(x, nn.Dense(3, dtype="float32")(nn.LayerNormalization(dtype="mixed_bfloat16")(y)))


@row(VECTOR, eps=2.0**-10)
def half_precision(k):
    nn = k.layers
    return k.Sequential([k.Input((5,)), nn.Dense(4, dtype="float16"), nn.Dense(3, "softmax", dtype="float32")])


@row(normal(2, 4, 6))
def einsum_dense(k):
    nn = k.layers
    return k.Sequential(
        [k.Input((4, 6)), nn.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="e", activation="relu")]
    )


@row(normal(2, 7, 6, 3))
def adaptive_pooling(k):
    nn = k.layers
    x = k.Input((7, 6, 3))
    return k.Model(x, [nn.AdaptiveAveragePooling2D((3, 2))(x), nn.AdaptiveMaxPooling2D(2)(x)])


@row(VECTOR)
def divided_by_singular_values(k):
    layer = k.layers.SpectralNormalization(k.layers.Dense(4), 2)
    return k.Sequential([k.Input((5,)), layer, k.layers.Dense(2)])


@row(normal(3, 4, 5))
def several_outputs(k):
    nn = k.layers
    x = k.Input((4, 5))
    out = nn.GRU(3, return_sequences=True, return_state=True)(x)
    return k.Model(x, [*out, nn.Identity()(out[1])])


# -- Keras 2 -----------------------------------------------------------------------------------------------------------


@row(IMAGE, library="tf_keras")
def convolutions_of_keras_2(k):
    return convolutions(k)


@row(SEQUENCE, library="tf_keras")
def recurrent_of_keras_2(k):
    return recurrent(k)


@row([normal(2, 6, 4), normal(2, 3, 4)], library="tf_keras")
def encoder_and_decoder_of_keras_2(k):
    return encoder_and_decoder(k)


@row(TOKENS, library="tf_keras")
def masked_tokens_of_keras_2(k):
    return masked_tokens(k)


@row([normal(2, 6, 4), normal(2, 5, 4), np.tri(6, 5, dtype=bool)[None].repeat(2, 0)], library="tf_keras")
def across_of_keras_2(k):
    return across(k)


@row([normal(3, 5), normal(3, 5)], library="tf_keras")
def twins_of_keras_2(k):
    return twins(k)


@row(VECTOR, library="tf_keras")
def nested_of_keras_2(k):
    nn = k.layers
    x = k.Input((5,))
    inner = k.Model(x, [nn.Dense(5)(x), nn.Dense(3)(x)], name="inner")
    y = k.Input((5,), name="in put")
    last = k.Sequential([nn.Dense(4, "relu")], name="last")
    a, b = inner(inner(y)[0])
    return k.Model(y, {"u": last(a), "v": nn.BatchNormalization()(b, training=False), "w": last(y)})


@row(normal(3, 4, 6), library="tf_keras")
def functions_of_keras_2(k):
    import tensorflow as tf

    x = k.Input((4, 6))
    y = (2.0 - x) / 3.0 + x * x
    z = tf.reduce_mean(y[:, 1:3], axis=-1, keepdims=True)
    z = tf.concat([z, tf.nn.relu(y[:, :2])], axis=-1)
    z = k.layers.Concatenate()([z, tf.reshape(x, (-1, 2, 12))])
    return k.Model(x, k.layers.LeakyReLU()(tf.transpose(z, perm=[0, 2, 1]) * [[0.5, 2.0]]))


# -- what Keras says ---------------------------------------------------------------------------------------------------


def perturb(model):
    """Give the variables of a model other values than they have at first, positive ones where they are variances."""
    rng = np.random.default_rng(0)
    for v in model.weights:
        old = np.asarray(v)
        if old.dtype.kind not in "fV":
            continue
        wide = np.asarray(old, np.float32)
        if "variance" in getattr(v, "path", v.name):
            v.assign((wide * rng.uniform(0.7, 1.4, old.shape)).astype(old.dtype))
        elif "vector_u" not in getattr(v, "path", v.name):
            v.assign((wide * rng.uniform(0.8, 1.2, old.shape) + 0.05 * rng.normal(size=old.shape)).astype(old.dtype))
    for layer in model._flatten_layers():
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


def made(row: Row) -> Any:
    """The model of a row, with weights that are always the same."""
    import keras

    if row.library == "tf_keras":
        os.environ["TF_USE_LEGACY_KERAS"] = "1"
        import tf_keras as keras  # type: ignore[no-redef]
    keras.backend.clear_session()
    keras.utils.set_random_seed(3)
    model = row.make(keras)
    perturb(model)
    return model


def compute(i: int) -> dict[str, list[np.ndarray]]:
    """The file of row `i` and what Keras says to its inputs."""
    row = ROWS[i]
    model = made(row)
    out = model(row.inputs, training=False)
    out = [np.asarray(np.asarray(x), np.float32) for x in kf.tree.leaves(out)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        return {"file": [np.frombuffer(path.read_bytes(), np.uint8)], "out": out}


def _digest(i: int) -> str:
    return digest(inspect.getsource(ROWS[i].make), ROWS[i].inputs)


FILE = OracleFile(
    Path(__file__).with_name("keras_models.npz"), [r.name for r in ROWS], [r.name for r in ROWS], _digest, compute
)

if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "jax")
    FILE.record(set(sys.argv[1:]))
