"""Keras 3: the same networks of its layers, on the backend that KERAS_BACKEND names when this module is imported."""

from __future__ import annotations

import keras
from keras import layers

from . import EPSILON, HEADS, LEARNING_RATE, NORM_EPSILON


def mlp(x, rate, widths):
    for width in widths:
        x = layers.Dense(width, activation="relu")(x)
    return x


def cnn(x, rate, widths):
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D()(layers.BatchNormalization()(x))
    x = layers.MaxPooling2D()(layers.Conv2D(32, 3, padding="same", activation="relu")(x))
    return layers.Dropout(rate)(layers.Flatten()(x))


def lstm(x, rate, widths):
    return layers.LSTM(64)(x)


def transformer(x, rate, widths):
    width = 64
    x = layers.Embedding(1000, width)(x)
    for _ in range(2):
        y = layers.LayerNormalization(epsilon=NORM_EPSILON)(x)
        x = x + layers.MultiHeadAttention(HEADS, width // HEADS)(y, y)
        y = layers.LayerNormalization(epsilon=NORM_EPSILON)(x)
        x = x + layers.Dense(width)(layers.Dense(4 * width, activation=keras.ops.gelu)(y))
    return layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=NORM_EPSILON)(x))


NETWORKS = {"mlp": mlp, "cnn": cnn, "lstm": lstm, "transformer": transformer}


def build(network, rate, widths, shape, dtype, classes):
    """The compiled model."""
    start = keras.Input(shape, dtype=dtype)
    model = keras.Model(start, layers.Dense(classes)(NETWORKS[network](start, rate, widths)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(LEARNING_RATE, epsilon=EPSILON), loss)
    return model
