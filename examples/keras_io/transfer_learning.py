"""Transfer learning and fine-tuning, after https://keras.io/guides/transfer_learning/

The base is trained here on the digits below 5, and the new problem is whether one of the others is odd. The published
one takes an Xception from keras.applications, and resizes, crops and rescales images in layers that are not here yet.
"""

import numpy as np
from data import digits, where

from kfunc import keras

(images, labels), _ = digits(640, 0)
images = np.expand_dims(images.astype("float32") / 16, -1)
known, new = labels < 5, labels >= 5

# A model that somebody has trained, whose last layer is left out.
base_inputs = keras.Input(shape=(8, 8, 1))
x = keras.layers.Conv2D(8, 3, activation="relu")(base_inputs)
x = keras.layers.BatchNormalization(momentum=0.9)(x)
x = keras.layers.Conv2D(8, 3, activation="relu")(x)
top = keras.layers.Dense(5)(keras.layers.Flatten()(x))
pretrained = keras.Model(base_inputs, top)
pretrained.compile(
    optimizer=keras.optimizers.Adam(5e-3), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
)
pretrained.fit(images[known], labels[known], epochs=3, **where)
base_model = keras.Model(base_inputs, x)

x_train, x_val = images[new][:160], images[new][160:]
y_train, y_val = labels[new][:160] % 2, labels[new][160:] % 2

base_model.trainable = False  # freezes it

inputs = keras.Input(shape=(8, 8, 1))
# The base runs in inference mode also when it is unfrozen: its BatchNormalization keeps its statistics.
x = base_model(inputs, training=False)
x = keras.layers.Flatten()(x)
x = keras.layers.Dropout(0.2)(x)
outputs = keras.layers.Dense(1)(x)
model = keras.Model(inputs, outputs)
model.summary(show_trainable=True)

model.compile(
    optimizer=keras.optimizers.Adam(1e-2),
    loss=keras.losses.BinaryCrossentropy(from_logits=True),
    metrics=[keras.metrics.BinaryAccuracy()],
)
model.fit(x_train, y_train, epochs=3, validation_data=(x_val, y_val), **where)

# Keras:
# base_model.trainable = True
# kfunc: each model freezes its own layers
model.unfreeze(base_model.net)
# end
model.summary(show_trainable=True)

model.compile(
    optimizer=keras.optimizers.Adam(1e-3),  # low, or the weights of the base would be lost
    loss=keras.losses.BinaryCrossentropy(from_logits=True),
    metrics=[keras.metrics.BinaryAccuracy()],
)
history = model.fit(x_train, y_train, epochs=3, validation_data=(x_val, y_val), **where)

print("Validation:", model.evaluate(x_val, y_val))
