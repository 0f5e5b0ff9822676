"""Image classification from scratch, after https://keras.io/examples/vision/image_classification_from_scratch/

The published one also turns images round by RandomFlip and RandomRotation, and divides by 255 in a Rescaling layer.
These layers are not here yet: NumPy flips and divides.
"""

import numpy as np
from data import folder, shapes, where

from kfunc import keras
from kfunc.keras import layers

image_size = (16, 16)
batch_size = 16

images, _, labels = shapes(160)
images = images.astype("float32") / 255
x_train, y_train, x_val, y_val = images[:128], labels[:128], images[128:], labels[128:]

flipped = np.random.default_rng(1).random(len(x_train)) < 0.5
x_train = np.where(flipped[:, None, None, None], x_train[:, :, ::-1], x_train)


def make_model(input_shape, num_classes):
    inputs = keras.Input(shape=input_shape)
    # No biases before BatchNormalization, which subtracts them: their gradients are rounding errors, which Adam makes
    # steps of, and these differ between backends.
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu")(x)
    previous_block_activation = x  # for the residual

    for size in [16, 24]:
        x = layers.Activation("relu")(x)
        x = layers.SeparableConv2D(size, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)

        residual = layers.Conv2D(size, 1, strides=2, padding="same")(previous_block_activation)
        x = layers.add([x, residual])
        previous_block_activation = x

    x = layers.GlobalAveragePooling2D()(x)
    units = 1 if num_classes == 2 else num_classes
    x = layers.Dropout(0.25)(x)
    outputs = layers.Dense(units, activation=None)(x)  # logits
    return keras.Model(inputs, outputs)


model = make_model(input_shape=image_size + (3,), num_classes=2)
model.summary()

epochs = 3
# Keras:
# callbacks = [keras.callbacks.ModelCheckpoint(folder() / "save_at_{epoch}.keras")]
# kfunc: files are safetensors
callbacks = [keras.callbacks.ModelCheckpoint(folder() / "save_at_{epoch}.safetensors")]
# end
model.compile(
    optimizer=keras.optimizers.Adam(1e-3),
    loss=keras.losses.BinaryCrossentropy(from_logits=True),
    metrics=[keras.metrics.BinaryAccuracy(name="acc")],
)
history = model.fit(
    x_train,
    y_train,
    batch_size=batch_size,
    epochs=epochs,
    callbacks=callbacks,
    validation_data=(x_val, y_val),
    **where,
)

predictions = model.predict(x_val[:1])
score = float(keras.ops.sigmoid(predictions[0][0]))
print(f"This image is {100 * (1 - score):.2f}% disc and {100 * score:.2f}% square.")
