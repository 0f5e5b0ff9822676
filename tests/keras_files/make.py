"""Makes the files of Keras 2 beside this script: `python tests/keras_files/make.py`, with tf_keras and tensorflow.

The numbers are random, and the network is of no use: the files are under this repository's own license.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
HERE = Path(__file__).parent


def network(keras):
    """Layers of equal shapes, one of them frozen inside a nested model: what files keep by position alone."""
    layers = keras.layers
    inputs = keras.Input((5, 4), name="series")
    inner = keras.Sequential([layers.Dense(4), layers.BatchNormalization(), layers.Dense(4)], name="inner")
    inner.layers[0].trainable = False
    x = inner(layers.Dense(4, activation="relu")(inputs))
    x = layers.MultiHeadAttention(2, 3)(x, x)
    x = layers.TimeDistributed(layers.Dense(4))(x)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(x)
    x = layers.RNN([layers.GRUCell(3), layers.GRUCell(3)])(x)
    return keras.Model(inputs, layers.Dense(2, name="out/logits")(x))


def own(keras):
    """A subclassed model: Keras 2 goes through the attributes backwards, and comes to `layers` before `first`."""
    layers = keras.layers

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.parts = layers.Dense(4), [layers.Dense(4), layers.Dense(4)]
            self.other, self._last = layers.Dense(4), layers.Dense(4)

        def call(self, x):
            for layer in (self.first, *self.parts, self.other, self._last):
                x = layer(x)
            return x

    model = Own()
    model(np.zeros((1, 4), "float32"))
    return model


def main() -> None:
    import tf_keras as keras

    rng = np.random.default_rng(0)
    model = network(keras)
    model.set_weights([rng.uniform(0.1, 1.0, w.shape).astype(w.dtype) for w in model.get_weights()])
    x = rng.standard_normal((3, 5, 4)).astype("float32")
    model.save(HERE / "keras2.keras")
    model.save(HERE / "keras2.h5")
    model.save_weights(HERE / "keras2_weights.h5")
    model.save_weights(HERE / "keras2.weights.h5")
    named = {f"weight/{w.name}": w.numpy() for w in model.weights}
    np.savez_compressed(HERE / "keras2.npz", x=x, y=model(x).numpy(), **named)

    subclassed = own(keras)
    kernels = [i * np.eye(4, dtype="float32") for i in (1, 2, 3, 4, 5)]  # of first, parts, other and _last
    for layer, kernel in zip(subclassed.layers, kernels, strict=True):
        layer.set_weights([kernel, kernel[0]])
    subclassed.save_weights(HERE / "keras2_own.weights.h5")


if __name__ == "__main__":
    main()
