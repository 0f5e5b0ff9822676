"""The table of layers: each with inputs, and an oracle in float64 NumPy that is written another way than the layer.

One of each mechanism, and what Keras has not: a layer that it has gets its rows in `catalogue/`, against Keras itself.
Every row is run on every backend: values, gradients, compiled (by XLA, too), shapes, purity.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from kfunc import nn, ops

RNG = np.random.default_rng(7)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """A layer, its inputs, and what it should return.

    Attributes:
        oracle: `(params, state, *inputs)` in float64 to the output, or to `(output, new state)` with `train`.
        n: Length of the longest reduction, by whose root the tolerance grows.
    """

    name: str
    layer: nn.Layer
    inputs: tuple[Any, ...]
    oracle: Callable
    n: int = 1
    train: bool = False

    @property
    def differentiable(self) -> tuple[int, ...]:
        return tuple(i for i, x in enumerate(self.inputs) if x.dtype == np.float32)


# -- oracles ---------------------------------------------------------------------------------------------------------


def dense(p, s, x):
    return np.einsum("...i,io->...o", x, p["kernel"]) + p.get("bias", 0)


def relu(x):
    return (np.abs(x) + x) / 2


def sigmoid(x):
    return (1 + np.tanh(x / 2)) / 2


def windows(x, size, strides, padding, fill):
    """(batch, height', width', channels, *window) of channels-last images."""
    if padding == "same":
        around = [(0, 0)]
        for n, k, s in zip(x.shape[1:3], size, strides, strict=True):
            missing = max(k - s if n % s == 0 else k - n % s, 0)
            around.append((missing // 2, missing - missing // 2))
        x = np.pad(x, [*around, (0, 0)], constant_values=fill)
    return sliding_window_view(x, size, axis=(1, 2))[:, :: strides[0], :: strides[1]]


def conv(p, s, x):
    v = windows(x, p["kernel"].shape[:2], (1, 1), "same", 0.0)
    return relu(np.einsum("bhwcij,ijco->bhwo", v, p["kernel"]) + p["bias"])


def pool(p, s, x, reduce, size, strides, padding):
    return reduce(windows(x, size, strides, padding, np.nan), axis=(-1, -2))


def normalize(x, axes, epsilon):
    return (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(x.var(axis=axes, keepdims=True) + epsilon)


def batch_norm(p, s, x, epsilon=1e-3):
    return p["gamma"] * (x - s["moving_mean"]) / np.sqrt(s["moving_variance"] + epsilon) + p["beta"]


def batch_norm_train(p, s, x, momentum=0.9, epsilon=1e-3):
    axes = tuple(range(x.ndim - 1))
    moved = {
        "moving_mean": momentum * s["moving_mean"] + (1 - momentum) * x.mean(axes),
        "moving_variance": momentum * s["moving_variance"] + (1 - momentum) * x.var(axes),
    }
    return p["gamma"] * normalize(x, axes, epsilon) + p["beta"], moved


def attention(p, s, query, value, key, attention_mask):
    def project(q, x):
        return np.einsum("btd,dnh->bnth", x, q["kernel"]) + q["bias"][None, :, None, :]

    q, k, v = project(p["query"], query), project(p["key"], key), project(p["value"], value)
    logits = np.einsum("bnth,bnsh->bnts", q, k) / np.sqrt(q.shape[-1])
    e = np.exp(logits - logits.max(axis=-1, keepdims=True)) * attention_mask[:, None]
    weights = e / e.sum(axis=-1, keepdims=True)
    out = p["attention_output"]
    return np.einsum("bnts,bnsh,nhd->btd", weights, v, out["kernel"]) + out["bias"]


def relative_bias(p, s, query, key, buckets, last, both):
    """T5's bias, one pair of positions after another, by the places where ranges begin."""
    half = buckets // 2 if both else buckets
    single = half // 2
    begins = [single * (last / single) ** (n / (half - single)) for n in range(1, half - single)]
    out = np.zeros((len(query), p["embeddings"].shape[1], query.shape[1], key.shape[1]))
    for b, i, j in np.ndindex(len(query), query.shape[1], key.shape[1]):
        away = int(key[b, j]) - int(query[b, i])
        near = abs(away) if both else max(-away, 0)
        bucket = near if near < single else single + sum(near > n - 1e-6 for n in begins)
        out[b, :, i, j] = p["embeddings"][bucket + (half if both and away > 0 else 0)]
    return out


def alibi(p, s, x, query, key):
    slopes = np.array([2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3])  # of 4 heads, and of 8 those between
    away = np.abs(key[:, None, None, :].astype(float) - query[:, None, :, None])
    return x - away * slopes[:, None, None]


def lstm(p, s, x):
    h = c = np.zeros((len(x), p["recurrent_kernel"].shape[0]))
    for t in range(x.shape[1]):
        z = np.concatenate([x[:, t], h], axis=1) @ np.concatenate([p["kernel"], p["recurrent_kernel"]]) + p["bias"]
        i, f, g, o = np.split(z, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h


def gru(p, s, x):
    h = np.zeros((len(x), p["recurrent_kernel"].shape[0]))
    w, u = np.split(p["kernel"], 3, axis=1), np.split(p["recurrent_kernel"], 3, axis=1)
    a, b = (np.split(bias, 3) for bias in p["bias"])
    ys = []
    for t in range(x.shape[1]):
        z, r = (sigmoid(x[:, t] @ w[n] + a[n] + h @ u[n] + b[n]) for n in (0, 1))
        h = z * h + (1 - z) * np.tanh(x[:, t] @ w[2] + a[2] + r * (h @ u[2] + b[2]))
        ys.append(h)
    return np.stack(ys, axis=1)


# -- a user's own composite, and graphs ------------------------------------------------------------------------------


@nn.layer
class Bilinear(nn.Layer):
    """Two branches that meet: what people write themselves."""

    left: nn.Layer
    right: nn.Layer

    def forward(self, s, a, b):
        return self.left(s, a) * self.right(s, b)


@nn.layer
class PlusEach(nn.Layer):
    """A bias that is added to logits."""

    bias: nn.Layer

    def forward(self, s, x, *positions):
        return x + self.bias(s, *positions)


@nn.layer
class MaskAsInput(nn.Layer):
    """Attention with a mask that is an input like the others."""

    attention: nn.Layer

    def forward(self, s, query, value, key, mask):
        return self.attention(s, query, value, key, attention_mask=mask)


def bilinear(p, s, a, b):
    return dense(p["left"], s, a) * dense(p["right"], s, b)


def _twice():
    shared = nn.Dense(4, activation="tanh")
    return nn.Sequential([shared, shared, nn.Dense(2)])


def twice(p, s, x):
    first = functools.partial(dense, p["dense"], s)
    return dense(p["dense_1"], s, np.tanh(first(np.tanh(first(x)))))


def _graph():
    a, b = nn.Input((3,)), nn.Input((4,))
    shared = nn.Dense(4)
    left = shared(a)
    joined = Bilinear(nn.Dense(5), nn.Dense(5))(left, b)
    return nn.Graph({"a": a, "b": b}, [joined, left])


def graph(p, s, x):
    left = dense(p["dense"], s, x["a"])
    return [bilinear(p["bilinear"], s, left, x["b"]), left]


def _two_inputs():
    a, b = nn.Input((3,)), nn.Input((4,))
    return nn.Graph([a, b], Bilinear(nn.Dense(5), nn.Dense(5))(a, b))


SCALE = normal(6)


def _computed():
    """A graph whose nodes compute, by operators and by `kf.ops`, with numbers and arrays in between."""
    a, b = nn.Input((3,)), nn.Input((4,))
    h = nn.Dense(6)(a)
    gate = 1 / (1 + ops.exp(-h * SCALE.astype(float)))
    left, right = ops.split(ops.concatenate([gate, h - 0.5], axis=-1), 2, axis=-1)
    row = ops.stack([left[:, :3], right[..., 3:]], axis=1) @ np.eye(3)
    picked = ops.where(b[:, None, :1] > 0, row, 2 * row)
    return nn.Graph([a, b], [picked, b + ops.tanh(ops.sum(picked, axis=(1, 2)))[:, None]])


def computed(p, s, a, b):
    h = dense(p["dense"], s, a)
    row = np.stack([sigmoid(h * SCALE)[:, :3], h[:, 3:] - 0.5], axis=1)
    picked = row * (2 - (b[:, None, :1] > 0))
    return [picked, b + np.tanh(picked.sum((1, 2)))[:, None]]


def cnn(p, s, x):
    x = pool(p, s, conv(p["conv2d"], s, x), np.nanmax, (2, 2), (2, 2), "valid")
    x = batch_norm(p["batch_normalization"], s["batch_normalization"], x)
    return dense(p["dense"], s, x.reshape(len(x), -1))


MASK = RNG.random((2, 4, 5)) > 0.3
MASK[..., 0] = True
IDS = RNG.integers(0, 7, (3, 4)).astype(np.int32)
PLACES = (
    np.array([[0, 1, 7], [30, 8, 4]], np.int32),
    np.array([[0, 2, 4, 12, 40], [7, 9, 12, 13, 0]], np.int32),
)

ROWS = [
    Row("Dense/relu", nn.Dense(5, activation="relu"), (normal(4, 3),), lambda *a: relu(dense(*a)), n=4),
    Row(
        "Conv2D/same",
        nn.Conv2D(4, (3, 2), padding="same", activation="relu"),
        (normal(2, 6, 5, 3),),
        conv,
        n=60,
    ),
    Row(
        "MaxPooling2D/same",
        nn.MaxPooling2D(3, strides=2, padding="same"),
        (normal(2, 5, 6, 3),),
        functools.partial(pool, reduce=np.nanmax, size=(3, 3), strides=(2, 2), padding="same"),
        n=4,
    ),
    Row(
        "BatchNormalization/train",
        nn.BatchNormalization(momentum=0.9),
        (normal(6, 3, 2),),
        batch_norm_train,
        n=18,
        train=True,
    ),
    Row("Embedding", nn.Embedding(7, 5), (IDS,), lambda p, s, x: p["embeddings"][x], n=12),
    Row(
        "MultiHeadAttention/mask",
        MaskAsInput(nn.MultiHeadAttention(2, 3, value_dim=4)),
        (normal(2, 4, 6), normal(2, 5, 6), normal(2, 5, 6), MASK),
        lambda p, s, *inputs: attention(p["attention"], s, *inputs),
        n=40,
    ),
    *(
        Row(
            f"RelativePositionBias/{'both' if both else 'before'}",
            nn.RelativePositionBias(3, 8, 16, both),
            PLACES,
            functools.partial(relative_bias, buckets=8, last=16, both=both),
            n=40,
        )
        for both in (True, False)
    ),
    Row("AlibiBias", PlusEach(nn.AlibiBias(6)), (normal(2, 6, 3, 5), *PLACES), alibi, n=1),
    Row("LSTM", nn.LSTM(4), (normal(3, 5, 2),), lstm, n=30),
    Row("GRU", nn.GRU(4, return_sequences=True), (normal(3, 5, 2),), gru, n=30),
    Row("Residual", nn.Residual(nn.Dense(3)), (normal(4, 3),), lambda p, s, x: x + dense(p["body"], s, x), n=4),
    Row("Sequential/shared", _twice(), (normal(4, 4),), twice, n=16),
    Row("Composite", Bilinear(nn.Dense(5), nn.Dense(5)), (normal(4, 3), normal(4, 2)), bilinear, n=12),
    Row(
        "Graph", _two_inputs(), (normal(4, 3), normal(4, 4)), lambda p, s, a, b: bilinear(p["bilinear"], s, a, b), n=12
    ),
    Row("Graph/ops", _computed(), (normal(4, 3), normal(4, 4)), computed, n=12),
    Row(
        "CNN",
        nn.Sequential(
            [
                nn.Conv2D(4, 3, padding="same", activation="relu"),
                nn.MaxPooling2D(),
                nn.BatchNormalization(),
                nn.Flatten(),
                nn.Dense(3),
            ]
        ),
        (normal(2, 4, 4, 2),),
        cnn,
        n=64,
    ),
]
